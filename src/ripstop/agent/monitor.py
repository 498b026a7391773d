"""The Local Monitor: does this reading fit what the signal usually does?

Theory of operation. Each signal has a level that follows a trend (Holt's linear smoothing) and an
exponentially weighted variance around it. A reading is *tested before it is learned*: updating first lets a
jump hide behind itself. Its score is its distance from the expected level in standard deviations,
with a floor under the deviation of 1 % of the declared range (else of |level|), since a quiet series would
otherwise alarm on its own rounding. Gains are max(alpha, 1/(n+1)), so the first samples count alike.

A reading that alarms is *not learned*. While nothing is learned the expectation goes on along the trend and
the tolerance widens: a battery that drained through minutes of a sensor fault is recognised when the sensor
is good again, and a level that has moved for good is accepted in the end.

The score stands apart from the alarm: the alarm's threshold rises above `threshold` where the signal's own
recent peaks do (peak-hold, decaying, at most twice), so that heavy tails do not alarm for ever.

References:
    Holt (1957/2004), Int. J. Forecasting 20(1); Finch (2009), Incremental calculation of weighted mean and
    variance; the early inflation stands for Student's wider quantiles with few samples.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from ripstop.core.canonical import Json

_FIRST_TESTED = 3  # samples learned before the first test: the 4th is the first that can alarm
_TREND_FROM = 8  # the trend is not trusted on fewer samples
_PEAK_DECAY = 0.9998
_PEAK_MARGIN = 1.25
_PEAK_CAP = 2.0  # a held peak raises the threshold to twice its value at most
_SMALL_SAMPLE = 8.0  # the deviation of n samples is inflated by 1 + 8/n
_FLOOR_SHARE = 0.01
_TINY = 1e-9
_MIN_STEP_S = 1e-3  # a trend is not read off samples closer than this
_STUCK_AFTER = 30


class Finding(NamedTuple):
    """What the monitor makes of one reading; true exactly when it is an alarm.

    `kind` is `quiet`, `level` (a jump), `invalid` (no finite number), `out_of_range`, `stuck`, or `late`
    (older than the sample before it: ignored). `score` is in standard deviations, infinite for what is no
    number or cannot be.
    """

    score: float
    alarm: bool
    kind: str
    value: float
    expected: float
    scale: float

    def __bool__(self) -> bool:
        return self.alarm

    def explain(self, name: str = "the signal", unit: str = "") -> str:
        """Say in one line what was found."""
        value, usual = _shown(self.value, unit), _shown(self.expected, unit)
        match self.kind:
            case "level":
                side = "below" if self.value < self.expected else "above"
                return f"{name} reads {value}, {self.score:.1f} sigma {side} its usual {usual}"
            case "invalid":
                return f"{name} reads no finite number; usual is {usual}"
            case "out_of_range":
                return f"{name} reads {value}, outside its declared range"
            case "stuck":
                return f"{name} has read exactly {value} for too long"
            case "late":
                return f"{name} came late and was ignored"
        return f"{name} reads {value}, {self.score:.1f} sigma from its usual {usual}"


def _shown(value: float, unit: str) -> str:
    return f"{value:.4g} {unit}".rstrip()


class Monitor:
    """Watches one signal in constant memory: about ten numbers.

    Args:
        alpha: gain of the level; the memory is about 2/alpha samples.
        threshold: score from which a reading alarms.
        low: lowest value declared, if any.
        high: highest value declared, if any.
        live: whether the vocabulary declares that a working sensor never reads the same for long.
        widen_s: after this long without a learned sample the tolerance has doubled.
    """

    __slots__ = (
        "_beta", "_floor", "_gamma", "_high", "_last", "_last_us", "_learned_us", "_level", "_low", "_n",
        "_peak", "_repeat", "_slope", "_spike", "_step_s", "_variance", "alpha", "late", "live", "threshold",
        "widen_s",
    )  # fmt: skip

    def __init__(
        self,
        *,
        alpha: float = 0.1,
        threshold: float = 3.0,
        low: float | None = None,
        high: float | None = None,
        live: bool = False,
        widen_s: float = 600.0,
    ) -> None:
        self.alpha = alpha
        self.threshold = threshold
        self.live = live
        self.widen_s = widen_s
        self.late = 0
        self._beta = alpha / 10
        self._gamma = alpha / 5
        self._low = -math.inf if low is None else low
        self._high = math.inf if high is None else high
        width = self._high - self._low
        self._floor = _FLOOR_SHARE * width if math.isfinite(width) else 0.0
        self._n = 0
        self._level = self._variance = self._slope = self._step_s = self._peak = 0.0
        self._last_us = self._learned_us = 0
        self._repeat = 0
        self._spike = 0.0
        self._last = math.nan

    @property
    def count(self) -> int:
        """How many samples were learned."""
        return self._n

    @property
    def mean(self) -> float:
        """The usual level."""
        return self._level

    @property
    def deviation(self) -> float:
        """The standard deviation around the level, without its floor."""
        return math.sqrt(self._variance)

    def observe(self, value: Json, t_us: int) -> Finding:
        """Test a reading, then learn it unless it alarms.

        Args:
            value: the reading; what is no finite number alarms as `invalid`.
            t_us: when it was sensed; older than the reading before it is ignored as `late`.
        """
        if type(value) is not float:
            if type(value) is not int:
                return Finding(math.inf, True, "invalid", math.nan, self._level, 0.0)
            try:
                value = float(value)
            except OverflowError:
                value = math.inf
        if self._n == 0:
            return self._first(value, t_us)
        step_us = t_us - self._last_us
        if step_us < 0:
            self.late += 1
            return Finding(0.0, False, "late", value, self._level, 0.0)
        self._last_us = t_us
        gap_s = (t_us - self._learned_us) * 1e-6
        expected = self._level + self._slope * gap_s
        if not self._low <= value <= self._high or value - value != 0.0:
            return self._impossible(value, expected)
        scale = self._scale(gap_s)
        error = value - expected
        score = abs(error) / scale
        if score > self.threshold and self._n >= _FIRST_TESTED:
            limit = min(self._peak * _PEAK_MARGIN, self.threshold * _PEAK_CAP)
            if score > limit:
                self._spike = -1.0 if self._spike else score
                return Finding(score, True, "level", value, expected, scale)
        if self.live and self._is_stuck(value):
            return Finding(score, True, "stuck", value, expected, scale)
        self._learn(expected, error, gap_s, score)
        self._learned_us = t_us
        return Finding(score, False, "quiet", value, expected, scale)

    def _first(self, value: float, t_us: int) -> Finding:
        if not self._low <= value <= self._high or value - value != 0.0:
            return self._impossible(value, value)
        self._n = 1
        self._level = value
        self._last_us = self._learned_us = t_us
        return Finding(0.0, False, "quiet", value, value, 0.0)

    @staticmethod
    def _impossible(value: float, expected: float) -> Finding:
        kind = "out_of_range" if math.isfinite(value) else "invalid"
        return Finding(math.inf, True, kind, value, expected, 0.0)

    def _scale(self, gap_s: float) -> float:
        floor = self._floor or _FLOOR_SHARE * abs(self._level) or _TINY
        scale = max(math.sqrt(self._variance) * (1.0 + _SMALL_SAMPLE / self._n), floor)
        if gap_s > 2.0 * self._step_s:
            scale = scale * (1.0 + gap_s / self.widen_s) + 0.5 * abs(self._slope) * gap_s
        return scale

    def _is_stuck(self, value: float) -> bool:
        self._repeat = self._repeat + 1 if value == self._last else 0
        self._last = value
        return self._repeat >= _STUCK_AFTER

    def _learn(self, expected: float, error: float, gap_s: float, score: float) -> None:
        n = self._n
        fresh = 1.0 / (n + 1)
        alpha = self.alpha if self.alpha > fresh else fresh
        gamma = self._gamma if self._gamma > fresh else fresh
        step_s = self._step_s
        if gap_s > 1.5 * step_s and step_s > 0.0:  # after a pause the old level counts for less
            alpha = 1.0 - (1.0 - alpha) ** min(gap_s / step_s, 64.0)
        self._step_s = step_s + (gap_s - step_s) * max(0.05, 1.0 / n)
        self._level = expected + alpha * error
        self._variance = (1.0 - gamma) * (self._variance + gamma * error * error)
        if n >= _TREND_FROM:
            self._slope += self._beta * error / (gap_s if gap_s > _MIN_STEP_S else _MIN_STEP_S)
        peak = self._peak * _PEAK_DECAY
        if self._spike:  # one alarm alone, between quiet readings, was a tail of the noise
            score, self._spike = max(score, self._spike), 0.0
        self._peak = min(score, self.threshold * _PEAK_CAP) if score > peak and n >= _FIRST_TESTED else peak
        self._n = n + 1


class EWMA:
    """Exponentially weighted mean and variance with a test: a `Monitor` that counts samples, not seconds.

    Args:
        alpha: gain of the mean.
        threshold: how many standard deviations make an anomaly.
    """

    def __init__(self, alpha: float = 0.1, threshold: float = 3.0) -> None:
        self._monitor = Monitor(alpha=alpha, threshold=threshold)
        self._t_us = 0
        self.score = 0.0

    @property
    def mean(self) -> float:
        """The mean so far; 0 before the first sample."""
        return self._monitor.mean

    @property
    def variance(self) -> float:
        """The variance so far."""
        return self._monitor.deviation**2

    def update(self, value: float) -> bool:
        """Test a value against what came before, learn it unless it is an anomaly; say whether it is one."""
        self._t_us += 1_000_000
        finding = self._monitor.observe(value, self._t_us)
        self.score = finding.score
        return finding.alarm
