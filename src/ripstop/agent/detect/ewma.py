"""The plain test under its usual name: an exponentially weighted mean and variance.

References:
    Finch (2009), Incremental calculation of weighted mean and variance.
"""

from __future__ import annotations

import math

_FIRST_TESTED = 3
_SMALL_SAMPLE = 8.0  # the deviation of n values is inflated by 1 + 8/n (Student's wider quantiles)
_FLOOR_SHARE, _TINY = 0.01, 1e-9


class EWMA:
    """Exponentially weighted mean and variance with a test; `Monitor` does more, in as little memory.

    A value is tested against what came before it. An anomaly is not learned, unless 2/alpha come in a row:
    then the level has moved for good, and is learned anew.

    Args:
        alpha: gain of the mean, in (0, 1].
        threshold: how many standard deviations make an anomaly.
    """

    def __init__(self, alpha: float = 0.1, threshold: float = 3.0) -> None:
        self.alpha = alpha
        self.threshold = threshold
        self.mean = 0.0
        self.variance = 0.0
        self.score = 0.0
        self._n = self._anomalies = 0

    def update(self, value: float) -> bool:
        """Test a value, learn it unless it is an anomaly; say whether it is one (what is no number is)."""
        if not math.isfinite(value):
            self.score = math.inf
            return True
        away = value - self.mean
        if self._n:
            floor = _FLOOR_SHARE * abs(self.mean) or _TINY
            self.score = abs(away) / max(math.sqrt(self.variance) * (1.0 + _SMALL_SAMPLE / self._n), floor)
        if self._n >= _FIRST_TESTED and self.score > self.threshold:
            self._anomalies += 1
            if self._anomalies * self.alpha < 2.0:
                return True
            self._n, self.variance, away = 0, 0.0, value - self.mean
        is_anomaly, self._anomalies = self._anomalies > 0 and self._n == 0, 0
        gain = max(self.alpha, 1.0 / (self._n + 1))
        self.mean += gain * away
        self.variance = (1.0 - gain) * (self.variance + gain * away * away) if self._n else 0.0
        self._n += 1
        return is_anomaly
