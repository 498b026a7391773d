"""The margin agrees with the verdict and moves with the inputs; the bounds are what a policy can cost."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripstop.backends import compile as compile_policies
from ripstop.policy import bounds, load, load_vocabulary

VOCABULARY = load_vocabulary(
    {
        "name": "v",
        "signals": {
            "a": {"range": [0, 10]},
            "b": {"range": [-5, 5]},
            "free": {},
            "up": {"type": "boolean"},
            "near": {"type": "list", "size": 4, "fields": {"load": {"range": [0, 2]}}},
        },
        "actions": {"go": {"parameters": {"p": {"range": [0, 50]}}}, "land": {}, "idle": {}},
        "failsafe": ["land"],
    }
)
A, B, UP, FREE = {"var": "a"}, {"var": "b"}, {"var": "up"}, {"var": "free"}


def compiled(rule=True, **more):
    document = {"ripstop": 1, "id": "x", "vocabulary": VOCABULARY.to_json(), "guards": ["go"], "rule": rule}
    return compile_policies(load({**document, **more}))


@pytest.mark.parametrize(
    ("rule", "context", "value"),
    [
        ({"<": [A, 5]}, {"a": 3}, 0.2),
        ({"<": [A, 5]}, {"a": 7}, -0.2),
        ({">=": [A, 5]}, {"a": 7}, 0.2),
        ({"!": [{"<": [A, 5]}]}, {"a": 3}, -0.2),
        ({"and": [{"<": [A, 5]}, {">": [B, 1]}]}, {"a": 3, "b": 2}, 0.1),
        ({"or": [{"<": [A, 5]}, {">": [B, 1]}]}, {"a": 3, "b": 2}, 0.2),
        ({"if": [{"<": [A, 5]}, {">": [B, 1]}, True]}, {"a": 3, "b": 2}, 0.1),
        ({"if": [{"<": [A, 5]}, {">": [B, 1]}, True]}, {"a": 9}, 0.4),
        ({"==": [A, 5]}, {"a": 7}, -0.2),
        ({"!=": [A, 5]}, {"a": 7}, 0.2),
        ({"<": [1, A, 5]}, {"a": 3}, 0.2),
        ({"<": [A, B]}, {"a": 1, "b": 4}, 0.3),
        (UP, {"up": True}, math.inf),
        (
            {"all": [{"var": "near"}, {"<": [{"var": "load"}, 1]}]},
            {"near": [{"load": 0.5}, {"load": 0.8}]},
            0.1,
        ),
        (
            {"some": [{"var": "near"}, {"<": [{"var": "load"}, 1]}]},
            {"near": [{"load": 0.5}, {"load": 0.8}]},
            0.25,
        ),
        ({"none": [{"var": "near"}, {"<": [{"var": "load"}, 1]}]}, {"near": [{"load": 0.5}]}, -0.25),
        ({"<": [FREE, 5]}, {"free": 3}, None),
        ({"<": [A, 5]}, {}, None),
        ({"and": [{"<": [A, 5]}, UP]}, {"a": 3, "up": False}, -math.inf),
    ],
)
def test_the_margin_of(rule, context, value):
    found = compiled(rule).margin("go", {"p": 1, **context}).value
    assert found is None if value is None else found == pytest.approx(value)


def test_a_prohibition_has_the_opposite_margin_and_a_limit_counts_where_it_is_active():
    assert compiled({"<": [A, 5]}, effect="forbid").margin("go", {"a": 3}).value == pytest.approx(-0.2)
    limited = compiled(limits=[{"when": {"<": [A, 5]}, "limit": {"p": {"max": 20}}}])
    assert limited.margin("go", {"a": 2, "p": 15}).value == pytest.approx(0.1)
    assert limited.margin("go", {"a": 2, "p": 25}).value == pytest.approx(-0.1)
    assert limited.margin("go", {"a": 7, "p": 25}).value == pytest.approx(0.2)


@pytest.mark.parametrize("engine", ["python", "columns"])
def test_a_parameter_beyond_binary64_is_infinitely_far_outside_its_limit(engine):
    actions = {"go": {"parameters": {"p": {"range": [0, 10]}}}}
    vocabulary = {"name": "v", "signals": {}, "actions": actions}
    limits = [{"limit": {"p": {"max": 5}}}]
    made = {"ripstop": 1, "id": "x", "vocabulary": vocabulary, "guards": ["go"], "limits": limits}
    asked = compile_policies(load(made), engine)
    if engine == "python":
        assert asked.margin("go", {"p": 10**400}).value == -math.inf
    else:
        found = asked.margins("go", {"p": [10**400, 4]})
        assert found.low.tolist() == found.high.tolist() == [-math.inf, 0.1]


def test_what_cannot_be_measured_lies_between_bounds():
    margin = compiled({"and": [{"<": [FREE, 5]}, {"<": [A, 5]}]}).margin("go", {"free": 3, "a": 3})
    assert (margin.value, margin.low, margin.high) == (None, 0, pytest.approx(0.2))


def test_a_temporal_operator_has_its_operand_s_present_margin():
    engine = compiled({"historically": [{"<": [A, 5]}, 60]})
    state = engine.observe(engine.start(), {"a": 4}, 0)
    margin = engine.margin("go", {"a": 9}, 1, state)
    assert (margin.value, margin.is_instant) == (pytest.approx(0.1), True)
    counting = compiled({"<": [{"count_within": [UP, 60, 4]}, 2]})
    state = counting.start()
    for second, up in enumerate([False, True, False]):
        state = counting.observe(state, {"up": up}, (second + 100) * 10**6)
    assert counting.margin("go", {}, 163 * 10**6, state).value is not None


def test_a_condition_that_is_unknown_has_no_margin_on_either_side():
    unknown = {"or": [{"<": [FREE, 5]}, {"<": [A, 5]}]}
    for rule, context in ((unknown, {"a": 3}), ({"and": [UP, {"<": [A, 5]}]}, {"a": 9})):
        asked = compiled(rule)
        assert asked.decide("go", context).verdict.word == "deny"
        margin = asked.margin("go", context)
        assert (margin.value, margin.low, margin.high) == (None, -math.inf, math.inf)
    limited = compiled(limits=[{"when": {"and": [UP, {"<": [A, 5]}]}, "limit": {"p": {"max": 20}}}])
    assert limited.margin("go", {"a": 9, "p": 30}).low == pytest.approx(-0.2)


@pytest.mark.parametrize("engine", ["python", "columns"])
def test_a_failsafe_is_limited_but_not_denied(engine):
    actions = {"stop": {"parameters": {"p": {"range": [0, 50]}}}, "land": {}}
    vocabulary = {**VOCABULARY.to_json(), "actions": actions, "failsafe": ["stop", "land"]}
    limits = [{"limit": {"p": {"max": 20}}}]
    more = {"vocabulary": vocabulary, "guards": ["stop"], "tier": "safety"}
    rule = {"<": [A, 5]}
    document = {"ripstop": 1, "id": "x", **more, "rule": rule, "limits": limits}
    asked = compile_policies(load(document), engine)
    for a, p, value in ((9, 30, 0.4), (3, 15, 0.1), (3, 30, -0.2)):
        context = {"a": a, "p": p}
        assert (asked.decide("stop", context).verdict.word == "allow") == (value > 0)
        if engine == "python":
            assert asked.margin("stop", context).value == pytest.approx(value)
        else:
            found = asked.margins("stop", {name: np.array([float(n)]) for name, n in context.items()})
            assert found.low.tolist() == found.high.tolist() == pytest.approx([value])


def test_actions_that_no_policy_can_deny_have_every_margin():
    assert compiled(False).margin("land", {}).value == math.inf
    assert compiled(False).margin("idle", {}).value == -math.inf
    assert compiled(False).margin("fly", {}).value == -math.inf


numbers = st.integers(-20, 20).map(lambda n: n / 2)
comparisons = st.builds(
    lambda op, name, n: {op: [{"var": name}, n]},
    st.sampled_from(["<", "<=", ">", ">="]),
    st.sampled_from("ab"),
    numbers,
)
rules = st.recursive(
    comparisons | st.just(UP),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).flatmap(lambda x: st.sampled_from([{"and": x}, {"or": x}]))
        | inner.map(lambda x: {"!": [x]})
        | st.lists(inner, min_size=3, max_size=3).map(lambda x: {"if": x})
    ),
    max_leaves=8,
)


@given(rules, numbers, numbers, st.booleans())
def test_a_margin_above_zero_allows_and_one_below_does_not(rule, a, b, up):
    engine, context = compiled(rule), {"a": min(10, abs(a)), "b": max(-5, min(5, b)), "up": up}
    value = engine.margin("go", context).value
    assert value is not None
    if value != 0:
        assert bool(engine.decide("go", context)) is (value > 0)


@given(rules, numbers, numbers, st.floats(-0.99, 0.99))
def test_a_change_smaller_than_the_margin_changes_nothing(rule, a, b, share):
    engine, context = compiled(rule), {"a": min(10, abs(a)), "b": max(-5, min(5, b)), "up": True}
    value = engine.margin("go", context).value
    moved = {**context, "a": context["a"] + share * min(abs(value), 1) * 10}
    if 0 <= moved["a"] <= 10 and value:
        assert engine.decide("go", moved).verdict is engine.decide("go", context).verdict


def policy(rule, **more):
    return load(
        {"ripstop": 1, "id": "x", "vocabulary": VOCABULARY.to_json(), "guards": ["go"], "rule": rule, **more}
    )


def test_bounds_count_what_an_evaluation_can_cost():
    assert bounds(policy({"<": [{"+": [A, 1]}, 5]})).operations == 3
    assert bounds(policy({"all": [{"var": "near"}, {"<": [{"var": "load"}, 1]}]})).operations == 1 + 1 + 4 * 2
    assert bounds(load({"all": [{"var": "near"}, {"<": [{"var": "load"}, 1]}]})).operations is None


def test_bounds_of_memory_do_not_depend_on_the_window():
    short, long = (bounds(policy({"once": [{"<": [A, 5]}, w]})) for w in (10, 3000))
    assert (short.memory_bytes, short.window_s, long.window_s) == (long.memory_bytes, 10, 3000)
    assert bounds(policy(UP)).memory_bytes == 0
    counting = bounds(policy({"<": [{"count_within": [UP, 60, 100]}, 2]}))
    assert (
        counting.memory_bytes == 8 * (1 + 101 + 2) + 2 + 2 + 4
    )  # latest, unknown and edges, signal; filled up
    spent = bounds(policy(True, budgets=[{"at_most": 5, "within_s": 99}]))
    assert (spent.memory_bytes, spent.window_s) == (8 * (1 + 5) + 4 + 4, 99)
