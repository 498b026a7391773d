import math

import pytest

from ripstop.agent.detect import AutoRegression, Cause, Coupling, Cusum, ForecastMonitor, Monitor, Witnesses
from ripstop.core.chance import stream
from ripstop.core.errors import ConfigurationError

SECOND = 1_000_000
BATTERY = Coupling("battery_v", ("current_a", "rotor_rpm"), within_s=5.0)


def noise(count, seed=1):
    rng = stream(seed, "noise")
    return [rng.uniform(-1.0, 1.0) for _ in range(count)]


# ---- drift ----------------------------------------------------------------------------------------------


def test_a_creep_that_no_level_sees_is_a_drift():
    values = [50.0 + n + 0.005 * i for i, n in enumerate(noise(2_000))]
    drift, monitor = Cusum(), Monitor(low=0, high=1000)
    assert any(drift.observe(v) for v in values)
    assert not any(monitor.observe(v, i * SECOND).kind == "level" for i, v in enumerate(values))
    assert drift.reference == pytest.approx(50.25, abs=0.3)


def test_without_drift_the_sums_stay_low():
    drift = Cusum()
    assert not any(drift.observe(50.0 + n) for n in noise(50_000))


def test_a_constant_does_not_drift():
    drift = Cusum()
    assert not any(drift.observe(3.3) for _ in range(10_000))
    assert drift.sum == 0.0


def test_a_restart_takes_the_place_where_the_signal_is():
    drift = Cusum(learn=10)
    assert any(drift.observe(v) for v in [1.0] * 10 + [2.0] * 10)
    drift.restart()
    assert not any(drift.observe(2.0) for _ in range(100))


# ---- forecast -------------------------------------------------------------------------------------------


def wave(count):
    return [100.0 + 50.0 * math.sin(2 * math.pi * i / 40) for i in range(count)]


def test_a_pattern_that_breaks_is_found_within_its_usual_range():
    values = wave(4_000)
    values[3_500] += 30.0
    forecast = ForecastMonitor()
    found = [forecast.observe(v, i * SECOND) for i, v in enumerate(values)]
    assert found[3_500].alarm
    assert found[3_500].value == values[3_500]
    assert found[3_500].expected == pytest.approx(wave(4_000)[3_500], abs=2.0)
    assert sum(f.alarm for f in found[1_000:3_500]) == 0


def test_a_prediction_of_the_caller_s_own_is_taken():
    forecast = ForecastMonitor(Monitor(threshold=4.0, low=-100, high=100))
    for i, (v, n) in enumerate(zip(wave(500), noise(500), strict=True)):
        assert not forecast.observe(v + n, i * SECOND, predicted=v).alarm
    assert forecast.observe(100.0, 500 * SECOND, predicted=120.0).alarm


def test_what_is_no_number_is_diagnosed_and_not_learned():
    forecast = ForecastMonitor(model=AutoRegression(order=2))
    for i in range(10):
        forecast.observe(5.0 + i % 2, i * SECOND)
    assert forecast.observe(math.nan, 11 * SECOND).kind == "invalid"
    assert forecast.observe(None, 12 * SECOND).kind == "invalid"
    assert math.isfinite(forecast.model.next)


@pytest.mark.parametrize("more", [{"order": 0}, {"rate": 0.0}, {"rate": 2.0}])
def test_an_autoregression_that_cannot_be_is_refused(more):
    with pytest.raises(ConfigurationError, match="C0370"):
        AutoRegression(**more)


# ---- cause ----------------------------------------------------------------------------------------------


def scene(current_after, rpm_after=3000.0, silent=False):
    """A battery voltage falls by 2.3 V; its witnesses read what they read."""
    monitors = {name: Monitor() for name in ("battery_v", "current_a", "rotor_rpm")}
    witnesses = Witnesses(BATTERY)
    for i, n in enumerate(noise(100)):
        t_us = i * SECOND
        values = {"battery_v": 12.4 + 0.05 * n, "current_a": 8.0 + 0.1 * n, "rotor_rpm": 3000.0 + 10 * n}
        if silent and i > 90:
            del values["rotor_rpm"]
        witnesses.see({k: monitors[k].observe(v, t_us) for k, v in values.items()}, t_us)
    t_us = 100 * SECOND
    found = {"battery_v": monitors["battery_v"].observe(10.1, t_us)}
    found["current_a"] = monitors["current_a"].observe(current_after, t_us)
    if not silent:
        found["rotor_rpm"] = monitors["rotor_rpm"].observe(rpm_after, t_us)
    witnesses.see(found, t_us)
    assert found["battery_v"].alarm
    return (*witnesses.judge(found["battery_v"], t_us), found["battery_v"])


def test_a_voltage_that_falls_alone_is_a_lying_sensor():
    cause, why, alarm = scene(8.0)
    assert cause is Cause.SENSOR
    text = alarm.explain("battery_v", "V", why)
    assert text.startswith("battery_v reads 10.1 V, ")
    assert text.endswith("no change of current_a, rotor_rpm")


def test_a_voltage_that_falls_with_its_witness_is_a_failing_part():
    cause, why, _ = scene(14.0)
    assert (cause, why) == (Cause.PART, "and so did current_a")


def test_with_a_witness_that_is_not_heard_nobody_knows():
    cause, why, _ = scene(8.0, silent=True)
    assert (cause, why) == (Cause.UNKNOWN, "rotor_rpm not heard")


def test_what_no_working_sensor_says_needs_no_witness():
    monitor = Monitor()
    monitor.observe(12.4, 0)
    assert Witnesses(BATTERY).judge(monitor.observe(math.nan, 1), 1)[0] is Cause.SENSOR


def test_without_witnesses_nobody_knows():
    monitor = Monitor()
    found = [monitor.observe(v, i * SECOND) for i, v in enumerate([12.5, 12.4, 12.3, 11.0])]
    assert Witnesses(Coupling("battery_v", ())).judge(found[-1], 4 * SECOND)[0] is Cause.UNKNOWN
