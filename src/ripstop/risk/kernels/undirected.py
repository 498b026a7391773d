"""Percolation on undirected graphs: the component of every node, in every sampled world."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ripstop.risk.kernels.floods import settle_together
from ripstop.risk.kernels.jit import inlined, kernel
from ripstop.risk.kernels.shapes import Counts, Indices, Network, Question, Room, Tally, Unsigned
from ripstop.risk.kernels.words import (
    LANES,
    ONE,
    ZERO,
    split_lanes,
)


class Forest(NamedTuple):
    """Union-find trees in which no parent stands behind its child, and each component's mass at its root."""

    parent: Unsigned
    mass: Counts


def make_forest(n: int) -> Forest:
    """Allocate for n nodes."""
    return Forest(np.zeros(n, np.uint32), np.zeros(n, np.int64))


@inlined
def unite(parent: Unsigned, a: np.uint32, b: np.uint32) -> None:
    """Join the trees of two nodes: climb where the parent stands further behind, splicing the way up.

    References:
        Patwary, Blair, Manne (2010), Experiments on union-find algorithms for the disjoint-set data
        structure, SEA (Rem's algorithm, from Dijkstra 1976).
    """
    above_a, above_b = parent[a], parent[b]
    while above_a != above_b:
        if above_a < above_b:
            a, b, above_a, above_b = b, a, above_b, above_a
        parent[a] = above_b
        if a == above_a:
            return
        a, above_a = above_a, parent[above_a]


@kernel
def join_edges(network: Network, room: Room, edges: Indices, lane: int, forest: Forest) -> int:
    """Find the components of a lane's live edges; give the largest one's mass.

    After it every node's parent is its root.
    """
    parent, mass, source, target = forest.parent, forest.mass, network.source, network.target
    for v in range(len(parent)):
        parent[v] = v
        mass[v] = 0
    for i in range(room.offsets[lane], room.offsets[lane + 1]):
        e = edges[i]
        unite(parent, np.uint32(source[e]), np.uint32(target[e]))
    largest = np.int64(0)
    for v in range(len(parent)):
        root = parent[parent[v]]  # what stands before v has its root already
        parent[v] = root
        mass[root] += network.mass[v]
        largest = max(largest, mass[root])
    return int(largest)


@kernel
def join_lanes(network: Network, question: Question, room: Room, forest: Forest, tally: Tally) -> None:
    """Find the components in the lanes left open and count their nodes."""
    edges = split_lanes(room)
    parent, mass = forest.parent, forest.mass
    for lane in range(LANES):
        if (tally.open[0] >> np.uint64(lane)) & ONE == ZERO:
            continue
        largest = join_edges(network, room, edges, lane, forest)
        if question.exact:
            for v in range(len(parent)):
                tally.mass[v] += mass[parent[v]]
        if largest >= question.need:
            for v in range(len(parent)):
                tally.hits[v] += mass[parent[v]] >= question.need


@kernel
def run_blocks(
    network: Network, question: Question, blocks: Counts, room: Room, forest: Forest, tally: Tally
) -> None:
    """Sample blocks `blocks[0]` to `blocks[1]` and add what is counted to `tally`."""
    for block in range(blocks[0], blocks[1]):
        tally.open[0] = settle_together(network, question, block, room, tally)
        if tally.open[0] != ZERO:
            join_lanes(network, question, room, forest, tally)
