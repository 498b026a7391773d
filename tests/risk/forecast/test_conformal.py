from __future__ import annotations

import math

import numpy as np
import pytest

from ripstop.risk import RiskInputError
from ripstop.risk.forecast import AdaptiveRadius, Limit, evaluate, fit, followed
from ripstop.risk.forecast.conformal import radius, scores_of
from ripstop.risk.forecast.series import windows_of


def test_a_radius_is_the_right_order_statistic() -> None:
    scores = np.arange(1.0, 20.0)[None]  # 19 scores: 90 % is the 18th, 95 % the 19th, 99 % lies beyond all
    assert radius(scores, 0.1)[0] == 18.0
    assert radius(scores, 0.05)[0] == 19.0
    assert radius(scores, 0.01)[0] == math.inf
    assert radius(scores, 0.0)[0] == math.inf
    assert radius(scores, 1.2)[0] == 0.0
    assert radius(np.array([[2.0, np.nan, 1.0]]), 0.5)[0] == 2.0


def test_split_conformal_bands_cover_as_promised_on_average() -> None:
    rng = np.random.default_rng(1)
    covered = []
    for _ in range(2000):
        scores = scores_of(rng.standard_t(3, (100, 4)), np.ones(4))
        covered.append(scores[-1] <= radius(scores[None, :-1], 0.1)[0])
    # exactly 90 % of exchangeable scores; 2,000 repeats have a standard error of 0.7 %
    assert 0.875 < np.mean(covered) < 0.925


def test_bands_of_a_fitted_model_hold_whole_paths_on_samples_it_has_not_seen() -> None:
    rng = np.random.default_rng(2)
    rows = [np.convolve(rng.normal(size=6000), np.ones(9), "valid") for _ in range(2)]
    model = fit(rows, window=20, horizon=10)
    judge = windows_of(rows, 3, 20, 10)
    report = model.forecast(judge.past, Limit(1e9), confidence=0.9)
    inside = ((report.low <= judge.future) & (judge.future <= report.high)).all(axis=1)
    assert 0.84 < inside.mean() < 0.96


@pytest.mark.parametrize("shift", ["steady", "growing", "jumping", "hostile"])
def test_adaptive_bands_miss_as_often_as_promised_whatever_comes(shift: str) -> None:
    rng = np.random.default_rng(3)
    gain, horizons = 0.05, 600
    adaptive = AdaptiveRadius(np.abs(rng.normal(size=(1, 100))), 3, confidence=0.8, gain=gain)
    for k in range(horizons):
        used = adaptive.radius()
        size = {"steady": 1.0, "growing": 1.0 + k / 50, "jumping": 1.0 if k < 300 else 9.0}.get(shift, 1.0)
        scores = np.abs(rng.normal(size=3)) * size
        if shift == "hostile":  # always just outside, as long as the band is finite
            scores = np.where(np.isfinite(used), used + 1.0, 1.0)
        adaptive.update(scores, used)
    missed = adaptive.missed / adaptive.paths
    # Gibbs and Candès (2021), proposition 4.1
    assert (np.abs(missed - 0.2) <= (1.0 + gain) / (gain * horizons)).all()
    assert adaptive.coverage == pytest.approx(1.0 - missed.mean())


def test_what_is_not_known_changes_nothing() -> None:
    adaptive = AdaptiveRadius(np.arange(1.0, 100.0)[None], 2)
    assert adaptive.coverage is None
    before = adaptive.radius()
    adaptive.update(np.array([np.nan, 1e9]), before)
    after = adaptive.radius()
    assert after[0] == before[0]
    assert after[1] > before[1]
    assert adaptive.paths.tolist() == [0, 1]


@pytest.mark.parametrize("settings", [{"confidence": 1.0}, {"gain": 0.0}, {"confidence": float("nan")}])
def test_a_confidence_or_gain_that_is_none_is_refused(settings: dict[str, float]) -> None:
    with pytest.raises(RiskInputError) as caught:
        AdaptiveRadius(np.ones((1, 9)), 1, **settings)
    assert caught.value.code == "C0715"


def test_bands_that_follow_a_history_hold_their_promise_where_fixed_ones_do_not() -> None:
    rng = np.random.default_rng(8)
    size = np.where(np.arange(12_000) < 9_500, 1.0, 3.0)  # it grows rough once the errors were taken
    rows = [np.cumsum(rng.normal(0.0, size)) * 0.1 + np.sin(np.arange(12_000) / 30) for _ in range(4)]
    model = fit(rows, window=20, horizon=10)
    assert evaluate(model, rows, Limit(10.0)).ar.coverage < 0.7
    along = followed(model, rows, Limit(10.0))
    assert along.adaptation.radius.paths.tolist() == [210] * 4
    assert along.coverage == pytest.approx(0.9, abs=0.05)


def test_a_history_too_short_or_full_of_holes_leaves_its_band_as_it_was() -> None:
    rng = np.random.default_rng(9)
    whole = rng.normal(size=4000)
    model = fit([whole], window=20, horizon=10)
    holes = np.where(np.arange(4000) % 40 < 20, np.nan, whole)
    radius = followed(model, [whole[:15], holes, whole], Limit(1.0)).adaptation.radius
    assert radius.paths.tolist()[0] == 0 < radius.paths.tolist()[2]
    assert radius.radius()[0] == AdaptiveRadius(model.errors.scores, 1).radius()[0]
