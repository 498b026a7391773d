"""How long an agent waits before it connects again, so that a fleet does not come back in one wave.

Each wait is drawn from 0 up to a ceiling ("full jitter"). The ceiling doubles with each failure, and is never
under what the fleet's size asks for. Where N agents lose one server at once, and try again and again after
waits from 0 to W, their attempts never arrive faster than e N / W a second in the mean: the renewal density
of the uniform distribution is e^(t/W) / W on [0, W], and lower ever after. So W = e N / R keeps them under
the admission rate R, and everybody is back within W of the server's return.

References:
    Brooker (2015), Exponential Backoff And Jitter, AWS Architecture Blog ("full jitter").
    Feller (1971), An Introduction to Probability Theory and Its Applications II, XI.3 (renewal density).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import e, isfinite

from ..core.chance import SplitMix64
from ..core.messages import Admission

_LONGEST_S = 120.0
_DOUBLINGS = 16


def spread_s(admission: Admission) -> float:
    """Give the ceiling of waits that keeps a whole fleet under its admission rate, at most two minutes."""
    if admission.agents < 1 or not admission.per_s > 0.0 or not isfinite(admission.per_s):
        return 0.0
    return min(_LONGEST_S, e * admission.agents / admission.per_s)


@dataclass(slots=True)
class Backoff:
    """Draws the waits of one link; times in seconds."""

    retry_s: float
    retry_max_s: float
    chance: SplitMix64
    least_s: float = 0.0
    _failures: int = 0

    def admit(self, admission: Admission) -> None:
        """Take to heart how many agents there are, and how many a second may come back."""
        self.least_s = spread_s(admission)

    def opened(self) -> None:
        """Take note that the link was up."""
        self._failures = 0

    def failed(self) -> None:
        """Take note of an attempt in vain."""
        self._failures += 1

    @property
    def ceiling_s(self) -> float:
        """What the next wait is at most."""
        doubled_s = self.retry_s * 2.0 ** min(self._failures, _DOUBLINGS)
        return max(self.least_s, min(self.retry_max_s, doubled_s))

    def wait_s(self) -> float:
        """Draw the next wait."""
        return self.chance.uniform(0.0, self.ceiling_s)
