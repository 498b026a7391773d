"""Swings identified from telemetry, held to ANDES: its simulation is measured, its eigenvalues are the truth.

    make oracles
    OPENBLAS_NUM_THREADS=1 python benchmarks/bench_stability.py [--seconds 120] [--seeds 3]

Kundur's two areas, four machines. Both loads wander (Ornstein-Uhlenbeck, 1 %, 2 s), and nobody measures them;
each machine's dispatch changes by 1 % every second, which is measured. `classical` are machines alone, with
damping of three sizes; `full` has two-axis machines, exciters and governors, and its dispatch stands still:
only the loads move it. A machine reports speed, rotor angle and mechanical power with noise (2 mHz, 1 mrad,
1 MW), 30 times a second with a jitter of 5 ms, each machine at times of its own; one reading in twenty is
lost. `model` is what the swing model says by itself, `ripstop` what `margin` reports.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import numpy as np
from bars import judged, summary
from numpy.typing import NDArray

from ripstop.risk import Identified, Mode, RiskInputError, Telemetry, identify, margin

Floats = NDArray[np.float64]
STEP_S = 1 / 30
MACHINE_DAMPING = (1.2, 0.8, 0.6, 1.4)  # against each other
RESTORED_S = 2.0  # how long a load remembers
NOISE = (0.01, 0.002, 0.001)  # p.u., Hz, rad
SLOWEST_HZ, FASTEST_HZ = 0.4, 2.0  # of what is called a swing; below, governors move all machines together


def kundur(damping: float | None) -> Any:
    """Load the two areas: classical, with about so much damping between them, or full if None."""
    import andes

    andes.config_logger(stream_level=50)
    if damping is None:
        system = andes.load(andes.get_case("kundur/kundur_full.xlsx"), no_output=True, default_config=True)
    else:
        system = andes.load(
            andes.get_case("kundur/kundur.raw"),
            addfile=andes.get_case("kundur/kundur_gencls.dyr"),
            no_output=True,
            default_config=True,
        )
        inertia = np.array(system.GENCLS.M.v)
        system.GENCLS.D.v[:] = 2 * damping * 2 * np.pi * 0.46 * inertia * MACHINE_DAMPING
    if system.Toggle.n:
        system.Toggle.u.v[:] = 0
    for name in ("p", "q"):  # loads are constant power, so that they can be moved
        setattr(system.PQ.config, f"{name}2{name}", 1.0)
        setattr(system.PQ.config, f"{name}2z", 0.0)
    system.PFlow.run()
    return system


def swings_of(damping: float | None) -> list[Mode]:
    """Give ANDES's swings, the slowest first."""
    system = kundur(damping)
    system.EIG.run()
    found = [pole for pole in system.EIG.mu if 2 * np.pi * SLOWEST_HZ < pole.imag < 2 * np.pi * FASTEST_HZ]
    modes = [Mode(pole.imag / (2 * np.pi), -pole.real / abs(pole)) for pole in found]
    return sorted(modes, key=lambda mode: mode.frequency_hz)


def simulate(damping: float | None, seconds: float, seed: int) -> tuple[Floats, ...]:
    """Let ANDES run: times; by machine mechanical powers in p.u., speeds in Hz and rotor angles."""
    system, rng = kundur(damping), np.random.default_rng(seed)
    machines = system.GENROU if damping is None else system.GENCLS
    system.TDS.config.update(tf=seconds, tstep=STEP_S, fixt=1, shrinkt=0, no_tqdm=1, criteria=0, save_every=0)
    system.TDS.config.tol = 1e-6
    system.TDS.init()
    active, reactive = np.array(system.PQ.Ppf.v), np.array(system.PQ.Qpf.v)
    dispatch, load, rows, last = np.array(machines.tm0.v), np.zeros(len(active)), [], -1.0
    kept = np.exp(-STEP_S / RESTORED_S)

    def move(now: float, _: object) -> None:
        nonlocal load, last
        now = float(now)
        if now <= last:
            return
        rows.append((now, *machines.tm.v, *(60.0 * machines.omega.v), *machines.delta.v))
        load = kept * load + rng.normal(0.0, 0.01 * np.sqrt(1 - kept**2), len(load))
        system.PQ.Ppf.v[:], system.PQ.Qpf.v[:] = active * (1 + load), reactive * (1 + load)
        if damping is not None and int(now) != int(last):
            machines.tm0.v[:] = dispatch * (1 + rng.normal(0.0, 0.01, len(dispatch)))
        last = now

    system.TDS.callpert = move
    if not system.TDS.run():
        raise RuntimeError("ANDES did not finish its simulation")
    table = np.array(rows)
    return table[:, 0], *np.split(table[:, 1:], 3, axis=1)


def readings(
    time: Floats, values: Floats, noise: float, rng: np.random.Generator
) -> Iterator[tuple[Floats, Floats]]:
    """Give what each machine reports: at times of its own, with noise, and some lost."""
    for column in values.T:
        at = time[rng.random(len(time)) > 0.05]
        at = at + rng.uniform(-0.005, 0.005, len(at))
        yield at, np.interp(at, time, column) + rng.normal(0.0, noise, len(at))


def measured(damping: float | None, seconds: float, seed: int) -> Telemetry:
    """Give the telemetry of a simulation, put on even times."""
    time, *columns = simulate(damping, seconds + 1.0, seed)
    even, rng = np.arange(0.5, seconds, STEP_S), np.random.default_rng([seed, 1])
    columns = [
        np.stack([np.interp(even, *each) for each in readings(time, values, noise, rng)], axis=1)
        for values, noise in zip(columns, NOISE, strict=True)
    ]
    return Telemetry(even, *columns)


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


def by_model(found: Identified) -> list[Mode]:
    from dataclasses import replace

    return list(margin(replace(found, swings=None), np.full(4, 0.25), draws=20).modes())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    print("swings: Hz / damping ratio, the slowest first; then the least damping's interval at 95 %")
    off: dict[str, list[float]] = {"classical": [], "full": []}
    held: dict[str, list[bool]] = {"classical": [], "full": []}
    for name, damping in (("classical", 0.10), ("classical", 0.05), ("classical", 0.02), ("full", None)):
        truth = swings_of(damping)
        print(f"{name}\n  andes    {shown(truth)}")
        for seed in range(1, args.seeds + 1):
            try:
                found = identify(measured(damping, args.seconds, seed))
            except RiskInputError as error:
                print(f"  refused  {error}")
                continue
            report = margin(found, np.full(4, 0.25), draws=20)
            modes = list(report.modes())
            print(f"  model    {shown(by_model(found))}\n  ripstop  {shown(modes)}", end="  ")
            print(f"{report.damping:.4f} ({report.damping_low:.4f} .. {report.damping_high:.4f})", flush=True)
            if len(modes) == len(truth):
                frequency, ratio = worst(modes, truth)
                off[name].append(frequency)
                least = min(mode.damping for mode in truth)
                held[name].append(report.damping_low <= least <= report.damping_high)
                print(f"           off by {frequency:.1%} and {ratio:.0%}")
    for name in off:
        largest = max(off[name])
        print(f"{name}: frequencies off by {largest:.1%} at most: {judged(name, largest, most=0.03)}")
        print(f"{name}: intervals that hold the least damping: {sum(held[name])} of {len(held[name])}")
    summary()


if __name__ == "__main__":
    main()
