"""Files that somebody names: what is wrong with one is said in the same words; they are written whole."""

from __future__ import annotations

import json
import os
from os import PathLike
from pathlib import Path

from ripstop.core.errors import Place
from ripstop.core.files import write_whole
from ripstop.risk.errors import RiskInputError


def read_text(path: str | Path, most: int, code: str, expected: str) -> str:
    """Read a file as UTF-8.

    Args:
        path: which file.
        most: bytes; a file beyond it is refused before it is read.
        code: of the error.
        expected: what the text should have been.

    Raises:
        RiskInputError: with `code`.
    """
    file = checked_path(path, code)
    try:
        if file.stat().st_size > most:
            raise RiskInputError(f"`{path}` is larger than {most} bytes", code=code)
        with file.open("rb") as opened:  # a device has no size, and may have no end
            raw = opened.read() if file.is_file() else opened.read(most + 1)
        if len(raw) > most:
            raise RiskInputError(f"`{path}` is larger than {most} bytes", code=code)
        return raw.decode("utf-8-sig")
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise RiskInputError(f"`{path}`: {reason}", code=code) from None
    except UnicodeDecodeError:
        raise RiskInputError(f"`{path}` is not UTF-8 text, expected {expected}", code=code) from None


def checked_path(path: str | Path, code: str) -> Path:
    """Give the path, if it is one; raises as `read_text` does."""
    if not isinstance(path, str | PathLike) or not _can_be(str(path)):
        raise RiskInputError(f"`{path}` is no path of a file", code=code)
    return Path(path)


def _can_be(path: str) -> bool:
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


def read_json(path: str | Path, most: int, code: str) -> object:
    """Read a file as JSON; raises as `read_text` does."""
    text = read_text(path, most, code, "JSON")
    try:
        document: object = json.loads(text)
    except json.JSONDecodeError as error:
        place = Place(str(path), error.lineno, error.colno)
        raise RiskInputError(f"not JSON: {error.msg.lower()}", code=code, place=place) from None
    except (RecursionError, ValueError):
        raise RiskInputError(f"`{path}` is no JSON that can be read", code=code) from None
    return document


def put_file(path: str | Path, raw: bytes) -> None:
    """Write a file whole or not at all, whatever interrupts; a device or a pipe is written to as it is.

    Raises:
        OSError: it cannot be written.
    """
    file = Path(path).resolve()
    if file.exists() and not file.is_file():
        file.write_bytes(raw)
        return
    try:
        write_whole(file, raw)
    except BaseException:
        file.with_name(f"{file.name}.new").unlink(missing_ok=True)
        raise
