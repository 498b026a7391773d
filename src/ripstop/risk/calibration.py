"""Whether predicted probabilities can be believed: against what happened, or was simulated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ripstop.risk.errors import RiskInputError
from ripstop.risk.intervals import clopper_pearson
from ripstop.risk.settings import check_whole

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bin:
    """Predictions from `low` to `high`: how many, their mean, how often it happened (interval)."""

    low: float
    high: float
    count: int
    predicted: float
    observed: float
    observed_low: float
    observed_high: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """How well predictions met outcomes.

    Attributes:
        count: pairs compared.
        brier: mean squared error, 0 is perfect; `reference` is that of always predicting the base rate.
        skill: 1 - brier / reference; 0 if the outcomes never differ.
        auc: probability that a cascade was ranked above a non-cascade; None if outcomes never differ.
        base_rate: share of pairs in which it happened.
        bins: the reliability diagram; empty bins are left out.
    """

    count: int
    brier: float
    reference: float
    skill: float
    auc: float | None
    base_rate: float
    bins: tuple[Bin, ...]

    def to_json(self) -> dict[str, object]:
        """Give the figures as plain JSON values."""
        bins = [{name: getattr(b, name) for name in Bin.__slots__} for b in self.bins]
        return {name: getattr(self, name) for name in Calibration.__slots__ if name != "bins"} | {
            "bins": bins
        }


def calibrate(predicted: ArrayLike, happened: ArrayLike, bins: int = 10) -> Calibration:
    """Compare predicted probabilities with what happened.

    Args:
        predicted: probabilities in 0..1.
        happened: for each, whether it did.
        bins: equal widths over 0..1.

    Raises:
        RiskInputError: C0715, for nothing to compare, unequal lengths or a value out of range.

    References:
        Brier (1950), Verification of forecasts expressed in terms of probability, Mon. Weather Rev. 78.
    """
    p, y = _checked(predicted, happened)
    bins = check_whole("bins", bins, "C0715", least=1, below=1 << 16)
    base = float(y.mean())
    reference = base * (1.0 - base)
    score = brier(p, y)
    return Calibration(
        count=len(p),
        brier=score,
        reference=reference,
        skill=1.0 - score / reference if reference > 0 else 0.0,
        auc=auc(p, y),
        base_rate=base,
        bins=_reliability(p, y, bins),
    )


def brier(predicted: ArrayLike, happened: ArrayLike) -> float:
    """Give the mean squared difference of prediction and outcome."""
    p, y = _checked(predicted, happened)
    return float(((p - y) ** 2).mean())


def auc(predicted: ArrayLike, happened: ArrayLike) -> float | None:
    """Give the probability that a case that happened was ranked above one that did not; ties count half.

    References:
        Hanley, McNeil (1982), The meaning and use of the area under a ROC curve, Radiology 143.
    """
    p, y = _checked(predicted, happened)
    positives = int(y.sum())
    negatives = len(y) - positives
    if positives == 0 or negatives == 0:
        return None
    _, place, count = np.unique(p, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2.0)[place]  # ties share their mean rank
    return float((ranks[y == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def _reliability(p: Floats, y: Floats, bins: int) -> tuple[Bin, ...]:
    place = np.minimum((p * bins).astype(np.int64), bins - 1)
    found = []
    for b in range(bins):
        inside = place == b
        count = int(inside.sum())
        if count == 0:
            continue
        hits = int(y[inside].sum())
        low, high = clopper_pearson(hits, count)
        found.append(
            Bin(
                b / bins,
                (b + 1) / bins,
                count,
                float(p[inside].mean()),
                hits / count,
                float(low),
                float(high),
            )
        )
    return tuple(found)


def _checked(predicted: ArrayLike, happened: ArrayLike) -> tuple[Floats, Floats]:
    try:
        p, y = np.asarray(predicted, np.float64).ravel(), np.asarray(happened, np.float64).ravel()
    except (TypeError, ValueError, OverflowError):
        raise RiskInputError("predictions and outcomes are not all numbers", code="C0715") from None
    if len(p) == 0 or len(p) != len(y):
        raise RiskInputError(
            f"{len(p)} predictions and {len(y)} outcomes, expected as many of each, at least one",
            code="C0715",
        )
    if not ((p >= 0) & (p <= 1)).all() or not ((y == 0) | (y == 1)).all():
        raise RiskInputError("expected predictions in 0..1 and outcomes that are 0 or 1", code="C0715")
    return p, y
