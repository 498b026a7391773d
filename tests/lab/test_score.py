"""Figures over seeds and the harm that they show."""

import pytest

from ripstop.lab.arms import Arm
from ripstop.lab.report.schema import ArmRun, CalibrationPair
from ripstop.lab.score import calibration, harm, interval, summary


def run(seed: int, share: float, deliveries: float) -> ArmRun:
    return ArmRun(seed, share, deliveries, 0.0, 0.0, 100.0, collapse=share > 0.2)


def test_an_interval_is_students_t():
    # n = 3, mean 2, s = 1, t(0.975, 2) = 4.30265, half = 4.30265 / sqrt(3)
    found = interval([1.0, 2.0, 3.0])
    assert found.mean == 2.0
    assert found.high - found.mean == pytest.approx(2.48414, abs=1e-4)


def test_one_seed_has_no_interval():
    found = interval([0.4])
    assert (found.low, found.high) == (0.4, 0.4)


def test_a_share_stays_within_zero_and_one():
    found = summary(Arm.UNGOVERNED, [run(1, 0.0, 1), run(2, 1.0, 1)]).grounded_share
    assert (found.low, found.high) == (0.0, 1.0)


def test_a_governed_run_that_grounds_more_than_the_ungoverned_is_reported_as_harm():
    arms = [summary(Arm.UNGOVERNED, [run(7, 0.1, 500)]), summary(Arm.GLOBAL, [run(7, 0.3, 400)])]
    said = harm(arms)
    assert any("30.0% were grounded" in line for line in said)
    assert any("400 deliveries" in line for line in said)


def test_a_governed_run_that_does_better_is_no_harm():
    arms = [summary(Arm.UNGOVERNED, [run(7, 0.8, 300)]), summary(Arm.BOTH, [run(7, 0.01, 700)])]
    assert harm(arms) == ()


def test_deliveries_lost_against_the_shift_without_a_fault_are_told():
    arms = [summary(Arm.NO_FAULT, [run(7, 0.0, 760)]), summary(Arm.BOTH, [run(7, 0.01, 750)])]
    assert harm(arms) == (
        "with both layers 10.0 of 760 deliveries a shift (1.3 %) were not made that the fleet makes "
        "without the fault",
    )


def test_a_perfect_forecast_has_a_brier_score_of_zero():
    pairs = [CalibrationPair(1, 1.0, 0.5, 0.9, True), CalibrationPair(2, 0.0, 0.5, 0.0, False)]
    found = calibration(pairs)
    assert found is not None
    assert (found.brier_percolation, found.brier_load) == (0.0, 0.25)
