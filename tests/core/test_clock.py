"""The clocks: what each promises about wall time, monotonic time and the boot."""

from __future__ import annotations

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


def test_a_manual_clock_moves_only_when_told() -> None:
    clock = ManualClock(5_000_000, "b")
    assert clock.now() == clock.now() == Instant(5_000_000, 5_000_000, "b")
    clock.advance(1.5)
    assert clock.now() == Instant(6_500_000, 6_500_000, "b")
    clock.wall_us -= 1_000_000
    assert clock.now() == Instant(5_500_000, 6_500_000, "b")


def test_a_shifted_clock_goes_on_from_where_virtual_time_stopped() -> None:
    inner = ManualClock(777)
    clock = ShiftedClock(inner, Instant(1_000, 90_000, "virtual"))
    assert clock.now() == Instant(1_000, 90_000, "virtual")
    inner.advance(2.0)
    inner.wall_us += 50
    assert clock.now() == Instant(2_001_050, 2_090_000, "virtual")
