"""Vocabularies: found by name, flattened over one parent, narrowed but never changed."""

import json
from pathlib import Path

import pytest

from ripstop.policy import PolicyRejectedError, check, find_vocabulary, load, load_vocabulary
from ripstop.policy.units import DIMENSIONLESS, Unit, parse_unit

PARENT = {
    "name": "vehicle",
    "signals": {
        "speed": {"unit": "m/s", "range": [0, 50], "max_age_s": 10},
        "gear": {"type": "string", "values": ["a", "b"]},
    },
    "actions": {"go": {"parameters": {"n": {}}}, "stop": {}},
    "failsafe": ["stop"],
    "capabilities": ["wheels"],
    "unguarded": "allow",
}


def family(folder: Path, child: dict[str, object]) -> Path:
    (folder / "vehicle.json").write_text(json.dumps(PARENT))
    path = folder / "car.json"
    path.write_text(json.dumps({"name": "car", "parent": "vehicle", **child}))
    return path


def test_a_child_inherits_adds_and_narrows(tmp_path: Path):
    child = load_vocabulary(
        family(
            tmp_path,
            {
                "signals": {"speed": {"unit": "m/s", "range": [0, 30]}, "doors": {}},
                "actions": {"park": {}, "go": {"parameters": {"m": {}}}},
                "failsafe": ["park", "stop"],
                "capabilities": ["doors"],
            },
        )
    )
    assert child.lineage == ("car", "vehicle")
    assert (child.signals["speed"].high, child.signals["speed"].max_age_s) == (30, 10)
    assert set(child.signals) == {"speed", "gear", "doors"}
    assert child.failsafes == ("park", "stop")
    assert set(child.actions["go"].parameters) == {"n", "m"}
    assert (child.capabilities, child.unguarded) == (("wheels", "doors"), "allow")


@pytest.mark.parametrize(
    "child",
    [
        {"signals": {"speed": {"unit": "km/h"}}},
        {"signals": {"speed": {"type": "boolean"}}},
        {"signals": {"speed": {"range": [-1, 50]}}},
        {"signals": {"speed": {"max_age_s": 11}}},
        {"signals": {"gear": {"type": "string", "values": ["a", "c"]}}},
        {"actions": {"home": {}}, "failsafe": ["home"]},
        {"failsafe": ["stop", "go"]},
    ],
)
def test_a_child_that_widens_or_takes_away_is_refused(tmp_path: Path, child):
    with pytest.raises(PolicyRejectedError) as caught:
        load_vocabulary(family(tmp_path, child))
    assert "E0311" in {finding.code for finding in caught.value.findings}


def test_a_family_that_descends_from_itself_is_refused(tmp_path: Path):
    (tmp_path / "a.json").write_text('{"name": "a", "parent": "b"}')
    (tmp_path / "b.json").write_text('{"name": "b", "parent": "a"}')
    with pytest.raises(PolicyRejectedError) as caught:
        load_vocabulary(tmp_path / "a.json")
    assert caught.value.code == "E0311"


@pytest.mark.parametrize(
    ("vocabulary", "code"),
    [
        ({"name": "v", "signals": {"x": {"unit": "m^^2"}}}, "E0304"),
        ({"name": "v", "signals": {"x": {"range": [2, 1]}}}, "E0308"),
        ({"name": "v", "signals": {"x": {"range": [1]}}}, "E0303"),
        ({"name": "v", "signals": {"x": {"type": "int"}}}, "E0304"),
        ({"name": "v", "signals": {"x": {"max_age": 3}}}, "E0301"),
        ({"name": "v", "signals": {"now": {}}}, "E0304"),
        ({"name": "v", "signals": {"1x": {}}}, "E0304"),
        ({"name": "v", "signals": {"x": {"type": "boolean", "unit": "m"}}}, "E0304"),
        ({"name": "v", "failsafe": ["land"]}, "E0306"),
        (
            {
                "name": "v",
                "signals": {"x": {"unit": "m"}},
                "actions": {"a": {"parameters": {"x": {"unit": "km"}}}},
            },
            "E0304",
        ),
    ],
)
def test_a_bad_vocabulary_is_refused(vocabulary, code):
    with pytest.raises(PolicyRejectedError) as caught:
        load_vocabulary(vocabulary)
    assert code in {finding.code for finding in caught.value.findings}


def test_a_vocabulary_is_found_beside_the_policy_up_the_tree_and_among_the_shipped(tmp_path: Path):
    deep = tmp_path / "policies" / "inner"
    deep.mkdir(parents=True)
    assert find_vocabulary("drone", deep / "p.json") is not None
    (tmp_path / "vocabularies").mkdir()
    up = tmp_path / "vocabularies" / "mine.json"
    up.write_text('{"name": "mine"}')
    assert find_vocabulary("mine", deep / "p.json") == up
    beside = deep / "mine.json"
    beside.write_text('{"name": "mine"}')
    assert find_vocabulary("mine", deep / "p.json") == beside
    assert find_vocabulary("nowhere", deep / "p.json") is None


def test_the_shipped_policies_load_and_their_last_failsafe_is_land():
    for name in ("payload_limit.json", "drones/payload-limit.yaml", "drones/admission.yaml"):
        policy = load(Path(__file__).parents[2] / "policies" / name)
        assert policy.is_bare or policy.vocabulary.failsafes[-1] == "land"
        assert policy.lints == ()


def test_a_resolved_policy_loads_again_with_the_same_digest():
    policy = load(Path(__file__).parents[2] / "policies/drones/payload-limit.yaml")
    again = load(policy.to_json())
    assert (again.digest, again.vocabulary.digest) == (policy.digest, policy.vocabulary.digest)


@pytest.mark.parametrize(
    ("text", "shown"), [("m/s", "m/s"), ("kg*m^2/s^2", "kg*m^2/s^2"), ("%", "%"), ("1/s", "1/s"), ("", "1")]
)
def test_a_unit_reads_and_prints(text, shown):
    assert str(parse_unit(text)) == shown


def test_units_multiply_and_divide():
    metre, second = Unit((("m", 1),)), Unit((("s", 1),))
    assert str(metre.times(metre)) == "m^2"
    assert str(metre.times(second, -1)) == "m/s"
    assert metre.times(metre, -1) == DIMENSIONLESS


@pytest.mark.parametrize(("written", "hint"), [("dron", "did you mean `drone`?"), ("zebra", "is looked for")])
def test_a_misspelt_vocabulary_is_told_with_the_one_that_was_meant(written, hint):
    finding = check({"ripstop": 1, "id": "a", "vocabulary": written, "rule": True}).findings[0]
    assert finding.code == "E0310"
    assert hint in finding.hint
