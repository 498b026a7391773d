"""The ground's append-only files: one log a stream, chained, safe against a power cut at any byte.

Layout of `<stream>.log`, little-endian:

    8 bytes  magic `RSLOG1\\n\\0`
    records  length u32, CRC-32 of (link + payload) u32, link 32 bytes, payload

The link is that of `core.wire.chain`, with the stream's name in the place of the agent's id: each commits to
all before it. A record that was only half written is cut off when the log is opened; anything else that does
not fit is left as it is and reported: evidence is never repaired.
"""

from __future__ import annotations

import errno
import io
import os
import struct
import threading
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

from ripstop.core.errors import ConfigurationError
from ripstop.core.files import sync_path
from ripstop.core.wire.chain import genesis, link

MAGIC = b"RSLOG1\n\x00"
_HEAD = struct.Struct("<II32s")
_MOST = 1 << 26
Reader: TypeAlias = Callable[[bytes], object]
_Taker: TypeAlias = Callable[[bytes, bytes], object]
STREAMS = (
    "segments", "receipts", "intents", "bundles", "messages", "incidents", "forks", "checkpoints", "stops",
)  # fmt: skip
Heads: TypeAlias = Mapping[str, tuple[int, bytes]]


class AuditError(ConfigurationError):
    """A log that cannot be written or opened (codes C022x)."""


@dataclass(frozen=True, slots=True)
class Damage:
    """Where a log stops being sound: byte offset, the number of the first record that is lost, and why."""

    stream: str
    offset: int
    number: int
    reason: str
    is_torn: bool = False

    def __str__(self) -> str:
        return f"{self.reason} at byte {self.offset}, record {self.number}"


@dataclass(frozen=True, slots=True)
class LogScan:
    """A log as read: its sound records, where they end, and what follows that is not sound.

    `links[n]` is the link after `n` records.
    """

    records: tuple[bytes, ...]
    links: tuple[bytes, ...]
    end: int
    damage: Damage | None

    @property
    def head(self) -> bytes:
        """Give the last link."""
        return self.links[-1]


def scan(stream: str, raw: bytes) -> LogScan:
    """Read a log's bytes as far as they are sound."""
    records: list[bytes] = []
    links = [genesis(stream)]

    def take(record: bytes, linked: bytes) -> None:
        records.append(record)
        links.append(linked)

    end = _walk(stream, io.BytesIO(raw), take)
    return LogScan(tuple(records), tuple(links), end.size, end.damage)


@dataclass(frozen=True, slots=True)
class _End:
    """Where what is sound of a log ends: bytes, records, the last link, and what follows."""

    size: int
    number: int
    head: bytes
    damage: Damage | None = None


def _walk(stream: str, file: BinaryIO, take: _Taker) -> _End:
    """Hand on record after record with its link as far as they are sound; one at a time is in memory."""
    head, number, at = genesis(stream), 0, len(MAGIC)
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if size == 0:
        return _End(0, 0, head)
    if file.read(len(MAGIC)) != MAGIC:
        return _End(0, 0, head, Damage(stream, 0, 1, "not a log of this version"))

    def damaged(reason: str, *, is_torn: bool = False) -> _End:
        return _End(at, number, head, Damage(stream, at, number + 1, reason, is_torn=is_torn))

    while at < size:
        if size - at < _HEAD.size:
            return damaged("torn", is_torn=True)
        length, crc, linked = _HEAD.unpack(file.read(_HEAD.size))
        end = at + _HEAD.size + length
        if length > _MOST:
            return damaged("length out of bounds")
        if end > size:
            return damaged("torn", is_torn=True)
        payload = file.read(length)
        if zlib.crc32(payload, zlib.crc32(linked)) != crc:
            return damaged("checksum does not fit", is_torn=end == size)
        if linked != link(head, number + 1, payload):
            return damaged("chain broken")
        take(payload, linked)
        head, number, at = linked, number + 1, end
    return _End(at, number, head)


@dataclass(slots=True)
class _Log:
    file: BinaryIO
    size: int
    number: int
    head: bytes
    is_dirty: bool = True  # what is found may still be in the system's memory alone


class AuditFiles:
    """A folder of logs; the shell of the control plane carries out Append and Sync on it.

    A write that failed poisons the folder until it is opened again: `sync` raises from then on, so that no
    receipt leaves for what is not on disk. `append` and `sync` may be called from different threads.
    """

    def __init__(self, folder: Path, readers: Mapping[str, Reader] | None = None) -> None:
        """Open the folder and its logs; what they hold is checked, and read only this once.

        Args:
            folder: made where it is missing.
            readers: by stream, given each of its records in order.

        Raises:
            AuditError: C0221 where a log cannot be opened, C0222 where one is damaged before its end.
        """
        self.folder = folder
        self.torn: list[Damage] = []
        self._readers = dict(readers or {})
        self._logs: dict[str, _Log] = {}
        self._lock = threading.Lock()
        self._syncing = threading.Lock()
        self._failure: OSError | None = None
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # all are begun, so that one that is missing later is seen
        try:
            for stream in sorted({path.stem for path in folder.glob("*.log")}.union(STREAMS)):
                self._logs[stream] = self._open(stream)
            sync_path(folder)
        except BaseException:  # a reader's refusal, too
            self.close()
            raise

    def _path(self, stream: str) -> Path:
        return self.folder / f"{stream}.log"

    def _open(self, stream: str) -> _Log:
        path = self._path(stream)
        try:
            with path.open("a+b") as log_file:
                read = self._readers.get(stream)
                found = _walk(stream, log_file, lambda record, _: read(record) if read else None)
            if found.damage is not None and not found.damage.is_torn:
                raise AuditError(
                    f"log `{path.name}` is damaged at byte {found.damage.offset}: {found.damage.reason}",
                    code="C0222",
                    hint="keep it as evidence, see `ripstop audit verify`, and start with another folder",
                )
            file = path.open("ab", buffering=0)
            if found.damage is not None:
                self.torn.append(found.damage)
                file.truncate(found.size)
            log = _Log(file, found.size, found.number, found.head)
            if found.size == 0:
                log.size = file.write(MAGIC)
        except OSError as error:
            raise AuditError(f"log `{path}` cannot be opened: {error.strerror}", code="C0221") from error
        return log

    def append(self, stream: str, data: bytes) -> None:
        """Append a record to a stream.

        Raises:
            OSError: the disk does not take it; the half-written record is taken back.
        """
        with self._lock:
            log = self._logs.get(stream)
            if log is None:
                log = self._logs[stream] = self._open(stream)
            head = link(log.head, log.number + 1, data)
            crc = zlib.crc32(data, zlib.crc32(head))
            raw = _HEAD.pack(len(data), crc, head) + data
            try:
                _write_whole(log.file, raw)
            except OSError as error:
                self._failure = error
                log.file.truncate(log.size)
                raise
            log.size += len(raw)
            log.number += 1
            log.head, log.is_dirty = head, True

    def sync(self) -> Heads:
        """Bring everything appended to stable storage; gives what then stands there, as `heads` does.

        Raises:
            OSError: an append or an earlier sync has failed.
        """
        with self._syncing:  # what another thread is still syncing is not on stable storage yet
            with self._lock:
                if self._failure is not None:
                    raise self._failure
                handles = [os.dup(log.file.fileno()) for log in self._logs.values() if log.is_dirty]
                heads = self._heads()
                for log in self._logs.values():
                    log.is_dirty = False
            try:
                for handle in handles:
                    os.fdatasync(handle)
            except OSError as error:
                self._failure = error
                raise
            finally:
                for handle in handles:
                    os.close(handle)
        return heads

    def drop(self, stream: str, sequence: int) -> None:
        """Keep everything: the ground forgets nothing."""

    def close(self) -> None:
        """Let go of the files."""
        with self._lock:
            for log in self._logs.values():
                log.file.close()
            self._logs.clear()

    def heads(self) -> Heads:
        """Give each stream's number of records and last link: what a checkpoint commits to."""
        with self._lock:
            return self._heads()

    def _heads(self) -> Heads:
        return {stream: (log.number, log.head) for stream, log in sorted(self._logs.items())}


def _write_whole(file: BinaryIO, raw: bytes) -> None:
    if file.write(raw) != len(raw):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def read_through(folder: Path, stream: str, take: Reader) -> Damage | None:
    """Hand on a stream's records one by one, as far as they are sound; gives what follows that is not.

    Raises:
        AuditError: C0221 where the log is there and cannot be read.
    """
    path = folder / f"{stream}.log"
    try:
        with path.open("rb") as file:
            return _walk(stream, file, lambda record, _: take(record)).damage
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AuditError(f"log `{path}` cannot be opened: {error.strerror}", code="C0221") from error


def read_log(folder: Path, stream: str) -> LogScan:
    """Read a stream of a folder that nobody need have open; a missing one is empty."""
    path = folder / f"{stream}.log"
    return scan(stream, path.read_bytes() if path.exists() else b"")


def write_logs(folder: Path, streams: Mapping[str, Iterable[bytes]]) -> None:
    """Write whole streams as logs, as a run in virtual time does at its end.

    Raises:
        AuditError: C0225 where the folder holds logs already.
    """
    if any(folder.glob("*.log")):
        raise AuditError(f"`{folder}` holds the logs of another run", code="C0225")
    files = AuditFiles(folder)
    for stream, records in streams.items():
        for record in records:
            files.append(stream, record)
    files.sync()
    files.close()
