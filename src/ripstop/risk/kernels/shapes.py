"""The arrays that kernels share, packed so that a kernel takes a handful of arguments."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
BitRows = NDArray[np.uint64]
Indices = NDArray[np.int32]
Counts = NDArray[np.int64]
Flags = NDArray[np.bool_]


class Adjacency(NamedTuple):
    """Edges by node, compressed: those of `v` stand at `start[v]:start[v + 1]`."""

    start: Counts
    neighbour: Indices
    edge: Indices


class Network(NamedTuple):
    """A graph as kernels see it.

    `threshold[e]` is edge e's probability times 2**64 (all ones: certain). `mass` weighs the nodes in whole
    units, so that sums do not depend on their order; `unit` says that each weighs one; `total` and `heaviest`
    are their sum and maximum. An undirected network has the same adjacency both ways.
    """

    source: Indices
    target: Indices
    threshold: Words
    out: Adjacency
    back: Adjacency
    mass: Counts
    directed: bool
    unit: bool
    total: int
    heaviest: int


class Question(NamedTuple):
    """What is asked of the sampled worlds.

    `need` is the least mass of a cascade that counts. World `64 * b + i` is lane i of block b, drawn from
    `key`. `pivots` are well-connected nodes, tried first; they start floods, if `flood`. `order` lists the
    nodes so that those which stand near each other in it are near each other in the graph. `exact` wants the
    mean mass of every node's cascade too.
    """

    need: int
    trials: int
    key: np.uint64
    pivots: Indices
    order: Indices
    flood: bool
    exact: bool


class Tally(NamedTuple):
    """What is counted: by node, the worlds in which its cascade counts and the sum of its cascade's mass.

    `left[0]` counts the lanes that the floods could not settle; `open[0]` are those of the block at hand.
    """

    hits: Counts
    mass: Counts
    left: Counts
    open: Words


class Room(NamedTuple):
    """Room for one block of worlds, allocated outside: arrays made in a kernel cost much compile time.

    `words`: live lanes by edge. `reach`, `back`: lanes by node. `fresh`, `queue`: a flood's own.
    `counts`, `offsets`, `packed`: by lane. INVARIANT: `fresh` is zero between floods.
    """

    words: Words
    reach: Words
    back: Words
    fresh: Words
    queue: Indices
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
        fresh=np.zeros(n, np.uint64),
        queue=np.zeros(n, np.int32),
        counts=np.zeros(64, np.int64),
        offsets=np.zeros(65, np.int64),
        packed=np.zeros(8, np.uint64),
    )
