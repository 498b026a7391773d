import math

from ripstop.agent.sampler import Sampler, SamplerSettings
from ripstop.core.vocabulary import SignalSpec

SECOND = 1_000_000
SIGNALS = {
    "battery_percent": SignalSpec("battery_percent", low=0, high=100, max_age_s=60),
    "altitude_m": SignalSpec("altitude_m"),
    "mode": SignalSpec("mode", type="string"),
}


def sent(sampler, series, name="battery_percent"):
    rows = []
    for second, value in enumerate(series):
        rows += sampler.pick({name: value}, second * SECOND, second * SECOND)
    return rows


def test_the_first_reading_is_sent_under_its_number_in_the_order_of_names():
    rows = Sampler(SIGNALS).pick({"battery_percent": 80.0, "altitude_m": 5.0}, 7, 9)
    assert rows == [(7, 80.0, 0, 1, 0), (7, 5.0, 0, 0, 0)]


def test_a_withheld_signal_is_never_sent_and_the_others_keep_their_numbers():
    sampler = Sampler(SIGNALS, withheld=("altitude_m",))
    sampler.alarm(9)  # not even while every reading is sent
    assert sampler.pick({"battery_percent": 80.0, "altitude_m": 5.0}, 7, 9) == [(7, 80.0, 0, 1, 0)]


def test_a_steady_signal_is_sent_at_its_heartbeat_only():
    rows = sent(Sampler(SIGNALS), [80.0] * 61)
    assert [row[0] // SECOND for row in rows] == [0, 20, 40, 60]


def test_a_reading_outside_the_dead_band_is_sent_at_once():
    rows = sent(Sampler(SIGNALS), [80.0, 79.0, 78.1, 77.9, 77.9])
    assert [row[1] for row in rows] == [80.0, 77.9]


def test_a_signal_without_a_range_has_a_band_relative_to_its_value():
    rows = sent(Sampler(SIGNALS), [100.0, 101.9, 102.1], "altitude_m")
    assert [row[1] for row in rows] == [100.0, 102.1]


def test_crossing_a_policys_threshold_is_sent_at_once():
    sampler = Sampler(SIGNALS, thresholds={"battery_percent": [30.0]})
    rows = sent(sampler, [30.3, 30.25, 29.99])
    assert [row[1] for row in rows] == [30.3, 29.99]


def test_the_band_narrows_towards_a_threshold():
    far = sent(Sampler(SIGNALS, thresholds={"battery_percent": [30.0]}), [80.0, 79.0])
    near = sent(Sampler(SIGNALS, thresholds={"battery_percent": [30.0]}), [31.0, 32.6])
    assert (len(far), len(near)) == (1, 2)


def test_the_ground_is_never_further_off_than_the_band():
    series = [50 + 30 * math.sin(t / 40) for t in range(600)]
    sampler, last = Sampler(SIGNALS), None
    for second, value in enumerate(series):
        for row in sampler.pick({"battery_percent": value}, second * SECOND, second * SECOND):
            last = row[1]
        assert abs(last - value) <= 2.0


def test_after_an_alarm_every_reading_is_sent_for_a_while_and_marked():
    sampler = Sampler(SIGNALS, SamplerSettings(urgent_s=5.0))
    sent(sampler, [80.0])
    sampler.alarm(SECOND)
    rows = [
        sampler.pick({"battery_percent": 80.0}, t * SECOND, t * SECOND, frozenset({"battery_percent"}))
        for t in range(1, 10)
    ]
    assert [len(r) for r in rows] == [1] * 5 + [0] * 4
    assert rows[0][0][4] == 1


def test_signals_that_are_half_due_go_along():
    sampler = Sampler(SIGNALS)
    sampler.pick({"battery_percent": 80.0, "altitude_m": 100.0}, 0, 0)
    rows = sampler.pick({"battery_percent": 77.0, "altitude_m": 101.5}, SECOND, SECOND)
    assert len(rows) == 2
    rows = sampler.pick({"battery_percent": 74.0, "altitude_m": 101.6}, 2 * SECOND, 2 * SECOND)
    assert len(rows) == 1


def test_what_the_vocabulary_does_not_number_is_not_sent():
    assert Sampler(SIGNALS).pick({"mode": 1.0, "rumour": 2.0}, 0, 0) == []


def test_a_simulated_hour_of_a_draining_battery_takes_few_messages():
    rows = sent(Sampler({"b": SignalSpec("b", low=0, high=100)}), [100 - 0.02 * t for t in range(3600)], "b")
    assert len(rows) <= 75


def test_what_is_no_finite_number_is_not_sent_and_disturbs_nothing():
    sampler = Sampler(SIGNALS)
    bad = {"battery_percent": math.nan, "altitude_m": None}
    assert sampler.pick(bad, 0, 0) == []
    assert sampler.pick({"battery_percent": 10**400, "altitude_m": "5"}, 0, 0) == []
    assert len(sampler.pick({"battery_percent": 80, "altitude_m": math.inf}, 0, 0)) == 1


def test_far_from_every_threshold_the_band_widens_and_never_hides_a_crossing():
    spec = {"x": SignalSpec("x", low=0.0, high=100.0)}
    near, far = (Sampler(spec, thresholds={"x": (10.0,)}) for _ in range(2))
    near.pick({"x": 11.0}, 0, 0)
    assert near.pick({"x": 12.6}, 1, 1)
    far.pick({"x": 80.0}, 0, 0)
    assert not far.pick({"x": 75.0}, 1, 1)
    assert far.pick({"x": 73.5}, 2, 2)
    assert far.pick({"x": 9.9}, 3, 3)
