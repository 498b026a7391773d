"""Whether a promise still holds, by betting against it: an alarm that may be asked at any time."""

from __future__ import annotations

import math

import numpy as np

from ripstop.risk.errors import RiskInputError
from ripstop.risk.inputs import as_number

STAKES = (0.1, 0.25, 0.5, 0.9)
"""Shares of what may be staked; the wealth is that of equal parts on each."""


class Bet:
    """A gambler who bets that a mean lies above what was promised, and starts again rather than be ruined.

    As long as each outcome's mean, given the past, is at most `promised`, the expected number of outcomes to
    a false alarm is at least `patience`.

    Args:
        promised: the mean that was promised, at most.
        least: no outcome lies below it.
        patience: outcomes between false alarms, at least, on average.

    Raises:
        RiskInputError: C0715.

    References:
        Waudby-Smith, Ramdas (2024), Estimating means of bounded random variables by betting, JRSS B 86.
        Shin, Ramdas, Rinaldo (2023), E-detectors: a nonparametric framework for sequential change detection.
    """

    def __init__(self, promised: float, least: float, patience: float = 1000.0) -> None:
        numbers = (as_number(promised), as_number(least), as_number(patience))
        if not (-math.inf < numbers[1] < numbers[0] < math.inf and numbers[2] >= 1.0):
            raise RiskInputError(
                f"a bet against {promised}, from {least} on, patience {patience}: expected `least` below "
                "`promised`, both finite, and a patience of 1 or more",
                code="C0715",
            )
        self._least = least
        self._promised = promised
        self._stake = np.array(STAKES) / (promised - least)
        self._wealth = np.ones(len(STAKES))
        self._patience = patience

    def update(self, outcome: float) -> bool:
        """Take in an outcome, and tell whether the promise is broken.

        Raises:
            RiskInputError: C0715, for one below the least, or none.
        """
        if not self._least <= as_number(outcome) < math.inf:
            raise RiskInputError(
                f"the outcome is {outcome}, expected a number from {self._least:g} on", code="C0715"
            )
        # INVARIANT: each part is at least one before the bet, which is what makes it a CUSUM of e-values.
        self._wealth = np.maximum(self._wealth, 1.0) * (1.0 + self._stake * (outcome - self._promised))
        return self.is_broken

    @property
    def evidence(self) -> float:
        """The wealth: how many times what one started with; small numbers speak for the promise."""
        return float(self._wealth.mean())

    @property
    def is_broken(self) -> bool:
        """Whether the evidence has reached `patience`."""
        return self.evidence >= self._patience
