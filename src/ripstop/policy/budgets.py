"""Resource budgets: at most so many actions in a window, or a bucket of tokens that refills.

budgets:
  - {at_most: 3, within_s: 600}                              # three guarded actions in any ten minutes
  - {tokens: 20, refill_per_s: 0.5, cost: payload_kg}        # a bucket; the cost is 1 if none is given

`decide` looks and consumes nothing; `commit` consumes, just before the action.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from sys import float_info
from typing import TypeAlias

from ripstop.core.canonical import Json, digest
from ripstop.core.value import dataclass
from ripstop.policy.diagnostics import Findings
from ripstop.policy.fields import Fields
from ripstop.policy.source import Node, shown
from ripstop.policy.state_reading import Spent

MOST_ACTIONS = 1000
LONGEST_WINDOW_S = 366 * 86_400.0


@dataclass(frozen=True, slots=True)
class Quota:
    """At most `at_most` actions in any window of `within_s` seconds, both ends included."""

    at_most: int
    within_s: float

    def has_room(self, spent: Spent, context: Mapping[str, Json], t_us: int) -> bool | None:
        """Whether one more action fits; None where that cannot be known."""
        return len(self._held(spent, t_us)) < self.at_most

    def consumed(self, spent: Spent, context: Mapping[str, Json], t_us: int) -> Spent:
        """Give what is consumed after one more action."""
        times = (*self._held(spent, t_us), max((t_us, *spent.times[-1:])))
        return Spent(times[-self.at_most :])

    def _held(self, spent: Spent, t_us: int) -> tuple[int, ...]:
        begin = t_us - round(self.within_s * 1e6)
        return tuple(moment for moment in spent.times if moment >= begin)

    def to_json(self) -> dict[str, Json]:
        """Give it as a document writes it."""
        return {"at_most": self.at_most, "within_s": self.within_s}

    def __str__(self) -> str:
        return f"at most {self.at_most} in {self.within_s:g} s"


@dataclass(frozen=True, slots=True)
class Bucket:
    """`tokens` at most and to begin with, refilled at `refill_per_s`; an action costs some.

    `cost` is a number, or the name of the parameter that says how much.
    """

    tokens: float
    refill_per_s: float
    cost: float | str = 1

    def has_room(self, spent: Spent, context: Mapping[str, Json], t_us: int) -> bool | None:
        """Whether one more action fits; None where its cost is not known."""
        cost = self._cost(context)
        return None if cost is None else cost <= self._level(spent, t_us)

    def consumed(self, spent: Spent, context: Mapping[str, Json], t_us: int) -> Spent:
        """Give what is consumed after one more action; the level may go below zero for a failsafe."""
        level = self._level(spent, t_us) - (self._cost(context) or 0)
        return Spent((max((t_us, *spent.times)),), level)

    def _cost(self, context: Mapping[str, Json]) -> float | None:
        cost = context.get(self.cost) if isinstance(self.cost, str) else self.cost
        if isinstance(cost, bool) or not isinstance(cost, int | float):
            return None
        return cost if 0 <= cost <= float_info.max else None

    def _level(self, spent: Spent, t_us: int) -> float:
        if not spent.times:
            return self.tokens
        elapsed_us = max(0, t_us - spent.times[-1])
        return min(self.tokens, spent.tokens + self.refill_per_s * (elapsed_us / 1e6))

    def to_json(self) -> dict[str, Json]:
        """Give it as a document writes it."""
        return {"tokens": self.tokens, "refill_per_s": self.refill_per_s, "cost": self.cost}

    def __str__(self) -> str:
        return f"a bucket of {self.tokens:g} that refills at {self.refill_per_s:g} a second"


Budget: TypeAlias = "Quota | Bucket"


def key_of_budget(policy: str, guards: Sequence[str] | None, number: int, budget: Budget) -> str:
    """Give the key under which a budget's consumption is kept: that of the same policy's same budget."""
    return digest([policy, None if guards is None else list(guards), number, budget.to_json()])


def read_budgets(
    node: Node | None, parameters: Sequence[str] | None, findings: Findings
) -> tuple[Budget, ...]:
    """Read the budgets of a document.

    Args:
        node: the array, if there is one.
        parameters: those that every guarded action has; None where nothing is declared.
        findings: takes what is wrong.
    """
    if node is None:
        return ()
    if node.items is None:
        findings.error("E0303", f"`budgets` is an array, got `{node.kind}`", node)
    found = (_budget(item, parameters, findings) for item in node.items or ())
    return tuple(budget for budget in found if budget is not None)


def _budget(node: Node, parameters: Sequence[str] | None, findings: Findings) -> Budget | None:
    is_bucket = node.entries is not None and "tokens" in node.entries
    keys = ("tokens", "refill_per_s", "cost") if is_bucket else ("at_most", "within_s")
    fields = Fields(node, findings, keys, "a budget")
    fields.require(*keys[:2])
    first, second = fields.positive(keys[0]), fields.positive(keys[1])
    if is_bucket:
        cost = _cost(fields, parameters)
        return None if first is None or second is None else Bucket(first, second, cost)
    if first is not None and (not float(first).is_integer() or first > MOST_ACTIONS):
        findings.error(
            "E0211",
            f"a budget counts from 1 to {MOST_ACTIONS} actions, got `{first}`",
            fields.entries[keys[0]],
        )
    if second is not None and not 1e-6 <= second <= LONGEST_WINDOW_S:
        message = f"a window is a number of seconds above 0 and up to {LONGEST_WINDOW_S:.0f}, got `{second}`"
        findings.error("E0211", message, fields.entries[keys[1]])
    return None if first is None or second is None else Quota(int(first), second)


def _cost(fields: Fields, parameters: Sequence[str] | None) -> float | str:
    node = fields.entries.get("cost")
    if node is None or not isinstance(node.scalar, str):
        return fields.positive("cost") or 1
    if parameters is not None and node.scalar not in parameters:
        fields.findings.error(
            "E0307", f"not every guarded action has a number `{shown(node.scalar)}`", node, "name a parameter"
        )
    return node.scalar
