"""Load redistribution by physics: what a line's outage does to a power grid, by DC power flow.

Theory of operation. Real power follows the angles: B θ = P, and a line carries b (θ_from - θ_to). When a line
trips its flow moves to others at once, by the line outage distribution factors (LODF); lines above their
capacity trip together, and so on. An island balances itself: what generation exceeds demand by is curtailed,
what demand exceeds generation by is shed, in proportion. The factors settle the first round of all outages at
once; only outages that overload something, or split the grid, are played in full.

References:
    Wood, Wollenberg, Sheble (2013), Power Generation, Operation, and Control, 3rd ed., 7.3 (LODF).
    Motter, Lai (2002), Cascade-based attacks on complex networks, Phys. Rev. E 66 (capacity 1 + alpha).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.special import ndtr

from ripstop.risk.errors import RiskInputError
from ripstop.risk.graph import Graph
from ripstop.risk.kernels.grid import ROUNDING, SLACK, Load, Wires, play_each

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
Flags = NDArray[np.bool_]

BRIDGE = 1e-8  # size of 1 - PTDF below which an outage splits the grid


@dataclass(frozen=True, eq=False)
class FlowGrid:
    """A power grid at one operating point. Build it with `from_arrays` or `from_matpower`.

    Attributes:
        lines: names, in the order of every array by line.
        source, target: positions of each line's ends among the buses.
        susceptance: 1 / reactance, p.u., shape (lines,).
        demand, generation: MW by bus.
        capacity: MW by line; above it a line trips.
    """

    lines: tuple[Hashable, ...]
    source: Ints
    target: Ints
    susceptance: Floats
    demand: Floats
    generation: Floats
    capacity: Floats

    @classmethod
    def from_arrays(
        cls,
        ends: ArrayLike,
        reactance: ArrayLike,
        demand: ArrayLike,
        generation: ArrayLike,
        capacity: ArrayLike | None = None,
    ) -> FlowGrid:
        """Build a grid; without capacities no line ever trips by overload.

        Args:
            ends: shape (lines, 2), positions of the buses.
            reactance: of each line, p.u., not 0; below 0 for a series capacitor, or in a transformer's star.
            demand: MW by bus, 0 or more.
            generation: MW by bus; below 0 it is demand, such as a pump's or an export's.
            capacity: MW by line.

        Raises:
            RiskInputError: C0741, for a wrong shape or value.
        """
        pairs = np.asarray(ends)
        wanted, made = _numbers("demand", demand), _numbers("generation", generation)
        n = len(wanted)
        if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":
            raise RiskInputError(f"`ends` has shape {pairs.shape}, expected two buses a line", code="C0741")
        if len(pairs) and (pairs.min() < 0 or pairs.max() >= n):
            raise RiskInputError(f"a line ends at no bus, expected positions in 0..{n - 1}", code="C0741")
        x = _numbers("reactance", reactance)
        limit = (
            np.full(len(pairs), np.inf) if capacity is None else _numbers("capacity", capacity, finite=False)
        )
        if len(made) != n or len(x) != len(pairs) or len(limit) != len(pairs):
            raise RiskInputError("arrays by bus or by line differ in length", code="C0741")
        if (x == 0).any() or (wanted < 0).any() or (limit < 0).any():
            raise RiskInputError(
                "expected reactances other than 0, demands and capacities of 0 or more", code="C0741"
            )
        wanted, made = wanted + np.maximum(-made, 0.0), np.maximum(made, 0.0)
        names = tuple(range(len(pairs)))
        whole = pairs.astype(np.int32)
        return cls(names, whole[:, 0], whole[:, 1], 1.0 / x, wanted, made, limit)

    @classmethod
    def from_matpower(cls, case: Mapping[str, ArrayLike]) -> FlowGrid:
        """Take a grid from a MATPOWER case: arrays `bus`, `gen` and `branch`, buses numbered from 0 or by id.

        Out-of-service branches and generators are left out, and phase shifts. A `rateA` of 0 is no limit.

        Raises:
            RiskInputError: C0741.
        """
        try:
            bus, gen, branch = (
                np.asarray(case[key]).real.astype(np.float64) for key in ("bus", "gen", "branch")
            )
            place = {int(number): i for i, number in enumerate(bus[:, 0])}
            on = branch[:, 10] > 0
            ends = np.array([(place[int(f)], place[int(t)]) for f, t in branch[on][:, :2]], np.int32)
            tap = np.where(branch[on][:, 8] == 0.0, 1.0, branch[on][:, 8])
            generation = np.zeros(len(bus))
            for row in gen[gen[:, 7] > 0]:
                generation[place[int(row[0])]] += row[1]
            rate = branch[on][:, 5]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise RiskInputError(
                f"not a MATPOWER case: {str(error).lower()}",
                code="C0741",
                hint="expected bus, gen and branch",
            ) from None
        # What a bus feeds in by a negative demand is generation; shunts draw power, too.
        drawn = bus[:, 2] + bus[:, 4]
        demand = np.maximum(drawn, 0.0)
        generation += np.maximum(-drawn, 0.0)
        capacity = np.where(rate > 0, rate, np.inf)
        grid = cls.from_arrays(ends.reshape(-1, 2), branch[on][:, 3] * tap, demand, generation, capacity)
        return replace(grid, lines=tuple(np.flatnonzero(on).tolist()))

    def balanced(self) -> FlowGrid:
        """Give the grid with generation scaled to each island's demand, or the demand to what there is."""
        up = np.ones(len(self.lines), np.bool_)
        demand, generation = _balance(self, up, self.demand, self.generation, raise_generation=True)
        return replace(self, demand=demand, generation=generation)

    def flows(self) -> Floats:
        """Give the flow on each line, MW, positive from source to target."""
        up = np.ones(len(self.lines), np.bool_)
        return _flows(self, up, self.generation - self.demand)

    def with_capacity(self, alpha: float, floor_mw: float = 0.0) -> FlowGrid:
        """Give each line 1 + alpha times its flow as capacity, and at least `floor_mw`."""
        return replace(self, capacity=np.maximum((1.0 + alpha) * np.abs(self.flows()), floor_mw))


@dataclass(frozen=True, slots=True)
class Outage:
    """What one line's outage leads to: demand lost in MW, lines down in all, rounds until it stopped."""

    lost_mw: float
    down: tuple[int, ...]
    rounds: int


def play_outage(grid: FlowGrid, first: int) -> Outage:
    """Play the cascade that starts with the outage of line number `first` of a balanced grid."""
    up = np.ones(len(grid.lines), np.bool_)
    up[first] = False
    order = [first]
    demand, generation = grid.demand, grid.generation
    rounds = 0
    while True:
        rounds += 1
        demand, generation = _balance(grid, up, demand, generation)
        flow = _flows(grid, up, generation - demand)
        over = np.flatnonzero(up & (np.abs(flow) > grid.capacity + SLACK))
        if len(over) == 0:
            return Outage(float(grid.demand.sum() - demand.sum()), tuple(order), rounds)
        up[over] = False
        order += over.tolist()


def wires_of(grid: FlowGrid) -> Wires:
    """Lay a grid's lines out for the kernels: flows by injection, and by power sent between a line's ends."""
    n, lines = len(grid.demand), np.arange(len(grid.lines))
    inverse = np.linalg.pinv(_laplacian(grid, np.ones(len(lines), np.bool_)), hermitian=True)
    shift = grid.susceptance[:, None] * (inverse[grid.source] - inverse[grid.target])
    transfer = np.ascontiguousarray((shift[:, grid.source] - shift[:, grid.target]).T)
    return Wires(grid.source.copy(), grid.target.copy(), shift.reshape(len(lines), n), transfer)


def outage_losses(grid: FlowGrid) -> Floats:
    """Give the demand that each line's outage loses in a balanced grid, MW: `play_outage` for all at once."""
    wires, lost = wires_of(grid), np.zeros(len(grid.lines))
    load = Load(grid.demand.copy(), grid.generation.copy(), grid.capacity.copy())
    play_each(wires, load, open_outages(grid, factors_of(wires)), lost)
    return lost


def outage_factors(grid: FlowGrid) -> Floats:
    """Give the LODF matrix: [l, k] is the share of line k's flow that moves to l when k trips.

    The diagonal is -1; the column of a line whose outage splits the grid is NaN.
    """
    return factors_of(wires_of(grid))


def factors_of(wires: Wires) -> Floats:
    """Give the LODF matrix of lines laid out."""
    transfer, lines = wires.transfer.T, np.arange(len(wires.source))
    rest = 1.0 - np.diag(transfer)
    with np.errstate(divide="ignore", invalid="ignore"):
        factors = transfer / np.where(np.abs(rest) > BRIDGE, rest, np.nan)[None, :]
    factors[lines, lines] = np.where(np.abs(rest) > BRIDGE, -1.0, np.nan)
    return np.asarray(factors, np.float64)


def flow_graph(grid: FlowGrid, spread: float = 0.1) -> Graph:
    """Give the risk graph of a grid's lines, for percolation: who would overload whom.

    The weight from k to l is Φ((flow on l after k's outage - capacity) / (spread x capacity)), where the
    outage adds to l's loading; the consequence is the flow that the line carries. One-shot edges forget what
    accumulates: `assess_flow` does not.
    """
    flow, factors = grid.flows(), np.nan_to_num(outage_factors(grid))
    after = np.abs(flow[:, None] + factors * flow[None, :])
    limit = np.where(np.isfinite(grid.capacity), grid.capacity, 1e12)[:, None]
    weight = ndtr((after - limit) / np.maximum(spread * limit, 1e-9))
    weight[after <= np.abs(flow)[:, None] + SLACK] = 0.0
    np.fill_diagonal(weight, 0.0)
    to, of = np.nonzero(weight > 1e-6)
    consequence = np.abs(flow)
    if not consequence.sum() > 0.0:
        consequence = np.ones(len(flow))
    return Graph.from_arrays(
        grid.lines,
        np.stack([of, to], axis=1).astype(np.int32),
        {"overload": weight[to, of]},
        directed=True,
        quantities={"consequence": consequence},
    )


def open_outages(grid: FlowGrid, factors: Floats) -> NDArray[np.intp]:
    """List the outages that overload a line at once, or split the grid: the others lose nothing."""
    flow = grid.flows()
    after = np.abs(flow[:, None] + factors * flow[None, :])
    return np.flatnonzero(~(after <= grid.capacity[:, None] + SLACK).all(axis=0))


def _balance(
    grid: FlowGrid, up: Flags, demand: Floats, generation: Floats, *, raise_generation: bool = False
) -> tuple[Floats, Floats]:
    """Scale each island's generation down to its demand, or its demand down to its generation."""
    label = _islands(grid, up)
    count = int(label.max(initial=-1)) + 1
    wanted, made = (np.bincount(label, mw, count) for mw in (demand, generation))
    # What rounding leaves short of the demand is no shortage.
    up_to = made > 0 if raise_generation else made >= wanted * (1.0 - ROUNDING)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale_made = np.where(up_to & (made > 0), wanted / made, 1.0)
        scale_wanted = np.where(up_to, 1.0, np.where(wanted > 0, np.maximum(made, 0.0) / wanted, 1.0))
    return demand * scale_wanted[label], generation * scale_made[label]


def _islands(grid: FlowGrid, up: Flags) -> Ints:
    n = len(grid.demand)
    joined = coo_array((np.ones(int(up.sum())), (grid.source[up], grid.target[up])), shape=(n, n))
    _, label = connected_components(joined.tocsr(), directed=False)
    return np.asarray(label, np.int32)


def _laplacian(grid: FlowGrid, up: Flags) -> Floats:
    n = len(grid.demand)
    s, t, b = grid.source[up], grid.target[up], grid.susceptance[up]
    matrix = np.zeros((n, n))
    np.add.at(matrix, (s, t), -b)
    np.add.at(matrix, (t, s), -b)
    np.add.at(matrix, (s, s), b)
    np.add.at(matrix, (t, t), b)
    return matrix


def _flows(grid: FlowGrid, up: Flags, injection: Floats) -> Floats:
    label = _islands(grid, up)
    matrix = _laplacian(grid, up)
    _, reference = np.unique(label, return_index=True)  # one bus of each island has angle 0
    matrix[reference, :] = 0.0
    matrix[reference, reference] = 1.0
    wanted = injection.copy()
    wanted[reference] = 0.0
    angle = np.linalg.solve(matrix, wanted)
    return np.asarray(np.where(up, grid.susceptance * (angle[grid.source] - angle[grid.target]), 0.0))


def _numbers(name: str, values: ArrayLike, *, finite: bool = True) -> Floats:
    try:
        array = np.asarray(values, np.float64).ravel()
    except (TypeError, ValueError):
        raise RiskInputError(f"`{name}` are not all numbers", code="C0741") from None
    if np.isnan(array).any() or (finite and not np.isfinite(array).all()):
        raise RiskInputError(f"`{name}` are not all finite numbers", code="C0741")
    return array
