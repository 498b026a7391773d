"""What forecasts go by once errors have been seen: bands, and paths that cross a limit, follow them.

Calibration keeps whole paths of errors. Bands follow what comes by their radius (`AdaptiveRadius`),
P(crosses) by the paths' sizes: two quantiles of the scores are tracked online, and each path is stretched as
the ones beside its own score have moved. Where errors are as they were, that adds chance alone. So the paths
as they were and as they follow both give a probability, and are weighed against each other by how well each
had foretold the farthest excursion of what came.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from ripstop.risk.forecast.conformal import AdaptiveRadius, scores_of
from ripstop.risk.forecast.crossing import SIDES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ripstop.risk.forecast.forecaster import Errors
    from ripstop.risk.forecast.series import Floats

LEVELS = (0.5, 0.9)
"""Quantiles of the scores that are tracked: the bulk of errors, and the rare large ones apart."""

GAIN = 0.1
"""Step of the tracked quantiles' logarithms, a horizon."""

BOUNDS = (-2.0, 4.0)  # of those logarithms: no path is ever shrunk or stretched without end
TRUST = 0.1
"""Weight of the paths that follow before anything was seen."""

RETURN = 0.02
"""Share of the weight that returns to where it began, a horizon, so that either side may win again."""

UNDECIDED = 50.0  # losses in one horizon at most, in ranges: beyond it exponentials are no numbers
SMALLEST = 1e-9


@dataclass(frozen=True, eq=False)
class Adapted:
    """What a forecast goes by now; every array has a row a series.

    Attributes:
        widths: half-width of the band, in spreads, shape (series,).
        sizes: by how much each path of calibration is stretched, shape (series, paths).
        trust: weight of the stretched paths against those as they were, shape (series,).
    """

    widths: Floats
    sizes: Floats
    trust: Floats


def joined(parts: Sequence[Adapted]) -> Adapted:
    """Put series of several below each other."""
    return Adapted(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Adapted)))


class AdaptivePaths:
    """Sizes of error paths that follow the errors, and how far they are to be trusted, for each series.

    Args:
        errors: of calibration.
        count: series.

    References:
        Gibbs, Candès (2021), Adaptive conformal inference under distribution shift, NeurIPS (the update).
        Herbster, Warmuth (1998), Tracking the best expert, Machine Learning 32 (weights that return).
        V'yugin, Trunov (2019), Online learning with continuous ranked probability score, COPA: the loss,
        which is the Brier score of passing a limit, summed over all limits.
    """

    def __init__(self, errors: Errors, count: int) -> None:
        relative = errors.paths / errors.spread[:, None, :]
        score = errors.scores
        self._peaks = np.stack([relative.max(axis=-1), (-relative).max(axis=-1)])
        self._scale = np.maximum(np.ptp(np.quantile(self._peaks, (0.05, 0.95), axis=-1), axis=0), SMALLEST)
        self._quantile = np.maximum(np.quantile(score, LEVELS, axis=-1).T, SMALLEST)
        low, high = self._quantile.T[..., None]
        share = np.clip((score - low) / np.maximum(high - low, SMALLEST), 0.0, 1.0)
        self._share = np.stack([1.0 - share, share], axis=-1)
        self._moved: Floats = np.zeros((count, len(LEVELS)))
        self._trust: Floats = np.full((len(SIDES), count), TRUST)

    def sizes(self) -> Floats:
        """Give by how much each path is stretched, shape (series, paths)."""
        moved = np.maximum.accumulate(np.exp(self._moved) * self._quantile, axis=1) / self._quantile
        sizes: Floats = np.matmul(self._share, moved[..., None])[..., 0]
        return sizes

    def trust(self, side: str) -> Floats:
        """Give the weight of the stretched paths for limits of a side, shape (series,)."""
        weight: Floats = self._trust[SIDES.index(side)].copy()
        return weight

    def update(self, wrong: Floats, scores: Floats) -> None:
        """Take in errors, in spreads, shape (series, horizon), and their scores; NaN is not known."""
        known = np.isfinite(scores)
        came = np.where(known[:, None], wrong, 0.0)
        peaks = np.stack([came.max(axis=-1), (-came).max(axis=-1)])
        plain = _crps(self._peaks, peaks)
        lost = (_crps(self._peaks * self.sizes(), peaks) - plain) / self._scale
        odds = self._trust / (1.0 - self._trust) * np.exp(-np.clip(lost, -UNDECIDED, UNDECIDED))
        weight = RETURN * TRUST + (1.0 - RETURN) * odds / (1.0 + odds)
        self._trust = np.where(known, weight, self._trust)
        above = scores[:, None] > np.exp(self._moved) * self._quantile
        step = GAIN * (above - (1.0 - np.array(LEVELS)))
        self._moved = np.where(known[:, None], np.clip(self._moved + step, *BOUNDS), self._moved)


def _crps(foretold: Floats, came: Floats) -> Floats:
    """Give the continuous ranked probability score of samples (last axis) for what came.

    References:
        Gneiting, Raftery (2007), Strictly proper scoring rules, JASA 102, section 4.2.
    """
    count = foretold.shape[-1]
    rank = 2.0 * np.arange(1, count + 1) - count - 1.0
    apart = (np.sort(foretold, axis=-1) * rank).sum(axis=-1) / count**2
    missed: Floats = np.abs(foretold - came[..., None]).mean(axis=-1) - apart
    return missed


class Adaptation:
    """Bands and paths of many series that follow their errors, a forecast a horizon.

    Args:
        errors: of calibration.
        count: series.
        confidence: the share of paths that bands should hold.

    Raises:
        RiskInputError: C0715.
    """

    def __init__(self, errors: Errors, count: int, *, confidence: float = 0.9) -> None:
        self.radius = AdaptiveRadius(errors.scores, count, confidence=confidence)
        self._paths = AdaptivePaths(errors, count)
        self._spread = errors.spread

    def now(self, side: str) -> Adapted:
        """Give what the next forecast of crossings to a side goes by."""
        return Adapted(self.radius.radius(), self._paths.sizes(), self._paths.trust(side))

    def update(self, wrong: Floats, widths: Floats) -> None:
        """Take in forecasts' errors, shape (series, horizon), NaN for what is not known, and their bands."""
        scores = scores_of(wrong, self._spread)
        self._paths.update(wrong / self._spread, scores)
        self.radius.update(scores, widths)
