"""Outages on a power grid, each played until nothing is overloaded any more, by DC power flow.

Theory of operation. The grid's equations are sparse, symmetric and solved some ten thousand times with other
lines down. So the order of elimination, the entries that fill in and where each update goes are found once,
for the grid with every line up, and a round runs through that list: L D L^T with no search and no pivoting.
Buses are numbered by their place in that order. Each island's last bus has angle 0: its pivot would be 0.
Off-diagonals of lines that are down are 0, and their updates are skipped.

References:
    Davis (2006), Direct Methods for Sparse Linear Systems, chapter 4. Tinney, Walker (1967), Direct solutions
    of sparse network equations by optimally ordered triangular factorization, Proc. IEEE 55.
    Schenk, Gärtner (2006), On fast factorization pivoting methods for sparse symmetric indefinite systems,
    ETNA 23 (pivots that cancel out are perturbed).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ripstop.risk.kernels.jit import kernel
from ripstop.risk.kernels.shapes import Counts, Flags, Indices

Floats = NDArray[np.float64]
ROUNDING = 1e-9  # what rounding leaves short of a demand is no shortage
SLACK = 1e-9  # MW; loadings within it of the capacity are no overload
CANCELLED = 1e-9  # share of a bus's susceptances that is left where a series capacitor cancels them


class Wires(NamedTuple):
    """A grid's lines, and how its equations are solved; buses are numbered by their place in that order.

    `place` (buses,): that number of each bus as the grid numbers it. `source`, `target`, `susceptance`,
    `pushed` by line, `pushed` what a phase shifter makes flow at equal angles, MW; `cell`: the line's entry.
    Column j's entries below the diagonal stand in rows `row[start[j]:start[j + 1]]`, and eliminating it
    changes the values at `update`, for each pair of its entries: a bus's diagonal, or buses + an entry.
    """

    place: Counts
    source: Counts
    target: Counts
    susceptance: Floats
    pushed: Floats
    cell: Counts
    start: Counts
    row: Counts
    update: Counts


class Load(NamedTuple):
    """One world: demand and generation by bus, capacity by line, MW."""

    demand: Floats
    generation: Floats
    capacity: Floats


@kernel
def root_of(parent: Indices, v: int) -> int:
    """Give the root of a node's tree, and shorten the way there."""
    while parent[v] != v:
        parent[v] = parent[parent[v]]
        v = parent[v]
    return v


@kernel
def find_islands(wires: Wires, up: Flags, parent: Indices) -> None:
    """Set each bus's `parent` to the last bus of its island."""
    for v in range(len(parent)):
        parent[v] = v
    for k in range(len(up)):
        if up[k]:
            a, b = root_of(parent, wires.source[k]), root_of(parent, wires.target[k])
            parent[min(a, b)] = max(a, b)
    for v in range(len(parent)):
        parent[v] = root_of(parent, v)


@kernel
def balance(island: Indices, demand: Floats, made: Floats, up_too: bool) -> None:
    """Scale each island's generation down (or up, too) to its demand, else its demand to its generation."""
    n = len(island)
    wanted, given = np.zeros(n), np.zeros(n)
    for v in range(n):
        wanted[island[v]] += demand[v]
        given[island[v]] += made[v]
    for v in range(n):
        i = island[v]
        if given[i] >= wanted[i] * (1.0 - ROUNDING) or (up_too and given[i] > 0.0):
            if given[i] > 0.0:
                made[v] *= wanted[i] / given[i]
        else:
            demand[v] *= given[i] / wanted[i]


@kernel
def factorise(wires: Wires, up: Flags, island: Indices) -> Floats:
    """Give D by bus, then L by entry, of the grid with some lines up."""
    n = len(island)
    value, size = np.zeros(n + len(wires.row) + 1), np.zeros(n)
    for k in range(len(up)):
        if up[k]:
            s, t, b = wires.source[k], wires.target[k], wires.susceptance[k]
            value[s] += b
            value[t] += b
            value[n + wires.cell[k]] -= b
            size[s] += abs(b)
            size[t] += abs(b)
    u = 0
    for j in range(n):
        first, last = wires.start[j], wires.start[j + 1]
        if abs(value[j]) < CANCELLED * size[j]:
            value[j] = CANCELLED * size[j]
        for a in range(first, last):
            below = value[n + a]
            if island[j] == j or below == 0.0:
                value[n + a] = 0.0
                u += last - a
                continue
            share = below / value[j]
            for b in range(a, last):
                value[wires.update[u]] -= share * value[n + b]
                u += 1
    for j in range(n):
        for a in range(wires.start[j], wires.start[j + 1]):
            if value[n + a] != 0.0:
                value[n + a] /= value[j]
    return value


@kernel
def solve(wires: Wires, value: Floats, island: Indices, power: Floats) -> None:
    """Turn what each bus feeds in, MW, into the buses' angles, in place."""
    n = len(island)
    for j in range(n):
        for a in range(wires.start[j], wires.start[j + 1]):
            power[wires.row[a]] -= value[n + a] * power[j]
    for j in range(n - 1, -1, -1):
        power[j] = 0.0 if island[j] == j else power[j] / value[j]
        for a in range(wires.start[j], wires.start[j + 1]):
            power[j] -= value[n + a] * power[wires.row[a]]


@kernel
def find_flows(wires: Wires, up: Flags, island: Indices, power: Floats, flow: Floats) -> None:
    """Set the flow on each line, MW, from what each bus feeds in."""
    for k in range(len(up)):
        if up[k]:
            power[wires.source[k]] -= wires.pushed[k]
            power[wires.target[k]] += wires.pushed[k]
    solve(wires, factorise(wires, up, island), island, power)
    for k in range(len(up)):
        across = power[wires.source[k]] - power[wires.target[k]]
        flow[k] = wires.susceptance[k] * across + wires.pushed[k] if up[k] else 0.0


@kernel
def find_transfer(wires: Wires, transfer: Floats) -> None:
    """Set row k to the flows on all lines that 1 MW sent from line k's source to its target makes."""
    lines, n = len(wires.source), len(wires.place)
    up, island, power = np.ones(lines, np.bool_), np.empty(n, np.int32), np.empty(n)
    find_islands(wires, up, island)
    value = factorise(wires, up, island)
    for k in range(lines):
        power[:] = 0.0
        power[wires.source[k]] += 1.0
        power[wires.target[k]] -= 1.0
        solve(wires, value, island, power)
        for m in range(lines):
            across = power[wires.source[m]] - power[wires.target[m]]
            transfer[k, m] = wires.susceptance[m] * across


@kernel
def place_power(wires: Wires, load: Load, out: int) -> tuple[Floats, Floats]:
    """Give demand and generation in the order of elimination, with none at bus `out`."""
    n = len(wires.place)
    demand, made = np.empty(n), np.empty(n)
    for v in range(n):
        demand[wires.place[v]] = 0.0 if v == out else load.demand[v]
        made[wires.place[v]] = 0.0 if v == out else load.generation[v]
    return demand, made


@kernel
def settle(wires: Wires, load: Load, flow: Floats) -> None:
    """Balance a world with every line up, generation up as well as down, and set its flows."""
    island, up = np.empty(len(wires.place), np.int32), np.ones(len(flow), np.bool_)
    demand, made = place_power(wires, load, -1)
    find_islands(wires, up, island)
    balance(island, demand, made, True)
    for v in range(len(wires.place)):
        load.demand[v], load.generation[v] = demand[wires.place[v]], made[wires.place[v]]
    find_flows(wires, up, island, made - demand, flow)


@kernel
def play(wires: Wires, load: Load, fell: Indices, out: int) -> float:
    """Play on from the lines that are up, and bus `out` gone (-1: none); give the demand lost, MW.

    `fell` is -1 for a line that is up, else the round in which it fell; 0 for the outage itself.
    """
    island, flow = np.empty(len(wires.place), np.int32), np.empty(len(fell))
    demand, made = place_power(wires, load, out)
    up = fell < 0
    rounds, again = 0, True
    while again:
        find_islands(wires, up, island)
        balance(island, demand, made, False)
        find_flows(wires, up, island, made - demand, flow)
        rounds, again = rounds + 1, False
        for k in range(len(up)):
            if up[k] and abs(flow[k]) > load.capacity[k] + SLACK:
                up[k], fell[k], again = False, rounds, True
    lost = 0.0
    for v in range(len(demand)):  # bus by bus: where nothing is shed, nothing is lost, to the last bit
        lost += load.demand[v] - demand[wires.place[v]]
    return lost


@kernel
def overloads(load: Load, flow: Floats, factors: Floats, k: int) -> bool:
    """Whether the outage of line k overloads a line at once, or splits the grid; else it loses nothing."""
    l = 0
    while l < len(flow) and abs(flow[l] + factors[l] * flow[k]) <= load.capacity[l] + SLACK:
        l += 1
    return l < len(flow)


@kernel
def play_lines(wires: Wires, load: Load, flow: Floats, factors: Floats, lost: Floats) -> None:
    """Set `lost` for each line to the demand that its outage loses in a balanced world, MW."""
    fell = np.empty(len(flow), np.int32)
    for k in range(len(flow)):
        lost[k] = 0.0
        if overloads(load, flow, factors[k], k):
            fell[:] = -1
            fell[k] = 0
            lost[k] = play(wires, load, fell, -1)


@kernel
def play_buses(wires: Wires, load: Load, lost: Floats) -> None:
    """Set `lost` for each bus to the demand that its outage loses with all its lines, its own included."""
    fell = np.empty(len(wires.source), np.int32)
    for v in range(len(lost)):
        at = wires.place[v]
        for k in range(len(fell)):
            fell[k] = 0 if wires.source[k] == at or wires.target[k] == at else -1
        lost[v] = play(wires, load, fell, v)
