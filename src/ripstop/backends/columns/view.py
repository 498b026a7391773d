"""Columns as the plain evaluation sees them: whole, or the rows that are left, each looked at once."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from ripstop.backends.columns.evaluate import Numbers, are_all_usable
from ripstop.backends.edge.inputs import Input


class Unusable(Exception):  # noqa: N818 (a jump, not an error)
    """An input or a result cannot be used, in a row that may not even reach it."""


class View:
    """Columns, or some of their rows.

    `usable` holds the columns that have been looked at: each input's numbers, in the rows of the view.
    """

    __slots__ = ("_base", "_columns", "_inputs", "_selected", "rows", "usable")

    def __init__(
        self,
        inputs: Sequence[Input],
        columns: Sequence[Numbers],
        rows: int,
        selected: NDArray[np.intp] | None = None,
        base: View | None = None,
    ) -> None:
        self.rows = rows
        self.usable: dict[int, Numbers] = {}
        self._inputs = inputs
        self._columns = columns
        self._selected = selected
        self._base = base

    @property
    def is_whole(self) -> bool:
        """Whether these are all rows."""
        return self._selected is None

    def use(self, indices: Sequence[int]) -> list[Numbers]:
        """Give the numbers of inputs, and look at those that have not been looked at.

        They are looked at two at a time: the sum of products is finite only if all of both are.

        Raises:
            Unusable: when one of them cannot be used in every row.
        """
        usable, single = self.usable, None
        for index in indices:
            if index in usable:
                continue
            column = self._columns[index]
            if self._selected is not None:
                column = column.take(self._selected)
            if not self._is_known(index):
                if single is None:
                    single = index
                else:
                    self._check(single, index, usable[single], column)
                    single = None
            usable[index] = column
        if single is not None and not are_all_usable(self._inputs[single], usable[single]):
            raise Unusable
        return [usable[index] for index in indices]

    def _check(self, index: int, other: int, column: Numbers, beside: Numbers) -> None:
        first, second = self._inputs[index], self._inputs[other]
        if first.is_free and second.is_free and isfinite(column.dot(beside)):
            return
        if not (are_all_usable(first, column) and are_all_usable(second, beside)):
            raise Unusable

    def _is_known(self, index: int) -> bool:
        """Whether an input can be used in every row of a wider view."""
        base = self._base
        while base is not None and index not in base.usable:
            base = base._base
        return base is not None

    def seen(self, inputs: Sequence[int]) -> list[memoryview] | None:
        """Give whole columns, number by number; none where one has not been looked at in every row."""
        if not all(index in self.usable or self._is_known(index) for index in inputs):
            return None
        return [self._columns[index].data for index in inputs]

    def places(self, rows: NDArray[np.intp]) -> list[int]:
        """Tell where some of the rows stand in the columns."""
        found: list[int] = (rows if self._selected is None else self._selected.take(rows)).tolist()
        return found

    def among(self, rows: NDArray[np.intp]) -> View:
        """Give a view of some of the rows."""
        selected = rows if self._selected is None else self._selected.take(rows)
        return View(self._inputs, self._columns, len(rows), selected, self)
