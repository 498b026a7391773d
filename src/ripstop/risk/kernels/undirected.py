"""Percolation on undirected graphs: the component of every node, in every sampled world."""

from __future__ import annotations

import numpy as np

from ripstop.risk.kernels.jit import kernel, popcount
from ripstop.risk.kernels.shapes import Counts, Indices, Network, Question, Tally, Words
from ripstop.risk.kernels.words import (
    LANES,
    ONE,
    ZERO,
    count_lanes,
    draw_words,
    flood,
    lanes_of,
    promising_lanes,
    split_lanes,
)


@kernel
def root_of(parent: Indices, v: int) -> int:
    """Find the root of a node's tree, halving the path on the way (Tarjan, van Leeuwen 1984)."""
    while parent[v] != v:
        parent[v] = parent[parent[v]]
        v = parent[v]
    return v


@kernel
def join_edges(network: Network, edges: Indices, parent: Indices, mass: Counts) -> int:
    """Unite the ends of the given edges; give the largest component's mass, left in `mass` at its root."""
    largest = 0
    for v in range(len(parent)):
        parent[v] = v
        mass[v] = network.mass[v]
        largest = max(largest, mass[v])
    for e in edges:
        a = root_of(parent, network.source[e])
        b = root_of(parent, network.target[e])
        if a == b:
            continue
        if mass[a] < mass[b]:
            a, b = b, a
        parent[b] = a
        mass[a] += mass[b]
        largest = max(largest, mass[a])
    return largest


@kernel
def join_lanes(network: Network, question: Question, words: Words, lanes: np.uint64, tally: Tally) -> None:
    """Find the components in each of `lanes` and count their nodes."""
    n = len(network.mass)
    parent = np.empty(n, np.int32)
    mass = np.empty(n, np.int64)
    offsets = np.empty(LANES + 1, np.int64)
    edges = split_lanes(words, np.empty(LANES, np.int64), offsets)
    for lane in range(LANES):
        if (lanes >> np.uint64(lane)) & ONE == ZERO:
            continue
        largest = join_edges(network, edges[offsets[lane] : offsets[lane + 1]], parent, mass)
        if largest < question.need and not question.exact:
            continue
        for v in range(n):
            found = mass[root_of(parent, v)]
            tally.mass[v] += found
            if found >= question.need:
                tally.hits[v] += 1


@kernel
def flood_block(
    network: Network, question: Question, words: Words, lanes: np.uint64, tally: Tally
) -> np.uint64:
    """Settle the lanes that the pivot's component alone decides; give those left open.

    Where what lies outside the pivot's component is too light to count, every node is settled. In the other
    lanes the component is settled, its edges are taken out of `words`, and the rest is left to union-find.
    """
    counts = np.empty(LANES, np.int64)
    reach = np.zeros(len(network.mass), np.uint64)
    reach[question.pivot] = lanes
    flood(network.out, words, question.pivot, reach)
    count_lanes(reach, network.mass, network.unit, counts)
    total = network.mass.sum()
    counted, left = ZERO, ZERO
    for lane in range(LANES):
        bit = (ONE << np.uint64(lane)) & lanes
        if counts[lane] >= question.need:
            counted |= bit
        if total - counts[lane] >= question.need:
            left |= bit
    for v in range(len(reach)):
        tally.hits[v] += np.int64(popcount(reach[v] & counted))
    if left != ZERO:
        for e in range(len(words)):
            words[e] &= left & ~reach[network.source[e]]
    return left


@kernel
def run_blocks(network: Network, question: Question, first: int, last: int, tally: Tally) -> None:
    """Sample blocks `first` to `last` and add what is counted to `tally`."""
    words = np.empty(len(network.threshold), np.uint64)
    for block in range(first, last):
        left = lanes_of(block, question.trials)
        draw_words(network.threshold, np.uint64(question.key), block, left, words)
        if question.flood:
            left = flood_block(network, question, words, left, tally)
        tally.left[0] += np.int64(popcount(left))
        if not question.exact:
            left &= promising_lanes(network, words, False, question.need)
        if left != ZERO:
            join_lanes(network, question, words, left, tally)
