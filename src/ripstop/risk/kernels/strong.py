"""What every node of one directed world reaches, exactly: strong components, then closure over them.

Used where the size of every cascade is asked for. Tarjan's algorithm yields the strong components, sinks
first, so that a component's reach is its own nodes and the reaches of its successors.

References:
    Tarjan (1972), Depth-first search and linear graph algorithms, SIAM J. Comput. 1(2).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ripstop.risk.kernels.jit import kernel, lowest_bit, popcount
from ripstop.risk.kernels.shapes import BitRows, Counts, Indices, Network, Room, Unsigned
from ripstop.risk.kernels.words import ONE, ZERO

MOST_ROWS = 4096  # nodes; 2 MiB of bits, about a core's second-level cache


class World(NamedTuple):
    """One sampled world and the state of the search through it.

    `start`, `target`: live edges by source. `component`: the strong component of a node, numbered sinks
    first; `members` lists the nodes by component, `ends[c]:ends[c + 1]`. `reached[c]`: mass of its reach.
    `seen`: stamp of the last search that met a node; `stamp[0]`: the last one used. `rows`: room for a row
    of bits a component, or empty. `order` to `path`: the depth-first search's own.
    """

    start: Unsigned
    target: Unsigned
    component: Indices
    members: Indices
    ends: Counts
    reached: Counts
    seen: Counts
    stamp: Counts
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
        start=np.zeros(n + 1, np.uint32),
        target=np.zeros(edges, np.uint32),
        component=np.zeros(n, np.int32),
        members=np.zeros(n, np.int32),
        ends=np.zeros(n + 1, np.int64),
        reached=np.zeros(n, np.int64),
        seen=np.zeros(n, np.int64),
        stamp=np.zeros(1, np.int64),
        rows=np.zeros((rows, (n + 63) // 64), np.uint64),
        queue=np.zeros(n, np.int32),
        order=np.zeros(n, np.int32),
        low=np.zeros(n, np.int32),
        cursor=np.zeros(n, np.int64),
        stack=np.zeros(n, np.int32),
        path=np.zeros(n, np.int32),
    )


@kernel
def lay_out(network: Network, room: Room, edges: Indices, lane: int, world: World) -> None:
    """Set the world's live edges, by source, to those of a lane: they come in order of their sources."""
    first, last = room.offsets[lane], room.offsets[lane + 1]
    start, target = world.start, world.target
    for v in range(len(start)):
        start[v] = 0
    # Counting first costs no mispredicted branch, as walking from source to source would.
    for i in range(first, last):
        start[network.source[edges[i]] + 1] += 1
        target[i - first] = network.target[edges[i]]
    for v in range(1, len(start)):
        start[v] += start[v - 1]


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
    """Number the strong components, sinks first; give how many there are.

    A depth-first search without recursion. `order` is 0 before a visit; `low` as in Tarjan.
    """
    order, low, cursor, path = world.order, world.low, world.cursor, world.path
    for v in range(len(order)):
        order[v] = 0
        world.component[v] = -1
    world.ends[0] = 0
    clock, found, held = 0, 0, 0
    for first in range(len(order)):
        if order[first] != 0:
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
def search_all(world: World, mass: Counts, c: int) -> int:
    """Give the mass of what component c reaches, stamping anew what is met."""
    queue = world.queue
    world.stamp[0] += 1
    stamp = world.stamp[0]
    origin = world.members[world.ends[c]]
    queue[0] = origin
    world.seen[origin] = stamp
    head, tail = 0, 1
    total = int(mass[origin])
    while head < tail:
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
def close_reach(world: World, network: Network, found: int) -> None:
    """Set each component's `reached` to its exact reach, by transitive closure in rows of bits by node.

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
        world.reached[c] = total


@kernel
def reach_exactly(world: World, network: Network, found: int) -> None:
    """Set each component's `reached` to its exact reach: by rows of bits while small, else by search."""
    if len(world.rows) > 0:
        close_reach(world, network, found)
        return
    for c in range(found):
        world.reached[c] = search_all(world, network.mass, c)
