"""The file of a stream: a head, then records that each carry number, chain link and checksum.

Layout, little-endian:

    head    magic `RSL1`, u64 number of the last record dropped, 32 bytes its link, u32 CRC-32 of these
    record  magic `RSR1`, u32 length, u64 number, 32 bytes link, u32 CRC-32 of number, link and payload;
            then the payload
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import field
from itertools import accumulate
from pathlib import Path

from ripstop.core.files import write_whole
from ripstop.core.value import dataclass
from ripstop.core.wire.chain import link, links

HEAD = struct.Struct("<4sQ32sI")
RECORD = struct.Struct("<4sIQ32sI")
MAX_RECORD = 1 << 24
_HEAD_MAGIC, _RECORD_MAGIC = b"RSL1", b"RSR1"
_NUMBER = struct.Struct("<Q32s")


@dataclass(slots=True)
class StreamFile:
    """A stream: what its file holds, and what waits in memory until the file takes it.

    `number` and `previous` are those of the last record, `base` is the number of the last one dropped;
    `offsets` is where each record on file begins. `handle` is -1 where there is no file yet. Up to `safe`
    bytes the file is on stable storage. `mend` is to be called before anything is written behind what is
    sound, and raises OSError while it cannot.
    """

    handle: int
    size: int
    base: int
    number: int
    previous: bytes
    offsets: list[int] = field(default_factory=list)
    waiting: deque[bytes] = field(default_factory=deque)
    waiting_bytes: int = 0
    safe: int = 0
    is_doubted: bool = False
    is_cut_short: bool = False
    mend: Callable[[], None] | None = None

    def chain(self, data: bytes) -> bytes:
        """Chain a record; give its bytes as the file will hold them."""
        self.number += 1
        self.previous = link(self.previous, self.number, data)
        return _record(self.number, self.previous, data)

    def wait(self, raw: bytes) -> None:
        """Let a record wait."""
        self.waiting.append(raw)
        self.waiting_bytes += len(raw)

    def append(self, records: Sequence[bytes], chained: Sequence[bytes], most: int | None) -> None:
        """Chain records and write them at once; nothing must wait, and there is a file.

        Args:
            records: at least one.
            chained: their links where their writer knows them. They are believed if the first is right.
            most: bytes that the file may take.

        Raises:
            OSError: they could not be written, and wait.
        """
        first = self.number + 1
        if len(chained) != len(records) or chained[0] != link(self.previous, first, records[0]):
            chained = list(links(self.previous, first, records))
        raws = [_record(first + n, chained[n], data) for n, data in enumerate(records)]
        self.number += len(records)
        self.previous = chained[-1]
        try:
            self._put(raws, most)
        except OSError:
            for raw in raws:
                self.wait(raw)
            raise

    def write(self, most: int | None) -> None:
        """Write what waits, as far as the file takes it and stays within `most` bytes.

        Raises:
            OSError: it took not all; the rest waits on.
        """
        while self.waiting:
            self._put((self.waiting[0],), most)
            self.waiting_bytes -= len(self.waiting.popleft())

    def _put(self, raws: Sequence[bytes], most: int | None) -> None:
        self.mended()
        joined = raws[0] if len(raws) == 1 else b"".join(raws)
        if most is not None and self.size + len(joined) > most:
            raise OSError(errno.ENOSPC, f"the ledger's share of {most} bytes is used up")
        try:
            _write_all(self.handle, joined, self.size)
        except OSError:
            self._take_back()
            raise
        *begins, self.size = accumulate(map(len, raws), initial=self.size)
        self.offsets += begins

    def mended(self) -> None:
        """Mend the file, where that is still to be done.

        Raises:
            OSError: it cannot be done yet.
        """
        if self.mend is not None:
            self.mend()
            self.mend = None

    def _take_back(self) -> None:
        """Take back half a record; where even that fails, the next opening cuts it off."""
        try:
            os.ftruncate(self.handle, self.size)
        except OSError:
            return

    def write_again(self) -> None:
        """Write once more what a sync has failed for.

        The kernel tells a failed write-back once and may count the pages as clean from then on: another sync
        alone would succeed and bring nothing to the disk (Rebello et al. 2020, "Can Applications Recover from
        fsync Failures?").

        Raises:
            OSError: it cannot be written.
        """
        if self.is_doubted:
            raw = os.pread(self.handle, self.size - self.safe, self.safe)
            _write_all(self.handle, raw, self.safe)
            self.is_doubted = False


def _write_all(handle: int, raw: bytes, offset: int) -> None:
    if os.pwrite(handle, raw, offset) != len(raw):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def create_stream(path: Path, held: StreamFile, before: bytes) -> None:
    """Make a stream's file, on stable storage; `before` is the link before its first record.

    Raises:
        OSError: it cannot be made.
    """
    raw = write_head(0, before)
    write_whole(path, raw)
    held.handle = os.open(path, os.O_RDWR)
    held.size = held.safe = len(raw)


def write_head(base: int, previous: bytes) -> bytes:
    """Give a file's head."""
    raw = HEAD.pack(_HEAD_MAGIC, base, previous, 0)[:-4]
    return raw + struct.pack("<I", zlib.crc32(raw))


def read_head(raw: bytes) -> tuple[int, bytes] | None:
    """Read a file's head: the number and link of the last record dropped; None where it is damaged."""
    if len(raw) < HEAD.size:
        return None
    magic, base, previous, crc = HEAD.unpack_from(raw)
    if magic != _HEAD_MAGIC or crc != zlib.crc32(raw[: HEAD.size - 4]):
        return None
    return base, previous


def read_stream(raw: bytes, base: int, previous: bytes, handle: int = -1) -> StreamFile:
    """Follow a file's chain as far as it holds; `size` of what is given says where it ends."""
    held = StreamFile(handle, HEAD.size, base, base, previous)
    while True:
        found = _sound_at(raw, held.size)
        if found is None:
            return held
        number, after, data, end = found
        if number != held.number + 1 or after != link(held.previous, number, data):
            return held
        held.offsets.append(held.size)
        held.size, held.number, held.previous = end, number, after


def payload(raw: bytes, offset: int) -> bytes:
    """Give the payload of the record at an offset."""
    length: int = RECORD.unpack_from(raw, offset)[1]
    begin = offset + RECORD.size
    return raw[begin : begin + length]


def link_at(raw: bytes, offset: int) -> bytes:
    """Give the link of the record at an offset."""
    after: bytes = RECORD.unpack_from(raw, offset)[3]
    return after


def holds_record(raw: bytes, begin: int) -> bool:
    """Whether any whole record stands at or behind `begin`."""
    at = raw.find(_RECORD_MAGIC, begin)
    while at >= 0:
        if _sound_at(raw, at) is not None:
            return True
        at = raw.find(_RECORD_MAGIC, at + 1)
    return False


def _record(number: int, after: bytes, data: bytes) -> bytes:
    crc = zlib.crc32(data, zlib.crc32(_NUMBER.pack(number, after)))
    return RECORD.pack(_RECORD_MAGIC, len(data), number, after, crc) + data


def _sound_at(raw: bytes, offset: int) -> tuple[int, bytes, bytes, int] | None:
    """Read a record that is whole: (number, link, payload, end); None where the bytes are not one."""
    if len(raw) - offset < RECORD.size:
        return None
    magic, length, number, after, crc = RECORD.unpack_from(raw, offset)
    end = offset + RECORD.size + length
    if magic != _RECORD_MAGIC or length > MAX_RECORD or end > len(raw):
        return None
    data = raw[offset + RECORD.size : end]
    if crc != zlib.crc32(data, zlib.crc32(_NUMBER.pack(number, after))):
        return None
    return number, after, data, end
