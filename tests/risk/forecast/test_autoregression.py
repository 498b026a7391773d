from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ripstop.risk import RiskInputError
from ripstop.risk.forecast import Limit, evaluate, fit, fit_each
from ripstop.risk.forecast.autoregression import coefficients, gram_of, grams_of_each, rolled


def noisy_swing(samples: int, seed: int) -> NDArray[np.float64]:
    """An AR(2) with known coefficients, 1.6 and -0.8, around 10."""
    rng = np.random.default_rng(seed)
    values = [0.0, 0.0]
    for _ in range(samples):
        values.append(1.6 * values[-1] - 0.8 * values[-2] + rng.normal())
    return 10.0 + np.array(values[2:])


def test_the_coefficients_of_a_known_process_are_found() -> None:
    found = coefficients(gram_of([noisy_swing(20_000, 1)], 8), 2, 1e-9)[0]
    # the standard error of either is about sqrt((1 - 0.8**2) / 20,000) = 0.004
    assert found[:2] == pytest.approx([-0.8, 1.6], abs=0.02)
    assert found[2] == pytest.approx(10.0 * (1.0 - 1.6 + 0.8), abs=0.2)


@pytest.mark.parametrize("order", [0, 1, 3, 7])
def test_the_matrix_does_what_rolling_step_by_step_does(order: int) -> None:
    rng = np.random.default_rng(order)
    coefficient, window = rng.normal(0, 0.3, order + 1), rng.normal(size=9)
    seen = window.tolist()
    for _ in range(6):
        lags = np.array(seen[-order:]) if order else np.zeros(0)
        seen.append(float(lags @ coefficient[:order] + coefficient[order]) if order else seen[-1])
    matrix = rolled(coefficient[None], 9, 6)[0]
    assert window @ matrix[:-1] + matrix[-1] == pytest.approx(seen[9:])


def test_many_histories_at_once_are_each_by_itself() -> None:
    rows = np.array([noisy_swing(400, seed) for seed in range(5)])
    together = fit_each(rows, horizon=10)
    limit = Limit(12.0)
    newest = rows[:, -together.window :]
    answer = together.forecast(newest, limit)
    for place, row in enumerate(rows):
        alone = fit_each(row[None], horizon=10)
        assert alone.ar.order == together.ar.order[place : place + 1]
        one = alone.forecast(newest[place], limit)
        assert one.forecast[0] == pytest.approx(answer.forecast[place])
        assert one.probability[0] == answer.probability[place]
    assert np.allclose(grams_of_each(rows, 3)[2], gram_of([rows[2]], 3)[0])


def test_a_random_walk_is_not_forecast_better_than_by_its_last_value() -> None:
    walk = np.random.default_rng(5).normal(size=4000).cumsum()
    model = fit([walk], window=20, horizon=10)
    scores = evaluate(model, [walk], Limit(float(walk.max()) + 1))
    assert scores.ar.mae < 1.1 * scores.persistence.mae


def test_a_known_process_is_forecast_about_as_well_as_it_can_be() -> None:
    rows = [noisy_swing(4000, seed) for seed in (1, 2)]
    model = fit(rows, window=30, horizon=1)
    # one step ahead nothing can do better than the noise, whose variance is 1
    assert 0.9 < evaluate(model, rows, Limit(14.0)).ar.mse < 1.1


def test_a_history_with_a_long_gap_is_not_known_and_does_no_harm_to_others() -> None:
    rows = np.array([noisy_swing(300, seed) for seed in range(3)])
    holed = rows.copy()
    holed[1, 100:150] = np.nan
    model = fit_each(holed, horizon=10)
    report = model.forecast(rows[:, -model.window :], Limit(12.0))
    assert report.is_known.tolist() == [True, False, True]
    assert "nothing is claimed" in report.notes[0]


def test_a_constant_stays_constant_and_crosses_nothing() -> None:
    model = fit_each(np.full((2, 300), 7.0), horizon=10)
    report = model.forecast(np.full((2, model.window), 7.0), Limit(7.5))
    assert report.forecast == pytest.approx(np.full((2, 10), 7.0))
    assert report.probability.tolist() == [0.0, 0.0]
    assert model.forecast(np.full((2, model.window), 7.0), Limit(6.5)).probability.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("shape", [(0, 500), (3, 20), (500,), (1, 2, 500)])
def test_histories_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(RiskInputError) as caught:
        fit_each(np.zeros(shape), horizon=10)
    assert caught.value.code == "C0751"


def test_a_metric_that_never_changes_has_nothing_to_learn() -> None:
    with pytest.raises(RiskInputError, match="nothing to learn") as caught:
        fit([np.full(2000, 3.0)])
    assert caught.value.code == "C0751"
    with pytest.raises(RiskInputError, match="no history has a value"):
        fit([np.full(2000, np.nan)])


@pytest.mark.parametrize(
    "spans", [{"window": 0}, {"horizon": 0}, {"horizon": 2.5}, {"step_s": 0.0}, {"step_s": float("nan")}]
)
def test_spans_that_are_none_are_refused(spans: dict[str, float]) -> None:
    with pytest.raises(RiskInputError) as caught:
        fit([noisy_swing(2000, 1)], **spans)  # type: ignore[arg-type]  # wrong on purpose
    assert caught.value.code == "C0715"
