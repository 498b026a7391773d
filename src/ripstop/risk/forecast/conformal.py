"""How wide a band must be: split conformal prediction, and adaptive conformal inference under drift.

A forecast's score is the largest error of its path, each step's measured by its usual size. A band as wide as
the scores' quantile then holds the whole path at once, and so bounds the time at which a limit is crossed.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ripstop.risk.errors import RiskInputError
from ripstop.risk.forecast.series import Floats
from ripstop.risk.inputs import as_numbers
from ripstop.risk.settings import check_share, check_whole

RECENT = 6.0
"""Promised misses among the scores that the adaptive radius goes by: enough for a quantile, and no older."""


def scores_of(errors: Floats, spread: Floats) -> Floats:
    """Give each path's score: the largest absolute error in units of its step's spread."""
    score: Floats = (np.abs(errors) / spread).max(axis=-1)
    return score


def radius(scores: Floats, miss: Floats | float) -> Floats:
    """Give the half-width, in spreads, that all but a share `miss` of new paths stay within.

    Args:
        scores: shape (series or 1, scores); NaN is none.
        miss: share that may be missed, for all or for each series; 0 and below need an infinite band.

    Returns:
        Shape (series or 1,).

    References:
        Lei et al. (2018), Distribution-free predictive inference for regression, JASA 113: the rank is
        ceil((n + 1)(1 - miss)).
    """
    ordered = np.sort(scores, axis=-1)
    count = np.isfinite(ordered).sum(axis=-1)
    rank = np.ceil((count + 1) * (1.0 - np.asarray(miss, np.float64)) - 1e-12).astype(np.int64)
    rows = np.broadcast_to(ordered, (len(rank), ordered.shape[1]))
    found = np.take_along_axis(rows, np.clip(rank - 1, 0, max(ordered.shape[1] - 1, 0))[:, None], axis=-1)
    return np.where(rank > count, np.inf, np.where(rank < 1, 0.0, found[:, 0]))


class AdaptiveRadius:
    """Adaptive conformal inference: the share of misses is held over time, whatever the signal does.

    Args:
        scores: what calibration gave, shape (series or 1, scores).
        count: series.
        confidence: the share of paths that should lie within.
        gain: step of the correction; larger follows drift sooner and wavers more.

    After T paths the share missed differs from 1 - confidence by at most (1 + gain) / (gain T), for each
    series, with no assumption at all.

    Raises:
        RiskInputError: C0715.

    References:
        Gibbs, Candès (2021), Adaptive conformal inference under distribution shift, NeurIPS, prop. 4.1.
    """

    def __init__(self, scores: Floats, count: int, *, confidence: float = 0.9, gain: float = 0.02) -> None:
        self._miss = 1.0 - check_share("confidence", confidence, "C0715", ends=False)
        self._gain = check_share("gain", gain, "C0715", ends=False)
        count = check_whole("count", count, "C0715", least=0, below=1 << 31)
        given = as_numbers(scores)
        if given.ndim != 2 or len(given) not in (1, count) or not given.shape[1]:
            raise RiskInputError(
                f"`scores` have shape {given.shape}, expected a row for all or for each of {count} series",
                code="C0715",
            )
        kept = given[:, -math.ceil(RECENT / self._miss) :]
        self._scores = np.broadcast_to(kept, (count, kept.shape[1])).copy()
        self._level: Floats = np.full(count, self._miss)
        self.paths: NDArray[np.int64] = np.zeros(count, np.int64)
        self.missed: NDArray[np.int64] = np.zeros(count, np.int64)

    def radius(self) -> Floats:
        """Give the half-width for the next path of each series, in spreads."""
        return radius(self._scores, self._level)

    def update(self, scores: Floats, used: Floats) -> NDArray[np.bool_]:
        """Take in what came: the scores, NaN where nothing is known, and the radii that had been given.

        Returns:
            For each series, whether the band missed.

        Raises:
            RiskInputError: C0715, for what is not one number a series.
        """
        scores, used = as_numbers(scores), as_numbers(used)
        if scores.shape != self._level.shape or used.shape != self._level.shape or np.isnan(used).any():
            raise RiskInputError(
                f"scores have shape {scores.shape} and radii {used.shape}, expected a number for each of "
                f"{len(self._level)} series",
                code="C0715",
            )
        known = np.isfinite(scores)
        missed = known & (scores > used)
        step = self._gain * (self._miss - missed)
        self._level = np.where(known, self._level + step, self._level)
        shifted = np.concatenate([self._scores[:, 1:], scores[:, None]], axis=1)
        self._scores = np.where(known[:, None], shifted, self._scores)
        self.paths += known
        self.missed += missed
        return missed

    @property
    def coverage(self) -> float | None:
        """The share of all paths so far that lay within their bands; None before the first."""
        total = int(self.paths.sum())
        return None if total == 0 else 1.0 - int(self.missed.sum()) / total
