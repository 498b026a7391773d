"""A search for the smallest change of inputs that turns a decision into ALLOW.

It looks at the points where a comparison turns: its other side, its root where it is linear, the ends of
limits and ranges, the words of an enumeration. Each proposal has been evaluated: with it the decision is
ALLOW. Numbers are then drawn back by bisection as near to their present value as still allows. Where a rule
is not linear or not monotone there may be a smaller change than the one found.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import inf, isfinite, nextafter
from sys import float_info
from types import UnionType
from typing import TypeGuard

from ripstop.core.canonical import Json
from ripstop.core.decision import Decision, Verdict
from ripstop.core.value import dataclass
from ripstop.core.vocabulary import SignalSpec, Vocabulary
from ripstop.policy.budgets import Bucket
from ripstop.policy.document import Policy
from ripstop.policy.evaluate import apply
from ripstop.policy.ir import Expr, rule_of
from ripstop.policy.text_printer import text_of
from ripstop.policy.values import JsonLogicError

MOST_CHANGED = 3  # inputs that a proposal may change together
MOST_TRIED = 2000  # evaluations of a search
MOST_PROPOSALS = 3
_MOST_EACH = {2: 40, 3: 12}  # values tried of each input, where several change
_NOTHING_GIVEN: Mapping[str, Json] = {}
_ANY_OTHER = "other"  # a text, where the rule wants any but those that it names
_ORDER = ("<", "<=", ">", ">=", "==", "!=", "===", "!==")

Decide = Callable[[Mapping[str, Json]], Decision]


@dataclass(frozen=True, slots=True)
class Change:
    """One input that a proposal changes: `value` allows.

    `now` says in words what it is, `bound` how far it may go. `size` is the distance over the declared range,
    else over the present magnitude.
    """

    name: str
    before: Json
    value: Json
    now: str
    bound: str
    size: float

    def to_json(self) -> dict[str, Json]:
        """Give the fields for `--json` output."""
        return {"name": self.name, "before": self.before, "value": self.value, "bound": self.bound}


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be explained: `guarding` are the policies that guard the action, in evidence's order.

    `values` holds what each input is now: the context, and the latest sample of each signal that is read.
    """

    action: str
    guarding: tuple[Policy, ...]
    vocabulary: Vocabulary
    context: Mapping[str, Json]
    values: Mapping[str, Json]
    decide: Decide

    def spec(self, name: str) -> SignalSpec | None:
        """Give what declares a name."""
        action = self.vocabulary.actions.get(self.action)
        found = None if action is None else action.parameters.get(name)
        return found or self.vocabulary.signals.get(name)

    def shown(self, name: str, value: Json, *, exact: bool = False) -> str:
        """Write a value; a number in 12 digits, unless it must come out as it is."""
        spec = self.spec(name)
        if value is None:
            return "absent"
        if isinstance(value, bool) or not isinstance(value, int | float):
            return text_of(Expr("const", value=value))
        if isinstance(value, int) and not _is_number(value):
            return "beyond 1.8e308"
        unit = f" {spec.unit}" if spec is not None and spec.unit else ""
        rounded = f"{value:.12g}"
        return f"{repr(value) if exact and float(rounded) != value else rounded}{unit}"


@dataclass(slots=True)
class Search:
    """Looks for the smallest change of one input, then of two, then of three."""

    question: Question
    tried: int = 0

    def proposals(self) -> tuple[tuple[Change, ...], ...]:
        """Give the best few; none where no change that was tried allows."""
        names = self._names()
        candidates = {name: self._candidates(name) for name in names}
        for count in range(1, MOST_CHANGED + 1):
            if count > 1:
                candidates = {name: self._candidates(name, own=True)[: _MOST_EACH[count]] for name in names}
            found: dict[tuple[str, ...], tuple[Json, ...]] = {}
            for chosen in itertools.combinations(candidates, count):
                if self.tried >= MOST_TRIED:
                    break
                options = itertools.product(*(candidates[name] for name in chosen))
                ordered = sorted(options, key=functools.partial(self._size, chosen))
                allowed = next((values for values in ordered if self._allows(chosen, values)), None)
                if allowed is not None:
                    found[chosen] = allowed
            if count == 2 and not found:
                found = self._coupled(names)
            if found:
                return self._best(found)
        return ()

    def _coupled(self, names: Sequence[str]) -> dict[tuple[str, ...], tuple[Json, ...]]:
        """Change two inputs that are compared with each other: the second turns where the first puts it."""
        found: dict[tuple[str, ...], tuple[Json, ...]] = {}
        for first, second in itertools.permutations(names, 2):
            if self.tried >= MOST_TRIED:
                break
            options = [
                (value, follower)
                for value in self._candidates(first, own=True)[: _MOST_EACH[3]]
                for follower in self._candidates(second, own=True, given={first: value})
            ]
            ordered = sorted(options, key=functools.partial(self._size, (first, second)))
            allowed = next((values for values in ordered if self._allows((first, second), values)), None)
            if allowed is not None:
                found[first, second] = allowed
        return found

    def _best(self, found: Mapping[tuple[str, ...], tuple[Json, ...]]) -> tuple[tuple[Change, ...], ...]:
        """Draw the smallest back as near as still allows, and give those that are then the smallest."""
        nearest = sorted(found.items(), key=lambda item: self._size(*item))[: 2 * MOST_PROPOSALS]
        drawn = [self._drawn_back(names, values) for names, values in nearest]
        ranked = sorted(drawn, key=lambda changes: sum(change.size for change in changes))
        return tuple(ranked[:MOST_PROPOSALS])

    def _names(self) -> list[str]:
        """Give what may be changed: what is read now (not in a window), limits and costs."""
        names: dict[str, None] = {}
        for policy in self.question.guarding:
            for root in (*policy.program.whens, policy.program.rule):
                reads = (
                    part for part in root.walk(present=True) if part.op == "read" and len(part.path) == 1
                )
                names |= {str(part.path[0]): None for part in reads}
            names |= {limit.parameter: None for rule in policy.limits for limit in rule.limits}
            names |= {cost: None for cost, _ in _costs(policy)}
        return [name for name in names if self._is_plain(name)]

    def _is_plain(self, name: str) -> bool:
        """Whether a name holds one number, truth or text, as far as is known."""
        spec = self.question.spec(name)
        if spec is not None:
            return spec.type not in ("list", "estimate")
        return not isinstance(self.question.values.get(name), list | Mapping)

    def _allows(self, names: Sequence[str], values: Sequence[Json]) -> bool:
        self.tried += 1
        if self.tried > MOST_TRIED:
            return False
        changed = {**self.question.context, **dict(zip(names, values, strict=True))}
        return self.question.decide(changed).verdict is Verdict.ALLOW

    def _size(self, names: Sequence[str], values: Sequence[Json]) -> tuple[float, int]:
        """Order changes: small ones first, then those in round numbers."""
        digits = sum(len(repr(value)) for value in values if _is_number(value))
        return sum(map(self._distance, names, values)), digits

    def _distance(self, name: str, value: Json) -> float:
        """Give how far a value is from the present one, over its range or its magnitude."""
        before = self.question.values.get(name)
        if _is_number(before) and _is_number(value):
            spec = self.question.spec(name)
            width = None if spec is None or spec.low is None or spec.high is None else spec.high - spec.low
            return abs(value - before) / (width or max(abs(before), 1.0))
        return 1.0

    # where a decision may turn

    def _candidates(
        self, name: str, *, own: bool = False, given: Mapping[str, Json] = _NOTHING_GIVEN
    ) -> list[Json]:
        """Give the values to try, the nearest first.

        Args:
            name: the input.
            own: leave out the turning points of other inputs.
            given: what other inputs are changed to.
        """
        spec = self.question.spec(name)
        before = self.question.values.get(name)
        if isinstance(before, bool) if spec is None else spec.type == "boolean":
            return [value for value in (True, False) if value is not before]
        words = spec.values if spec is not None and spec.values else (*self._texts(), _ANY_OTHER)
        texts = [word for word in dict.fromkeys(words) if word != before]
        if spec is not None and spec.type == "string":
            return list[Json](texts)
        if spec is None and not _is_number(before) and self._is_compared(name, str):
            return list[Json](texts)
        points = {*self._roots(name, given), *self._bounds(name), *(() if own else self._elsewhere(name))}
        if not _is_number(before):
            points |= {point + step for point in points for step in (-1.0, 1.0)}  # rounder than beside it
        low = -inf if spec is None or spec.low is None else spec.low
        high = inf if spec is None or spec.high is None else spec.high
        around = {near for point in points for near in (nextafter(point, -inf), point, nextafter(point, inf))}
        made: list[Json] = [
            int(point) if point.is_integer() and abs(point) < 2**53 else point
            for point in sorted(around)
            if low <= point <= high and isfinite(point)
        ]
        may_be_any = spec is None and not _is_number(before) and not self._is_compared(name, int | float)
        made += [True, *texts] if may_be_any else []
        return sorted(made, key=lambda value: self._size((name,), (value,)))

    def _is_compared(self, name: str, kind: type | UnionType) -> bool:
        """Whether a literal of a kind stands beside an input, as what that is taken for."""
        beside = (
            value
            for part in self._parts()
            if any(arg.op == "read" and arg.path == (name,) for arg in part.args)
            for value in _literals(part.args)
        )
        return any(isinstance(value, kind) and not isinstance(value, bool) for value in beside)

    def _parts(self) -> Iterator[Expr]:
        for policy in self.question.guarding:
            for root in (*policy.program.whens, policy.program.rule):
                yield from root.walk(present=True)

    def _texts(self) -> list[str]:
        return [value for value in _literals(self._parts()) if isinstance(value, str)]

    def _numbers(self) -> list[float]:
        return [float(value) for value in _literals(self._parts()) if _is_number(value)]

    def _elsewhere(self, name: str) -> Iterator[float]:
        """Give zero, the literals and what other inputs are: a rule that is not linear may turn there."""
        yield 0.0
        yield from self._numbers()
        others = (value for key, value in self.question.values.items() if key != name)
        yield from (float(value) for value in others if _is_number(value))

    def _bounds(self, name: str) -> Iterator[float]:
        """Give the ends of the input's limits, of what a bucket may hold, and of its declared range."""
        for policy in self.question.guarding:
            for limit in (each for rule in policy.limits for each in rule.limits if each.parameter == name):
                yield from (float(bound) for bound in (limit.low, limit.high) if bound is not None)
            yield from (bound for cost, tokens in _costs(policy) if cost == name for bound in (0.0, tokens))
        spec = self.question.spec(name)
        if spec is not None:
            yield from (float(bound) for bound in (spec.low, spec.high) if bound is not None)

    def _roots(self, name: str, given: Mapping[str, Json]) -> Iterator[float]:
        """Give where the two sides of a comparison meet, if they are linear in the input."""
        values = {**self.question.values, **given}
        at = self.question.values.get(name)
        first = float(at) if _is_number(at) else 0.0
        for part in self._parts():
            if part.op in _ORDER and any(each.op == "read" and each.path == (name,) for each in part.walk()):
                for left, right in itertools.pairwise(part.args):
                    yield from self._root({"-": [rule_of(left), rule_of(right)]}, values, name, first)

    def _root(self, difference: Json, values: Mapping[str, Json], name: str, first: float) -> Iterator[float]:
        gaps = []
        for at in (first, first + 1.0):
            try:
                gap = apply(difference, {**values, name: at})
            except JsonLogicError:
                return
            if not _is_number(gap):
                return
            gaps.append(float(gap))
        if gaps[0] != gaps[1]:
            yield first - gaps[0] / (gaps[1] - gaps[0])

    # as near as still allows

    def _drawn_back(self, names: tuple[str, ...], values: tuple[Json, ...]) -> tuple[Change, ...]:
        current = list(values)
        changes = []
        for index, name in enumerate(names):
            before, value = self.question.values.get(name), current[index]
            if not _is_number(value):
                bound = self.question.shown(name, value)
            elif _is_number(before):
                near, beyond = self._bisected(names, current, index, float(before))
                current[index] = near
                bound = self._bound(name, near, beyond)
            else:
                bound = self._example(name, value)
            size = self._distance(name, current[index])
            changes.append(
                Change(name, before, current[index], self.question.shown(name, before), bound, size)
            )
        return tuple(changes)

    def _bisected(
        self, names: Sequence[str], values: Sequence[Json], index: int, before: float
    ) -> tuple[float, float]:
        """Give the nearest value that allows and the one beside it that does not."""
        good, bad = float(values[index]), before  # type: ignore[arg-type]  # a number, as the caller found
        while True:
            middle = good + (bad - good) / 2
            if middle in (good, bad):
                return good, bad
            trial = [*values[:index], middle, *values[index + 1 :]]
            changed = {**self.question.context, **dict(zip(names, trial, strict=True))}
            if self.question.decide(changed).verdict is Verdict.ALLOW:
                good = middle
            else:
                bad = middle

    def _bound(self, name: str, near: float, beyond: float) -> str:
        """Say in round numbers where it turns: `at least 30`, or `more than 30` where 30 itself is denied."""
        upward = near > beyond
        if len(repr(beyond)) < len(repr(near)):
            return f"{'more' if upward else 'less'} than {self.question.shown(name, beyond, exact=True)}"
        return f"at {'least' if upward else 'most'} {self.question.shown(name, near, exact=True)}"

    def _example(self, name: str, value: float) -> str:
        """Say a number that allows where none stands now: `less than 3` for the one just below 3."""
        below, above = nextafter(value, -inf), nextafter(value, inf)
        beyond = min((below, above), key=lambda each: len(repr(each)))
        if len(repr(beyond)) < len(repr(float(value))):
            return self._bound(name, value, beyond)
        return self.question.shown(name, value, exact=True)


def _costs(policy: Policy) -> Iterator[tuple[str, float]]:
    """Give the parameters that buckets of tokens are paid by, and what a full bucket holds."""
    for budget in policy.budgets:
        if isinstance(budget, Bucket) and isinstance(budget.cost, str):
            yield budget.cost, float(budget.tokens)


def _literals(parts: Iterable[Expr]) -> Iterator[Json]:
    """Give the literals among some parts, those in lists one by one."""
    for value in (part.value for part in parts if part.op == "const"):
        yield from value if isinstance(value, list) else [value]


def _is_number(value: object) -> TypeGuard[float]:
    """Whether it is a number that binary64 holds; an integer of JSON may be larger."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= float_info.max
