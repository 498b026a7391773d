"""A ledger in memory: that of an agent that was given no path. It survives nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from ripstop.core.value import dataclass
from ripstop.core.wire.chain import genesis, link

from .personal import STREAM as _PERSONAL
from .personal import PersonalValues
from .recovery import Recovery


@dataclass(frozen=True, slots=True)
class Tail:
    """The records of a stream that are still held: number `first` on, chained after `previous`."""

    first: int
    previous: bytes
    records: tuple[bytes, ...]

    @property
    def last(self) -> int:
        """The number of the last record ever appended; 0 before the first."""
        return self.first + len(self.records) - 1


class MemoryLedger:
    """Streams in memory: the ledger of an agent that was given no path. It survives nothing.

    Each stream holds its last `most` records; older ones are forgotten, so that memory is bounded.
    """

    def __init__(self, owner: str, most: int = 100_000) -> None:
        self._owner = owner
        self._most = most
        self._streams: dict[str, tuple[int, bytes, deque[bytes]]] = {}
        self.recoveries: list[Recovery] = []
        self.personal = PersonalValues(None)

    def append(self, stream: str, data: bytes) -> None:
        """Append a record."""
        if stream == _PERSONAL:
            self.personal.put(data)
            return
        if stream not in self._streams:
            self._streams[stream] = (1, genesis(self._owner), deque())
        first, _, records = self._streams[stream]
        records.append(data)
        if len(records) > self._most:
            self.drop(stream, first)

    @property
    def is_short(self) -> bool:
        """Never: it forgets its oldest records."""
        return False

    def extend(self, stream: str, records: Sequence[bytes], links: Sequence[bytes] = ()) -> None:
        """Append records; their links are not kept."""
        for data in records:
            self.append(stream, data)

    def check_process(self) -> None:
        """Let any process use it: a forked child has a copy of its own."""

    def sync(self) -> None:
        """Do nothing: there is nothing more stable to bring it to."""

    def drop(self, stream: str, sequence: int) -> None:
        """Forget the records up to and including number `sequence`."""
        first, previous, records = self._streams.get(stream, (1, b"", deque[bytes]()))
        while records and first <= sequence:
            previous = link(previous, first, records.popleft())
            first += 1
        if stream in self._streams:
            self._streams[stream] = (first, previous, records)

    def close(self) -> None:
        """Let go of the personal values."""
        self.personal.close()

    def tail(self, stream: str) -> Tail:
        """Give what a stream still holds."""
        first, previous, records = self._streams.get(stream, (1, genesis(self._owner), deque[bytes]()))
        return Tail(first, previous, tuple(records))
