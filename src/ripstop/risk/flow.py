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
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array, eye_array
from scipy.sparse.linalg import splu
from scipy.special import ndtr

from ripstop.risk.errors import RiskInputError
from ripstop.risk.graph import Graph
from ripstop.risk.inputs import as_array
from ripstop.risk.kernels.grid import SLACK, Load, Wires, find_transfer, play, play_buses, play_lines, settle
from ripstop.risk.kinds import Kind, takes
from ripstop.risk.settings import check_whole

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

BASE_MVA = 100.0  # what reactances are on, where a phase shifter needs to know
MOST_MW = 1e15  # of a whole grid; beyond it somebody mistook a unit, and sums lose their digits
WIDTHS = {"bus": 5, "gen": 8, "branch": 11}  # columns of a MATPOWER case that are read
BRIDGE = 1e-8  # size of 1 - PTDF below which an outage splits the grid


@dataclass(frozen=True, eq=False)
class FlowGrid:
    """A power grid at one operating point. Build it with `from_arrays` or `from_matpower`.

    Attributes:
        lines: names, in the order of every array by line.
        buses: names, in the order of every array by bus.
        source, target: positions of each line's ends among the buses.
        susceptance: 1 / reactance, p.u., shape (lines,).
        demand, generation: MW by bus.
        capacity: MW by line; above it a line trips.
        pushed: MW that flow on a line at equal angles, which is what a phase shifter does.
    """

    lines: tuple[Hashable, ...]
    buses: tuple[Hashable, ...]
    source: Ints
    target: Ints
    susceptance: Floats
    demand: Floats
    generation: Floats
    capacity: Floats
    pushed: Floats

    @classmethod
    def from_arrays(
        cls,
        ends: ArrayLike,
        reactance: ArrayLike,
        demand: ArrayLike,
        generation: ArrayLike,
        capacity: ArrayLike | None = None,
        *,
        pushed: ArrayLike | None = None,
    ) -> FlowGrid:
        """Build a grid; without capacities no line ever trips by overload.

        Args:
            ends: shape (lines, 2), positions of the buses.
            reactance: of each line, p.u., not 0; below 0 for a series capacitor, or in a transformer's star.
            demand: MW by bus, 0 or more.
            generation: MW by bus; below 0 it is demand, such as a pump's or an export's.
            capacity: MW by line.
            pushed: MW by line; a phase shifter of angle a makes -a x base power / reactance.

        Raises:
            RiskInputError: C0741, for a wrong shape or value.
        """
        pairs = as_array(ends)
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
        push = np.zeros(len(pairs)) if pushed is None else _numbers("pushed", pushed)
        if len(made) != n or {len(x), len(limit), len(push)} != {len(pairs)}:
            raise RiskInputError("arrays by bus or by line differ in length", code="C0741")
        if (x == 0).any() or (wanted < 0).any() or (limit < 0).any():
            raise RiskInputError(
                "expected reactances other than 0, demands and capacities of 0 or more", code="C0741"
            )
        if max(np.abs(wanted).sum(), np.abs(made).sum()) > MOST_MW:
            raise RiskInputError(f"demand or generation is beyond {MOST_MW:g} MW", code="C0741")
        wanted, made = wanted + np.maximum(-made, 0.0), np.maximum(made, 0.0)
        lines, buses = tuple(range(len(pairs))), tuple(range(n))
        whole = pairs.astype(np.int32)
        return cls(lines, buses, whole[:, 0], whole[:, 1], 1.0 / x, wanted, made, limit, push)

    @classmethod
    def from_matpower(cls, case: Mapping[str, ArrayLike]) -> FlowGrid:
        """Take a grid from a MATPOWER case: arrays `bus`, `gen` and `branch`, buses numbered from 0 or by id.

        Out-of-service branches and generators are left out. A `rateA` of 0 is no limit. Without a `baseMVA`,
        phase shifts are taken to be on 100.

        Raises:
            RiskInputError: C0741.
        """
        try:
            bus, gen, branch = (_matrix(case, key, width) for key, width in WIDTHS.items())
            place = {int(number): i for i, number in enumerate(bus[:, 0])}
            on = branch[:, 10] > 0
            ends = np.array([_placed(place, side, "branch") for side in branch[on][:, :2].T], np.int32).T
            tap = np.where(branch[on][:, 8] == 0.0, 1.0, branch[on][:, 8])
            generation, running = np.zeros(len(bus)), gen[gen[:, 7] > 0]
            np.add.at(generation, _placed(place, running[:, 0], "gen"), running[:, 1])
            rate, reactance = branch[on][:, 5], branch[on][:, 3] * tap
            base = float(np.asarray(case.get("baseMVA", BASE_MVA)).item())
            pushed = pushed_by(branch[on][:, 9], reactance, base)
        except (TypeError, ValueError, OverflowError, AttributeError) as error:
            raise RiskInputError(
                f"not a MATPOWER case: {str(error).lower()}",
                code="C0741",
                hint="expected bus, gen and branch",
            ) from None
        if len(place) != len(bus):
            raise RiskInputError("a bus stands twice, expected each number once", code="C0741")
        # What a bus feeds in by a negative demand is generation; shunts draw power, too.
        drawn = bus[:, 2] + bus[:, 4]
        demand = np.maximum(drawn, 0.0)
        generation += np.maximum(-drawn, 0.0)
        capacity = np.where(rate > 0, rate, np.inf)
        grid = cls.from_arrays(ends.reshape(-1, 2), reactance, demand, generation, capacity, pushed=pushed)
        return replace(grid, lines=tuple(np.flatnonzero(on).tolist()), buses=tuple(place))

    @cached_property
    def wires(self) -> Wires:
        """The lines as kernels see them."""
        return lay_out(self)

    def balanced(self) -> FlowGrid:
        """Give the grid with generation scaled to each island's demand, or the demand to what there is."""
        return self._under(self._settled()[0])

    def flows(self) -> Floats:
        """Give the flow on each line, MW, positive from source to target, of a balanced grid."""
        return self._settled()[1]

    def with_capacity(self, alpha: float, floor_mw: float = 0.0) -> FlowGrid:
        """Give each line 1 + alpha times its flow as capacity, and at least `floor_mw`."""
        capacity = np.maximum((1.0 + alpha) * np.abs(self.flows()), floor_mw)
        return self._under(self.load()._replace(capacity=capacity))

    def load(self) -> Load:
        """Give demand, generation and capacity as kernels take them: copies, which they may change."""
        return Load(self.demand.copy(), self.generation.copy(), self.capacity.copy())

    def _under(self, load: Load) -> FlowGrid:
        """Give the same lines, laid out already, under another load."""
        made = replace(self, **load._asdict())
        vars(made)["wires"] = self.wires
        return made

    def _settled(self) -> tuple[Load, Floats]:
        load, flow = self.load(), np.empty(len(self.lines))
        settle(self.wires, load, flow)
        return load, flow


GRID = Kind("a power grid", FlowGrid)


@dataclass(frozen=True, slots=True)
class Outage:
    """What an outage leads to: demand lost in MW, lines down in all, rounds until it stopped."""

    lost_mw: float
    down: tuple[int, ...]
    rounds: int


@takes(grid=GRID)
def play_outage(grid: FlowGrid, first: int) -> Outage:
    """Play the cascade that starts with the outage of line number `first` of a balanced grid.

    Raises:
        RiskInputError: C0702, for a line that there is not.
    """
    first = check_whole("line", first, "C0702", least=0, below=len(grid.lines))
    return _played(grid, np.arange(len(grid.lines)) == first, -1)


@takes(grid=GRID)
def play_bus(grid: FlowGrid, bus: int) -> Outage:
    """Play the cascade that starts when bus number `bus` of a balanced grid trips with all its lines.

    Raises:
        RiskInputError: C0702, for a bus that there is not.
    """
    bus = check_whole("bus", bus, "C0702", least=0, below=len(grid.buses))
    return _played(grid, (grid.source == bus) | (grid.target == bus), bus)


def _played(grid: FlowGrid, first: NDArray[np.bool_], bus: int) -> Outage:
    fell = np.where(first, 0, -1).astype(np.int32)
    lost = play(grid.wires, grid.load(), fell, bus)
    order = np.argsort(fell, kind="stable")
    return Outage(lost, tuple(order[fell[order] >= 0].tolist()), int(fell.max()) + 1)


@takes(grid=GRID)
def outage_losses(grid: FlowGrid) -> Floats:
    """Give the demand that each line's outage loses in a balanced grid, MW: `play_outage` for all at once."""
    lost = np.empty(len(grid.lines))
    play_lines(grid.wires, grid.load(), grid.flows(), factors_of(grid.wires), lost)
    return lost


@takes(grid=GRID)
def bus_losses(grid: FlowGrid) -> Floats:
    """Give the demand that is lost when a bus trips with all its lines, MW, by bus of a balanced grid."""
    lost = np.empty(len(grid.demand))
    play_buses(grid.wires, grid.load(), lost)
    return lost


@takes(grid=GRID)
def outage_factors(grid: FlowGrid) -> Floats:
    """Give the LODF matrix: [l, k] is the share of line k's flow that moves to l when k trips.

    The diagonal is -1; the column of a line whose outage splits the grid is NaN.
    """
    return factors_of(grid.wires).T


def factors_of(wires: Wires) -> Floats:
    """Give the LODF matrix of lines laid out, by the line that trips: row k is where k's flow moves to."""
    lines = len(wires.source)
    transfer = np.empty((lines, lines))
    find_transfer(wires, transfer)
    rest = 1.0 - np.diag(transfer)
    splits = np.abs(rest) <= BRIDGE
    transfer /= np.where(splits, np.nan, rest)[:, None]
    np.fill_diagonal(transfer, np.where(splits, np.nan, -1.0))
    return transfer


@takes(grid=GRID)
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


def pushed_by(shift_deg: Floats, reactance: Floats, base_mva: float = BASE_MVA) -> Floats:
    """Give what phase shifters make flow at equal angles, MW, reactances in p.u. on a base power."""
    apart = np.where(reactance == 0.0, 1.0, reactance)  # 0 is refused where the grid is built
    return np.asarray(-np.radians(shift_deg) * base_mva / apart)


def lay_out(grid: FlowGrid) -> Wires:
    """Lay a grid's lines out for the kernels: the order in which buses are eliminated, and what fills in."""
    n, lines = len(grid.demand), len(grid.lines)
    place = _order(n, grid.source, grid.target)
    ends = np.sort(np.stack([place[grid.source], place[grid.target]]), axis=0)
    below: list[set[int]] = [set() for _ in range(n)]
    for low, high in ends.T.tolist():
        if low != high:
            below[low].add(high)
    for column in below:  # what is eliminated joins its neighbours
        if column:
            below[min(column)] |= column - {min(column)}
    start = np.concatenate([[0], np.cumsum([len(column) for column in below])]).astype(np.int64)
    rows = [sorted(column) for column in below]
    entry = {(j, i): start[j] + a for j, column in enumerate(rows) for a, i in enumerate(column)}
    update = [
        i if i == other else n + entry[i, other]
        for column in rows
        for a, i in enumerate(column)
        for other in column[a:]
    ]
    # A line from a bus to itself joins nothing; its entry is one that nobody reads, at the end.
    joining = np.where(grid.source == grid.target, 0.0, grid.susceptance)
    cell = [entry.get((low, high), start[n]) for low, high in ends.T.tolist()]
    return Wires(
        place,
        place[grid.source],
        place[grid.target],
        joining,
        grid.pushed,
        np.array(cell, np.int64).reshape(lines),
        start,
        np.array([i for column in rows for i in column], np.int64),
        np.array(update, np.int64),
    )


def _order(n: int, source: Ints, target: Ints) -> NDArray[np.int64]:
    """Give each bus's place in a minimum-degree order, which keeps the factors sparse."""
    ones = np.ones(len(source))
    joined = coo_array((ones, (source, target)), shape=(n, n))
    matrix = (eye_array(n) * (4.0 * len(source) + 1.0) - joined - joined.T).tocsc()
    factors = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    return np.asarray(factors.perm_c, np.int64)


def _matrix(case: Mapping[str, ArrayLike], key: str, width: int) -> Floats:
    if key not in case:
        raise RiskInputError(f"not a MATPOWER case: it has no matrix `{key}`", code="C0741")
    matrix = np.asarray(case[key]).real.astype(np.float64)
    if matrix.ndim != 2 or matrix.shape[1] < width:
        raise RiskInputError(
            f"`{key}` has shape {matrix.shape}, expected {width} columns or more", code="C0741"
        )
    return matrix


def _placed(place: Mapping[int, int], numbers: Floats, key: str) -> list[int]:
    for number in numbers:
        if int(number) not in place:
            raise RiskInputError(f"`{key}` names bus {number:g}, which `bus` does not", code="C0741")
    return [place[int(number)] for number in numbers]


def _numbers(name: str, values: ArrayLike, *, finite: bool = True) -> Floats:
    try:
        array = np.asarray(values, np.float64).ravel()
    except (TypeError, ValueError):
        raise RiskInputError(f"`{name}` are not all numbers", code="C0741") from None
    if np.isnan(array).any() or (finite and not np.isfinite(array).all()):
        raise RiskInputError(f"`{name}` are not all finite numbers", code="C0741")
    return array
