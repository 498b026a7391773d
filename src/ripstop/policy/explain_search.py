"""A search for the smallest change of inputs that turns a decision into ALLOW.

It looks at the points where a comparison turns: its other side, its root where it is linear, the ends of
limits and ranges, the words of an enumeration. Each proposal has been evaluated: with it the decision is
ALLOW. Numbers are then drawn back by bisection as near to their present value as still allows. Where a rule
is not linear or not monotone there may be a smaller change than the one found.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import inf, isfinite, nextafter
from typing import TypeGuard

from ripstop.core.canonical import Json
from ripstop.core.decision import Decision, Verdict
from ripstop.core.value import dataclass
from ripstop.core.vocabulary import SignalSpec, Vocabulary
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

    def shown(self, name: str, value: Json) -> str:
        """Write a value."""
        spec = self.spec(name)
        if value is None:
            return "absent"
        if isinstance(value, bool) or not isinstance(value, int | float):
            return text_of(Expr("const", value=value))
        unit = f" {spec.unit}" if spec is not None and spec.unit else ""
        return f"{value:.12g}{unit}"


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
        """Give what may be changed: what is read now (not in a window), and what limits bound."""
        names: dict[str, None] = {}
        for policy in self.question.guarding:
            for root in (*policy.program.whens, policy.program.rule):
                reads = (
                    part for part in root.walk(present=True) if part.op == "read" and len(part.path) == 1
                )
                names |= {str(part.path[0]): None for part in reads}
            names |= {limit.parameter: None for rule in policy.limits for limit in rule.limits}
        return [name for name in names if self._is_plain(name)]

    def _is_plain(self, name: str) -> bool:
        """Whether a name holds one number, truth or text, as far as is known."""
        spec = self.question.spec(name)
        value = self.question.values.get(name)
        return (spec is None or spec.type not in ("list", "estimate")) and not isinstance(
            value, list | Mapping
        )

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
        if isinstance(before, bool) or (spec is not None and spec.type == "boolean"):
            return [value for value in (True, False) if value is not before]
        if isinstance(before, str) or (spec is not None and spec.type == "string"):
            words = spec.values if spec is not None and spec.values else self._texts()
            return [word for word in dict.fromkeys(words) if word != before]
        points = {*self._roots(name, given), *self._bounds(name), *(() if own else self._elsewhere(name))}
        low = -inf if spec is None or spec.low is None else spec.low
        high = inf if spec is None or spec.high is None else spec.high
        around = {near for point in points for near in (nextafter(point, -inf), point, nextafter(point, inf))}
        made: list[Json] = [
            int(point) if point.is_integer() and abs(point) < 2**53 else point
            for point in sorted(around)
            if low <= point <= high and isfinite(point)
        ]
        is_of_unknown_type = spec is None and before is None
        made += [True, *self._texts()] if is_of_unknown_type else []
        return sorted(made, key=lambda value: self._size((name,), (value,)))

    def _parts(self) -> Iterator[Expr]:
        for policy in self.question.guarding:
            for root in (*policy.program.whens, policy.program.rule):
                yield from root.walk(present=True)

    def _literals(self) -> Iterator[Json]:
        """Give the literals, those in lists one by one."""
        for value in (part.value for part in self._parts() if part.op == "const"):
            yield from value if isinstance(value, list) else [value]

    def _texts(self) -> list[str]:
        return [value for value in self._literals() if isinstance(value, str)]

    def _numbers(self) -> list[float]:
        return [float(value) for value in self._literals() if _is_number(value)]

    def _elsewhere(self, name: str) -> Iterator[float]:
        """Give the literals and what other inputs are: where the rule is not linear it may turn there."""
        yield from self._numbers()
        others = (value for key, value in self.question.values.items() if key != name)
        yield from (float(value) for value in others if _is_number(value))

    def _bounds(self, name: str) -> Iterator[float]:
        """Give the ends of the input's limits and of its declared range."""
        for policy in self.question.guarding:
            for limit in (each for rule in policy.limits for each in rule.limits if each.parameter == name):
                yield from (float(bound) for bound in (limit.low, limit.high) if bound is not None)
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
            before, bound = self.question.values.get(name), ""
            if _is_number(before) and _is_number(current[index]):
                near, beyond = self._bisected(names, current, index, float(before))
                current[index] = near
                bound = self._bound(name, near, beyond)
            else:
                bound = self.question.shown(name, current[index])
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
            return f"{'more' if upward else 'less'} than {self.question.shown(name, beyond)}"
        return f"at {'least' if upward else 'most'} {self.question.shown(name, near)}"


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
