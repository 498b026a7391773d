"""Explanations: what settled a denial, and the smallest change of inputs that turns it into ALLOW."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ripstop.backends import compile as compile_policies
from ripstop.core.decision import Verdict
from ripstop.policy import State, check, load, make_bundle
from ripstop.policy.explain import explain
from ripstop.policy.explain_search import Question
from ripstop.policy.reference import decide
from ripstop.policy.text_rules import parse_rule


def explained(policies, context, action="go", observed=None):
    bundle = make_bundle(policies)
    state = State(bundle.vocabulary)
    if observed:
        state = state.observe(observed, 0)

    def ask(changed):
        return decide(bundle, action, changed, 0, state)

    values = {sample.signal: sample.value for sample in ask(context).inputs}
    question = Question(action, bundle.guarding(action), bundle.vocabulary, context, values, ask)
    return explain(question), ask


def rule(text, **keys):
    return load({"ripstop": 1, "id": keys.pop("id", "p"), "rule": text, **keys})


def single(found):
    return {
        change.name: change.bound for changes in found.proposals for change in changes if len(changes) == 1
    }


def test_of_a_conjunction_the_clause_that_was_false_is_named():
    found, _ = explained([rule("a < 1 and b < 2 and c < 3")], {"a": 0, "b": 5, "c": 9})
    (why,) = found.reasons
    assert why.conditions == ("b < 2 is false: b is 5",)


def test_of_a_disjunction_all_clauses_are_named():
    found, _ = explained([rule("a < 1 or b < 2")], {"a": 4, "b": 5})
    assert found.reasons[0].conditions == ("a < 1 is false: a is 4", "b < 2 is false: b is 5")


def test_of_an_implication_both_sides_are_named():
    found, _ = explained([rule("a < 30 implies b <= 1")], {"a": 20, "b": 2})
    assert found.reasons[0].conditions == ("a < 30 is true: a is 20", "b <= 1 is false: b is 2")
    assert single(found) == {"a": "at least 30", "b": "at most 1"}


def test_a_prohibition_names_what_held():
    found, _ = explained([rule("a > 3 and not b", effect="forbid")], {"a": 4, "b": False})
    assert found.reasons[0].conditions == ("a > 3 is true: a is 4", "b is false: b is false")
    assert single(found) == {"a": "at most 3", "b": "true"}


@pytest.mark.parametrize(
    ("text", "context", "bounds"),
    [
        ("a > 3", {"a": 1}, {"a": "more than 3"}),
        ("a < 3", {"a": 7}, {"a": "less than 3"}),
        ("2 * a + 1 <= b", {"a": 7, "b": 5}, {"a": "at most 2", "b": "at least 15"}),
        ("a == 0.25", {"a": 1}, {"a": "at most 0.25"}),
        ("mode == 'idle'", {"mode": "busy"}, {"mode": '"idle"'}),
        ("mode in ['idle', 'off']", {"mode": "busy"}, {"mode": '"idle"'}),
        ("a >= 3", {}, {"a": "3"}),
        ("max(a, b) < 4", {"a": 9, "b": 1}, {"a": "less than 4"}),
        ("a < 3", {}, {"a": "0"}),
        ("a < 3", {"a": math.nan}, {"a": "0"}),
        ("a < 3", {"a": 10**400}, {"a": "0"}),
        ("a < 3", {"a": "5"}, {"a": "0"}),
        ("a != 3", {"a": 3}, {"a": "less than 3"}),
        ("name != 'x'", {"name": "x"}, {"name": '"other"'}),
        ("name != 'x'", {}, {"name": '"other"'}),
        ("flag and a < 3", {"a": 2}, {"flag": "true"}),
        ("a >= a / b and a / b >= a", {"a": -9.394197806035296, "b": 1e6}, {"a": "at least 0"}),
        ("3 * a >= 2", {"a": 0}, {"a": "at least 0.6666666666666666"}),
    ],
)
def test_the_smallest_change_of_one_input_is_found(text, context, bounds):
    found, ask = explained([rule(text)], context)
    assert single(found) == bounds
    for changes in found.proposals:
        assert ask({**context, **{change.name: change.value for change in changes}})


@pytest.mark.parametrize("wrong", [None, math.inf, 10**400, "5", [], {}, [4]])
def test_what_is_declared_is_brought_back_from_any_other_type(wrong):
    signals = {"a": {"range": [0, 2]}}
    vocabulary = {"name": "v", "signals": signals, "actions": {"go": {}}}
    found, ask = explained([rule("a < 1", vocabulary=vocabulary, guards=["go"])], {"a": wrong})
    ((change,),) = found.proposals
    assert ask({"a": change.value})
    assert change.bound == "0"


def test_a_cost_is_brought_down_to_what_a_bucket_holds():
    actions = {"go": {"parameters": {"p": {}}}}
    vocabulary = {"name": "v", "signals": {}, "actions": actions}
    bucket = {"tokens": 5, "refill_per_s": 1, "cost": "p"}
    policy = load({"ripstop": 1, "id": "p", "vocabulary": vocabulary, "guards": ["go"], "budgets": [bucket]})
    found, ask = explained([policy], {"p": 8})
    assert single(found) == {"p": "at most 5"}
    assert ask({"p": 5})


def test_where_one_change_is_not_enough_two_are_proposed():
    found, _ = explained([rule("a < 1"), rule("b < 1", id="q")], {"a": 5, "b": 5})
    (changes,) = found.proposals
    assert [(change.name, change.bound) for change in changes] == [("a", "less than 1"), ("b", "less than 1")]


def test_a_parameter_outside_its_limit_is_brought_inside_in_its_unit():
    policy = load(
        {
            "ripstop": 1,
            "id": "p",
            "vocabulary": "drone",
            "guards": ["accept_task"],
            "limits": [{"when": "battery_percent < 30 %", "limit": {"payload_kg": {"max": 1}}}],
        }
    )
    found, _ = explained([policy], {"payload_kg": 2}, "accept_task", {"battery_percent": 20})
    assert found.decision.verdict is Verdict.LIMIT
    assert single(found) == {"payload_kg": "at most 1 kg", "battery_percent": "at least 30 %"}


def test_what_nothing_can_change_has_no_proposal():
    found, _ = explained([rule("a < 1 and a > 2")], {"a": 5})
    assert found.proposals == ()


def test_an_action_that_nobody_declares_is_not_for_the_inputs_to_settle():
    policy = load({"ripstop": 1, "id": "p", "vocabulary": "drone", "rule": "battery_percent > 3"})
    found, _ = explained([policy], {}, "fly_to_the_moon")
    assert found.is_beyond_inputs


NAMES = st.sampled_from(["a", "b", "c"])
ATOMS = st.builds(
    lambda name, op, bound: f"{name} {op} {bound}",
    NAMES,
    st.sampled_from(["<", "<=", ">", ">=", "=="]),
    st.integers(-3, 3),
)
RULES = st.recursive(
    ATOMS,
    lambda inner: (
        st.builds(
            lambda a, op, b: f"({a}) {op} ({b})", inner, st.sampled_from(["and", "or", "implies"]), inner
        )
        | inner.map(lambda part: f"not ({part})")
    ),
    max_leaves=5,
)


@given(RULES, st.fixed_dictionaries({name: st.integers(-5, 5) for name in "abc"}))
def test_every_proposal_allows_and_no_smaller_whole_step_of_that_input_does(text, context):
    assert parse_rule(text)
    policy = rule(text)
    assert check({"ripstop": 1, "id": "p", "rule": text}).policy is not None
    found, ask = explained([policy], context)
    for changes in found.proposals:
        assert ask({**context, **{change.name: change.value for change in changes}})
        if len(changes) == 1:
            (change,) = changes
            distance = abs(change.value - context[change.name])
            nearer = [context[change.name] + step for step in range(-10, 11) if abs(step) < distance]
            assert not any(ask({**context, change.name: value}) for value in nearer)


@pytest.mark.parametrize(
    ("text", "context"),
    [
        ("a > 2 and a == b", {"a": -1, "b": 0.5}),
        ("a < 2 and a > b and a + b > 1", {"a": -2.5, "b": 2}),
        ("b == a + 1 and b > 7", {"a": 0, "b": 0}),
    ],
)
def test_two_inputs_that_are_compared_with_each_other_are_changed_together(text, context):
    found, ask = explained([rule(text)], context)
    assert found.proposals
    for changes in found.proposals:
        assert len(changes) == 2
        assert ask({**context, **{change.name: change.value for change in changes}})


GRID = [number / 2 for number in range(-12, 13)]


@given(
    RULES, RULES, st.fixed_dictionaries({name: st.sampled_from(GRID) for name in "abc"}), st.integers(-3, 3)
)
def test_every_engine_allows_what_is_proposed_and_no_smaller_step_of_the_grid_is_allowed(
    first, second, context, most
):
    ranges = {"name": "v", "signals": {"a": {"range": [-6, 6]}, "b": {"range": [-6, 6]}}}
    go = {"go": {"parameters": {"c": {"range": [-6, 6]}}}}
    limits = [{"when": second, "limit": {"c": {"min": -4, "max": most}}}]
    policy = rule(first, vocabulary={**ranges, "actions": go}, guards=["go"], limits=limits)
    engines = [compile_policies(policy, name) for name in ("python", "columns")]
    found, ask = explained([policy], context)
    assume(found.decision.verdict is not Verdict.ALLOW)
    for changes in found.proposals:
        changed = {**context, **{change.name: change.value for change in changes}}
        assert ask(changed)
        assert all(engine.decide("go", changed) for engine in engines)
        table = {name: [value] for name, value in changed.items()}
        assert engines[1].decisions("go", table).verdicts.tolist() == [Verdict.ALLOW]
    steps = [abs(v - context[name]) / 12 for name in "abc" for v in GRID if ask({**context, name: v})]
    if steps:
        assert [len(changes) for changes in found.proposals[:1]] == [1]
        assert found.proposals[0][0].size <= min(steps) + 1e-9


def test_the_search_is_bounded_however_many_inputs_there_are():
    names = [f"s{number}" for number in range(40)]
    found, _ = explained([rule(" and ".join(f"{name} < 1" for name in names))], dict.fromkeys(names, 5))
    assert found.proposals == ()
