"""What commands print: tables that are the same everywhere, JSON, and names made harmless."""

from __future__ import annotations

import json
import math
import re
import shutil
import sys
import unicodedata
from collections.abc import Mapping, Sequence

_GAP = "  "
_DIGEST = re.compile(r"[0-9a-f]{40,}")


def print_json(record: object) -> None:
    """Print one JSON value; a figure that is not finite is null, since JSON has no word for it."""
    print(json.dumps(_finite(record), indent=2, ensure_ascii=False, allow_nan=False))


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table with a heading; figures stand at the right, words at the left.

    A terminal too narrow for it gets a block of lines for each row instead. A pipe gets the table at any
    width, so that each row is one line.
    """
    if title:
        print(title)
    columns = list(zip(header, *rows, strict=True))
    widths = [max(map(_width, column)) for column in columns]
    if sys.stdout.isatty() and sum(widths) + len(_GAP) * len(widths) > shutil.get_terminal_size().columns:
        _print_blocks(header, rows)
        return
    is_figure = [all(map(_is_figure, column[1:])) for column in columns]
    for row in (header, *rows):
        cells = (
            _padded(cell, width, right=right)
            for cell, width, right in zip(row, widths, is_figure, strict=True)
        )
        print(_GAP.join(cells).rstrip())


def _print_blocks(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    for row in rows:
        for number, (name, cell) in enumerate(zip(header, row, strict=True)):
            print(f"{'' if number == 0 else _GAP}{name} {cell}".rstrip())


def print_notes(notes: Sequence[str], shown: int = 0, of: int = 0) -> None:
    """Print what stands below a table: its notes, and how many rows were left out."""
    for note in notes:
        print(f"note: {note}")
    if shown < of:
        print(f"{of - shown} more: --top 0 shows all")


def printable(name: object) -> str:
    """Give a name as a terminal may show it."""
    text = str(name)
    return text if text.isprintable() else ascii(text)


def counted(number: int, one: str) -> str:
    """Give `1 finding`, `2 findings`."""
    return f"{number} {one}" if number == 1 else f"{number} {one}s"


def words(fields: Mapping[str, object]) -> str:
    """Give an event's fields for people, `name=value`; empty ones are left out, figures and digests cut."""
    return _GAP.join(
        f"{printable(name)}={_brief(value)}"
        for name, value in fields.items()
        if value not in ("", None, [], {})
    )


def _brief(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, bytes):
        return _brief(value.hex())
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_brief(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_brief, value))}]"
    return _DIGEST.sub(lambda digest: f"{digest[0][:12]}...", printable(value))


def _is_figure(cell: str) -> bool:
    return not cell or cell[0].isdigit() or cell[0] in "-+" or cell in ("inf", "nan")


def _padded(cell: str, width: int, *, right: bool) -> str:
    room = " " * (width - _width(cell))
    return room + cell if right else cell + room


def _width(text: str) -> int:
    """Count the terminal's columns that a text takes (UAX #11: wide and full-width characters take two)."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )
