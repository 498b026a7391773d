"""Percolation on undirected graphs: the component of every node, in every sampled world."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ripstop.risk.kernels.jit import kernel, popcount
from ripstop.risk.kernels.shapes import Counts, Indices, Network, Question, Room, Tally
from ripstop.risk.kernels.words import (
    LANES,
    ONE,
    ZERO,
    count_mass,
    draw_words,
    flood_one,
    heavy_lanes,
    lanes_of,
    promising_lanes,
    settle_bounded,
    split_lanes,
)


@kernel
def root_of(parent: Indices, v: int) -> int:
    """Find the root of a node's tree, halving the path on the way (Tarjan, van Leeuwen 1984)."""
    while parent[v] != v:
        parent[v] = parent[parent[v]]
        v = parent[v]
    return v


class Forest(NamedTuple):
    """Union-find trees: each node's parent, and the component's mass at its root."""

    parent: Indices
    mass: Counts


def make_forest(n: int) -> Forest:
    """Allocate for n nodes."""
    return Forest(np.zeros(n, np.int32), np.zeros(n, np.int64))


@kernel
def join_edges(network: Network, room: Room, edges: Indices, lane: int, forest: Forest) -> int:
    """Unite the ends of a lane's live edges; give the largest component's mass."""
    parent, mass = forest.parent, forest.mass
    for v in range(len(parent)):
        parent[v] = v
        mass[v] = network.mass[v]
    largest = network.heaviest
    for i in range(room.offsets[lane], room.offsets[lane + 1]):
        a = root_of(parent, int(network.source[edges[i]]))
        b = root_of(parent, int(network.target[edges[i]]))
        if a == b:
            continue
        if mass[a] < mass[b]:
            a, b = b, a
        parent[b] = a
        mass[a] += mass[b]
        largest = max(largest, mass[a])
    return largest


@kernel
def join_lanes(network: Network, question: Question, room: Room, forest: Forest, tally: Tally) -> None:
    """Find the components in the lanes left open and count their nodes."""
    edges = split_lanes(room)
    for lane in range(LANES):
        if (tally.open[0] >> np.uint64(lane)) & ONE == ZERO:
            continue
        largest = join_edges(network, room, edges, lane, forest)
        if largest < question.need and not question.exact:
            continue
        for v in range(len(forest.parent)):
            found = forest.mass[root_of(forest.parent, v)]
            tally.mass[v] += found
            if found >= question.need:
                tally.hits[v] += 1


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
def run_blocks(
    network: Network, question: Question, blocks: Counts, room: Room, forest: Forest, tally: Tally
) -> None:
    """Sample blocks `blocks[0]` to `blocks[1]` and add what is counted to `tally`."""
    for block in range(blocks[0], blocks[1]):
        left = lanes_of(block, question.trials)
        draw_words(network, question.key, block, left, room.words)
        if question.flood:
            for i in range(len(question.pivots)):
                if left != ZERO:
                    left = flood_pivot(network, question, room, left, (int(question.pivots[i]), tally))
        tally.left[0] += np.int64(popcount(left))
        if not question.exact:
            left &= promising_lanes(network, room, question.need)
        if question.bound and left != ZERO:
            tally.left[1] += np.int64(popcount(left))
            left = settle_bounded(network, room, question.need, left)
            tally.left[2] += np.int64(popcount(left))
        if left != ZERO:
            tally.open[0] = left
            join_lanes(network, question, room, forest, tally)
