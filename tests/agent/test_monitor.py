import math

import pytest

from ripstop.agent.monitor import EWMA, Monitor
from ripstop.core.chance import SplitMix64, stream

SECOND = 1_000_000


def feed(monitor, values, start_s=0, step_s=1.0):
    return [monitor.observe(v, round((start_s + i * step_s) * SECOND)) for i, v in enumerate(values)]


def gauss(rng: SplitMix64) -> float:
    """Irwin-Hall: twelve uniforms less six have mean 0 and variance 1."""
    return sum(rng.uniform() for _ in range(12)) - 6.0


def test_the_familiar_voltages_alarm_at_the_fourth_sample_and_at_the_fifth():
    alarms = [f.alarm for f in feed(Monitor(), [12.5, 12.4, 12.3, 11.0, 10.5])]
    assert alarms == [False, False, False, True, True]


@pytest.mark.parametrize("step_us", [0, 1, 40, 900, SECOND, 60 * SECOND, 3600 * SECOND])
def test_the_familiar_voltages_alarm_at_any_pace(step_us):
    monitor = Monitor()
    found = [monitor.observe(v, 10**15 + i * step_us) for i, v in enumerate([12.5, 12.4, 12.3, 11.0, 10.5])]
    assert [f.alarm for f in found] == [False, False, False, True, True]


def test_ewma_alarms_on_the_familiar_voltages_too():
    ewma = EWMA()
    assert [ewma.update(v) for v in [12.5, 12.4, 12.3, 11.0, 10.5]] == [False, False, False, True, True]
    assert ewma.score > 3.0
    assert ewma.mean == pytest.approx(12.4, abs=0.05)


@pytest.mark.parametrize("value", [0.0, 12.5, -3.0, 1e300, 5e-324])
def test_a_constant_never_alarms(value):
    assert not any(f.alarm for f in feed(Monitor(), [value] * 5_000))


def test_a_constant_that_is_declared_live_is_stuck():
    found = feed(Monitor(live=True), [12.5, 12.4] * 10 + [12.4] * 40)
    assert next(f.kind for f in found if f.alarm) == "stuck"
    assert "exactly 12.4 V" in found[-1].explain("battery_v", "V")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, "12", True, [1.0], 10**400])
def test_what_is_no_number_alarms_and_is_not_learned(value):
    monitor = Monitor()
    feed(monitor, [12.5, 12.4, 12.5, 12.4])
    found = monitor.observe(value, 10 * SECOND)
    assert found.alarm
    assert found.kind == "invalid"
    assert monitor.count == 4
    assert not monitor.observe(12.45, 11 * SECOND).alarm


def test_a_first_sample_that_is_no_number_is_not_learned():
    monitor = Monitor(low=0, high=100)
    assert monitor.observe(math.nan, 0).alarm
    assert monitor.observe(-1.0, 1).kind == "out_of_range"
    assert monitor.count == 0


def test_a_reading_outside_the_declared_range_alarms_as_such():
    monitor = Monitor(low=0, high=100)
    found = feed(monitor, [50, 51, 150])
    assert [f.kind for f in found] == ["quiet", "quiet", "out_of_range"]


def test_a_sample_out_of_order_is_ignored_and_counted():
    monitor = Monitor()
    feed(monitor, [1.0, 2.0, 1.0, 2.0])
    found = monitor.observe(99.0, SECOND)
    assert (found.kind, found.alarm, monitor.late, monitor.count) == ("late", False, 1, 4)


def test_an_alarm_says_what_it_saw_and_what_is_usual():
    found = feed(Monitor(), [12.5, 12.4, 12.3, 11.0])[-1]
    text = found.explain("battery_v", "V")
    assert text.startswith("battery_v reads 11 V, ")
    assert text.endswith("sigma below its usual 12.4 V")


def drain(seconds, start=80.0, slope=-0.05, noise=0.2, seed=1):
    rng = stream(seed, "drain")
    return [start + slope * t + noise * gauss(rng) for t in range(seconds)]


@pytest.mark.parametrize("fault_s", [5, 60, 300])
def test_a_drained_battery_is_recognised_after_minutes_of_sensor_fault(fault_s):
    truth = drain(600 + fault_s + 20)
    monitor = Monitor(low=0, high=100)
    assert not any(f.alarm for f in feed(monitor, truth[:600]))
    false = [v * 0.15 for v in truth[600 : 600 + fault_s]]
    assert all(f.alarm for f in feed(monitor, false, 600))
    assert not any(f.alarm for f in feed(monitor, truth[600 + fault_s :], 600 + fault_s))


def test_a_battery_that_stopped_draining_during_the_fault_is_recognised_too():
    truth = drain(600)
    monitor = Monitor(low=0, high=100)
    feed(monitor, truth)
    feed(monitor, [v * 0.15 for v in [50.0] * 200], 600)
    assert not any(f.alarm for f in feed(monitor, [50.0] * 10, 800))


def test_a_level_that_moved_for_good_is_accepted_in_the_end():
    monitor = Monitor(widen_s=60.0)
    feed(monitor, [100.0, 101.0, 99.0, 100.0] * 50)
    alarms = [f.alarm for f in feed(monitor, [120.0] * 3000, 200)]
    assert alarms[0]
    assert not alarms[-1]


def test_noise_alarms_at_most_twice_in_ten_thousand_readings():
    rng = stream(3, "noise")
    found = feed(Monitor(), [10.0 + gauss(rng) for _ in range(50_000)])
    assert sum(f.alarm for f in found) <= 10


def test_noise_around_zero_without_a_range_alarms_seldom_from_its_first_samples_on():
    total = 0
    for seed in range(300):
        rng = stream(seed, "zero")
        total += sum(f.alarm for f in feed(Monitor(), [gauss(rng) for _ in range(40)]))
    assert total <= 75  # of 12,000 readings, tested on only 3 to 39 samples each


def test_a_pause_in_a_tight_loop_neither_alarms_nor_breaks_the_level():
    monitor = Monitor()
    at = 0
    for i in range(2_000):
        at += 15 if i % 100 else 1_000_000
        assert not monitor.observe(12.5 - 0.001 * i, at).alarm
    assert monitor.mean == pytest.approx(12.5 - 2.0, abs=0.1)
