"""What a signal does at this time of day: sixteen bytes that tell a quiet night from a failed morning.

Theory of operation. A day has six parts. When one ends, the signal's fast mean is held against what the fast
mean was when that part ended on the days before. Signals repeat themselves badly, so the error counts only
where it is greater than any before, by how far, as a share of twice the greatest: the first day is learned,
the second sets the greatest error, and from the third on there can be news.

A part's mean is kept as a byte: so many steps away from the first reading, the anchor. A step is a power of
two, at first a sixteenth of the deviation; where a byte does not reach, the step doubles for all parts.
"""

from __future__ import annotations

import math

PARTS = 6
PART_US = 86_400_000_000 // PARTS
_STEPS = 16.0  # to a deviation
_MOST_CODE, UNKNOWN = 127, -128
_MOST_SEEN = 255
_LEAST_EXPONENT, _MOST_EXPONENT = -126, 127
_COUNTABLE = 1e250  # beyond this steps of 2**-126 are more than a number holds
_GAIN = 0.29  # of a part's mean, a day
_CLIP = 4.0  # deviations that are learned of an error at most


class Day:
    """The memory of one signal's days."""

    __slots__ = ("anchor", "codes", "exponent", "greatest", "seen")

    def __init__(self) -> None:
        self.begin(0.0)

    def begin(self, anchor: float) -> None:
        """Forget the days there were; count from this value on."""
        self.anchor = anchor
        self.exponent = 0
        self.codes = [UNKNOWN] * PARTS
        self.seen = 0
        self.greatest = 0.0

    def end(self, part: int, mean: float, deviation: float, floor: float) -> float:
        """Take the mean with which a part has ended; give the news of it, as a share of what is usual.

        Args:
            part: which part of the day, from 0.
            mean: the signal's fast mean.
            deviation: the signal's usual deviation, above 0.
            floor: the narrowest range that news are measured by.
        """
        if not self.seen:
            self.exponent = _bounded(math.frexp(deviation / _STEPS)[1])
        code, news, target = self.codes[part], 0.0, mean
        if code != UNKNOWN:
            usual = self.anchor + math.ldexp(code, self.exponent)
            error = mean - usual
            distance = abs(error)
            if distance > self.greatest:
                if self.seen >= 2 * PARTS:
                    news = (distance - self.greatest) / max(2.0 * self.greatest, floor)
                self.greatest = distance
            limit = _CLIP * deviation
            target = usual + _GAIN * max(-limit, min(limit, error))
        self._keep(part, target)
        self.seen = min(self.seen + 1, _MOST_SEEN)
        return news

    def _keep(self, part: int, target: float) -> None:
        away = target - self.anchor
        steps = math.ldexp(away, -self.exponent) if abs(away) < _COUNTABLE else math.inf
        grown = max(0, math.frexp(steps / _MOST_CODE)[1])
        if not math.isfinite(steps) or self.exponent + grown > _MOST_EXPONENT:
            self.begin(target if math.isfinite(target) else 0.0)
            return
        if grown:
            self.exponent += grown
            self.codes = [c if c == UNKNOWN else round(math.ldexp(c, -grown)) for c in self.codes]
        self.codes[part] = round(math.ldexp(steps, -grown))

    def forget(self, share: float) -> None:
        """Let the greatest error shrink a little."""
        self.greatest *= 1.0 - share


def _bounded(exponent: int) -> int:
    return max(_LEAST_EXPONENT, min(_MOST_EXPONENT, exponent))
