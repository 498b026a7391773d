"""Policies in force together, and how their outcomes make one decision.

The verdict is the meet over the policies that guard the action. Nothing here depends on the policies' order
except the order in which evidence and reasons are listed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ripstop.core.canonical import Json
from ripstop.core.decision import Limit, Reason, Verdict
from ripstop.core.errors import PolicyError
from ripstop.core.vocabulary import OPEN, Vocabulary
from ripstop.policy.document import Policy
from ripstop.policy.evaluate import apply
from ripstop.policy.values import JsonLogicError, is_truthy


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one policy says: its verdict, which of its limit rules are active, why; and its evidence code."""

    verdict: Verdict
    active: tuple[int, ...] = ()
    reasons: tuple[Reason, ...] = ()
    code: int = 0


@dataclass(frozen=True, slots=True)
class Bundle:
    """Policies that are in force together, over the vocabulary of the agent that they govern."""

    policies: tuple[Policy, ...]
    vocabulary: Vocabulary

    def guarding(self, action: str) -> tuple[Policy, ...]:
        """Give the policies that have a say on an action; only safety policies have one on a failsafe."""
        spec = self.vocabulary.actions.get(action)
        return tuple(
            policy
            for policy in self.policies
            if policy.guards_action(action, self.vocabulary)
            and (spec is None or not spec.is_failsafe or policy.tier == "safety")
        )

    def is_declared(self, action: str) -> bool:
        """Whether the vocabulary knows the action."""
        return self.vocabulary.is_open or action in self.vocabulary.actions


def make_bundle(
    policies: Sequence[Policy],
    vocabulary: Vocabulary | None = None,
    capabilities: Sequence[str] | None = None,
) -> Bundle:
    """Put policies together for one agent.

    Args:
        policies: in the order in which evidence is to be listed.
        vocabulary: the agent's; without it the most derived one among the policies'.
        capabilities: the agent's; policies whose `applies_to` is false are left out. None is unknown, and
            what is unknown applies.

    Raises:
        PolicyError: E0312 for two policies of one id, E0313 for vocabularies that do not fit.
    """
    seen: set[str] = set()
    for policy in policies:
        if policy.id in seen:
            raise PolicyError(
                f"two policies are called `{policy.id}`", code="E0312", hint="ids are unique in a bundle"
            )
        seen.add(policy.id)
    chosen = vocabulary or _most_derived(policies)
    for policy in policies:
        if not policy.vocabulary.is_open and not chosen.descends_from(policy.vocabulary.name):
            raise PolicyError(
                f"policy `{policy.id}` speaks of `{policy.vocabulary.name}`, the agent of `{chosen.name}`",
                code="E0313",
                hint="the agent's vocabulary is the policy's own, or descends from it",
            )
    return Bundle(tuple(policy for policy in policies if _applies(policy, capabilities)), chosen)


def _most_derived(policies: Sequence[Policy]) -> Vocabulary:
    closed = [policy.vocabulary for policy in policies if not policy.vocabulary.is_open]
    return max(closed, key=lambda vocabulary: len(vocabulary.lineage), default=OPEN)


def _applies(policy: Policy, capabilities: Sequence[str] | None) -> bool:
    if policy.applies_to is None or capabilities is None:
        return True
    try:
        return is_truthy(apply(policy.applies_to, {"capabilities": list(capabilities)}))
    except JsonLogicError:
        return True


@dataclass(frozen=True, slots=True)
class Composed:
    """A verdict with its limits and reasons."""

    verdict: Verdict
    limits: tuple[Limit, ...] = ()
    reasons: tuple[Reason, ...] = ()


def compose(
    bundle: Bundle,
    action: str,
    guarding: Sequence[Policy],
    outcomes: Sequence[Outcome],
    context: Mapping[str, Json],
) -> Composed:
    """Make one decision out of the outcomes of the guarding policies."""
    if not bundle.is_declared(action):
        return Composed(
            Verdict.DENY, (), (Reason("", "undeclared", f"the vocabulary declares no action `{action}`"),)
        )
    spec = bundle.vocabulary.actions.get(action)
    is_failsafe = spec is not None and spec.is_failsafe
    if not guarding:
        allowed = is_failsafe or bundle.vocabulary.unguarded == "allow"
        why = () if is_failsafe else (Reason("", "unguarded", f"no policy guards `{action}`"),)
        return Composed(Verdict.ALLOW if allowed else Verdict.DENY, (), why)
    if is_failsafe and action == bundle.vocabulary.failsafes[-1]:
        return Composed(Verdict.ALLOW, (), (Reason("", "failsafe", f"`{action}` is always permitted"),))
    reasons = tuple(reason for outcome in outcomes for reason in outcome.reasons)
    limits, tightening = _intersected(guarding, outcomes)
    verdict = min((outcome.verdict for outcome in outcomes), default=Verdict.ALLOW)
    for limit in limits:
        found = _judge(limit, tightening[limit.parameter], context)
        if found is not None:
            verdict = min(verdict, found[0])
            reasons = (*reasons, found[1])
    if is_failsafe and verdict is Verdict.DENY:
        text = f"no policy denies the failsafe `{action}`"
        return Composed(Verdict.ALLOW, limits, (*reasons, Reason("", "failsafe", text)))
    return Composed(verdict, limits, reasons)


def _intersected(
    guarding: Sequence[Policy], outcomes: Sequence[Outcome]
) -> tuple[tuple[Limit, ...], Mapping[str, str]]:
    """Intersect the active limits of each parameter, and name a policy that set one."""
    limits: dict[str, Limit] = {}
    sources: dict[str, str] = {}
    for policy, outcome in zip(guarding, outcomes, strict=True):
        for index in outcome.active:
            for limit in policy.limits[index].limits:
                before = limits.get(limit.parameter)
                met = limit if before is None else before.meet(limit)
                if met != before:
                    limits[limit.parameter], sources[limit.parameter] = met, policy.id
    return tuple(limits[name] for name in sorted(limits)), sources


def _judge(limit: Limit, source: str, context: Mapping[str, Json]) -> tuple[Verdict, Reason] | None:
    """Say what a limit makes of the parameter's value; None when the value is inside."""
    if limit.is_empty:
        return Verdict.DENY, Reason(source, "empty_limit", f"the limits leave nothing of `{limit.parameter}`")
    value = context.get(limit.parameter)
    if isinstance(value, int | float) and limit.holds(value):
        return None
    what = "absent" if value is None else "outside its limit"
    text = f"`{limit.parameter}` is {what}, permitted is {shown_range(limit)}"
    return Verdict.LIMIT, Reason(source, "outside_limit", text)


def shown_range(limit: Limit) -> str:
    """Write a limit for people."""
    if limit.low is None:
        return f"at most {limit.high:g}"
    return f"at least {limit.low:g}" if limit.high is None else f"{limit.low:g} to {limit.high:g}"
