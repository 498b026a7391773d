"""Linear threshold on all nodes at once: in every world each node is felled by at most one neighbour.

Theory of operation. A node that fails once the weights of its failed neighbours add up to a uniform random
number is, in distribution, a node that picks one in-neighbour with the weight's probability (or none) and
fails exactly if that one does. A world is then a pseudo-forest, at most one parent a node, and what a node
fells is its subtree; on a cycle, the whole component. Peeling leaves sums all subtrees in O(n).

References:
    Kempe, Kleinberg, Tardos (2003), Maximizing the spread of influence, KDD, claim 2.6.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ripstop.risk.kernels.jit import kernel
from ripstop.risk.kernels.shapes import Counts, Indices, Tally, Unsigned
from ripstop.risk.kernels.words import GOLDEN, STRIDE, mix

UNIT = 2.0**-53
NONE = -1


class Picks(NamedTuple):
    """Who may fell whom: in-neighbours by node, with the running sum of their weights within the node."""

    start: Counts
    neighbour: Unsigned
    upto: NDArray[np.float64]
    mass: Counts


@kernel
def pick_parents(picks: Picks, key: np.uint64, world: int, parent: Indices) -> None:
    """Draw each node's parent in one world, -1 for none."""
    stream = mix(mix(key) + np.uint64(world + 1) * GOLDEN)
    for v in range(len(parent)):
        parent[v] = NONE
        drawn = np.float64(mix(stream + np.uint64(v + 1) * STRIDE) >> np.uint64(11)) * UNIT
        for i in range(picks.start[v], picks.start[v + 1]):
            if drawn < picks.upto[i]:
                parent[v] = picks.neighbour[i]
                break


@kernel
def sum_subtrees(parent: Indices, mass: Counts, fells: Counts) -> None:
    """Give the mass of what each node fells, itself included."""
    n = len(parent)
    children = np.zeros(n, np.int32)
    queue = np.empty(n, np.int32)
    for v in range(n):
        fells[v] = mass[v]
        if parent[v] != NONE:
            children[parent[v]] += 1
    tail = 0
    for v in range(n):
        if children[v] == 0:
            queue[tail] = v
            tail += 1
    head = 0
    while head < tail:
        v = queue[head]
        head += 1
        p = parent[v]
        children[v] = NONE  # peeled
        if p != NONE:
            fells[p] += fells[v]
            children[p] -= 1
            if children[p] == 0:
                queue[tail] = p
                tail += 1
    for v in range(n):
        if children[v] > 0:
            share_cycle(parent, children, fells, v)


@kernel
def share_cycle(parent: Indices, children: Indices, fells: Counts, first: int) -> None:
    """Give every node of the cycle through `first` the mass of them all, and mark it as done."""
    total = fells[first]
    v = parent[first]
    while v != first:
        total += fells[v]
        v = parent[v]
    for _ in range(len(parent)):
        fells[v] = total
        children[v] = NONE
        v = parent[v]
        if v == first:
            break


@kernel
def run_worlds(picks: Picks, key: np.uint64, worlds: Counts, need: int, tally: Tally) -> None:
    """Play worlds `worlds[0]` to `worlds[1]` and add what is counted to `tally`."""
    n = len(picks.mass)
    parent = np.empty(n, np.int32)
    fells = np.empty(n, np.int64)
    for world in range(worlds[0], worlds[1]):
        pick_parents(picks, key, world, parent)
        sum_subtrees(parent, picks.mass, fells)
        for v in range(n):
            tally.mass[v] += fells[v]
            if fells[v] >= need:
                tally.hits[v] += 1
