"""What a ledger's streams held when they were last synced: less than that is a loss, and is noticed.

Theory of operation. A stream that is cut off exactly at a record's end is a sound stream. So after each sync
that succeeded, the last number and link of every stream go into one more file. A mark is a lower bound: it is
written after what it tells of is on stable storage, so no crash makes it tell of more than there is.

Syncing that file each time would double what a sync costs. It has two halves that each say all; a half is
written over until the file is synced, which is once in `EVERY_US` at most, and then the other one is. So one
half is on stable storage at every moment, whatever a power cut does to the other. What holds then:

- the process ends, however it does: the marks are those of the last sync that returned;
- the power fails: they are those of it, too, or up to `EVERY_US` and one sync older. What was synced is there
  all the same; only if the disk loses it as well, at a record's end, may that much go unnoticed.

Layout of a half, little-endian:

    magic `RSM1`, u32 CRC-32 of the rest of the half, u64 turn (the higher one is the newer half), u16 how
    many streams; then of each u8 length of its name, the name, u64 number, 32 bytes link; zeros to the end
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ripstop.core.files import write_whole
from ripstop.core.value import dataclass

MARKS = "marks"
HALF = 4096
EVERY_US = 1_000_000
_MAGIC = b"RSM1"
_HEAD = struct.Struct("<4sI")
_BODY = struct.Struct("<QH")
_MARK = struct.Struct("<Q32s")


@dataclass(frozen=True, slots=True)
class Mark:
    """The last record of a stream that is on stable storage, by its number and its link."""

    number: int
    link: bytes


def read_marks(folder: Path) -> tuple[Mapping[str, Mark], int]:
    """Read the newer marks that verify; give how many bytes do not (all of them where there is no file)."""
    for _ in range(3):  # a half may be read while it is written
        halves, torn = _read(folder / MARKS)
        if not torn:
            break
    return max(halves.values(), key=lambda half: half[0], default=(0, {}))[1], torn


class Marks:
    """The marks of a ledger that is open: `held`. Of what was there at first `torn` bytes did not verify.

    Raises:
        OSError: the file cannot be made or opened.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / MARKS
        halves, self.torn = _read(path)
        self._at, (self._turn, self.held) = max(
            halves.items(), key=lambda half: half[1][0], default=(0, (0, {}))
        )
        if not path.exists():
            write_whole(path, _half(0, {}) * 2)
        self._handle = os.open(path, os.O_RDWR)
        if self.torn:
            os.ftruncate(self._handle, 2 * HALF)
            for at in {0, 1} - set(halves):
                os.pwrite(self._handle, _half(self._turn, self.held), at * HALF)
        self._due_us = 0
        self._is_synced = False
        self._sync()  # what an earlier life wrote last

    def put(self, marks: Mapping[str, Mark], mono_us: int) -> None:
        """Write marks down, at a monotonic time.

        Raises:
            OSError: they cannot be written; those from before hold on.
        """
        if marks == self.held:
            return
        self._turn += 1
        self._is_synced = False
        os.pwrite(self._handle, _half(self._turn, marks), self._at * HALF)
        self.held = marks
        if mono_us >= self._due_us:
            self._due_us = mono_us + EVERY_US
            self._sync()

    def _sync(self) -> None:
        os.fdatasync(self._handle)
        self._is_synced = True
        self._at = 1 - self._at  # INVARIANT: the half that is not written next is on stable storage

    def close(self) -> None:
        """Bring the last marks to stable storage and let go of the file."""
        with suppress(OSError):  # what they tell of is there without them
            if not self._is_synced:
                self._sync()
        os.close(self._handle)


def _half(turn: int, marks: Mapping[str, Mark]) -> bytes:
    parts = [_BODY.pack(turn, len(marks))]
    for stream, mark in marks.items():
        name = stream.encode()
        parts += (bytes((len(name),)), name, _MARK.pack(mark.number, mark.link))
    body = b"".join(parts).ljust(HALF - _HEAD.size, b"\0")
    return _HEAD.pack(_MAGIC, zlib.crc32(body)) + body


def _read(path: Path) -> tuple[dict[int, tuple[int, Mapping[str, Mark]]], int]:
    """Read the halves that verify, their turns and marks by which half it is; count the bytes that do not."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return {}, 2 * HALF
    halves = {at: raw[at * HALF : (at + 1) * HALF] for at in (0, 1)}
    found = {at: _parse(half) for at, half in halves.items() if _is_sound(half)}
    return found, HALF * (2 - len(found)) + max(0, len(raw) - 2 * HALF)


def _is_sound(half: bytes) -> bool:
    return len(half) == HALF and _HEAD.unpack_from(half) == (_MAGIC, zlib.crc32(half[_HEAD.size :]))


def _parse(half: bytes) -> tuple[int, Mapping[str, Mark]]:
    turn, count = _BODY.unpack_from(half, _HEAD.size)
    at, marks = _HEAD.size + _BODY.size, {}
    for _ in range(count):
        begin = at + 1
        end = begin + half[at]
        marks[half[begin:end].decode()] = Mark(*_MARK.unpack_from(half, end))
        at = end + _MARK.size
    return turn, marks
