"""Runs a bundle through an edge engine as `Compiled` runs it: dict contexts in, decisions out.

The engine says what each policy comes to, with evidence; the words of the reasons, and whatever an undeclared
name turns out to hold that the engine was not built for, are the reference's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import nan
from typing import NamedTuple, Protocol, TypeAlias

from ripstop.backends.edge.inputs import Input, Look, Surprise, bounded_value
from ripstop.backends.edge.program import (
    UNKNOWN_BIT,
    EdgePolicy,
    EdgeProgram,
    Engine,
    actions_of,
    decision_program,
    verdict_program,
)
from ripstop.backends.python.watching import watch_of
from ripstop.core.canonical import Json
from ripstop.core.decision import Decision, EvidenceTable, Reason, Verdict
from ripstop.core.sample import Sample
from ripstop.core.vocabulary import Vocabulary
from ripstop.policy import reference
from ripstop.policy.bundle import Bundle, Outcome, judge, meet
from ripstop.policy.document import Policy
from ripstop.policy.state import State

_MOST_PROGRAMS = 64  # of undeclared actions: each is a module of its own


class Run(NamedTuple):
    """What an engine says: the verdict, and for each policy its status and its evidence code."""

    verdict: Verdict
    statuses: tuple[int, ...] = ()
    codes: tuple[int, ...] = ()


class Runner(Protocol):
    """Runs one program over the numbers of its inputs."""

    def __call__(self, values: Sequence[float]) -> Run:
        """Run once."""
        ...


Build: TypeAlias = Callable[[EdgeProgram], Runner]


def status_bits(status: int, limits: int) -> tuple[bool, bool, tuple[int, ...]]:
    """Take a status apart: whether the rule permits, whether anything was unknown, the active limits."""
    active = tuple(index for index in range(limits) if status & 4 << 2 * index)
    unknown = any(status & 8 << 2 * index for index in range(limits))
    return bool(status & 1), bool(status & UNKNOWN_BIT) or unknown, active


class EdgeCompiled:
    """Policies compiled for one agent by an edge engine; immutable to its users."""

    def __init__(self, bundle: Bundle, engine: Engine, build: Build) -> None:
        """Take a bundle.

        Args:
            bundle: the policies, for one agent.
            engine: which engine.
            build: makes a program runnable.

        Raises:
            PolicyError: E0315 for a policy outside the engine's profile.
        """
        self.bundle = bundle
        self.engine = engine
        self._build = build
        self._raw = verdict_program(bundle.policies, engine)
        self._raw_runner: Runner | None = None
        self._watch = watch_of(bundle)
        self._translated = {action: decision_program(bundle, action, engine) for action in actions_of(bundle)}
        self._programs: dict[str, tuple[EdgeProgram, Runner]] = {}

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

    def program(self, action: str) -> EdgeProgram:
        """Give what the engine runs for an action."""
        return self._program(action)[0]

    def verdict(self, context: Mapping[str, Json], t_us: int = 0) -> Verdict:
        """Give the raw verdict of the rule (of several: their meet, UNKNOWN below all)."""
        policies = self.bundle.policies
        if not policies:
            return Verdict.DENY
        try:
            values = raw_values(self._raw, context, t_us)
        except Surprise:
            return min(reference.verdict(policy, context, t_us) for policy in policies)
        return self.raw_runner()(values).verdict

    def raw_runner(self) -> Runner:
        """Give what runs the raw verdict, built when it is first asked for."""
        if self._raw_runner is None:
            self._raw_runner = self._build(self._raw)
        return self._raw_runner

    def decide(
        self,
        action: str,
        context: Mapping[str, Json],
        t_us: int = 0,
        state: State | None = None,
    ) -> Decision:
        """Decide about an action; never raises on bad input.

        Args:
            action: the action's name.
            context: the action's parameters, and values that override signals.
            t_us: the moment of the decision.
            state: what has been observed; None is nothing.
        """
        program, run = self._program(action)
        context = dict(context)
        inputs = reference.inputs_of(self.bundle, action, context, t_us, state)
        try:
            values = decision_values(program, inputs)
        except Surprise:
            return reference.decide(self.bundle, action, context, t_us, state)
        found = run(values) if program.policies else Run(Verdict.DENY)
        guarding = self.bundle.guarding(action)
        outcomes = [
            _outcome(policy, status, code, inputs)
            for policy, status, code in zip(program.policies, found.statuses, found.codes, strict=True)
        ] or [reference.outcome_of(policy, inputs) for policy in guarding]
        composed = judge(meet(self.bundle, action, guarding, outcomes), context)
        read = [name for name in reference.signals_read(self.bundle, action, guarding) if name not in context]
        observed = () if state is None else tuple(filter(None, map(state.sample, read)))
        return Decision(
            action,
            composed.verdict,
            composed.limits,
            composed.reasons,
            EvidenceTable(
                tuple(policy.digest for policy in guarding), tuple(outcome.code for outcome in outcomes)
            ),
            t_us,
            inputs=(*(Sample(name, value, t_us) for name, value in context.items()), *observed),
            last_valid=reference.last_valid(guarding, inputs),
            remembered=reference.remembered(guarding, inputs),
        )

    def _program(self, action: str) -> tuple[EdgeProgram, Runner]:
        made = self._programs.get(action)
        if made is None:
            program = self._translated.get(action) or decision_program(self.bundle, action, self.engine)
            made = program, self._build(program)
            if self.bundle.is_declared(action):
                if len(self._programs) >= _MOST_PROGRAMS + len(self.vocabulary.actions):
                    self._programs.clear()
                self._programs[action] = made
        return made


def raw_values(program: EdgeProgram, context: Mapping[str, Json], t_us: int) -> list[float]:
    """Give the numbers of a raw verdict's inputs.

    Raises:
        Surprise: when an undeclared name holds what the engine was not built for.
    """
    looks = {
        each.policy.vocabulary.digest: reference.Inputs(
            Bundle((each.policy,), each.policy.vocabulary), "", context, t_us, {}, ranged=False
        )
        for each in program.policies
    }
    if len(looks) == 1:
        (inputs,) = looks.values()
        return decision_values(program, inputs)
    values = []
    for each in program.inputs:
        for inputs in looks.values():
            if each.spec is None or inputs.bundle.vocabulary.signals.get(each.name) == each.spec:
                values.append(decision_value(each, program, inputs))
                break
    return values


def decision_values(program: EdgeProgram, inputs: reference.Inputs) -> list[float]:
    """Give the numbers of a decision's inputs.

    Raises:
        Surprise: as `raw_values` does.
    """
    return [decision_value(each, program, inputs) for each in program.inputs]


def decision_value(each: Input, program: EdgeProgram, inputs: reference.Inputs) -> float:
    """Give the number of one input of a decision.

    Raises:
        Surprise: as `raw_values` does.
    """
    if each.look is Look.BOUNDED:
        return bounded_value(inputs.context.get(each.name))
    if each.look is Look.COST:
        cost = inputs.context.get(each.name)
        return nan if isinstance(cost, bool) else bounded_value(cost)
    if each.look is Look.RECALLED:
        return each.encode(inputs.recall(each.rule), program.texts)
    if each.max_age_s is not None:
        return each.encode(inputs.look_back(each.name, each.max_age_s, []), program.texts)
    return each.encode(inputs.look(each.name), program.texts)


def _outcome(policy: EdgePolicy, status: int, code: int, inputs: reference.Inputs) -> Outcome:
    """Make an outcome of what an engine said, in words."""
    permits, unknown, active = status_bits(status, len(policy.whens))
    if permits and any(
        inputs.room(*each, inputs.context, inputs.t_us) is not True for each in policy.budgets
    ):
        return reference.outcome_of(policy.policy, inputs)  # a budget is not the engine's business
    reasons: tuple[Reason, ...] = ()
    if unknown or policy.policy.on_unknown.mode == "last_valid":
        reasons = reference.outcome_of(policy.policy, inputs).reasons
    elif not permits:
        reasons = (reference.denial(policy.policy),)
    return Outcome(Verdict.ALLOW if permits else Verdict.DENY, active, reasons, code)
