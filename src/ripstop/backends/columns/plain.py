"""From nodes to NumPy where everything that is reached can be used, and no evidence is wanted.

    (and (< #0 0.2) (> #1 5))   becomes   t0 = less(c0, k0); t1 = greater(c1, k1); and_(t0, t1, t0); return t0

A rule becomes a Python function, written when it first runs over a `View` of the columns. The parts of a long
chain are functions of their own: once few rows are left that the chain has not settled, its other parts run
over these alone; over very few, one row after the other. Anything unusable raises `Unusable`, and the rule is
evaluated again by `evaluate.Watched`.

INVARIANT: the parts of a chain run in their order. An input is checked where a row first reads it, so a part
that came too early would settle rows in which an earlier part cannot be evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias, assert_never

import numpy as np
from numpy.typing import NDArray

from ripstop.backends.columns.evaluate import ARITHMETIC, COMPARISONS, Numbers, Rows
from ripstop.backends.columns.few import RowByRow, row_by_row
from ripstop.backends.columns.view import Unusable, View
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
    walk,
)

# A selection pays when this many times fewer rows are left, for so many more parts: choosing 10,000 rows and
# putting them back costs as much as comparing them four times. Of a selection, calls cost more than rows.
_FEWER = 6
_FEWER_AGAIN = 2
_MORE_PARTS = 4
_TOGETHER = 2  # parts of a long chain in one function
_FEW = 64  # rows that cost NumPy no more than one, and Python no more than NumPy
_MOST_UNCOUNTED = 4  # functions of a chain that has settled few rows lately

_OPPOSITES: Mapping[str, str] = {"<": ">=", ">=": "<", ">": "<=", "<=": ">", "==": "!=", "!=": "=="}

TruthOf: TypeAlias = Callable[[View], Rows]


class PlainTruth:
    """Gives the truth of each row of a view, in an array of its own; raises `Unusable`."""

    __slots__ = ("_node", "_run")

    def __init__(self, node: Bool) -> None:
        self._node = node
        self._run: TruthOf | None = None

    def __call__(self, view: View) -> Rows:
        """Evaluate over a view."""
        if self._run is None:
            self._run = _Function().written(self._node)
        return self._run(view)


class _Function:
    """Writes one function. A node is told the place of its result, `t0`, `t1`, ...; it may use later ones.

    INVARIANT: the truth in a place is an array of its own, so that it can be written to.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._reads: dict[int, None] = {}
        self._names: dict[str, object] = dict(_CALLS)

    def written(self, node: Bool) -> TruthOf:
        """Give the function for a node."""
        self._truth(node, 0)
        lines = [*self._looks(), *self._lines, "return t0"]
        exec("\n    ".join(["def evaluate(view):", *lines]), self._names)  # noqa: S102 (calls, names, indices)
        made: TruthOf = self._names["evaluate"]  # type: ignore[assignment]
        return made

    def _looks(self) -> list[str]:
        if not self._reads:
            return []
        names = [f"c{index}" for index in self._reads]
        return [
            "get = view.usable.get",
            *(f"c{index} = get({index})" for index in self._reads),
            f"if {' or '.join(f'{name} is None' for name in names)}:",
            f"    {', '.join(names)}, = view.use({tuple(self._reads)})",
        ]

    def _truth(self, node: Bool, place: int) -> None:
        match node:
            case Truth(value):
                self._set(place, f"full(view.rows, {value})")
            case Compare():
                self._comparison(node, place)
            case Not(part):
                self._inverted(part, place)
            case Every(parts):
                self._chain(parts, place, is_and=True)
            case Some(parts):
                self._chain(parts, place, is_and=False)
            case Choice():
                self._choice(node, place)
            case Atom(_, test):
                self._truth(test, place)
            case Guarded(inputs, body):
                self._reads.update(dict.fromkeys(inputs))
                self._truth(body, place)
            case _:
                assert_never(node)

    def _set(self, place: int, text: str) -> None:
        self._lines.append(f"t{place} = {text}")

    def _join(self, call: str, place: int, other: int) -> None:
        self._lines.append(f"{call}(t{place}, t{other}, t{place})")

    def _bound(self, value: object) -> str:
        name = f"k{len(self._names)}"
        self._names[name] = value
        return name

    def _comparison(self, node: Compare, place: int) -> None:
        left, right = self._number(node.left, place), self._number(node.right, place + 1)
        found = f"{COMPARISONS[node.op].__name__}({left}, {right})"
        is_one = not any(isinstance(each, Load | Select) for each in walk(node))
        self._set(place, f"full(view.rows, {found})" if is_one else found)

    def _inverted(self, part: Bool, place: int) -> None:
        while isinstance(part, Guarded):
            self._reads.update(dict.fromkeys(part.inputs))
            part = part.body
        match part:
            case Compare(op, Load() as left, Const() as right):
                self._comparison(Compare(_OPPOSITES[op], left, right), place)  # there is no NaN here
            case _:
                self._truth(part, place)
                self._lines.append(f"not_(t{place}, t{place})")

    def _chain(self, parts: Sequence[Bool], place: int, *, is_and: bool) -> None:
        if not parts or len(parts) >= _MORE_PARTS:
            chain = self._bound(_LongChain(parts, is_and)) if parts else ""
            self._set(place, f"{chain}(view)" if parts else f"full(view.rows, {is_and})")
            return
        self._truth(parts[0], place)
        for part in parts[1:]:
            self._truth(part, place + 1)
            self._join("and_" if is_and else "or_", place, place + 1)

    def _choice(self, node: Choice, place: int) -> None:
        """Give one of two truths: with operations on truths, which are faster than `where`."""
        self._truth(node.condition, place)
        if isinstance(node.then, Truth):
            self._truth(node.other, place + 1)
            self._join("or_" if node.then.value else "less", place, place + 1)
        elif isinstance(node.other, Truth):  # "not test or then" of truths is "test <= then"
            self._truth(node.then, place + 1)
            self._join("less_equal" if node.other.value else "and_", place, place + 1)
        else:
            self._truth(node.then, place + 1)
            self._truth(node.other, place + 2)
            self._join("and_", place + 1, place)
            self._join("less", place, place + 2)
            self._join("or_", place, place + 1)

    def _number(self, node: Num, place: int) -> str:
        """Give the name of each row's number, or of one for all; nobody may write to it."""
        match node:
            case Const(value):
                return self._bound(np.array(value, dtype=np.float64))
            case Load(index):
                self._reads[index] = None
                return f"c{index}"
            case Arith(op, args):
                numbers = [self._number(arg, place + step) for step, arg in enumerate(args)]
                self._set(place, f"{self._bound(ARITHMETIC[op])}({', '.join(numbers)})")
            case Checked(value):
                self._set(place, f"finite({self._number(value, place)})")
            case Select(condition, first, second):
                self._truth(condition, place)
                numbers = [self._number(first, place + 1), self._number(second, place + 2)]
                self._set(place, f"where(t{place}, {', '.join(numbers)})")
            case GuardedNumber(inputs, body):
                self._reads.update(dict.fromkeys(inputs))
                return self._number(body, place)
            case _:
                assert_never(node)
        return f"t{place}"


def _finite(found: Numbers) -> Numbers:
    if not np.isfinite(found).all():
        raise Unusable
    return found


_CALLS: Mapping[str, object] = {
    **{call.__name__: call for call in COMPARISONS.values()},
    "and_": np.logical_and,
    "or_": np.logical_or,
    "not_": np.logical_not,
    "where": np.where,
    "full": np.full,
    "finite": _finite,
}


class _LongChain:
    """Many parts: those that come late run over the rows that are left."""

    def __init__(self, parts: Sequence[Bool], is_and: bool) -> None:
        kind, starts = Every if is_and else Some, range(0, len(parts), _TOGETHER)
        self._nodes = [kind(tuple(parts[start : start + _TOGETHER])) for start in starts]
        self._parts = [PlainTruth(node) for node in self._nodes]
        self._few: dict[int, RowByRow | None] = {}  # by the part where it begins
        self._is_and = is_and
        self._join = np.logical_and if is_and else np.logical_or

    def __call__(self, view: View) -> Rows:
        return self._from(view, 0)

    def _from(self, view: View, start: int) -> Rows:
        parts, join = self._parts, self._join
        found, before = parts[start](view), view.rows
        count_at, uncounted = start + 1, 1
        for index in range(start + 1, len(parts)):
            if index >= count_at and (len(parts) - index) * _TOGETHER >= _MORE_PARTS:
                held = int(np.count_nonzero(found))
                left = held if self._is_and else view.rows - held
                if not left:
                    break
                if view.rows > _FEW and left * (_FEWER if view.is_whole else _FEWER_AGAIN) <= view.rows:
                    rest = (found if self._is_and else ~found).nonzero()[0]
                    found[rest] = self._rest(view, rest, index)
                    break
                uncounted = min(2 * uncounted, _MOST_UNCOUNTED) if left * 10 > before * 9 else 1
                count_at, before = index + uncounted, left
            join(found, parts[index](view), found)
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
