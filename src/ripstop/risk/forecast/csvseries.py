"""Series in CSV files: a header, a column of times if there is one, and a column for each series.

```csv
timestamp,drone-1,drone-2
2026-03-01 09:00:00,80.5,77
2026-03-01 09:01:00,80.1,
```

Times are ISO 8601 or numbers, seconds; without them samples are taken as even, a step apart. An empty cell is
a missing sample. What is not evenly spaced is put on a grid of the usual step.
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
TIMES = ("t_s", "t", "time", "timestamp", "date", "datetime")
MISSING = ("", "nan", "null", "none", "na")


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


@takes(columns=Kind("names of columns", str, each=True))
def read_series(
    paths: str | Path | Sequence[str | Path],
    *,
    columns: Sequence[str] | None = None,
    step_s: float | None = None,
) -> SeriesFile:
    """Read histories of one metric from one or more files.

    Args:
        paths: the file, or several; with several, a series' name is that of its file and column.
        columns: those to read; all but the times by default.
        step_s: to put samples on; by default the usual step of the first file.

    Raises:
        RiskInputError: C0751, with file, line and column; C0715 for the step.
    """
    names, histories, late = [], [], []
    step = None if step_s is None else check_step(step_s)
    if isinstance(paths, str | PathLike):
        paths = [paths]
    if not is_row(paths):
        raise RiskInputError(f"`paths` are `{paths}`, expected files", code="C0751")
    for path in paths:
        t_s, table = _read(path, columns)
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


def _read(path: str | Path, columns: Sequence[str] | None) -> tuple[Floats | None, dict[str, Floats]]:
    text = read_text(path, LARGEST, "C0751", "CSV")
    try:
        rows = list(csv.reader(text.splitlines(), strict=True))
    except csv.Error as error:
        raise RiskInputError(f"`{path}` is no CSV: {error}", code="C0751") from None
    if len(rows) < 2 or any(_is_number(cell) for cell in rows[0]):
        raise RiskInputError(
            f"`{path}` has no header and samples, expected a line of names and then one a sample",
            code="C0751",
        )
    head = [cell.strip() for cell in rows[0]]
    clock = next((i for i, name in enumerate(head) if name.lower() in TIMES), None)
    wanted = [name for i, name in enumerate(head) if i != clock] if columns is None else list(columns)
    for name in wanted:
        if head.count(name) != 1:
            raise RiskInputError(
                f"`{path}` has {head.count(name)} columns `{name}`, expected one", code="C0751",
                hint=f"it has {', '.join(head)}",
            )  # fmt: skip
    cells = [(number, row) for number, row in enumerate(rows[1:], 2) if row]
    for number, row in cells:
        if len(row) != len(head):
            raise _refused(path, number, 1, f"{len(row)} cells, expected {len(head)}")
    times = None if clock is None else np.array([_time(path, n, clock, row[clock]) for n, row in cells])
    places = [head.index(name) for name in wanted]
    if not places or not cells:
        raise RiskInputError(f"`{path}` has no series, expected a column of values", code="C0751")
    return times, {
        head[i]: np.array([_value(path, n, i, row[i]) for n, row in cells], np.float64) for i in places
    }


def _value(path: str | Path, line: int, column: int, cell: str) -> float:
    if cell.strip().lower() in MISSING:
        return math.nan
    if not _is_number(cell) or not math.isfinite(float(cell)):
        raise _refused(path, line, column + 1, f"`{cell}` is no finite number")
    return float(cell)


def _time(path: str | Path, line: int, column: int, cell: str) -> float:
    if _is_number(cell) and math.isfinite(float(cell)):
        return float(cell)
    try:
        moment = datetime.fromisoformat(cell.strip())
    except ValueError:
        raise _refused(path, line, column + 1, f"`{cell}` is no time, expected ISO 8601 or seconds") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def _refused(path: str | Path, line: int, column: int, why: str) -> RiskInputError:
    return RiskInputError(why, code="C0751", place=Place(str(path), line, column))
