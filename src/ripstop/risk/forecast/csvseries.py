"""Series in CSV files: a header, a column of times if there is one, and a column for each series.

```csv
timestamp,drone-1,drone-2
2026-03-01 09:00:00,80.5,77
2026-03-01 09:01:00,80.1,
```

The column of times is the one that is named so (t_s, time, timestamp, ts, date, epoch ...), or the first one
if it has no name. Times are ISO 8601 or numbers: in the unit at the name's end (`_ms`, `_us`, `_ns`), else in
seconds, or in what moments since 1970 of that size must be in. Without times samples are taken as even, a
step apart. An empty cell is a missing sample. What is not evenly spaced is put on a grid of the usual step.
Cells are parted by commas, semicolons (numbers may then have a decimal comma) or tabs, as the header's are.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path

import numpy as np

from ripstop.core.errors import Place
from ripstop.risk.errors import RiskInputError
from ripstop.risk.forecast.series import Floats, check_step, evenly
from ripstop.risk.inputs import is_row
from ripstop.risk.kinds import Kind, takes
from ripstop.risk.textfile import read_text

LARGEST = 1 << 28  # bytes
TIMES = ("t", "ts", "time", "timestamp", "date", "datetime", "date_time", "epoch", "unix", "unixtime")
UNITS_S = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
EARLIEST_S = 1e11
"""From here on seconds since 1970 are beyond the year 5000: such times are of the next smaller unit."""

MISSING = ("", "nan", "null", "none", "na", "n/a", "#n/a", "<na>", "-")
COMMENT = "#"


@dataclass(frozen=True, eq=False)
class SeriesFile:
    """What was read.

    Attributes:
        names: of the series.
        histories: of each, up to its last sample.
        step_s: between samples.
        late: for each, how many samples before the end of its file it ends.
    """

    names: tuple[str, ...]
    histories: tuple[Floats, ...]
    step_s: float
    late: tuple[int, ...]


@takes(columns=Kind("names of columns", str, each=True), time=Kind("the name of a column", str))
def read_series(
    paths: str | Path | Sequence[str | Path],
    *,
    columns: Sequence[str] | None = None,
    time: str | None = None,
    step_s: float | None = None,
) -> SeriesFile:
    """Read histories of one metric from one or more files.

    Args:
        paths: the file, or several; with several, a series' name is that of its file and column.
        columns: those to read; all but the times by default.
        time: the column of times; by default the one that is named so.
        step_s: to put samples on; by default the usual step of the first file.

    Raises:
        RiskInputError: C0751, with file, line and column; C0715 for the step, C0716 for names that are none.
    """
    names, histories, late = [], [], []
    step = None if step_s is None else check_step(step_s)
    if isinstance(paths, str | PathLike):
        paths = [paths]
    if not is_row(paths):
        raise RiskInputError(f"`paths` are `{paths}`, expected files", code="C0751")
    for path in paths:
        t_s, table = _read(path, columns, time)
        for name, values in table.items():
            if t_s is None:
                step, missing = 1.0 if step is None else step, 0
            else:
                silent_s = t_s.max() - t_s[np.isfinite(values)].max(initial=-np.inf)
                values, step = evenly(t_s, values, step)
                missing = round(silent_s / step)
            names.append(name if len(paths) == 1 else f"{Path(path).stem}:{name}")
            histories.append(values)
            late.append(missing)
    return SeriesFile(tuple(names), tuple(histories), step or 1.0, tuple(late))


def _read(
    path: str | Path, columns: Sequence[str] | None, time: str | None
) -> tuple[Floats | None, dict[str, Floats]]:
    rows, mark = _rows(path)
    head = [cell.strip() for cell in rows[0][1]]
    cells = rows[1:]
    clock = _clock(head) if time is None else _place(path, head, time)
    wanted = [name for i, name in enumerate(head) if i != clock] if columns is None else list(columns)
    places = [_place(path, head, name) for name in wanted]
    for number, row in cells:
        if len(row) != len(head):
            raise _refused(path, number, 1, f"{len(row)} cells, expected {len(head)}")
    if not places or not cells:
        raise RiskInputError(f"`{path}` has no series, expected a column of values", code="C0751")
    times = None
    if clock is not None:
        times = np.array([_time(path, n, clock, row[clock]) for n, row in cells])
        times *= _unit_s(head[clock], times) if _number(cells[0][1][clock]) is not None else 1.0
    return times, {
        head[i]: np.array([_value(path, n, i, row[i], mark) for n, row in cells], np.float64) for i in places
    }


def _rows(path: str | Path) -> tuple[list[tuple[int, list[str]]], str]:
    """Give the rows with cells, each with its number, the header first, and the mark between cells."""
    lines = read_text(path, LARGEST, "C0751", "CSV").splitlines()
    numbered = [(n, line) for n, line in enumerate(lines, 1) if line.strip()]
    first = next((k for k, (_, line) in enumerate(numbered) if not line.startswith(COMMENT)), 0)
    numbered = numbered[first:]
    # The mark is what parts names: commas first, so that a name may hold a semicolon or a tab.
    mark = next((m for m in ",;\t" if numbered and m in numbered[0][1]), ",")
    try:
        rows = list(csv.reader((line for _, line in numbered), strict=True, delimiter=mark))
    except csv.Error as error:
        raise RiskInputError(f"`{path}` is no CSV: {error}", code="C0751") from None
    if len(rows) < 2 or any(_number(cell) is not None for cell in rows[0]):
        raise RiskInputError(
            f"`{path}` has no header and samples, expected a line of names and then one a sample",
            code="C0751",
        )
    if len(rows) != len(numbered):
        raise RiskInputError(f"`{path}` has a cell of several lines, expected a line a sample", code="C0751")
    return [(n, row) for (n, _), row in zip(numbered, rows, strict=True)], mark


def _clock(head: Sequence[str]) -> int | None:
    names = [name.lower() for name in head]
    units = [f"{name}_{unit}" for name in TIMES for unit in UNITS_S]
    named = next((i for i, name in enumerate(names) if name in TIMES or name in units), None)
    return 0 if named is None and not names[0] and len(names) > 1 else named


def _place(path: str | Path, head: Sequence[str], name: str) -> int:
    if head.count(name) != 1:
        raise RiskInputError(
            f"`{path}` has {head.count(name)} columns `{name}`, expected one", code="C0751",
            hint=f"it has {', '.join(head)}",
        )  # fmt: skip
    return head.index(name)


def _unit_s(name: str, times: Floats) -> float:
    """Give the seconds of a unit of time: as the name says, else as the size of moments since 1970 does."""
    unit = name.lower().rpartition("_")[2]
    if unit in UNITS_S and unit != name.lower():
        return UNITS_S[unit]
    typical = float(np.median(np.abs(times)))
    return next((u for u in UNITS_S.values() if typical * u < EARLIEST_S), 1.0)


def _value(path: str | Path, line: int, column: int, cell: str, mark: str) -> float:
    if cell.strip().lower() in MISSING:
        return math.nan
    value = _number(cell if mark == "," else cell.replace(",", "."))
    if value is None or not math.isfinite(value):
        raise RiskInputError(
            f"`{cell}` is no finite number", code="C0751", place=Place(str(path), line, column + 1),
            hint="say which columns are series, or which holds the times",
        )  # fmt: skip
    return value


def _time(path: str | Path, line: int, column: int, cell: str) -> float:
    value = _number(cell)
    if value is not None and math.isfinite(value):
        return value
    try:
        moment = datetime.fromisoformat(cell.strip())
    except ValueError:
        raise _refused(
            path, line, column + 1, f"`{cell}` is no time, expected ISO 8601 or a number"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _number(cell: str) -> float | None:
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


def _refused(path: str | Path, line: int, column: int, why: str) -> RiskInputError:
    return RiskInputError(why, code="C0751", place=Place(str(path), line, column))
