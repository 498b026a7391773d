"""The arithmetic of `ripstop.agent.Monitor`'s score as a numba kernel, to choose its constants by.

At regular sampling and without a declared range it gives what the class gives (tests/agent/detect holds it to
that). `draw` is the prior of the search.
"""

from __future__ import annotations

import numpy as np
from numba import njit

# gains of the level, the fast and the slow mean, readings to be half mature, weights of value, fast, slow,
# unrest, level and day, clip, gain of the day, parts of the day
SHIPPED = np.array([0.0081, 0.066, 0.011, 3800, 40, 48, 72, 65, 0.26, 22, 2.3, 0.29, 6])

MOST_SIGMA, FIRST_TESTED = 1000.0, 3
_PARTS = (4, 6, 8)  # what there is room for in 64 bytes
_DAY_US = 86_400_000_000
_UNKNOWN = -128
_FAR, _GLITCHES, _MOST_FAR, _LET_OFF_EVERY, _WILD = 100.0, 7, 15, 64, 4.0
_LOOK_EVERY, _STILL_WEIGHT, _NEAR_SHARE, _USUAL_LOOKS, _MOST_LOOKS = 16, 15.0, 0.03, 4, 15


def draw(rng: np.random.Generator) -> np.ndarray:
    """Draw constants: log-uniform within a factor of 2 around round figures."""
    middle = np.array([0.01, 0.1, 0.01, 4000, 50, 50, 50, 50, 0.25, 25, 3.0, 0.3])
    found = middle * np.exp(rng.uniform(-np.log(2.0), np.log(2.0), len(middle)))
    return np.append(found, rng.choice(_PARTS))


def average(drawn: np.ndarray) -> np.ndarray:
    """Give the middle of several drawn constants: geometric, and of the parts the most frequent."""
    parts, count = np.unique(drawn[:, -1], return_counts=True)
    return np.append(np.exp(np.log(drawn[:, :-1]).mean(axis=0)), parts[count.argmax()])


@njit(cache=True)
def _beyond(value, ends, floor):  # type: ignore[no-untyped-def]  # compiled
    """How far outside of the range that it has been in, as a share of it; and lets it have been there."""
    low, high = ends
    news = max(value - high, low - value, 0.0) / max(high - low, floor)
    ends[0], ends[1] = min(low, value), max(high, value)
    return news


@njit(cache=True)
def _end_of_part(part, mean, usual, floor, day, codes, gain):  # type: ignore[no-untyped-def]  # compiled
    """`Day.end` of ripstop.agent.detect.day; `day` is anchor, step, parts that have ended, greatest error."""
    if day[2] == 0:
        day[1] = 2.0 ** (np.floor(np.log2(usual / 16.0)) + 1)
    news, target = 0.0, mean
    if codes[part] != _UNKNOWN:
        expected = day[0] + codes[part] * day[1]
        error = mean - expected
        if abs(error) > day[3]:
            if day[2] >= 2 * len(codes):
                news = (abs(error) - day[3]) / max(2.0 * day[3], floor)
            day[3] = abs(error)
        target = expected + gain * max(-4.0 * usual, min(4.0 * usual, error))
    while abs(target - day[0]) >= 127.0 * day[1]:
        day[1] *= 2.0
        for k in range(len(codes)):
            if codes[k] != _UNKNOWN:
                codes[k] = int(np.round(codes[k] / 2.0))
    codes[part] = int(np.round((target - day[0]) / day[1]))
    day[2] += 1
    return news


@njit(cache=True)
def _anew(a, b, c):  # type: ignore[no-untyped-def]  # compiled
    """The middle of the first three readings where one of them is wild beside the others, else no number."""
    low, high = min(a, b, c), max(a, b, c)
    middle, wide = max(min(a, b), min(max(a, b), c)), high - low
    return middle if min(middle - low, high - middle) * _WILD < wide and wide > abs(middle) else np.nan


@njit(cache=True)
def _scores(values, t_us, c, far, out):  # type: ignore[no-untyped-def]  # compiled
    x = values[0]
    level = fast = slow = x
    ends = np.full((4, 2), x)  # of the value, the fast and the slow mean, and of the unrest, from 0
    ends[3] = 0.0
    variance, unrest, peak = 0.0, 0.0, 6.0
    part_us = _DAY_US // int(c[12])
    turn_us = (t_us[0] // part_us + 1) * part_us
    codes, day = np.full(int(c[12]), _UNKNOWN, np.int64), np.array([x, 0.0, 0.0, 0.0])
    looked, still, longest = np.nan, 0, 0
    out[0] = 0.0
    for i in range(1, len(values)):
        n, x = i, values[i]
        fresh = 1.0 / (n + 1)
        away = x - level
        distance = abs(away)
        floor = 0.01 * abs(level) or 1e-9
        usual = max(np.sqrt(variance), floor)
        sigma = min(distance / max(np.sqrt(variance) * (1.0 + 8.0 / n), floor), MOST_SIGMA)
        wide = 0.05 * abs(level) + 1e-9
        news = 0.0
        if t_us[i] >= turn_us + part_us:
            turn_us = (t_us[i] // part_us + 2) * part_us
        elif t_us[i] >= turn_us:
            part = (turn_us // part_us - 1) % len(codes)
            turn_us = (t_us[i] // part_us + 1) * part_us
            news = c[9] * _end_of_part(part, fast, usual, wide, day, codes, c[11])
        fast += max(c[1], fresh) * (x - fast)
        unrest += max(c[1], fresh) * (distance - unrest)
        slow += max(c[2], fresh) * (x - slow)
        limit = c[10] * usual
        if distance > _FAR * usual:
            far = min(far + 1, _MOST_FAR)
            limit *= np.sqrt(distance / usual / _FAR) if far > _GLITCHES else 1.0
        clipped = min(max(away, -limit), limit)
        gain, before = max(c[0], fresh), level
        level += gain * clipped
        for k, value in enumerate((x, fast, slow, unrest)):
            news += c[4 + k] * _beyond(value, ends[k], wide)
        if n % _LET_OFF_EVERY == 0:
            far = max(far - 1, 0)
        if n % _LOOK_EVERY == 0:
            is_still = x == looked and abs(x - fast) < _NEAR_SHARE * np.sqrt(variance)
            still = min(still + 1, _MOST_LOOKS) if is_still else 0
            looked = x
            if still > longest:
                news += _STILL_WEIGHT * (still - longest) / max(longest, _USUAL_LOOKS)
                longest = still
        out[i] = 0.0 if n < FIRST_TESTED else c[8] * sigma / peak + news * n / (n + c[3])
        variance = (1.0 - gain) * (variance + gain * clipped * clipped)
        peak += 0.002 * (6.0 - peak)
        peak += 0.5 * max(sigma - peak, 0.0)
        if n % 1024 == 0:
            ends[:3] += 0.01 * (before - ends[:3])
            ends[3] *= 0.99
            day[3] *= 0.99


def kernel_scores(values: np.ndarray, t_us: np.ndarray, constants: np.ndarray) -> np.ndarray:
    """The score of each reading of a series."""
    out = np.zeros(len(values))
    middle = _anew(*values[:3]) if len(values) > 2 else np.nan
    if np.isnan(middle):
        _scores(values, t_us, constants, 0, out)
    else:
        _scores(np.append(middle, values[3:]), t_us[2:], constants, _GLITCHES + 1, out[2:])
    return out


@njit(cache=True)
def _ewma(values, gain, out):  # type: ignore[no-untyped-def]  # compiled
    mean, variance = values[0], 0.0
    out[0] = 0.0
    for i in range(1, len(values)):
        away = values[i] - mean
        out[i] = abs(away) / max(np.sqrt(variance), 0.01 * abs(mean), 1e-9)
        step = max(gain, 1.0 / (i + 1))
        mean += step * away
        variance = (1.0 - step) * (variance + step * away * away)


def ewma_scores(values: np.ndarray, gain: float) -> np.ndarray:
    """The rival: distance from an exponentially weighted mean, in exponentially weighted deviations."""
    out = np.empty(len(values))
    _ewma(values, gain, out)
    return out
