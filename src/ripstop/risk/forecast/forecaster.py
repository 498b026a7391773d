"""What is served: an AR and, where it earned it, the network on its residual, for many series at once."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from ripstop.risk.errors import RiskInputError
from ripstop.risk.forecast.adaptation import Adapted
from ripstop.risk.forecast.autoregression import (
    ORDERS,
    Autoregression,
    gram_of,
    grams_of_each,
    select,
)
from ripstop.risk.forecast.conformal import radius, scores_of
from ripstop.risk.forecast.crossing import LIMIT, CrossingReport, Limit, first_step, passage
from ripstop.risk.forecast.record import Record
from ripstop.risk.forecast.series import (
    PARTS,
    Floats,
    Windows,
    bridged,
    check_step,
    checked_histories,
    checked_series,
    windows_of,
)
from ripstop.risk.inputs import as_numbers
from ripstop.risk.kinds import Kind, takes
from ripstop.risk.settings import check_share, check_whole

PATHS = 200
"""Error paths that a forecast keeps from calibration."""

SELECTED = 0.6
"""Where a history by itself is cut: fitted on before, order chosen and errors taken after."""

WINDOW, HORIZON = 60, 30


class Corrector(Protocol):
    """What adds to an AR's forecast: the network, as trained or as served."""

    def correct(self, past: Floats) -> Floats:
        """Give what to add, shape (windows, horizon), for standardised windows."""
        ...


@dataclass(frozen=True, eq=False)
class Errors:
    """How wrong forecasts were on samples that they had not seen, in standardised units.

    Attributes:
        paths: errors of whole forecasts, shape (series or 1, paths, horizon).
        spread: their usual size by step, shape (series or 1, horizon).
    """

    paths: Floats
    spread: Floats

    @property
    def scores(self) -> Floats:
        """Give each path's score, shape (series or 1, paths)."""
        return scores_of(self.paths, self.spread[:, None, :])


def errors_of(paths: Floats, spread_of: Floats) -> Errors:
    """Take error paths, and the usual sizes from others, so that scores are exchangeable with new ones."""
    spread = np.sqrt((spread_of**2).mean(axis=1))
    return Errors(paths, np.maximum(spread, 1e-9))


@dataclass(frozen=True, eq=False)
class Forecaster:
    """A model of one metric, or of many histories each by itself.

    Attributes:
        window, horizon: samples in, samples ahead.
        step_s: between samples.
        mean, scale: by which values are standardised, shape (series or 1,).
        ar, ar_errors: the model that is always there, and its errors.
        network, network_errors: what corrects it, if there is one.
        record: what validation found, for a trained model.
        is_promoted: whether the network is used.
    """

    window: int
    horizon: int
    step_s: float
    mean: Floats
    scale: Floats
    ar: Autoregression
    ar_errors: Errors
    network: Corrector | None = None
    network_errors: Errors | None = None
    record: Record | None = None

    @property
    def is_promoted(self) -> bool:
        """Whether the network answers: if there is one, and no record speaks against it."""
        return self.network is not None and (self.record is None or self.record.promoted)

    @property
    def errors(self) -> Errors:
        """The errors of whichever model answers."""
        if self.is_promoted and self.network_errors is not None:
            return self.network_errors
        return self.ar_errors

    def without_network(self) -> Forecaster:
        """Give the same with the AR alone."""
        return replace(self, network=None, network_errors=None)

    def standardised(self, windows: ArrayLike) -> Floats:
        """Take windows in the signal's unit; short gaps are bridged, other windows become NaN whole.

        Raises:
            RiskInputError: C0751, for another shape.
        """
        given = as_numbers(windows)
        if given.ndim == 1:
            given = given[None]
        if given.ndim != 2 or given.shape[1] < self.window or len(self.mean) not in (1, len(given)):
            rows = "any number of" if len(self.mean) == 1 else str(len(self.mean))
            raise RiskInputError(
                f"windows have shape {given.shape}, expected {rows} series of {self.window} samples or more",
                code="C0751",
            )
        filled = bridged(np.where(np.isfinite(given), given, np.nan))[:, -self.window :]
        filled = np.where(np.isfinite(filled).all(axis=1, keepdims=True), filled, np.nan)
        past: Floats = (filled - self.mean[:, None]) / self.scale[:, None]
        return past

    def predict(self, past: Floats) -> Floats:
        """Give forecasts of standardised windows, in the same units; NaN stays NaN."""
        forecast = self.ar.predict(past)
        if not self.is_promoted or self.network is None:
            return forecast
        known = np.isfinite(forecast).all(axis=1)
        if known.any():
            forecast[known] += self.network.correct(past[known])
        return forecast

    @takes(limit=LIMIT)
    def forecast(
        self,
        windows: ArrayLike,
        limit: Limit,
        *,
        names: Sequence[Hashable] | None = None,
        confidence: float = 0.9,
    ) -> CrossingReport:
        """Say for each series how likely it crosses the limit within the horizon, and when.

        Args:
            windows: the newest samples of each series, the last one now, in the signal's unit; shape (series,
                window or more). A missing sample is NaN.
            limit: what is to be crossed.
            names: of the series; their positions by default.
            confidence: of the band and of the time's interval.

        Raises:
            RiskInputError: C0751 for windows or names of another shape, C0715 for the confidence.
        """
        confidence = check_share("confidence", confidence, "C0715", ends=False)
        past = self.standardised(windows)
        named = tuple(range(len(past))) if names is None else checked_series(names)
        if len(named) != len(past):
            raise RiskInputError(f"{len(named)} names for {len(past)} series", code="C0751")
        return self.answer(past, self.predict(past), limit, named, confidence)

    def answer(
        self,
        past: Floats,
        ahead: Floats,
        limit: Limit,
        names: tuple[Hashable, ...],
        confidence: float,
        adapted: Adapted | None = None,
    ) -> CrossingReport:
        """Make the report of forecasts that are there already, standardised as `past` is.

        `adapted`: what errors have been since calibration; by default as they were then.
        """
        errors, scale = self.errors, self.scale[:, None]
        widths = radius(errors.scores, 1.0 - confidence) if adapted is None else adapted.widths
        forecast = ahead * scale + self.mean[:, None]
        reach = widths[:, None] * errors.spread * scale
        low, high = forecast - reach, forecast + reach
        paths = errors.paths * scale[..., None]
        by = passage(forecast, paths, limit)
        if adapted is not None:
            by += adapted.trust[:, None] * (passage(forecast, paths, limit, adapted.sizes) - by)
        crossed = limit.signed(past[:, -1:] * scale + self.mean[:, None])[:, 0] >= 0.0
        known = np.isfinite(forecast).all(axis=1)
        near, far = (high, low) if limit.side == "above" else (low, high)

        def told(steps: Floats) -> Floats:
            at = np.where(crossed, 0.0, steps * self.step_s)
            return np.where(known, at, np.nan)

        return CrossingReport(
            names=names,
            limit=limit,
            probability=np.where(known, np.where(crossed, 1.0, by[:, -1]), np.nan),
            time_s=told(first_step(by >= 0.5)),
            earliest_s=told(first_step(limit.signed(near) >= 0.0)),
            latest_s=told(first_step(limit.signed(far) >= 0.0)),
            forecast=forecast,
            low=low,
            high=high,
            confidence=confidence,
            step_s=self.step_s,
            model="lstm+ar" if self.is_promoted else "ar",
            notes=self._notes(int((~known).sum())),
        )

    def _notes(self, unknown: int) -> tuple[str, ...]:
        notes = []
        if unknown:
            notes.append(
                f"{unknown} series have a gap that is too long, or begin with one: nothing is claimed"
            )
        if self.record is not None and not self.record.promoted:
            notes.append(f"the network is not used: {self.record.reason}")
        return tuple(notes)


MODEL = Kind("a model of forecasts", Forecaster)


def standard(histories: Sequence[Floats]) -> tuple[float, float]:
    """Give mean and standard deviation of the part of each history that is fitted on.

    Raises:
        RiskInputError: C0751, for nothing known, or a metric that never changes.
    """
    seen = np.concatenate([history[: round(PARTS[0] * len(history))] for history in histories])
    seen = seen[np.isfinite(seen)]
    if len(seen) == 0:
        raise RiskInputError("no history has a value in the part that is fitted on", code="C0751")
    mean = float(seen.mean())
    deviation = float(np.sqrt(((seen - mean) ** 2).mean()))
    if not deviation > 1e-12 * max(abs(mean), 1e-300):
        raise RiskInputError(
            f"the metric is {mean:g} all along the {100 * PARTS[0]:g} % that are fitted on, "
            "expected one that changes: there is nothing to learn",
            code="C0751",
        )
    return mean, deviation


def fit(
    histories: Sequence[ArrayLike] | ArrayLike,
    *,
    window: int = WINDOW,
    horizon: int = HORIZON,
    step_s: float = 1.0,
) -> Forecaster:
    """Fit the AR of one metric over all of its histories.

    The first 55 % of each history are fitted on, the next 10 % choose order and penalty, 17.5 % give the
    errors; the last 17.5 % are left to judge by (`evaluate`).

    Raises:
        RiskInputError: C0751 for histories, C0715 for a window, horizon or step.
    """
    window, horizon, step_s = check_spans(window, horizon, step_s)
    rows = checked_histories(histories)
    mean, scale = standard(rows)
    standardised = [(row - mean) / scale for row in rows]
    ar, select_by = fit_pooled(standardised, window, horizon)
    calibrate = windows_of(standardised, 2, window, horizon).thinned(PATHS)
    paths, spread_of = ((w.future - ar.predict(w.past))[None] for w in (calibrate, select_by))
    errors = errors_of(paths, spread_of)
    return Forecaster(window, horizon, step_s, np.array([mean]), np.array([scale]), ar, errors)


def fit_pooled(standardised: Sequence[Floats], window: int, horizon: int) -> tuple[Autoregression, Windows]:
    """Fit one AR on the first parts of histories, choosing by the second; give its windows, too."""
    stretches = [
        stretch for row in standardised for stretch in _stretches(bridged(row)[: round(PARTS[0] * len(row))])
    ]
    select_by = windows_of(standardised, 1, window, horizon)
    grams = gram_of(stretches, min(window, max(ORDERS)))
    return select(grams, select_by.past[None], select_by.future[None]), select_by


def _stretches(row: Floats) -> list[Floats]:
    cuts = np.flatnonzero(~np.isfinite(row))
    return [part[np.isfinite(part)] for part in np.split(row, cuts)]


def fit_each(histories: ArrayLike, *, horizon: int = HORIZON, step_s: float = 1.0) -> Forecaster:
    """Fit an AR to each history by itself, all in one go: what serves where nothing was trained.

    A history with a gap that is too long gives a forecast that is not known; a constant one stays constant.

    Args:
        histories: shape (series, samples); missing samples are NaN.
        horizon: samples ahead.
        step_s: between samples.

    Raises:
        RiskInputError: C0751 for another shape or too few samples, C0715 for horizon or step.
    """
    rows = as_numbers(histories)
    _, horizon, step_s = check_spans(WINDOW, horizon, step_s)
    samples = rows.shape[-1] if rows.ndim == 2 else 0
    tail = samples - round(SELECTED * samples)
    order = min(max(ORDERS), samples // 8)
    least = 5 * horizon
    if rows.ndim != 2 or len(rows) == 0 or samples < least or order < 1:
        raise RiskInputError(
            f"histories have shape {rows.shape}, expected one or more series of {least} samples or more",
            code="C0751",
        )
    filled = bridged(np.where(np.isfinite(rows), rows, np.nan))
    known = np.asarray(np.isfinite(filled).all(axis=1), np.bool_)
    filled = np.where(known[:, None], filled, 0.0)
    first = filled[:, : samples - tail]
    mean, scale = first.mean(axis=1), np.maximum(first.std(axis=1), 1e-12)
    standardised = (filled - mean[:, None]) / scale[:, None]
    views = np.lib.stride_tricks.sliding_window_view(
        standardised[:, samples - tail - order :], order + horizon, axis=1
    )
    kept = np.linspace(0, views.shape[1] - 1, min(PATHS // 2, views.shape[1])).astype(np.int64)
    past, future = views[:, kept, :order], views[:, kept, order:]
    ar = select(grams_of_each(standardised[:, : samples - tail], order), past, future)
    paths = future - (np.matmul(past, ar.matrix[:, :-1]) + ar.matrix[:, -1:])
    mean = np.where(known, mean, np.nan)
    return Forecaster(order, horizon, step_s, mean, scale, ar, errors_of(paths, paths))


def check_spans(window: int, horizon: int, step_s: float) -> tuple[int, int, float]:
    """Give window, horizon and step if they are some.

    Raises:
        RiskInputError: C0715.
    """
    window = check_whole("window", window, "C0715", least=1, below=4097)
    horizon = check_whole("horizon", horizon, "C0715", least=1, below=4097)
    return window, horizon, check_step(step_s)
