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


class Unusable(Exception):  # noqa: N818 (a jump, not an error)
    """A plain evaluation met something that is not finite."""


@dataclass(slots=True)
class Plain:
    """Evaluates where every input has been found usable; no evidence is taken."""

    columns: Sequence[Numbers]
    rows: int

    def truth(self, node: Bool) -> Rows:
        """Give the truth of each row.

        Raises:
            Unusable: when a result is not finite, in a row that may not even reach it.
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
                return self._joined(parts, np.logical_and)
            case Some(parts):
                return self._joined(parts, np.logical_or)
            case Choice(condition, first, second):
                return np.where(self.truth(condition), self.truth(first), self.truth(second))
            case Atom(_, test):
                return self.truth(test)
            case Guarded(_, body):
                return self.truth(body)
            case _:
                assert_never(node)

    def number(self, node: Num) -> Numbers | np.float64:
        """Give the number of each row, or one for all."""
        match node:
            case Const(value):
                return np.float64(value)
            case Load(index):
                return self.columns[index]
            case Arith(op, args):
                return ARITHMETIC[op](*[self.number(arg) for arg in args])
            case Checked(value):
                found = self.number(value)
                if not np.isfinite(found).all():
                    raise Unusable
                return found
            case Select(condition, first, second):
                return np.where(self.truth(condition), self.number(first), self.number(second))
            case GuardedNumber(_, body):
                return self.number(body)
            case _:
                assert_never(node)

    def _joined(self, parts: Sequence[Bool], join: Callable[..., Rows]) -> Rows:
        found = self.truth(parts[0])
        for part in parts[1:]:
            join(found, self.truth(part), out=found)
        return found


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
    _usable: dict[int, Rows] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.unknown = np.zeros(self.rows, dtype=np.bool_)

    def truth(self, node: Bool, reach: Rows) -> Rows:
        """Give the truth of each row that reaches the node and goes on from it; false elsewhere."""
        match node:
            case Truth(value):
                return reach & value
            case Compare(op, left, right):
                found = COMPARISONS[op](self.number(left, reach), self.number(right, reach))
                return reach & found & ~self.unknown
            case Not(part):
                return reach & ~self.truth(part, reach) & ~self.unknown
            case Every(parts):
                for part in parts:
                    reach = self.truth(part, reach)
                return reach
            case Some(parts):
                return self._some(parts, reach)
            case Choice(condition, first, second):
                held = self.truth(condition, reach)
                other = reach & ~held & ~self.unknown
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
                self.unknown |= reach & ~np.isfinite(found)
                return found
            case Select(condition, first, second):
                held = self.truth(condition, reach)
                other = reach & ~held & ~self.unknown
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
            reach = reach & ~found & ~self.unknown
        return held

    def _guarded(self, inputs: Sequence[int], reach: Rows) -> Rows:
        for index in inputs:
            usable = self._usable.get(index)
            if usable is None:
                usable = self._usable[index] = is_usable(self.inputs[index], self.columns[index])
            self.unknown |= reach & ~usable
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
    """Tell whether an input can be used in every row; a sum is not finite when one of its terms is not."""
    if not column.size:
        return True
    if each.low is not None and each.high is not None:
        return bool(column.min() >= each.low and column.max() <= each.high)
    if each.low is not None and not column.min() >= each.low:
        return False
    if each.high is not None and not column.max() <= each.high:
        return False
    return bool(np.isfinite(np.add.reduce(column)))
