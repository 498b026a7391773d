"""Reading a text file that somebody names: too large, missing or not UTF-8 is said in the same words."""

from __future__ import annotations

from pathlib import Path

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
