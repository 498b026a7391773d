"""Reads the log `intents` for how far the ground's own epochs went: none is given out a second time."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from ripstop.core.errors import WireError
from ripstop.core.wire.envelope import EnvelopeType, Keyring, open_envelope

from .files import read_log

_KEPT = 64


class LastEpoch:
    """Reads the intents on file; the last one that the ground has signed tells the epoch.

    Args:
        keyring: the ground's keys.
        fleet: whose intents they are.
        folder: where the log is; read again only where none of the last records holds.
    """

    def __init__(self, keyring: Keyring, fleet: str, folder: Path) -> None:
        self._keyring = keyring
        self._fleet = fleet
        self._folder = folder
        self._last: deque[bytes] = deque(maxlen=_KEPT)

    def read(self, record: bytes) -> None:
        """Take the log's next record."""
        self._last.append(record)

    def epoch(self) -> int:
        """Give the epoch of the last intent on file, 0 where there is none that holds."""
        found = self._newest(self._last)
        if found is None and len(self._last) == _KEPT:
            found = self._newest(read_log(self._folder, "intents").records)
        return found or 0

    def _newest(self, records: Iterable[bytes]) -> int | None:
        for record in reversed(tuple(records)):
            with contextlib.suppress(WireError):
                return open_envelope(self._keyring, self._fleet, EnvelopeType.INTENT, record).epoch
        return None
