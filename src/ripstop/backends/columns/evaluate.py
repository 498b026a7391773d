"""From nodes to NumPy, two ways: plain, and with UNKNOWN and evidence.

Plain is for columns in which nothing is missing: every node is evaluated for every row. Where something
cannot be used, each node is told which rows reach it; a row that ends as UNKNOWN reaches nothing more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, assert_never

import numpy as np
from numpy.typing import NDArray

from ripstop.backends.edge.inputs import Input
from ripstop.backends.edge.nodes import (
    Arith,
    Atom,
    Bool,
    Checked,
    Choice,
    Compare,
    Const,
    Every,
    Guarded,
    GuardedNumber,
    Load,
    Not,
    Num,
    Select,
    Some,
    Truth,
)

Rows: TypeAlias = NDArray[np.bool_]
Numbers: TypeAlias = NDArray[np.float64]

COMPARISONS: Mapping[str, Callable[..., Rows]] = {
    "==": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    ">": np.greater,
    "<=": np.less_equal,
    ">=": np.greater_equal,
}
ARITHMETIC: Mapping[str, Callable[..., Numbers]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.fmod,
    "min": np.minimum,
    "max": np.maximum,
    "neg": np.negative,
    "abs": np.abs,
}


# A selection pays when this many times fewer rows are left, for so many more parts: choosing 10,000 rows and
# putting them back costs as much as comparing them four times.
_FEWER = 12
_MORE_PARTS = 4


class Unusable(Exception):  # noqa: N818 (a jump, not an error)
    """A plain evaluation met something that is not finite."""


@dataclass(slots=True)
class Plain:
    """Evaluates where everything that is reached can be used; no evidence is taken.

    Once few rows are left that a chain has not settled, its other parts are evaluated for these alone:
    `selected` are their numbers. `checked` are the inputs that have been found usable.
    """

    inputs: Sequence[Input]
    columns: Sequence[Numbers]
    rows: int
    selected: NDArray[np.intp] | None = None
    checked: frozenset[int] = frozenset()
    _taken: dict[int, Numbers] = field(default_factory=dict)

    def truth(self, node: Bool) -> Rows:
        """Give the truth of each row.

        Raises:
            Unusable: when an input or a result cannot be used, in a row that may not even reach it.
        """
        match node:
            case Truth(value):
                return np.full(self.rows, value)
            case Compare(op, left, right):
                found = COMPARISONS[op](self.number(left), self.number(right))
                return found if found.shape else np.full(self.rows, bool(found))
            case Not(part):
                found = self.truth(part)
                return np.logical_not(found, out=found)
            case Every(parts):
                return self._joined(parts, is_and=True)
            case Some(parts):
                return self._joined(parts, is_and=False)
            case Choice(condition, first, second):
                return self._chosen(condition, first, second)
            case Atom(_, test):
                return self.truth(test)
            case Guarded(inputs, body):
                self._guard(inputs)
                return self.truth(body)
            case _:
                assert_never(node)

    def number(self, node: Num) -> Numbers | np.float64:
        """Give the number of each row, or one for all."""
        match node:
            case Const(value):
                return np.float64(value)
            case Load(index):
                return self._column(index)
            case Arith(op, args):
                return ARITHMETIC[op](*[self.number(arg) for arg in args])
            case Checked(value):
                found = self.number(value)
                if not np.isfinite(found).all():
                    raise Unusable
                return found
            case Select(condition, first, second):
                return np.where(self.truth(condition), self.number(first), self.number(second))
            case GuardedNumber(inputs, body):
                self._guard(inputs)
                return self.number(body)
            case _:
                assert_never(node)

    def _column(self, index: int) -> Numbers:
        if self.selected is None:
            return self.columns[index]
        taken = self._taken.get(index)
        if taken is None:
            taken = self._taken[index] = self.columns[index].take(self.selected)
        return taken

    def _guard(self, inputs: Sequence[int]) -> None:
        for index in inputs:
            if index not in self.checked and not are_all_usable(self.inputs[index], self._column(index)):
                raise Unusable
        self.checked = self.checked.union(inputs)

    def _joined(self, parts: Sequence[Bool], *, is_and: bool) -> Rows:
        found = self.truth(parts[0])
        join = np.logical_and if is_and else np.logical_or
        for index, part in enumerate(parts[1:], 1):
            if index + _MORE_PARTS <= len(parts):
                held = int(np.count_nonzero(found))
                left = held if is_and else self.rows - held
                if not left:
                    break
                if left * _FEWER <= self.rows:
                    rest = np.flatnonzero(found if is_and else ~found)
                    found[rest] = self._among(rest)._joined(parts[index:], is_and=is_and)
                    break
            join(found, self.truth(part), out=found)
        return found

    def _among(self, rows: NDArray[np.intp]) -> Plain:
        """Go on with some of the rows."""
        selected = rows if self.selected is None else self.selected.take(rows)
        return Plain(self.inputs, self.columns, len(rows), selected, self.checked)

    def _chosen(self, condition: Bool, first: Bool, second: Bool) -> Rows:
        """Give one of two truths: with bitwise operations, which are faster than `where`."""
        test = self.truth(condition)
        if isinstance(first, Truth):
            other = self.truth(second)
            return test | other if first.value else ~test & other
        if isinstance(second, Truth):
            then = self.truth(first)
            return ~test | then if second.value else test & then
        return (test & self.truth(first)) | (~test & self.truth(second))


@dataclass(slots=True)
class Watched:
    """Evaluates one policy with UNKNOWN and evidence.

    `unknown` are the rows that have ended; `read` and `true` have a row for each atom.
    """

    inputs: Sequence[Input]
    columns: Sequence[Numbers]
    rows: int
    read: Rows
    true: Rows
    unknown: Rows = field(init=False)
    has_ended: bool = False
    _usable: dict[int, Rows | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begin another evaluation, with the same evidence."""
        self.unknown = np.zeros(self.rows, dtype=np.bool_)
        self.has_ended = False

    def _going(self, rows: Rows) -> Rows:
        """Leave out the rows that have ended."""
        return rows & ~self.unknown if self.has_ended else rows

    def _end(self, rows: Rows) -> None:
        """End rows as UNKNOWN."""
        if rows.any():
            self.unknown |= rows
            self.has_ended = True

    def truth(self, node: Bool, reach: Rows) -> Rows:
        """Give the truth of each row that reaches the node and goes on from it; false elsewhere."""
        match node:
            case Truth(value):
                return reach & value
            case Compare(op, left, right):
                found = COMPARISONS[op](self.number(left, reach), self.number(right, reach))
                return self._going(reach & found)
            case Not(part):
                return self._going(reach & ~self.truth(part, reach))
            case Every(parts):
                for part in parts:
                    reach = self.truth(part, reach)
                return reach
            case Some(parts):
                return self._some(parts, reach)
            case Choice(condition, first, second):
                held = self.truth(condition, reach)
                other = self._going(reach & ~held)
                return self.truth(first, held) | self.truth(second, other)
            case Atom(index, test):
                self.read[index] |= reach
                found = self.truth(test, reach)
                self.true[index] |= found
                return found
            case Guarded(inputs, body):
                return self.truth(body, self._guarded(inputs, reach))
            case _:
                assert_never(node)

    def number(self, node: Num, reach: Rows) -> Numbers | np.float64:
        """Give the number of each row that reaches the node; anything elsewhere."""
        match node:
            case Const(value):
                return np.float64(value)
            case Load(index):
                return self.columns[index]
            case Arith(op, args):
                return ARITHMETIC[op](*[self.number(arg, reach) for arg in args])
            case Checked(value):
                found = self.number(value, reach)
                self._end(reach & ~np.isfinite(found))
                return found
            case Select(condition, first, second):
                held = self.truth(condition, reach)
                other = self._going(reach & ~held)
                return np.where(held, self.number(first, held), self.number(second, other))
            case GuardedNumber(inputs, body):
                return self.number(body, self._guarded(inputs, reach))
            case _:
                assert_never(node)

    def _some(self, parts: Sequence[Bool], reach: Rows) -> Rows:
        held = np.zeros(self.rows, dtype=np.bool_)
        for part in parts:
            found = self.truth(part, reach)
            held |= found
            reach = self._going(reach & ~found)
        return held

    def _guarded(self, inputs: Sequence[int], reach: Rows) -> Rows:
        for index in inputs:
            if index not in self._usable:
                each, column = self.inputs[index], self.columns[index]
                self._usable[index] = None if are_all_usable(each, column) else is_usable(each, column)
            usable = self._usable[index]
            if usable is not None:
                self._end(reach & ~usable)
                reach = reach & usable
        return reach


def is_usable(each: Input, column: Numbers) -> Rows:
    """Tell in which rows an input can be used: where it is finite and in its range."""
    if each.low is not None and each.high is not None:
        return (column >= each.low) & (column <= each.high)
    usable = np.isfinite(column)
    if each.low is not None:
        usable &= column >= each.low
    if each.high is not None:
        usable &= column <= each.high
    return usable


def are_all_usable(each: Input, column: Numbers) -> bool:
    """Tell whether an input can be used in every row: a sum of squares is finite only if its terms are."""
    if not column.size:
        return True
    if each.low is not None and each.high is not None:
        return bool(column.min() >= each.low and column.max() <= each.high)
    if each.low is not None and not column.min() >= each.low:
        return False
    if each.high is not None and not column.max() <= each.high:
        return False
    return bool(np.isfinite(np.dot(column, column)) or np.isfinite(column).all())
