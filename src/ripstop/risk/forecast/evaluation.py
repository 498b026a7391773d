"""How good forecasts are on windows that they had no part in, and whether one earns another's place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ripstop.risk.calibration import Calibration, auc, brier, calibrate
from ripstop.risk.errors import RiskInputError
from ripstop.risk.forecast.adaptation import Adaptation, Adapted, joined
from ripstop.risk.forecast.autoregression import Autoregression
from ripstop.risk.forecast.crossing import LIMIT, CrossingReport, Limit, first_step
from ripstop.risk.forecast.forecaster import MODEL, PATHS, Forecaster, errors_of
from ripstop.risk.forecast.record import Score
from ripstop.risk.forecast.series import PARTS, Floats, Windows, checked_histories, windows_of
from ripstop.risk.kinds import takes
from ripstop.risk.settings import check_share, check_whole

RESAMPLES = 2000
PURPOSE = 0x666F7265  # "fore": keys the bootstrap's draws apart from other uses of the seed

BEYOND = 0.1  # share of the samples, for a limit where none is given
AUC_LOSS = 0.005
"""Area under the curve that a network may lose, since its interval is about as wide."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Every model's score on the same windows; `network` is None without one."""

    persistence: Score
    ar: Score
    network: Score | None

    def to_json(self) -> dict[str, object]:
        """Give the scores as plain JSON."""
        network = None if self.network is None else self.network.to_json()
        return {"persistence": self.persistence.to_json(), "ar": self.ar.to_json(), "network": network}


@takes(model=MODEL, limit=LIMIT)
def evaluate(
    model: Forecaster,
    histories: Sequence[ArrayLike] | ArrayLike,
    limit: Limit,
    *,
    confidence: float = 0.9,
) -> Evaluation:
    """Judge a model of one metric by the last 17.5 % of each history, beside persistence.

    Raises:
        RiskInputError: C0751 for histories, or a model of many histories each by itself; C0715 for the
            confidence.
    """
    confidence = check_share("confidence", confidence, "C0715", ends=False)
    judge, errors_from = (_windows(model, histories, part) for part in (3, 2))
    network = None
    if model.network is not None:
        network = score(model, judge, limit, confidence) if model.is_promoted else None
    plain = model.without_network()
    return Evaluation(
        score(_persistent(plain, errors_from.thinned(PATHS)), judge, limit, confidence),
        score(plain, judge, limit, confidence),
        network,
    )


@dataclass(frozen=True, eq=False)
class Followed:
    """A model along the last 17.5 % of histories: a forecast a horizon, each by what was known by then.

    Attributes:
        adaptation: what is known at the end, by which the next forecast goes.
        crossings: probabilities of crossing held against what happened; None where every window had crossed.
        calibrated: the same windows, by the errors of calibration alone.
    """

    adaptation: Adaptation
    crossings: Calibration | None
    calibrated: Calibration | None

    @property
    def coverage(self) -> float | None:
        """The share of paths that lay within their bands; None without one."""
        return self.adaptation.radius.coverage

    @property
    def paths(self) -> int:
        """How many forecasts were held against what came."""
        return int(self.adaptation.radius.paths.sum())

    def to_json(self) -> dict[str, object]:
        """Give the figures as plain JSON."""
        both = {"crossings": self.crossings, "calibrated": self.calibrated}
        named = {name: None if found is None else found.to_json() for name, found in both.items()}
        return {"coverage": self.coverage, "paths": self.paths, **named}


@takes(model=MODEL, limit=LIMIT)
def followed(
    model: Forecaster,
    histories: Sequence[ArrayLike] | ArrayLike,
    limit: Limit,
    *,
    confidence: float = 0.9,
) -> Followed:
    """Let bands and probabilities adapt along the last 17.5 % of each history, and tell how they held.

    Raises:
        RiskInputError: C0751 for histories, C0715 for the confidence.
    """
    return _along(model, checked_histories(histories), limit, confidence)[0]


def _along(
    model: Forecaster, rows: Sequence[Floats], limit: Limit, confidence: float
) -> tuple[Followed, list[Adapted]]:
    """Adapt along the end of each history; give what every forecast went by, too, the next one's last."""
    window, horizon = model.window, model.horizon
    counts = [max(min(round(PARTS[3] * len(row)), len(row) - window) // horizon, 0) for row in rows]
    past, came = (np.full((max(counts), len(rows), size), np.nan) for size in (window, horizon))
    for at, (row, count) in enumerate(zip(rows, counts, strict=True)):
        for step in range(1, count + 1):
            end = len(row) - step * horizon
            past[-step, at], came[-step, at] = row[end - window : end], row[end : end + horizon]
    adaptation = Adaptation(model.errors, len(rows), confidence=confidence)
    given, told, named = [adaptation.now(limit.side)], [], tuple(range(len(rows)))
    for seen, then in zip(past, came, strict=True):
        standardised = model.standardised(seen)
        ahead = model.predict(standardised)
        wrong = (then - model.mean[:, None]) / model.scale[:, None] - ahead
        reports = [
            model.answer(standardised, ahead, limit, named, confidence, by) for by in (given[-1], None)
        ]
        asked = np.isfinite(wrong).all(axis=1) & (reports[0].time_s > 0.0)
        happened = (limit.signed(then) >= 0.0).any(axis=1)
        told.append(np.stack([reports[0].probability, reports[1].probability, happened])[:, asked])
        adaptation.update(wrong, given[-1].widths)
        given.append(adaptation.now(limit.side))
    pairs = np.concatenate([np.zeros((3, 0)), *told], axis=1)
    both = (calibrate(p, pairs[2]) if pairs.size else None for p in pairs[:2])
    return Followed(adaptation, *both), given


@takes(model=MODEL, limit=LIMIT)
def ahead_of(
    model: Forecaster, history: ArrayLike, limit: Limit, most: int = 6, confidence: float = 0.9
) -> tuple[NDArray[np.int64], CrossingReport]:
    """Forecast the end of a history from earlier samples, one horizon after the other, and from its last one.

    Returns:
        How many samples each forecast had seen, at most `most` of them, and the forecasts, with bands and
        probabilities as `followed` had made them by then.

    Raises:
        RiskInputError: C0751 for the history, C0715 for `most` or the confidence.
    """
    most = check_whole("most", most, "C0715", least=1, below=1 << 16)
    (row,) = checked_histories([history])
    count = min(most, max(len(row) - model.window, 0) // model.horizon + 1)
    seen = len(row) - model.horizon * np.arange(count)[::-1]
    padded = np.concatenate([np.full(model.window, np.nan), row])
    windows = [padded[end : end + model.window] for end in seen.tolist()]
    given = _along(model, (row,), limit, confidence)[1]
    adapted = joined([given[0]] * max(count - len(given), 0) + given[-count:])
    past = model.standardised(windows)
    named = tuple(range(count))
    return seen, model.answer(past, model.predict(past), limit, named, confidence, adapted)


def usual_limit(histories: Sequence[ArrayLike] | ArrayLike, side: str = "above") -> Limit:
    """Give a limit to judge by where none is known: what a tenth of the part that is fitted on lies beyond.

    Raises:
        RiskInputError: C0751 for histories, C0715 for the side.
    """
    rows = checked_histories(histories)
    seen = np.concatenate([row[: round(PARTS[0] * len(row))] for row in rows])
    seen = seen[np.isfinite(seen)]
    share = BEYOND if side == "below" else 1.0 - BEYOND
    if not len(seen):
        raise RiskInputError("no history has a value in the part that is fitted on", code="C0751")
    return Limit(float(np.quantile(seen, share)), side)


def _windows(model: Forecaster, histories: Sequence[ArrayLike] | ArrayLike, part: int) -> Windows:
    if len(model.mean) != 1:
        raise RiskInputError("the model is of many histories, expected one of a metric", code="C0751")
    rows = [(row - model.mean[0]) / model.scale[0] for row in checked_histories(histories)]
    return windows_of(rows, part, model.window, model.horizon)


def _crossings(model: Forecaster, judge: Windows, limit: Limit) -> tuple[NDArray[np.bool_], Floats]:
    """Tell which windows had not crossed, and in how many seconds each then did."""
    mean, scale = float(model.mean[0]), float(model.scale[0])
    future, last = judge.future * scale + mean, judge.past[:, -1] * scale + mean
    return limit.signed(last) < 0.0, first_step(limit.signed(future) >= 0.0) * model.step_s


def _persistent(model: Forecaster, errors_from: Windows) -> Forecaster:
    matrix = np.zeros((1, model.window + 1, model.horizon))
    matrix[0, -2] = 1.0
    ar = Autoregression(matrix, (0,), (0.0,))
    paths = (errors_from.future - ar.predict(errors_from.past))[None]
    return Forecaster(
        model.window, model.horizon, model.step_s, model.mean, model.scale, ar, errors_of(paths, paths)
    )


def score(model: Forecaster, judge: Windows, limit: Limit, confidence: float) -> Score:
    """Score a model on standardised windows."""
    ahead = model.predict(judge.past)
    report = model.answer(judge.past, ahead, limit, tuple(range(len(judge))), confidence)
    future = judge.future * float(model.scale[0]) + float(model.mean[0])
    error = report.forecast - future
    asked, steps = _crossings(model, judge, limit)
    happened = np.isfinite(steps)
    inside = ((future >= report.low) & (future <= report.high)).all(axis=1)
    in_time = (report.earliest_s <= steps) & (steps <= report.latest_s)
    any_asked = bool(asked.any())
    return Score(
        mse=float((error**2).mean()),
        mae=float(np.abs(error).mean()),
        auc=auc(report.probability[asked], happened[asked]) if any_asked else None,
        brier=brier(report.probability[asked], happened[asked]) if any_asked else None,
        coverage=float(inside.mean()),
        time_coverage=float(in_time[asked].mean()) if any_asked else None,
        confidence=confidence,
        windows=len(judge),
        asked=int(asked.sum()),
        crossings=int(happened[asked].sum()),
    )


def gain_of(ar: Floats, network: Floats, block: NDArray[np.int64], seed: int) -> tuple[float, float, float]:
    """Give the share of the AR's absolute error that the network takes away, and its interval at 95 %.

    Windows overlap, so whole blocks of them are drawn again.

    Args:
        ar, network: the mean absolute error of each window.
        block: for each window, its block.
        seed: of the draws.

    References:
        Künsch (1989), The jackknife and the bootstrap for general stationary observations, Ann. Stat. 17.
    """
    _, place = np.unique(block, return_inverse=True)
    old, new = np.bincount(place, ar), np.bincount(place, network)
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, PURPOSE])))
    drawn = rng.integers(0, len(old), (RESAMPLES, len(old)))
    gains = 1.0 - new[drawn].sum(axis=1) / np.maximum(old[drawn].sum(axis=1), 1e-300)
    low, high = np.quantile(gains, [0.025, 0.975]).tolist()
    return 1.0 - float(new.sum() / max(old.sum(), 1e-300)), low, high


def verdict(gain: tuple[float, float, float], ar: Score, network: Score) -> tuple[bool, str]:
    """Decide whether the network is used, and say why or why not."""
    _, low, _ = gain
    shown = [f"{round(100 * share, 1) + 0.0:.1f}" for share in gain]  # no -0.0
    said = f"on held-out data it takes away {shown[0]} % of the absolute error ({shown[1]} .. {shown[2]} %)"
    if not low > 0.0:
        return False, f"{said}, which may be nothing"
    if ar.auc is not None and network.auc is not None:
        said += f", and ranks crossings at {network.auc:.3f} (AR {ar.auc:.3f})"
        if network.auc < ar.auc - AUC_LOSS:
            return False, said
    return True, said
