"""A model at work: it takes in samples as they come, and stops trusting the network when it should.

Every forecast is held against what came a horizon later. That keeps the band's promise under drift (adaptive
conformal inference), and feeds two bets: that bands miss more often than promised by half as much again, and
that the network's errors exceed the AR's. Whichever bet wins, the network is withdrawn, and the AR answers.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from ripstop.risk.errors import RiskInputError
from ripstop.risk.forecast.adaptation import Adaptation
from ripstop.risk.forecast.conformal import radius, scores_of
from ripstop.risk.forecast.crossing import LIMIT, CrossingReport, Limit
from ripstop.risk.forecast.drift import Bet
from ripstop.risk.forecast.forecaster import MODEL, Forecaster
from ripstop.risk.forecast.series import Floats, checked_series
from ripstop.risk.inputs import as_numbers
from ripstop.risk.kinds import takes

TOLERANCE = 0.5
"""How much more often than promised, as a share of it, a band may miss before that counts as drift."""


@dataclass(frozen=True, eq=False)
class _Pending:
    """Forecasts that wait for what comes: of the AR, of what answered, and the half-widths given."""

    due: int
    plain: Floats
    given: Floats
    widths: Floats


class Watch:
    """Forecasts for many series of one metric, sample by sample.

    One forecast in each horizon is held against what came.

    Attributes:
        names: of the series.
        drift: what was found to have changed, last; empty if nothing.
        withdrawn: whether the network was taken out of service.

    Args:
        model: a trained model, or an AR.
        names: of the series.
        confidence: of bands and intervals.
        patience: horizons between false withdrawals, at least, on average.

    Raises:
        RiskInputError: C0751, for no name, or a model of another number of histories; C0715.
    """

    @takes(model=MODEL)
    def __init__(
        self,
        model: Forecaster,
        names: Sequence[Hashable],
        *,
        confidence: float = 0.9,
        patience: float = 1000.0,
    ) -> None:
        self.names = checked_series(names)
        if not self.names or len(model.mean) not in (1, len(self.names)):
            raise RiskInputError(
                f"{len(self.names)} names for a model of {len(model.mean)} histories", code="C0751"
            )
        self.drift = ""
        self.withdrawn = False
        self._model, self._confidence, self._patience = model, confidence, patience
        self._ring: Floats = np.full((len(self.names), model.window + model.horizon), np.nan)
        self._samples = 0
        self._pending: _Pending | None = None
        self._adaptation = Adaptation(model.errors, len(self.names), confidence=confidence)
        self._promise = radius(model.errors.scores, 1.0 - confidence)
        self._bet()

    def _bet(self) -> None:
        miss = (1.0 - self._confidence) * (1.0 + TOLERANCE)
        self._misses = Bet(min(miss, 0.99), 0.0, self._patience)
        self._losses = Bet(0.0, -1.0, self._patience)

    @property
    def coverage(self) -> float | None:
        """The share of paths so far that lay within their bands; None before the first."""
        return self._adaptation.radius.coverage

    def observe(self, values: ArrayLike) -> None:
        """Take in the newest sample of every series, NaN where there is none.

        Raises:
            RiskInputError: C0751, for another shape.
        """
        row = as_numbers(values)
        if row.shape != (len(self.names),):
            raise RiskInputError(
                f"samples have shape {row.shape}, expected one for each of {len(self.names)} series",
                code="C0751",
            )
        self._ring[:, :-1] = self._ring[:, 1:]
        self._ring[:, -1] = row
        self._samples += 1
        if self._pending is not None and self._pending.due == self._samples:
            self._settle(self._pending)
            self._pending = None

    @takes(limit=LIMIT)
    def forecast(self, limit: Limit) -> CrossingReport:
        """Answer as `Forecaster.forecast` does, adapted to what came, with notes on drift."""
        model = self._model
        past = model.standardised(self._ring)
        plain = model.ar.predict(past)
        given = model.predict(past) if model.is_promoted else plain
        adapted = self._adaptation.now(limit.side)
        if self._pending is None:
            self._pending = _Pending(self._samples + model.horizon, plain, given, adapted.widths)
        report = model.answer(past, given, limit, self.names, self._confidence, adapted)
        return replace(report, notes=report.notes + self._notes())

    def _settle(self, pending: _Pending) -> None:
        """Hold a forecast against what came: the band's promise, and the network's."""
        model = self._model
        came = (self._ring[:, -model.horizon :] - model.mean[:, None]) / model.scale[:, None]
        known = np.asarray(np.isfinite(came + pending.given).all(axis=1), np.bool_)
        if not known.any():
            return
        wrong = np.where(known[:, None], came - pending.given, np.nan)
        missed = (scores_of(wrong, model.errors.spread) > self._promise)[known]
        self._adaptation.update(wrong, pending.widths)
        if self._misses.update(float(missed.mean())):
            self._react("the metric is no longer as it was: bands miss more often than they promised")
        elif model.is_promoted:
            old, new = (((f - came) ** 2).mean(axis=1)[known] for f in (pending.plain, pending.given))
            worse = (new - old) / np.maximum(new + old, 1e-12)
            if self._losses.update(float(worse.mean())):
                self._react("the network's errors exceed those of the AR")

    def _react(self, why: str) -> None:
        """Say that there is drift; withdraw the network, if it was what answered."""
        self.drift = why
        self._bet()
        if not self._model.is_promoted:
            return
        self.withdrawn = True
        self._model = self._model.without_network()
        errors, old = self._model.errors, self._adaptation.radius
        self._adaptation = Adaptation(errors, len(self.names), confidence=self._confidence)
        self._adaptation.radius.paths, self._adaptation.radius.missed = old.paths, old.missed
        self._promise = radius(errors.scores, 1.0 - self._confidence)

    def _notes(self) -> tuple[str, ...]:
        notes = []
        if self.withdrawn:
            notes.append(f"the network is withdrawn, the AR answers: {self.drift}")
        elif self.drift:
            notes.append(f"drift: {self.drift}")
        if self.coverage is not None:
            notes.append(f"bands held {100 * self.coverage:.1f} % of the paths so far")
        return tuple(notes)
