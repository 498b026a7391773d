from __future__ import annotations

import json
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from ripstop.risk import RiskInputError
from ripstop.risk.forecast import Forecaster, Limit, ahead_of, fit, followed
from ripstop.risk.forecast.crossing import first_step, passage


@pytest.mark.parametrize("side", ["above", "below"])
@pytest.mark.parametrize("own", [False, True])
def test_first_passages_are_counted_as_one_would_by_hand(side: str, own: bool) -> None:
    rng = np.random.default_rng(1)
    forecast, paths = rng.normal(size=(9, 7)), rng.normal(size=(9 if own else 1, 50, 7))
    limit = Limit(0.8, side)
    by = passage(forecast, paths, limit)
    for i, line in enumerate(forecast):
        steps = []
        for path in paths[i if own else 0]:
            crossed = (line + path >= 0.8) if side == "above" else (line + path <= 0.8)
            steps.append(next((step for step in range(7) if crossed[step]), math.inf))
        for step in range(7):
            assert by[i, step] == pytest.approx(sum(s <= step for s in steps) / 50)


def test_the_first_step_is_counted_from_one() -> None:
    rows = np.array([[False, True, True], [True, False, False], [False, False, False]])
    assert first_step(rows).tolist() == [2.0, 1.0, math.inf]


def test_a_falling_battery_is_seen_to_cross_in_time() -> None:
    rng = np.random.default_rng(1)
    flights = [100.0 - 0.1 * np.arange(900) + rng.normal(0, 0.2, 900) for _ in range(6)]
    model = fit(flights, window=20, horizon=20, step_s=10.0)
    report = model.forecast(
        np.array(
            [flight[-20:] - flight[-1] + level for flight, level in zip(flights, range(18, 24), strict=True)]
        ),
        Limit(17.0, "below"),
    )
    assert report.probability[0] > 0.9
    assert report.probability[-1] < 0.1
    assert (np.diff(report.probability) <= 0.02).all()
    # at 0.1 a step, 10 s each, one unit takes 100 s
    assert 50.0 <= report.time_s[0] <= 120.0
    assert report.earliest_s[0] <= report.time_s[0] <= report.latest_s[0]
    assert report.ranking(2) == (0, 1)


def test_a_policy_s_margin_is_a_signal_like_any_other() -> None:
    rng = np.random.default_rng(4)
    speed = 10.0 + np.cumsum(rng.normal(0, 0.3, 3000)) * 0.0 + 3.0 * np.sin(np.arange(3000) / 15.0)
    margin = 14.0 - speed + rng.normal(0, 0.2, 3000)  # of "speed <= 14": below 0 it is violated
    model = fit([margin], window=40, horizon=30)
    at_peak, at_trough = (2400 + int(np.argmin(np.abs(phase - np.arange(0, 94)))) for phase in (0, 47))
    report = model.forecast(
        np.array([margin[at - 40 : at] for at in (at_peak, at_trough)]), Limit(0.9, "below")
    )
    assert report.is_known.all()
    assert abs(report.probability[0] - report.probability[1]) > 0.3


def test_what_has_crossed_already_crosses_at_once(model: Forecaster, windows: NDArray[np.float64]) -> None:
    report = model.forecast(windows - 100.0, Limit(20.0, "below"))
    assert (report.probability == 1.0).all()
    assert (report.time_s == 0.0).all()
    assert (report.earliest_s == 0.0).all()
    assert (report.latest_s == 0.0).all()


def test_a_window_that_cannot_be_read_claims_nothing_and_leaves_the_rest(
    model: Forecaster, windows: NDArray[np.float64], limit: Limit
) -> None:
    whole = model.forecast(windows, limit)
    broken = windows.copy()
    broken[0], broken[1, :3], broken[2, 5] = np.nan, np.nan, np.inf
    broken[3, 2:9] = np.nan
    report = model.forecast(broken, limit)
    assert report.is_known[:5].tolist() == [False, False, True, False, True]
    assert np.isnan([report.time_s[0], report.earliest_s[0], report.latest_s[0], report.low[0, 0]]).all()
    assert report.probability[4:].tolist() == whole.probability[4:].tolist()
    assert report.ranking()[-1] in (0, 1, 3)
    text = json.dumps(report.to_json(), allow_nan=False)
    assert json.loads(text)["series"][0]["probability"] is None


def test_nothing_asked_is_nothing_answered(model: Forecaster, limit: Limit) -> None:
    report = model.forecast(np.zeros((0, model.window)), limit)
    assert len(report) == 0
    assert report.forecast.shape == (0, model.horizon)
    assert report.to_json()["series"] == []


@pytest.mark.parametrize("shape", [(3, 5), (2, 2, 12), ()])
def test_windows_of_another_shape_are_refused(
    model: Forecaster, limit: Limit, shape: tuple[int, ...]
) -> None:
    with pytest.raises(RiskInputError) as caught:
        model.forecast(np.zeros(shape), limit)
    assert caught.value.code == "C0751"


def test_names_must_be_as_many_as_series(
    model: Forecaster, limit: Limit, windows: NDArray[np.float64]
) -> None:
    with pytest.raises(RiskInputError, match="2 names for 40 series"):
        model.forecast(windows, limit, names=["a", "b"])


@pytest.mark.parametrize(
    ("value", "side"), [(float("nan"), "above"), (float("inf"), "above"), (True, "above"), (1.0, "left")]
)
def test_limits_that_are_none_are_refused(value: float, side: str) -> None:
    with pytest.raises(RiskInputError) as caught:
        Limit(value, side)
    assert caught.value.code == "C0715"


def test_bands_of_earlier_forecasts_are_those_that_were_told_then() -> None:
    rng = np.random.default_rng(3)
    calm = np.sin(np.arange(900) / 9) + rng.normal(0, 0.1, 900)
    history = calm + np.where(np.arange(900) > 800, rng.normal(0, 1.0, 900), 0.0)  # wilder than calibration
    model, limit = fit(history, window=20, horizon=10), Limit(0.8)
    _, ahead = ahead_of(model, history, limit)
    wide = (ahead.high - ahead.low)[:, -1]
    past = model.standardised(history[-20:])
    told = followed(model, history, limit).adaptation.now("above")
    now = model.answer(past, model.predict(past), limit, (0,), 0.9, told)
    assert wide[-1] == pytest.approx((now.high - now.low)[0, -1])
    fixed = model.forecast(history, limit)
    assert wide[-1] > 1.5 * float((fixed.high - fixed.low)[0, -1])
    assert wide[0] < wide[-1]
    # A history that is too short to adapt along has those of calibration.
    _, short = ahead_of(model, history[:35], limit)
    first, second = short.high - short.low
    assert len(short) == 2
    assert first == pytest.approx(second)


def test_earlier_forecasts_see_no_more_than_they_say_and_a_short_history_is_not_known() -> None:
    history = np.sin(np.arange(900) / 9) + np.random.default_rng(1).normal(0, 0.1, 900)
    model, limit = fit(history, window=20, horizon=10), Limit(0.8)
    ends, ahead = ahead_of(model, history, limit, most=3)
    assert ends.tolist() == [880, 890, 900]
    for end, path in zip(ends.tolist(), ahead.forecast, strict=True):
        assert path == pytest.approx(model.forecast(history[:end], limit).forecast[0])
    assert not ahead_of(model, history[:5], limit)[1].is_known.any()
    along = followed(model, history, limit)
    assert along.crossings is not None
    assert along.crossings.count <= 900 * 0.175 / 10 + 1  # one window in a horizon
    assert followed(model, history, Limit(-9.0)).crossings is None
