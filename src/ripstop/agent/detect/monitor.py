"""The full monitor of one signal: a score that ranks, alarms that are rare, and a diagnosis that says why.

Theory of operation. A reading is *tested before it is learned*: updating first lets a jump hide behind
itself. Two questions are asked of it, each with its own memory:

- Is it far from the usual **level**? The distance from an exponentially weighted mean, in exponentially
  weighted deviations, with a floor of 1 % of the declared range (else of |mean|) under the deviation, since a
  quiet series would otherwise alarm on its own rounding. Gains are max(gain, 1/(n+1)), so the first readings
  count alike. What is learned of a reading is clipped at 2.3 deviations: an outlier moves the level little,
  and a level that moved for good is accepted in the end. From the eighth reading beyond 100 deviations on
  (one in 64 readings is let off) the clip grows with the root of the distance: a few glitches blind nobody,
  while a signal that has rested at 0 has told nothing of its scale, and is to be known soon. Where one of
  the first three readings is wild beside the others, they are learned anew without it.
- Does it take the signal where it has **never been**? Four statistics (the value, a fast and a slow mean of
  it, the mean of its unrest) each keep the range they have been in, and a fifth, how far the fast mean is
  from what it was at this time of day, its greatest (agent.detect.day). What goes beyond its range scores by
  how far, as a share of the range. The longer a signal has been known the more such news counts,
  n / (n + n0); the ranges forget slowly.

A third question, asked at every sixteenth reading alone, is whether the signal **stands still** although it
usually moves: it reads what it read sixteen readings ago, and the fast mean has come as near to that as only
a long run of equal readings brings it. How many such looks in a row there have ever been is a range of its
own. That counts in the score, for a sensor may be stuck; it alarms only where the signal is declared `live`,
for a battery at its charger stands still, too.

The score is the sum of the second, the third and a little of the first, scaled so that 1 is what a rare and
real anomaly reaches on the Numenta Anomaly Benchmark. benchmarks/bench_monitor.py chooses the constants and
says what the choice comes to on data that it has not seen. Novelty is its own peak-hold: what was reached
once is inside the range. The level's alarm has one too (agent.detect.peaks).

With `hold_s` a reading that alarms for its level is *not learned*, for so long from the first of them: a
fault does not become the usual while it lasts, and a sensor that is good again is recognised. Meanwhile the
expectation goes on along the trend and the tolerance widens, to twice at the end. Then what alarms is learned
until there was none for so long: a level that has moved for good, or a signal that is like that.

References:
    Finch (2009), Incremental calculation of weighted mean and variance; Huber (1964), Robust estimation of a
    location parameter (clipping); Dean and Dixon (1951), Simplified statistics for small numbers of
    observations (the first three); Lavin and Ahmad (2015), Evaluating real-time anomaly detection algorithms.
"""

from __future__ import annotations

import math
from math import copysign, sqrt

from ripstop.core.canonical import Json

from ..given import laid_over
from ..reading import finite
from .checks import Checks, check, check_range
from .day import PART_US, PARTS, Day
from .finding import Finding
from .hold import Hold
from .peaks import FIRST_TESTED, PeakHold
from .state import MOST_FAR, MOST_LOOKS, Learned, pack_state, unpack_state

# Chosen by the procedure that benchmarks/bench_monitor.py holds out by splits, from all series.
_GAINS = (0.0081, 0.066, 0.011)  # of the level, of the fast mean and the unrest, of the slow mean
_LAGS = 1.0 / _GAINS[0], 1.0 / _GAINS[1]  # steps by which the level and the fast mean lag behind a trend
_FARTHEST = (_LAGS[0] - _LAGS[1]) / sqrt(_GAINS[1] / 2.0)  # steps: there the trend's error is one deviation
_YOUNG = 123  # readings until the least of these exceeds 1/(n+1)
_MATURE = 3800.0
_VALUE_WEIGHT, _FAST_WEIGHT, _SLOW_WEIGHT = 40.0, 48.0, 72.0  # of news of the value and the two means
_UNREST_WEIGHT, _LEVEL_WEIGHT, _DAY_WEIGHT = 65.0, 0.26, 22.0
_CLIP, _FAR = 2.3, 100.0
_GLITCHES, _LET_OFF_EVERY = 7, 64  # what comes oftener is how the signal is
_WILD = 4.0  # times the distance of the other two: Dixon's Q over 0.75
# Round figures: these matter little.
_RANGE_FLOOR = 0.05  # a range narrower than this share of |mean| counts as if it were so wide
_PEAK_BASE, _PEAK_KEPT, _PEAK_GAIN = 6.0, 0.998, 0.5
_PEAK_REGAINED = _PEAK_BASE * (1.0 - _PEAK_KEPT)
_FORGET_EVERY, _FORGET = 1024, 0.01  # the ranges close by 1e-5 a reading
_LOOK_EVERY, _USUAL_LOOKS, _STILL_WEIGHT = 16, 4, 15.0
_NEAR_SHARE = 0.03  # of the deviation: the fast mean is there after some 50 equal readings

_SMALL_SAMPLE = 8.0  # the deviation of n readings is inflated by 1 + 8/n (Student's wider quantiles)
_STEP_GAIN, _LONGEST_PAUSE = 0.05, 64.0
_FLOOR_SHARE = 0.01
_TINY = 1e-9
_HUGE = 1e38  # of what is greater no distance fits into a state's single precision
_DAY_US = 86_400_000_000
_NOTHING = (0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, _PEAK_BASE)
_NOWHERE = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
_new = tuple.__new__


class Monitor:
    """Watches one signal in constant memory: 64 bytes as `state` gives them.

    Args:
        threshold: deviations from the usual level from which a reading alarms.
        low: lowest value declared, if any.
        high: highest value declared, if any.
        live: whether a working sensor never reads the same for long.
        checks: what else it is held to; its fields may be given by name, laid over it.

    Raises:
        ConfigurationError: C0370, a parameter cannot be.
    """

    __slots__ = (
        "_checks", "_day", "_declared", "_far", "_floor", "_gate_us", "_high", "_hold", "_hold_us",
        "_is_checked", "_last", "_longest", "_looked", "_low", "_moving", "_near", "_noted", "_peaks",
        "_ranges", "_repeat", "_still", "_tokens", "_turn_us", "late", "live",
    )  # fmt: skip

    def __init__(
        self,
        *,
        threshold: float = 3.0,
        low: float | None = None,
        high: float | None = None,
        live: bool = False,
        checks: Checks | None = None,
        **more: float,
    ) -> None:
        check("threshold", threshold, may_be_0=False)
        check_range(low, high)
        self._peaks = PeakHold(threshold)
        self._near = self._peaks.near
        self.live = live
        self.late = 0
        self._checks = checks = laid_over(Checks, checks, more, "a monitor", "C0370")
        self._hold_us = checks.hold_s * 1e6
        self._hold = Hold(self._hold_us)
        self._is_checked = live or checks.max_rate_per_s > 0.0
        self._noted = -math.inf if self._is_checked else checks.novel_score
        self._declared = -math.inf if low is None else low, math.inf if high is None else high
        self._low, self._high = max(self._declared[0], -_HUGE), min(self._declared[1], _HUGE)
        is_declared = self._high < _HUGE and self._low > -_HUGE
        self._floor = _FLOOR_SHARE * (self._high - self._low) if is_declared else 0.0
        self._moving = _NOTHING
        self._ranges = _NOWHERE
        self._day = Day()
        self._turn_us, self._gate_us = 0, -1
        self._tokens, self._repeat = 0.0, 0
        self._last = self._looked = math.nan
        self._still = self._longest = self._far = 0

    @property
    def threshold(self) -> float:
        """Deviations from the usual level from which a reading alarms where no peak is held."""
        return self._peaks.threshold

    @property
    def count(self) -> int:
        """How many readings were learned."""
        return self._moving[0]

    @property
    def last_us(self) -> int:
        """When the last reading was that was learned."""
        return self._moving[1]

    @property
    def mean(self) -> float:
        """The usual level."""
        return self._moving[3]

    @property
    def deviation(self) -> float:
        """The standard deviation around the level, without its floor."""
        return math.sqrt(self._moving[4])

    def observe(self, value: Json, t_us: int) -> Finding:
        """Test a reading, then learn it.

        Args:
            value: the reading; what is no finite number alarms as `invalid`, and is not learned.
            t_us: when it was sensed; older than the reading before it is ignored as `late`.
        """
        if type(value) is not float:
            value = _number(value)
        # one load and one store instead of twenty: this is the hot path of every sensor
        n, last_us, step_us, level, variance, fast, slow, unrest, peak = self._moving
        if not self._low <= value <= self._high:
            return self._outside(value, t_us)
        gap_us, wide = t_us - last_us, 1.0
        if n < _YOUNG or not 0 <= gap_us <= step_us * 2.0:
            if n == 0 or gap_us < 0:
                return self._first(value, t_us) if n == 0 else self._late(value)
            if n == 2 and self._has_begun_wild(value, t_us):
                kind = self._diagnose(value, gap_us, 0.0, n, is_far=False)
                return Finding(0.0, kind != "quiet", kind, value, self.mean, 0.0)
            level, wide = self._carried_on(gap_us, level, step_us)
            (level_gain, fast_gain, slow_gain), step_us = _gains(n, gap_us, step_us)
        else:
            level_gain, fast_gain, slow_gain = _GAINS
            step_us += (gap_us - step_us) * _STEP_GAIN
        away = value - level
        distance = away if away >= 0.0 else -away
        floor = self._floor or _FLOOR_SHARE * (level if level >= 0.0 else -level) or _TINY
        deviation = sqrt(variance)
        scale = deviation * (1.0 + _SMALL_SAMPLE / n)
        scale = (scale if scale > floor else floor) * wide
        usual = deviation if deviation > floor else floor
        sigma, is_far = distance / scale, False
        if sigma > self._near:
            sigma, is_far = self._peaks.judge(sigma, n)
            if is_far and gap_us < self._hold_us and (self._floor or n >= _YOUNG) and self._hold.lasts(t_us):
                return self._withheld(value, t_us, sigma, scale)
        score = _LEVEL_WEIGHT * sigma / peak
        if t_us >= self._turn_us:
            score += self._turn(t_us, usual)
        fast += fast_gain * (value - fast)
        slow += slow_gain * (value - slow)
        unrest += fast_gain * (distance - unrest)
        value_low, value_high, fast_low, fast_high, slow_low, slow_high, unrest_high = self._ranges
        if not (
            value_low <= value <= value_high
            and fast_low <= fast <= fast_high
            and slow_low <= slow <= slow_high
            and unrest <= unrest_high
        ):
            score += self._news(value, fast, slow, unrest) * n / (n + _MATURE)
        if n < FIRST_TESTED:  # so little is known yet
            score = 0.0
        if distance > _CLIP * usual:
            away = copysign(self._clip(distance, usual), away)
        variance = (1.0 - level_gain) * (variance + level_gain * away * away)
        raised = peak * _PEAK_KEPT + _PEAK_REGAINED
        if sigma > raised:
            raised += _PEAK_GAIN * (sigma - raised)
        self._moving = (n + 1, t_us, step_us, level + level_gain * away, variance, fast, slow, unrest, raised)
        shown = score if n % _LOOK_EVERY else score + self._look(value, level, deviation, n)
        if score >= self._noted or is_far:
            kind = self._diagnose(value, gap_us, score, n, is_far)
            may_alarm = kind != "quiet" and self._may_alarm(kind, t_us)
            return _new(Finding, (shown, may_alarm, kind, value, level, scale))
        return _new(Finding, (shown, False, "quiet", value, level, scale))

    def _outside(self, value: float, t_us: int) -> Finding:
        """Give what a reading is that cannot be; one that is only too large to reckon with counts as less."""
        low, high = self._declared
        if math.isfinite(value) and low <= value <= high:
            return self.observe(math.copysign(_HUGE, value), t_us)
        kind = "out_of_range" if math.isfinite(value) else "invalid"
        return Finding(math.inf, True, kind, value, self.mean if self.count else value, 0.0)

    def _carried_on(self, gap_us: int, level: float, step_us: float) -> tuple[float, float]:
        """Give the level had it gone on as it went while it was held, and by what the tolerance is wider.

        Within the declared range, for no longer than the signal has been known. The level lags behind a trend
        (at first by half its readings), the fast mean by less: their distance, if it is much, is the trend.
        """
        if not self._hold_us or not step_us or gap_us <= 2.0 * step_us:
            return level, 1.0
        lag, steps = min(_LAGS[0], self._moving[0] / 2.0) - _LAGS[1], min(gap_us / step_us, self._moving[0])
        drift = (self._moving[5] - level) / lag * min(steps, _FARTHEST) if lag >= _LAGS[1] else 0.0
        return min(max(level + drift, self._low), self._high), 1.0 + gap_us / self._hold_us

    def _withheld(self, value: float, t_us: int, sigma: float, scale: float) -> Finding:
        """Give what an alarming reading is that is not learned."""
        _, last_us, _, level, *_, peak = self._moving
        kind = self._check(value, t_us - last_us) if self._is_checked else "quiet"
        if kind == "quiet":
            kind = "level"
        score = _LEVEL_WEIGHT * sigma / peak
        return Finding(score, self._may_alarm(kind, t_us), kind, value, level, scale)

    def silence(self, t_us: int) -> Finding | None:
        """Say whether the signal has dropped out: no reading for longer than `max_gap_s`."""
        limit_us = self._checks.max_gap_s * 1e6
        n, last_us = self._moving[:2]
        if not limit_us or not n or t_us - last_us <= limit_us:
            return None
        return Finding(math.inf, True, "drop_out", self.mean, self.mean, 0.0)

    def _first(self, value: float, t_us: int) -> Finding:
        self._moving = (1, t_us, 0.0, value, 0.0, value, value, 0.0, _PEAK_BASE)
        self._ranges = (value, value, value, value, value, value, 0.0)
        self._day.begin(value)
        self._turn_us = _next_turn(t_us)
        self._last = value
        return Finding(0.0, False, "quiet", value, value, 0.0)

    def _late(self, value: float) -> Finding:
        self.late += 1
        return Finding(0.0, False, "late", value, self.mean, 0.0)

    def _has_begun_wild(self, value: float, t_us: int) -> bool:
        """Begin anew, once, where of the first three readings two agree and the third is wild beside them."""
        low, middle, high = sorted((*self._ranges[:2], value))
        is_wild = min(middle - low, high - middle) * _WILD < high - low > abs(middle)
        if not is_wild or self._far > _GLITCHES:
            return False
        self._first(middle, t_us)
        self._far = _GLITCHES + 1
        return True

    def _clip(self, distance: float, usual: float) -> float:
        """Give how much is learned of what lies so far, beyond the usual."""
        far = distance / (_FAR * usual)
        if far <= 1.0:
            return _CLIP * usual
        self._far = min(self._far + 1, MOST_FAR)
        # beside a subnormal deviation it is infinitely far
        return min(_CLIP * usual * sqrt(far), distance) if self._far > _GLITCHES else _CLIP * usual

    def _turn(self, t_us: int, deviation: float) -> float:
        """Give the score of how a part of the day went; nothing where it was not seen whole."""
        n, level, fast = self._moving[0], self._moving[3], self._moving[5]
        ended_us, self._turn_us = self._turn_us, _next_turn(t_us)
        if t_us - ended_us >= PART_US:
            self._turn_us += PART_US
            return 0.0
        part = (ended_us // PART_US - 1) % PARTS
        news = self._day.end(part, fast, deviation, abs(level) * _RANGE_FLOOR + _TINY)
        return _DAY_WEIGHT * news * n / (n + _MATURE)

    def _news(self, value: float, fast: float, slow: float, unrest: float) -> float:
        """Give how far the statistics are outside of where they have been, and let them have been there."""
        low, high, fast_low, fast_high, slow_low, slow_high, most = self._ranges
        level, news = self._moving[3], 0.0
        floor = (level if level >= 0.0 else -level) * _RANGE_FLOOR + _TINY
        # written out: a signal on a trend comes here with every reading
        if value > high or value < low:
            beyond, wide = value - high if value > high else low - value, high - low
            news += _VALUE_WEIGHT * beyond / (wide if wide > floor else floor)
            low, high = (low, value) if value > high else (value, high)
        if fast > fast_high or fast < fast_low:
            beyond, wide = fast - fast_high if fast > fast_high else fast_low - fast, fast_high - fast_low
            news += _FAST_WEIGHT * beyond / (wide if wide > floor else floor)
            fast_low, fast_high = (fast_low, fast) if fast > fast_high else (fast, fast_high)
        if slow > slow_high or slow < slow_low:
            beyond, wide = slow - slow_high if slow > slow_high else slow_low - slow, slow_high - slow_low
            news += _SLOW_WEIGHT * beyond / (wide if wide > floor else floor)
            slow_low, slow_high = (slow_low, slow) if slow > slow_high else (slow, slow_high)
        if unrest > most:
            news += _UNREST_WEIGHT * (unrest - most) / (most if most > floor else floor)
            most = unrest
        self._ranges = (low, high, fast_low, fast_high, slow_low, slow_high, most)
        return news

    def _look(self, value: float, level: float, deviation: float, n: int) -> float:
        """Give the score of how much longer the signal has stood still than ever before."""
        if not n % _LET_OFF_EVERY:
            self._far = max(self._far - 1, 0)
        if not n % _FORGET_EVERY:
            self._forget(level)
        is_same, self._looked = value == self._looked, value
        away = abs(value - self._moving[5])
        if not is_same or away >= _NEAR_SHARE * deviation:  # what has never moved never stands still
            self._still = 0
            return 0.0
        self._still = min(self._still + 1, MOST_LOOKS)
        longer, before = self._still - self._longest, self._longest
        if longer <= 0:
            return 0.0
        self._longest = self._still
        return _STILL_WEIGHT * longer / max(before, _USUAL_LOOKS) * n / (n + _MATURE)

    def _forget(self, level: float) -> None:
        """Let the ranges close a little."""
        a, b, c, d, e, f = (end + _FORGET * (level - end) for end in self._ranges[:6])
        self._ranges = (a, b, c, d, e, f, (1.0 - _FORGET) * self._ranges[6])
        self._day.forget(_FORGET)

    def _diagnose(self, value: float, gap_us: int, score: float, n: int, is_far: bool) -> str:
        """Say what a reading that may not be quiet is."""
        kind = self._check(value, gap_us) if self._is_checked else "quiet"
        if kind != "quiet" or n < FIRST_TESTED:
            return kind
        if is_far:
            return "level"
        return "novel" if score >= self._checks.novel_score else "quiet"

    def _check(self, value: float, gap_us: int) -> str:
        """Hold a reading against what a working sensor can do."""
        last, self._last = self._last, value
        self._repeat = self._repeat + 1 if value == last else 0
        if self.live and self._checks.stuck_after and self._repeat >= self._checks.stuck_after:
            return "stuck"
        rate = self._checks.max_rate_per_s
        if rate and abs(value - last) * 1e6 > rate * max(gap_us, 1):
            return "rate"
        return "quiet"

    def _may_alarm(self, kind: str, t_us: int) -> bool:
        """Hold the alarms of the statistics back: within the refractory time, and beyond their budget."""
        checks = self._checks
        if kind not in ("level", "novel") or not (checks.refractory_s or checks.alarms_per_day):
            return True
        before_us, since_us = self._gate_us, t_us - self._gate_us
        if checks.refractory_s and before_us >= 0 and since_us < checks.refractory_s * 1e6:
            return False
        if checks.alarms_per_day:
            most = max(1.0, checks.alarms_per_day)
            fresh = since_us * checks.alarms_per_day / _DAY_US
            tokens = most if before_us < 0 else min(most, self._tokens + fresh)
            if tokens < 1.0:
                return False
            self._tokens = tokens - 1.0
        self._gate_us = t_us
        return True

    # ---- state ------------------------------------------------------------------------------------------

    def state(self) -> bytes:
        """Give what it has learned, in 64 bytes: for a restart, or for another device."""
        n, last_us, _, *moving = self._moving
        held = self._peaks.state(n)
        learned = Learned(n, held, last_us, tuple(moving), self._ranges, self._longest, self._far)
        return pack_state(learned, self._day)

    def restore(self, state: bytes, t_us: int | None = None) -> None:
        """Go on from what another monitor of the same signal has learned.

        Args:
            state: as `state` gave it.
            t_us: when the last reading was, on the clock in use now; None where the clock is the same.

        Raises:
            ConfigurationError: C0371, the bytes are no such state.
        """
        learned, self._day = unpack_state(state)
        n, held, last_us, moving, ranges, self._longest, self._far = learned
        level, variance, fast, slow, unrest, peak = moving
        a, b, c, d, e, f, g = ranges
        self._ranges = (a, b, c, d, e, f, g)
        self._still, self._looked = 0, math.nan
        self._hold = Hold(self._hold_us)
        self._peaks.restore(held, n)
        if t_us is not None:
            last_us = t_us
            self._day.begin(level)  # under another clock the day has other parts
        self._turn_us = _next_turn(last_us)
        self._moving = (n, last_us, 0.0, level, variance, fast, slow, unrest, peak)


def _next_turn(t_us: int) -> int:
    return (t_us // PART_US + 1) * PART_US


def _number(value: Json) -> float:
    number = finite(value)
    return math.nan if number is None else number


def _gains(n: int, gap_us: int, step_us: float) -> tuple[tuple[float, float, float], float]:
    """Give the gains of the level, the fast and the slow mean, and the usual step with this one.

    The first readings count alike. After a pause the level that was counts for less.
    """
    fresh = 1.0 / (n + 1)
    pause = min(gap_us / step_us, _LONGEST_PAUSE) if step_us else 1.0
    step_us = step_us + (gap_us - step_us) * max(_STEP_GAIN, 1.0 / n) if step_us else float(gap_us)
    level_gain = 1.0 - (1.0 - _GAINS[0]) ** pause if pause > 2.0 else _GAINS[0]
    return (max(level_gain, fresh), max(_GAINS[1], fresh), max(_GAINS[2], fresh)), step_us
