"""What opening a stream's file finds and mends: a torn tail is cut off, what is damaged is kept aside."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path

from ripstop.core.errors import ConfigurationError
from ripstop.core.files import sync_path, write_whole
from ripstop.core.value import dataclass
from ripstop.core.wire.chain import genesis

from .streams import StreamFile, create_stream, holds_record, read_head, read_stream


class LedgerError(ConfigurationError):
    """The ledger's files cannot be used as they are (codes C04xx)."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """What opening a stream found: `torn` bytes cut off its tail; `damaged` names the file kept aside."""

    stream: str
    records: int
    torn: int = 0
    damaged: str = ""


def open_stream(path: Path, owner: str) -> tuple[StreamFile, Recovery]:
    """Open a stream's file; what stands in it now is on stable storage.

    Raises:
        LedgerError: C0402, it cannot be opened, or what it needs cannot be written.
    """
    try:
        return _open(path, owner)
    except OSError as error:
        raise LedgerError(f"ledger file `{path}` cannot be opened: {error.strerror}", code="C0402") from error


def _open(path: Path, owner: str) -> tuple[StreamFile, Recovery]:
    raw = path.read_bytes()
    head = read_head(raw)
    if head is None:
        name = set_aside(path)
        held = StreamFile(-1, 0, 0, 0, genesis(owner))
        create_stream(path, held, genesis(owner))
        return held, Recovery(path.stem, 0, damaged=name)
    held = read_stream(raw, *head)
    held.safe, records, torn, name = held.size, len(held.offsets), len(raw) - held.size, ""
    if torn and holds_record(raw, held.size + 1):
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
    return held, Recovery(path.stem, records, torn, name)


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
