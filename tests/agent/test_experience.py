"""What the monitors have learned outlives the process, and nothing that the disk holds breaks an agent."""

import pytest

from ripstop.agent import Agent, AgentNode, NodeSettings, Restored
from ripstop.agent.experience import EVERY_US, SavedMonitor, SavedMonitors
from ripstop.core.clock import Instant, ManualClock
from ripstop.core.node import Append, Drop, Report, Started
from ripstop.core.vocabulary import SignalSpec, Vocabulary
from ripstop.core.wire.record import pack, unpack

SECOND = 1_000_000
DRONE = Vocabulary("drone", signals={"battery_v": SignalSpec("battery_v", unit="V", low=9, high=13)})


def node(vocabulary=DRONE, restored=None, at=0, boot="b", **more):
    made = AgentNode(NodeSettings("a", **more), vocabulary=vocabulary, restored=restored)
    return made, made.step(Started(1), Instant(at, at, boot))


def fly(made, seconds, begin=0, boot="b", name="battery_v"):
    """Read a voltage every second; give the effects on the stream."""
    found = []
    for second in range(begin, begin + seconds):
        now = Instant(second * SECOND, second * SECOND, boot)
        found += made.observe({name: 12.0 + second % 3 / 10}, now)
    return [effect for effect in found if isinstance(effect, Append | Drop) and effect.stream == "learned"]


def kept(effects):
    return Restored(learned=[e.data for e in effects if isinstance(e, Append)][-1], learned_count=1)


def forgotten(effects):
    return [dict(e.fields) for e in effects if isinstance(e, Report) and e.name == "monitor.forgotten"]


def test_what_was_learned_is_saved_every_ten_minutes_of_readings_and_two_states_stay():
    made, _ = node()
    effects = fly(made, 3 * EVERY_US // SECOND + 10)
    assert [type(effect) for effect in effects] == [Append, Append, Append, Drop]
    assert effects[-1].sequence == 1
    assert all(len(unpack(SavedMonitors, e.data).monitors[0].state) == 64 for e in effects[:3])


def test_a_restart_knows_what_is_usual():
    made, _ = node()
    saved = kept(fly(made, 700))
    fresh, _ = node(at=800 * SECOND)
    again, told = node(restored=saved, at=800 * SECOND)
    assert not forgotten(told)
    now = Instant(801 * SECOND, 801 * SECOND, "b")
    assert not (fresh.sense({"battery_v": 10.1}, now)[0])
    found = again.sense({"battery_v": 10.1}, now)[0]
    assert found.alarms["battery_v"].kind == "level"
    assert found.alarms["battery_v"].expected == pytest.approx(12.1, abs=0.05)


def test_after_a_reboot_the_clock_is_another_one_and_what_was_learned_holds():
    made, _ = node()
    saved = kept(fly(made, 700))
    again, told = node(restored=saved, at=5 * SECOND, boot="c")
    assert not forgotten(told)
    found = again.sense({"battery_v": 10.1}, Instant(6 * SECOND, 6 * SECOND, "c"))[0]
    assert found.alarms["battery_v"].kind == "level"


def test_a_signal_that_is_declared_otherwise_by_now_is_learned_anew():
    made, _ = node()
    saved = kept(fly(made, 700))
    other = Vocabulary("drone", signals={"battery_v": SignalSpec("battery_v", unit="V", low=0, high=60)})
    again, told = node(other, saved, at=800 * SECOND)
    assert not forgotten(told)
    assert not again.sense({"battery_v": 10.1}, Instant(801 * SECOND, 801 * SECOND, "b"))[0]


def test_personal_signals_are_not_saved():
    made, _ = node(personal=("battery_v",), salt_key=b"s" * 32)
    assert fly(made, 700) == []


def test_signals_that_nobody_declared_are_saved_too():
    made, _ = node(None)
    saved = kept(fly(made, 700, name="load"))
    again, _ = node(None, saved, at=800 * SECOND)
    now = Instant(801 * SECOND, 801 * SECOND, "b")
    assert again.sense({"load": 30.0}, now)[0].alarms["load"].kind == "level"


def saved_with(state, version=2, boot="b"):
    return Restored(learned=pack(SavedMonitors(version, boot, (SavedMonitor("load", "", state),))))


@pytest.mark.parametrize(
    ("restored", "code"),
    [
        (Restored(learned=b"\xff\xff"), "W0102"),
        (Restored(learned=pack(SavedMonitor("load", "", b""))), "W0102"),
        (saved_with(b"", version=1), "W0102"),
        (saved_with(b"\0" * 63), "C0371"),
        (saved_with(b"\xff" * 64), "C0371"),
    ],
)
def test_wrong_bytes_are_told_and_learned_anew(restored, code):
    made, told = node(None, restored, at=800 * SECOND)
    (fields,) = forgotten(told)
    assert fields["code"] == code
    assert fields["reason"]
    assert not fly(made, 5, begin=801, name="load")


def test_a_state_of_a_time_to_come_is_refused():
    made, _ = node(None)
    saved = kept(fly(made, 700, name="load"))
    _, told = node(None, saved, at=5 * SECOND)
    (fields,) = forgotten(told)
    assert fields["signal"] == "load"
    assert fields["code"] == "C0371"


def test_an_agent_that_ends_and_begins_again_goes_on(tmp_path):
    clock = ManualClock(10**15)
    with Agent("a", vocabulary=DRONE, ledger=tmp_path, clock=clock) as drone:
        for second in range(60):
            clock.advance(1.0)
            drone.observe(battery_v=12.0 + second % 3 / 10)
    clock.advance(30.0)
    with Agent("a", vocabulary=DRONE, ledger=tmp_path, clock=clock) as drone:
        assert drone.observe(battery_v=10.1)["battery_v"].kind == "level"
    clock.advance(30.0)
    for path in tmp_path.glob("learned.log"):
        path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with Agent("a", vocabulary=DRONE, ledger=tmp_path, clock=clock) as drone:
        clock.advance(1.0)
        assert drone.observe(battery_v=12.1) == {}
