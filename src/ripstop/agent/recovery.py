"""What opening a stream's file finds and mends: a torn tail is cut off, what is damaged is kept aside."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from itertools import count
from pathlib import Path

from ripstop.core.errors import ConfigurationError
from ripstop.core.files import sync_path, write_whole
from ripstop.core.value import dataclass
from ripstop.core.wire.chain import genesis

from .marks import Mark
from .streams import StreamFile, create_stream, holds_record, link_at, read_head, read_stream

BUNDLE = "bundle"  # kept in slots


class LedgerError(ConfigurationError):
    """The ledger's files cannot be used as they are (codes C04xx)."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """What opening a stream found.

    `torn` bytes were cut off its tail: a crash did that. `damaged` names the file that was kept aside.
    `missing` records had been synced, and are not there (of personal values: values of so many lives).
    """

    stream: str
    records: int
    torn: int = 0
    damaged: str = ""
    missing: int = 0


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
    if head is None:
        name = set_aside(path)
        held = StreamFile(-1, 0, 0, 0, genesis(owner))
        create_stream(path, held, genesis(owner))
        return held, Recovery(path.stem, 0, damaged=name, missing=mark.number if mark else 0)
    held = read_stream(raw, *head)
    held.safe, torn, name = held.size, len(raw) - held.size, ""
    missing, is_other = compare(mark, held, raw)
    if missing or is_other or holds_record(raw, held.size + 1):
        name, torn = set_aside(path, raw), 0
    handle = os.open(path, os.O_RDWR)
    try:
        if held.size != len(raw):
            os.ftruncate(handle, held.size)
        # An earlier life may have ended before its sync: what is read counts as kept.
        os.fdatasync(handle)
    except OSError:
        os.close(handle)
        raise
    held.handle = handle
    return held, Recovery(path.stem, len(held.offsets), torn, name, missing)


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
    """Keep a damaged file under the first free name `<file>.damaged-<n>`, on stable storage; give the name.

    Args:
        path: the file, which is gone then.
        copy: what it holds, where it is not to go.

    Raises:
        OSError: it cannot be kept; the file is as it was.
    """
    names = (path.with_name(f"{path.name}.damaged-{number}") for number in count(1))
    aside = next(name for name in names if not name.exists())
    if copy is None:
        path.rename(aside)
        sync_path(path.parent)
    else:
        write_whole(aside, copy)
    return aside.name
