"""Three files that take turns: the last two contents of something that must outlive a power cut at any byte.

A new content is written over the oldest of three, and synced once: a slot that is there needs no rename and
no sync of its folder. So at every moment the newest content that was acknowledged lies whole in one slot and
its predecessor in another; a cut leaves at most a third that does not verify, and is the next to be written.
Layout, little-endian:

    magic `RSS1`, u64 number, u32 length, 32 bytes SHA-256 of number and content; then the content
"""

from __future__ import annotations

import struct
from hashlib import sha256
from pathlib import Path

from ripstop.core.files import write_over, write_whole
from ripstop.core.value import dataclass

_MAGIC = b"RSS1"
_HEAD = struct.Struct("<4sQI32s")
_SUFFIXES = (".a", ".b", ".c")
_COUNTED = 2


@dataclass(frozen=True, slots=True)
class Content:
    """What a slot holds; contents are numbered from 1 in the order in which they were put."""

    number: int
    data: bytes


class Slots:
    """The slots `<name>.a`, `<name>.b` and `<name>.c` of a folder.

    `damaged` names the files that do not verify: changed behind our back, gone, or cut off while written.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.damaged: list[str] = []
        self._paths = tuple(folder / f"{name}{suffix}" for suffix in _SUFFIXES)
        self._held: list[Content | None] = [self._read(path) for path in self._paths]
        begun = self._paths[: self.last]  # INVARIANT: they are begun in this order
        self.damaged += [path.name for path in begun if not path.exists()]

    def _read(self, path: Path) -> Content | None:
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            return None
        content = _parse(raw)
        if content is None:
            self.damaged.append(path.name)
        return content

    @property
    def contents(self) -> tuple[Content, ...]:
        """The last two sound contents, older first."""
        sound = sorted((held for held in self._held if held), key=lambda held: held.number)
        return tuple(sound[-_COUNTED:])

    @property
    def last(self) -> int:
        """The number of the last content held; 0 where there is none."""
        return max((held.number for held in self._held if held), default=0)

    def put(self, data: bytes) -> None:
        """Keep a content; when this returns it survives a power cut.

        Raises:
            OSError: it could not be written; the last two contents are held as before.
        """
        numbers = [held.number if held else 0 for held in self._held]
        at = numbers.index(min(numbers))
        content = Content(max(numbers) + 1, data)
        self._held[at] = None  # INVARIANT: it is none of the last two
        raw = _head(content) + data
        try:
            write_over(self._paths[at], raw)
        except FileNotFoundError:
            write_whole(self._paths[at], raw)
        self._held[at] = content


def _checksum(number: int, data: bytes) -> bytes:
    return sha256(number.to_bytes(8, "little") + data).digest()


def _head(content: Content) -> bytes:
    checksum = _checksum(content.number, content.data)
    return _HEAD.pack(_MAGIC, content.number, len(content.data), checksum)


def _parse(raw: bytes) -> Content | None:
    if len(raw) < _HEAD.size:
        return None
    magic, number, length, checksum = _HEAD.unpack_from(raw)
    data = raw[_HEAD.size :]
    if magic != _MAGIC or len(data) != length or checksum != _checksum(number, data):
        return None
    return Content(number, data)
