from __future__ import annotations

import numpy as np
import pytest

from ripstop.risk import RiskInputError, auc, brier, calibrate


def test_the_brier_score_is_the_mean_squared_error() -> None:
    assert brier([0.0, 0.5, 1.0], [0, 1, 1]) == pytest.approx(0.25 / 3)


def test_the_area_under_the_curve_counts_ordered_pairs_and_half_the_ties() -> None:
    p, y = [0.1, 0.4, 0.4, 0.8, 0.2], [0, 1, 0, 1, 0]
    pairs = [
        (a > b) + 0.5 * (a == b)
        for a, u in zip(p, y, strict=True)
        if u
        for b, v in zip(p, y, strict=True)
        if not v
    ]
    assert auc(p, y) == pytest.approx(np.mean(pairs))
    assert auc(p, [1] * 5) is None


def test_a_calibrated_forecaster_lies_on_the_diagonal() -> None:
    rng = np.random.default_rng(2)
    p = rng.uniform(size=20_000)
    report = calibrate(p, rng.uniform(size=20_000) < p)
    assert len(report.bins) == 10
    assert sum(b.count for b in report.bins) == report.count == 20_000
    assert sum(b.observed_low <= b.predicted <= b.observed_high for b in report.bins) >= 8
    # E[p (1 - p)] = 1/6 against the base rate's 1/4
    assert report.brier == pytest.approx(1 / 6, abs=0.01)
    assert report.skill == pytest.approx(1 / 3, abs=0.03)


def test_certain_and_right_is_perfect() -> None:
    report = calibrate([1.0, 0.0, 1.0], [True, False, True])
    assert (report.brier, report.auc, report.skill) == (0.0, 1.0, 1.0)
    assert report.to_json()["count"] == 3


@pytest.mark.parametrize(
    ("p", "y"), [([], []), ([0.1], [0, 1]), ([1.1], [1]), ([np.nan], [1]), ([0.5], [2]), (["a"], [1])]
)
def test_what_cannot_be_compared_is_refused(p: list[object], y: list[object]) -> None:
    with pytest.raises(RiskInputError):
        calibrate(p, y)
