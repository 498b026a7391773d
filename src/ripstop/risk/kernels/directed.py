"""Percolation on directed graphs: which nodes reach the mass `need`, in every sampled world.

Theory of operation. In an undirected world one component answers for all its nodes; in a directed one each
node has its own reach, and measuring all of them is transitive closure. Most worlds need no such thing, for
the question is only whether a reach has the mass `need`:

1. *Pivot.* A forward and a backward flood from a well-connected node, 64 worlds at once, give its reach R and
   the set B of nodes that reach it. Where R counts, all of B counts; a node outside B reaches nothing in B,
   so where the mass outside B is below `need` the world is settled. Dense worlds end here.
2. *Touched.* A cascade of k nodes has k - 1 live edges at least, and consists of its first node and of nodes
   that a live edge enters. Sparse worlds in which those are too few or too light end here.
3. *Bound.* What a whole set of nodes reaches together, its closure, bounds the reach of each of them, and of
   each node in it. Where parts of the nodes have closures lighter than `need`, 64 worlds are found to be
   without a cascade by few floods.
4. *Sweep.* The other worlds are searched one by one. Nodes are added to a set as long as its closure is
   lighter than `need`, and then all of it is settled at once: a world takes few searches, not one a node.
5. *Anchor.* Near the critical point most nodes reach the same large set. The heaviest reach A that was found
   not to count is therefore measured once for all: a reach is at most A and what it adds outside A, so
   closures are grown outside A only, up to `need` less A's mass. For a node that reaches A's origin this is
   exact. A node of which even so nothing is known is searched by itself; where its reach counts, so does
   every node's that reaches it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ripstop.risk.kernels.floods import settle_together
from ripstop.risk.kernels.jit import inlined, kernel
from ripstop.risk.kernels.shapes import Counts, Flags, Network, Question, Room, Tally, Unsigned
from ripstop.risk.kernels.strong import World, find_components, lay_out, make_world, reach_exactly
from ripstop.risk.kernels.words import (
    LANES,
    ONE,
    ZERO,
    pass_along,
    split_lanes,
)

OPEN, LIGHT, COUNTS = 0, 1, 2
ANCHORED = np.uint32(2**32 - 1)  # later than any stamp
NEXT = np.uint32(1)
NOBODY = -1
NO_LIMIT = 1 << 62
ENOUGH = 4  # an anchor of `need / ENOUGH` ends the search for a better one
WIDE = 4  # the anchor is widened where at least `need / WIDE` is left to `need`
ATTEMPTS = 8  # nodes tried as the anchor's origin
STAMP, TAIL, TOTAL, ANCHOR, ORIGIN, CLIMBED, COUNTED = 0, 1, 2, 3, 4, 5, 6


class Sweep(NamedTuple):
    """The state of the search through one world.

    `standing`: OPEN, LIGHT or COUNTS by node. `seen`: stamp of the closure that a node is in, ANCHORED within
    the anchor's reach. `met`: stamp of the last search that met the node. `upstream`: whether it reaches the
    anchor's origin, once somebody asked. `figures`: the stamp in use; size and mass of the closure at hand;
    mass and origin of the anchor, and whether somebody asked; mass of the nodes that count.
    """

    standing: NDArray[np.uint8]
    seen: Unsigned
    met: Unsigned
    upstream: Flags
    queue: Unsigned
    other: Unsigned
    figures: Counts


def make_sweep(n: int) -> Sweep:
    """Allocate for n nodes."""
    return Sweep(
        standing=np.zeros(n, np.uint8),
        seen=np.zeros(n, np.uint32),
        met=np.zeros(n, np.uint32),
        upstream=np.zeros(n, np.bool_),
        queue=np.zeros(n + 1, np.uint32),
        other=np.zeros(n + 1, np.uint32),
        figures=np.zeros(7, np.int64),
    )


class Place(NamedTuple):
    """Where one thread works on the lanes one by one."""

    world: World
    sweep: Sweep


def make_place(n: int, edges: int, *, exact: bool) -> Place:
    """Allocate for n nodes and at most so many live edges."""
    return Place(make_world(n, edges, exact=exact), make_sweep(n))


@kernel
def reset(sweep: Sweep) -> None:
    """Forget the last world."""
    for v in range(len(sweep.seen)):
        sweep.standing[v] = OPEN
        sweep.seen[v] = 0
        sweep.met[v] = 0
    for i in range(len(sweep.figures)):
        sweep.figures[i] = 0
    sweep.figures[ORIGIN] = NOBODY


@inlined
def renew(sweep: Sweep) -> None:
    """Begin an empty closure."""
    sweep.figures[STAMP] += 1
    sweep.figures[TAIL] = 0
    sweep.figures[TOTAL] = 0


@inlined
def grow(world: World, sweep: Sweep, network: Network, origin: int, limit: int) -> bool:
    """Add what `origin` reaches outside the anchor to the closure; False, if it weighs `limit` or more then.

    Where it stays lighter, every node in it is settled.
    """
    queue, seen, figures = sweep.queue, sweep.seen, sweep.figures
    start, target, mass, unit = world.start, world.target, network.mass, network.unit
    stamp, first, total = np.uint32(figures[STAMP]), figures[TAIL], figures[TOTAL]
    queue[first] = origin
    seen[origin] = stamp
    total += mass[origin]
    head, tail = first, first + 1
    while head < tail and total < limit:
        v = queue[head]
        head += 1
        for i in range(start[v], start[v + NEXT]):
            u = target[i]
            new = seen[u] < stamp
            seen[u] = max(seen[u], stamp)
            total += new if unit else mass[u] * new
            queue[tail] = u
            tail += new
    figures[TAIL], figures[TOTAL] = tail, total
    if total >= limit:
        return False
    for i in range(first, tail):
        sweep.standing[queue[i]] = LIGHT
    return True


@kernel
def search(world: World, sweep: Sweep, network: Network, origin: int, limit: int) -> tuple[int, int]:
    """Give the mass that `origin` reaches, up to `limit`, and how many nodes that are, listed in `other`."""
    queue, met = sweep.other, sweep.met
    start, target, mass, unit = world.start, world.target, network.mass, network.unit
    sweep.figures[STAMP] += 1
    stamp = np.uint32(sweep.figures[STAMP])
    queue[0] = origin
    met[origin] = stamp
    head, tail = 0, 1
    total = int(mass[origin])
    while head < tail and total < limit:
        v = queue[head]
        head += 1
        for i in range(start[v], start[v + NEXT]):
            u = target[i]
            new = met[u] != stamp
            met[u] = stamp
            total += new if unit else mass[u] * new
            queue[tail] = u
            tail += new
    return total, tail


@kernel
def climb(network: Network, room: Room, lane: int, sweep: Sweep, origin: int) -> int:
    """List the nodes that reach `origin` in a lane in `other`; give how many they are.

    `room.along` holds the live lanes of the edges that enter each node, one beside the other. Nodes
    that count are passed over: what reaches them counts already.
    """
    queue, met = sweep.other, sweep.met
    sweep.figures[STAMP] += 1
    stamp, standing = np.uint32(sweep.figures[STAMP]), sweep.standing
    back, along, bit = network.back, room.along, np.uint64(lane)
    queue[0] = origin
    met[origin] = stamp
    head, tail = 0, 1
    while head < tail:
        v = queue[head]
        head += 1
        for i in range(back.start[v], back.start[v + 1]):
            u = back.neighbour[i]
            live = (along[i] >> bit) & ONE != ZERO
            new = live & (met[u] != stamp) & (standing[u] != COUNTS)
            met[u] = stamp if new else met[u]
            queue[tail] = u
            tail += new
    return tail


@kernel
def count_upstream(network: Network, room: Room, sweep: Sweep, place: tuple[int, int], tally: Tally) -> None:
    """Count every node that reaches one that counts. `place`: the lane and the node."""
    found = climb(network, room, place[0], sweep, place[1])
    for i in range(found):
        u = sweep.other[i]
        sweep.standing[u] = COUNTS
        sweep.figures[COUNTED] += network.mass[u]
        tally.hits[u] += 1


@kernel
def drop_anchor(sweep: Sweep, origin: int, reach: tuple[int, int]) -> None:
    """Settle a reach that does not count, just searched, and make it the anchor if it is the heaviest yet.

    `reach`: its mass, and how many nodes it has.
    """
    for i in range(reach[1]):
        sweep.standing[sweep.other[i]] = LIGHT
    if reach[0] <= sweep.figures[ANCHOR]:
        return
    for v in range(len(sweep.seen)):
        if sweep.seen[v] == ANCHORED:
            sweep.seen[v] = 0
    for i in range(reach[1]):
        sweep.seen[sweep.other[i]] = ANCHORED
    sweep.figures[ANCHOR] = reach[0]
    sweep.figures[ORIGIN] = origin
    sweep.figures[CLIMBED] = 0


@kernel
def deepen_anchor(world: World, sweep: Sweep, network: Network) -> None:
    """Move the anchor's origin to a node within its reach that reaches at least half as much, if one is met.

    Such a node mostly lies in the large strong component, so that far more nodes reach it.
    """
    figures = sweep.figures
    n = len(sweep.seen)
    for k in range(ATTEMPTS):
        w = k * n // ATTEMPTS
        while w < n and sweep.seen[w] != ANCHORED:
            w += 1
        if w == n:
            return
        total, size = search(world, sweep, network, w, NO_LIMIT)
        if 2 * total < figures[ANCHOR]:
            continue
        for v in range(n):
            if sweep.seen[v] == ANCHORED:
                sweep.seen[v] = 0
        for i in range(size):
            sweep.seen[sweep.other[i]] = ANCHORED
        figures[ANCHOR], figures[ORIGIN] = total, w
        return


@kernel
def look_upstream(network: Network, room: Room, lane: int, world: World, sweep: Sweep) -> None:
    """Mark the nodes that reach the anchor's origin, and with it all that the anchor is."""
    figures = sweep.figures
    figures[CLIMBED] = 1
    if figures[ORIGIN] == NOBODY:
        return
    found = climb(network, room, lane, sweep, figures[ORIGIN])
    if ENOUGH * found < len(sweep.seen):
        deepen_anchor(world, sweep, network)
        found = climb(network, room, lane, sweep, figures[ORIGIN])
    for u in range(len(sweep.upstream)):
        sweep.upstream[u] = False
    for i in range(found):
        sweep.upstream[sweep.other[i]] = True


@kernel
def settle_node(network: Network, room: Room, place: Place, task: tuple[int, int, int], tally: Tally) -> None:
    """Settle one node by a search of its own. `task`: the lane, the node, and the mass that is needed."""
    lane, v, need = task
    world, sweep = place.world, place.sweep
    mass, size = search(world, sweep, network, v, need)
    if mass >= need:
        count_upstream(network, room, sweep, (lane, v), tally)
    else:
        drop_anchor(sweep, v, (mass, size))


@kernel
def widen_anchor(world: World, sweep: Sweep, network: Network, question: Question) -> None:
    """Add one light closure to the anchor, up to half of the mass that is left to `need`.

    What many nodes reach is then measured once, not once a closure. Where little is left, the anchor stays a
    single reach, for which bounds are exact.
    """
    figures = sweep.figures
    spare = question.need - figures[ANCHOR]
    renew(sweep)
    if WIDE * spare < question.need:
        return
    for v in range(len(sweep.standing)):
        if 2 * figures[TOTAL] >= spare:
            break
        if sweep.standing[v] == OPEN and not grow(world, sweep, network, v, spare):
            renew(sweep)
            return
    for i in range(figures[TAIL]):
        sweep.seen[sweep.queue[i]] = ANCHORED
    figures[ANCHOR] += figures[TOTAL]
    figures[ORIGIN] = NOBODY
    renew(sweep)


@kernel
def sweep_lane(
    network: Network, question: Question, room: Room, lane: int, place: Place, tally: Tally
) -> None:
    """Settle every node of one world whose live edges are laid out."""
    world, sweep, need = place.world, place.sweep, question.need
    figures = sweep.figures
    reset(sweep)
    for i in range(len(question.pivots)):
        v = question.pivots[i]
        if sweep.standing[v] == OPEN and ENOUGH * figures[ANCHOR] < need:
            settle_node(network, room, place, (lane, v, need), tally)
    widen_anchor(world, sweep, network, question)
    for v in range(len(sweep.standing)):
        if network.total - figures[COUNTED] < need:
            return
        if sweep.standing[v] != OPEN:
            continue
        if grow(world, sweep, network, v, need - figures[ANCHOR]):
            continue
        renew(sweep)
        if grow(world, sweep, network, v, need - figures[ANCHOR]):
            continue
        if figures[CLIMBED] == 0:
            look_upstream(network, room, lane, world, sweep)
            renew(sweep)
            if grow(world, sweep, network, v, need - figures[ANCHOR]):
                continue
        if figures[ORIGIN] != NOBODY and sweep.upstream[v]:
            count_upstream(network, room, sweep, (lane, v), tally)
        else:
            settle_node(network, room, place, (lane, v, need), tally)
        renew(sweep)


@kernel
def measure_lane(network: Network, question: Question, world: World, tally: Tally) -> None:
    """Measure what every node reaches in one world whose live edges are laid out."""
    reach_exactly(world, network, find_components(world))
    for v in range(len(network.mass)):
        reached = world.reached[world.component[v]]
        tally.mass[v] += reached
        if reached >= question.need:
            tally.hits[v] += 1


@kernel
def settle_lanes(network: Network, question: Question, room: Room, place: Place, tally: Tally) -> None:
    """Settle each open lane by itself. A node whose edges were taken out counts by its own mass only."""
    edges = split_lanes(room)
    pass_along(network.back, room)
    for lane in range(LANES):
        if (tally.open[0] >> np.uint64(lane)) & ONE == ZERO:
            continue
        lay_out(network, room, edges, lane, place.world)
        if question.exact:
            measure_lane(network, question, place.world, tally)
        else:
            sweep_lane(network, question, room, lane, place, tally)


@kernel
def run_blocks(
    network: Network, question: Question, blocks: Counts, room: Room, place: Place, tally: Tally
) -> None:
    """Sample blocks `blocks[0]` to `blocks[1]` and add what is counted to `tally`."""
    for block in range(blocks[0], blocks[1]):
        tally.open[0] = settle_together(network, question, block, room, tally)
        if tally.open[0] != ZERO:
            settle_lanes(network, question, room, place, tally)
