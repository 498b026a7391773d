"""Resource budgets: what `decide` looks at and `commit` consumes."""

import json

import pytest

from ripstop.backends import compile as compile_policies
from ripstop.core.canonical import canonical_json
from ripstop.core.decision import Decision, Verdict
from ripstop.policy import PolicyRejectedError, load, load_vocabulary, make_bundle, reference

VOCABULARY = load_vocabulary(
    {
        "name": "test",
        "signals": {"x": {}},
        "actions": {"go": {"parameters": {"kg": {}}}, "wait": {}, "stop": {}, "land": {}},
        "failsafe": ["stop", "land"],
    }
)
SECOND = 1_000_000


def loaded(budgets, **more):
    document = {
        "ripstop": 1,
        "id": "b",
        "tier": "safety",
        "vocabulary": VOCABULARY.to_json(),
        "guards": ["go"],
        "budgets": budgets,
        **more,
    }
    return load(document)


def allowed(compiled, state, t_us, context=None, action="go"):
    """Decide and, where it is allowed, commit."""
    decision = compiled.decide(action, context or {}, t_us, state)
    expected = reference.decide(compiled.bundle, action, context or {}, t_us, state)
    assert repr(decision) == repr(expected)
    after = compiled.commit(state, decision)
    assert (after is not None) == bool(decision)
    return bool(decision), after or state


def run(compiled, moments, context=None, action="go"):
    state, seen = compiled.start(), []
    for t_us in moments:
        verdict, state = allowed(compiled, state, t_us, context, action)
        seen.append(verdict)
    return seen


def test_at_most_so_many_actions_fit_in_any_window():
    compiled = compile_policies(loaded([{"at_most": 2, "within_s": 10}]))
    seconds = [0, 4, 5, 9, 10, 10.000001, 14, 14.000001, 25]
    moments = [round(second * SECOND) for second in seconds]
    assert run(compiled, moments) == [True, True, False, False, False, True, False, True, True]


def test_deciding_consumes_nothing():
    compiled = compile_policies(loaded([{"at_most": 1, "within_s": 10}]))
    state = compiled.start()
    assert all(compiled.decide("go", {}, 0, state) for _ in range(5))


def test_a_bucket_refills_and_holds_no_more_than_it_can():
    compiled = compile_policies(loaded([{"tokens": 2, "refill_per_s": 0.5}]))
    seconds = [0, 0, 0, 1, 2, 3, 100, 100, 100]
    assert run(compiled, [second * SECOND for second in seconds]) == [
        True,
        True,
        False,
        False,
        True,
        False,
        True,
        True,
        False,
    ]


def test_a_bucket_s_cost_may_be_a_parameter_and_an_unknown_cost_is_unknown():
    compiled = compile_policies(loaded([{"tokens": 5, "refill_per_s": 1, "cost": "kg"}]))
    state = compiled.start()
    _, state = allowed(compiled, state, 0, {"kg": 4})
    assert allowed(compiled, state, 0, {"kg": 1})[0]
    assert not allowed(compiled, state, 0, {"kg": 1.5})[0]
    for bad in ({}, {"kg": None}, {"kg": -1}, {"kg": float("nan")}, {"kg": 10**400}, {"kg": True}):
        decision = compiled.decide("go", bad, 0, state)
        assert [reason.code for reason in decision.reasons] == ["unknown"]


def test_a_used_up_budget_says_so():
    compiled = compile_policies(loaded([{"at_most": 1, "within_s": 10}]))
    _, state = allowed(compiled, compiled.start(), 0)
    decision = compiled.decide("go", {}, 1, state)
    assert [(reason.code, reason.text) for reason in decision.reasons] == [
        ("budget", "the budget is used up: at most 1 in 10 s")
    ]


def test_committing_checks_again():
    compiled = compile_policies(loaded([{"at_most": 1, "within_s": 10}]))
    first = compiled.decide("go", {}, 0, compiled.start())
    second = compiled.decide("go", {}, 0, compiled.start())
    state = compiled.commit(compiled.start(), first)
    assert compiled.commit(state, second) is None
    assert compiled.commit(state, second, 11 * SECOND) is not None


def test_what_is_not_allowed_cannot_be_committed():
    compiled = compile_policies(loaded([{"at_most": 1, "within_s": 10}], rule={"<": [{"var": "x"}, 1]}))
    state = compiled.observe(compiled.start(), {"x": 5}, 0)
    assert compiled.commit(state, compiled.decide("go", {}, 0, state)) is None


def test_a_failsafe_action_is_never_out_of_budget():
    compiled = compile_policies(loaded([{"at_most": 1, "within_s": 10}], guards=["stop"]))
    assert run(compiled, [0, 1, 2], action="stop") == [True, True, True]


def test_the_guarded_actions_share_a_budget():
    compiled = compile_policies(loaded([{"at_most": 1, "within_s": 10}], guards=["go", "wait"]))
    _, state = allowed(compiled, compiled.start(), 0, action="wait")
    assert not allowed(compiled, state, 1)[0]


def test_without_a_state_a_budget_is_unknown():
    decision = compile_policies(loaded([{"at_most": 1, "within_s": 10}])).decide("go", {}, 0)
    assert (decision.verdict, decision.reasons[0].code) == (Verdict.DENY, "unknown")


def test_what_was_spent_survives_a_restart_and_a_change_of_release():
    policy = loaded([{"at_most": 1, "within_s": 10}])
    compiled = compile_policies(policy)
    _, state = allowed(compiled, compiled.start(), 0)
    other = load({"ripstop": 1, "id": "o", "vocabulary": VOCABULARY.to_json(), "rule": {"<": [1, 2]}})
    after = compile_policies([policy, other])
    restored = after.restore(json.loads(canonical_json(state.to_json())))
    assert not after.decide("go", {}, 1, restored)
    assert after.decide("go", {}, 11 * SECOND, restored)


def test_a_recorded_decision_is_decided_again_without_what_was_spent():
    compiled = compile_policies(loaded([{"at_most": 1, "within_s": 10}]))
    _, state = allowed(compiled, compiled.start(), 0)
    for decision in (compiled.decide("go", {}, 1, compiled.start()), compiled.decide("go", {}, 1, state)):
        again = compiled.replay(Decision.from_json(decision.to_json()))
        assert again.to_json() == decision.to_json()


@pytest.mark.parametrize(
    ("budgets", "codes"),
    [
        ([{"at_most": 0, "within_s": 1}], ["E0308"]),
        ([{"at_most": 1.5, "within_s": 1}], ["E0211"]),
        ([{"at_most": 1, "within_s": 1e10}], ["E0211"]),
        ([{"at_most": 1}], ["E0302"]),
        ([{"at_most": 1, "within_s": 1, "tokens": 1}], ["E0301", "E0301", "E0302"]),
        ([{"tokens": 1, "refill_per_s": 1, "cost": "x"}], ["E0307"]),
        ({"at_most": 1, "within_s": 1}, ["E0303"]),
    ],
)
def test_a_bad_budget_is_refused(budgets, codes):
    with pytest.raises(PolicyRejectedError) as caught:
        loaded(budgets)
    assert sorted(finding.code for finding in caught.value.findings) == codes


def test_a_resolved_document_with_budgets_loads_to_the_same_policy():
    policy = loaded([{"at_most": 2, "within_s": 10}, {"tokens": 3, "refill_per_s": 0.5, "cost": "kg"}])
    assert load(policy.to_json()).digest == policy.digest
    assert make_bundle([policy]).policies == (policy,)
