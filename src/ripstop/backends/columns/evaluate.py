"""From nodes to NumPy, with UNKNOWN and evidence: what every row says, whatever it holds.

Each node is told which rows reach it; a row that ends as UNKNOWN reaches nothing more. What is `usable` and
the tables of NumPy's functions serve the plain evaluation (`plain.py`), too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from math import isfinite
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


@dataclass(slots=True)
class Watched:
    """Evaluates one policy with UNKNOWN and evidence.

    `unknown` are the rows that have ended; `read` and `true` have a row for each atom. The rows of `once`,
    atoms that stand in one place only, are written there and may hold anything before.
    """

    inputs: Sequence[Input]
    columns: Sequence[Numbers]
    rows: int
    read: Rows
    true: Rows
    once: Set[int] = frozenset()
    unknown: Rows = field(init=False)
    has_ended: bool = False
    _usable: dict[int, Rows | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begin another evaluation, with the same evidence."""
        self.unknown = np.zeros(self.rows, dtype=np.bool_)
        self.has_ended = False

    def going(self, rows: Rows) -> Rows:
        """Leave out the rows that have ended."""
        return rows & ~self.unknown if self.has_ended else rows

    def _end(self, rows: Rows) -> None:
        """End rows as UNKNOWN."""
        if rows.any():
            self.unknown |= rows
            self.has_ended = True

    def truth(self, node: Bool, reach: Rows, out: Rows | None = None) -> Rows:
        """Give the truth of each row that reaches the node and goes on from it; false elsewhere.

        The result may lie in `out`, and may be a row of `true`: it is not to be written to.
        """
        match node:
            case Atom(index, test):
                return self._atom(index, test, reach)
            case Guarded(inputs, body):
                return self.truth(body, self._guarded(inputs, reach), out)
            case Compare(op, left, right):
                numbers = self.number(left, reach), self.number(right, reach)
                if out is None or not (numbers[0].shape or numbers[1].shape):
                    return self.going(reach & COMPARISONS[op](*numbers))
                COMPARISONS[op](*numbers, out=out)
                return self.going(np.logical_and(out, reach, out=out))
            case Not(part):
                return self.going(reach & ~self.truth(part, reach))
            case Every(parts):
                for part in parts:
                    reach = self.truth(part, reach)
                return reach
            case Some(parts):
                return self._some(parts, reach)
            case Choice(condition, first, second):
                held = self.truth(condition, reach)
                other = self.going(np.greater(reach, held))
                return self.truth(first, held) | self.truth(second, other)
            case Truth(value):
                return reach & value
            case _:
                assert_never(node)

    def number(self, node: Num, reach: Rows) -> Numbers | np.float64:
        """Give the number of each row that reaches the node; anything elsewhere."""
        match node:
            case Load(index):
                return self.columns[index]
            case Const(value):
                return np.float64(value)
            case Arith(op, args):
                return ARITHMETIC[op](*[self.number(arg, reach) for arg in args])
            case Checked(value):
                found = self.number(value, reach)
                self._end(reach & ~np.isfinite(found))
                return found
            case Select(condition, first, second):
                held = self.truth(condition, reach)
                other = self.going(np.greater(reach, held))
                return np.where(held, self.number(first, held), self.number(second, other))
            case GuardedNumber(inputs, body):
                return self.number(body, self._guarded(inputs, reach))
            case _:
                assert_never(node)

    def _atom(self, index: int, test: Bool, reach: Rows) -> Rows:
        if index not in self.once:
            self.read[index] |= reach
            found = self.truth(test, reach)
            self.true[index] |= found
            return found
        self.read[index] = reach
        place = self.true[index]
        found = self.truth(test, reach, place)
        if found is not place:
            place[:] = found
        return found

    def _some(self, parts: Sequence[Bool], reach: Rows) -> Rows:
        held: Rows | None = None
        for index, part in enumerate(parts):
            found = self.truth(part, reach)
            held = found if held is None else held | found
            if index + 1 < len(parts):
                reach = self.going(np.greater(reach, found))
        return np.zeros(self.rows, dtype=np.bool_) if held is None else held

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
    return isfinite(np.dot(column, column)) or bool(np.isfinite(column).all())
