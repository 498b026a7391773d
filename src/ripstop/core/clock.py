"""The three clocks: wall time for people, monotonic time for durations, and the boot that both belong to.

Only this module imports `time`; everything else is handed a `Clock` or an `Instant`.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol

from ripstop.core.value import dataclass


@dataclass(frozen=True, slots=True)
class Instant:
    """One reading of the clocks.

    `wall_us`: microseconds since 1970 UTC, may jump. `mono_us`: microseconds on a clock that never goes
    back and runs through sleep; comparable only within one `boot`.
    """

    wall_us: int
    mono_us: int
    boot: str


class Clock(Protocol):
    """Anything that tells wall time, monotonic time and the boot id together."""

    def now(self) -> Instant:
        """Read all three at once."""
        ...


def _boot_id() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    try:
        return path.read_text().strip()
    except OSError:
        return f"{time.time_ns() - time.monotonic_ns():032x}"


_JITTER_US = 100


class SystemClock:
    """The machine's clocks.

    Two clocks are never read at one moment. What this puts between them is taken out: wall time goes with the
    monotonic one for as long as the machine's own is within a tenth of a millisecond of it.
    """

    _monotonic_id = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

    def __init__(self) -> None:
        self._boot = _boot_id()
        self._apart_us = 0

    def now(self) -> Instant:
        """Read wall time, monotonic time (CLOCK_BOOTTIME where there is one) and the boot id."""
        wall_us, mono_us = time.time_ns() // 1000, time.clock_gettime_ns(self._monotonic_id) // 1000
        going_us = mono_us + self._apart_us
        if -_JITTER_US <= wall_us - going_us <= _JITTER_US:
            return Instant(going_us, mono_us, self._boot)
        self._apart_us = wall_us - mono_us
        return Instant(wall_us, mono_us, self._boot)


class ManualClock:
    """A clock that moves only when told to; for tests and virtual time."""

    def __init__(self, t_us: int = 0, boot: str = "manual") -> None:
        self.wall_us = t_us
        self.mono_us = t_us
        self.boot = boot

    def now(self) -> Instant:
        """Read the clocks as last set."""
        return Instant(self.wall_us, self.mono_us, self.boot)

    def advance(self, seconds: float) -> None:
        """Move both clocks forward."""
        step_us = round(seconds * 1e6)
        self.wall_us += step_us
        self.mono_us += step_us


class ShiftedClock(SystemClock):
    """The machine's clocks, shifted so that they read `start` now: virtual time that goes on in real time."""

    def __init__(self, start: Instant) -> None:
        super().__init__()
        first = super().now()
        self._wall_us = start.wall_us - first.wall_us
        self._mono_us = start.mono_us - first.mono_us
        self._boot = start.boot

    def now(self) -> Instant:
        """Read the clocks and shift them."""
        return Instant(
            time.time_ns() // 1000 + self._wall_us,
            time.clock_gettime_ns(self._monotonic_id) // 1000 + self._mono_us,
            self._boot,
        )
