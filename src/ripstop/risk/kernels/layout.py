"""How edges are put in order: counting sorts, for keys are small whole numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ripstop.risk.kernels.jit import kernel
from ripstop.risk.kernels.shapes import Adjacency, Counts, Indices, Unsigned, Words

Floats = NDArray[np.float64]

CERTAIN = np.uint64(0xFFFFFFFFFFFFFFFF)
WHOLE = 18446744073709551616.0  # 2**64


@kernel
def start_of(key: Indices, n: int) -> Counts:
    """Tell by key in 0 .. n - 1 how many entries have a lesser one, one place further on, shape (n + 2,).

    Whoever lays entries out moves `start[k + 1]` on with each: then those of `k` begin at `start[k]`.
    """
    start = np.zeros(n + 2, np.int64)
    for k in key:
        start[k + 2] += 1
    for v in range(n):
        start[v + 2] += start[v + 1]
    return start


@kernel
def by_source(
    source: Indices, target: Indices, place: Indices, directed: bool
) -> tuple[Indices, Indices, Indices]:
    """Give the edges between places, in order of their sources, and which edge each was.

    An undirected edge goes from the lesser place to the greater.
    """
    first, last = np.empty(len(source), np.int32), np.empty(len(source), np.int32)
    for e in range(len(source)):
        s, t = place[source[e]], place[target[e]]
        ahead = directed or s < t
        first[e] = s if ahead else t
        last[e] = t if ahead else s
    start = start_of(first, len(place))
    sources, targets, key = np.empty_like(first), np.empty_like(first), np.empty_like(first)
    for e in range(len(first)):
        s = first[e]
        i = start[s + 1]
        start[s + 1] = i + 1
        sources[i], targets[i], key[i] = s, last[e], e
    return sources, targets, key


@kernel
def lay(origin: Indices, other: Indices, start: Counts, neighbour: Unsigned, edge: Unsigned) -> None:
    """Lay edges out by one of their ends, as they come, and move `start` on with each."""
    for e in range(len(origin)):
        i = start[origin[e] + 1]
        start[origin[e] + 1] = i + 1
        neighbour[i], edge[i] = other[e], e


@kernel
def adjacency_of(n: int, source: Indices, target: Indices) -> Adjacency:
    """Give the edges by their sources, those of one as they come."""
    start = start_of(source, n)
    neighbour, edge = np.empty(len(source), np.uint32), np.empty(len(source), np.uint32)
    lay(source, target, start, neighbour, edge)
    return Adjacency(start[: n + 1], neighbour, edge)


@kernel
def adjacency_both_ways(n: int, source: Indices, target: Indices) -> Adjacency:
    """Give the edges by each of their ends, those of one as they come, first those that leave it."""
    start = start_of(source, n) + start_of(target, n)
    neighbour, edge = np.empty(2 * len(source), np.uint32), np.empty(2 * len(source), np.uint32)
    lay(source, target, start, neighbour, edge)
    lay(target, source, start, neighbour, edge)
    return Adjacency(start[: n + 1], neighbour, edge)


@kernel
def nearness_order(near: Adjacency) -> Indices:
    """Give each node its place in the order of a search in breadth: neighbours stand near each other."""
    start, neighbour = near.start, near.neighbour
    n = len(start) - 1
    place, order = np.full(n, -1, np.int32), np.empty(n, np.int32)
    found = 0
    for origin in range(n):
        if place[origin] < 0:
            place[origin], order[found] = found, origin
            passed, found = found, found + 1
            while passed < found:
                v = order[passed]
                passed += 1
                for i in range(start[v], start[v + 1]):
                    u = neighbour[i]
                    if place[u] < 0:
                        place[u], order[found] = found, u
                        found += 1
    return place


@kernel
def strengths_of(
    n: int, source: Indices, target: Indices, weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Give the sum of the weights that meet at each node."""
    found = np.zeros(n)
    for e in range(len(source)):
        found[source[e]] += weight[e]
        found[target[e]] += weight[e]
    return found


@kernel
def thresholds_of(weight: Floats, key: Indices) -> Words:
    """Give the probability of each edge that `key` names times 2**64; all ones stand for certainty."""
    found = np.empty(len(key), np.uint64)
    for i in range(len(key)):
        w = weight[key[i]]
        found[i] = CERTAIN if w >= 1.0 else np.uint64(w * WHOLE)
    return found
