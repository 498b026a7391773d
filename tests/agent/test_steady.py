"""The wall clock as an agent goes by it."""

import pytest

from ripstop.agent.steady import SteadyClock
from ripstop.core.clock import Instant

S = 1_000_000


def read(wall_s, mono_s):
    return Instant(round(wall_s * S), round(mono_s * S), "b")


def test_the_first_reading_is_taken_as_it_is():
    assert SteadyClock().take(read(100, 5)) == (read(100, 5), 0)


@pytest.mark.parametrize("drift_s", [-1.0, -0.2, 0.2, 1.0])
def test_a_wall_clock_that_is_set_by_little_is_followed_on_the_monotonic_one(drift_s):
    clock = SteadyClock()
    clock.take(read(100, 5))
    assert clock.take(read(110 + drift_s, 15)) == (read(110, 15), 0)


@pytest.mark.parametrize("jump_s", [-3600.0, -1.5, 1.5, 3600.0])
def test_a_jump_is_told_once_and_adopted(jump_s):
    clock = SteadyClock()
    clock.take(read(100, 5))
    jumped = read(110 + jump_s, 15)
    assert clock.take(jumped) == (jumped, round(jump_s * S))
    assert clock.take(read(111 + jump_s, 16)) == (read(111 + jump_s, 16), 0)


def test_asking_for_the_wall_time_notices_nothing():
    clock = SteadyClock()
    assert clock.wall_us(read(100, 5)) == 100 * S
    clock.take(read(100, 5))
    assert clock.wall_us(read(9999, 15)) == 110 * S
    assert clock.take(read(9999, 15))[1] == (9999 - 110) * S
