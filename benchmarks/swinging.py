"""Grids whose machines swing, as ANDES has them: their eigenvalues, and the telemetry of a simulation.

`classical` machines are a voltage behind a reactance each, with damping; `two-axis` ones have windings and
nothing that controls them, so that their loads are impedances; of both the network is a case of ANDES's.
`full` is the case as shipped, with exciters, governors and stabilisers. Loads wander (Ornstein-Uhlenbeck,
1 %, 2 s), and nobody measures them; the dispatch of machines without governors changes by 1 % every second,
which is measured. A machine reports
speed, rotor angle and mechanical power with noise (2 mHz, 1 mrad, .15 % of its power), 30 times a second with
a jitter of 5 ms, each machine at times of its own; one reading in twenty is lost.

References:
    Anderson, Fouad (2003), Power System Control and Stability, 2nd ed., table 2.1: the machines of WSCC 9.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ripstop.risk import Mode, Telemetry

Floats = NDArray[np.float64]
STEP_S = 1 / 30
TOLERANCE = 1e-10  # of a step; at 1e-6 the simulation damped swings of mHz by half again
FOLLOWING = 2.0  # p.u. of a two-axis machine's rating: how much less its loads draw as frequency falls
UNEQUAL = (1.2, 0.8, 0.6, 1.4)  # dampings of machines against each other
RESTORED_S = 2.0  # how long a load remembers
NOISE = (0.002, 0.001)  # Hz, rad
POWER_NOISE = 0.0015  # of the machine's power
SLOWEST_HZ = 0.3  # of what is called a swing; below, governors move all machines together
WINDINGS = ("xd", "xq", "xq1", "Td10", "Tq10")
WSCC = {
    "M": (47.28, 12.8, 6.02),
    "xd1": (0.0608, 0.1198, 0.1813),
    "xd": (0.146, 0.8958, 1.3125),
    "xq": (0.0969, 0.8645, 1.2578),
    "xq1": (0.0969, 0.1969, 0.25),
    "Td10": (8.96, 6.0, 5.89),
    "Tq10": (0.31, 0.535, 0.6),
}


@dataclass(frozen=True, slots=True)
class Grid:
    """One system; `damping` is the ratio that a swing of 1 Hz between classical machines has, about."""

    case: str
    kind: str = "full"
    damping: float = 0.0

    @property
    def name(self) -> str:
        """What the benchmark calls it."""
        told = f" {self.damping:g}" if self.damping else ""
        return f"{self.case.split('/')[0]} {self.kind}{told}"

    def load(self) -> Any:
        """Set the system up, its power flow solved and all of its loads movable."""
        system = _loaded(self.case, setup=self.kind == "full")
        if self.kind != "full":
            _add_machines(system, self)
        if system.Toggle.n:
            system.Toggle.u.v[:] = 0
        is_impedance = float(self.kind == "two-axis")
        for name in ("p", "q"):
            setattr(system.PQ.config, f"{name}2{name}", 1.0 - is_impedance)
            setattr(system.PQ.config, f"{name}2z", is_impedance)
        system.PFlow.config.tol = TOLERANCE
        system.PFlow.run()
        return system

    def swings(self) -> list[Mode]:
        """Give ANDES's swings: the oscillations in which rotors take part most, one less than machines."""
        system = self.load()
        system.EIG.run()
        rotors = [name.startswith(("delta ", "omega ")) for name in system.EIG.x_name]
        share = np.asarray(system.EIG.pfactors)[:, rotors].sum(axis=1)
        swinging = np.flatnonzero(system.EIG.mu.imag > 2 * np.pi * SLOWEST_HZ)
        first = swinging[np.argsort(-share[swinging], kind="stable")][: _machines(system).n - 1]
        modes = [Mode(pole.imag / (2 * np.pi), -pole.real / abs(pole)) for pole in system.EIG.mu[first]]
        return sorted(modes, key=lambda mode: mode.frequency_hz)

    def readings(self, seconds: float, seed: int) -> list[list[tuple[Floats, Floats]]]:
        """Simulate, and give what each machine reports of power, speed and angle: times and values."""
        time, *columns = simulated(self, seconds, seed)
        rng = np.random.default_rng([seed, 1])
        noise = (POWER_NOISE * np.abs(columns[0]).mean(axis=0), *NOISE)
        return [list(_readings(time, values, size, rng)) for values, size in zip(columns, noise, strict=True)]

    def measured(self, seconds: float, seed: int) -> Telemetry:
        """Give the readings put on even times."""
        even = np.arange(0.5, seconds, STEP_S)
        return Telemetry(
            even,
            *(
                np.stack([np.interp(even, *each) for each in machines], axis=1)
                for machines in self.readings(seconds + 1.0, seed)
            ),
        )


def _loaded(case: str, *, setup: bool = True) -> Any:
    import andes

    andes.config_logger(stream_level=50)
    return andes.load(andes.get_case(case), setup=setup, no_output=True, default_config=True)


def _machines(system: Any) -> Any:
    return system.GENROU if system.GENROU.n else system.GENCLS


def _add_machines(system: Any, grid: Grid) -> None:
    """Put a machine at each plant: of WSCC 9 from the book, else those of the case that is complete."""
    folder = grid.case.split("/")[0]
    if folder == "wscc9":
        given, rating, buses = WSCC, [100.0] * 3, [1, 2, 3]
    else:
        full = _loaded(f"{folder}/{folder}_full.xlsx").GENROU
        given = {name: getattr(full, name).vin for name in ("M", "xd1", *WINDINGS)}
        rating, buses = list(full.Sn.v), list(full.bus.v)
    plants = {
        bus: idx
        for model in (system.Slack, system.PV)
        for bus, idx in zip(model.bus.v, model.idx.v, strict=True)
    }
    for i, (bus, rated) in enumerate(zip(buses, rating, strict=True)):
        at = {"bus": bus, "gen": plants[bus], "Sn": rated, "fn": 60.0, "ra": 0.0, "M": given["M"][i]}
        at |= {"Vn": system.Bus.Vn.v[system.Bus.idx.v.index(bus)], "xd1": given["xd1"][i]}
        if grid.kind == "classical":
            system.add("GENCLS", at | {"D": 4 * np.pi * grid.damping * given["M"][i] * UNEQUAL[i % 4]})
        else:
            inner = {"xd2": 0.9 * at["xd1"], "xq2": 0.9 * at["xd1"], "xl": 0.5 * at["xd1"]}
            system.add(
                "GENROU",
                at
                | inner
                | {"D": FOLLOWING}
                | {name: given[name][i] for name in WINDINGS}
                | {"Td20": 0.03, "Tq20": 0.05},
            )
    system.setup()


def simulated(grid: Grid, seconds: float, seed: int) -> tuple[Floats, ...]:
    """Let ANDES run: times; by machine mechanical powers in p.u., speeds in Hz and rotor angles."""
    system, rng = grid.load(), np.random.default_rng(seed)
    machines = _machines(system)
    system.TDS.config.update(tf=seconds, tstep=STEP_S, fixt=1, shrinkt=0, no_tqdm=1, criteria=0, save_every=0)
    system.TDS.config.tol = TOLERANCE
    system.TDS.init()
    names = ("Req", "Xeq") if grid.kind == "two-axis" else ("Ppf", "Qpf")
    drawn = [(getattr(system.PQ, name).v, np.array(getattr(system.PQ, name).v)) for name in names]
    dispatch, load, rows, last = np.array(machines.tm0.v), np.zeros(system.PQ.n), [], -1.0
    kept = np.exp(-STEP_S / RESTORED_S)

    def move(now: float, _: object) -> None:
        nonlocal load, last
        now = float(now)
        if now <= last:
            return
        rows.append((now, *machines.tm.v, *(60.0 * machines.omega.v), *machines.delta.v))
        load = kept * load + rng.normal(0.0, 0.01 * np.sqrt(1 - kept**2), len(load))
        for now_drawn, usual in drawn:
            now_drawn[:] = usual * (1 + load)
        if grid.kind != "full" and int(now) != int(last):
            machines.tm0.v[:] = dispatch * (1 + rng.normal(0.0, 0.01, len(dispatch)))
        last = now

    system.TDS.callpert = move
    system.TDS.run()  # it may answer False for a step that is left out at the very end
    table = np.array(rows)
    if table[-1, 0] < seconds - 2 * STEP_S:
        raise RuntimeError(f"ANDES did not finish its simulation: {table[-1, 0]:.1f} of {seconds:.1f} s")
    return table[:, 0], *np.split(table[:, 1:], 3, axis=1)


def _readings(
    time: Floats, values: Floats, noise: Floats | float, rng: np.random.Generator
) -> Iterator[tuple[Floats, Floats]]:
    """Give what each machine reports: at times of its own, with noise, and some lost."""
    for column, size in zip(values.T, np.broadcast_to(noise, values.shape[1]), strict=True):
        at = time[rng.random(len(time)) > 0.05]
        at = at + rng.uniform(-0.005, 0.005, len(at))
        yield at, np.interp(at, time, column) + rng.normal(0.0, size, len(at))
