"""Two files that take turns: the last two contents of something that must outlive a power cut at any byte.

A new content goes to the slot of the older one: written beside it, synced, renamed over it, the folder
synced. So at every moment the newest content that was acknowledged lies whole in one slot and its predecessor
in the other; a cut leaves at most a file beside them, which nobody reads. Layout, little-endian:

    magic `RSS1`, u64 number, u32 length, 32 bytes SHA-256 of number and content; then the content
"""

from __future__ import annotations

import struct
from hashlib import sha256
from pathlib import Path

from ripstop.core.files import write_whole
from ripstop.core.value import dataclass

_MAGIC = b"RSS1"
_HEAD = struct.Struct("<4sQI32s")
_SUFFIXES = (".a", ".b")


@dataclass(frozen=True, slots=True)
class Content:
    """What a slot holds; contents are numbered from 1 in the order in which they were put."""

    number: int
    data: bytes


class Slots:
    """The two slots `<name>.a` and `<name>.b` of a folder.

    `damaged` names the files that hold something else than what was written.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.damaged: list[str] = []
        self._paths = tuple(folder / f"{name}{suffix}" for suffix in _SUFFIXES)
        self._held: list[Content | None] = [self._read(path) for path in self._paths]

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
        """The sound contents, older first."""
        return tuple(sorted((held for held in self._held if held), key=lambda held: held.number))

    def put(self, data: bytes) -> None:
        """Keep a content; when this returns it survives a power cut.

        Raises:
            OSError: it could not be written; what was held is held as before.
        """
        numbers = [held.number if held else 0 for held in self._held]
        at = numbers.index(min(numbers))
        content = Content(max(numbers) + 1, data)
        path = self._paths[at]
        write_whole(path, _head(content) + data)
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
