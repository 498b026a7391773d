"""What an edge engine is made from: the raw verdict of all rules, or the decision about one action."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from ripstop.backends.edge.guards import NOTHING, Guards
from ripstop.backends.edge.inputs import Held, Input, Look, table_of_texts
from ripstop.backends.edge.nodes import Atom, Bool, walk
from ripstop.backends.edge.translate import OUTSIDE, TRANSLATIONS, Translator
from ripstop.backends.edge.uses import Outside, Uses
from ripstop.core.canonical import Json
from ripstop.core.decision import Verdict
from ripstop.core.errors import PolicyError
from ripstop.core.vocabulary import SignalSpec
from ripstop.policy.budgets import Bucket, Budget
from ripstop.policy.bundle import Bundle, meet
from ripstop.policy.document import Policy
from ripstop.policy.ir import Expr

ATOMS_A_WORD = 32
MOST_LIMITS = 31
UNKNOWN_BIT = 2  # of a status; bit 0 says that the rule permits, 2 bits for each limit follow


@dataclass(frozen=True, slots=True)
class Engine:
    """An edge engine: its name, and how many numbers its functions take, and how many they give, at most."""

    name: str
    most_values: int | None = None

    @property
    def lowerings(self) -> tuple[str, ...]:
        """The operators that it has."""
        return tuple(TRANSLATIONS)

    @property
    def not_lowered(self) -> dict[str, str]:
        """The operators that it has not, with reasons."""
        return dict(OUTSIDE)


@dataclass(frozen=True, slots=True)
class EdgePolicy:
    """One policy, translated.

    Its status is a number: 1 where the rule permits, plus 2 where it is unknown, plus for limit i 4 << 2i
    where it is active and 8 << 2i where that is because its condition is unknown. The atoms that stand in
    one place only are `once`.
    """

    policy: Policy
    rule: Bool
    whens: tuple[Bool, ...]
    once: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        places = Counter(
            node.index for root in (self.rule, *self.whens) for node in walk(root) if isinstance(node, Atom)
        )
        object.__setattr__(self, "once", frozenset(index for index, count in places.items() if count == 1))

    @property
    def words(self) -> int:
        """How many 64-bit words its evidence takes: atom i has bits 2i (read) and 2i + 1 (true)."""
        return -(-len(self.policy.program.atoms) // ATOMS_A_WORD)

    @property
    def budgets(self) -> tuple[tuple[str, Budget], ...]:
        """What the policy's actions may consume, by key."""
        return tuple(zip(self.policy.budget_keys, self.policy.budgets, strict=True))

    @property
    def permits_unknown(self) -> bool:
        """Whether the rule permits what it cannot tell."""
        return self.policy.on_unknown.mode == "allow"


@dataclass(frozen=True)
class EdgeProgram:
    """The decision about one action (or, where `action` is None, the raw verdict of all rules).

    `bounded` pairs each parameter that a limit may bound with its input. `settled` is what comes out where
    no policy has a say; a failsafe action is never denied.
    """

    action: str | None
    policies: tuple[EdgePolicy, ...]
    inputs: tuple[Input, ...]
    texts: Mapping[str, int]
    bounded: tuple[tuple[str, int], ...] = ()
    settled: Verdict | None = None
    is_failsafe: bool = False

    @cached_property
    def layout(self) -> dict[str, Json]:
        """What a caller has to know: the inputs in order, the texts' codes, what comes back."""
        return {
            "inputs": [each.label for each in self.inputs],
            "texts": dict(self.texts) if any(each.held is Held.TEXT for each in self.inputs) else {},
            "policies": [each.policy.digest for each in self.policies],
            "bounded": [name for name, _ in self.bounded],
        }


def outside_the_profile(policy: Policy, outside: Outside, engine: Engine) -> PolicyError:
    """Build the error for a policy that an engine cannot run."""
    return PolicyError(
        f"policy `{policy.id}` cannot run on the engine `{engine.name}`: {outside.why}",
        code="E0315",
        hint="the edge profile is described in docs/reference/engines.md",
        place=None if outside.expr is None else outside.expr.place,
    )


def refuse_wide(policies: Sequence[Policy], engine: Engine, values: int) -> None:
    """Refuse policies whose functions would take or give more numbers than the engine's can."""
    most = engine.most_values
    if most is not None and values > most:
        with refusing(policies[-1], engine):
            raise Outside(f"with it a function has {values} numbers, and {most} is the most")


def verdict_program(
    policies: Sequence[Policy], engine: Engine, texts: Mapping[str, int] | None = None
) -> EdgeProgram:
    """Translate the rules alone, raw: ranges are not checked, no evidence is taken.

    Args:
        policies: whose rules.
        engine: which engine.
        texts: the numbers of texts; those of the policies by default.

    Raises:
        PolicyError: E0315 for a policy outside the engine's profile.
    """
    build = _Build(policies, {}, {}, engine, texts)
    translated = []
    for policy in policies:
        signals = policy.vocabulary.signals
        with build.refusing(policy):
            translator = build.translator(policy, signals, {}, ranged=False)
            translated.append((policy, translator.root(policy.program.rule, None)))
    refuse_wide(policies, engine, len(build.inputs) + 1)  # and the time
    guards = Guards(tuple(build.inputs))
    made = tuple(EdgePolicy(policy, guards.place(rule)[0], ()) for policy, rule in translated)
    return EdgeProgram(None, made, tuple(build.inputs), build.texts)


def decision_program(
    bundle: Bundle,
    action: str,
    engine: Engine,
    texts: Mapping[str, int] | None = None,
    *,
    has_budgets: bool = False,
) -> EdgeProgram:
    """Translate the policies that guard an action.

    Args:
        bundle: the policies, for one agent.
        action: the action's name.
        engine: which engine.
        texts: the numbers of texts; those of the policies that guard the action by default.
        has_budgets: whether the engine keeps what budgets consume, so that it has to be told costs.

    Raises:
        PolicyError: E0315 for a policy outside the engine's profile.
    """
    guarding = bundle.guarding(action) if bundle.is_declared(action) else ()
    spec = bundle.vocabulary.actions.get(action)
    is_failsafe = spec is not None and spec.is_failsafe
    ends = is_failsafe and action == bundle.vocabulary.failsafes[-1]
    if not guarding or ends:
        settled = meet(bundle, action, guarding if ends else (), ()).verdict
        return EdgeProgram(action, (), (), {}, settled=settled, is_failsafe=is_failsafe)
    parameters = {} if spec is None else spec.parameters
    build = _Build(guarding, bundle.vocabulary.signals, parameters, engine, texts)
    translated: list[tuple[Policy, Bool, tuple[Bool, ...]]] = []
    for policy in guarding:
        with build.refusing(policy):
            translated.append(build.decided(policy))
    names = sorted(
        {limit.parameter for policy in guarding for each in policy.limits for limit in each.limits}
    )
    bounded = tuple((name, build.bounded(name)) for name in names)
    for name in costs_of(guarding) if has_budgets else ():
        build.inputs.setdefault(Input(name, Look.COST, Held.NUMBER), len(build.inputs))
    guards = Guards(tuple(build.inputs))
    made = tuple(_guarded(guards, policy, rule, whens) for policy, rule, whens in translated)
    results = 1 + sum(1 + each.words for each in made) + 2 * len(bounded)
    refuse_wide(guarding, engine, max(len(build.inputs) + 1, results))
    return EdgeProgram(action, made, tuple(build.inputs), build.texts, bounded, is_failsafe=is_failsafe)


def costs_of(guarding: Sequence[Policy]) -> tuple[str, ...]:
    """Give the parameters that say what an action costs."""
    budgets = (budget for policy in guarding for budget in policy.budgets)
    named = (budget.cost for budget in budgets if isinstance(budget, Bucket))
    return tuple(dict.fromkeys(cost for cost in named if isinstance(cost, str)))


def actions_of(bundle: Bundle) -> Iterator[str]:
    """Give the actions that the policies of a bundle have a say on; "" is any that nobody names."""
    named = dict.fromkeys(name for policy in bundle.policies for name in policy.guards or ())
    for name in (*bundle.vocabulary.actions, *named):
        if bundle.is_declared(name) and bundle.guarding(name):
            named[name] = None
    yield from (name for name in named if bundle.is_declared(name))
    if bundle.vocabulary.is_open and any(policy.guards is None for policy in bundle.policies):
        yield ""


def _guarded(guards: Guards, policy: Policy, rule: Bool, whens: Sequence[Bool]) -> EdgePolicy:
    """Place the checks; the limits are looked at only where the rule permits."""
    placed, true, false = guards.place(rule)
    known = true if policy.effect == "require" else false
    if policy.on_unknown.mode == "allow":
        known = NOTHING
    return EdgePolicy(policy, placed, tuple(guards.place(when, known)[0] for when in whens))


class refusing:  # noqa: N801 (a context manager, used as a function)
    """Turns what the translator refuses into the error about a policy."""

    def __init__(self, policy: Policy, engine: Engine) -> None:
        self._policy = policy
        self._engine = engine

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Outside):
            raise outside_the_profile(self._policy, error, self._engine) from None


@dataclass(slots=True)
class _Build:
    """Shares inputs and texts among the policies of one program."""

    signals: Mapping[str, SignalSpec]
    parameters: Mapping[str, SignalSpec]
    engine: Engine
    uses: Uses
    texts: Mapping[str, int]
    inputs: dict[Input, int]

    def __init__(
        self,
        policies: Sequence[Policy],
        signals: Mapping[str, SignalSpec],
        parameters: Mapping[str, SignalSpec],
        engine: Engine,
        known: Mapping[str, int] | None = None,
    ) -> None:
        self.signals, self.parameters, self.engine = signals, parameters, engine
        self.uses, self.inputs = Uses(), {}
        for policy in policies:
            for root in (policy.program.rule, *policy.program.whens):
                self.uses.note(root)
        specs = [*signals.values(), *parameters.values()]
        self.texts = _table(policies, specs) if known is None else known

    def refusing(self, policy: Policy) -> refusing:
        """Turn refusals into errors about the policy."""
        return refusing(policy, self.engine)

    def translator(
        self,
        policy: Policy,
        signals: Mapping[str, SignalSpec],
        parameters: Mapping[str, SignalSpec],
        *,
        ranged: bool,
    ) -> Translator:
        """Start translating one policy."""
        mode = policy.on_unknown
        age_s = mode.max_age_s if mode.mode == "last_valid" and ranged else None
        return Translator(
            signals,
            parameters,
            self.uses,
            self.texts,
            ranged,
            age_s,
            self.inputs,
        )

    def decided(self, policy: Policy) -> tuple[Policy, Bool, tuple[Bool, ...]]:
        """Translate a policy with its limits and its atoms."""
        if len(policy.limits) > MOST_LIMITS:
            raise Outside(f"it has more than {MOST_LIMITS} limits")
        numbers = {id(atom): number for number, atom in enumerate(policy.program.atoms)}
        translator = self.translator(policy, self.signals, self.parameters, ranged=True)
        whens = tuple(translator.root(when, numbers) for when in policy.program.whens)
        return policy, translator.root(policy.program.rule, numbers), whens

    def bounded(self, name: str) -> int:
        """Give the input that holds a limited parameter as the action gives it."""
        wanted = Input(name, Look.BOUNDED, Held.NUMBER)
        return self.inputs.setdefault(wanted, len(self.inputs))


def texts_of(bundle: Bundle) -> dict[str, int]:
    """Number the texts of all policies of a bundle alike."""
    specs = [spec for action in bundle.vocabulary.actions.values() for spec in action.parameters.values()]
    return _table(bundle.policies, [*bundle.vocabulary.signals.values(), *specs])


def _table(policies: Sequence[Policy], specs: Sequence[SignalSpec]) -> dict[str, int]:
    texts: set[str] = set()
    for policy in policies:
        for root in (policy.program.rule, *policy.program.whens):
            texts.update(text for expr in root.walk() for text in _texts(expr))
    for spec in (*specs, *(spec for policy in policies for spec in policy.vocabulary.signals.values())):
        texts.update(spec.values)
        texts.update(text for inner in spec.fields.values() for text in inner.values)
    return table_of_texts(texts)


def _texts(expr: Expr) -> Iterator[str]:
    if expr.op == "const":
        values = expr.value if isinstance(expr.value, list) else [expr.value]
        yield from (value for value in values if isinstance(value, str))
