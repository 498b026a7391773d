"""From nodes to NumPy, with UNKNOWN and evidence: what every row says, whatever it holds.

A rule becomes nested closures once. Each is told which rows reach it and gives those that go on from it as
true; a row that ends as UNKNOWN reaches nothing more. What is `usable` and the tables of NumPy's functions
serve the plain evaluation (`plain.py`), too.

INVARIANT: an array that is handed on is not written to any more: it may be a row of the evidence.
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
    """One evaluation of one policy: which rows have ended as `unknown`, and the evidence of each atom.

    `read` and `true` have a row for each atom. What atoms that stand in one place only had before does not
    matter: they write, the others add.
    """

    inputs: Sequence[Input]
    columns: Sequence[Numbers]
    rows: int
    read: Sequence[Rows]
    true: Sequence[Rows]
    unknown: Rows = field(init=False)
    has_ended: bool = False
    sound: set[int] = field(default_factory=set)  # inputs that can be used in every row
    _usable: dict[int, Rows] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begin another evaluation, with the same evidence."""
        self.unknown = np.zeros(self.rows, dtype=np.bool_)
        self.has_ended = False

    def going(self, rows: Rows) -> Rows:
        """Leave out the rows that have ended."""
        return rows & ~self.unknown if self.has_ended else rows

    def end(self, rows: Rows) -> None:
        """End rows as UNKNOWN."""
        if rows.any():
            self.unknown |= rows
            self.has_ended = True

    def use(self, index: int, reach: Rows) -> Rows:
        """End the rows in which an input cannot be used; give those that go on."""
        usable = self._usable.get(index)
        if usable is None:
            each, column = self.inputs[index], self.columns[index]
            if are_all_usable(each, column):
                self.sound.add(index)
                return reach
            usable = self._usable[index] = is_usable(each, column)
        self.end(reach & ~usable)
        return reach & usable


WatchedTruth: TypeAlias = "Callable[[Watched, Rows, Rows | None], Rows]"
WatchedNumber: TypeAlias = "Callable[[Watched, Rows], Numbers | np.float64]"


def watched_truth(node: Bool, once: Set[int]) -> WatchedTruth:
    """Make a function that gives the rows which reach a node and go on from it as true.

    The function takes an array that the result may lie in, or none.

    Args:
        node: what to evaluate.
        once: the atoms that stand in one place only.
    """
    match node:
        case Atom(index, test):
            inner = watched_truth(test, once)
            return _atom_once(index, inner) if index in once else _atom(index, inner)
        case Guarded(inputs, body):
            return _guarded(inputs, watched_truth(body, once))
        case Compare():
            return _comparison(node, once)
        case Not(part):
            return _inverted(watched_truth(part, once))
        case Every(parts):
            return _every([watched_truth(part, once) for part in parts])
        case Some(parts):
            return _some([watched_truth(part, once) for part in parts])
        case Choice(condition, first, second):
            return _choice(*(watched_truth(part, once) for part in (condition, first, second)))
        case Truth(value):
            return lambda run, reach, out: reach if value else np.zeros_like(reach)
        case _:
            assert_never(node)


def _atom_once(index: int, test: WatchedTruth) -> WatchedTruth:
    def evaluate(run: Watched, reach: Rows, out: Rows | None) -> Rows:
        run.read[index][:] = reach
        place = run.true[index]
        found = test(run, reach, place)
        if found is not place:
            place[:] = found
        return place

    return evaluate


def _atom(index: int, test: WatchedTruth) -> WatchedTruth:
    def evaluate(run: Watched, reach: Rows, out: Rows | None) -> Rows:
        read, true = run.read[index], run.true[index]
        np.logical_or(read, reach, out=read)
        found = test(run, reach, out)
        np.logical_or(true, found, out=true)
        return found

    return evaluate


def _guarded(inputs: Sequence[int], inner: WatchedTruth) -> WatchedTruth:
    def evaluate(run: Watched, reach: Rows, out: Rows | None) -> Rows:
        for index in inputs:
            if index not in run.sound:
                reach = run.use(index, reach)
        return inner(run, reach, out)

    return evaluate


def _comparison(node: Compare, once: Set[int]) -> WatchedTruth:
    compare = COMPARISONS[node.op]
    if isinstance(node.left, Load) and isinstance(node.right, Const):
        index, constant = node.left.input, np.array(node.right.value, dtype=np.float64)

        def evaluate(run: Watched, reach: Rows, out: Rows | None) -> Rows:
            found = compare(run.columns[index], constant, out)
            return np.logical_and(found, reach, found)

        return evaluate
    left, right = watched_number(node.left, once), watched_number(node.right, once)

    def evaluate_any(run: Watched, reach: Rows, out: Rows | None) -> Rows:
        found = compare(left(run, reach), right(run, reach))
        return run.going(reach & found)

    return evaluate_any


def _inverted(part: WatchedTruth) -> WatchedTruth:
    def evaluate(run: Watched, reach: Rows, out: Rows | None) -> Rows:
        return run.going(reach ^ part(run, reach, None))

    return evaluate


def _every(parts: Sequence[WatchedTruth]) -> WatchedTruth:
    def evaluate(run: Watched, reach: Rows, out: Rows | None) -> Rows:
        for part in parts:
            reach = part(run, reach, None)
        return reach

    return evaluate


def _some(parts: Sequence[WatchedTruth]) -> WatchedTruth:
    if not parts:
        return lambda run, reach, out: np.zeros_like(reach)
    first, *others = parts

    def evaluate(run: Watched, reach: Rows, out: Rows | None) -> Rows:
        held = found = first(run, reach, None)
        for part in others:
            reach = run.going(reach ^ found)
            found = part(run, reach, None)
            held = held | found
        return held

    return evaluate


def _choice(condition: WatchedTruth, first: WatchedTruth, second: WatchedTruth) -> WatchedTruth:
    def evaluate(run: Watched, reach: Rows, out: Rows | None) -> Rows:
        held = condition(run, reach, None)
        other = run.going(reach ^ held)
        return first(run, held, None) | second(run, other, None)

    return evaluate


def watched_number(node: Num, once: Set[int]) -> WatchedNumber:
    """Make a function that gives the number of each row that reaches a node; anything elsewhere."""
    match node:
        case Load(index):
            return lambda run, reach: run.columns[index]
        case Const(value):
            constant = np.array(value, dtype=np.float64)
            return lambda run, reach: constant
        case Arith(op, args):
            compute, numbers = ARITHMETIC[op], [watched_number(arg, once) for arg in args]
            return lambda run, reach: compute(*[number(run, reach) for number in numbers])
        case Checked(value):
            return _checked(watched_number(value, once))
        case Select(condition, first, second):
            return _selected(
                watched_truth(condition, once), watched_number(first, once), watched_number(second, once)
            )
        case GuardedNumber(inputs, body):
            return _guarded_number(inputs, watched_number(body, once))
        case _:
            assert_never(node)


def _checked(inner: WatchedNumber) -> WatchedNumber:
    def evaluate(run: Watched, reach: Rows) -> Numbers | np.float64:
        found = inner(run, reach)
        run.end(reach & ~np.isfinite(found))
        return found

    return evaluate


def _selected(condition: WatchedTruth, first: WatchedNumber, second: WatchedNumber) -> WatchedNumber:
    def evaluate(run: Watched, reach: Rows) -> Numbers | np.float64:
        held = condition(run, reach, None)
        other = run.going(reach ^ held)
        return np.where(held, first(run, held), second(run, other))

    return evaluate


def _guarded_number(inputs: Sequence[int], inner: WatchedNumber) -> WatchedNumber:
    def evaluate(run: Watched, reach: Rows) -> Numbers | np.float64:
        for index in inputs:
            if index not in run.sound:
                reach = run.use(index, reach)
        return inner(run, reach)

    return evaluate


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
    return isfinite(column.dot(column)) or bool(np.isfinite(column).all())
