"""Recorded contexts as columns: from what a caller has to one binary64 number for each input and row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import nan
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from ripstop.backends.columns.evaluate import Numbers
from ripstop.backends.edge.inputs import Held, Input, Look, Surprise, bounded_value
from ripstop.core.canonical import Json
from ripstop.core.errors import ConfigurationError
from ripstop.policy.diagnostics import one_of
from ripstop.policy.evaluate import ABSENT, Absent
from ripstop.policy.state import usable_value

Column: TypeAlias = "NDArray[np.generic] | Sequence[Json | Absent]"
_NUMBER_KINDS = "fiu"
_BINARY64 = np.dtype(np.float64)


def count_rows(columns: Mapping[str, Column]) -> int:
    """Give how many rows the columns have.

    Raises:
        ConfigurationError: C0308, they do not all have as many, or are no columns by name.
    """
    hint = 'like {"load": numpy.array([0.5, 0.9])}'
    if not isinstance(columns, Mapping):
        raise ConfigurationError(f"expected columns by name, got `{columns}`", code="C0308", hint=hint)
    try:
        counts = {len(column) for column in columns.values()}
    except TypeError:
        message = "a column is an array or a list, with a value for each row"
        raise ConfigurationError(message, code="C0308", hint=hint) from None
    if len(counts) > 1:
        raise ConfigurationError(
            f"columns of one table have as many rows, got {one_of(map(str, sorted(counts)))}",
            code="C0308",
            hint="give None, or NaN, where a row has no value",
        )
    return counts.pop() if counts else 0


@dataclass(slots=True)
class Table:
    """The columns of one run; `surprising` are rows that hold what an engine was not built for."""

    columns: Mapping[str, Column]
    texts: Mapping[str, int]
    rows: int
    now_s: Numbers | float
    ranged: bool
    surprising: set[int] = field(default_factory=set)

    def all_numbers(self, inputs: Sequence[Input]) -> list[Numbers]:
        """Give the numbers of each input."""
        get = self.columns.get
        return [
            cast("Numbers", column)  # by far the most common case
            if each.is_plain_number
            and type(column := get(each.name)) is np.ndarray
            and column.dtype is _BINARY64
            and column.ndim == 1
            else self._numbers(each)
            for each in inputs
        ]

    def _numbers(self, each: Input) -> Numbers:
        column = self.columns.get(each.name)
        if each.look is Look.NOW:
            return np.full(self.rows, self.now_s) if isinstance(self.now_s, float) else self.now_s
        if each.look is Look.RECALLED:
            return np.full(self.rows, np.nan)  # a table of contexts holds no past
        if each.index is not None:
            grid = self.columns.get(f"{each.name}.{each.part}" if each.part else each.name)
            if isinstance(grid, np.ndarray) and grid.ndim == 2:
                return self._of_grid(grid, each.index)
        if column is None:
            return self._of_values(each, [ABSENT] * self.rows)
        if isinstance(column, np.ndarray) and column.ndim == 1 and _is_direct(each, column.dtype.kind):
            numbers: Numbers = column.astype(np.float64, copy=False)
            return numbers
        values: Sequence[Json | Absent] = column.tolist() if isinstance(column, np.ndarray) else column
        return self._of_values(each, values)

    def _of_grid(self, grid: NDArray[np.generic], index: int) -> Numbers:
        if index >= grid.shape[1]:
            return np.full(self.rows, np.nan)
        return np.ascontiguousarray(grid[:, index], dtype=np.float64)

    def _of_values(self, each: Input, values: Sequence[Json | Absent]) -> Numbers:
        made = np.empty(self.rows)
        for row, value in enumerate(values):
            try:
                made[row] = self._of_value(each, value)
            except Surprise:
                made[row] = np.nan
                self.surprising.add(row)
        return made

    def _of_value(self, each: Input, value: Json | Absent) -> float:
        if each.look is Look.BOUNDED:
            return bounded_value(None if isinstance(value, Absent) else value)
        if isinstance(value, Absent):
            return each.encode(value, self.texts)
        if each.index is not None:
            return self._of_element(each, value)
        return each.encode(usable_value(each.spec, value, ranged=self.ranged), self.texts)

    def _of_element(self, each: Input, value: Json) -> float:
        """Give a field of an element; a list of more items than declared cannot be used at all."""
        return each.encode(value, self.texts) if isinstance(value, list | tuple) else nan


def _is_direct(each: Input, kind: str) -> bool:
    """Whether an array's numbers are the input's, as they are."""
    if each.look is Look.BOUNDED:
        return kind in _NUMBER_KINDS
    if each.look is not Look.VALUE or each.index is not None or each.part:
        return False
    if each.held is Held.BOOLEAN:
        return kind == "b"
    if each.held is Held.LIST:
        return kind in "iu"  # the lengths, beside a grid for each field
    if each.held is Held.STRICT_NUMBER and each.spec is None:
        return kind in _NUMBER_KINDS
    return each.held is not Held.TEXT and kind in _NUMBER_KINDS + "b"


def rows_of(columns: Mapping[str, Column], row: int) -> dict[str, Json]:
    """Give one row as a context, without what is absent."""
    found: dict[str, Json] = {}
    for name, column in columns.items():
        value = column[row]
        value = value.item() if isinstance(value, np.generic) else value
        value = value.tolist() if isinstance(value, np.ndarray) else value
        if not isinstance(value, Absent):
            found[name] = value
    return found
