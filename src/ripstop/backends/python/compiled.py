"""A compiled bundle: decides about actions through generated code, and exactly as the reference does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from typing import TYPE_CHECKING, TypeAlias

from ripstop.backends.python.plan import Function, Group, compile_groups
from ripstop.backends.python.raw import RawVerdict, compile_raw
from ripstop.backends.python.tracking import Layout, Step, Tracker, compile_step
from ripstop.backends.python.watching import known_keys, recalls_of, watch_of
from ripstop.core.canonical import Json
from ripstop.core.decision import Decision, EvidenceTable, Verdict
from ripstop.core.sample import Sample, SampleTable
from ripstop.core.value import dataclass
from ripstop.core.vocabulary import Vocabulary
from ripstop.policy import reference
from ripstop.policy.budgets import Budget
from ripstop.policy.bundle import Bundle, Met, Outcome, judge, make_bundle, meet
from ripstop.policy.document import Policy
from ripstop.policy.reference_record import Recorded
from ripstop.policy.state import Reading, Spent, State

if TYPE_CHECKING:
    from ripstop.policy.margin import Margin

_NO_READINGS: Mapping[str, Reading] = {}
_MOST_MEETS = 1024
_MOST_PLANS = 256  # of undeclared actions
_MOST_GROUPS = 256  # of undeclared actions, and of mitigations that come and go


def _forget(key: str) -> Json:
    return None


_Ranges: TypeAlias = "tuple[tuple[str, float, float], ...]"
_Groups: TypeAlias = dict[tuple[str | None, ...], tuple[Group, ...]]


def _are_inside(ranges: _Ranges, context: Mapping[str, Json]) -> bool:
    """Whether every limited parameter is there and inside; false also where only a closer look can tell."""
    for parameter, low, high in ranges:
        value = context.get(parameter)
        if not isinstance(value, float | int) or not low <= value <= high:
            return False
    return True


@dataclass(slots=True)
class _Plan:
    """How one action is decided."""

    guarding: tuple[Policy, ...]
    groups: tuple[Group, ...]
    digests: tuple[str, ...]
    reads: tuple[str, ...]
    recalls: tuple[str, ...]  # keys of temporal operators
    key: Callable[[Json], str]  # of a temporal operator, by its rule
    remembers: Mapping[str, Budget | None]  # what a record keeps of the past, in order: operators, budgets
    budgets: tuple[tuple[str, Budget], ...]
    function: Function | None  # where one group says it all, and no budget has a say
    settled: Met | None  # where no policy has a say
    meets: dict[tuple[int, ...], tuple[Met, _Ranges | None]] = field(default_factory=dict)


class Compiled:
    """Policies compiled for one agent; immutable to its users, so it may be shared between agents.

    `verdict(context, t_us=0)` gives the raw verdict of a bundle's only rule (of several: their meet, UNKNOWN
    below all); ranges and ages are `decide`'s business.
    """

    __slots__ = ("_base", "_groups", "_numbers", "_plans", "_stepping", "_watch", "bundle", "verdict")

    verdict: RawVerdict

    def __init__(
        self,
        bundle: Bundle,
        base: Compiled | None = None,
        groups: _Groups | None = None,
    ) -> None:
        self.bundle = bundle
        self._base = base
        self._plans: dict[str, _Plan] = {}
        self._groups: _Groups = {} if groups is None else groups
        self._numbers: dict[str, Callable[[Json], int]] = {}
        self._watch = watch_of(bundle)
        self._stepping: tuple[Step, Layout | None] | None = None

    if not TYPE_CHECKING:  # else every name would seem to be there

        def __getattr__(self, name):
            """Compile the raw verdict when somebody asks for it: who only decides does without."""
            if name != "verdict":
                raise AttributeError(f"`{type(self).__name__}` has no attribute `{name}`")
            self.verdict = _raw(self.bundle.policies)
            return self.verdict

    @property
    def policies(self) -> tuple[Policy, ...]:
        """The policies in force, in the order of evidence."""
        return self.bundle.policies

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary of the agent."""
        return self.bundle.vocabulary

    def start(self) -> State:
        """Give the state in which nothing has been observed."""
        return State.watching(self.bundle.vocabulary, self._watch)

    def observe(self, state: State, signals: Mapping[str, Json], t_us: int) -> State:
        """Give the state after samples of one moment; every temporal operator moves on."""
        return state.watched_by(self._watch).observe(signals, t_us)

    def track(self, state: State | None = None) -> Tracker:
        """Give a tracker that observes in place, for a process that samples often."""
        if self._stepping is None:
            self._stepping = compile_step(self._watch, self.bundle.vocabulary)
        return Tracker(self.start() if state is None else self.adopt(state), *self._stepping)

    def adopt(self, state: State) -> State:
        """Go on from a state of other policies: operators known to it keep their memory, new ones begin."""
        return state.watched_by(self._watch)

    def restore(self, record: Mapping[str, Json]) -> State:
        """Rebuild a state from its snapshot (`State.to_json`), as after a restart.

        Raises:
            ValueError: when the record has not that form.
        """
        return State.restored(self.bundle.vocabulary, record, self._watch)

    def commit(self, state: State, decision: Decision, t_us: int | None = None) -> State | None:
        """Consume what an allowed action takes of the budgets, just before it is done.

        Args:
            state: the state now; it may have changed since the decision.
            decision: what was decided.
            t_us: the moment of the action; the decision's own by default.

        Returns:
            The state after it; None when the decision allows nothing, or a budget is used up by now.
        """
        if decision.verdict is not Verdict.ALLOW:
            return None
        budgets = self._plan(decision.action).budgets
        if not budgets:
            return state
        moment = max(decision.t_us if t_us is None else t_us, state.t_us)
        spec = self.vocabulary.actions.get(decision.action)
        is_failsafe = spec is not None and spec.is_failsafe
        context = {item.signal: item.value for item in decision.inputs if item.t_us == decision.t_us}
        spent = dict(state.spent)
        for key, budget in budgets:
            before = spent.get(key, Spent())
            if not is_failsafe and not budget.has_room(before, context, moment):
                return None
            spent[key] = budget.consumed(before, context, moment)
        return replace(state, spent=spent)

    def reads(self, action: str) -> frozenset[str]:
        """Give the signals (not parameters) that the policies guarding an action may read."""
        return frozenset(self._plan(action).reads)

    def with_policies(self, extra: Sequence[Policy]) -> Compiled:
        """Give this bundle with more policies in force; what was compiled before is used again.

        Raises:
            PolicyError: as `make_bundle` does.
        """
        base = self._base or self
        if not extra:
            return self
        bundle = make_bundle([*self.bundle.policies, *extra], self.bundle.vocabulary)
        return Compiled(bundle, base, base._groups)

    def decide(
        self,
        action: str,
        context: Mapping[str, Json],
        t_us: int = 0,
        state: State | Recorded | None = None,
        *,
        release: str = "",
        intent: str = "",
    ) -> Decision:
        """Decide about an action; never raises on bad input.

        Args:
            action: the action's name.
            context: the action's parameters, and values that override signals.
            t_us: the moment of the decision.
            state: what has been observed; None is nothing.
            release: digest of the release in force, for the record.
            intent: digest of the intent in force, for the record.
        """
        plan = self._plans.get(action) or self._plan(action)
        context = dict(context)
        readings = _NO_READINGS if state is None else state.readings
        recall = _forget if state is None or not plan.recalls else state.recall_keys(t_us)
        inputs = SampleTable(context, readings, plan.reads, t_us)
        if plan.function is not None:
            found = plan.function(context, readings, t_us, recall)
            if found is None:
                return self._exactly(plan, action, inputs, state, release, intent)
            masks, codes = found[:1], found[1:]
        elif plan.settled is not None:
            met = plan.settled
            return Decision(action, met.verdict, (), met.reasons, (), t_us, release, intent, inputs)
        else:
            masks, codes = (), ()
            for group in plan.groups:
                found = None
                if group.function is not None and not plan.budgets:
                    found = group.function(context, readings, t_us, recall)
                if found is None:
                    return self._exactly(plan, action, inputs, state, release, intent)
                masks += found[:1]
                codes += found[1:]
        met, ranges = plan.meets.get(masks) or self._meet(plan, action, masks)
        evidence = EvidenceTable(plan.digests, codes)
        if met.is_final or (ranges is not None and _are_inside(ranges, context)):
            verdict, reasons = met.verdict, met.reasons
        else:
            composed = judge(met, context)
            verdict, reasons = composed.verdict, composed.reasons
        remembered: tuple[Sample, ...] = ()
        if plan.recalls:
            remembered = tuple(Sample(key, recall(key), t_us) for key in plan.recalls)
        return Decision(
            action,
            verdict,
            met.limits,
            reasons,
            evidence,
            t_us,
            release,
            intent,
            inputs,
            remembered=remembered,
        )

    def margin(
        self, action: str, context: Mapping[str, Json], t_us: int = 0, state: State | None = None
    ) -> Margin:
        """Give how far a decision is from changing, in shares of the declared ranges."""
        from ripstop.policy.margin import margin  # only who asks for it needs it

        return margin(self.bundle, action, context, t_us, state)

    def replay(self, decision: Decision) -> Decision:
        """Decide again from a decision's own record: what was decided then must come out now."""
        context = {item.signal: item.value for item in decision.inputs if item.t_us == decision.t_us}
        older = [item for item in decision.inputs if item.t_us != decision.t_us]
        state = Recorded.of_samples(self.bundle.vocabulary, older, decision.last_valid, decision.remembered)
        return self.decide(
            decision.action, context, decision.t_us, state, release=decision.release, intent=decision.intent
        )

    def _meet(self, plan: _Plan, action: str, masks: tuple[int, ...]) -> tuple[Met, _Ranges | None]:
        outcomes = [
            outcome
            for group, mask in zip(plan.groups, masks, strict=True)
            for outcome in group.outcomes(mask)
        ]
        met = meet(self.bundle, action, plan.guarding, outcomes)
        if len(plan.meets) < _MOST_MEETS:
            plan.meets[masks] = met, met.ranges
        return met, met.ranges

    def _exactly(
        self,
        plan: _Plan,
        action: str,
        table: SampleTable,
        state: State | Recorded | None,
        release: str,
        intent: str,
    ) -> Decision:
        """Decide by the reference semantics where generated code does not say all."""
        recall = _forget if state is None else state.recall_keys(table.t_us)
        readings = _NO_READINGS if state is None else state.readings
        inputs = replace(
            reference.inputs_of(self.bundle, action, table.given, table.t_us, state),
            recall=lambda rule: recall(plan.key(rule)),
        )
        outcomes: list[Outcome] = []
        for group in plan.groups:
            found = None
            if group.function is not None and not any(policy.budgets for policy in group.policies):
                found = group.function(table.given, readings, table.t_us, recall)
            if found is not None:
                spelled = zip(group.outcomes(found[0]), found[1:], strict=True)
                outcomes.extend(replace(outcome, code=code) for outcome, code in spelled)
            else:
                outcomes.extend(
                    reference.outcome_of(policy, inputs, self._number(policy)) for policy in group.policies
                )
        composed = judge(meet(self.bundle, action, plan.guarding, outcomes), table.given)
        evidence = EvidenceTable(plan.digests, tuple(outcome.code for outcome in outcomes))
        return Decision(
            action,
            composed.verdict,
            composed.limits,
            composed.reasons,
            evidence,
            table.t_us,
            release,
            intent,
            table,
            reference.last_valid(plan.guarding, inputs),
            tuple(
                Sample(
                    key,
                    recall(key) if budget is None else inputs.room(key, budget, table.given, table.t_us),
                    table.t_us,
                )
                for key, budget in plan.remembers.items()
            ),
        )

    def _number(self, policy: Policy) -> Callable[[Json], int]:
        """Give a policy's numbering of atoms, made once."""
        known = self._numbers.get(policy.digest)
        if known is None:
            known = self._numbers[policy.digest] = reference.number_atoms(policy)
        return known

    def _plan(self, action: str) -> _Plan:
        plan = self._plans.get(action)
        if plan is not None:
            return plan
        guarding = self.bundle.guarding(action) if self.bundle.is_declared(action) else ()
        parts = [guarding]
        if self._base is not None:
            count = len([policy for policy in guarding if policy in self._base.bundle.policies])
            parts = [guarding[:count], guarding[count:]]
        groups = tuple(group for part in parts if part for group in self._group(part, action))
        budgets = tuple(
            pair for policy in guarding for pair in zip(policy.budget_keys, policy.budgets, strict=True)
        )
        reads = reference.signals_read(self.bundle, action, guarding)
        remembers: dict[str, Budget | None] = {}
        for policy in guarding:
            remembers.update(dict.fromkeys(recalls_of([policy], self.vocabulary)))
            remembers.update(zip(policy.budget_keys, policy.budgets, strict=True))
        plan = _Plan(
            guarding,
            groups,
            tuple(policy.digest for policy in guarding),
            reads,
            tuple(key for key, budget in remembers.items() if budget is None),
            known_keys(guarding, self.vocabulary),
            remembers,
            budgets,
            groups[0].function if len(groups) == 1 and not budgets else None,
            None if guarding else meet(self.bundle, action, (), ()),
        )
        if self.bundle.is_declared(action):
            if len(self._plans) >= _MOST_PLANS + len(self.vocabulary.actions):
                self._plans.clear()
            self._plans[action] = plan
        return plan

    def _group(self, policies: tuple[Policy, ...], action: str) -> tuple[Group, ...]:
        """Compile policies once for all actions that have no parameters declared."""
        declared = self.vocabulary.actions
        key = (action if action in declared else None, *(policy.digest for policy in policies))
        groups = self._groups.get(key)
        if groups is None:
            if len(self._groups) >= _MOST_GROUPS + len(declared):
                self._groups.clear()
            groups = self._groups[key] = compile_groups(policies, action, self.bundle.vocabulary)
        return groups


def _raw(policies: tuple[Policy, ...]) -> RawVerdict:
    """Give the raw verdict of a rule, or of several."""

    def exactly(policy: Policy) -> RawVerdict:
        def slow(context: Mapping[str, Json], t_us: int = 0) -> Verdict:
            return reference.verdict(policy, context, t_us)

        return slow

    if len(policies) == 1:
        return compile_raw(policies[0], exactly(policies[0]))

    made = tuple(compile_raw(policy, exactly(policy)) for policy in policies)

    def several(context: Mapping[str, Json], t_us: int = 0) -> Verdict:
        return min((each(context, t_us) for each in made), default=Verdict.DENY)

    return several
