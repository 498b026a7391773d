from __future__ import annotations

import math

import numpy as np
import pytest

from ripstop.risk import RiskInputError
from ripstop.risk.forecast import Limit, evaluate, evenly, fit
from ripstop.risk.forecast.series import bridged, checked_histories, windows_of

NAN = float("nan")


def test_short_gaps_are_bridged_and_long_ones_and_those_at_the_start_stay() -> None:
    row = np.array([NAN, 1.0, NAN, NAN, 4.0, NAN, NAN, NAN, 0.0, NAN, NAN])
    filled = bridged(row, most=2)
    assert filled[1:5].tolist() == [1.0, 2.0, 3.0, 4.0]
    assert filled[-3:].tolist() == [0.0, 0.0, 0.0]
    assert np.isnan(filled[[0, 5, 6, 7]]).all()


def test_bridging_many_rows_is_bridging_each() -> None:
    rng = np.random.default_rng(0)
    rows = np.where(rng.random((20, 50)) < 0.5, NAN, rng.normal(size=(20, 50)))
    assert np.array_equal(bridged(rows, 3), np.array([bridged(row, 3) for row in rows]), equal_nan=True)


def test_windows_go_by_parts_in_the_order_of_time_and_around_gaps() -> None:
    row = np.arange(1000.0)
    row[300:320] = NAN
    parts = [windows_of([row], part, 10, 5) for part in range(4)]
    for part, (low, high) in zip(parts, ((0, 550), (550, 650), (650, 825), (825, 1000)), strict=True):
        assert low <= part.future.min() <= low + 10
        assert part.future.max() == high - 1
        assert np.isfinite(part.past).all()
        assert (np.diff(np.hstack([part.past, part.future]), axis=1) == 1.0).all()
    assert len(parts[0]) == 300 - 14 + 230 - 14
    assert len(parts[1]) == 100 - 4


def test_windows_of_one_block_come_from_one_stretch_of_one_history() -> None:
    found = windows_of([np.arange(1000.0), np.arange(5000.0, 6000.0)], 0, 10, 5)
    for block in np.unique(found.block):
        starts = found.past[found.block == block, 0]
        assert starts.max() - starts.min() < 15


def test_more_windows_than_teach_anything_are_thinned_evenly() -> None:
    found = windows_of([np.arange(1e5), np.arange(1e6, 1.03e6)], 0, 10, 5)
    assert 15_000 <= len(found) <= 20_001
    assert set(np.diff(found.past[:-1, 0]).astype(int)) >= {4}
    assert (found.past[:, 0] >= 1e6).mean() == pytest.approx(3 / 13, abs=0.01)


@pytest.mark.parametrize(
    "histories",
    [[], [[1.0, "a"]], [[1.0, np.inf]], [[[1.0], [2.0]]], [[True, False]]],
    ids=["none", "text", "infinite", "two dimensions", "truths"],
)
def test_what_is_no_history_is_refused(histories: list[object]) -> None:
    with pytest.raises(RiskInputError) as caught:
        checked_histories(histories)  # type: ignore[arg-type]  # wrong on purpose
    assert caught.value.code == "C0751"


def test_one_array_is_one_history_and_none_is_a_missing_sample() -> None:
    assert len(checked_histories(np.arange(5.0))) == 1
    assert len(checked_histories(np.zeros((3, 5)))) == 3
    assert np.isnan(checked_histories([[1.0, None, 3.0]])[0][1])  # type: ignore[list-item]


def test_too_few_samples_say_how_many_it_takes() -> None:
    with pytest.raises(RiskInputError, match="120 samples") as caught:
        windows_of([np.zeros(120)], 2, 60, 30)
    assert caught.value.code == "C0751"
    assert "500 samples" in caught.value.hint


def test_uneven_samples_come_on_an_even_grid_with_holes_where_nothing_is_known() -> None:
    t_s = np.array([0.0, 1.0, 2.0, 2.0, 4.0, 3.5, 5.0, 20.0, 21.0])
    values = np.array([0.0, 1.0, 9.0, 2.0, 4.0, 3.5, 5.0, 20.0, 21.0])
    grid, step_s = evenly(t_s, values)
    assert step_s == 1.0
    assert len(grid) == 22
    assert np.isnan(grid[6:20]).all()
    assert grid[:6].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert grid[20:].tolist() == [20.0, 21.0]


@pytest.mark.parametrize(("t_s", "step"), [([1.0, 1.0], None), ([0.0, 1e300], 1.0)])
def test_times_that_make_no_grid_are_refused(t_s: list[float], step: float | None) -> None:
    with pytest.raises(RiskInputError) as caught:
        evenly(np.array(t_s), np.array([1.0, 2.0]), step)
    assert caught.value.code == "C0751"


def test_values_whose_squares_are_no_numbers_and_limits_that_are_none_are_refused() -> None:
    history = np.sin(np.arange(900.0))
    with pytest.raises(RiskInputError, match="expected at most") as caught:
        fit(history * 1e300)
    assert caught.value.code == "C0751"
    for value in (None, "30", 10**400):
        with pytest.raises(RiskInputError, match="`limit`"):
            Limit(value)  # type: ignore[arg-type]
    with pytest.raises(RiskInputError, match="`confidence`"):
        evaluate(fit(history, window=20, horizon=8), history, Limit(0.5), confidence=math.nan)
    late = np.where(np.arange(900) < 800, 3.0, history)
    with pytest.raises(RiskInputError, match="all along the 55 % that are fitted on"):
        fit(late)
