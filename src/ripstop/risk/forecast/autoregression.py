"""Autoregression by ridge regression: of one metric over many histories, or of each history by itself.

A fitted one is a matrix that takes a window to its whole forecast, since rolling an AR forward is linear.
Order 0 is persistence, so whatever is chosen is no worse than it on the samples that it was chosen by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ripstop.risk.forecast.series import Floats

ORDERS = (0, 1, 2, 4, 8, 16, 32, 60)
RIDGES = (1e-6, 1e-3, 1e-2)
"""Penalties, as a share of the mean power of the lagged signal."""

CHUNK = 256  # histories whose lagged copies are held at once


@dataclass(frozen=True, eq=False)
class Autoregression:
    """A fitted AR.

    Attributes:
        matrix: shape (histories or 1, window + 1, horizon); the last row is the intercept's share.
        order: by history, lags used.
        ridge: by history, the penalty.
    """

    matrix: Floats
    order: tuple[int, ...]
    ridge: tuple[float, ...]

    def predict(self, past: Floats) -> Floats:
        """Give forecasts, shape (windows, horizon), of windows in the unit that it was fitted in."""
        if len(self.matrix) == 1:
            forecast: Floats = past @ self.matrix[0, :-1] + self.matrix[0, -1]
            return forecast
        each: Floats = np.matmul(past[:, None, :], self.matrix[:, :-1])[:, 0] + self.matrix[:, -1]
        return each


def gram_of(stretches: Sequence[Floats], order: int) -> Floats:
    """Sum up lagged products of stretches of one metric, shape (1, order + 2, order + 2).

    Rows and columns are `order` lags (the oldest first), the value, and one.
    """
    total = np.zeros((1, order + 2, order + 2))
    for stretch in stretches:
        if len(stretch) > order:
            total += _gram(stretch[None], order)
    return total


def grams_of_each(histories: Floats, order: int) -> Floats:
    """Sum up lagged products of each history by itself, shape (histories, order + 2, order + 2)."""
    parts = [_gram(histories[i : i + CHUNK], order) for i in range(0, len(histories), CHUNK)]
    return np.concatenate(parts)


def _gram(histories: Floats, order: int) -> Floats:
    lagged = np.lib.stride_tricks.sliding_window_view(histories, order + 1, axis=1)
    rows = np.concatenate([lagged, np.ones((*lagged.shape[:2], 1))], axis=2)
    product: Floats = np.matmul(rows.transpose(0, 2, 1), rows)
    return product


def select(grams: Floats, past: Floats, future: Floats, orders: Sequence[int] = ORDERS) -> Autoregression:
    """Fit every order and penalty, and keep the one that forecasts a later part best.

    Args:
        grams: shape (histories or 1, lags + 2, lags + 2).
        past, future: windows to choose by, shape (histories or 1, windows, window or horizon).
        orders: to be tried; those beyond `lags` are left out.
    """
    lags, window, horizon = grams.shape[1] - 2, past.shape[2], future.shape[2]
    tried = [(0, 0.0), *((p, ridge) for p in orders if 0 < p <= min(lags, window) for ridge in RIDGES)]
    best: Floats = np.zeros((len(grams), window + 1, horizon))
    least = np.full(len(grams), np.inf)
    chosen = np.zeros(len(grams), np.int64)
    for place, (order, ridge) in enumerate(tried):
        matrix = rolled(coefficients(grams, order, ridge), window, horizon)
        error = np.matmul(past, matrix[:, :-1]) + matrix[:, -1:] - future
        with np.errstate(over="ignore", invalid="ignore"):
            squared = np.asarray((error**2).mean(axis=(1, 2)), np.float64)
        loss = np.where(np.isfinite(squared), squared, np.inf)
        better = loss < least
        best = np.where(better[:, None, None], matrix, best)
        least, chosen = np.where(better, loss, least), np.where(better, place, chosen)
    picked = [tried[place] for place in chosen.tolist()]
    return Autoregression(best, tuple(p for p, _ in picked), tuple(r for _, r in picked))


def coefficients(grams: Floats, order: int, ridge: float) -> Floats:
    """Solve for lag coefficients (the oldest first) and the intercept, shape (histories, order + 1).

    References:
        Hoerl, Kennard (1970), Ridge regression, Technometrics 12; the intercept is not penalised.
    """
    if order == 0:
        return np.zeros((len(grams), 1))
    lags = grams.shape[1] - 2
    used = [*range(lags - order, lags), lags + 1]
    left = grams[:, used][:, :, used].copy()
    right = grams[:, used, lags]
    diagonal = np.arange(order)
    power = left[:, diagonal, diagonal].mean(axis=1, keepdims=True)
    left[:, diagonal, diagonal] += ridge * power + np.finfo(np.float64).eps * left[:, -1, -1:] + 1e-12
    left[:, -1, -1] += 1e-9
    return np.asarray(np.linalg.solve(left, right[..., None])[..., 0], np.float64)


def rolled(coefficient: Floats, window: int, horizon: int) -> Floats:
    """Give the matrix from a window (and one) to the forecast that rolling forward gives."""
    count, order = len(coefficient), coefficient.shape[1] - 1
    basis = np.zeros((count, window + 1, window + horizon))
    diagonal = np.arange(window)
    basis[:, diagonal, diagonal] = 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        for step in range(window, window + horizon):
            if order == 0:  # persistence
                basis[:, :, step] = basis[:, :, step - 1]
                continue
            basis[:, :, step] = np.matmul(basis[:, :, step - order : step], coefficient[:, :order, None])[
                ..., 0
            ]
            basis[:, window, step] += coefficient[:, order]
    return basis[:, :, window:]
