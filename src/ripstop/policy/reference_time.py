"""The reference semantics of temporal operators: over a whole trace, by definition. Slow, obvious.

`History` keeps every observation. Between two moments at which something may change, every condition is
constant; so each definition quantifies over the stretches between such moments, cut to the window.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import field
from itertools import pairwise

from ripstop.core.canonical import Json
from ripstop.core.sample import Sample
from ripstop.core.value import dataclass
from ripstop.core.vocabulary import Vocabulary
from ripstop.policy.budgets import Budget
from ripstop.policy.bundle import Bundle
from ripstop.policy.evaluate import Scope
from ripstop.policy.ir import TEMPORAL
from ripstop.policy.reference import Inputs, PolicyMachine, Unknown
from ripstop.policy.state import FOREVER_US, NEVER_US, Reading, Spent, State
from ripstop.policy.temporal import Condition, Readings, Recalled, Truth, Watched, key_of, operands, window_us
from ripstop.policy.values import JsonLogicError


def evaluate(
    rule: Json, vocabulary: Vocabulary, readings: Readings, t_us: int, recall: Callable[[Json], Json]
) -> Truth:
    """Evaluate a condition at one moment; None is UNKNOWN."""
    inputs = Inputs(Bundle((), vocabulary), "", {}, t_us, readings)
    try:
        return PolicyMachine(inputs.look, recall).truth(rule, Scope(None))
    except (Unknown, JsonLogicError, RecursionError):
        return None


def conditions_of(entry: Watched, vocabulary: Vocabulary) -> tuple[Condition, ...]:
    """Give what evaluates an operator's conditions exactly, for `Watch`."""

    def condition(rule: Json) -> Condition:
        def evaluated(readings: Readings, t_us: int, recalled: Recalled) -> Truth:
            return evaluate(
                rule, vocabulary, readings, t_us, lambda inner: recalled.get(key_of(inner, vocabulary))
            )

        return evaluated

    return tuple(map(condition, entry.conditions))


@dataclass(slots=True)
class History:
    """Every observation: the readings after each one and the moment from which it counts, in order.

    Several may count from one moment; its readings are those after the last of them.
    """

    vocabulary: Vocabulary
    moments: list[int] = field(default_factory=list)
    snapshots: list[State] = field(default_factory=list)

    def observe(self, signals: Mapping[str, Json], t_us: int) -> None:
        """Take samples; late ones count from the latest moment on, those of one moment replace."""
        before = self.snapshots[-1] if self.snapshots else State(self.vocabulary)
        after = before.observe(signals, t_us)
        self.moments.append(after.t_us)
        self.snapshots.append(after)

    @property
    def readings(self) -> Mapping[str, Reading]:
        """The latest readings."""
        return self.snapshots[-1].readings if self.snapshots else {}

    def sample(self, name: str) -> Sample | None:
        """Give the latest sample of a signal."""
        return self.snapshots[-1].sample(name) if self.snapshots else None

    def recall(self, t_us: int) -> Callable[[Json], Json]:
        """Give what tells a temporal operator's value at a moment, not before the latest observation."""
        at_us = max([t_us, *self.moments[-1:]])
        return lambda rule: self.value(rule, at_us)

    def room(self, key: str, budget: Budget, context: Mapping[str, Json], t_us: int) -> bool | None:
        """Nothing is consumed in a history of observations."""
        return budget.has_room(Spent(), context, t_us)

    def value(self, rule: Json, t_us: int) -> Json:
        """Give a temporal operator's value at a moment; None is UNKNOWN."""
        name, args = operands(rule)
        if name == "previous":
            return self._previous(args[0], t_us)
        window = window_us(args[2 if name == "since" else 1])
        begin = t_us - window
        if name == "count_within":
            return self._count(args[0], begin, t_us, int(str(args[2])))
        if name == "since":
            return self._since(args[0], args[1], begin, t_us)
        truths = {self.truth(args[0], first) for first, _ in self.stretches(rule, begin, t_us)}
        decisive = name == "once"
        if decisive in truths:
            return decisive
        return None if None in truths else not decisive

    def _since(self, held: Json, start: Json, begin: int, t_us: int) -> Truth:
        """Some moment of the window has the start, and all later ones the condition (Kleene's and, or)."""
        stretches = self.stretches({"since": [held, start, 0]}, begin, t_us)
        outcome: Truth = False
        for index, (first, _) in enumerate(stretches):
            truths = [self.truth(start, first)]
            truths += [self.truth(held, later) for later, _ in stretches[index + 1 :]]
            both: Truth = False if False in truths else None if None in truths else True
            outcome = True if outcome or both else None if outcome is None or both is None else False
        return outcome

    def _count(self, condition: Json, begin: int, t_us: int, most: int) -> int | None:
        """Count the moments of the window at which the condition is true and was false just before."""
        stretches = self.stretches({"count_within": [condition, 0, 0]}, begin - 1, t_us)
        truths = [self.truth(condition, first) for first, _ in stretches]
        count = sum(before is False and now is True for before, now in pairwise(truths))
        if count >= most:
            return most
        return None if None in truths else count

    def _previous(self, read: Json, t_us: int) -> Json:
        """Give the last sample of a signal at the moment before its latest one."""
        name = str(operands(read)[1][0])
        readings: dict[int, Reading] = {}
        for moment, state in zip(self.moments, self.snapshots, strict=True):
            if moment <= t_us and name in state.readings:
                readings[state.readings[name].t_us] = state.readings[name]
        if len(readings) < 2:
            return None
        reading = readings[sorted(readings)[-2]]
        return None if reading.until_us == NEVER_US else reading.value

    def truth(self, condition: Json, t_us: int) -> Truth:
        """Evaluate a condition at a moment."""
        index = bisect_right(self.moments, t_us)
        readings = self.snapshots[index - 1].readings if index else {}
        return evaluate(condition, self.vocabulary, readings, t_us, lambda inner: self.value(inner, t_us))

    def stretches(self, rule: Json, begin: int, t_us: int) -> list[tuple[int, int]]:
        """Cut a window at every moment at which something inside the operator may change."""
        cuts = sorted({begin, *(moment for moment in self._changes(rule) if begin < moment <= t_us)})
        return list(zip(cuts, [*(cut - 1 for cut in cuts[1:]), t_us], strict=True))

    def _changes(self, rule: Json) -> set[int]:
        """Give the moments at which the conditions inside an operator may change."""
        changes = set(self.moments)
        for state in self.snapshots:
            ends = (reading.until_us for reading in state.readings.values())
            changes.update(end + 1 for end in ends if NEVER_US < end < FOREVER_US)
        for inner in _inside(operands(rule)[1]):
            name, args = operands(inner)
            if name != "previous":
                window = window_us(args[2 if name == "since" else 1])
                # what changes in a window changes its operator as it comes in, and as it leaves
                after = (0, window, window + 1)
                changes.update(moment + late for moment in self._changes(inner) for late in after)
        return changes


def _inside(rule: Json) -> list[Mapping[str, Json]]:
    """Give the outermost temporal operators inside an expression."""
    if isinstance(rule, list | tuple):
        return [found for item in rule for found in _inside(item)]
    if not isinstance(rule, Mapping):
        return []
    if len(rule) == 1 and next(iter(rule)) in TEMPORAL:
        return [rule]
    return [found for item in rule.values() for found in _inside(item)]
