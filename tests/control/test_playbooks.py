"""Playbooks: strict loading, and what they say."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest

from ripstop.control import load_playbook
from ripstop.control.mitigation.hub import Cue, IncidentHub, Level, Risk, State, level
from ripstop.control.mitigation.playbook import End, StabilityRule, read_playbook
from ripstop.control.mitigation.shedding import area_around, is_shed, shedding_policy
from ripstop.control.mitigation.stability import MarginWatch
from ripstop.control.mitigation.topology import region_members, star
from ripstop.control.mitigation.trigger import Trigger
from ripstop.core.canonical import canonical_json
from ripstop.core.decision import Verdict
from ripstop.core.errors import ConfigurationError, RipstopError
from ripstop.policy.bundle import make_bundle
from ripstop.policy.loader import load, load_vocabulary
from ripstop.policy.reference import decide
from ripstop.risk import margin, swing_model

ROOT = Path(__file__).parents[2]
FILE = ROOT / "playbooks" / "drones.yaml"
BOOK = load_playbook(FILE)
VOCABULARY = load_vocabulary(ROOT / "vocabularies" / "drone.yaml")


def document():
    return {
        "playbook": 1,
        "id": "x/y",
        "vocabulary": "drone",
        "trigger": {">=": [{"var": "suspects"}, 1]},
        "risk": {"model": "load", "theta": 0.2, "enter": 0.3, "exit": 0.1, "target": 0.1},
        "evidence": {"anomaly": 0.9},
        "handover": {"range_m": 3000},
        "ladder": {"shed": {"radius_m": 2000, "keep": [2, 1], "actions": ["accept_task"]}},
        "dwell_s": 5,
        "lease_s": 5,
    }


def test_the_shipped_playbook_loads_and_names_its_model():
    assert (BOOK.risk.model.value, BOOK.risk.theta, BOOK.risk.enter) == ("load", 0.2, 0.3)
    assert BOOK.ladder.shed.radius_m == 2000.0
    assert BOOK.digest == load_playbook(FILE).digest


def test_a_playbook_in_json_is_the_same(tmp_path):
    path = tmp_path / "p.json"
    path.write_text(json.dumps(document()))
    assert load_playbook(path) == read_playbook(document())


@pytest.mark.parametrize(
    ("pointer", "value", "words"),
    [
        ("/typo", 1, "unknown key `typo`"),
        ("/risk/theta", 1.5, "`theta` must lie between"),
        ("/risk/theta", "0.2", "expected a number, got `0.2`"),
        ("/risk/theta", float("nan"), "expected a number"),
        ("/risk/model", "guess", "expected one of load, percolation"),
        ("/risk/exit", 0.5, "`exit` must be less than `enter`"),
        ("/evidence/rumour", 0.5, "`evidence.rumour` is unknown"),
        ("/evidence/anomaly", 2, "is a probability, within 0..1"),
        ("/ladder", {}, "the ladder has no rung"),
        ("/ladder/shed/keep", [1.5], "expected a whole number"),
        ("/ladder/shed/keep", [], "`keep` must name"),
        ("/ladder/isolate", {"cap": 0.9}, "`cap` must lie"),
        ("/dwell_s", True, "expected a number, got `True`"),
        ("/lease_s", None, "expected a number, got `null`"),
        ("/playbook", 2, "`playbook` must be 1"),
        ("/trigger", [], "expected an object"),
        ("/largest_share", 0, "`largest_share` must lie"),
        ("/digest", "x", "unknown key `digest`"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_pointer(pointer, value, words):
    changed = document()
    *path, last = pointer.strip("/").split("/")
    at = changed
    for step in path:
        at = at[step]
    at[last] = value
    with pytest.raises(ConfigurationError) as caught:
        read_playbook(changed)
    assert caught.value.code == "C0201"
    assert words in str(caught.value)
    assert caught.value.place.pointer.startswith(pointer)


@pytest.mark.parametrize("key", ["id", "trigger", "risk", "handover", "ladder", "dwell_s"])
def test_what_is_missing_is_named(key):
    changed = document()
    del changed[key]
    with pytest.raises(ConfigurationError, match=f"`{key}` is missing"):
        read_playbook(changed)


def test_a_misspelt_key_is_told_with_the_one_that_was_meant():
    changed = document()
    changed["dwel_s"] = changed.pop("dwell_s")
    with pytest.raises(ConfigurationError, match="`dwell_s` is missing at `/`") as caught:
        read_playbook(changed)
    assert caught.value.hint == "did you mean `dwell_s`?"


def test_every_finding_is_told_at_once():
    changed = copy.deepcopy(document())
    changed["risk"]["theta"] = "x"
    changed["typo"] = 1
    with pytest.raises(ConfigurationError) as caught:
        read_playbook(changed)
    assert "and 1 more" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("playbook: [", "E0104"),
        ("a: 1\na: 2\n", "E0105"),
        ("- 1\n", "C0203"),
        ("", "C0"),
        ("x: &a [*a]\n", "E0"),
    ],
)
def test_a_file_that_is_no_playbook_is_a_coded_error(tmp_path, text, code):
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(RipstopError) as caught:
        load_playbook(path)
    assert caught.value.code.startswith(code)


@pytest.mark.parametrize("value", ["much", "2"])
def test_findings_tell_file_line_and_column(tmp_path, value):
    path = tmp_path / "p.yaml"
    path.write_text(FILE.read_text().replace("theta: 0.2", f"theta: {value}"))
    with pytest.raises(ConfigurationError) as caught:
        load_playbook(path)
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if "theta:" in text)
    assert str(caught.value).startswith(f"{path}:{line}:")


@pytest.mark.parametrize("name", ["p.json", "p.yaml"])
@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_file_is_told_as_a_playbook_that_is_not_there(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_playbook(path)
    assert str(caught.value) == f"{path}: C0203: the file is empty"


def test_a_missing_file_is_a_clear_error(tmp_path):
    with pytest.raises(ConfigurationError) as caught:
        load_playbook(tmp_path / "none.yaml")
    assert caught.value.code == "C0203"


@pytest.mark.parametrize("rule", [{">=": [{"var": "lo"}, 1]}, {"nonsense": [1]}, {">=": [{"val": "lo"}, 1]}])
def test_a_trigger_over_unknown_fields_or_operators_is_refused_at_load(rule):
    with pytest.raises(ConfigurationError) as caught:
        Trigger(rule)
    assert caught.value.code == "C0202"


def test_a_trigger_that_fails_while_running_does_not_step_in():
    trigger = Trigger({">": [{"/": [1, {"-": [{"var": "airborne"}, 5]}]}, 0]})
    assert trigger.holds({"airborne": 6})
    assert not trigger.holds({"airborne": 5})


# ---- the hub's table ------------------------------------------------------------------------------------


def risk(low, high):
    return Risk("load", (low + high) / 2, low, high, 100, 0.1)


def test_the_level_follows_the_interval_and_the_trigger():
    assert level(risk(0.3, 0.6), BOOK, triggered=True) is Level.HIGH
    assert level(risk(0.3, 0.6), BOOK, triggered=False) is Level.UNDECIDED
    assert level(risk(0.29, 0.6), BOOK, triggered=True) is Level.UNDECIDED
    assert level(risk(0.0, 0.149), BOOK, triggered=True) is Level.LOW
    assert level(risk(0.0, 0.15), BOOK, triggered=True) is Level.UNDECIDED


def stability(**changes):
    return {"enter": 0.2, "damping_enter": 0.03, "damping_exit": 0.05} | changes


def test_a_short_margin_lowers_the_risk_at_which_an_incident_opens():
    book = replace(BOOK, stability=StabilityRule(**stability()))
    found = risk(0.2, 0.9)
    assert level(found, book, triggered=True) is Level.UNDECIDED
    assert level(found, book, triggered=True, is_margin_short=True) is Level.HIGH
    assert level(found, book, triggered=False, is_margin_short=True) is Level.UNDECIDED
    assert level(found, BOOK, triggered=True, is_margin_short=True) is Level.UNDECIDED


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"damping_exit": 0.01}, "`damping_exit` must not be below"),
        ({"headroom_enter": 0.5}, "`headroom_exit` must not be below"),
        ({"enter": 0.05}, "`stability.enter` must lie above `risk.exit`"),
        ({"enter": 0.5}, "`stability.enter` must lie above `risk.exit`"),
        ({"enter": 1.5}, "`enter` must lie within 0..1"),
        ({"damping": 0.1}, "unknown key `damping`"),
    ],
)
def test_a_stability_rule_that_cannot_hold_is_refused(changes, words):
    with pytest.raises(ConfigurationError) as caught:
        read_playbook(document() | {"stability": stability(**changes)})
    assert words in str(caught.value)


def swinging(damping):
    return margin(
        swing_model(
            ends=[[0, 1]],
            stiffness=[2.0],
            inertia=[0.1, 0.1],
            damping=[damping, damping],
            power=[1.0, -1.0],
            reserve=[0.5, 0.0],
        )
    )


def test_the_margin_is_short_with_hysteresis_and_read_by_triggers():
    watch = MarginWatch(StabilityRule(**stability()))
    assert not watch.is_short
    low, between, high = (swinging(d) for d in (0.01, 0.045, 0.1))
    assert low.damping_low < 0.03 < between.damping_low < 0.05 < high.damping_low
    seen = [(watch.take(report), watch.is_short) for report in (between, low, between, high, between)]
    assert seen == [(False, False), (True, True), (False, True), (True, False), (False, False)]
    watch.take(low)
    assert Trigger(
        {"and": [{"==": [{"var": "margin_is_short"}, 1]}, {"<": [{"var": "damping_low"}, 0.03]}]}
    ).holds(watch.signals())
    without = MarginWatch(None)
    assert (without.take(low), without.is_short) == (False, False)


def test_a_cue_that_means_nothing_in_a_state_changes_nothing():
    for state in State:
        for cue in Cue:
            hub = IncidentHub(BOOK, state=state)
            if not hub.cue(cue):
                assert hub.state is state


def test_an_undecided_risk_holds_and_starts_the_dwell_anew():
    hub = IncidentHub(replace(BOOK, dwell_s=10.0), state=State.MITIGATING)
    assert not hub.calm(Level.LOW, 0)
    assert not hub.calm(Level.UNDECIDED, 9_000_000)
    assert not hub.calm(Level.LOW, 11_000_000)
    assert not hub.calm(Level.LOW, 20_999_999)
    assert hub.calm(Level.LOW, 21_000_000)


def test_the_dwell_doubles_with_each_incident_of_the_hour_and_falls_back_after_it():
    hub = IncidentHub(replace(BOOK, dwell_s=10.0, dwell_max_s=35.0))
    dwells = []
    for number in range(4):
        hub.open(f"i{number}", (), number * 1_000_000)
        dwells.append(hub.dwell_s(number * 1_000_000))
        hub.state, hub.incident = State.WATCHING, None
    assert dwells == [10.0, 20.0, 35.0, 35.0]
    hub.open("later", (), 3_700_000_000)
    assert hub.dwell_s(3_700_000_000) == 10.0


# ---- shedding and stars ---------------------------------------------------------------------------------


def shed_decision(policy, **context):
    bundle = make_bundle([load(json.loads(policy), VOCABULARY)], VOCABULARY)
    full = {"task_priority": 3, "pickup_x_m": 0.0, "pickup_y_m": 0.0, "payload_kg": 0.1} | context
    return decide(bundle, "start_delivery", {k: v for k, v in full.items() if v is not None})


def test_the_shedding_policy_forbids_what_the_planner_counts_as_shed():
    area = area_around([(0.0, 0.0), (5000.0, 100.4)], 2000.0)
    for sheds in End:
        rung = replace(BOOK.ladder.shed, sheds=sheds)
        policy = shedding_policy("mitigation/i/shed", "drone", rung, 2, area)
        assert canonical_json(json.loads(policy)).decode() == policy
        for priority in range(1, 6):
            for x in (0.0, 1999.0, 2001.0, 3001.0, 6999.0, 7001.0):
                denied = shed_decision(policy, task_priority=priority, pickup_x_m=x).verdict is Verdict.DENY
                assert denied == (is_shed(priority, 2, sheds) and area.holds(x, 0.0))


def test_an_unknown_priority_or_place_is_denied_where_shedding_is_on():
    area = area_around([(0.0, 0.0)], 2000.0)
    policy = shedding_policy("mitigation/i/shed", "drone", BOOK.ladder.shed, 2, area)
    assert shed_decision(policy, task_priority=None).verdict is Verdict.DENY
    assert shed_decision(policy, pickup_x_m=float("nan")).verdict is Verdict.DENY


def test_many_places_become_one_circle_that_holds_all_of_theirs():
    places = [(100.0 * k, 50.0 * (k % 7)) for k in range(200)]
    area = area_around(places, 2000.0)
    assert len(area.centres) == 1
    assert all(area.holds(x + 1999.0, y) and area.holds(x, y - 1999.0) for x, y in places)


def test_a_region_holds_whoever_can_reach_the_area():
    area = area_around([(0.0, 0.0)], 2000.0)
    places = [("far", 5001.0, 0.0), ("b", 4999.0, 0.0), ("a", 0.0, 0.0)]
    assert region_members(places, area, 3000.0) == ("a", "b")
    made = star("i", BOOK.ladder.star, ("a", "b"), BOOK)
    assert (made.hub, made.members, made.lease_s) == ("ground", ("a", "b"), BOOK.lease_s)
