"""How far a decision is from changing: robustness, as signal temporal logic defines it.

A comparison's margin is its signed distance over the declared range width of the signals in it. What cannot
be measured (no range declared, an input unknown) is an interval, from the least to the greatest that it could
be; a margin has a value where both ends meet.

References:
    Donzé, Maler (2010), Robust satisfaction of temporal logic over real-valued signals, FORMATS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from math import inf
from sys import float_info
from typing import NamedTuple

from ripstop.core.canonical import Json
from ripstop.core.decision import Limit
from ripstop.core.value import dataclass
from ripstop.core.vocabulary import SignalSpec
from ripstop.policy.bundle import Bundle
from ripstop.policy.document import Policy
from ripstop.policy.evaluate import Absent, Scope
from ripstop.policy.ir import TEMPORAL
from ripstop.policy.reference import Inputs, Observed, PolicyMachine, Unknown, inputs_of
from ripstop.policy.state import Invalid
from ripstop.policy.temporal import operands
from ripstop.policy.values import JsonLogicError, is_truthy


class Span(NamedTuple):
    """The least and the greatest that a margin could be."""

    low: float
    high: float

    def negated(self) -> Span:
        """Give the margin of the opposite."""
        return Span(-self.high, -self.low)


NOTHING_KNOWN = Span(-inf, inf)


def _least(spans: Sequence[Span]) -> Span:
    return Span(
        min((span.low for span in spans), default=inf), min((span.high for span in spans), default=inf)
    )


def _greatest(spans: Sequence[Span]) -> Span:
    return _least([span.negated() for span in spans]).negated()


def _certain(truth: bool) -> Span:
    return Span(inf, inf) if truth else Span(-inf, -inf)


@dataclass(frozen=True, slots=True)
class Margin:
    """The margin of a decision: above zero where it allows, below where it does not.

    `value` is None where it cannot be measured; then it lies between `low` and `high`. `is_instant` says that
    a temporal operator took part, of which only the operand's present margin is known. `policy` is the one
    that is nearest to changing the decision.
    """

    value: float | None
    low: float
    high: float
    is_instant: bool = False
    policy: str = ""


@dataclass(slots=True)
class _Measure:
    """Measures the conditions of one policy."""

    inputs: Inputs
    machine: PolicyMachine
    is_instant: bool = False
    fields: Mapping[str, SignalSpec] | None = None  # inside an iterator: what declares an element's fields

    def condition(self, rule: Json) -> Span:
        """Measure a whole condition: where it is UNKNOWN nothing is known, whatever its parts are.

        With a temporal operator in it the present counts, whether or not the window is known.
        """
        before, self.is_instant = self.is_instant, False
        span = self.truth(rule, Scope(None))
        is_known = self.is_instant or self._told(rule, Scope(None)) != NOTHING_KNOWN
        self.is_instant |= before
        return span if is_known else NOTHING_KNOWN

    def truth(self, rule: Json, scope: Scope) -> Span:
        """Measure a rule in boolean position."""
        if not isinstance(rule, Mapping) or len(rule) != 1:
            return _certain(is_truthy(rule))
        name, args = operands(rule)
        if name == "and":
            return _least([self.truth(arg, scope) for arg in args])
        if name == "or":
            return _greatest([self.truth(arg, scope) for arg in args])
        if name in ("!", "!!"):
            span = self.truth(args[0], scope)
            return span.negated() if name == "!" else span
        if name == "if":
            return self._choice(args, scope)
        measured = _MEASURED.get(name)
        if measured is not None:
            return measured(self, name, args, scope)
        return self._told(rule, scope)

    def _choice(self, args: Sequence[Json], scope: Scope) -> Span:
        if len(args) < 2:
            return self.truth(args[0], scope) if args else _certain(False)
        condition, value = self.truth(args[0], scope), self.truth(args[1], scope)
        rest = self._choice(args[2:], scope)
        return _greatest([_least([condition, value]), _least([condition.negated(), rest])])

    def _told(self, rule: Json, scope: Scope) -> Span:
        """Give what is true or false without a distance."""
        try:
            return _certain(self.machine.truth(rule, scope))
        except (Unknown, JsonLogicError, RecursionError):
            return NOTHING_KNOWN

    def number(self, rule: Json, scope: Scope) -> float | None:
        """Evaluate a number; None where there is none."""
        if isinstance(rule, Mapping) and next(iter(rule), "") == "count_within":
            self.is_instant = True
        try:
            value = self.machine.run(rule, scope)
        except (Unknown, JsonLogicError, RecursionError):
            return None
        return float(value) if isinstance(value, int | float) else None

    def order(self, name: str, args: Sequence[Json], scope: Scope) -> Span:
        """Measure a comparison: the least distance in the chain."""
        numbers = [self.number(arg, scope) for arg in args]
        rule = {name: list(args)}
        if any(number is None for number in numbers):
            return self._told(rule, scope)
        found = [number for number in numbers if number is not None]
        sign = {"<": 1, "<=": 1, ">": -1, ">=": -1}.get(name)
        distances = [sign * (right - left) if sign else abs(right - left) for left, right in pairwise(found)]
        if name in ("==", "==="):
            distances = [-distance for distance in distances]
        distance, width = min(distances), self._width(rule)
        if width is None:
            return Span(0, inf) if distance > 0 else Span(-inf, 0) if distance < 0 else NOTHING_KNOWN
        return Span(distance / width, distance / width)

    def _width(self, rule: Json) -> float | None:
        """Give the widest declared range among the signals that a comparison reads."""
        widths = []
        for name in _read_in(rule):
            spec = self.inputs.spec(name) if self.fields is None else self.fields.get(name)
            if spec is not None and spec.low is not None and spec.high is not None and spec.high > spec.low:
                widths.append(spec.high - spec.low)
        most = [float(str(part[2])) for part in _counts_in(rule)]
        return max([*widths, *most], default=None)

    def quantifier(self, name: str, args: Sequence[Json], scope: Scope) -> Span:
        """Measure `all`, `some`, `none` element by element."""
        try:
            elements = self.machine.run(args[0], scope)
        except (Unknown, JsonLogicError, RecursionError):
            return NOTHING_KNOWN
        if not isinstance(elements, list | tuple):
            return NOTHING_KNOWN
        iterator = [
            Scope(element, {"iterator": elements, "index": index}, scope)
            for index, element in enumerate(elements)
        ]
        names = _read_in(args[0])
        source = self.inputs.spec(names[0]) if names else None
        around, self.fields = self.fields, source.fields if source is not None else {}
        spans = [self.truth(args[1], inner) for inner in iterator]
        self.fields = around
        if name == "all":
            return _least(spans) if spans else _certain(False)
        return _greatest(spans) if name == "some" else _greatest(spans).negated()

    def temporal(self, name: str, args: Sequence[Json], scope: Scope) -> Span:
        """Measure the operand of a temporal operator at the present moment."""
        self.is_instant = True
        present = _Measure(self.inputs, PolicyMachine(self._observed, self.inputs.recall))
        spans = [present.truth(arg, Scope(None)) for arg in args[: 2 if name == "since" else 1]]
        return _greatest(spans)

    def _observed(self, name: str) -> Json | Absent | Invalid:
        """Read a signal as it was observed, whatever the context says."""
        inputs = self.inputs
        plain = Inputs(inputs.bundle, "", {}, inputs.t_us, inputs.readings)
        return plain.look(name)


def _read_in(rule: Json) -> list[str]:
    """Give the names of the signals in an expression, outside temporal operators."""
    if isinstance(rule, list | tuple):
        return [name for item in rule for name in _read_in(item)]
    if not isinstance(rule, Mapping):
        return []
    if "var" in rule:
        args = operands(rule)[1]
        return [str(args[0]).split(".")[0]] if args else []
    return [
        name for key, item in rule.items() if key not in ("historically", "once") for name in _read_in(item)
    ]


def _counts_in(rule: Json) -> list[Sequence[Json]]:
    """Give the arguments of every `count_within` in an expression."""
    if isinstance(rule, list | tuple):
        return [found for item in rule for found in _counts_in(item)]
    if not isinstance(rule, Mapping):
        return []
    if "count_within" in rule:
        return [operands(rule)[1]]
    return [found for item in rule.values() for found in _counts_in(item)]


_Measured = Callable[[_Measure, str, Sequence[Json], Scope], Span]
_MEASURED: Mapping[str, _Measured] = {
    **dict.fromkeys(("<", "<=", ">", ">=", "==", "!=", "===", "!=="), _Measure.order),
    **dict.fromkeys(("all", "some", "none"), _Measure.quantifier),
    **dict.fromkeys(
        (name for name in TEMPORAL if name not in ("previous", "count_within")), _Measure.temporal
    ),
}


def margin(
    bundle: Bundle, action: str, context: Mapping[str, Json], t_us: int = 0, state: Observed | None = None
) -> Margin:
    """Give the margin of a decision: the least over the policies that guard the action, and their limits.

    Budgets and `on_unknown` have no say in it.
    """
    spec = bundle.vocabulary.actions.get(action)
    is_failsafe = spec is not None and spec.is_failsafe
    if not bundle.is_declared(action):
        return Margin(-inf, -inf, -inf)
    if is_failsafe and action == bundle.vocabulary.failsafes[-1]:
        return Margin(inf, inf, inf)
    inputs = inputs_of(bundle, action, context, t_us, state)
    guarding = bundle.guarding(action)
    if not guarding:
        sure = inf if bundle.vocabulary.unguarded == "allow" or is_failsafe else -inf
        return Margin(sure, sure, sure)
    measured = [(*_measured(policy, inputs, is_failsafe=is_failsafe), policy.id) for policy in guarding]
    low, high = _least([span for span, _, _ in measured])
    nearest = min(measured, key=lambda item: (item[0].high, item[0].low))
    value = low if low == high else None
    return Margin(value, low, high, any(is_instant for _, is_instant, _ in measured), nearest[2])


def _measured(policy: Policy, inputs: Inputs, *, is_failsafe: bool) -> tuple[Span, bool]:
    measure = _Measure(inputs, PolicyMachine(inputs.look, inputs.recall))
    rule = measure.condition(policy.rule)
    rule = rule if policy.effect == "require" else rule.negated()
    limits = []
    for item in policy.limits:
        inside = _least([_inside(limit, inputs) for limit in item.limits])
        limits.append(_greatest([measure.condition(item.when).negated(), inside]))
    if is_failsafe:  # denied by none, and limited where the rule permits
        return _greatest([rule.negated(), _least(limits)]), measure.is_instant
    return _least([rule, *limits]), measure.is_instant


def _inside(limit: Limit, inputs: Inputs) -> Span:
    """Measure how far inside a limit its parameter is."""
    value = inputs.context.get(limit.parameter)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return _certain(False)
    if abs(value) > float_info.max:  # an integer of JSON may be larger
        value = inf if value > 0 else -inf
    distances = [
        distance
        for distance in (
            None if limit.low is None else value - limit.low,
            None if limit.high is None else limit.high - value,
        )
        if distance is not None
    ]
    spec, distance = inputs.spec(limit.parameter), min(distances)
    if spec is None or spec.low is None or spec.high is None or spec.high <= spec.low:
        return Span(0, inf) if distance >= 0 else Span(-inf, 0)
    width = spec.high - spec.low
    return Span(distance / width, distance / width)
