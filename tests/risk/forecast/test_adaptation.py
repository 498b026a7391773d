from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from ripstop.risk.forecast import Limit, Watch, fit, followed
from ripstop.risk.forecast.adaptation import BOUNDS, TRUST, Adaptation, AdaptivePaths, _crps, joined
from ripstop.risk.forecast.crossing import passage
from ripstop.risk.forecast.forecaster import Errors, errors_of

HORIZON = 6


def errors(seed: int = 1, series: int = 1) -> Errors:
    paths = np.random.default_rng(seed).normal(size=(series, 200, HORIZON)).cumsum(axis=2)
    return errors_of(paths, paths)


def follow(paths: AdaptivePaths, of: Errors, wrong: NDArray[np.float64]) -> None:
    relative = wrong / of.spread
    paths.update(relative, np.abs(relative).max(axis=-1))


def test_a_score_of_samples_is_the_brier_score_summed_over_all_limits() -> None:
    rng = np.random.default_rng(2)
    foretold, came = rng.normal(size=(3, 40)), rng.normal(size=3)
    limits = np.linspace(-9, 9, 36_001)
    for row, then, score in zip(foretold, came, _crps(foretold, came), strict=True):
        p = (row[:, None] > limits).mean(axis=0)
        summed = ((p - (then > limits)) ** 2).sum() * (limits[1] - limits[0])
        assert score == pytest.approx(summed, abs=2e-3)


def test_paths_are_as_calibration_left_them_before_anything_was_seen() -> None:
    paths = AdaptivePaths(errors(), 3)
    assert paths.sizes() == pytest.approx(np.ones((3, 200)))
    assert paths.trust("above").tolist() == [TRUST] * 3


@pytest.mark.parametrize("times", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("own", [False, True])
def test_sizes_follow_the_errors_and_are_trusted_where_those_have_changed(times: float, own: bool) -> None:
    rng = np.random.default_rng(3)
    of = errors(series=2 if own else 1)
    paths = AdaptivePaths(of, 2)
    sizes, trust = [], []
    for k in range(300):
        follow(paths, of, times * rng.normal(size=(2, HORIZON)).cumsum(axis=1))
        if k >= 100:
            sizes.append(paths.sizes().mean())
            trust.append(paths.trust("above").mean())
    assert np.mean(sizes) == pytest.approx(times, rel=0.25)
    assert (np.mean(trust) > 2 * TRUST) == (times != 1.0)


def test_what_is_larger_on_one_side_is_trusted_by_side_and_what_is_not_known_changes_nothing() -> None:
    rng = np.random.default_rng(4)
    of = errors()
    paths = AdaptivePaths(of, 2)
    for _ in range(100):
        wrong = 3.0 * np.abs(rng.normal(size=(2, HORIZON))).cumsum(axis=1)
        wrong[1] = np.nan
        follow(paths, of, wrong)
    assert paths.trust("above")[0] > 0.9
    assert paths.trust("below")[0] < 0.5
    assert paths.trust("above")[1] == TRUST
    assert paths.sizes()[1] == pytest.approx(1.0)


def test_no_path_is_stretched_or_shrunk_without_end_and_a_constant_has_none() -> None:
    of = errors()
    paths = AdaptivePaths(of, 1)
    for _ in range(400):
        follow(paths, of, np.zeros((1, HORIZON)))
    assert paths.sizes().min() >= math.exp(BOUNDS[0]) - 1e-9
    for _ in range(400):
        follow(paths, of, np.full((1, HORIZON), 1e140))
    assert paths.sizes().max() <= math.exp(BOUNDS[1]) * 2
    assert np.isfinite(paths.trust("below")).all()
    still = errors_of(np.zeros((1, 20, HORIZON)), np.zeros((1, 20, HORIZON)))
    flat = AdaptivePaths(still, 1)
    follow(flat, still, np.zeros((1, HORIZON)))
    assert np.isfinite(flat.sizes()).all()


def test_stretched_paths_cross_as_paths_multiplied_would() -> None:
    rng = np.random.default_rng(5)
    forecast, paths = rng.normal(size=(3, HORIZON)), rng.normal(size=(1, 50, HORIZON))
    sizes = rng.uniform(0.2, 4.0, (3, 50))
    for side in ("above", "below"):
        limit = Limit(1.0 if side == "above" else -1.0, side)
        by = passage(forecast, paths, limit, sizes)
        each = [passage(forecast[i : i + 1], sizes[i][:, None] * paths, limit)[0] for i in range(3)]
        assert by == pytest.approx(np.stack(each))


def test_probabilities_are_better_believed_once_errors_have_grown() -> None:
    rng = np.random.default_rng(8)
    noise = rng.normal(0.0, np.where(np.arange(12_000) < 9_500, 1.0, 4.0), (4, 12_000))
    rows = list(np.sin(np.arange(12_000) / 30) * 3.0 + noise * 0.3)
    model, limit = fit(rows, window=20, horizon=10), Limit(4.5)
    along = followed(model, rows, limit)
    assert along.crossings is not None
    assert along.calibrated is not None
    assert along.crossings.count == along.calibrated.count > 700
    assert along.crossings.brier < 0.97 * along.calibrated.brier
    now = along.adaptation.now("above")
    assert (now.trust > 0.5).all()
    past = model.standardised([row[-20:] for row in rows])
    ahead = model.predict(past)
    fixed, adapted = (
        model.answer(past, ahead, Limit(3.5), (0, 1, 2, 3), 0.9, by).probability for by in (None, now)
    )
    assert (adapted >= fixed).all()
    assert adapted.max() > fixed.max()


def test_a_watch_adapts_its_probabilities_as_an_evaluation_does() -> None:
    rng = np.random.default_rng(9)
    model, limit = fit([rng.normal(0, 1.0, 3000)], window=10, horizon=5), Limit(6.0)
    watch = Watch(model, ["a"])
    for size, low, high in ((1.0, 0.0, 0.01), (4.0, 0.2, 1.0)):
        for value in rng.normal(0, size, 600):
            watch.observe([value])
            told = watch.forecast(limit)
        if told.time_s[0] > 0.0:
            assert low <= told.probability[0] <= high


def test_what_several_series_go_by_can_be_joined() -> None:
    parts = [Adaptation(errors(), count).now("above") for count in (1, 2)]
    whole = joined(parts)
    assert whole.widths.shape == whole.trust.shape == (3,)
    assert whole.sizes.shape == (3, 200)
