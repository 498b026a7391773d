"""What opening a stream's file finds and mends: a torn tail is cut off, what is damaged is kept aside."""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from zlib import crc32

from ripstop.core.errors import ConfigurationError
from ripstop.core.files import sync_path, write_whole
from ripstop.core.subjects import is_id
from ripstop.core.value import dataclass
from ripstop.core.wire.chain import genesis

from .marks import Mark
from .streams import StreamFile, holds_record, link_at, read_head, read_stream

BUNDLE = "bundle"  # kept in slots


class LedgerError(ConfigurationError):
    """The ledger's files cannot be used as they are (codes C04xx)."""


MOST_ASIDE = 8
LOCK = "lock"
_SEALED = " crc32 "  # so long that no changed bit makes it a part of a name


def write_owner(owner: str) -> bytes:
    """Give what a folder's `lock` holds: whose it is, with a checksum."""
    return f"{owner}{_SEALED}{crc32(owner.encode()):08x}".encode()


def read_owner(raw: bytes) -> str | None:
    """Read whose a folder is from its `lock`; "" where nobody has claimed it, None where that is damaged.

    A name alone, as it was once written, counts.
    """
    owner, sealed, _ = raw.decode(errors="replace").strip().partition(_SEALED)
    if raw.strip() and not sealed:
        return owner if is_id(owner) else None
    return owner if not owner or write_owner(owner) == raw.strip() else None


@dataclass(frozen=True, slots=True)
class Recovery:
    """What opening a stream found.

    `torn` bytes were cut off its tail: a crash did that. `damaged` names the file that was kept aside, or the
    stream's own where the disk has no room for that yet.
    `missing` records had been synced, and are not there (of personal values: what came into
    their table so many times).
    `let_go` older files that had been kept aside went, to make room.
    """

    stream: str
    records: int
    torn: int = 0
    damaged: str = ""
    missing: int = 0
    let_go: int = 0


def open_stream(path: Path, owner: str, mark: Mark | None) -> tuple[StreamFile, Recovery]:
    """Open a stream's file; what stands in it now is on stable storage.

    Args:
        path: of the file.
        owner: whose chain it is.
        mark: what it must hold at least.

    Raises:
        LedgerError: C0402, it cannot be opened, or what it needs cannot be written.
    """
    try:
        return _open(path, owner, mark)
    except OSError as error:
        raise LedgerError(f"ledger file `{path}` cannot be opened: {error.strerror}", code="C0402") from error


def _open(path: Path, owner: str, mark: Mark | None) -> tuple[StreamFile, Recovery]:
    raw = path.read_bytes()
    head = read_head(raw)
    if head is None:  # what is appended next makes a new file
        gone, name = let_go(path), set_aside(path)
        found = Recovery(path.stem, 0, damaged=name, missing=mark.number if mark else 0, let_go=gone)
        return StreamFile(-1, 0, 0, 0, genesis(owner)), found
    held = read_stream(raw, *head)
    held.safe, torn, name, gone = held.size, len(raw) - held.size, "", 0
    missing, is_other = compare(mark, held, raw)
    if missing or is_other or holds_record(raw, held.size + 1):
        torn, gone = 0, let_go(path)
        try:
            name = set_aside(path, raw)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            # No room for a copy: the file stays as it is, and what is appended waits until there is.
            name, held.mend = path.name, partial(_mend, path, held)
    handle = os.open(path, os.O_RDWR)
    try:
        if held.size != len(raw) and held.mend is None:
            os.ftruncate(handle, held.size)
        # An earlier life may have ended before its sync: what is read counts as kept.
        os.fdatasync(handle)
    except OSError:
        os.close(handle)
        raise
    held.handle = handle
    return held, Recovery(path.stem, len(held.offsets), torn, name, missing, gone)


def _mend(path: Path, held: StreamFile) -> None:
    """Keep a file aside whose damage was found when there was no room; then cut the damage off."""
    set_aside(path, path.read_bytes())
    os.ftruncate(held.handle, held.size)


def compare(mark: Mark | None, held: StreamFile, raw: bytes) -> tuple[int, bool]:
    """Hold what was read of a stream's file against its mark.

    Returns:
        How many records are missing that had been synced; whether the last of these is another one now.
    """
    if mark is None or mark.number < held.base:
        return 0, False
    if mark.number > held.number:
        return mark.number - held.number, False
    if mark.number == held.base:
        head = read_head(raw)
        return 0, head is not None and head[1] != mark.link
    return 0, link_at(raw, held.offsets[mark.number - held.base - 1]) != mark.link


def missing_files(known: Mapping[str, Mark], held: Collection[str], bundle: int) -> list[Recovery]:
    """Give streams whose file is gone though they were synced, and bundles; `bundle` is the last one held."""
    lasts = {stream: bundle if stream == BUNDLE else 0 for stream in known if stream not in held}
    gone = [(stream, last, known[stream].number - last) for stream, last in lasts.items()]
    return [Recovery(stream, last, missing=missing) for stream, last, missing in gone if missing > 0]


def set_aside(path: Path, copy: bytes | None = None) -> str:
    """Keep a damaged file as `<file>.damaged-<n>`, on stable storage, numbered behind those before.

    Args:
        path: the file, which is gone then.
        copy: what it holds, where it is not to go.

    Returns:
        The name.

    Raises:
        OSError: it cannot be kept; the file is as it was.
    """
    kept = _numbers(path)
    aside = _aside(path, kept[-1] + 1 if kept else 1)
    if copy is None:
        path.rename(aside)
        sync_path(path.parent)
    else:
        write_whole(aside, copy)
    return aside.name


def let_go(path: Path) -> int:
    """Let the oldest of a file's copies kept aside go, to make room for one more; give how many went.

    A disk that fails again and again is not to fill itself. With the one that comes there are at most
    `MOST_ASIDE`.
    """
    older = _numbers(path)[: 1 - MOST_ASIDE]
    for number in older:
        _aside(path, number).unlink(missing_ok=True)
    return len(older)


def _aside(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.damaged-{number}")


def _numbers(path: Path) -> list[int]:
    tails = [found.name.rpartition("-")[2] for found in path.parent.glob(f"{path.name}.damaged-*")]
    return sorted(int(tail) for tail in tails if tail.isdecimal())
