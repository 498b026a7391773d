"""Intervals on counted probabilities: at a fixed number of trials, and valid at every look."""

from __future__ import annotations

from enum import Enum

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv, betaln, rel_entr, xlog1py, xlogy

from ripstop.risk.errors import RiskInputError
from ripstop.risk.inputs import as_numbers
from ripstop.risk.settings import check_share

Floats = NDArray[np.float64]
TABLE = 8  # entries of a table for each count, at most


class Standing(Enum):
    """On which side of a threshold a probability was found to lie."""

    ABOVE = "above"
    BELOW = "below"
    UNDECIDED = "undecided"


def clopper_pearson(hits: ArrayLike, trials: ArrayLike, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """Give the exact interval of a binomial proportion, for each of many counts at once.

    Conservative: it covers with at least `confidence`, whatever the proportion. No trials: 0 to 1.

    Raises:
        RiskInputError: C0715, for counts or a confidence that are none.

    References:
        Clopper, Pearson (1934), The use of confidence or fiducial limits, Biometrika 26.
    """
    k, n = _counts(hits, trials)
    tail = (1.0 - check_share("confidence", confidence, "C0715", ends=False)) / 2.0
    if n.ndim:
        return _limits(k, n, tail)
    # Many nodes share a count: invert each distinct one once.
    distinct, place = _distinct(k)
    low, high = _limits(distinct, n, tail)
    return low[place].reshape(k.shape), high[place].reshape(k.shape)


def _distinct(k: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """Give the distinct counts, and where each one stands among them: by a table if they fit into one."""
    if k.max(initial=0.0) >= TABLE * k.size or (k != np.floor(k)).any():
        distinct, place = np.unique(k, return_inverse=True)
        return distinct, place.ravel()
    whole = k.astype(np.intp).ravel()
    seen = np.bincount(whole) > 0
    return np.flatnonzero(seen).astype(np.float64), (np.cumsum(seen) - 1)[whole]


def _counts(hits: ArrayLike, trials: ArrayLike) -> tuple[Floats, Floats]:
    """Give hits and trials as numbers, if each can be so many of those."""
    k, n = as_numbers(hits), as_numbers(trials)
    try:
        np.broadcast_shapes(k.shape, n.shape)
    except ValueError:
        raise RiskInputError(
            f"hits have shape {k.shape} and trials {n.shape}, expected as many of each", code="C0715"
        ) from None
    if not ((k >= 0.0) & (k <= n) & np.isfinite(n)).all():
        raise RiskInputError("expected finite counts, 0 or more, and no more hits than trials", code="C0715")
    return k, n


def _limits(hits: Floats, trials: Floats, tail: float) -> tuple[Floats, Floats]:
    misses = trials - hits
    low = np.where(hits > 0, betaincinv(np.maximum(hits, 1), misses + 1, tail), 0.0)
    high = np.where(misses > 0, betaincinv(hits + 1, np.maximum(misses, 1), 1.0 - tail), 1.0)
    return low, high


def bounded_mean(mean: ArrayLike, trials: ArrayLike, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """Give an interval of the expectation of what lies in 0..1, from means of independent trials alone.

    It covers with at least `confidence` whatever the distribution; it is 1.2 to 1.4 times as wide as Clopper
    and Pearson's for a coin with that mean. Found by bisection to 2**-40. No trials: 0 to 1.

    References:
        Hoeffding (1963), Probability inequalities for sums of bounded random variables, JASA 58, theorem 1.
    """
    n = np.asarray(trials, dtype=np.float64)
    m = np.clip(np.asarray(mean, dtype=np.float64), 0.0, 1.0)
    limit = np.log(2.0) - np.log1p(-confidence)
    ends = []
    for edge in (0.0, 1.0):
        inside, outside = m.copy(), np.full_like(m, edge)
        for _ in range(40):
            middle = (inside + outside) / 2.0
            kept = n * (rel_entr(m, middle) + rel_entr(1.0 - m, 1.0 - middle)) <= limit
            inside, outside = np.where(kept, middle, inside), np.where(kept, outside, middle)
        ends.append(outside)
    return ends[0], ends[1]


def share_confidence(confidence: float, statements: int) -> float:
    """Give the confidence that each of `statements` needs so that all hold at once (Bonferroni)."""
    return 1.0 - (1.0 - confidence) / max(statements, 1)


def log_evidence(hits: ArrayLike, trials: ArrayLike, threshold: float) -> Floats:
    """Give the log of the mixture likelihood ratio against `probability == threshold`.

    Under that probability it is a martingale with mean one, so it exceeds log(1 / alpha) at any time with
    probability at most alpha (Ville's inequality): one may look after every trial. The mixture is uniform.

    References:
        Robbins (1970), Statistical methods related to the law of the iterated logarithm, Ann. Math. Stat. 41.
        Howard, Ramdas, McAuliffe, Sekhon (2021), Time-uniform confidence sequences, Ann. Stat. 49.
    """
    k = np.asarray(hits, dtype=np.float64)
    n = np.asarray(trials, dtype=np.float64)
    return np.asarray(betaln(k + 1.0, n - k + 1.0) - xlogy(k, threshold) - xlog1py(n - k, -threshold))


def decide(
    hits: ArrayLike, trials: ArrayLike, threshold: float, confidence: float = 0.95
) -> NDArray[np.int8]:
    """Tell where each probability lies against `threshold`: 1 above, -1 below, 0 not decided yet.

    Anytime-valid: looked at after every trial, it is ever wrong with probability at most 1 - confidence.

    Raises:
        RiskInputError: C0715, for counts, a threshold or a confidence that are none.
    """
    k, n = _counts(hits, trials)
    threshold = check_share("threshold", threshold, "C0715")
    confidence = check_share("confidence", confidence, "C0715", ends=False)
    settled = log_evidence(k, n, threshold) > -np.log1p(-confidence)
    return np.where(settled, np.where(k > threshold * n, 1, -1), 0).astype(np.int8)


def standings(sides: NDArray[np.int8]) -> tuple[Standing, ...]:
    """Give the words for what `decide` found."""
    words = np.array([Standing.UNDECIDED, Standing.ABOVE, Standing.BELOW], dtype=object)
    return tuple(words[sides].tolist())


def confidence_sequence(
    hits: ArrayLike, trials: ArrayLike, confidence: float = 0.95
) -> tuple[Floats, Floats]:
    """Give an interval that holds at all sample sizes at once: the thresholds not yet rejected.

    `hits` may be the sum of anything in 0..1: by convexity the mixture is a supermartingale for it, too.

    Found by bisection to 2**-40; wider than Clopper and Pearson's, which holds at one size fixed beforehand.

    Raises:
        RiskInputError: C0715, for counts or a confidence that are none.
    """
    k, n = _counts(hits, trials)
    limit = -np.log1p(-check_share("confidence", confidence, "C0715", ends=False))
    mean = np.divide(k, n, out=np.full(np.broadcast(k, n).shape, 0.5), where=n > 0)
    ends = []
    for edge in (0.0, 1.0):
        inside, outside = mean.copy(), np.full_like(mean, edge)
        for _ in range(40):
            middle = (inside + outside) / 2.0
            kept = np.asarray(
                betaln(k + 1.0, n - k + 1.0) - xlogy(k, middle) - xlog1py(n - k, -middle) <= limit
            )
            inside, outside = np.where(kept, middle, inside), np.where(kept, outside, middle)
        ends.append(outside)
    return ends[0], ends[1]
