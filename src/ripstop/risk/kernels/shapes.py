"""The arrays that kernels share, packed so that a kernel takes a handful of arguments."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
BitRows = NDArray[np.uint64]
Indices = NDArray[np.int32]
Unsigned = NDArray[np.uint32]
Counts = NDArray[np.int64]
Flags = NDArray[np.bool_]


GROUP_BITS = np.uint32(6)
GROUP = np.uint32(1 << 6)
"""Nodes that a flood looks at together."""


class Adjacency(NamedTuple):
    """Edges by node, compressed: those of `v` stand at `start[v]:start[v + 1]`."""

    start: Counts
    neighbour: Unsigned
    edge: Unsigned


class Network(NamedTuple):
    """A graph as kernels see it.

    `threshold[e]` is edge e's probability times 2**64 (all ones: certain), `key[e]` what its draws are keyed
    by: its place in the graph. Edges come by source. `mass` weighs the nodes in whole units, so that sums do
    not depend on their order; `unit` says that each weighs one; `total` and `heaviest` are their sum and
    maximum. An undirected network has the same adjacency both ways. Indices that are read in inner loops are
    unsigned: a signed one costs a test for counting from the end.
    """

    source: Indices
    target: Indices
    threshold: Words
    key: Indices
    out: Adjacency
    back: Adjacency
    mass: Counts
    directed: bool
    unit: bool
    total: int
    heaviest: int


class Question(NamedTuple):
    """What is asked of the sampled worlds.

    `need` is the least mass of a cascade that counts, `fewest` the least number of live edges in it; 0 where
    so many are to be expected that nobody counts them. World `64 * b + i` is lane i of block b, drawn from
    `key`. `pivots` are well-connected nodes, tried first; they start floods, if `flood`. `bound`: weigh what
    sets of nodes reach before the lanes are searched one by one. `exact` wants the mean mass of every node's
    cascade too.
    """

    need: int
    fewest: int
    trials: int
    key: np.uint64
    pivots: Indices
    flood: bool
    bound: bool
    exact: bool


class Tally(NamedTuple):
    """What is counted: by node, the worlds in which its cascade counts and the sum of its cascade's mass.

    `left` counts the lanes on which sets were tried, those left open by that, those on which floods were
    tried, and those left open by them; `open[0]` are those of the block at hand.
    """

    hits: Counts
    mass: Counts
    left: Counts
    open: Words


class Room(NamedTuple):
    """Room for one block of worlds, allocated outside: arrays made in a kernel cost much compile time.

    `words`: live lanes by edge. `along`: the same as a flood passes them. `reach`, `back`: lanes by node.
    `spread`, `waits`: a flood's own, by node and by group of nodes. `counts`, `offsets`, `packed`: by lane.
    """

    words: Words
    reach: Words
    back: Words
    along: Words
    spread: Words
    waits: NDArray[np.uint8]
    counts: Counts
    offsets: Counts
    packed: Words


def make_room(network: Network) -> Room:
    """Allocate for one thread."""
    n = len(network.mass)
    return Room(
        words=np.zeros(len(network.threshold), np.uint64),
        reach=np.zeros(n, np.uint64),
        back=np.zeros(n, np.uint64),
        along=np.zeros(len(network.out.edge), np.uint64),
        spread=np.zeros(n, np.uint64),
        waits=np.zeros((n >> 6) + 1, np.uint8),
        counts=np.zeros(64, np.int64),
        offsets=np.zeros(65, np.int64),
        packed=np.zeros(8, np.uint64),
    )
