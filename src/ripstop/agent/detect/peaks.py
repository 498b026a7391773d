"""The level's alarm threshold: it rises to the signal's own recent peaks, so that heavy tails alarm seldom.

A reading that comes near the threshold without an alarm is a peak, and so, afterwards, is an alarm that stood
alone between quiet readings: that was a tail of the noise, unless it lay far beyond what the threshold can
rise to: that was a glitch. The threshold is the held peak and a quarter, at least what was asked for and at
most twice that; the peak decays by 2 in 10,000 readings.
"""

from __future__ import annotations

FIRST_TESTED = 3  # readings learned before the first test: the 4th is the first that can alarm
_DECAY = 0.9998
_MARGIN, _CAP = 1.25, 2.0
_MOST_SIGMA = 1000.0
_FULL = 255


class PeakHold:
    """Holds the peaks of one signal; `n` counts the readings that were learned.

    Args:
        threshold: deviations from which a reading alarms where no peak is held.
    """

    __slots__ = ("_at", "_held", "_run", "_spike", "_spike_at", "near", "threshold")

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self.near = threshold / _MARGIN  # below this no peak raises the threshold
        self._held = self._spike = 0.0
        self._at = self._spike_at = self._run = 0

    def judge(self, sigma: float, n: int) -> tuple[float, bool]:
        """Judge a reading of more than `near` deviations; give these, bounded, and whether it alarms."""
        sigma = min(sigma, _MOST_SIGMA)
        if self._run and n - self._spike_at > 1:
            if self._run == 1 and self._spike <= self.threshold * _CAP * _MARGIN:
                self._raise(self._spike, self._spike_at)
            self._run = 0
        limit = max(self.threshold, min(self._peak(n) * _MARGIN, self.threshold * _CAP))
        if n < FIRST_TESTED or sigma <= limit:
            self._raise(sigma, n)
            return sigma, False
        self._run += 1
        self._spike, self._spike_at = sigma, n
        return sigma, True

    def _peak(self, n: int) -> float:
        return self._held * float(_DECAY ** (n - self._at))

    def _raise(self, sigma: float, n: int) -> None:
        sigma = min(sigma, self.threshold * _CAP)
        if sigma > self._peak(n):
            self._held, self._at = sigma, n

    def state(self, n: int) -> int:
        """Give the held peak as a byte: in 255ths of twice the threshold."""
        return round(_FULL * min(1.0, self._peak(n) / (self.threshold * _CAP)))

    def restore(self, state: int, n: int) -> None:
        """Take such a byte over."""
        self._held, self._at, self._run = state / _FULL * self.threshold * _CAP, n, 0
