"""Percolation on directed graphs: what every node reaches, in every sampled world.

Theory of operation. In an undirected world one component answers for all its nodes; in a directed one each
node has its own reach, and counting all of them exactly is transitive closure. Most worlds need no such
thing, for the question is only whether a reach has the mass `need`:

1. *Pivot.* A forward and a backward flood from one well-connected node, 64 worlds at once, give its reach R
   and the set B of nodes that reach it. Where R counts, all of B counts; a node outside B reaches nothing in
   B, so where the mass outside B is below `need` the world is settled. Dense worlds end here.
2. *Bound.* In the others, Tarjan's algorithm yields the strong components, sinks first. The mass of a
   component plus the bounds of its successors bounds its reach from above (shared descendants count twice),
   and the largest of its successors' reaches bounds it from below. Sparse worlds end here.
3. *Anchor.* Near the critical point descendants are shared a lot and the bound is loose. The heaviest reach
   searched so far in this world, the anchor's, is then counted once for all: reach(c) <= anchor's reach +
   what c adds outside it. What even so stays open is searched, and may become the anchor.

References:
    Tarjan (1972), Depth-first search and linear graph algorithms, SIAM J. Comput. 1(2).
"""

from __future__ import annotations

from typing import NamedTuple

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
    split_lanes,
)

CAP = 1 << 40
"""Bounds stop growing here: shared descendants would double them at every step. No total mass exceeds it."""


class World(NamedTuple):
    """One sampled world and the state of the search through it.

    `start`, `target`: live edges by source. `component`: the strong component of a node, numbered sinks
    first; `members` lists the nodes by component, `ends[c]:ends[c + 1]`. `bound[c]`: upper bound of the
    reach, exact where a search ended below its limit. `seen`: stamp of the last search that met a node.
    """

    start: Counts
    target: Indices
    component: Indices
    members: Indices
    ends: Counts
    bound: Counts
    seen: Counts
    queue: Indices


@kernel
def make_world(n: int) -> World:
    """Allocate for n nodes; `target` is set per world."""
    return World(
        np.empty(n + 1, np.int64),
        np.empty(0, np.int32),
        np.empty(n, np.int32),
        np.empty(n, np.int32),
        np.empty(n + 1, np.int64),
        np.empty(n, np.int64),
        np.zeros(n, np.int64),
        np.empty(n, np.int32),
    )


@kernel
def lay_out(network: Network, edges: Indices, start: Counts) -> Indices:
    """Give the targets of the live edges, by source. The edges come in order of their sources."""
    target = np.empty(len(edges), np.int32)
    v = 0
    for i in range(len(edges)):
        s = network.source[edges[i]]
        while v <= s:
            start[v] = i
            v += 1
        target[i] = network.target[edges[i]]
    while v < len(start):
        start[v] = len(edges)
        v += 1
    return target


@kernel
def find_components(world: World) -> int:
    """Number the strong components, sinks first, without recursion; give how many there are."""
    n = len(world.component)
    order = np.zeros(n, np.int32)  # 0: not visited
    low = np.empty(n, np.int32)
    cursor = np.empty(n, np.int64)
    stack = np.empty(n, np.int32)
    path = np.empty(n, np.int32)
    world.component[:] = -1
    clock, found, placed, held = 0, 0, 0, 0
    world.ends[0] = 0
    for first in range(n):
        if order[first] != 0:
            continue
        depth = 1
        path[0] = first
        clock += 1
        order[first] = low[first] = clock
        cursor[first] = world.start[first]
        stack[held] = first
        held += 1
        while depth > 0:
            v = path[depth - 1]
            if cursor[v] < world.start[v + 1]:
                u = world.target[cursor[v]]
                cursor[v] += 1
                if order[u] == 0:
                    clock += 1
                    order[u] = low[u] = clock
                    cursor[u] = world.start[u]
                    stack[held] = u
                    held += 1
                    path[depth] = u
                    depth += 1
                elif world.component[u] < 0:
                    low[v] = min(low[v], order[u])
                continue
            depth -= 1
            if depth > 0:
                low[path[depth - 1]] = min(low[path[depth - 1]], low[v])
            if low[v] == order[v]:
                while True:
                    held -= 1
                    u = stack[held]
                    world.component[u] = found
                    world.members[placed] = u
                    placed += 1
                    if u == v:
                        break
                found += 1
                world.ends[found] = placed
    return found


@kernel
def search(world: World, mass: Counts, origin: int, stamp: int, limit: int) -> int:
    """Give the mass of what `origin` reaches, stamping what is met; stop at `limit`."""
    queue = world.queue
    queue[0] = origin
    world.seen[origin] = stamp
    head, tail = 0, 1
    total = int(mass[origin])
    while head < tail and total < limit:
        v = queue[head]
        head += 1
        for i in range(world.start[v], world.start[v + 1]):
            u = world.target[i]
            if world.seen[u] != stamp:
                world.seen[u] = stamp
                total += mass[u]
                queue[tail] = u
                tail += 1
    return total


@kernel
def bound_reach(world: World, mass: Counts, c: int, value: Counts) -> int:
    """Bound component c's reach: its own mass and the `value` of each component that an edge of it enters."""
    total = 0
    for i in range(world.ends[c], world.ends[c + 1]):
        v = world.members[i]
        total += mass[v]
        for j in range(world.start[v], world.start[v + 1]):
            d = world.component[world.target[j]]
            if d != c:
                total += value[d]
    return total


@kernel
def add_outside(world: World, mass: Counts, last: int, outside: Counts, stamp: int) -> None:
    """Bound what each component up to `last` adds to the anchor's reach, which carries `stamp`."""
    for c in range(last + 1):
        if world.seen[world.members[world.ends[c]]] == stamp:
            outside[c] = 0
        else:
            outside[c] = min(bound_reach(world, mass, c, outside), CAP)


@kernel
def enters_counted(world: World, c: int, need: int) -> bool:
    """Tell whether an edge of component c enters one whose reach is known to count."""
    for i in range(world.ends[c], world.ends[c + 1]):
        v = world.members[i]
        for j in range(world.start[v], world.start[v + 1]):
            d = world.component[world.target[j]]
            if d != c and world.bound[d] >= need:
                return True
    return False


@kernel
def settle_world(world: World, network: Network, question: Question, tally: Tally, stamp: int) -> int:
    """Count the nodes whose reach has the mass that is needed; give the last stamp used.

    INVARIANT: once component c is done, `bound[c] >= need` means exactly that its reach counts.
    """
    found = find_components(world)
    total = network.mass.sum()
    limit = total + 1 if question.exact else question.need
    outside = np.empty(found, np.int64)
    anchor, anchored = 0, 0  # the anchor's reach, and its stamp (0: none)
    for c in range(found):
        first = world.members[world.ends[c]]
        world.bound[c] = min(bound_reach(world, network.mass, c, world.bound), total)
        if anchored:
            outside[c] = min(bound_reach(world, network.mass, c, outside), total)
        if not question.exact:
            if world.bound[c] < question.need:
                continue
            if enters_counted(world, c, question.need):
                world.bound[c] = question.need
                continue
            if anchored and anchor + outside[c] < question.need:
                world.bound[c] = anchor + outside[c]
                continue
        stamp += 1
        world.bound[c] = search(world, network.mass, first, stamp, limit)
        if world.bound[c] < question.need and not question.exact and world.bound[c] > anchor:
            anchor, anchored = world.bound[c], stamp
            add_outside(world, network.mass, c, outside, stamp)
    for v in range(len(network.mass)):
        reached = world.bound[world.component[v]]
        tally.mass[v] += reached
        if reached >= question.need:
            tally.hits[v] += 1
    return stamp


@kernel
def settle_lanes(network: Network, question: Question, words: Words, lanes: np.uint64, tally: Tally) -> None:
    """Settle each of `lanes` by itself. A node without an edge in `words` counts by its own mass only."""
    offsets = np.empty(LANES + 1, np.int64)
    edges = split_lanes(words, np.empty(LANES, np.int64), offsets)
    world = make_world(len(network.mass))
    stamp = 0
    for lane in range(LANES):
        if (lanes >> np.uint64(lane)) & ONE == ZERO:
            continue
        live = edges[offsets[lane] : offsets[lane + 1]]
        target = lay_out(network, live, world.start)
        laid = World(
            world.start,
            target,
            world.component,
            world.members,
            world.ends,
            world.bound,
            world.seen,
            world.queue,
        )
        stamp = settle_world(laid, network, question, tally, stamp)


@kernel
def flood_block(
    network: Network, question: Question, words: Words, lanes: np.uint64, tally: Tally
) -> np.uint64:
    """Settle the lanes that the pivot decides; give those left open.

    Where the pivot's reach counts, the nodes that reach it are counted and their edges taken out of `words`:
    no other node reaches them.
    """
    n = len(network.mass)
    counts = np.empty(LANES, np.int64)
    reach = np.zeros(n, np.uint64)
    reach[question.pivot] = lanes
    flood(network.out, words, question.pivot, reach)
    count_lanes(reach, network.mass, network.unit, counts)
    counted = ZERO
    for lane in range(LANES):
        if counts[lane] >= question.need:
            counted |= (ONE << np.uint64(lane)) & lanes
    if counted == ZERO:
        return lanes
    origin = np.zeros(n, np.uint64)
    origin[question.pivot] = counted
    flood(network.back, words, question.pivot, origin)
    count_lanes(origin, network.mass, network.unit, counts)
    total = network.mass.sum()
    left = lanes & ~counted
    for lane in range(LANES):
        if total - counts[lane] >= question.need:
            left |= (ONE << np.uint64(lane)) & counted
    for v in range(n):
        tally.hits[v] += np.int64(popcount(origin[v]))
    if left != ZERO:
        for e in range(len(words)):
            words[e] &= left & ~origin[network.source[e]]
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
        if left != ZERO:
            settle_lanes(network, question, words, left, tally)
