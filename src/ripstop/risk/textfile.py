"""Reading a file that somebody names: too large, missing, not UTF-8 or no JSON is said in the same words."""

from __future__ import annotations

import json
from pathlib import Path

from ripstop.core.errors import Place
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
    file = Path(path)
    try:
        if file.stat().st_size > most:
            raise RiskInputError(f"`{path}` is larger than {most} bytes", code=code)
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise RiskInputError(f"`{path}`: {reason}", code=code) from None
    except UnicodeDecodeError:
        raise RiskInputError(f"`{path}` is not UTF-8 text, expected {expected}", code=code) from None


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
