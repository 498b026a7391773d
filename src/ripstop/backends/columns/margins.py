"""Margins of many rows at once: robustness, row by row what `policy.margin` says.

Comparisons of numbers that are read, written out, or summed and multiplied of these, booleans that are read,
and what `and`, `or`, `!`, `!!` and `if` make of them are measured over whole columns. `Unmeasurable` tells
that a policy holds something else. A row in which an input cannot be used is left to the reference, too: what
it does not know has an interval.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from math import inf
from typing import NamedTuple

import numpy as np

from ripstop.backends.columns.evaluate import Numbers, Rows
from ripstop.core.decision import Limit
from ripstop.core.vocabulary import SignalSpec
from ripstop.policy.bundle import Bundle
from ripstop.policy.document import Policy
from ripstop.policy.ir import Expr
from ripstop.policy.reference import Inputs
from ripstop.policy.values import is_truthy

_SAFE = 2.0**53  # beyond it Python's integers are more exact than a column
_ORDERS: Mapping[str, Callable[[Numbers, Numbers], Numbers]] = {
    "<": lambda left, right: right - left,
    "<=": lambda left, right: right - left,
    ">": lambda left, right: -(right - left),
    ">=": lambda left, right: -(right - left),
    "==": lambda left, right: -np.abs(right - left),
    "===": lambda left, right: -np.abs(right - left),
    "!=": lambda left, right: np.abs(right - left),
    "!==": lambda left, right: np.abs(right - left),
}
_ARITHMETIC: Mapping[str, Callable[[Numbers, Numbers], Numbers]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
}


class Unmeasurable(Exception):  # noqa: N818 (a reason to measure otherwise, not an error)
    """A policy, or a column, that is measured row by row."""


@dataclass(frozen=True, slots=True)
class ColumnMargins:
    """The margin of each row's decision: above zero where it allows, below where it does not.

    It has a value where `low` and `high` meet, and lies between them elsewhere. `nearest` is the place of the
    policy that is nearest to changing the decision among those that guard the action; -1 where none does.
    """

    low: Numbers
    high: Numbers
    nearest: np.ndarray[tuple[int], np.dtype[np.intp]]

    def __len__(self) -> int:
        return len(self.low)


class Spans(NamedTuple):
    """The least and the greatest that each row's margin could be."""

    low: Numbers
    high: Numbers

    def negated(self) -> Spans:
        """Give the margins of the opposite."""
        return Spans(-self.high, -self.low)


def least(spans: Sequence[Spans], rows: int) -> Spans:
    """Give the least of several margins, row by row."""
    most = Spans(np.full(rows, inf), np.full(rows, inf))
    return reduce(lambda a, b: Spans(np.minimum(a.low, b.low), np.minimum(a.high, b.high)), spans, most)


def _greatest(spans: Sequence[Spans], rows: int) -> Spans:
    return least([span.negated() for span in spans], rows).negated()


@dataclass(slots=True)
class Measure:
    """Measures policies over columns.

    Args:
        columns: arrays of numbers or truths, by name.
        rows: how many they have.
        spec: gives what declares a name.
        good: the rows in which everything that has been looked at can be used; the others are noted here.
        is_failsafe: whether no policy can deny the action, only limit it.
    """

    columns: Mapping[str, object]
    rows: int
    spec: Callable[[str], SignalSpec | None]
    good: Rows
    is_failsafe: bool

    @classmethod
    def of(cls, bundle: Bundle, action: str, columns: Mapping[str, object], rows: int) -> Measure:
        """Begin to measure the decisions about an action."""
        spec = Inputs(bundle, action, {}, 0, {}).spec
        is_settled = not bundle.is_declared(action) or action in bundle.vocabulary.failsafes[-1:]
        return cls(columns, rows, spec, np.full(rows, not is_settled), action in bundle.vocabulary.failsafes)

    def margins(self, guarding: Sequence[Policy]) -> ColumnMargins:
        """Measure the policies that guard the action; a row that is not `good` then is yet to be measured."""
        try:
            with np.errstate(all="ignore"):
                spans = [self.policy(policy) for policy in guarding]
        except Unmeasurable:
            spans = []
        self.good &= bool(spans)
        low, high = least(spans, self.rows)
        nearest, its_low = np.full(self.rows, -1), np.full(self.rows, inf)
        for place, span in enumerate(spans):
            is_nearer = (span.high == high) & ((nearest < 0) | (span.low < its_low))
            nearest[is_nearer] = place
            its_low = np.where(is_nearer, span.low, its_low)
        return ColumnMargins(low, high, nearest)

    def policy(self, policy: Policy) -> Spans:
        """Measure a policy: its rule, and how far inside its active limits the parameters are.

        Raises:
            Unmeasurable: when that has to be done row by row.
        """
        rule = self._truth(policy.program.rule)
        rule, limits = rule if policy.effect == "require" else rule.negated(), []
        for item, when in zip(policy.limits, policy.program.whens, strict=True):
            inside = least([self._inside(limit) for limit in item.limits], self.rows)
            limits.append(_greatest([self._truth(when).negated(), inside], self.rows))
        if self.is_failsafe:
            return _greatest([rule.negated(), least(limits, self.rows)], self.rows)
        return least([rule, *limits], self.rows)

    def _truth(self, expr: Expr) -> Spans:
        if expr.op == "const":
            return self._certain(np.full(self.rows, is_truthy(expr.value)))
        if expr.op == "and":
            return least([self._truth(arg) for arg in expr.args], self.rows)
        if expr.op == "or":
            return _greatest([self._truth(arg) for arg in expr.args], self.rows)
        if expr.op == "!":
            return self._truth(expr.args[0]).negated()
        if expr.op == "!!":
            return self._truth(expr.args[0])
        if expr.op == "if":
            return self._choice(expr.args)
        if expr.op in _ORDERS:
            return self._order(expr)
        return self._certain(self._read(expr, "b") != 0)

    def _choice(self, args: Sequence[Expr]) -> Spans:
        if len(args) < 2:
            return self._truth(args[0]) if args else self._certain(np.zeros(self.rows, dtype=np.bool_))
        condition, value, rest = self._truth(args[0]), self._truth(args[1]), self._choice(args[2:])
        held = least([condition, value], self.rows)
        return _greatest([held, least([condition.negated(), rest], self.rows)], self.rows)

    def _certain(self, truth: Rows) -> Spans:
        sure = np.where(truth, inf, -inf)
        return Spans(sure, sure)

    def _order(self, expr: Expr) -> Spans:
        numbers = [self._number(arg) for arg in expr.args]
        distance = _ORDERS[expr.op]
        steps = (distance(left, right) for left, right in pairwise(numbers))
        return self._over_range(reduce(np.minimum, steps), self._width(expr))

    def _over_range(self, distance: Numbers, width: float | None) -> Spans:
        if width is not None:
            share = distance / width
            return Spans(share, share)
        return Spans(np.where(distance > 0, 0.0, -inf), np.where(distance < 0, 0.0, inf))

    def _width(self, expr: Expr) -> float | None:
        """Give the widest declared range among the signals that a comparison reads."""
        specs = [self.spec(str(part.path[0])) for part in expr.walk() if part.op == "read"]
        return max((width for spec in specs if (width := _width_of(spec)) is not None), default=None)

    def _number(self, expr: Expr) -> Numbers:
        if expr.op == "const":
            if isinstance(expr.value, bool) or not isinstance(expr.value, int | float):
                raise Unmeasurable
            return np.full(self.rows, float(expr.value))
        if expr.op in _ARITHMETIC and len(expr.args) >= 2:
            made = reduce(_ARITHMETIC[expr.op], map(self._number, expr.args))
            self.good &= np.abs(made) <= _SAFE
            return made
        return self._read(expr, "fiu")

    def _read(self, expr: Expr, kinds: str) -> Numbers:
        if expr.op != "read" or expr.args or len(expr.path) != 1:
            raise Unmeasurable
        return self._column(str(expr.path[0]), kinds)

    def _column(self, name: str, kinds: str) -> Numbers:
        """Give a column's numbers, and note where they cannot be used."""
        column, spec = self.columns.get(name), self.spec(name)
        if not isinstance(column, np.ndarray) or column.ndim != 1 or column.dtype.kind not in kinds:
            raise Unmeasurable
        if spec is not None and spec.type != ("boolean" if kinds == "b" else "number"):
            raise Unmeasurable
        numbers: Numbers = column.astype(np.float64)
        self.good &= np.abs(numbers) <= _SAFE
        if spec is not None and spec.low is not None:
            self.good &= numbers >= spec.low
        if spec is not None and spec.high is not None:
            self.good &= numbers <= spec.high
        return numbers

    def _inside(self, limit: Limit) -> Spans:
        """Measure how far inside a limit its parameter is."""
        value, ends = self._column(limit.parameter, "fiu"), []
        if limit.low is not None:
            ends.append(value - limit.low)
        if limit.high is not None:
            ends.append(limit.high - value)
        distance, width = reduce(np.minimum, ends), _width_of(self.spec(limit.parameter))
        if width is not None:
            share = distance / width
            return Spans(share, share)
        return Spans(np.where(distance >= 0, 0.0, -inf), np.where(distance >= 0, inf, 0.0))


def _width_of(spec: SignalSpec | None) -> float | None:
    if spec is None or spec.low is None or spec.high is None or spec.high <= spec.low:
        return None
    return float(spec.high - spec.low)
