"""Swings identified from telemetry, held to ANDES: its simulation is measured, its eigenvalues are the truth.

    make oracles
    OPENBLAS_NUM_THREADS=1 python benchmarks/bench_stability.py [--seconds 60 120] [--seeds 3] [--grids '']

What is simulated and what meters tell of it: `swinging.py`. `model` is what the swing model says by itself,
`ripstop` what `margin` reports. The interval of the least damping holds ANDES's, lies below it (the safe
side), or above it: then an operator believes in a damping that is not there. A damping that is told to be
unknown counts as none of them. A shorter record is the beginning of a longer one.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field, fields, replace

import numpy as np
from bars import judged, summary
from numpy.typing import NDArray
from swinging import Grid

from ripstop.risk import Identified, Mode, RiskInputError, Telemetry, identify, margin

GRIDS = (
    Grid("kundur/kundur.raw", "classical", 0.1),
    Grid("kundur/kundur.raw", "classical", 0.05),
    Grid("kundur/kundur.raw", "classical", 0.02),
    Grid("wscc9/wscc9.raw", "classical", 0.05),
    Grid("wscc9/wscc9.raw", "classical", 0.02),
    Grid("ieee14/ieee14.raw", "classical", 0.05),
    Grid("ieee39/ieee39.raw", "classical", 0.05),
    Grid("kundur/kundur.raw", "two-axis"),
    Grid("wscc9/wscc9.raw", "two-axis"),
    Grid("kundur/kundur_full.xlsx"),
    Grid("ieee14/ieee14_full.xlsx"),
    Grid("ieee39/ieee39_full.xlsx"),
)


HELD = 0.9  # of the intervals told, at 95 %, at least


@dataclass(slots=True)
class Tally:
    """How the reports on one grid came out."""

    frequency: list[float] = field(default_factory=list)
    damping: list[float] = field(default_factory=list)
    held: int = 0
    too_low: int = 0
    too_high: int = 0
    unknown: int = 0

    @property
    def told(self) -> int:
        """How many reports told a damping."""
        return self.held + self.too_low + self.too_high

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))

    def row(self, name: str) -> str:
        """Say it in a line."""
        off = f"{np.median(self.damping):+5.0%}" if self.damping else "    -"
        counts = (self.held, self.too_low, self.too_high, self.unknown)
        return f"{name:22}" + "".join(f"{count:10}" for count in counts) + f"{off:>12}"


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


def judge(telemetry: Telemetry, truth: list[Mode], tally: Tally) -> None:
    """Identify one record, print what is reported, and count it."""
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
    print(f"  ripstop  {shown(modes)}  {interval}", flush=True)
    tally.held += report.damping_low <= least <= report.damping_high
    tally.too_low += report.damping_high < least
    tally.too_high += report.damping_low > least
    tally.damping.append(report.damping / least - 1.0)
    if len(modes) == len(truth):
        tally.frequency.append(worst(modes, truth)[0])


def beginning(whole: Telemetry, seconds: float) -> Telemetry:
    """Give the first part of a record."""
    kept = int((np.asarray(whole.t_s) < seconds).sum())
    measured = ("t_s", "power", "frequency_hz", "angle_rad")
    return replace(whole, **{name: np.asarray(getattr(whole, name))[:kept] for name in measured})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, nargs="+", default=[60.0, 120.0], help="lengths of records")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--grids", default="kundur", help="part of a grid's name; '' for all (default kundur)"
    )
    args = parser.parse_args()
    print("swings: Hz / damping ratio, the slowest first; then the least damping's interval at 95 %")
    tallies: dict[str, Tally] = {}
    for grid in GRIDS:
        if args.grids not in grid.name:
            continue
        truth, tally = grid.swings(), tallies.setdefault(grid.name, Tally())
        print(f"{grid.name}\n  andes    {shown(truth)}", flush=True)
        for seed in range(1, args.seeds + 1):
            whole = grid.measured(max(args.seconds), seed)
            for seconds in args.seconds:
                judge(beginning(whole, seconds), truth, tally)
    print(f"{'the interval':22}{'holds':>10}{'too low':>10}{'too high':>10}{'unknown':>10}{'median off':>12}")
    for name, tally in tallies.items():
        print(tally.row(name))
    total = sum(tallies.values(), Tally())
    print(total.row("all"))
    if total.told:
        share = total.held / total.told
        print(f"held in {share:.0%} of those told: {judged('intervals that hold', share, least=HELD)}")
    if total.frequency:
        largest = max(total.frequency)
        print(f"frequencies off by {largest:.1%} at most")
    summary()


if __name__ == "__main__":
    main()
