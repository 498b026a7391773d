"""What sensors do in the field, and what the agent makes of it: verdicts, restraint, its failsafes."""

import math

import pytest

import ripstop
from agent.scripted_ground import POLICY, VOCABULARY
from ripstop.agent import NodeSettings, PolicyVM, Rung
from ripstop.agent.breaker import BreakerState
from ripstop.core.clock import ManualClock
from ripstop.core.decision import Verdict

NOW_US = 1_700_000_000_000_000


@pytest.fixture
def clock():
    return ManualClock(NOW_US)


@pytest.fixture
def drone(clock):
    with ripstop.Agent("a", POLICY, settings=NodeSettings("a"), clock=clock) as made:
        yield made


def fly(drone, clock, values, name="battery_percent", step_s=1.0):
    found = []
    for value in values:
        clock.advance(step_s)
        found.append(drone.observe(**{name: value}).get(name))
    return found


def take(drone):
    return drone.decide("accept_task", payload_kg=0.5)


def test_a_missing_signal_permits_nothing_but_the_failsafe(drone):
    assert take(drone).verdict is Verdict.DENY
    assert take(drone).reasons[0].code != "denied"  # not that the rule did not hold: it could not be told
    assert drone.decide("land")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, "12", 1e308, -1, 101, [5], True])
def test_a_reading_that_cannot_be_is_never_taken_for_a_good_one(drone, clock, value):
    fly(drone, clock, [80.0, 79.9, 80.0, 79.9, 80.0])
    assert take(drone)
    alarm = fly(drone, clock, [value])[0]
    assert alarm is not None
    assert alarm.kind in ("invalid", "out_of_range")
    assert not take(drone)
    assert drone.breaker_state is BreakerState.OPEN
    assert drone.decide("land")


def test_a_frozen_signal_goes_stale_where_it_no_longer_comes(drone, clock):
    fly(drone, clock, [80.0, 79.9, 80.0])
    assert take(drone)
    clock.advance(61)
    assert not take(drone)
    assert drone.decide("land")
    fly(drone, clock, [79.0])
    assert take(drone)


def test_a_live_signal_that_reads_the_same_for_ever_is_stuck(clock):
    words = VOCABULARY.to_json()
    words["signals"]["battery_v"] = {**words["signals"]["battery_v"], "live": True}
    policy = {**POLICY, "vocabulary": words, "rule": True}
    with ripstop.Agent("a", policy, clock=clock) as drone:
        found = fly(drone, clock, [12.4 + i % 2 / 10 for i in range(20)] + [12.4] * 60, "battery_v")
        assert "stuck" in {alarm.kind for alarm in found if alarm}
        assert not take(drone)
        assert drone.decide("land")


@pytest.mark.parametrize("period_s", [2, 7, 60, 300])
def test_an_oscillating_signal_moves_breaker_and_ladder_a_bounded_number_of_times(clock, period_s):
    moves = []
    with ripstop.Agent("a", {**POLICY, "rule": True}, clock=clock) as drone:
        seen = drone.breaker_state
        fly(drone, clock, [80.0 + i % 2 / 10 for i in range(100)])
        for second in range(3600):
            fly(drone, clock, [20.0 if second % period_s < period_s / 2 else 80.0])
            if drone.breaker_state is not seen:
                seen = drone.breaker_state
                moves.append(seen)
            assert drone.decide("land")
    assert 1 <= moves.count(BreakerState.OPEN) <= 200  # waits double from 1 s to a minute
    assert drone.rung is Rung.CLEAR  # no response was declared: an oscillation orders nothing


def test_readings_that_travel_in_time_replace_no_newer_one():
    vm = PolicyVM(POLICY)
    second = 1_000_000
    vm.observe({"battery_percent": 80}, NOW_US)
    vm.observe({"battery_percent": 5}, NOW_US - 10 * second)
    assert vm.decide("accept_task", {"payload_kg": 2.0}, NOW_US + second)
    vm.observe({"battery_percent": 20}, NOW_US + 5 * second)
    assert not vm.decide("accept_task", {"payload_kg": 2.0}, NOW_US + 6 * second)


def test_a_clock_that_runs_backwards_ends_nothing_and_permits_nothing_new(drone, clock):
    fly(drone, clock, [80.0, 79.9, 80.0])
    clock.mono_us -= 30_000_000
    fly(drone, clock, [20.0], step_s=0.0)
    assert drone.decide("land")
    drone.tick()
    clock.advance(40)
    fly(drone, clock, [79.9, 80.0, 79.9])
    assert drone.decide("land")


@pytest.mark.parametrize("jump_s", [-86_400 * 365, -3600, -1, 1, 3600, 86_400 * 365])
def test_a_wall_clock_that_jumps_changes_no_verdict(drone, clock, jump_s):
    fly(drone, clock, [80.0, 79.9, 80.0])
    assert take(drone)
    clock.wall_us += jump_s * 1_000_000
    assert take(drone)
    fly(drone, clock, [79.9, 80.0])
    assert take(drone)
    assert drone.decide("land")


def nested(levels, value=5):
    for _ in range(levels):
        value = [value]
    return value


ENDLESS = []
ENDLESS.append(ENDLESS)


@pytest.mark.parametrize("value", [nested(40), {"a": nested(40)}, ENDLESS, [object()]])
def test_a_value_that_no_record_holds_reads_as_none_and_ends_no_ledger(tmp_path, value):
    rule = {"<": [{"var": "x"}, 9]}
    with ripstop.Agent("a", rule, ledger=tmp_path / "ledger") as agent:
        assert agent.act("go", lambda **context: "gone", x=1, more=value) == "gone"
        with pytest.raises(PermissionError):
            agent.act("go", int, x=value)
        agent.observe(x=value)
        with pytest.raises(PermissionError):
            agent.act("go", int)
        agent.flush()
        assert agent.node.ledger_head[0] >= 3
        assert agent.act("go", lambda more: more, x=1, more=nested(3)) == nested(3)


class Cursed(dict):
    """A context whose reading fails with an error that nobody expects."""

    def items(self):
        raise IndexError("cursed")

    get = __getitem__ = items


class Unspeakable:
    """An action's name that can be neither compared nor written."""

    def __hash__(self):
        raise RuntimeError("unspeakable")

    __eq__ = __str__ = __repr__ = __hash__


@pytest.mark.parametrize("context", [Cursed(a=1), 5, "a", [("a", 1)]])
def test_no_error_denies_a_failsafe_or_allows_anything_else(context):
    actions = {"go": {}, "back": {}, "land": {}}
    vocabulary = {"name": "v", "signals": {"a": {}}, "actions": actions, "failsafe": ["back", "land"]}
    rule = {"<": [{"var": "a"}, 2]}
    vm = PolicyVM({"ripstop": 1, "id": "x", "vocabulary": vocabulary, "guards": ["go"], "rule": rule})
    found = {action: vm.decide(action, context) for action in actions}
    assert [str(decision.verdict.word) for decision in found.values()] == ["deny", "allow", "allow"]
    assert {decision.reasons[0].code for decision in found.values()} == {"error"}
    assert vm.decide(Unspeakable(), {"a": 1}).verdict is Verdict.DENY
