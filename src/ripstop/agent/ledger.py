"""The agent's disk: append-only streams in files, chained, and safe against a power cut at any byte.

Theory of operation. A stream is a folder's file `<stream>.log`: a head, then records that each carry their
number, their chain link (core.wire.chain) and a checksum. A crash leaves a prefix of what was written and
perhaps torn bytes behind it. So on opening, the first record that does not verify ends the stream:

- nothing that verifies comes behind it: a torn tail. It is cut off and reported; nothing in it was synced.
- whole records come behind it: damage, which a crash does at most to what was not synced. The file is kept
  aside as `<stream>.log.damaged-<n>`, the sound records before the damage go on as the stream, and it is
  reported.

The stream `bundle` holds whole contents, of which the last counts: it is kept in two slots that take turns
(`agent.slots`), and `append` syncs it. The stream `personal` is a table of its own (`agent.personal`), from
which values can be erased.

`drop` forgets a prefix: the file is written anew without it once that saves enough, and swapped in
atomically. Layout, little-endian:

    head    magic `RSL1`, u64 number of the last record dropped, 32 bytes its link, u32 CRC-32 of these
    record  magic `RSR1`, u32 length, u64 number, 32 bytes link, u32 CRC-32 of number, link and payload;
            then the payload
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import zlib
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from ripstop.core.errors import ConfigurationError
from ripstop.core.files import write_whole
from ripstop.core.wire.chain import genesis, link

from .personal import STREAM as _PERSONAL
from .personal import PersonalValues
from .slots import Slots

_HEAD_MAGIC, _RECORD_MAGIC = b"RSL1", b"RSR1"
_HEAD = struct.Struct("<4sQ32sI")
_RECORD = struct.Struct("<4sIQ32sI")
_NUMBER = struct.Struct("<Q32s")
MAX_RECORD = 1 << 24
_COMPACT_BYTES = 1 << 20
_SLOTTED, _SHARED = "bundle", "ledger"


class LedgerError(ConfigurationError):
    """The ledger's files cannot be used as they are (codes C04xx)."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """What opening a stream found: `torn` bytes cut off its tail; `damaged` names the file kept aside."""

    stream: str
    records: int
    torn: int = 0
    damaged: str = ""


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
        """Let go of nothing."""

    def tail(self, stream: str) -> Tail:
        """Give what a stream still holds."""
        first, previous, records = self._streams.get(stream, (1, genesis(self._owner), deque[bytes]()))
        return Tail(first, previous, tuple(records))


@dataclass(slots=True)
class _File:
    handle: int
    size: int
    base: int
    number: int
    previous: bytes
    offsets: list[int]  # where each record held begins


class FileLedger:
    """Streams as files in one folder; implements what a node's shell asks of a disk.

    One process at a time: the folder is locked while it is open. A write that fails (disk full, gone,
    read-only) raises `OSError` and leaves the stream as it was before: it may be tried again.

    Args:
        folder: made where it is missing.
        owner: the agent's id; its chains begin with it.
        share: bytes that the ledger's own stream may take; beyond them it counts as full (None: no end).

    Raises:
        LedgerError: C0401 another process holds the folder, C0402 it cannot be made or opened, C0403 it is
            another agent's.
    """

    def __init__(self, folder: Path | str, owner: str, share: int | None = None) -> None:
        self.folder = Path(folder)
        self.share = share
        self._owner = owner
        self._files: dict[str, _File] = {}
        self._lock = Lock()
        self.recoveries: list[Recovery] = []
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._guard = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise LedgerError(
                f"ledger folder `{self.folder}` cannot be opened: {error.strerror}", code="C0402"
            ) from error
        try:
            self._claim()
            for path in sorted(self.folder.glob("*.log")):
                self._files[path.stem] = self._open(path.stem)
            self._slots = Slots(self.folder, _SLOTTED)
            self.personal = PersonalValues(self.folder / f"{_PERSONAL}.db")
        except BaseException:
            self._release()
            raise
        self.recoveries += [Recovery(_SLOTTED, 0, damaged=name) for name in self._slots.damaged]

    def _claim(self) -> None:
        try:
            fcntl.flock(self._guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LedgerError(
                f"ledger folder `{self.folder}` is in use by another process",
                code="C0401",
                hint="one agent has one ledger; stop the other one, or give this one a folder of its own",
            ) from error
        held = os.pread(self._guard, 256, 0).decode(errors="replace").strip()
        if held and held != self._owner:
            raise LedgerError(
                f"ledger folder `{self.folder}` belongs to agent `{held}`, expected `{self._owner}`",
                code="C0403",
            )
        if not held:
            try:
                os.pwrite(self._guard, self._owner.encode(), 0)
            except OSError as error:
                raise LedgerError(
                    f"ledger folder `{self.folder}` cannot be written: {error.strerror}", code="C0402"
                ) from error

    # ---- the disk of a node -----------------------------------------------------------------------------

    def append(self, stream: str, data: bytes) -> None:
        """Append a record; it survives the process at once, a power cut after the next `sync`."""
        if len(data) > MAX_RECORD:
            raise LedgerError(f"a record of {len(data)} bytes is too long", code="C0404")
        with self._lock:
            if stream == _SLOTTED:
                self._slots.put(data)
                return
            if stream == _PERSONAL:
                self.personal.put(data)
                return
            held = self._files.get(stream)
            if held is None:
                held = self._files[stream] = self._create(stream)
            number = held.number + 1
            after = link(held.previous, number, data)
            raw = _record(number, after, data)
            if self.share is not None and stream == _SHARED and held.size + len(raw) > self.share:
                raise OSError(errno.ENOSPC, f"the ledger's share of {self.share} bytes is used up")
            try:
                _write_whole(held.handle, raw, held.size)
            except OSError:
                self._cut(held)
                raise
            held.offsets.append(held.size)
            held.size += len(raw)
            held.number, held.previous = number, after

    @staticmethod
    def _cut(held: _File) -> None:
        """Take back half a record; where even that fails, the next opening cuts it off."""
        try:
            os.ftruncate(held.handle, held.size)
        except OSError:
            return

    def sync(self) -> None:
        """Bring everything appended to stable storage."""
        with self._lock:
            handles = [os.dup(held.handle) for held in self._files.values()]
        try:
            for handle in handles:
                os.fdatasync(handle)
        finally:
            for handle in handles:
                os.close(handle)

    def drop(self, stream: str, sequence: int) -> None:
        """Forget the records up to and including number `sequence`; space is given back from 1 MB on."""
        with self._lock:
            held = self._files.get(stream)
            if held is None:
                return
            count = min(sequence, held.number) - held.base
            if count <= 0:
                return
            begin = held.offsets[count] if count < len(held.offsets) else held.size
            if begin >= _COMPACT_BYTES or begin == held.size:
                self._compact(stream, held, count, begin)

    def trim(self) -> int:
        """Forget the older half of the ledger's own stream if half its share is used; give the last dropped.

        For a ledger that nobody will ever fetch: an agent's that works alone.
        """
        with self._lock:
            held = self._files.get(_SHARED)
            if held is None or self.share is None or held.size < self.share // 2:
                return 0
            count = len(held.offsets) // 2
            if count:
                self._compact(_SHARED, held, count, held.offsets[count])
            return held.base

    def close(self) -> None:
        """Let go of the files and the folder."""
        with self._lock:
            for held in self._files.values():
                os.close(held.handle)
            self._files.clear()
            self.personal.close()
            self._release()

    def _release(self) -> None:
        if self._guard >= 0:
            os.close(self._guard)
            self._guard = -1

    def tail(self, stream: str) -> Tail:
        """Give what a stream still holds, read from its file."""
        with self._lock:
            if stream == _SLOTTED:
                contents = self._slots.contents
                first = contents[0].number if contents else 1
                return Tail(first, b"", tuple(content.data for content in contents))
            held = self._files.get(stream)
            if held is None:
                return Tail(1, genesis(self._owner), ())
            raw = os.pread(held.handle, held.size, 0)
            previous = _HEAD.unpack_from(raw)[2]
            records = tuple(_payload(raw, offset) for offset in held.offsets)
            return Tail(held.base + 1, previous, records)

    # ---- files ------------------------------------------------------------------------------------------

    def _path(self, stream: str) -> Path:
        return self.folder / f"{stream}.log"

    def _create(self, stream: str) -> _File:
        previous = genesis(self._owner)
        write_whole(self._path(stream), _head(0, previous))
        handle = os.open(self._path(stream), os.O_RDWR)
        return _File(handle, _HEAD.size, 0, 0, previous, [])

    def _compact(self, stream: str, held: _File, count: int, begin: int) -> None:
        raw = os.pread(held.handle, held.size, 0)
        last = held.offsets[count - 1]
        dropped_link: bytes = _RECORD.unpack_from(raw, last)[3]
        kept = raw[begin : held.size]
        write_whole(self._path(stream), _head(held.base + count, dropped_link) + kept)
        os.close(held.handle)
        held.handle = os.open(self._path(stream), os.O_RDWR)
        shift = begin - _HEAD.size
        held.offsets = [offset - shift for offset in held.offsets[count:]]
        held.base += count
        held.size = _HEAD.size + len(kept)

    def _open(self, stream: str) -> _File:
        path = self._path(stream)
        try:
            raw = path.read_bytes()
            handle = os.open(path, os.O_RDWR)
        except OSError as error:
            raise LedgerError(
                f"ledger file `{path}` cannot be opened: {error.strerror}", code="C0402"
            ) from error
        head = _read_head(raw)
        if head is None:
            os.close(handle)
            name = self._set_aside(path)
            self.recoveries.append(Recovery(stream, 0, damaged=name))
            return self._create(stream)
        base, previous = head
        held = _File(handle, _HEAD.size, base, base, previous, [])
        _walk(raw, held)
        if held.size == len(raw):
            self.recoveries.append(Recovery(stream, len(held.offsets)))
            return held
        if _holds_record(raw, held.size + 1):
            name = self._set_aside(path, raw)
            self.recoveries.append(Recovery(stream, len(held.offsets), damaged=name))
        else:
            self.recoveries.append(Recovery(stream, len(held.offsets), torn=len(raw) - held.size))
        os.ftruncate(handle, held.size)
        os.fdatasync(handle)
        return held

    def _set_aside(self, path: Path, copy: bytes | None = None) -> str:
        number = 1 + len(list(self.folder.glob(f"{path.name}.damaged-*")))
        aside = path.with_name(f"{path.name}.damaged-{number}")
        if copy is None:
            path.rename(aside)
        else:
            aside.write_bytes(copy)
        return aside.name


def _write_whole(handle: int, raw: bytes, offset: int) -> None:
    if os.pwrite(handle, raw, offset) != len(raw):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _head(base: int, previous: bytes) -> bytes:
    raw = _HEAD.pack(_HEAD_MAGIC, base, previous, 0)[:-4]
    return raw + struct.pack("<I", zlib.crc32(raw))


def _read_head(raw: bytes) -> tuple[int, bytes] | None:
    if len(raw) < _HEAD.size:
        return None
    magic, base, previous, crc = _HEAD.unpack_from(raw)
    if magic != _HEAD_MAGIC or crc != zlib.crc32(raw[: _HEAD.size - 4]):
        return None
    return base, previous


def _record(number: int, after: bytes, data: bytes) -> bytes:
    crc = zlib.crc32(data, zlib.crc32(_NUMBER.pack(number, after)))
    return _RECORD.pack(_RECORD_MAGIC, len(data), number, after, crc) + data


def _payload(raw: bytes, offset: int) -> bytes:
    length: int = _RECORD.unpack_from(raw, offset)[1]
    begin = offset + _RECORD.size
    return raw[begin : begin + length]


def _sound_at(raw: bytes, offset: int) -> tuple[int, bytes, bytes, int] | None:
    """Read a record that is whole: (number, link, payload, end); None where the bytes are not one."""
    if len(raw) - offset < _RECORD.size:
        return None
    magic, length, number, after, crc = _RECORD.unpack_from(raw, offset)
    end = offset + _RECORD.size + length
    if magic != _RECORD_MAGIC or length > MAX_RECORD or end > len(raw):
        return None
    data = raw[offset + _RECORD.size : end]
    if crc != zlib.crc32(data, zlib.crc32(_NUMBER.pack(number, after))):
        return None
    return number, after, data, end


def _walk(raw: bytes, held: _File) -> None:
    """Follow the chain as far as it holds."""
    while True:
        found = _sound_at(raw, held.size)
        if found is None:
            return
        number, after, data, end = found
        if number != held.number + 1 or after != link(held.previous, number, data):
            return
        held.offsets.append(held.size)
        held.size, held.number, held.previous = end, number, after


def _holds_record(raw: bytes, begin: int) -> bool:
    """Whether any whole record stands at or behind `begin`."""
    at = raw.find(_RECORD_MAGIC, begin)
    while at >= 0:
        if _sound_at(raw, at) is not None:
            return True
        at = raw.find(_RECORD_MAGIC, at + 1)
    return False
