"""The disk of a live control plane: its logs, and what is told on the way of what goes into them."""

from __future__ import annotations

from collections.abc import Callable

from .audit.files import AuditFiles
from .records import Records


class IndexedDisk:
    """The audit files, with what goes into the catalogue noted on the way."""

    def __init__(self, files: AuditFiles, records: Records, certify: Callable[[], object]) -> None:
        self._files, self._records, self._certify = files, records, certify

    def append(self, stream: str, data: bytes) -> None:
        """Append a record to a stream."""
        self._files.append(stream, data)
        if stream == "segments":
            self._records.segment(data)

    def sync(self) -> None:
        """Bring everything appended to stable storage."""
        self._files.sync()

    def drop(self, stream: str, sequence: int) -> None:
        """Keep everything."""

    def close(self) -> None:
        """Sign what the files hold, and let go of them."""
        self._certify()
        self._files.close()
