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
from ripstop.risk.kernels.shapes import BitRows, Counts, Flags, Indices, Network, Question, Room, Tally
from ripstop.risk.kernels.undirected import Forest, join_edges, make_forest, root_of
from ripstop.risk.kernels.words import (
    LANES,
    ONE,
    ZERO,
    count_mass,
    draw_words,
    flood,
    heavy_lanes,
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
    `bound[c]`: upper bound of the reach, exact where a search ended below its limit. `outside[c]`: what the
    reach adds to the anchor's. `seen`: stamp of the last search that met a node; `stamp[0]`: the last one
    used. `wanted`: nodes to settle. `rows`: room for a row of bits a component, or empty. `order` to `path`:
    the depth-first search's own.
    """

    start: Counts
    target: Indices
    component: Indices
    members: Indices
    ends: Counts
    bound: Counts
    outside: Counts
    seen: Counts
    stamp: Counts
    wanted: Flags
    rows: BitRows
    queue: Indices
    order: Indices
    low: Indices
    cursor: Counts
    stack: Indices
    path: Indices


def make_world(n: int, edges: int, *, exact: bool) -> World:
    """Allocate for n nodes and at most so many live edges."""
    rows = n if exact and n <= MOST_ROWS else 0
    return World(
        start=np.zeros(n + 1, np.int64),
        target=np.zeros(edges, np.int32),
        component=np.zeros(n, np.int32),
        members=np.zeros(n, np.int32),
        ends=np.zeros(n + 1, np.int64),
        bound=np.zeros(n, np.int64),
        outside=np.zeros(n, np.int64),
        seen=np.zeros(n, np.int64),
        stamp=np.zeros(1, np.int64),
        wanted=np.zeros(n, np.bool_),
        rows=np.zeros((rows, (n + 63) // 64), np.uint64),
        queue=np.zeros(n, np.int32),
        order=np.zeros(n, np.int32),
        low=np.zeros(n, np.int32),
        cursor=np.zeros(n, np.int64),
        stack=np.zeros(n, np.int32),
        path=np.zeros(n, np.int32),
    )


class Place(NamedTuple):
    """Where one thread works on the lanes one by one."""

    world: World
    forest: Forest


def make_place(n: int, edges: int, *, exact: bool) -> Place:
    """Allocate for n nodes and at most so many live edges."""
    return Place(make_world(n, edges, exact=exact), make_forest(n))


@kernel
def lay_out(network: Network, room: Room, edges: Indices, lane: int, world: World) -> None:
    """Set the world's live edges, by source, to those of a lane: they come in order of their sources."""
    v = 0
    first, last = room.offsets[lane], room.offsets[lane + 1]
    for i in range(first, last):
        s = network.source[edges[i]]
        while v <= s:
            world.start[v] = i - first
            v += 1
        world.target[i - first] = network.target[edges[i]]
    while v < len(world.start):
        world.start[v] = last - first
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
def find_components(world: World) -> int:
    """Number the strong components of what the wanted nodes reach, sinks first; give how many there are.

    A depth-first search without recursion. `order` is 0 before a visit; `low` as in Tarjan.
    """
    order, low, cursor, path = world.order, world.low, world.cursor, world.path
    for v in range(len(order)):
        order[v] = 0
        world.component[v] = -1
    world.ends[0] = 0
    clock, found, held = 0, 0, 0
    for first in range(len(order)):
        if not world.wanted[first] or order[first] != 0:
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
def search(world: World, mass: Counts, c: int, limit: int) -> int:
    """Give the mass of what component c reaches, stamping anew what is met; stop at `limit`."""
    queue = world.queue
    world.stamp[0] += 1
    stamp = world.stamp[0]
    origin = world.members[world.ends[c]]
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
def add_outside(world: World, mass: Counts, last: int) -> None:
    """Bound what each component up to `last` adds to the reach just searched, the new anchor's."""
    for c in range(last + 1):
        if world.seen[world.members[world.ends[c]]] == world.stamp[0]:
            world.outside[c] = 0
        else:
            world.outside[c] = bound_reach(world, mass, c, world.outside, CAP + 1)


@kernel
def bound_components(world: World, mass: Counts, need: int, found: int) -> None:
    """Settle every component against `need`.

    INVARIANT: once component c is done, `bound[c] >= need` means exactly that its reach counts.
    """
    anchor = 0  # the anchor's reach, 0: none
    for c in range(found):
        bound = bound_reach(world, mass, c, world.bound, need)
        if anchor > 0:
            world.outside[c] = bound_reach(world, mass, c, world.outside, CAP + 1)
        if bound == COUNTED:
            world.bound[c] = need
            continue
        if bound >= need and anchor > 0:
            bound = min(bound, anchor + world.outside[c])
        world.bound[c] = bound
        if bound < need:
            continue
        bound = search(world, mass, c, need)
        world.bound[c] = bound
        if anchor < bound < need:
            anchor = bound
            add_outside(world, mass, c)


@kernel
def close_reach(world: World, network: Network, found: int) -> None:
    """Set each component's `bound` to its exact reach, by transitive closure in rows of bits by node.

    A row is closed, so a successor whose first member it holds already has nothing to add.
    """
    width = world.rows.shape[1]
    for c in range(found):
        row = world.rows[c]
        for k in range(width):
            row[k] = ZERO
        for i in range(world.ends[c], world.ends[c + 1]):
            v = world.members[i]
            row[v >> 6] |= ONE << np.uint64(v & 63)
        for i in range(world.ends[c], world.ends[c + 1]):
            v = world.members[i]
            for j in range(world.start[v], world.start[v + 1]):
                u = world.target[j]
                if (row[u >> 6] >> np.uint64(u & 63)) & ONE == ZERO:
                    other = world.rows[world.component[u]]
                    for k in range(width):
                        row[k] |= other[k]
        total = 0
        for k in range(width):
            rest = row[k]
            if network.unit:
                total += int(popcount(rest))
                continue
            while rest != ZERO:
                total += int(network.mass[64 * k + np.int64(lowest_bit(rest))])
                rest &= rest - ONE
        world.bound[c] = total


@kernel
def reach_exactly(world: World, network: Network, found: int) -> None:
    """Set each component's `bound` to its exact reach: by rows of bits while small, else by search."""
    if len(world.rows) > 0:
        close_reach(world, network, found)
        return
    for c in range(found):
        world.bound[c] = search(world, network.mass, c, CAP + 1)


@kernel
def settle_lane(network: Network, question: Question, world: World, tally: Tally) -> None:
    """Settle the wanted nodes of one world whose live edges are laid out."""
    found = find_components(world)
    if question.exact:
        reach_exactly(world, network, found)
    else:
        bound_components(world, network.mass, question.need, found)
    for v in range(len(network.mass)):
        if world.component[v] >= 0:
            reached = world.bound[world.component[v]]
            tally.mass[v] += reached
            if reached >= question.need:
                tally.hits[v] += 1


@kernel
def settle_lanes(network: Network, question: Question, room: Room, place: Place, tally: Tally) -> None:
    """Settle each open lane by itself. A node whose edges were taken out counts by its own mass only.

    Only a node whose weak component has the mass that is needed can reach as much.
    """
    edges = split_lanes(room)
    world, forest = place.world, place.forest
    for lane in range(LANES):
        if (tally.open[0] >> np.uint64(lane)) & ONE == ZERO:
            continue
        heaviest = join_edges(network, room, edges, lane, forest)
        if heaviest < question.need and not question.exact:
            continue
        for v in range(len(network.mass)):
            heavy = forest.mass[root_of(forest.parent, v)] >= question.need
            world.wanted[v] = heavy or question.exact
        lay_out(network, room, edges, lane, world)
        settle_lane(network, question, world, tally)


@kernel
def flood_block(
    network: Network, question: Question, room: Room, lanes: np.uint64, tally: Tally
) -> np.uint64:
    """Settle the lanes that the pivot decides; give those left open.

    Where the pivot's reach counts, the nodes that reach it are counted and their edges taken out of the
    words: no other node reaches them.
    """
    reach, back = room.reach, room.back
    for v in range(len(reach)):
        reach[v] = ZERO
        back[v] = ZERO
    reach[question.pivot] = lanes
    flood(network.out, room, question.pivot, reach)
    count_mass(reach, network, room)
    counted = lanes & heavy_lanes(room, question.need)
    if counted == ZERO:
        return lanes
    back[question.pivot] = counted
    flood(network.back, room, question.pivot, back)
    count_mass(back, network, room)
    left = lanes & ~(counted & heavy_lanes(room, network.total - question.need + 1))
    for v in range(len(back)):
        tally.hits[v] += np.int64(popcount(back[v]))
    if left != ZERO:
        for e in range(len(room.words)):
            room.words[e] &= left & ~back[network.source[e]]
    return left


@kernel
def run_blocks(
    network: Network, question: Question, blocks: Counts, room: Room, place: Place, tally: Tally
) -> None:
    """Sample blocks `blocks[0]` to `blocks[1]` and add what is counted to `tally`."""
    for block in range(blocks[0], blocks[1]):
        left = lanes_of(block, question.trials)
        draw_words(network.threshold, question.key, block, left, room.words)
        if question.flood:
            left = flood_block(network, question, room, left, tally)
        tally.left[0] += np.int64(popcount(left))
        if not question.exact:
            left &= promising_lanes(network, room, question.need)
        if left != ZERO:
            tally.open[0] = left
            settle_lanes(network, question, room, place, tally)
