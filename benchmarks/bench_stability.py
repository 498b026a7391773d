"""Swings identified from telemetry, held to ANDES: its simulation is measured, its eigenvalues are the truth.

    make oracles
    OPENBLAS_NUM_THREADS=1 python benchmarks/bench_stability.py [--seconds 120] [--seeds 3] [--grids kundur]

What is simulated and what meters tell of it: `swinging.py`. `model` is what the swing model says by itself,
`ripstop` what `margin` reports. A damping that is told to be unknown counts as neither right nor wrong. Ten
machines take ANDES as long as the record lasts, and minutes to identify.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field, replace

import numpy as np
from bars import judged, summary
from numpy.typing import NDArray
from swinging import Grid

from ripstop.risk import Identified, Mode, RiskInputError, identify, margin

GRIDS = (
    Grid("kundur/kundur.raw", "classical", 0.1),
    Grid("kundur/kundur.raw", "classical", 0.05),
    Grid("kundur/kundur.raw", "classical", 0.02),
    Grid("wscc9/wscc9.raw", "classical", 0.05),
    Grid("ieee14/ieee14.raw", "classical", 0.05),
    Grid("ieee39/ieee39.raw", "classical", 0.05),
    Grid("kundur/kundur.raw", "two-axis"),
    Grid("wscc9/wscc9.raw", "two-axis"),
    Grid("kundur/kundur_full.xlsx"),
    Grid("ieee14/ieee14_full.xlsx"),
    Grid("ieee39/ieee39_full.xlsx"),
)


@dataclass(slots=True)
class Tally:
    """How the reports of one kind of grid came out."""

    frequency: list[float] = field(default_factory=list)
    damping: list[float] = field(default_factory=list)
    held: int = 0
    too_high: int = 0
    unknown: int = 0

    def told(self) -> str:
        """Say it in a line."""
        count = len(self.damping)
        off = f"{100 * np.median(self.damping):.0f} % in the median, {100 * max(self.damping):.0f} % at most"
        return (
            f"{count} told, {self.unknown} not known or refused"
            + (f"; the least damping off by {off}" if count else "")
            + f"; its interval held it {self.held} times and lay above it {self.too_high} times"
        )


def worst(found: list[Mode], truth: list[Mode]) -> tuple[float, float]:
    """Give the largest relative errors of frequency and of damping ratio."""
    pairs = list(zip(sorted(found, key=lambda mode: mode.frequency_hz), truth, strict=True))
    return (
        max(abs(one.frequency_hz / other.frequency_hz - 1.0) for one, other in pairs),
        max(abs(one.damping / other.damping - 1.0) for one, other in pairs),
    )


def shown(modes: list[Mode]) -> str:
    return "  ".join(
        f"{m.frequency_hz:.3f}/{m.damping:.4f}" for m in sorted(modes, key=lambda m: m.frequency_hz)
    )


def by_model(found: Identified, direction: NDArray[np.float64]) -> list[Mode]:
    return list(margin(replace(found, swings=None, correlation=0.0), direction, draws=20).modes())


def judge(grid: Grid, truth: list[Mode], seconds: float, seed: int, tally: Tally) -> None:
    """Identify one record, print what is reported, and count it."""
    telemetry = grid.measured(seconds, seed)
    direction = np.full(len(truth) + 1, 1.0 / (len(truth) + 1))
    try:
        found = identify(telemetry)
        report = margin(found, direction, draws=20)
    except RiskInputError as error:
        print(f"  refused  {error}", flush=True)
        tally.unknown += 1
        return
    print(f"  model    {shown(by_model(found, direction))}")
    if np.isnan(report.damping):
        print(f"  ripstop  not known: {report.notes[0]}", flush=True)
        tally.unknown += 1
        return
    modes, least = list(report.modes()), min(mode.damping for mode in truth)
    interval = f"{report.damping:.4f} ({report.damping_low:.4f} .. {report.damping_high:.4f})"
    rests_on = "the model" if found.swings is None else f"{found.swings.driven:.2f} by injections"
    print(f"  ripstop  {shown(modes)}  {interval}; {rests_on}", flush=True)
    tally.held += report.damping_low <= least <= report.damping_high
    tally.too_high += report.damping_low > least
    tally.damping.append(abs(report.damping / least - 1.0))
    if len(modes) == len(truth):
        frequency, ratio = worst(modes, truth)
        tally.frequency.append(frequency)
        print(f"           off by {frequency:.1%} and {ratio:.0%}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--grids", default="kundur", help="part of a grid's name; '' for all (default kundur)"
    )
    args = parser.parse_args()
    print("swings: Hz / damping ratio, the slowest first; then the least damping's interval at 95 %")
    tallies = {grid.kind: Tally() for grid in GRIDS}
    for grid in GRIDS:
        if args.grids not in grid.name:
            continue
        truth = grid.swings()
        print(f"{grid.name}\n  andes    {shown(truth)}", flush=True)
        for seed in range(1, args.seeds + 1):
            judge(grid, truth, args.seconds, seed, tallies[grid.kind])
    for kind, tally in tallies.items():
        if not tally.damping and not tally.unknown:
            continue
        print(f"{kind}: {tally.told()}")
        if tally.frequency:
            largest = max(tally.frequency)
            print(f"{kind}: frequencies off by {largest:.1%} at most: {judged(kind, largest, most=0.03)}")
    summary()


if __name__ == "__main__":
    main()
