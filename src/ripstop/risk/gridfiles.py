"""Power grids in files: JSON of this form, tables of lines and buses, and MATPOWER cases (.m, .mat).

```json
{"buses": [{"id": "north", "generation_mw": 80}, {"id": "south", "demand_mw": 75}],
 "lines": [{"from": "north", "to": "south", "reactance": 0.1, "limit_mw": 100, "id": "north-south"}]}
```

Demand and generation are 0 where they are left out, a limit is none, and a line's name its ends'. As tables
these are two CSV files with the same words in their headers. Reactances are in p.u., all on one base; where
a line shifts phases (`shift_deg`, as MATPOWER counts it), on 100 MVA.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ripstop.core.errors import Place
from ripstop.risk.errors import RiskInputError
from ripstop.risk.flow import FlowGrid, pushed_by
from ripstop.risk.textfile import checked_path, read_json, read_text

LARGEST = 1 << 28  # bytes
BUS = ("id", "demand_mw", "generation_mw")
LINE = ("from", "to", "reactance", "limit_mw", "shift_deg", "id")
BASE = re.compile(r"mpc\.baseMVA\s*=\s*([^;\s]+)")
CHANGED = re.compile(r"mpc\.(bus|gen|branch)\s*\([^=]*\)\s*=[^=]")
MATRIX = re.compile(r"mpc\.(bus|gen|branch)\s*=\s*\[(.*?)\]", re.DOTALL)

Row = Mapping[str, Any]


def read_grid(path: str | Path, buses: str | Path | None = None) -> FlowGrid:
    """Read a grid; the ending tells `.csv` (lines, with `buses` besides), `.m` and `.mat` from JSON.

    Raises:
        RiskInputError: C0701 for a file that cannot be read or is of another form; C0702 for a bus; C0741 for
            what is in it.
    """
    kind = checked_path(path, "C0741").suffix.lower()
    if (buses is not None) != (kind == ".csv"):
        hint = "give both tables" if kind == ".csv" else "a table of buses goes with one of lines (.csv)"
        raise RiskInputError("lines and buses stand in two tables, or in one file", code="C0701", hint=hint)
    try:
        if kind == ".csv" and buses is not None:
            return grid_of(_table(buses, BUS), _table(path, LINE))
        if kind == ".mat":
            return FlowGrid.from_matpower(_mat(path))
        if kind == ".m":
            return FlowGrid.from_matpower(_case(read_text(path, LARGEST, "C0701", "a MATPOWER case")))
        return grid_of(*_document(path))
    except RiskInputError as error:
        error.place = error.place or Place(str(path), 1, 1)
        raise


def grid_of(buses: Sequence[Row], lines: Sequence[Row]) -> FlowGrid:
    """Build a grid from rows.

    Raises:
        RiskInputError: C0702 for a bus without a name, twice or unknown; C0741 for a number that is none.
    """
    names = [_name("bus", row) for row in buses]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise RiskInputError(f"bus `{twice[0]}` stands twice", code="C0702")
    place = {name: i for i, name in enumerate(names)}
    ends, labels = [], []
    for row in lines:
        pair = [_name("line", row, key) for key in LINE[:2]]
        for name in pair:
            if name not in place:
                raise RiskInputError(f"a line ends at `{name}`, which is no bus", code="C0702")
        ends.append([place[name] for name in pair])
        labels.append(str(row.get("id") or f"{pair[0]}-{pair[1]}"))
    reactance = _numbers(lines, "reactance", labels)
    grid = FlowGrid.from_arrays(
        np.array(ends, np.int32).reshape(-1, 2),
        reactance,
        _numbers(buses, "demand_mw", names, 0.0),
        _numbers(buses, "generation_mw", names, 0.0),
        _numbers(lines, "limit_mw", labels, math.inf),
        pushed=pushed_by(_numbers(lines, "shift_deg", labels, 0.0), reactance),
    )
    return replace(grid, lines=tuple(_distinct(labels)), buses=tuple(names))


def _distinct(labels: Sequence[str]) -> list[str]:
    """Give parallel lines that have no names of their own a number each."""
    many, seen, given = Counter(labels), Counter[str](), []
    for label in labels:
        seen[label] += 1
        given.append(f"{label} #{seen[label]}" if many[label] > 1 else label)
    return given


def _name(what: str, row: Row, key: str = "id") -> str:
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise RiskInputError(f"a {what} has no `{key}`, expected a name", code="C0702")
    return str(value)


def _numbers(
    rows: Sequence[Row], key: str, names: Sequence[str], default: float | None = None
) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([_number(row, key, name, default) for row, name in zip(rows, names, strict=True)])


def _number(row: Row, key: str, name: str, default: float | None = None) -> float:
    value = row.get(key)
    if value in (None, "") and default is not None:
        return default
    try:
        number = math.nan if isinstance(value, bool) or value is None else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if math.isnan(number):
        raise RiskInputError(f"`{key}` of `{name}` is `{value}`, expected a number", code="C0741")
    return number


def _document(path: str | Path) -> tuple[list[Row], list[Row]]:
    whole = read_json(path, LARGEST, "C0701")
    if not isinstance(whole, dict) or set(whole) != {"buses", "lines"}:
        hint = "a pandapower net is written as a case by `pandapower.converter.to_mpc`"
        raise RiskInputError(
            "expected an object of `buses` and `lines`, and nothing else", code="C0701", hint=hint
        )
    return _rows("buses", whole["buses"], BUS), _rows("lines", whole["lines"], LINE)


def _rows(what: str, rows: object, keys: Sequence[str]) -> list[Row]:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise RiskInputError(f"expected `{what}` to be a list of objects", code="C0701")
    for row in rows:
        for key in row:
            if key not in keys:
                raise RiskInputError(
                    f"`{what}` have the unknown key `{key}`, expected one of {', '.join(keys)}", code="C0701"
                )
    return rows


def _table(path: str | Path, keys: Sequence[str]) -> list[Row]:
    text = read_text(path, LARGEST, "C0701", "a table")
    try:
        rows = [row for row in csv.reader(io.StringIO(text), strict=True) if row]
    except csv.Error as error:
        raise RiskInputError(f"not CSV: {error}", code="C0701", place=Place(str(path), 1, 1)) from None
    header = [cell.strip() for cell in rows[0]] if rows else []
    if not header or len(set(header)) != len(header) or not set(header) <= set(keys):
        raise RiskInputError(
            f"expected a header of {', '.join(f'`{key}`' for key in keys)}, each once at most",
            code="C0701",
            place=Place(str(path), 1, 1),
            hint="separate cells by commas" if len(header) == 1 else "",
        )
    found: list[Row] = []
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(header):
            raise RiskInputError(
                f"row {number} has {len(row)} cells, expected {len(header)}",
                code="C0701",
                place=Place(str(path), number, 1),
            )
        found.append(dict(zip(header, (cell.strip() for cell in row), strict=True)))
    return found


def _case(text: str) -> dict[str, Any]:
    """Read the matrices of a MATPOWER case written as a function."""
    plain = re.sub(r"%.*", "", text).replace("...\n", " ")
    case: dict[str, Any] = {}
    base = BASE.search(plain)
    if base:
        case["baseMVA"] = base.group(1)
    changed = CHANGED.search(plain)
    if changed:
        raise RiskInputError(
            f"the case computes on `mpc.{changed[1]}` further down, and only MATLAB can",
            code="C0701",
            hint="write what `loadcase` gives with `savecase`",
        )
    for name, body in MATRIX.findall(plain):
        rows = [row.replace(",", " ").split() for row in re.split(r"[;\n]", body) if row.strip()]
        try:
            case[name] = np.array([[float(cell) for cell in row] for row in rows])
        except ValueError:
            raise RiskInputError(f"`mpc.{name}` is no matrix of numbers", code="C0701") from None
    return case


def _mat(path: str | Path) -> dict[str, Any]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        whole = loadmat(str(path), simplify_cells=True)
    except OSError as error:
        raise RiskInputError((error.strerror or "cannot be read").lower(), code="C0701") from None
    except (MatReadError, ValueError, TypeError, NotImplementedError, KeyError, IndexError):
        raise RiskInputError("no MATLAB file that can be read", code="C0701") from None
    case = whole.get("mpc", whole)
    return {key: np.atleast_2d(case[key]) for key in ("bus", "gen", "branch", "baseMVA") if key in case}
