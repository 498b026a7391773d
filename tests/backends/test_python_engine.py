"""The python engine's own promises: sharing, snapshots, fallbacks, what it reads."""

import math
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from edge_programs import VOCABULARY, generator
from ripstop.backends import compile as compile_policies
from ripstop.backends.python.plan import compile_group, compile_groups
from ripstop.core.canonical import canonical_json
from ripstop.core.decision import Decision, Verdict
from ripstop.core.errors import ConfigurationError
from ripstop.policy import load, make_bundle, reference

POLICIES = Path(__file__).parents[2] / "policies"
BATTERY = {"if": [{"<": [{"var": "battery"}, 30]}, {"<=": [{"var": "payload"}, 1]}, True]}


def shedding(name="shed"):
    """Restrict as a mitigation does: no task of low priority near a place."""
    near = {"-": [{"var": "pickup_x_m"}, 100.0]}, {"-": [{"var": "pickup_y_m"}, 50.0]}
    square = {"+": [{"*": [near[0], near[0]]}, {"*": [near[1], near[1]]}]}
    return load(
        {
            "ripstop": 1,
            "id": name,
            "tier": "safety",
            "vocabulary": "drone",
            "effect": "forbid",
            "guards": ["accept_task", "start_delivery"],
            "rule": {"and": [{">": [{"var": "task_priority"}, 3]}, {"or": [{"<=": [square, 4e6]}]}]},
        }
    )


def drone():
    return compile_policies(
        [load(POLICIES / "drones/payload-limit.yaml"), load(POLICIES / "drones/admission.yaml")],
        capabilities=["rotor"],
    )


TASK = {
    "payload_kg": 0.5,
    "task_priority": 5,
    "margin_after_wh": 5,
    "reserve_wh": 4,
    "pickup_x_m": 0,
    "pickup_y_m": 0,
}


def test_a_restriction_tightens_and_what_was_compiled_is_used_again():
    base = drone()
    state = base.observe(base.start(), {"battery_percent": 80}, 0)
    assert base.decide("accept_task", TASK, 0, state)
    restricted = base.with_policies([shedding()])
    assert restricted.decide("accept_task", TASK, 0, state).verdict is Verdict.DENY
    assert restricted.decide("accept_task", {**TASK, "task_priority": 1}, 0, state)
    assert restricted.decide("accept_task", {**TASK, "pickup_x_m": 5000}, 0, state)
    assert restricted._groups is base._groups
    assert len(restricted.decide("accept_task", TASK, 0, state).evidence) == 3


def test_no_restriction_is_the_same_bundle():
    base = drone()
    assert base.with_policies([]) is base


def test_it_tells_the_signals_that_an_action_s_guards_read():
    assert drone().reads("accept_task") == {"battery_percent"}
    assert drone().reads("hand_over") == frozenset()


def test_a_decision_keeps_what_it_saw():
    compiled = compile_policies(load(BATTERY))
    context = {"battery": 50.0, "payload": 2}
    decision = compiled.decide("go", context, 7)
    context["battery"] = 1.0
    assert [sample.value for sample in decision.inputs] == [50.0, 2]


def test_a_recorded_decision_is_decided_again_alike():
    base = drone()
    state = base.observe(base.start(), {"battery_percent": 25, "payload_kg": 9}, 5)
    decision = base.decide("accept_task", {**TASK, "payload_kg": math.nan}, 9, state, release="r", intent="i")
    recorded = Decision.from_json(decision.to_json())
    again = base.replay(recorded)
    assert canonical_json(again.to_json()) == canonical_json(decision.to_json())
    assert again.verdict is Verdict.LIMIT


@pytest.mark.parametrize(
    ("context", "verdict"),
    [
        ({"battery": 20.0, "payload": 1.0}, Verdict.ALLOW),
        ({"battery": 20, "payload": 1}, Verdict.ALLOW),
        ({"battery": 20.0, "payload": 1.5}, Verdict.DENY),
        ({"battery": 30.0}, Verdict.ALLOW),
        ({"battery": True, "payload": False}, Verdict.ALLOW),
        ({"battery": "20", "payload": "1"}, Verdict.ALLOW),
        ({"battery": 20.0}, Verdict.UNKNOWN),
        ({"battery": math.nan, "payload": 0.0}, Verdict.UNKNOWN),
        ({"battery": -math.inf, "payload": 0.0}, Verdict.UNKNOWN),
        ({"battery": math.inf}, Verdict.UNKNOWN),
        ({"battery": 20.0, "payload": -math.inf}, Verdict.UNKNOWN),
        ({"battery": None}, Verdict.UNKNOWN),
        ({"battery": [1]}, Verdict.UNKNOWN),
        ({"battery": {}}, Verdict.UNKNOWN),
        ({"battery": 10**400}, Verdict.UNKNOWN),
        ({}, Verdict.UNKNOWN),
    ],
)
def test_a_raw_verdict_is_safe_against_what_is_no_number(context, verdict):
    assert compile_policies(load(BATTERY)).verdict(context) is verdict


def test_a_rule_too_large_for_a_tree_is_built_flat():
    pairs = [{"or": [{"<": [{"var": f"s{i}"}, 0.5]}, {">": [{"var": f"t{i}"}, 0.5]}]} for i in range(12)]
    policy = load({"and": pairs})
    compiled = compile_policies(policy)
    good = {f"{letter}{i}": 0.75 for letter in "st" for i in range(12)}
    for context in (
        good,
        {**good, "s3": 0.25},
        {**good, "t7": 0.25},
        {**good, "t11": math.nan},
        {"s0": 1, "t0": 1},
    ):
        assert compiled.verdict(context) is reference.verdict(policy, context)
        assert repr(compiled.decide("go", context)) == repr(reference.decide(compiled.bundle, "go", context))


def test_an_engine_that_is_not_there_is_named():
    with pytest.raises(ConfigurationError) as caught:
        compile_policies(load(BATTERY), "fortran")
    assert caught.value.code == "C0003"


def test_a_policy_outside_the_generated_subset_is_decided_exactly():
    policy = load({"==": [{"cat": [{"var": "a"}, "!"]}, "x!"]})
    group = compile_group((policy,), "go", policy.vocabulary)
    assert group.function is None
    assert "text" in group.left_out
    assert compile_policies(policy).decide("go", {"a": "x"})


def test_a_bare_file_governs_any_action_by_its_context():
    compiled = compile_policies(load(POLICIES / "payload_limit.json"))
    assert compiled.decide("deliver", {"battery_percent": 50, "payload_kg": 3})
    assert not compiled.decide("deliver", {"battery_percent": 25, "payload_kg": 3})
    assert not compiled.decide("deliver", {"battery_percent": 10, "payload_kg": 0.1})
    assert not compiled.decide("deliver", {"payload_kg": 0})


@pytest.mark.parametrize(
    ("rule", "contexts"),
    [
        ({"exists": "a"}, [{}, {"a": 1}]),
        ({"!": [{"missing": ["a", "b"]}]}, [{}, {"a": 1}, {"a": 1, "b": 2}]),
        ({"<": [{"??": [{"var": "a"}, {"var": "b"}, 7]}, 5]}, [{}, {"a": 1}, {"b": 2}, {"a": 9, "b": 1}]),
        ({"<": [{"var": ["a", 3]}, 5]}, [{}, {"a": 9}]),
    ],
)
def test_looking_at_absence_needs_no_exact_evaluation(rule, contexts):
    compiled = compile_policies(load(rule))
    (group,) = compile_groups(compiled.policies, "go", compiled.vocabulary)
    for context in contexts:
        assert group.function(context, {}, 0, lambda key: None) is not None
        assert repr(compiled.decide("go", context)) == repr(reference.decide(compiled.bundle, "go", context))


def test_only_what_cannot_be_lowered_is_evaluated_exactly():
    rules = [{"<": [{"var": "a"}, 5]}, {"==": [{"cat": [{"var": "b"}, "!"]}, "x!"]}, {">": [{"var": "a"}, 1]}]
    policies = [load({"ripstop": 1, "id": f"p{number}", "rule": rule}) for number, rule in enumerate(rules)]
    compiled = compile_policies(policies)
    groups = compile_groups(compiled.policies, "go", compiled.vocabulary)
    assert [group.function is None for group in groups].count(True) == 1
    for context in ({"a": 3, "b": "x"}, {"a": 3, "b": "y"}, {"a": 0, "b": "x"}, {"b": "x"}):
        assert repr(compiled.decide("go", context)) == repr(reference.decide(compiled.bundle, "go", context))


def test_a_loop_in_one_policy_leaves_the_evidence_of_another_alone():
    rules = [{"<": [{"var": "a"}, 1]}, {"<": [{"var": "a"}, 2]}, {"all": [{"var": "near"}, {"var": "up"}]}]
    policies = [load({"ripstop": 1, "id": f"p{n}", "rule": rule}) for n, rule in enumerate(rules)]
    context = {"a": 1, "near": [{"up": True}]}
    decision = compile_policies(policies).decide("go", context)
    expected = reference.decide(make_bundle(policies), "go", context)
    assert list(decision.evidence) == list(expected.evidence)


ODD_NUMBERS = (
    0,
    1,
    30,
    0.5,
    29.5,
    2**31,
    -(2**31),
    2**60,
    10**400,
    math.nan,
    math.inf,
    -math.inf,
    True,
    "20",
)


def drawn_rule(rng, depth):
    if depth == 0 or rng.random() < 0.2:
        sides = [{"var": f"s{rng.randrange(6)}"}, rng.choice([0, 1, 30, 0.5, 2.0**31])]
        return {rng.choice(["<", "<=", ">", ">="]): sides if rng.random() < 0.8 else sides[::-1]}
    name = rng.choice(["and", "or", "!", "if", "all"])
    if name == "!":
        return {"!": [drawn_rule(rng, depth - 1)]}
    if name == "all":
        limit = {rng.choice(["<", ">"]): [{"var": "load"}, 0.5]}
        return {rng.choice(["all", "some", "none"]): [{"var": "near"}, limit]}
    return {name: [drawn_rule(rng, depth - 1) for _ in range(3 if name == "if" else rng.randint(2, 5))]}


@pytest.mark.parametrize("seed", range(60))
def test_raw_verdicts_are_the_reference_s_in_rules_of_every_size(seed):
    rng = generator(seed)
    policy = load(drawn_rule(rng, rng.randint(1, 5)))
    verdict = compile_policies(policy).verdict
    for _ in range(60):
        pool = rng.choice([(*ODD_NUMBERS, True, "20"), (0.4, 0.6, 31.0), (0, 1, 31)])
        context = {f"s{index}": rng.choice(pool) for index in range(6) if rng.random() < 0.95}
        context["near"] = [{"load": rng.choice(pool)} for _ in range(rng.randrange(4))]
        assert verdict(context) is reference.verdict(policy, context), context


class Refusing:
    """A value of the caller's own whose comparisons raise."""

    def __lt__(self, other):
        raise RuntimeError("not now")

    __le__ = __gt__ = __ge__ = __lt__


def test_a_value_whose_comparisons_raise_is_unknown():
    compiled = compile_policies(load({"<": [{"var": "battery"}, 30]}))
    assert compiled.verdict({"battery": Refusing()}) is Verdict.UNKNOWN
    assert not compiled.decide("go", {"battery": Refusing()})


def test_the_names_of_actions_that_a_caller_makes_up_are_not_remembered_for_ever():
    compiled = compile_policies(load({"<": [{"var": "battery"}, 30]}))
    verdicts = {compiled.decide(f"action-{number}", {"battery": 20}).verdict for number in range(2000)}
    assert verdicts == {Verdict.ALLOW}
    assert len(compiled._plans) <= 256
    assert len(compiled._groups) == 1  # they have no parameters: one function serves them all


def test_mitigations_that_came_and_went_are_not_remembered_for_ever():
    compiled = compile_policies(load({"<": [{"var": "battery"}, 30]}))
    for number in range(600):
        text = {"ripstop": 1, "id": f"m{number}", "rule": {">": [{"var": "battery"}, number]}}
        tightened = compiled.with_policies([load(text)])
        assert tightened.decide("go", {"battery": 20}).verdict is (
            Verdict.ALLOW if number < 20 else Verdict.DENY
        )
    assert len(compiled._groups) <= 256


@pytest.mark.parametrize(
    "rule", [{"<": [{"var": "x"}, 30]}, {"===": [{"var": "x"}, 5]}, {"+": [{"var": "x"}, 1e308]}]
)
def test_numpy_s_floats_are_numbers_to_every_evaluator(rule):
    policy = load(rule)
    compiled = compile_policies(policy)
    for value in (5.0, 40.0, 1e308, math.nan, math.inf):
        context = {"x": np.float64(value)}
        expected = reference.verdict(policy, {"x": value})
        assert reference.verdict(policy, context) is compiled.verdict(context) is expected
        assert compiled.decide("go", context).verdict is compiled.decide("go", {"x": value}).verdict


CHANCE = {"chance": [{"<": [{"-": [{"var": "e"}, {"var": "f"}]}, {"var": "b"}]}, 0.9]}


@pytest.mark.parametrize("rule", [CHANCE, {"and": [{"!": [CHANCE]}, {"<": [{"var": "a"}, 3]}]}])
@pytest.mark.parametrize(
    "estimate",
    [
        {"mean": 1, "sd": 2},
        {"mean": -9, "sd": 0},
        {"mean": 2.5, "sd": -1},
        {"mean": 51, "sd": 1},
        {"mean": 1},
        3,
    ],
)
def test_it_weighs_estimates_in_code_as_the_reference_does(rule, estimate):
    policy = load(
        {"ripstop": 1, "id": "p", "tier": "safety", "vocabulary": VOCABULARY.to_json(), "guards": ["go"]}
        | {"rule": rule}
    )
    assert compile_group((policy,), "go", VOCABULARY).function is not None
    compiled = compile_policies(policy, vocabulary=VOCABULARY)
    context = {"e": estimate, "f": {"mean": 4, "sd": 1}, "a": 1, "b": 2}
    expected = reference.decide(compiled.bundle, "go", context)
    found = compiled.decide("go", context)
    assert (found.verdict, list(found.evidence)) == (expected.verdict, list(expected.evidence))
    assert compiled.verdict(context) is reference.verdict(policy, context)


@pytest.mark.parametrize(("left", "right"), [("a", "b"), ("b", "a"), ("\uffff", "\U00010000"), ("Z", "a")])
def test_it_orders_texts_as_javascript_does(left, right):
    policy = load(
        {"<": [{"var": "left"}, "m", {"var": "right"}]}
        if left == "Z"
        else {"<": [{"var": "left"}, {"var": "right"}]}
    )
    context = {"left": left, "right": right}
    assert compile_policies(policy).verdict(context) is reference.verdict(policy, context)


def test_an_unknown_past_is_recorded_as_the_reference_records_it():
    once = {"once": [{">": [{"var": "b"}, 1]}, 5]}
    document = {
        "ripstop": 1,
        "id": "p",
        "tier": "safety",
        "vocabulary": VOCABULARY.to_json(),
        "guards": ["go"],
    }
    policies = [
        load(document | {"rule": {"and": [once, {"historically": [once, 5]}, {"<": [{"var": "a"}, 3]}]}}),
        load(document | {"id": "q", "rule": {"!": [once]}, "budgets": [{"at_most": 1, "within_s": 5}]}),
    ]
    compiled = compile_policies(policies, vocabulary=VOCABULARY)
    state = compiled.observe(compiled.start(), {"b": 2}, 0)
    for context in ({"a": 1}, {"a": math.nan}):
        for held in (state, None):
            found = compiled.decide("go", context, 7, held)
            assert found.remembered == reference.decide(compiled.bundle, "go", context, 7, held).remembered
            assert found.remembered


class _Half(float):
    """A float of a class of its own, as NumPy's are."""


@pytest.mark.parametrize(
    "value",
    [
        Decimal("0.5"),
        Fraction(1, 2),
        np.int64(0),
        np.float32(0.5),
        np.bool_(True),
        _Half(0.5),
        np.float64(0.5),
        True,
    ],
)
def test_what_is_no_number_of_json_is_of_the_wrong_type_wherever_it_stands(value):
    signals = {
        "a": {"type": "number"},
        "e": {"type": "estimate"},
        "l": {"type": "list", "size": 2, "fields": {"x": {"type": "number"}}},
    }
    document = {
        "ripstop": 1,
        "id": "p",
        "tier": "safety",
        "vocabulary": {
            "name": "v",
            "signals": signals,
            "actions": {"go": {"parameters": {"p": {"type": "number"}}}},
        },
        "guards": ["go"],
        "rule": {
            "and": [
                {"<": [{"var": "a"}, 3]},
                {"chance": [{"<": [{"var": "e"}, 9]}, 0.9]},
                {"all": [{"var": "l"}, {"<": [{"var": "x"}, 3]}]},
                {"<": [{"var": "p"}, 3]},
                {"once": [{"<": [{"var": "a"}, 3]}, 60]},
            ]
        },
    }
    compiled = compile_policies(load(document))
    sound = {"a": 1, "e": {"mean": 1, "sd": 1}, "l": [{"x": 1}], "p": 1}
    places = [{"a": value}, {"e": {"mean": value, "sd": 1}}, {"e": {"mean": 1, "sd": value}}]
    for bad in [*places, {"l": [{"x": value}]}, {"p": value}]:
        context = sound | bad
        state = compiled.observe(compiled.start(), {"a": 1}, 0)
        expected = reference.decide(compiled.bundle, "go", context, 1, state).verdict
        assert compiled.decide("go", context, 1, state).verdict is expected
        assert bool(expected) is isinstance(value, float | int)
        tracker = compiled.track()
        for t_us in (0, 1):
            tracker.observe({"a": bad.get("a", 1)}, t_us)
        assert bool(compiled.decide("go", sound, 1, tracker.state)) is (
            "a" not in bad or isinstance(value, float | int)
        )


@pytest.mark.parametrize("level", [0, 1, 2, 3, True, 2.0, -0.0, 2**53 - 1, 2**53, 1e300, "2", None])
def test_a_number_that_is_compared_often_may_be_an_integer(level):
    rules = [{"<": [{"var": "level"}, bound]} for bound in (1, 2, 3)]
    whole = {"===": [{"%": [{"var": "level"}, 2]}, 0]}
    choice = {"in": [{"max": [{"var": "level"}, 1]}, [1, 2, 3]]}
    vocabulary = {"name": "v", "signals": {"level": {}, "spare": {}}, "actions": {"go": {}}}
    policies = [
        load({"ripstop": 1, "id": f"p{index}", "vocabulary": vocabulary, "guards": ["go"], "rule": rule})
        for index, rule in enumerate([*rules, whole, choice, {"!=": [{"/": [1, {"var": "level"}]}, 1]}])
    ]
    compiled = compile_policies(policies)
    context = {"level": level}
    state = compiled.observe(compiled.start(), {"level": level}, 5)
    expected = reference.decide(compiled.bundle, "go", context, 5)
    assert compiled.decide("go", context, 5).to_json() == expected.to_json()
    observed = reference.decide(compiled.bundle, "go", {}, 5, state)
    assert compiled.decide("go", {}, 5, state).to_json() == observed.to_json()
