"""Slow drift: a cumulative sum against where the signal began.

A level that follows the signal cannot see it creep. So the first readings set a reference, which then stays;
what deviates from it, less an allowance, is summed up, and the sum alarms. It suits signals that have a place
to be (a supply voltage, a bearing's temperature), not those that are meant to go somewhere (a charge).

References:
    Page (1954), Continuous inspection schemes; Montgomery, Introduction to Statistical Quality Control, 9.1
    (tabular CUSUM; k = 0.5 is the best allowance against a shift of one deviation).
"""

from __future__ import annotations

import math

_FLOOR_SHARE = 0.01
_TINY = 1e-9


class Cusum:
    """A two-sided tabular CUSUM with a reference of its own: six numbers.

    Args:
        limit: sum, in deviations, from which it alarms. With independent Gaussian readings and `allowance`
            0.5 a false alarm comes every 465 readings at 5, and every 2.6 million or so at 12.
        allowance: drift per reading, in deviations, that is let pass.
        learn: readings that set the reference.
    """

    __slots__ = ("_count", "_high", "_low", "_mean", "_squares", "allowance", "learn", "limit")

    def __init__(self, *, limit: float = 12.0, allowance: float = 0.5, learn: int = 100) -> None:
        self.limit = limit
        self.allowance = allowance
        self.learn = learn
        self._count = 0
        self._mean = self._squares = 0.0
        self._high = self._low = 0.0

    @property
    def reference(self) -> float:
        """Where the signal began; 0 before the first reading."""
        return self._mean

    @property
    def deviation(self) -> float:
        """What drift is measured in: the deviation of the first readings, at least 1 % of their level."""
        spread = math.sqrt(self._squares / self._count) if self._count else 0.0
        return max(spread, _FLOOR_SHARE * abs(self._mean), _TINY)

    @property
    def sum(self) -> float:
        """The greater of the two sums, in deviations."""
        return max(self._high, self._low)

    def observe(self, value: float) -> bool:
        """Take a finite reading; say whether the drift has reached the limit."""
        if self._count < self.learn:
            self._count += 1
            before = value - self._mean
            self._mean += before / self._count
            self._squares += before * (value - self._mean)
            return False
        away = (value - self._mean) / self.deviation
        self._high = max(0.0, self._high + away - self.allowance)
        self._low = max(0.0, self._low - away - self.allowance)
        return self.sum >= self.limit

    def restart(self) -> None:
        """Take where the signal is now as its new reference, over the next readings."""
        self._count = 0
        self._mean = self._squares = self._high = self._low = 0.0
