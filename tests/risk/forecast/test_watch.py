from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from forecast_models import HORIZON, SlowNetwork, make_model
from ripstop.risk import RiskInputError
from ripstop.risk.forecast import Bet, Forecaster, Limit, Watch, fit


class Oracle(SlowNetwork):
    """Stands in for a network that knows the signal is a sine, until it is not."""

    def __init__(self) -> None:
        pass

    def correct(self, past: NDArray[np.float64]) -> NDArray[np.float64]:
        phase = np.arctan2(past[:, -1] * np.cos(0.5) - past[:, -2], past[:, -1] * np.sin(0.5))
        phase = np.where(past[:, -1:] == 0, 0.0, np.pi / 2 - phase[:, None])
        size = np.hypot(past[:, -1], (past[:, -1] * np.cos(0.5) - past[:, -2]) / np.sin(0.5))[:, None]
        ahead = np.arange(1, HORIZON + 1) * 0.5
        return size * np.sin(phase + ahead) - past[:, -1:] * 0.9 ** np.arange(1, HORIZON + 1)


def test_a_kept_promise_is_hardly_ever_called_broken() -> None:
    rng = np.random.default_rng(1)
    broken = 0
    for _ in range(300):
        bet = Bet(0.15, 0.0, patience=1000.0)
        broken += any(bet.update(float(rng.random() < 0.15)) for _ in range(100))
    # P(alarm within n outcomes) <= n / patience on average over starts: 10 % here, and far less in fact
    assert broken / 300 < 0.1


def test_a_broken_promise_is_found_however_long_it_was_kept() -> None:
    bet = Bet(0.15, 0.0)
    for _ in range(5000):
        assert not bet.update(0.0)
    assert bet.evidence <= 1.0
    outcomes = [bet.update(1.0) for _ in range(10)]
    assert outcomes.index(True) < 6
    assert bet.is_broken


def turning(count: int, samples: int, seed: int, size: float = 10.0) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 6, (count, 1))
    return 50.0 + size * np.sin(phase + 0.5 * np.arange(samples)) + rng.normal(0, 0.01, (count, samples))


def run(watch: Watch, rows: NDArray[np.float64], limit: Limit) -> None:
    for column in rows.T:
        watch.observe(column)
        watch.forecast(limit)


def test_a_network_that_fails_is_withdrawn_and_the_ar_answers() -> None:
    model = make_model(network=Oracle())
    watch, limit = Watch(model, ["a", "b", "c"]), Limit(20.0, "below")
    run(watch, turning(3, 300, 1), limit)
    assert not watch.withdrawn
    assert watch.forecast(limit).model == "lstm+ar"
    rng = np.random.default_rng(2)
    run(watch, 50.0 + rng.normal(0, 10.0, (3, 300)), limit)
    assert watch.withdrawn
    report = watch.forecast(limit)
    assert report.model == "ar"
    assert "the network is withdrawn, the AR answers" in report.notes[0]


def test_an_ar_says_that_its_metric_has_drifted_and_its_bands_adapt() -> None:
    rng = np.random.default_rng(5)
    model = fit([rng.normal(0, 1.0, 3000)], window=10, horizon=5)
    watch, limit = Watch(model, range(4), confidence=0.8), Limit(99.0)
    run(watch, rng.normal(0, 1.0, (4, 400)), limit)
    assert watch.drift == ""
    width = float(np.ptp([watch.forecast(limit).low[0, 0], watch.forecast(limit).high[0, 0]]))
    run(watch, rng.normal(0, 5.0, (4, 2000)), limit)
    report = watch.forecast(limit)
    assert "drift: the metric is no longer as it was" in report.notes[0]
    assert not watch.withdrawn
    assert report.high[0, 0] - report.low[0, 0] > 3 * width
    assert watch.coverage == pytest.approx(0.8, abs=0.15)
    assert f"{100 * watch.coverage:.1f} %" in report.notes[-1]


def test_before_there_are_enough_samples_nothing_is_claimed(model: Forecaster, limit: Limit) -> None:
    watch = Watch(model, ["a", "b"])
    for k in range(model.window - 1):
        watch.observe([50.0 + k, 50.0])
        assert not watch.forecast(limit).is_known.any()
    watch.observe([50.0, np.nan])
    assert watch.forecast(limit).is_known.all()
    for _ in range(model.window + 1):
        watch.observe([50.0, np.nan])
    assert watch.forecast(limit).is_known.tolist() == [True, False]


def test_wrong_shapes_are_refused(model: Forecaster) -> None:
    watch = Watch(model, ["a", "b"])
    for wrong in ([1.0], [[1.0, 2.0]], 1.0):
        with pytest.raises(RiskInputError) as caught:
            watch.observe(wrong)
        assert caught.value.code == "C0751"
    with pytest.raises(RiskInputError, match="0 names"):
        Watch(model, [])
