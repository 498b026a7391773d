"""The wall clock as an agent goes by it: it follows the monotonic one, and a jump is noticed and adopted.

Samples keep their age across a jump, and leases do not notice: they run on monotonic time.
"""

from __future__ import annotations

from ripstop.core.clock import Instant

_JUMP_US = 1_000_000


class SteadyClock:
    """Smooths readings of the clocks; the first one tells by how much the two are apart."""

    def __init__(self) -> None:
        self._offset_us: int | None = None

    def wall_us(self, now: Instant) -> int:
        """Give the wall time that belongs to a monotonic one; nothing is noticed."""
        return now.wall_us if self._offset_us is None else now.mono_us + self._offset_us

    def take(self, now: Instant) -> tuple[Instant, int]:
        """Give the clocks made steady, and by how much the wall clock has jumped (0: it has not)."""
        offset_us, known_us = now.wall_us - now.mono_us, self._offset_us
        if offset_us == known_us:
            return now, 0
        if known_us is None:
            self._offset_us = offset_us
            return now, 0
        jump_us = offset_us - known_us
        if abs(jump_us) <= _JUMP_US:
            return Instant(now.mono_us + known_us, now.mono_us, now.boot), 0
        self._offset_us = offset_us
        return now, jump_us
