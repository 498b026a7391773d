"""Files that are there whole, or tell that they are not, whatever happens while they are written."""

from __future__ import annotations

import errno
import os
from pathlib import Path

PRIVATE = 0o600


def write_whole(path: Path, raw: bytes, mode: int = 0o666) -> None:
    """Put a file in place atomically: written beside it, synced, renamed, the folder synced.

    Args:
        path: where; what is there is replaced.
        raw: what it holds.
        mode: who may read it, less the process's umask; `PRIVATE` is its owner alone, also where an earlier
            attempt left a file beside it that others may read.
    """
    beside = path.with_name(f"{path.name}.new")
    _write(beside, raw, mode)
    beside.replace(path)
    sync_path(path.parent)


def write_over(path: Path, raw: bytes) -> None:
    """Write over a file that is there, and sync it once: several times as fast as `write_whole`.

    A power cut before this returns leaves any mixture of old bytes and new ones, so it is for contents that
    tell by a checksum whether they are whole.

    Raises:
        OSError: it cannot be written, or (`FileNotFoundError`) is not there; what it holds now is unknown.
    """
    handle = os.open(path, os.O_WRONLY)
    try:
        if os.pwrite(handle, raw, 0) != len(raw):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if os.fstat(handle).st_size != len(raw):
            os.ftruncate(handle, len(raw))
        os.fdatasync(handle)
    finally:
        os.close(handle)


def write_once(path: Path, raw: bytes, mode: int = 0o666) -> None:
    """Do the same for a file that must not be there yet: of several that try, one succeeds.

    Raises:
        FileExistsError: it is there.
    """
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    _write(beside, raw, mode)
    try:
        path.hardlink_to(beside)
    finally:
        beside.unlink()
    sync_path(path.parent)


def _write(path: Path, raw: bytes, mode: int) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            if mode == PRIVATE:
                os.fchmod(handle, mode)
            file.write(raw)
            file.flush()
            os.fsync(handle)
    except OSError:
        path.unlink()  # half a file would fill a full disk
        raise


def sync_path(path: Path) -> None:
    """Bring a file, or the names in a folder, to stable storage."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
