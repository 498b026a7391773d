"""Lints over whole policies: what is settled before it is reached, branches and limits without use."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripstop.core.decision import Verdict
from ripstop.policy import check, load
from ripstop.policy.reference import verdict

DRONE = Path(__file__).parents[2] / "vocabularies" / "drone.yaml"
DOCUMENT = {"ripstop": 1, "id": "x", "vocabulary": "drone", "guards": ["accept_task"]}


def lints(rule=None, **keys):
    document = {**DOCUMENT, **({} if rule is None else {"rule": rule}), **keys}
    checked = check(document)
    assert checked.policy is not None, checked.findings
    assert checked.policy.lints == checked.findings
    return [finding.message for finding in checked.findings]


@pytest.mark.parametrize(
    ("rule", "settled"),
    [
        ("battery_percent < 20 or battery_percent < 10", "`battery_percent < 10 %` is always false here"),
        ("battery_percent > 20 and battery_percent > 10", "`battery_percent > 10 %` is always true here"),
        ("payload_kg < 2 and payload_kg == 2", "`payload_kg == 2 kg` is always false here"),
        ("payload_kg <= 2 and 3 < payload_kg", "`3 kg < payload_kg` is always false here"),
        ("is_flying and payload_kg < 1 or not is_flying and payload_kg < 2", None),
        ("is_flying and (payload_kg < 2 or not is_flying)", "`is_flying` is always true here"),
        ("1 < payload_kg < 3 and payload_kg > 0.5", "`payload_kg > 0.5 kg` is always true here"),
        ("battery_percent < 30 implies battery_percent < 40", "`battery_percent < 40 %` is always true here"),
        ("battery_percent >= 20 and battery_percent <= 20", None),
        ("battery_percent > 101", "`>` is always false here"),
        ("min(1, 5) > 2 or is_flying", "`min(1, 5) > 2` is always false here"),
    ],
)
def test_a_condition_that_is_settled_is_named(rule, settled):
    found = lints(rule)
    assert settled in found if settled else found == []


def test_a_branch_that_is_never_reached_is_named_where_it_stands(tmp_path):
    path = tmp_path / "a.rule"
    path.write_text("if a < 20 then b elif a < 10 then c else d")
    found = {finding.code: finding.place.column for finding in check(path).findings}
    assert found == {"L0502": 25, "L0503": 35}


def test_a_default_of_now_is_never_used_and_decides_nothing():
    checked = check({"<": [{"var": ["now", 9]}, 2]})
    assert [(each.code, each.message) for each in checked.findings] == [
        ("L0503", "a default of `now` is never used")
    ]
    assert checked.policy.rule == {"<": [{"var": "now"}, 2]}
    assert verdict(checked.policy, {}, 3_000_000) is Verdict.DENY


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("payload_kg < 2 and payload_kg > 3", "the rule is always false: the policy denies always"),
        ("payload_kg < 2 or payload_kg >= 2", "the rule is always true: the policy permits everything"),
        (True, "the rule is always true: the policy permits everything"),
    ],
)
def test_a_rule_that_is_always_the_same_is_told(rule, message):
    assert message in lints(rule)


def test_an_empty_rule_denies_always_and_is_told_to_be_empty(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("ripstop: 1\nid: x\nrule:\n")
    _, found = check(path).findings
    assert (found.code, found.place.line, found.hint) == ("L0506", 3, "nothing stands in its place")


@pytest.mark.parametrize(
    ("rule", "is_plain"),
    [
        ("chance[0.9](payload_kg < 1)", True),
        ("chance[0.9](2 * payload_kg < margin)", False),
        ("chance[0.9](margin < nosuch)", False),
    ],
)
def test_a_chance_without_an_estimate_is_told(rule, is_plain):
    signals = {"payload_kg": {"range": [0, 9]}, "margin": {"type": "estimate"}}
    vocabulary = {"name": "v", "signals": signals, "actions": {"go": {}}}
    document = {"ripstop": 1, "id": "x", "vocabulary": vocabulary, "guards": ["go"], "rule": rule}
    assert ("L0509" in [finding.code for finding in check(document).findings]) is is_plain
    assert "L0509" not in [finding.code for finding in check({**document, "vocabulary": None}).findings]


def test_a_bare_rule_that_is_always_the_same_is_told():
    rule = {"and": [{"<": [{"var": "a"}, 1]}, {">": [{"var": "a"}, 2]}]}
    assert [finding.code for finding in check(rule).findings] == ["L0502", "L0506"]


def test_a_prohibition_that_never_holds_permits_everything():
    found = lints("payload_kg < 2 and payload_kg > 3", effect="forbid")
    assert "the rule is always false: the policy permits everything" in found


def test_a_document_of_limits_alone_has_no_rule_to_complain_about():
    assert lints(limits=[{"when": "battery_percent < 20", "limit": {"payload_kg": {"max": 1}}}]) == []


def test_limits_without_use_are_told():
    limits = [
        {"limit": {"payload_kg": {"max": 50}}},
        {"when": "battery_percent < 5 and battery_percent > 6", "limit": {"payload_kg": {"max": 1}}},
    ]
    found = lints(limits=limits)
    assert "the limit of `payload_kg` keeps nothing out that its declared range has" in found
    assert "this condition never holds, so the limit never applies" in found


@pytest.mark.parametrize("bounds", [{"max": -1}, {"min": 1e6}, {"min": 60, "max": 70}])
def test_a_limit_that_leaves_nothing_is_told(bounds):
    found = lints(limits=[{"limit": {"payload_kg": bounds}}])
    assert found == ["the limit of `payload_kg` leaves nothing that its declared range has"]
    assert lints(limits=[{"limit": {"payload_kg": {"max": 0}}}]) == []


def test_a_huge_rule_is_not_looked_through():
    rule = {"and": [{"<": [{"var": f"s{number}"}, 1]} for number in range(3000)]}
    assert check(rule).findings == ()


def test_lints_leave_the_digest_alone():
    rule = {"and": [{"<": [{"var": "a"}, 1]}, {"<": [{"var": "a"}, 2]}]}
    assert load(rule).lints
    assert load(load(rule).to_json()).digest == load(rule).digest or load(rule).is_bare


ATOMS = st.builds(
    lambda sides, op: f"{sides[0]} {op} {sides[1]}",
    st.tuples(st.sampled_from("ab"), st.integers(-1, 1)).flatmap(lambda pair: st.permutations(pair)),
    st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
)
RULES = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.builds(
            lambda a, op, b: f"({a}) {op} ({b})", inner, st.sampled_from(["and", "or", "implies"]), inner
        ),
        st.builds(lambda a, b, c: f"(if {a} then {b} else {c})", inner, inner, inner),
        inner.map(lambda part: f"not ({part})"),
    ),
    max_leaves=5,
)


@given(RULES)
def test_a_rule_that_is_said_to_be_always_the_same_is(text):
    policy = load({"ripstop": 1, "id": "x", "rule": text})
    found = {finding.message.split(":")[0] for finding in policy.lints if finding.code == "L0506"}
    steps = [step / 2 for step in range(-4, 5)]
    outcomes = {verdict(policy, {"a": a, "b": b}) for a in steps for b in steps}
    if found:
        word = "the rule is always true" if outcomes == {Verdict.ALLOW} else "the rule is always false"
        assert found == {word}
        assert len(outcomes) == 1


@pytest.mark.parametrize(
    ("unit", "meant"),
    [
        ("kgg", "kg"),
        ("Kg", "kg"),
        ("gk", "kg"),
        ("hz", "Hz"),
        ("kwh", "kWh"),
        ("m/ss", "m/s"),
        ("Kg*m^2/s", "kg*m^2/s"),
        ("mteres", "metres"),
        ("°c", "°C"),
        *(
            (unit, None)
            for unit in ("kg", "m/s^2", "", "1", "parcels", "pkg", "rpm", "drones", "Wh/km", "mAh")
        ),
        ("q" * 10_000, None),
    ],
)
def test_a_misspelt_unit_is_told_and_one_of_somebody_s_own_is_not(unit, meant):
    vocabulary = {
        "name": "v",
        "signals": {"load": {"unit": unit}},
        "actions": {"go": {"parameters": {"size": {"unit": unit}}}},
    }
    document = {**DOCUMENT, "vocabulary": vocabulary, "guards": ["go"]}
    found = check({**document, "rule": {"<": [{"var": "load"}, 1]}}).findings
    hints = [] if meant is None else [f"did you mean `{meant}`?"] * 2
    assert [(finding.code, finding.hint) for finding in found] == [("L0507", hint) for hint in hints]


def test_a_document_without_a_vocabulary_is_told_that_its_names_are_not_checked():
    document = {"ripstop": 1, "id": "x", "guards": ["take_of"], "rule": {"<": [{"var": "batery"}, 3]}}
    (found,) = check(document).findings
    assert found.code == "L0510"
    assert check(document).policy is not None
    assert check({**document, "vocabulary": "drone"}).policy is None
    assert check(document["rule"]).findings == ()


def test_a_decimal_comma_in_a_list_is_told():
    rule = {"<=": [{"var": "payload_kg"}, 1, 0]}  # what `[{var: payload_kg}, 1,0]` reads as
    assert "`payload_kg <= 1 kg <= 0 kg` is always false here" in lints(rule)
    assert lints({"<=": [{"var": "payload_kg"}, 1, 2]}) == []


def test_a_bare_rule_is_checked_over_the_vocabulary_that_is_given():
    checked = check({"<": [{"var": "batery_percent"}, 3]}, DRONE)
    assert [each.code for each in checked.findings] == ["E0205"]
    (told,) = check({">": [{"var": "battery_percent"}, 3]}, DRONE).findings
    assert told.code == "L0501"
    assert [each.code for each in check(True, DRONE).findings] == ["L0506"]
    policy = load({"<": [{"var": "battery_percent"}, 3]}, DRONE)
    assert (policy.id, policy.vocabulary.name, policy.guards) == ("inline", "drone", None)


def test_a_bare_rule_has_an_id_whatever_its_file_is_called(tmp_path):
    file = tmp_path / "-low battery (draft).json"
    file.write_text('{"<": [{"var": "battery_percent"}, 3]}')
    assert load(file, DRONE).id == "_low_battery__draft_"
