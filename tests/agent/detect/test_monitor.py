import copy
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripstop.agent import Monitor
from ripstop.core.chance import stream
from ripstop.core.errors import ConfigurationError

SECOND = 1_000_000


def feed(monitor, values, start_s=0, step_s=1.0):
    return [monitor.observe(v, round((start_s + i * step_s) * SECOND)) for i, v in enumerate(values)]


def gauss(rng):
    """Irwin-Hall: twelve uniforms less six have mean 0 and variance 1."""
    return sum(rng.uniform() for _ in range(12)) - 6.0


def noise(count, seed=1, level=10.0, deviation=1.0):
    rng = stream(seed, "noise")
    return [level + deviation * gauss(rng) for _ in range(count)]


@pytest.mark.parametrize("step_us", [0, 1, 40, 900, SECOND, 60 * SECOND, 3600 * SECOND])
def test_the_familiar_voltages_alarm_at_the_fourth_sample_and_at_the_fifth_at_any_pace(step_us):
    monitor = Monitor()
    found = [monitor.observe(v, 10**15 + i * step_us) for i, v in enumerate([12.5, 12.4, 12.3, 11.0, 10.5])]
    assert [f.alarm for f in found] == [False, False, False, True, True]
    assert found[3].sigma > 3.0


@pytest.mark.parametrize("value", [0.0, 0.1, 12.5, -3.0, 1e300, -1.7e308, 5e-324, 7])
def test_a_constant_never_alarms_and_scores_nothing(value):
    found = feed(Monitor(), [value] * 5_000)
    assert not any(f.alarm for f in found)
    assert max(f.score for f in found) == 0.0


@given(
    st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53),
    st.integers(0, 10**12),
    st.fixed_dictionaries(
        {},
        optional={
            "threshold": st.floats(1e-300, 100.0),
            "novel_score": st.floats(1e-12, 10.0),
            "hold_s": st.floats(0.0, 1e6),
            "refractory_s": st.floats(0.0, 1e6),
            "alarms_per_day": st.floats(0.0, 1e6),
            "max_rate_per_s": st.floats(1e-9, 1e6),
        },
    ),
)
def test_no_constant_alarms_however_the_monitor_is_set(value, step_us, more):
    monitor = Monitor(**more)
    assert not any(monitor.observe(value, i * step_us).alarm for i in range(200))


@pytest.mark.parametrize("rest", [10, 60, 600])
def test_a_signal_that_has_rested_at_0_is_known_within_some_hundred_readings_of_moving(rest):
    moving = noise(3_000, level=10.0)
    found = feed(Monitor(), [0.0] * rest + moving)
    assert found[rest].alarm
    assert sum(f.alarm for f in found) < 300


def swing(count, seed=1):
    """A signal that swings by 3 about 20 every 288 readings, and its noise."""
    return [3.0 * math.sin(math.tau * i / 288) + v for i, v in enumerate(noise(count, seed, 20.0, 0.5))]


def sees(monitor, fault, t_us):
    """Whether a fault of three readings is seen by a monitor that has learned as much."""
    other = copy.deepcopy(monitor)
    return any(other.observe(fault + away, t_us + i * SECOND).alarm for i, away in enumerate((0.0, 0.5, 1.0)))


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("size", [10.0, 100.0, 1e6])
@pytest.mark.parametrize("before", [noise(2_016, level=20.0), swing(2_016)], ids=["noise", "swing"])
def test_after_glitches_a_fault_is_seen_at_once(before, size, count):
    monitor = Monitor()
    feed(monitor, before)
    usual, deviation = monitor.mean, monitor.deviation
    feed(monitor, [usual - size * deviation] * count, len(before))
    for second, value in enumerate(before[:300], len(before) + count):
        assert sees(monitor, monitor.mean + 6.0 * deviation, second * SECOND)
        monitor.observe(value, second * SECOND)


@pytest.mark.parametrize("place", [0, 1, 2, 3, 6])
@pytest.mark.parametrize("wild", [0.0, -9999.0, 1e6, 1e30])
@pytest.mark.parametrize("hold_s", [0.0, 600.0])
def test_a_wild_reading_among_the_first_hides_nothing_for_long(hold_s, wild, place):
    monitor, values = Monitor(hold_s=hold_s), noise(200, level=20.0)
    found = feed(monitor, [*values[:place], wild, *values[place:]])
    assert sum(f.alarm for f in found) <= 3
    assert sees(monitor, 26.0, 201 * SECOND)


@pytest.mark.parametrize("wild", [100.0, 1e6, 1e30])
def test_what_comes_again_and_again_is_no_glitch(wild):
    monitor = Monitor()
    feed(monitor, noise(2_000, level=20.0))
    alarms = [f.alarm for f in feed(monitor, noise(3_000, seed=2, level=wild, deviation=wild / 20), 2_000)]
    assert all(alarms[:8])
    assert not any(
        f.kind == "level" and f.sigma > 6 for f in feed(monitor, noise(99, 3, wild, wild / 20), 5_000)
    )


def test_readings_that_change_between_two_from_the_beginning_are_learned():
    assert not any(f.alarm for f in feed(Monitor(), [0.0, 1.0] * 2_000)[300:])


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=200))
def test_whatever_comes_the_score_is_a_number_and_the_state_packs(values):
    monitor = Monitor()
    found = feed(monitor, values)
    assert all(f.score >= 0.0 for f in found)
    assert len(monitor.state()) == 64


_READINGS = st.one_of(
    st.floats(), st.integers(), st.sampled_from([None, True, "x", 1e300, -1e300, 5e-324, 10**400])
)
_PARAMETERS = st.sampled_from(
    [
        {},
        {"hold_s": 60},
        {"live": True},
        {"low": -1e308, "high": 1e308},
        {"max_rate_per_s": 1.0},
        {"refractory_s": 10, "alarms_per_day": 3},
    ]
)


@given(
    _PARAMETERS,
    st.floats(-1e300, 1e300),
    st.lists(st.tuples(st.integers(-(10**6), 10**13), st.none() | _READINGS), min_size=60, max_size=120),
)
def test_whatever_comes_and_whenever_the_score_is_a_number_and_it_goes_on(more, usual, readings):
    monitor, t_us = Monitor(**more), 10**15
    for gap_us, value in readings:
        t_us += gap_us
        found = monitor.observe(usual if value is None else value, t_us)
        assert found.score >= 0.0
        assert found.explain("x", "V")
    other = Monitor(**more)
    other.restore(monitor.state())
    assert other.observe(usual, t_us + SECOND).score >= 0.0


def test_a_leap_to_the_end_of_numbers_between_far_moments_ends_no_agent():
    monitor = Monitor(hold_s=60)
    for number, value in enumerate([1e300, 9.8e299] * 40):
        assert monitor.observe(value, number * 20_000_000_000).score >= 0.0
    tiny = Monitor(max_rate_per_s=1.0)
    for number in range(40):
        tiny.observe(0.0, number * SECOND)
    tiny.observe(1e300, 15_000 * SECOND)
    assert tiny.observe(1.0, 30_000 * SECOND).score >= 0.0


def test_of_the_first_readings_none_is_remarkable():
    for begin in ([0, 1, 0], [0, 1e9, 0], [0.0, 50.0, 47.0]):
        assert max(f.score for f in feed(Monitor(), begin)) == 0.0


def test_what_no_float_can_square_blinds_for_a_moment_at_most():
    monitor = Monitor()
    feed(monitor, [1e299, -1e299] * 10 + [5.0] * 20_000)
    assert math.isfinite(monitor.deviation)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, "12", True, [1.0], 10**400])
def test_what_is_no_number_alarms_and_is_not_learned(value):
    monitor = Monitor()
    feed(monitor, [12.5, 12.4, 12.5, 12.4])
    found = monitor.observe(value, 10 * SECOND)
    assert found.alarm
    assert found.kind in ("invalid", "out_of_range")
    assert monitor.count == 4
    assert not monitor.observe(12.45, 11 * SECOND).alarm


def test_a_reading_outside_the_declared_range_is_diagnosed():
    monitor = Monitor(low=0, high=100)
    assert [f.kind for f in feed(monitor, [150, 50, 51, -1])] == [
        "out_of_range",
        "quiet",
        "quiet",
        "out_of_range",
    ]


def test_a_sample_out_of_order_is_ignored_and_counted():
    monitor = Monitor()
    feed(monitor, [1.0, 2.0, 1.0, 2.0])
    found = monitor.observe(99.0, SECOND)
    assert (found.kind, found.alarm, monitor.late, monitor.count) == ("late", False, 1, 4)


def test_a_live_signal_that_stands_still_is_stuck():
    found = feed(Monitor(live=True), [12.5, 12.4] * 10 + [12.4] * 40)
    assert next(f.kind for f in found if f.alarm) == "stuck"
    assert "exactly 12.4 V" in found[-1].explain("battery_v", "V")


def stuck(before, length=100):
    return [*before, *[before[-1]] * length]


def test_a_signal_that_usually_moves_and_stands_still_is_remarkable_without_an_alarm():
    monitor = Monitor()
    findings = feed(monitor, stuck(noise(1500)))
    assert max(finding.score for finding in findings[1500:]) > 0.8
    assert not any(findings[1500:])


def test_a_signal_that_often_stands_still_is_not_remarkable_when_it_does():
    monitor, moved = Monitor(), noise(40)
    for _ in range(20):
        feed(monitor, stuck(moved, 80), monitor.last_us / SECOND + 1)
    findings = feed(monitor, stuck(moved, 80), monitor.last_us / SECOND + 1)
    assert max(finding.score for finding in findings[45:]) < 0.2


def test_how_long_it_stood_still_is_known_after_a_restart():
    monitor, values = Monitor(), stuck(noise(1500))
    feed(monitor, values)
    other = Monitor()
    other.restore(monitor.state())
    assert other.state() == monitor.state()
    again = feed(other, stuck(noise(300, seed=2), 75), 5000)
    fresh = feed(Monitor(), stuck(noise(1800, seed=2), 75))
    assert (
        max(finding.score for finding in again[305:]) < 0.3 < max(finding.score for finding in fresh[1805:])
    )


def test_a_step_that_no_sensor_can_make_is_diagnosed_as_such():
    monitor = Monitor(max_rate_per_s=2.0)
    found = feed(monitor, [10.0, 11.5, 10.0, 11.5, 40.0])
    assert [f.kind for f in found] == ["quiet"] * 4 + ["rate"]
    assert "faster than it can" in found[-1].explain("speed_m_s", "m/s")


def test_a_signal_that_stays_away_has_dropped_out():
    monitor = Monitor(max_gap_s=5.0)
    assert monitor.silence(0) is None
    feed(monitor, [1.0, 2.0])
    assert monitor.silence(6 * SECOND) is None
    found = monitor.silence(7 * SECOND)
    assert (found.kind, found.alarm) == ("drop_out", True)
    assert "not been read" in found.explain()


def test_new_heights_after_a_long_quiet_life_are_novel():
    monitor = Monitor()
    feed(monitor, noise(5_000))
    found = feed(monitor, noise(40, seed=2, level=13.0), 5_000)
    assert max(f.score for f in found) > 1.0
    assert any(f.kind == "novel" for f in found)


def test_a_spike_that_was_seen_before_is_less_remarkable():
    monitor = Monitor()
    first = feed(monitor, [*noise(5_000), 30.0])[-1]
    second = feed(monitor, [*noise(500, seed=2), 30.0], 5_001)[-1]
    assert second.score < first.score / 3


def test_noise_raises_seldom_an_alarm():
    found = feed(Monitor(), noise(50_000))
    assert sum(f.alarm for f in found) <= 50_000 * 0.003  # P(|z| > 3) of a Gaussian is 0.0027


def test_a_level_that_moved_for_good_is_accepted_in_the_end():
    monitor = Monitor()
    feed(monitor, [100.0, 101.0, 99.0, 100.0] * 50)
    alarms = [f.alarm for f in feed(monitor, [120.0, 121.0, 119.0, 120.0] * 750, 200)]
    assert alarms[0]
    assert not any(alarms[-1000:])


def test_after_a_long_pause_the_level_that_was_counts_for_less():
    with_pause, without = Monitor(), Monitor()
    feed(with_pause, [10.0, 10.1] * 500)
    feed(without, [10.0, 10.1] * 500)
    with_pause.observe(10.5, 2_000 * SECOND)
    without.observe(10.5, 1_000 * SECOND)
    assert with_pause.mean > without.mean


def test_a_refractory_time_holds_alarms_back_but_no_score():
    monitor = Monitor(refractory_s=60.0)
    found = feed(monitor, [*noise(200), *[40.0] * 10, 10.0, math.nan], 0)[200:]
    assert [f.alarm for f in found[:10]] == [True] + [False] * 9
    assert all(f.kind == "level" for f in found[:3])
    assert found[-1].alarm  # a fault of the sensor is no matter of statistics


def test_a_budget_bounds_the_alarms_of_a_day():
    monitor = Monitor(alarms_per_day=2.0)
    rng = stream(5, "tails")
    values = [10.0 + gauss(rng) ** 5 for _ in range(20_000)]
    found = feed(monitor, values, step_s=4.32)  # one day
    assert 1 <= sum(f.alarm for f in found) <= 4  # two at once, and two that grow back


def test_a_state_is_64_bytes_and_goes_on_where_it_was():
    monitor = Monitor()
    feed(monitor, noise(3_000))
    state = monitor.state()
    assert len(state) == 64
    other = Monitor()
    other.restore(state)
    for i, value in enumerate([*noise(50, seed=2), 14.0, 20.0]):
        a, b = (m.observe(value, (3_000 + i) * SECOND) for m in (monitor, other))
        assert b.score == pytest.approx(a.score, rel=0.03, abs=1e-3)  # half-long ends: 2**-7 of a range
        assert a.kind == b.kind


@pytest.mark.parametrize(
    ("value", "spread"),
    [(3.5e38, 0.0), (1e300, 0.0), (-1.7e308, 0.0), (1e20, 0.05), (3e37, 0.05), (-1e300, 0.05), (1e-30, 0.05)],
)
def test_a_restart_is_no_alarm_however_large_the_readings(value, spread):
    monitor, other = Monitor(), Monitor()
    values = [value * (1.0 + spread * away) for away in noise(2_000, level=0.0)]
    feed(monitor, values[:1_000])
    other.restore(monitor.state())
    assert other.deviation == pytest.approx(monitor.deviation, rel=1e-6)
    assert sum(f.alarm for f in feed(other, values[1_000:], 1_000)) <= 1


def test_a_state_goes_on_under_another_clock():
    monitor, other = Monitor(), Monitor()
    feed(monitor, noise(100), 10**6)
    other.restore(monitor.state(), 0)
    assert other.observe(10.0, SECOND).kind == "quiet"


@pytest.mark.parametrize("raw", [b"", b"x" * 63, b"\xff" * 64, bytes(64)])
def test_bytes_that_are_no_state_are_refused(raw):
    with pytest.raises(ConfigurationError, match="C0371"):
        Monitor().restore(raw)


@pytest.mark.parametrize("more", [
    {"threshold": 0}, {"max_gap_s": -1}, {"novel_score": 0.0}, {"low": math.nan}, {"high": math.nan},
    {"low": 5, "high": 1}, {"low": math.inf}, {"low": "0"}, {"threshold": "3"}, {"threshold": True},
    {"hold_s": None}, {"tolerance": 3.0},
])  # fmt: skip
def test_parameters_that_cannot_be_are_refused(more):
    with pytest.raises(ConfigurationError, match="C0370"):
        Monitor(**more)


def test_a_finding_says_what_it_saw_and_what_is_known_besides():
    found = feed(Monitor(), [12.5, 12.4, 12.3, 11.0])[-1]
    text = found.explain("battery_v", "V", "no change of current_a")
    assert text.startswith("battery_v reads 11 V, ")
    assert text.endswith("sigma below its usual 12.4 V, no change of current_a")


def test_what_is_no_number_is_told_without_a_usual_that_nobody_knows():
    assert Monitor().observe(math.nan, 0).explain("x", "V") == "x reads no finite number"
    monitor = Monitor()
    monitor.observe(12.5, 0)
    assert monitor.observe("12", SECOND).explain("x", "V") == "x reads no finite number; usual is 12.5 V"
