"""The arithmetic of `ripstop.agent.Monitor`'s score as a numba kernel, to choose its constants by.

At regular sampling and without a declared range it gives what the class gives (tests/agent/detect holds it to
that). `draw` is the prior of the search.
"""

from __future__ import annotations

import numpy as np
from numba import njit

# level gain, fast gain, slow gain, readings to be half mature, weights of value, fast, slow, unrest, level,
# floor of a range, peak base, decay, gain, forgetting of the ranges, clip
SHIPPED = np.array([0.008, 0.08, 0.012, 5000, 54, 45, 99, 58.5, 0.2475, 0.06, 7, 0.0025, 0.45, 1e-5, 2.7])

MOST_SIGMA = 1000.0


def draw(rng: np.random.Generator) -> np.ndarray:
    """Draw constants: log-uniform within a factor of 3 (forgetting: of 10) around round figures."""
    middle = np.array([0.01, 0.05, 0.01, 2000, 50, 50, 50, 50, 0.2, 0.03, 5, 0.001, 0.5, 3e-5, 4.0])
    spread = np.full(len(middle), np.log(3.0))
    spread[13] = np.log(10.0)
    found = middle * np.exp(rng.uniform(-spread, spread))
    found[12] = min(found[12], 1.0)
    return found


@njit(cache=True)
def _scores(values, c, out):  # type: ignore[no-untyped-def]  # compiled
    x = values[0]
    level = fast = slow = x
    value_low = value_high = fast_low = fast_high = slow_low = slow_high = x
    variance = unrest = unrest_high = 0.0
    peak = c[10]
    out[0] = 0.0
    for i in range(1, len(values)):
        n, x = i, values[i]
        fresh = 1.0 / (n + 1)
        away = x - level
        distance = abs(away)
        floor = 0.01 * abs(level) or 1e-9
        deviation = np.sqrt(variance)
        sigma = min(distance / max(deviation * (1.0 + 8.0 / n), floor), MOST_SIGMA)
        gain = max(c[1], fresh)
        fast += gain * (x - fast)
        unrest += gain * (distance - unrest)
        slow += max(c[2], fresh) * (x - slow)
        score = c[8] * sigma / peak
        limit = c[14] * max(deviation, floor)
        clipped = min(max(away, -limit), limit)
        gain = max(c[0], fresh)
        before = level
        level += gain * clipped
        wide = c[9] * abs(level) + 1e-9
        news = c[4] * max(x - value_high, value_low - x, 0.0) / max(value_high - value_low, wide)
        news += c[5] * max(fast - fast_high, fast_low - fast, 0.0) / max(fast_high - fast_low, wide)
        news += c[6] * max(slow - slow_high, slow_low - slow, 0.0) / max(slow_high - slow_low, wide)
        news += c[7] * max(unrest - unrest_high, 0.0) / max(unrest_high, wide)
        out[i] = score + news * n / (n + c[3])
        variance = (1.0 - gain) * (variance + gain * clipped * clipped)
        peak += c[11] * (c[10] - peak)
        if sigma > peak:
            peak += c[12] * (sigma - peak)
        value_low, value_high = min(value_low, x), max(value_high, x)
        fast_low, fast_high = min(fast_low, fast), max(fast_high, fast)
        slow_low, slow_high = min(slow_low, slow), max(slow_high, slow)
        unrest_high = max(unrest_high, unrest)
        if n % 64 == 0:
            forget = 64 * c[13]
            value_low += forget * (before - value_low)
            value_high += forget * (before - value_high)
            fast_low += forget * (before - fast_low)
            fast_high += forget * (before - fast_high)
            slow_low += forget * (before - slow_low)
            slow_high += forget * (before - slow_high)
            unrest_high -= forget * unrest_high


def kernel_scores(values: np.ndarray, constants: np.ndarray) -> np.ndarray:
    """The score of each reading of a series."""
    out = np.empty(len(values))
    _scores(values, constants, out)
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
