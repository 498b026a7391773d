"""What an agent's guard asks of its monitors: a fault is not learned while it lasts."""

import pytest

from agent.detect.test_monitor import SECOND, feed, gauss, noise
from ripstop.agent import EWMA, Monitor
from ripstop.core.chance import stream


def held(**more):
    return Monitor(low=0, high=100, hold_s=600.0, **more)


def drain(seconds, start=80.0, slope=-0.05, deviation=0.2, seed=1):
    rng = stream(seed, "drain")
    return [start + slope * t + deviation * gauss(rng) for t in range(seconds)]


@pytest.mark.parametrize(
    ("fault_s", "known"), [(5, 80), (60, 80), (60, 150), (120, 150), (5, 600), (60, 600), (300, 600)]
)
def test_a_drained_battery_is_recognised_after_minutes_of_sensor_fault(fault_s, known):
    truth = drain(known + fault_s + 20)
    monitor, back = held(), known + fault_s
    assert not any(f.alarm for f in feed(monitor, truth[:known]))
    assert all(f.alarm for f in feed(monitor, [v * 0.15 for v in truth[known:back]], known))
    assert not any(f.kind == "level" for f in feed(monitor, truth[back:], back))


def test_a_battery_that_stopped_draining_during_the_fault_is_recognised_too():
    monitor = held()
    feed(monitor, drain(600))
    feed(monitor, [50.0 * 0.15] * 200, 600)
    assert not any(f.alarm for f in feed(monitor, [50.0] * 10, 800))


@pytest.mark.parametrize("pause_us", [200, 20_000, 2_000_000])
def test_a_pause_after_a_burst_does_not_carry_the_level_away(pause_us):
    monitor = Monitor(hold_s=600.0)
    for number, volts in enumerate([12.5, 12.4, 12.3, 11.0]):
        monitor.observe(volts, number * 20)
    found = monitor.observe(10.5, 60 + pause_us)
    assert found.alarm
    assert found.expected == pytest.approx(12.3, abs=0.1)


@pytest.mark.parametrize("pause_s", [1, 10, 60])
@pytest.mark.parametrize("seed", range(4))
def test_a_pause_of_a_signal_that_is_read_quickly_makes_no_alarm(pause_s, seed):
    monitor = Monitor(hold_s=600.0)
    readings = noise(10_000, level=20.0, seed=seed)
    for number, value in enumerate(readings):
        monitor.observe(value, number * 1000)
    later_us = len(readings) * 1000 + pause_s * 1_000_000
    assert not monitor.observe(20.0, later_us).alarm


def test_without_a_hold_the_same_fault_becomes_the_usual():
    truth = drain(900)
    monitor = Monitor(low=0, high=100)
    feed(monitor, truth[:600])
    assert not all(f.alarm for f in feed(monitor, [v * 0.15 for v in truth[600:]], 600))


def test_what_is_held_is_counted_out_and_keeps_its_diagnosis():
    monitor = held(max_rate_per_s=5.0)
    feed(monitor, [50.0, 51.0] * 20)
    count = monitor.count
    assert [f.kind for f in feed(monitor, [10.0, 11.0, 30.0], 40)] == ["rate", "level", "rate"]
    assert monitor.count == count


def test_a_level_that_moved_for_good_is_accepted_in_the_end():
    monitor = Monitor(hold_s=60.0)
    feed(monitor, [100.0, 101.0, 99.0, 100.0] * 50)
    alarms = [f.alarm for f in feed(monitor, [120.0, 121.0] * 1500, 200)]
    assert all(alarms[:50])
    assert not any(alarms[-1000:])


@pytest.mark.parametrize("size", [8.0, 30.0, 1e3, 1e6])
def test_a_level_that_moved_for_good_is_accepted_some_minutes_after_the_hold(size):
    monitor = Monitor(hold_s=600.0)
    feed(monitor, noise(2_000))
    alarms = [f.kind == "level" for f in feed(monitor, noise(2_000, seed=2, level=10.0 + size), 2_000)]
    assert all(alarms[:3])
    assert sum(alarms[900:]) <= 3


@pytest.mark.parametrize("rest", [0, 300])
@pytest.mark.parametrize("most", [1, 3, 8])
def test_what_is_counted_does_not_alarm_for_ever(most, rest):
    rng = stream(most, "counts")
    monitor = Monitor(hold_s=600.0)
    counts = [0] * rest + [min(int(rng.uniform(0, most + 1)), most) for _ in range(6_000)]
    found = feed(monitor, counts)
    assert sum(f.kind == "level" for f in found[2_000:]) <= 40


def test_noise_alarms_for_its_level_at_most_three_times_in_ten_thousand_readings():
    found = feed(held(), [v + 40.0 for v in noise(50_000)])
    assert sum(f.alarm and f.kind == "level" for f in found) <= 15


def test_a_tail_that_was_alone_raises_the_threshold_and_a_run_of_them_does_not():
    quiet = noise(2_000)
    alone, run = Monitor(), Monitor()
    for monitor in (alone, run):
        feed(monitor, quiet)
    feed(alone, [17.0, *noise(50, seed=2)], 2_000)
    feed(run, [17.0, 17.0, 17.0, *noise(48, seed=2)], 2_000)
    assert alone.observe(15.9, 2_051 * SECOND).kind == "quiet"
    assert run.observe(15.9, 2_051 * SECOND).kind == "level"


def test_the_held_peak_goes_with_the_state():
    monitor, other = Monitor(), Monitor()
    feed(monitor, [*noise(2_000), 17.0, *noise(50, seed=2)])
    monitor.observe(16.0, 2_051 * SECOND)
    other.restore(monitor.state())
    assert other.observe(15.9, 2_052 * SECOND).kind != "level"


# ---- the plain test -----------------------------------------------------------------------------------


def test_ewma_alarms_on_the_familiar_voltages():
    ewma = EWMA()
    assert [ewma.update(v) for v in [12.5, 12.4, 12.3, 11.0, 10.5]] == [False, False, False, True, True]
    assert ewma.score > 3.0
    assert ewma.mean == pytest.approx(12.4, abs=0.05)


@pytest.mark.parametrize("value", [0.0, 12.5, -3.0, 1e300])
def test_ewma_never_alarms_on_a_constant(value):
    ewma = EWMA()
    assert not any(ewma.update(value) for _ in range(2_000))


def test_ewma_takes_no_number_for_an_anomaly_and_learns_a_new_level_in_the_end():
    ewma = EWMA(alpha=0.2)
    for value in (1.0, 1.1, 1.0, 1.1):
        ewma.update(value)
    mean = ewma.mean
    assert ewma.update(float("nan"))
    assert ewma.mean == mean
    assert [ewma.update(5.0) for _ in range(12)] == [True] * 10 + [False] * 2
    assert ewma.mean == pytest.approx(5.0)


@pytest.mark.parametrize("pause_us", [30, 300, 3_000, 30_000, 3_000_000])
def test_the_first_readings_tell_no_trend_that_a_pause_would_be_carried_on_by(pause_us):
    monitor, t_us = Monitor(hold_s=600.0), 0
    for volts in (12.5, 12.4, 12.3, 11.0):
        t_us += 30
        found = monitor.observe(volts, t_us)
    assert found.kind == "level"
    assert monitor.observe(10.5, t_us + pause_us).alarm
