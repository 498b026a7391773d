"""What an edge engine remembers: the temporal operators and budgets of a bundle, and where each lies.

The memory is that of `policy.temporal`, part by part, in the arrays of `policy.layout`. What is sampled is
kept as the numbers that the conditions read; what cannot be used is kept as NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ripstop.backends.edge.guards import Guards
from ripstop.backends.edge.inputs import Input, Look
from ripstop.backends.edge.nodes import Bool
from ripstop.backends.edge.program import EdgeProgram, Engine, refuse_wide, refusing, texts_of
from ripstop.backends.edge.steps import SIGNALS_A_WORD, Asked
from ripstop.backends.edge.translate import Translator
from ripstop.backends.edge.uses import Uses
from ripstop.core.canonical import canonical_json, digest
from ripstop.core.vocabulary import Vocabulary
from ripstop.policy.budgets import Budget
from ripstop.policy.bundle import Bundle
from ripstop.policy.ir import Expr, rule_of
from ripstop.policy.layout import LATEST, Part, is_ageing_text, of_budget, of_operator, of_signal, places_of
from ripstop.policy.temporal import Watched, key_of, watched

LIMIT_US = 2**61  # of a sample's time, either way: sums with windows and ages stay inside 64 bits
_ENDLESS_US = 3 * 2**61  # an age that no time inside the limits reaches


@dataclass(frozen=True, slots=True)
class Remembered:
    """One temporal operator: its conditions as nodes, and where it lies."""

    entry: Watched
    conditions: tuple[Bool, ...]
    place: Part


@dataclass(frozen=True, slots=True)
class Sampled:
    """One watched signal: the loads that it comes as, how long a sample is usable (None: for ever)."""

    name: str
    loads: tuple[int, ...]
    age_us: int | None
    place: Part


@dataclass(frozen=True)
class Memory:
    """What a bundle remembers.

    `inputs` are what the conditions load: the numbers that signals come as, and the values of operators
    inside others.
    """

    vocabulary: Vocabulary
    inputs: tuple[Input, ...]
    texts: Mapping[str, int]
    signals: tuple[Sampled, ...]
    operators: tuple[Remembered, ...]
    budgets: Mapping[str, tuple[Budget, Part]]
    whole: Part
    by_rule: Mapping[str, Remembered] = field(init=False)

    def __post_init__(self) -> None:
        by_rule = {canonical_json(each.entry.rule).decode(): each for each in self.operators}
        object.__setattr__(self, "by_rule", by_rule)

    @property
    def samples(self) -> tuple[int, ...]:
        """The loads that are sampled, in the order in which they are given."""
        return tuple(load for load, each in enumerate(self.inputs) if each.look is not Look.RECALLED)

    @property
    def words(self) -> tuple[str, ...]:
        """The words that say which signals are sampled now, one bit for each."""
        return tuple(dict.fromkeys(Asked(number).word for number, _ in enumerate(self.signals))) or (
            "sampled",
        )

    @property
    def inner(self) -> tuple[Remembered, ...]:
        """The operators that stand inside others."""
        keys = {key for each in self.operators for key in each.entry.inner}
        return tuple(each for each in self.operators if each.entry.key in keys)

    @property
    def has_conditions(self) -> bool:
        """Whether there is anything to evaluate when samples come in; `previous` has nothing."""
        return any(each.conditions for each in self.operators)

    @property
    def digest(self) -> str:
        """What two memories have in common that may be exchanged: SHA-256, in hexadecimal."""
        return digest(
            [
                "ripstop memory 1",
                self.vocabulary.digest,
                [[self.inputs[load].label, self.inputs[load].declared] for load in self.samples],
                dict(self.texts),
                [each.entry.key for each in self.operators],
                list(self.budgets),
            ]
        )

    @property
    def most_changes(self) -> int:
        """How often something may change by itself between two observations.

        Each sample grows too old once. While its condition stays as it is, an inner operator changes at most
        twice, and `count_within` once more for each edge.
        """
        if not self.has_conditions:
            return 0
        ages = sum(each.age_us is not None for each in self.signals)
        changes: dict[str, int] = {}
        for each in self.inner:  # inner ones come first
            stretches = 1 + ages + sum(changes[key] for key in each.entry.inner)
            own = 2 + each.entry.most if each.entry.op == "count_within" else 2
            changes[each.entry.key] = 0 if each.entry.op == "previous" else own * stretches
        return ages + sum(changes.values())

    def number_of(self, load: int) -> int:
        """Give where the number of a load is kept."""
        for each in self.signals:
            if load in each.loads:
                return each.place.numbers + each.loads.index(load)
        raise KeyError(load)

    def recalled(self, program: EdgeProgram) -> dict[int, Remembered]:
        """Give the operators whose values are inputs of a program, by input."""
        return {
            load: self.by_rule[each.name]
            for load, each in enumerate(program.inputs)
            if each.look is Look.RECALLED
        }


def memory_of(bundle: Bundle, engine: Engine) -> Memory | None:
    """Give what a bundle remembers; None where nothing.

    Raises:
        PolicyError: E0315 where a condition is outside the engine's profile.
    """
    if not any(policy.program.windows or policy.budgets for policy in bundle.policies):
        return None
    texts = texts_of(bundle)
    entries = watched([policy.program for policy in bundle.policies], bundle.vocabulary)
    names = tuple(dict.fromkeys(name for entry in entries for name in entry.signals))
    inputs: dict[Input, int] = {}
    rules: dict[str, list[Bool]] = {}
    for policy in bundle.policies:
        with refusing(policy, engine):
            _translate(bundle.vocabulary, policy.program.windows, texts, inputs, rules)
    _tell_empty_texts(bundle.vocabulary, inputs)
    refuse_wide(bundle.policies, engine, len(inputs) + len(names) // SIGNALS_A_WORD + 2)  # time and words
    guards = Guards(tuple(inputs))
    own: dict[str, list[int]] = {name: [] for name in names}
    for each, load in inputs.items():
        if each.look is not Look.RECALLED:
            own[each.name].append(load)
    budgets = {
        key: budget
        for policy in bundle.policies
        for key, budget in zip(policy.budget_keys, policy.budgets, strict=True)
    }
    parts = [LATEST, *(of_signal(len(own[name])) for name in names)]
    parts += [of_operator(entry.op, entry.most) for entry in entries]
    parts += map(of_budget, budgets.values())
    places, whole = places_of(parts)
    later = iter(places[1:])
    return Memory(
        bundle.vocabulary,
        tuple(inputs),
        texts,
        tuple(
            Sampled(name, tuple(own[name]), _age_us(bundle.vocabulary, name), next(later)) for name in names
        ),
        tuple(
            Remembered(
                entry,
                tuple(guards.place(node)[0] for node in rules[entry.key]),
                next(later),
            )
            for entry in entries
        ),
        {key: (budget, next(later)) for key, budget in budgets.items()},
        whole,
    )


def _translate(
    vocabulary: Vocabulary,
    windows: Sequence[Expr],
    texts: Mapping[str, int],
    inputs: dict[Input, int],
    rules: dict[str, list[Bool]],
) -> None:
    """Translate the conditions of operators that are not there yet."""
    uses = Uses()
    for expr in windows:
        for arg in _conditions(expr):
            uses.note(arg)
    for expr in windows:
        key = key_of(rule_of(expr), vocabulary)
        if key in rules:
            continue
        translator = Translator(vocabulary.signals, {}, uses, texts, True, None, inputs)
        if expr.op == "previous":
            translator.value(expr.args[0])  # what is kept of the signal is its value
        rules[key] = [translator.root(arg, None) for arg in _conditions(expr)]


def _conditions(expr: Expr) -> tuple[Expr, ...]:
    return expr.args[: {"previous": 0, "since": 2}.get(expr.op, 1)]


def _age_us(vocabulary: Vocabulary, name: str) -> int | None:
    spec = vocabulary.signals.get(name)
    if spec is None or spec.max_age_s is None or spec.max_age_s * 1e6 >= _ENDLESS_US:
        return None
    return int(spec.max_age_s * 1e6)


def _tell_empty_texts(vocabulary: Vocabulary, inputs: dict[Input, int]) -> None:
    """Ask of a text that grows old besides whether it is null: an empty one is missing while it is fresh."""
    for each in tuple(inputs):
        if each.look is Look.FILLED and is_ageing_text(vocabulary.signals.get(each.name)):
            inputs.setdefault(replace(each, look=Look.GIVEN), len(inputs))
