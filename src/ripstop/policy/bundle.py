"""Policies in force together, and how their outcomes make one decision.

The verdict is the meet over the policies that guard the action. Nothing here depends on the policies' order
except the order in which evidence and reasons are listed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf

from ripstop.core.canonical import Json
from ripstop.core.decision import Limit, Reason, Verdict
from ripstop.core.errors import PolicyError
from ripstop.core.value import dataclass
from ripstop.core.vocabulary import OPEN, Vocabulary
from ripstop.policy.applicability import applies
from ripstop.policy.document import Policy


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
    return Bundle(tuple(policy for policy in policies if applies(policy.applies_to, capabilities)), chosen)


def _most_derived(policies: Sequence[Policy]) -> Vocabulary:
    closed = [policy.vocabulary for policy in policies if not policy.vocabulary.is_open]
    return max(closed, key=lambda vocabulary: len(vocabulary.lineage), default=OPEN)


@dataclass(frozen=True, slots=True)
class Met:
    """What the outcomes come to before the parameters are looked at.

    `limits` are the active ones, intersected and sorted by parameter; `sources` names for each a policy that
    set it. A `is_final` verdict stands whatever the parameters are; `floor` is the least verdict that may
    come out (a failsafe action is never denied).
    """

    verdict: Verdict
    limits: tuple[Limit, ...] = ()
    reasons: tuple[Reason, ...] = ()
    sources: tuple[str, ...] = ()
    is_final: bool = False
    floor: Verdict = Verdict.DENY

    @property
    def ranges(self) -> tuple[tuple[str, float, float], ...] | None:
        """What each limited parameter may be, infinities for open ends; None when nothing may."""
        if any(limit.is_empty for limit in self.limits):
            return None
        return tuple(
            (
                limit.parameter,
                -inf if limit.low is None else limit.low,
                inf if limit.high is None else limit.high,
            )
            for limit in self.limits
        )


@dataclass(frozen=True, slots=True)
class Composed:
    """A verdict with its limits and reasons."""

    verdict: Verdict
    limits: tuple[Limit, ...] = ()
    reasons: tuple[Reason, ...] = ()


def meet(bundle: Bundle, action: str, guarding: Sequence[Policy], outcomes: Sequence[Outcome]) -> Met:
    """Meet the outcomes of the policies that guard an action."""
    if not bundle.is_declared(action):
        why = Reason("", "undeclared", f"the vocabulary declares no action `{action}`")
        return Met(Verdict.DENY, reasons=(why,), is_final=True)
    spec = bundle.vocabulary.actions.get(action)
    is_failsafe = spec is not None and spec.is_failsafe
    if is_failsafe and (not guarding or action == bundle.vocabulary.failsafes[-1]):
        return Met(Verdict.ALLOW, is_final=True)
    if not guarding:
        allowed = bundle.vocabulary.unguarded == "allow"
        why = Reason("", "unguarded", f"no policy guards `{action}`")
        return Met(Verdict.ALLOW if allowed else Verdict.DENY, reasons=(why,), is_final=True)
    limits, sources = _intersected(guarding, outcomes)
    reasons = tuple(reason for outcome in outcomes for reason in outcome.reasons)
    verdict = min((outcome.verdict for outcome in outcomes), default=Verdict.ALLOW)
    if is_failsafe and verdict is Verdict.DENY:
        verdict = Verdict.ALLOW
        reasons = (*reasons, Reason("", "failsafe", f"no policy denies the failsafe `{action}`"))
    floor = Verdict.LIMIT if is_failsafe else Verdict.DENY
    return Met(verdict, limits, reasons, sources, not limits, floor)


def judge(met: Met, context: Mapping[str, Json]) -> Composed:
    """Look at the parameters: outside a limit, or absent, is LIMIT; a limit that leaves nothing is DENY."""
    verdict, reasons = met.verdict, met.reasons
    for limit, source in zip(met.limits, met.sources, strict=True):
        found = _judge(limit, source, context)
        if found is not None:
            verdict = min(verdict, max(found[0], met.floor))
            reasons = (*reasons, found[1])
    return Composed(verdict, met.limits, reasons)


def _intersected(
    guarding: Sequence[Policy], outcomes: Sequence[Outcome]
) -> tuple[tuple[Limit, ...], tuple[str, ...]]:
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
    names = sorted(limits)
    return tuple(limits[name] for name in names), tuple(sources[name] for name in names)


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
