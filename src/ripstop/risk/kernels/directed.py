"""Percolation on directed graphs: what every node reaches, in every sampled world.

Theory of operation. In an undirected world one component answers for all its nodes; in a directed one each
node has its own reach, and counting all of them exactly is transitive closure. Most worlds need no such
thing, for the question is only whether a reach has the mass `need`:

1. *Pivot.* A forward and a backward flood from one well-connected node, 64 worlds at once, give its reach R
   and the set B of nodes that reach it. Where R counts, all of B counts; a node outside B reaches nothing in
   B, so where the mass outside B is below `need` the world is settled. Dense worlds end here.
2. *Weak components.* No reach is heavier than the weak component it lies in, nor than the nodes that any edge
   enters. Union-find rules out most nodes of sparse worlds, and most sparse worlds.
3. *Bound.* In the others, Tarjan's algorithm yields the strong components, sinks first. The mass of a
   component plus the bounds of its successors bounds its reach from above (shared descendants count twice),
   and the largest of its successors' reaches bounds it from below.
4. *Anchor.* Near the critical point descendants are shared a lot and the bound is loose. The heaviest reach
   searched so far in this world, the anchor's, is then counted once for all: reach(c) <= anchor's reach +
   what c adds outside it. What even so stays open is searched, and may become the anchor.

References:
    Tarjan (1972), Depth-first search and linear graph algorithms, SIAM J. Comput. 1(2).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ripstop.risk.kernels.jit import kernel, lowest_bit, popcount
from ripstop.risk.kernels.shapes import BitRows, Counts, Flags, Indices, Network, Question, Tally, Words
from ripstop.risk.kernels.undirected import join_edges, root_of
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

CAP = 1 << 40
"""Bounds stop growing here: shared descendants would double them at every step. No total mass exceeds it."""

COUNTED = -1
MOST_ROWS = 4096  # nodes; 2 MiB of bits, about a core's second-level cache


class World(NamedTuple):
    """One sampled world and the state of the search through it.

    `start`, `target`: live edges by source. `component`: the strong component of a node, numbered sinks
    first, -1 where it was left out; `members` lists the nodes by component, `ends[c]:ends[c + 1]`.
    `bound[c]`: upper bound of the reach, exact where a search ended below its limit. `seen`: stamp of the
    last search that met a node. `order` to `path`: the depth-first search's own.
    """

    start: Counts
    target: Indices
    component: Indices
    members: Indices
    ends: Counts
    bound: Counts
    outside: Counts
    seen: Counts
    queue: Indices
    order: Indices
    low: Indices
    cursor: Counts
    stack: Indices
    path: Indices


class Forest(NamedTuple):
    """Weak components: union-find trees with the mass at each root, and the nodes `wanted`.

    `stamp[0]` is the last one used. `reach` has room for a row of bits a component, or is empty.
    """

    parent: Indices
    mass: Counts
    wanted: Flags
    stamp: Counts
    reach: BitRows


@kernel
def make_world(n: int, most_edges: int) -> World:
    """Allocate for n nodes and at most so many live edges."""
    return World(
        np.empty(n + 1, np.int64),
        np.empty(most_edges, np.int32),
        np.empty(n, np.int32),
        np.empty(n, np.int32),
        np.empty(n + 1, np.int64),
        np.empty(n, np.int64),
        np.empty(n, np.int64),
        np.zeros(n, np.int64),
        np.empty(n, np.int32),
        np.empty(n, np.int32),
        np.empty(n, np.int32),
        np.empty(n, np.int64),
        np.empty(n, np.int32),
        np.empty(n, np.int32),
    )


@kernel
def lay_out(network: Network, edges: Indices, world: World) -> None:
    """Set the world's live edges, by source. The edges come in order of their sources."""
    v = 0
    for i in range(len(edges)):
        s = network.source[edges[i]]
        while v <= s:
            world.start[v] = i
            v += 1
        world.target[i] = network.target[edges[i]]
    while v < len(world.start):
        world.start[v] = len(edges)
        v += 1


@kernel
def close_component(world: World, root: int, held: int, found: int) -> int:
    """Pop component `found` off the stack down to its root; give how many nodes are still held."""
    placed = world.ends[found]
    while True:
        held -= 1
        u = world.stack[held]
        world.component[u] = found
        world.members[placed] = u
        placed += 1
        if u == root:
            break
    world.ends[found + 1] = placed
    return held


@kernel
def find_components(world: World, wanted: Flags) -> int:
    """Number the strong components of what `wanted` nodes reach, sinks first; give how many there are.

    A depth-first search without recursion. `order` is 0 before a visit; `low` as in Tarjan.
    """
    order, low, cursor, path = world.order, world.low, world.cursor, world.path
    order[:] = 0
    world.component[:] = -1
    world.ends[0] = 0
    clock, found, held = 0, 0, 0
    for first in range(len(wanted)):
        if not wanted[first] or order[first] != 0:
            continue
        path[0] = first
        depth = 0
        while depth >= 0:
            v = path[depth]
            if order[v] == 0:
                clock += 1
                order[v] = low[v] = clock
                cursor[v] = world.start[v]
                world.stack[held] = v
                held += 1
            pushed = False
            while cursor[v] < world.start[v + 1]:
                u = world.target[cursor[v]]
                cursor[v] += 1
                if order[u] == 0:
                    depth += 1
                    path[depth] = u
                    pushed = True
                    break
                if world.component[u] < 0:
                    low[v] = min(low[v], order[u])
            if pushed:
                continue
            if low[v] == order[v]:
                held = close_component(world, v, held, found)
                found += 1
            depth -= 1
            if depth >= 0:
                low[path[depth]] = min(low[path[depth]], low[v])
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
def bound_reach(world: World, mass: Counts, c: int, value: Counts, need: int) -> int:
    """Bound component c's reach: its own mass and the `value` of each component that an edge of it enters.

    COUNTED, if it enters one whose value is `need` or more.
    """
    total = 0
    for i in range(world.ends[c], world.ends[c + 1]):
        v = world.members[i]
        total += mass[v]
        for j in range(world.start[v], world.start[v + 1]):
            d = world.component[world.target[j]]
            if d != c:
                if value[d] >= need:
                    return COUNTED
                total += value[d]
    return min(total, CAP)


@kernel
def add_outside(world: World, mass: Counts, last: int, stamp: int) -> None:
    """Bound what each component up to `last` adds to the anchor's reach, which carries `stamp`."""
    for c in range(last + 1):
        if world.seen[world.members[world.ends[c]]] == stamp:
            world.outside[c] = 0
        else:
            world.outside[c] = bound_reach(world, mass, c, world.outside, CAP + 1)


@kernel
def bound_components(world: World, network: Network, need: int, found: int, stamp: int) -> int:
    """Settle every component against `need`; give the last stamp used.

    INVARIANT: once component c is done, `bound[c] >= need` means exactly that its reach counts.
    """
    anchor, anchored = 0, 0  # the anchor's reach, and its stamp (0: none)
    for c in range(found):
        bound = bound_reach(world, network.mass, c, world.bound, need)
        if anchored:
            world.outside[c] = bound_reach(world, network.mass, c, world.outside, CAP + 1)
        if bound == COUNTED:
            world.bound[c] = need
            continue
        if bound >= need and anchored:
            bound = min(bound, anchor + world.outside[c])
        world.bound[c] = bound
        if bound < need:
            continue
        stamp += 1
        bound = search(world, network.mass, world.members[world.ends[c]], stamp, need)
        world.bound[c] = bound
        if anchor < bound < need:
            anchor, anchored = bound, stamp
            add_outside(world, network.mass, c, stamp)
    return stamp


@kernel
def close_reach(world: World, network: Network, found: int, reach: BitRows) -> None:
    """Set each component's `bound` to its exact reach, by transitive closure in rows of bits by node.

    A row is closed, so a successor whose first member it holds already has nothing to add.
    """
    for c in range(found):
        row = reach[c]
        row[:] = ZERO
        for i in range(world.ends[c], world.ends[c + 1]):
            v = world.members[i]
            row[v >> 6] |= ONE << np.uint64(v & 63)
        for i in range(world.ends[c], world.ends[c + 1]):
            v = world.members[i]
            for j in range(world.start[v], world.start[v + 1]):
                u = world.target[j]
                if (row[u >> 6] >> np.uint64(u & 63)) & ONE == ZERO:
                    row |= reach[world.component[u]]
        total = 0
        for k in range(len(row)):
            rest = row[k]
            if network.unit:
                total += int(popcount(rest))
                continue
            while rest != ZERO:
                total += int(network.mass[64 * k + np.int64(lowest_bit(rest))])
                rest &= rest - ONE
        world.bound[c] = total


@kernel
def reach_exactly(world: World, network: Network, found: int, forest: Forest) -> None:
    """Set each component's `bound` to its exact reach: by rows of bits while small, else by search."""
    if len(forest.reach) > 0:
        close_reach(world, network, found, forest.reach)
        return
    for c in range(found):
        forest.stamp[0] += 1
        origin = world.members[world.ends[c]]
        world.bound[c] = search(world, network.mass, origin, forest.stamp[0], CAP + 1)


@kernel
def settle_lane(network: Network, question: Question, world: World, forest: Forest, tally: Tally) -> None:
    """Settle one world whose live edges are laid out and joined.

    Only a node whose weak component has the mass that is needed can reach as much.
    """
    mass = network.mass
    for v in range(len(mass)):
        heavy = forest.mass[root_of(forest.parent, v)] >= question.need
        forest.wanted[v] = heavy or question.exact
    found = find_components(world, forest.wanted)
    if question.exact:
        reach_exactly(world, network, found, forest)
    else:
        forest.stamp[0] = bound_components(world, network, question.need, found, forest.stamp[0])
    for v in range(len(mass)):
        if world.component[v] >= 0:
            reached = world.bound[world.component[v]]
            tally.mass[v] += reached
            if reached >= question.need:
                tally.hits[v] += 1


@kernel
def settle_lanes(network: Network, question: Question, words: Words, lanes: np.uint64, tally: Tally) -> None:
    """Settle each of `lanes` by itself. A node without an edge in `words` counts by its own mass only."""
    n = len(network.mass)
    offsets = np.empty(LANES + 1, np.int64)
    edges = split_lanes(words, np.empty(LANES, np.int64), offsets)
    world = make_world(n, np.diff(offsets).max())
    rows = n if question.exact and n <= MOST_ROWS else 0
    forest = Forest(
        np.empty(n, np.int32),
        np.empty(n, np.int64),
        np.empty(n, np.bool_),
        np.zeros(1, np.int64),
        np.empty((rows, (n + 63) // 64), np.uint64),
    )
    for lane in range(LANES):
        if (lanes >> np.uint64(lane)) & ONE == ZERO:
            continue
        live = edges[offsets[lane] : offsets[lane + 1]]
        heaviest = join_edges(network, live, forest.parent, forest.mass)
        if heaviest < question.need and not question.exact:
            continue
        lay_out(network, live, world)
        settle_lane(network, question, world, forest, tally)


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
        if not question.exact:
            left &= promising_lanes(network, words, True, question.need)
        if left != ZERO:
            settle_lanes(network, question, words, left, tally)
