"""What a signal does at this time of day, and what a restart keeps of it."""

import math

import pytest

from agent.detect.test_monitor import noise
from ripstop.agent import Monitor
from ripstop.agent.detect.day import PART_US, PARTS, UNKNOWN, Day

STEP_US = 300_000_000  # 5 minutes
A_DAY = 288


def days(count, *, deviation=0.3, seed=1):
    """A load by day and by night, and its noise."""
    rough = noise(count * A_DAY, seed=seed, level=20.0, deviation=deviation)
    return [v + (8.0 if 96 <= i % A_DAY < 240 else 0.0) for i, v in enumerate(rough)]


def feed(monitor, values, first=0):
    return [monitor.observe(v, (first + i) * STEP_US) for i, v in enumerate(values)]


def test_a_morning_that_does_not_come_is_novel_though_the_value_is_as_in_any_night():
    monitor = Monitor()
    usual = feed(monitor, days(10))
    assert not any(f.alarm for f in usual[3 * A_DAY :])
    quiet_day = feed(monitor, noise(A_DAY, seed=2, level=20.0, deviation=0.3), 10 * A_DAY)
    assert "novel" in {f.kind for f in quiet_day}
    assert max(f.score for f in quiet_day) > 3 * max(f.score for f in usual[3 * A_DAY :])


def test_the_same_days_without_a_pattern_are_hardly_news():
    monitor = Monitor()
    found = feed(monitor, noise(20 * A_DAY, level=20.0))
    assert sum(f.kind == "novel" for f in found) <= len(found) / 1000


def test_a_day_is_kept_over_a_restart_and_forgotten_under_another_clock():
    learned, same, other = Monitor(), Monitor(), Monitor()
    feed(learned, days(10))
    same.restore(learned.state())
    other.restore(learned.state(), 10 * A_DAY * STEP_US)
    quiet_day = noise(A_DAY, seed=2, level=20.0, deviation=0.3)
    assert "novel" in {f.kind for f in feed(same, quiet_day, 10 * A_DAY)}
    assert "novel" not in {f.kind for f in feed(other, quiet_day, 10 * A_DAY)}


def test_days_are_learned_before_they_can_be_news():
    day = Day()
    day.begin(10.0)
    news = [day.end(i % PARTS, 10.0 + i % PARTS + 0.01 * i, 0.5, 0.5) for i in range(2 * PARTS)]
    assert news == [0.0] * (2 * PARTS)
    assert day.end(0, 30.0, 0.5, 0.5) > 5.0
    assert day.end(1, 30.0, 0.5, 0.5) == pytest.approx(0.0, abs=0.1)  # so great an error was seen


def test_a_part_that_was_never_seen_is_no_news():
    day = Day()
    day.begin(10.0)
    for _ in range(20):
        day.end(2, 10.0, 0.5, 0.5)
    assert day.end(4, 500.0, 0.5, 0.5) == 0.0


def test_a_step_grows_where_a_byte_does_not_reach():
    day = Day()
    day.begin(0.0)
    for part, mean in enumerate((0.0, 5.0, 50.0, 500.0, 5e6, -5e6)):
        day.end(part, mean, 0.5, 0.5)
    assert all(abs(code) <= 127 for code in day.codes)
    step = math.ldexp(1.0, day.exponent)
    assert abs(day.anchor + day.codes[4] * step - 5e6) <= step / 2


@pytest.mark.parametrize("mean", [1e300, -1.7e308, 5e-324])
def test_what_no_step_reaches_begins_the_days_anew(mean):
    day = Day()
    day.begin(0.0)
    day.end(0, 0.0, 1e-9, 1e-9)
    day.end(1, mean, 1e-9, 1e-9)
    assert all(code == UNKNOWN or abs(code) <= 127 for code in day.codes)
    assert math.isfinite(day.anchor)


def test_a_part_that_a_pause_has_cut_is_not_judged():
    monitor = Monitor()
    feed(monitor, days(4))
    for first in (60 * A_DAY + 40, 400 * A_DAY):
        assert "novel" not in {f.kind for f in feed(monitor, [20.1, 20.0] * 10, first)}
    assert monitor.observe(20.0, 500 * PARTS * PART_US).kind != "late"
