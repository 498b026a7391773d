"""Line outages on a power grid, each played until nothing is overloaded any more, by DC power flow.

Theory of operation. Lines that are down are taken out of the flows of the whole grid by the matrix inversion
lemma: where S are down, the others carry f + H_S x with (I - H_SS) x = f_S; f are the flows with every line
up, H the transfer factors. So a round solves as many equations as lines are down, and factorises no grid.
I - H_SS is singular where S splits the grid. Each part balances itself, so a line that alone joins two parts
carries nothing: a spanning tree of such lines is left up in the equations, which changes no flow.

References:
    Woodbury (1950), Inverting modified matrices; Alsac, Stott, Tinney (1983), Sparsity-oriented compensation
    methods for modified network solutions, IEEE Trans. PAS-102 (the same for outages).
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


class Wires(NamedTuple):
    """A grid's lines and what moves their flows.

    `shift` (lines, buses): the flow on a line that 1 MW fed in at a bus makes. `transfer` (lines, lines):
    row k holds the flows on all lines that 1 MW sent from line k's source to its target makes.
    """

    source: Indices
    target: Indices
    shift: Floats
    transfer: Floats


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
def join(parent: Indices, a: int, b: int) -> bool:
    """Join two trees; False if they are one."""
    a, b = root_of(parent, a), root_of(parent, b)
    parent[max(a, b)] = min(a, b)
    return a != b


@kernel
def find_islands(wires: Wires, up: Flags, parent: Indices) -> None:
    """Set each bus's `parent` to the first bus of its island."""
    for v in range(len(parent)):
        parent[v] = v
    for k in range(len(up)):
        if up[k]:
            join(parent, wires.source[k], wires.target[k])
    for v in range(len(parent)):
        parent[v] = root_of(parent, v)


@kernel
def balance(island: Indices, demand: Floats, made: Floats) -> None:
    """Scale each island's generation down to its demand, or its demand down to its generation."""
    n = len(island)
    wanted, given = np.zeros(n), np.zeros(n)
    for v in range(n):
        wanted[island[v]] += demand[v]
        given[island[v]] += made[v]
    for v in range(n):
        i = island[v]
        if given[i] >= wanted[i] * (1.0 - ROUNDING):
            if given[i] > 0.0:
                made[v] *= wanted[i] / given[i]
        elif wanted[i] > 0.0:
            demand[v] *= max(given[i], 0.0) / wanted[i]


@kernel
def carry_over(wires: Wires, flow: Floats, up: Flags, island: Indices) -> Floats:
    """Give the flows with the lines that are down taken out of those with every line up."""
    gone = np.empty(len(up), np.int64)
    count = 0
    for k in range(len(up)):
        # The first lines that join islands are their spanning tree; they carry nothing.
        if not up[k] and not join(island, wires.source[k], wires.target[k]):
            gone[count] = k
            count += 1
    matrix, right = np.empty((count, count)), np.empty(count)
    for i in range(count):
        right[i] = flow[gone[i]]
        for j in range(count):
            matrix[i, j] = -wires.transfer[gone[j], gone[i]]
        matrix[i, i] += 1.0
    moved = np.linalg.solve(matrix, right)
    for j in range(count):
        more, row = moved[j], wires.transfer[gone[j]]
        for k in range(len(flow)):
            flow[k] += more * row[k]
    return flow


@kernel
def play(wires: Wires, load: Load, first: int) -> float:
    """Play the outage of one line of a balanced grid; give the demand lost, MW."""
    up, island = np.ones(len(load.capacity), np.bool_), np.empty(len(load.demand), np.int32)
    demand, made = load.demand.copy(), load.generation.copy()
    up[first] = False
    again = True
    while again:
        find_islands(wires, up, island)
        balance(island, demand, made)
        flow = carry_over(wires, np.dot(wires.shift, made - demand), up, island)
        again = False
        for k in range(len(up)):
            if up[k] and abs(flow[k]) > load.capacity[k] + SLACK:
                up[k] = False
                again = True
    return float(load.demand.sum() - demand.sum())


@kernel
def play_each(wires: Wires, load: Load, lines: Counts, lost: Floats) -> None:
    """Set `lost[k]` for each line k of `lines` to the demand that its outage loses, MW."""
    for k in lines:
        lost[k] = play(wires, load, k)
