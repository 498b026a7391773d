"""Bundles: what fits together, what applies to an agent, what is linted."""

import pytest

from ripstop.core.errors import PolicyError
from ripstop.policy import check, load, load_vocabulary, make_bundle

FLEET = {"name": "fleet", "signals": {"x": {}}, "actions": {"go": {}}, "capabilities": ["rotor"]}
ROTOR = {"in": ["rotor", {"var": "capabilities"}]}
CHILD = {**FLEET, "name": "child", "lineage": ["child", "fleet"]}


def document(name="p", vocabulary=FLEET, **more):
    return {"ripstop": 1, "id": name, "vocabulary": vocabulary, "rule": {"<": [{"var": "x"}, 1]}, **more}


def test_two_policies_of_one_id_do_not_fit():
    with pytest.raises(PolicyError) as caught:
        make_bundle([load(document()), load(document(rule=True))])
    assert caught.value.code == "E0312"


def test_a_policy_fits_an_agent_whose_vocabulary_descends_from_its_own():
    bundle = make_bundle([load(document())], load_vocabulary(CHILD))
    assert bundle.vocabulary.name == "child"
    with pytest.raises(PolicyError) as caught:
        make_bundle([load(document(vocabulary=CHILD))], load_vocabulary(FLEET))
    assert caught.value.code == "E0313"


def test_the_most_derived_vocabulary_is_the_bundle_s():
    bundle = make_bundle([load(document("a")), load(document("b", CHILD)), load({"<": [{"var": "y"}, 1]})])
    assert bundle.vocabulary.name == "child"


def test_a_policy_that_does_not_apply_is_left_out_and_unknown_applies():
    policy = load(document(applies_to=ROTOR))
    assert make_bundle([policy], capabilities=["rotor"]).policies == (policy,)
    assert make_bundle([policy], capabilities=[]).policies == ()
    assert make_bundle([policy]).policies == (policy,)


@pytest.mark.parametrize(
    "rule",
    [
        {"and": [{">=": [{"var": "cpu"}, 0.9]}, {"!": [{"var": "restarted"}]}]},
        {">": [{"var": "load"}, 3]},
    ],
)
def test_a_bare_rule_that_reads_like_a_prohibition_gets_a_lint(rule):
    assert [lint.code for lint in load(rule).lints] == ["L0501"]


def test_a_condition_that_its_range_decides_gets_a_lint():
    vocabulary = {"name": "v", "signals": {"x": {"range": [0, 100]}}, "actions": {"go": {}}}
    policy = load(document(vocabulary=vocabulary, rule={"<=": [{"var": "x"}, 100]}))
    # ... and the whole rule with it, which is a finding of its own
    assert [lint.code for lint in policy.lints] == ["L0502", "L0506"]


def test_an_empty_bundle_permits_nothing_by_default():
    from ripstop.backends import compile as compile_policies

    decision = compile_policies([]).decide("anything", {})
    assert not decision
    assert [reason.code for reason in decision.reasons] == ["unguarded"]


@pytest.mark.parametrize(
    "rule", [{"<": [{"var": "now"}, 5]}, {"once": [ROTOR, 5]}, {"!": [{"previous": {"var": "capabilities"}}]}]
)
def test_applicability_is_settled_once_so_it_knows_no_time(rule):
    findings = check(document(applies_to=rule)).findings
    assert [finding.code for finding in findings if finding.severity.value == "error"][:1] == ["E0210"]


@pytest.mark.parametrize(
    ("rule", "governs"),
    [
        (False, False),
        (True, True),
        ({"and": [ROTOR, {"!": [ROTOR]}]}, False),
        ({"some": [{"var": "capabilities"}, {"==": [{"var": ""}, "rotr"]}]}, False),
        ({"some": [{"var": "capabilities"}, {"==": [{"var": ""}, "rotor"]}]}, True),
        ({"!": [ROTOR]}, True),
        ({"throw": "unknown"}, True),  # what is unknown applies
    ],
)
def test_a_policy_that_governs_nobody_is_told(rule, governs):
    found = [finding.message for finding in check(document(applies_to=rule)).findings]
    assert found == ([] if governs else ["`applies_to` is always false: the policy governs nobody"])
