"""The clocks: what each promises about wall time, monotonic time and the boot."""

from __future__ import annotations

import time
from itertools import pairwise

from ripstop.core.clock import Instant, ManualClock, ShiftedClock, SystemClock


def test_the_systems_monotonic_clock_never_goes_back_and_its_boot_stays() -> None:
    clock = SystemClock()
    readings = [clock.now() for _ in range(100)]
    assert all(a.mono_us <= b.mono_us for a, b in pairwise(readings))
    assert len({reading.boot for reading in readings}) == 1
    assert readings[0].boot
    assert readings[0].boot == SystemClock().now().boot


def test_wall_time_is_in_microseconds_of_this_century() -> None:
    assert 1_700_000_000_000_000 < SystemClock().now().wall_us < 4_100_000_000_000_000


def test_wall_time_goes_with_the_monotonic_clock_and_never_far_from_the_machines(monkeypatch) -> None:
    clock = SystemClock()
    apart = {reading.wall_us - reading.mono_us for reading in [clock.now() for _ in range(1000)]}
    assert len(apart) < 100
    true_ns = time.time_ns
    for moved_us in (30, -30, 90, 250, -5_000, 40_000_000):
        monkeypatch.setattr(time, "time_ns", lambda by=moved_us: true_ns() + 1000 * by)
        before = time.time_ns() // 1000
        wall_us = clock.now().wall_us
        assert before - 100 <= wall_us <= time.time_ns() // 1000 + 100


def test_a_manual_clock_moves_only_when_told() -> None:
    clock = ManualClock(5_000_000, "b")
    assert clock.now() == clock.now() == Instant(5_000_000, 5_000_000, "b")
    clock.advance(1.5)
    assert clock.now() == Instant(6_500_000, 6_500_000, "b")
    clock.wall_us -= 1_000_000
    assert clock.now() == Instant(5_500_000, 6_500_000, "b")


def test_a_shifted_clock_goes_on_from_where_virtual_time_stopped() -> None:
    machine, start = SystemClock(), Instant(1_000, 90_000, "virtual")
    first = machine.now()
    clock = ShiftedClock(start)
    read, last = clock.now(), machine.now()
    assert read.boot == "virtual"
    assert 0 <= read.wall_us - start.wall_us <= last.wall_us - first.wall_us
    assert 0 <= read.mono_us - start.mono_us <= last.mono_us - first.mono_us
    assert clock.now().mono_us >= read.mono_us
