"""From nodes to NumPy where everything that is reached can be used, and no evidence is wanted.

A rule becomes nested closures once; they run over a `View` of the columns. Once few rows are left that a
chain has not settled, its other parts run over these alone; over very few, one row after the other. Anything
unusable raises `Unusable`, and the rule is evaluated again by `evaluate.Watched`.

INVARIANT: the parts of a chain run in their order. An input is checked where a row first reads it, so a part
that came too early would settle rows in which an earlier part cannot be evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias, assert_never

import numpy as np
from numpy.typing import NDArray

from ripstop.backends.columns.evaluate import ARITHMETIC, COMPARISONS, Numbers, Rows, are_all_usable
from ripstop.backends.columns.few import RowByRow, row_by_row
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

# A selection pays when this many times fewer rows are left, for so many more parts: choosing 10,000 rows and
# putting them back costs as much as comparing them four times.
_FEWER = 6
_MORE_PARTS = 4
_FEW = 64  # rows that cost NumPy no more than one, and Python no more than NumPy


_OPPOSITES: Mapping[str, str] = {"<": ">=", ">=": "<", ">": "<=", "<=": ">", "==": "!=", "!=": "=="}


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

    def use(self, index: int) -> Numbers:
        """Give the numbers of an input that has not been looked at.

        Raises:
            Unusable: when it cannot be used in every row.
        """
        column = self._columns[index]
        if self._selected is not None:
            column = column.take(self._selected)
        if not self._is_known(index) and not are_all_usable(self._inputs[index], column):
            raise Unusable
        self.usable[index] = column
        return column

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


TruthOf: TypeAlias = Callable[[View], Rows]
NumberOf: TypeAlias = "Callable[[View], Numbers | np.float64]"


def plain_truth(node: Bool) -> TruthOf:
    """Make a function that gives the truth of each row of a view, in an array of its own.

    The function raises `Unusable`.
    """
    match node:
        case Truth(value):
            return lambda view: np.full(view.rows, value)
        case Compare():
            return _comparison(node)
        case Not(Compare(op, Load() as left, Const() as right)):
            return _comparison(Compare(_OPPOSITES[op], left, right))  # there is no NaN here
        case Not(Guarded(inputs, Compare(_, Load(), Const()) as body)):
            return _guarded(inputs, Not(body))
        case Not(part):
            return _inverted(plain_truth(part))
        case Every(parts):
            return _chain(parts, is_and=True)
        case Some(parts):
            return _chain(parts, is_and=False)
        case Choice(condition, first, second):
            return _choice(condition, first, second)
        case Atom(_, test):
            return plain_truth(test)
        case Guarded(inputs, body):
            return _guarded(inputs, body)
        case _:
            assert_never(node)


def _inverted(inner: TruthOf) -> TruthOf:
    def evaluate(view: View) -> Rows:
        found = inner(view)
        return np.logical_not(found, out=found)

    return evaluate


def _joined(join: Callable[..., Rows], first: TruthOf, second: TruthOf) -> TruthOf:
    def evaluate(view: View) -> Rows:
        found = first(view)
        return join(found, second(view), found)

    return evaluate


def _guarded(inputs: Sequence[int], body: Bool) -> TruthOf:
    inner = plain_truth(body)
    tested = body.part if isinstance(body, Not) else body
    if isinstance(tested, Compare) and {tested.left, tested.right} >= set(map(Load, inputs)):
        return inner  # looks at them itself

    def evaluate(view: View) -> Rows:
        for index in inputs:
            if index not in view.usable:
                view.use(index)
        return inner(view)

    return evaluate


def _comparison(node: Compare) -> TruthOf:
    compare = COMPARISONS[node.op]
    if isinstance(node.left, Load) and isinstance(node.right, Const):
        index, constant = node.left.input, np.float64(node.right.value)

        def evaluate(view: View) -> Rows:
            usable = view.usable
            return compare(usable[index] if index in usable else view.use(index), constant)

        return evaluate
    left, right = plain_number(node.left), plain_number(node.right)

    def evaluate_any(view: View) -> Rows:
        found = compare(left(view), right(view))
        return found if found.shape else np.full(view.rows, bool(found))

    return evaluate_any


def _chain(parts: Sequence[Bool], *, is_and: bool) -> TruthOf:
    if len(parts) >= _MORE_PARTS:
        return _LongChain(parts, is_and)
    whole, *others = map(plain_truth, parts)
    for part in others:
        whole = _joined(np.logical_and if is_and else np.logical_or, whole, part)
    return whole


class _LongChain:
    """Many parts: those that come late run over the rows that are left."""

    def __init__(self, parts: Sequence[Bool], is_and: bool) -> None:
        self._nodes = parts
        self._parts = [plain_truth(part) for part in parts]
        self._few: dict[int, RowByRow | None] = {}  # by the part where it begins
        self._is_and = is_and
        self._join = np.logical_and if is_and else np.logical_or

    def __call__(self, view: View) -> Rows:
        return self._from(view, 0)

    def _from(self, view: View, start: int) -> Rows:
        parts = self._parts
        found = parts[start](view)
        for index in range(start + 1, len(parts)):
            if index + _MORE_PARTS <= len(parts):
                held = int(np.count_nonzero(found))
                left = held if self._is_and else view.rows - held
                if not left:
                    break
                if view.rows > _FEW and left * _FEWER <= view.rows:
                    rest = (found if self._is_and else ~found).nonzero()[0]
                    found[rest] = self._rest(view, rest, index)
                    break
            self._join(found, parts[index](view), found)
        return found

    def _rest(self, view: View, rows: NDArray[np.intp], start: int) -> Rows | list[bool]:
        """Evaluate what follows over some of the rows."""
        if len(rows) <= _FEW:
            if start not in self._few:
                self._few[start] = row_by_row(self._nodes[start:], is_and=self._is_and)
            few = self._few[start]
            columns = None if few is None else view.seen(few.inputs)
            if few is not None and columns is not None:
                return few.test(view.places(rows), *columns)
        return self._from(view.among(rows), start)


def _choice(condition: Bool, first: Bool, second: Bool) -> TruthOf:
    """Give one of two truths: with operations on truths, which are faster than `where`."""
    test, then, other = plain_truth(condition), plain_truth(first), plain_truth(second)
    if isinstance(first, Truth):
        return _joined(np.logical_or if first.value else np.less, test, other)
    if isinstance(second, Truth):  # "not test or then" of truths is "test <= then"
        return _joined(np.less_equal if second.value else np.logical_and, test, then)

    def evaluate(view: View) -> Rows:
        held = test(view)
        return (held & then(view)) | (~held & other(view))

    return evaluate


def plain_number(node: Num) -> NumberOf:
    """Make a function that gives the number of each row of a view, or one for all.

    The function raises `Unusable`.
    """
    match node:
        case Const(value):
            constant = np.float64(value)
            return lambda view: constant
        case Load(index):
            return lambda view: view.usable[index] if index in view.usable else view.use(index)
        case Arith(op, args):
            return _arithmetic(op, [plain_number(arg) for arg in args])
        case Checked(value):
            return _checked(plain_number(value))
        case Select(condition, first, second):
            test, then, other = plain_truth(condition), plain_number(first), plain_number(second)
            return lambda view: np.where(test(view), then(view), other(view))
        case GuardedNumber(inputs, body):
            return _guarded_number(inputs, plain_number(body))
        case _:
            assert_never(node)


def _arithmetic(op: str, args: Sequence[NumberOf]) -> NumberOf:
    compute = ARITHMETIC[op]
    if len(args) == 1:
        (only,) = args
        return lambda view: compute(only(view))
    left, right = args
    return lambda view: compute(left(view), right(view))


def _checked(inner: NumberOf) -> NumberOf:
    def evaluate(view: View) -> Numbers | np.float64:
        found = inner(view)
        if not np.isfinite(found).all():
            raise Unusable
        return found

    return evaluate


def _guarded_number(inputs: Sequence[int], inner: NumberOf) -> NumberOf:
    def evaluate(view: View) -> Numbers | np.float64:
        for index in inputs:
            if index not in view.usable:
                view.use(index)
        return inner(view)

    return evaluate
