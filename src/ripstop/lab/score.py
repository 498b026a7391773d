"""Figures over seeds: means with intervals, arms side by side, and the harm that governance did itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ripstop.lab.arms import Arm
from ripstop.lab.report.schema import ArmRun, ArmSummary, Calibration, CalibrationPair, Interval


def interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Give the mean of values from independent seeds with its Student-t interval.

    With one value there is no interval to be had: low and high are the value itself.

    Args:
        values: at least one.
        level: the interval's confidence.
    """
    from scipy.stats import t as student  # .5 s to import: only when somebody wants a figure

    n = len(values)
    mean = math.fsum(values) / n
    if n == 1:
        return Interval(mean, mean, mean)
    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1)
    half = float(student.ppf(0.5 + level / 2.0, n - 1)) * math.sqrt(variance / n)
    return Interval(mean, mean - half, mean + half)


def _bounded(values: Sequence[float], low: float, high: float) -> Interval:
    full = interval(values)
    return Interval(full.mean, max(full.low, low), min(full.high, high))


def summary(arm: Arm, runs: Sequence[ArmRun]) -> ArmSummary:
    """Sum up one arm over its seeds."""
    return ArmSummary(
        arm=arm.value,
        grounded_share=_bounded([run.grounded_share for run in runs], 0.0, 1.0),
        deliveries=_bounded([run.deliveries for run in runs], 0.0, math.inf),
        vetoes=_bounded([run.vetoes for run in runs], 0.0, math.inf),
        restricted_s=_bounded([run.restricted_s for run in runs], 0.0, math.inf),
        speed=_bounded([run.speed for run in runs], 0.0, math.inf),
        runs=tuple(runs),
    )


def calibration(pairs: Sequence[CalibrationPair]) -> Calibration | None:
    """Hold what both models foretold against what the ungoverned fleets did; None without pairs.

    References:
        Brier (1950), Verification of forecasts expressed in terms of probability.
    """
    if not pairs:
        return None

    def brier(foretold: Callable[[CalibrationPair], float]) -> float:
        return math.fsum((foretold(pair) - float(pair.collapsed)) ** 2 for pair in pairs) / len(pairs)

    return Calibration(tuple(pairs), brier(lambda pair: pair.percolation), brier(lambda pair: pair.load))


def harm(arms: Sequence[ArmSummary]) -> tuple[str, ...]:
    """Say what the governed arms did worse, seed by seed, than an arm that governs less.

    A governed run is held against the ungoverned one of its seed (more grounded, fewer deliveries) and
    against the one without a fault (deliveries that were not made).
    """
    by_arm = {arm.arm: {run.seed: run for run in arm.runs} for arm in arms}
    ungoverned, no_fault = by_arm.get("ungoverned", {}), by_arm.get("no fault", {})
    said: list[str] = []
    for name in ("local", "global", "both"):
        runs = by_arm.get(name, {})
        for seed, run in runs.items():
            rival = ungoverned.get(seed)
            if rival and run.grounded_share > rival.grounded_share:
                said.append(
                    f"seed {seed}: with {_layer(name)} {run.grounded_share:.1%} were grounded, "
                    f"ungoverned {rival.grounded_share:.1%}"
                )
            if rival and run.deliveries < rival.deliveries:
                said.append(
                    f"seed {seed}: with {_layer(name)} {run.deliveries:.0f} deliveries were made, "
                    f"ungoverned {rival.deliveries:.0f}"
                )
        lost = [no_fault[seed].deliveries - run.deliveries for seed, run in runs.items() if seed in no_fault]
        if lost and (mean := math.fsum(lost) / len(lost)) > 0.0:
            whole = math.fsum(no_fault[seed].deliveries for seed in runs if seed in no_fault) / len(lost)
            said.append(
                f"with {_layer(name)} {mean:.1f} of {whole:.0f} deliveries a shift "
                f"({100 * mean / whole:.1f} %) were not made that the fleet makes without the fault"
            )
    return tuple(said)


def _layer(arm: str) -> str:
    return "both layers" if arm == "both" else f"the {arm} layer alone"
