"""The reference semantics of policies: slow, short, obvious. Every engine is held to it.

JSON-Logic's own machine evaluates; what a policy adds is here: reads that poison, evidence about atoms,
effects, limits, what UNKNOWN means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Protocol

from ripstop.core.canonical import Json, canonical_json
from ripstop.core.decision import Decision, EvidenceTable, Reason, Verdict
from ripstop.core.sample import Sample
from ripstop.core.value import dataclass
from ripstop.core.vocabulary import SignalSpec
from ripstop.policy.budgets import Budget
from ripstop.policy.bundle import Bundle, Outcome, judge, meet
from ripstop.policy.document import Policy
from ripstop.policy.evaluate import ABSENT, Absent, Machine, Scope, follow
from ripstop.policy.ir import rule_of
from ripstop.policy.state import STALE, Invalid, Reading, usable_value
from ripstop.policy.temporal import key_of
from ripstop.policy.values import JsonLogicError, is_truthy

Lookup = Callable[[str], "Json | Absent | Invalid"]


class Unknown(Exception):  # noqa: N818 (not an error: an outcome that ends the evaluation)
    """Ends an evaluation as UNKNOWN; `try` does not catch it."""


def _remember_nothing(rule: Json) -> Json:
    return None


def _keep_nothing(key: str, budget: Budget, context: Mapping[str, Json], t_us: int) -> bool | None:
    return None


@dataclass(frozen=True, slots=True)
class Inputs:
    """Where reads come from: the action's context first, then the observed state.

    `recall` gives the value of a temporal operator, None for UNKNOWN; the context has no say in it. `room`
    tells whether a budget leaves room, None for UNKNOWN.
    """

    bundle: Bundle
    action: str
    context: Mapping[str, Json]
    t_us: int
    readings: Mapping[str, Reading]
    ranged: bool = True
    recall: Callable[[Json], Json] = _remember_nothing
    room: Callable[[str, Budget, Mapping[str, Json], int], bool | None] = _keep_nothing

    def look(self, name: str) -> Json | Absent | Invalid:
        """Read one name. A parameter comes from the context alone; `now` from the clock alone."""
        if name == "now":
            return self.t_us / 1e6
        parameter = self._parameter(name)
        spec = parameter or self.bundle.vocabulary.signals.get(name)
        if name in self.context:
            return _guarded(spec, usable_value(spec, self.context[name], ranged=self.ranged))
        reading = None if parameter else self.readings.get(name)
        if reading is None:
            return ABSENT
        usable = usable_value(spec, reading.value)
        if not isinstance(usable, Invalid) and usable is not None and reading.until_us < self.t_us:
            return STALE
        return _guarded(spec, usable)

    def look_back(self, name: str, max_age_s: float, assumed: list[str]) -> Json | Absent | Invalid:
        """Read one name; a bad signal gives its last valid value, if that is young enough."""
        value = self.look(name)
        bad = value is None or isinstance(value, Absent | Invalid)
        if not bad or name == "now" or self._parameter(name):
            return value
        reading = self.readings.get(name)
        if reading is None or reading.valid is None or self.t_us - reading.valid.t_us > max_age_s * 1e6:
            return value
        assumed.append(name)
        return _guarded(self.bundle.vocabulary.signals.get(name), reading.valid.value)

    def spec(self, name: str) -> SignalSpec | None:
        """Give what declares a name for the action: a parameter comes before a signal."""
        return self._parameter(name) or self.bundle.vocabulary.signals.get(name)

    def _parameter(self, name: str) -> SignalSpec | None:
        action = self.bundle.vocabulary.actions.get(self.action)
        return None if action is None else action.parameters.get(name)


def _guarded(spec: SignalSpec | None, value: Json | Invalid) -> Json | Invalid:
    """Make the records of a declared list check their fields when they are read."""
    if spec is None or not spec.fields or not isinstance(value, list | tuple):
        return value
    return [_Record(item, spec.fields) if isinstance(item, Mapping) else item for item in value]


class _Record(dict[str, "Json"]):
    """A record whose fields are declared: an unusable one reads as Invalid."""

    def __init__(self, raw: Mapping[str, Json], fields: Mapping[str, SignalSpec]) -> None:
        super().__init__(raw)
        self._fields = fields

    def get(self, key: str, default: object = None) -> object:  # type: ignore[override]  # narrower on purpose
        """Read a field."""
        if key not in self:
            return default
        return usable_value(self._fields.get(key), self[key])


class PolicyMachine(Machine):
    """JSON-Logic whose root reads are signals, and whose reads poison."""

    def __init__(self, lookup: Lookup, recall: Callable[[Json], Json] = _remember_nothing) -> None:
        self._lookup = lookup
        self._recall = recall

    def recall(self, rule: Mapping[str, Json]) -> Json:
        """Give the value of a temporal operator, or end the evaluation where it is not known."""
        value = self._recall(rule)
        if value is None:
            raise Unknown(f"`{next(iter(rule))}` is not known over its whole window")
        return value

    def look(self, scope: Scope, path: Sequence[Json]) -> Json | Absent:
        """Give what stands at a path, unusable or not, without poisoning."""
        value = self._find(scope, path)
        return True if isinstance(value, Invalid) else value

    def is_wanting(self, value: Json | Absent) -> bool:
        """Whether a default stands in for a signal: null is as good as absent to a policy."""
        return value is None or isinstance(value, Absent)

    def _find(self, scope: Scope, path: Sequence[Json]) -> Json | Absent | Invalid:
        if scope.outer is not None or scope.iterator is not None:
            return follow(scope.data, path)
        found = self._lookup(str(path[0]))
        return found if isinstance(found, Invalid) else follow(found, path[1:])

    def read(self, scope: Scope, path: Sequence[Json]) -> Json:
        """Read, and end the evaluation when what is read cannot be used."""
        value = self._find(scope, path)
        name = ".".join(map(str, path)) or "element"
        if isinstance(value, Invalid):
            raise Unknown(f"`{name}` is {value.why}")
        if isinstance(value, Absent) or (value is None and path[:1] != ("accumulator",)):
            raise Unknown(f"`{name}` is {'absent' if isinstance(value, Absent) else 'null'}")
        usable = usable_value(None, value)
        if isinstance(usable, Invalid):
            raise Unknown(f"`{name}` is {usable.why}")
        return usable


def is_literal(rule: Json) -> bool:
    """Whether nothing in the rule is evaluated."""
    if isinstance(rule, list | tuple):
        return all(map(is_literal, rule))
    return not isinstance(rule, Mapping) or len(rule) != 1 or "preserve" in rule


def atoms(rule: Json) -> Iterator[Json]:
    """Give the atoms of a rule in normal form, in source order."""
    if isinstance(rule, Mapping) and next(iter(rule), "") in ("and", "or", "!", "!!", "if"):
        ((_, args),) = rule.items()
        for arg in args if isinstance(args, list | tuple) else ():
            yield from atoms(arg)
    elif not is_literal(rule):
        yield rule


def number_atoms(policy: Policy) -> Callable[[Json], int]:
    """Number a policy's atoms by their first occurrence in the canonical document (limits, then the rule)."""
    numbers: dict[bytes, int] = {}
    known: dict[int, tuple[int, Json]] = {}  # the policy's own parts, by identity
    for rule in (*(limit.when for limit in policy.limits), policy.rule):
        for atom in atoms(rule):
            known[id(atom)] = numbers.setdefault(canonical_json(atom), len(numbers)), atom

    def number(atom: Json) -> int:
        found = known.get(id(atom))
        return numbers[canonical_json(atom)] if found is None else found[0]

    return number


@dataclass(slots=True)
class Evaluation:
    """One evaluation of one policy: which atoms were reached, which held."""

    machine: PolicyMachine
    number: Callable[[Json], int]
    code: int = 0
    scope: Scope = field(default_factory=lambda: Scope(None))

    def truth(self, rule: Json) -> bool:
        """Evaluate a rule in boolean position, taking evidence.

        Raises:
            Unknown: when a read poisons, or an error of JSON-Logic is not caught.
        """
        name = next(iter(rule)) if isinstance(rule, Mapping) and len(rule) == 1 else ""
        args = rule[name] if isinstance(rule, Mapping) and name in ("and", "or", "!", "!!", "if") else ()
        parts = args if isinstance(args, list | tuple) else ()
        if name == "and":
            return all(self.truth(part) for part in parts)
        if name == "or":
            return any(self.truth(part) for part in parts)
        if name in ("!", "!!"):
            return self.truth(parts[0]) is (name == "!!")
        if name == "if":
            for index in range(0, len(parts) - 1, 2):
                if self.truth(parts[index]):
                    return self.truth(parts[index + 1])
            return self.truth(parts[-1]) if len(parts) % 2 else False
        if is_literal(rule):
            return is_truthy(self.machine.run(rule, self.scope))
        return self._atom(rule)

    def _atom(self, rule: Json) -> bool:
        bit = 2 * self.number(rule)
        self.code |= 1 << bit
        try:
            value = self.machine.truth(rule, self.scope)
        except JsonLogicError as error:
            raise Unknown(f"the rule raised `{error.type}`") from None
        except RecursionError:
            raise Unknown("the data is nested too deep") from None
        if value:
            self.code |= 2 << bit
        return value


def outcome_of(policy: Policy, inputs: Inputs, number: Callable[[Json], int] | None = None) -> Outcome:
    """Evaluate one policy: its rule, then (unless that denies) the conditions of its limits.

    Args:
        policy: what to evaluate.
        inputs: what it reads.
        number: gives an atom's number, where a caller has it at hand already.
    """
    assumed: list[str] = []
    lookup: Lookup = inputs.look
    if policy.on_unknown.mode == "last_valid":
        age_s = policy.on_unknown.max_age_s

        def lookup(name: str) -> Json | Absent | Invalid:
            return inputs.look_back(name, age_s, assumed)

    evaluation = Evaluation(PolicyMachine(lookup, inputs.recall), number or number_atoms(policy))
    reasons: list[Reason] = []
    try:
        permitted = evaluation.truth(policy.rule) is (policy.effect == "require")
        if not permitted:
            reasons.append(denial(policy))
    except Unknown as unknown:
        permitted = policy.on_unknown.mode == "allow"
        reasons.append(Reason(policy.id, "unknown", str(unknown)))
    exhausted, problem = _over_budget(policy, inputs) if permitted else (False, None)
    if problem is not None:
        permitted = not exhausted
        reasons.append(problem)
    active: list[int] = []
    for index, limit in enumerate(policy.limits if permitted else ()):
        try:
            holds = evaluation.truth(limit.when)
        except Unknown as unknown:
            holds = True
            reasons.append(Reason(policy.id, "unknown", str(unknown)))
        if holds:
            active.append(index)
    reasons.extend(
        Reason(policy.id, "assumed", f"the last valid value of `{name}` was used")
        for name in dict.fromkeys(assumed)
    )
    return Outcome(
        Verdict.ALLOW if permitted else Verdict.DENY, tuple(active), tuple(reasons), evaluation.code
    )


def _over_budget(policy: Policy, inputs: Inputs) -> tuple[bool, Reason | None]:
    """Say whether a policy's budgets deny, and what there is to say about them."""
    for key, budget in zip(policy.budget_keys, policy.budgets, strict=True):
        room = inputs.room(key, budget, inputs.context, inputs.t_us)
        if room is None:
            text = f"what is left of the budget is unknown: {budget}"
            return policy.on_unknown.mode != "allow", Reason(policy.id, "unknown", text)
        if not room:
            return True, Reason(policy.id, "budget", f"the budget is used up: {budget}")
    return False, None


def denial(policy: Policy) -> Reason:
    """Say that the policy's rule denied; its description says why where it has one."""
    text = "its rule does not hold" if policy.effect == "require" else "its rule holds, and forbids"
    return Reason(policy.id, "denied", policy.description or text)


def _number_nothing(atom: Json) -> int:
    return 0


def verdict(policy: Policy, context: Mapping[str, Json], t_us: int = 0) -> Verdict:
    """Evaluate the rule alone, raw: ALLOW, DENY or UNKNOWN; ranges and ages are not checked."""
    inputs = Inputs(Bundle((policy,), policy.vocabulary), "", context, t_us, {}, ranged=False)
    try:
        holds = Evaluation(PolicyMachine(inputs.look), _number_nothing).truth(policy.rule)
    except Unknown:
        return Verdict.UNKNOWN
    return Verdict.ALLOW if holds is (policy.effect == "require") else Verdict.DENY


class Observed(Protocol):
    """What has been observed: a `State`, which sums the past up, or a `History`, which keeps all of it."""

    @property
    def readings(self) -> Mapping[str, Reading]:
        """The latest reading of each signal."""
        ...

    def sample(self, name: str) -> Sample | None:
        """Give the latest sample of a signal."""
        ...

    def recall(self, t_us: int) -> Callable[[Json], Json]:
        """Give what tells a temporal operator's value at a moment."""
        ...

    def room(self, key: str, budget: Budget, context: Mapping[str, Json], t_us: int) -> bool | None:
        """Whether a budget leaves room for one more action; None where that is not known."""
        ...


def inputs_of(
    bundle: Bundle, action: str, context: Mapping[str, Json], t_us: int, state: Observed | None
) -> Inputs:
    """Give what a decision reads."""
    if state is None:
        return Inputs(bundle, action, context, t_us, {})
    recall = state.recall(t_us)
    return Inputs(bundle, action, context, t_us, state.readings, recall=recall, room=state.room)


def decide(
    bundle: Bundle, action: str, context: Mapping[str, Json], t_us: int = 0, state: Observed | None = None
) -> Decision:
    """Decide about an action: the meet over the policies that guard it."""
    inputs = inputs_of(bundle, action, context, t_us, state)
    return decision_of(inputs, [outcome_of(policy, inputs) for policy in bundle.guarding(action)], state)


def decision_of(inputs: Inputs, outcomes: Sequence[Outcome], state: Observed | None) -> Decision:
    """Compose what the guarding policies come to."""
    bundle, action, context, t_us = inputs.bundle, inputs.action, inputs.context, inputs.t_us
    guarding = bundle.guarding(action)
    composed = judge(meet(bundle, action, guarding, outcomes), context)
    read = [name for name in signals_read(bundle, action, guarding) if name not in context]
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
        last_valid=last_valid(guarding, inputs),
        remembered=remembered(guarding, inputs),
    )


def remembered(guarding: Sequence[Policy], inputs: Inputs) -> tuple[Sample, ...]:
    """Give what policies may have recalled: temporal operators' values and budgets' room, by key."""
    found: dict[str, Json] = {}
    for policy in guarding:
        for expr in policy.program.recalls:
            rule = rule_of(expr)
            found[key_of(rule, inputs.bundle.vocabulary)] = inputs.recall(rule)
        for key, budget in zip(policy.budget_keys, policy.budgets, strict=True):
            found[key] = inputs.room(key, budget, inputs.context, inputs.t_us)
    return tuple(Sample(key, value, inputs.t_us) for key, value in found.items())


def signals_read(bundle: Bundle, action: str, guarding: Sequence[Policy]) -> tuple[str, ...]:
    """Give the signals that policies may read about an action; its parameters are none."""
    spec = bundle.vocabulary.actions.get(action)
    parameters = {} if spec is None else spec.parameters
    names = dict.fromkeys(name for policy in guarding for name in policy.program.reads)
    return tuple(name for name in names if name not in parameters)


def last_valid(guarding: Sequence[Policy], inputs: Inputs) -> tuple[Sample, ...]:
    """Give the older valid samples that policies with `on_unknown: last_valid` may have used."""
    names = dict.fromkeys(
        name
        for policy in guarding
        if policy.on_unknown.mode == "last_valid"
        for name in policy.program.reads
        if name in inputs.readings and isinstance(inputs.look(name), Absent | Invalid | None)
    )
    return tuple(valid for name in names if (valid := inputs.readings[name].valid) is not None)
