"""Percolation on undirected graphs: the component of every node, in every sampled world."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ripstop.risk.kernels.jit import inlined, kernel, popcount
from ripstop.risk.kernels.shapes import Counts, Indices, Network, Question, Room, Tally, Unsigned
from ripstop.risk.kernels.words import (
    LANES,
    ONE,
    WORTH,
    ZERO,
    bound_lanes,
    count_mass,
    draw_words,
    flood_one,
    heavy_lanes,
    lanes_of,
    promising_lanes,
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
def flood_pivot(
    network: Network, question: Question, room: Room, lanes: np.uint64, place: tuple[int, Tally]
) -> np.uint64:
    """Settle the lanes that one pivot's component alone decides; give those left open.

    Where what lies outside the pivot's component is too light to count, every node is settled. In the other
    lanes a component that counts is settled and its edges are taken out of the words. `place`: the pivot,
    and the tally.
    """
    pivot, tally = place
    reach = room.reach
    flood_one(network.out, room, pivot, lanes, reach)
    count_mass(reach, network, room)
    counted = lanes & heavy_lanes(room, question.need)
    if counted == ZERO:
        return lanes
    left = lanes & ~heavy_lanes(room, network.total - question.need + 1)
    for v in range(len(reach)):
        tally.hits[v] += np.int64(popcount(reach[v] & counted))
    if left != ZERO:
        for e in range(len(room.words)):
            room.words[e] &= left & ~(reach[network.source[e]] & counted)
    return left


@kernel
def flood_lanes(
    network: Network, question: Question, room: Room, lanes: np.uint64, tally: Tally
) -> np.uint64:
    """Flood from pivots for as long as they settle lanes; give those left open."""
    tally.left[2] += np.int64(popcount(lanes))
    for i in range(len(question.pivots)):
        asked = np.int64(popcount(lanes))
        lanes = flood_pivot(network, question, room, lanes, (int(question.pivots[i]), tally))
        if WORTH * np.int64(popcount(lanes)) > (WORTH - 1) * asked or lanes == ZERO:
            break
    tally.left[3] += np.int64(popcount(lanes))
    return lanes


@kernel
def run_blocks(
    network: Network, question: Question, blocks: Counts, room: Room, forest: Forest, tally: Tally
) -> None:
    """Sample blocks `blocks[0]` to `blocks[1]` and add what is counted to `tally`."""
    for block in range(blocks[0], blocks[1]):
        left = lanes_of(block, question.trials)
        asked = np.int64(popcount(left))
        draw_words(network, question.key, block, left, room)
        if question.bound:
            left = bound_lanes(network, question, room, left, tally.left)
        if question.flood and 2 * np.int64(popcount(left)) >= asked:
            left = flood_lanes(network, question, room, left, tally)
        if left != ZERO and not question.bound and not question.exact:
            left = promising_lanes(network, question, room, left)
        if left != ZERO:
            tally.open[0] = left
            join_lanes(network, question, room, forest, tally)
