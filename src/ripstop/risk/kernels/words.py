"""Sixty-four worlds in a machine word: exact Bernoulli draws, floods and counts for all lanes at once.

Theory of operation. A *block* is 64 sampled worlds. For each edge one 64-bit word says in which of them the
edge is live. Lane i compares a uniform number U, revealed bit by bit from the most significant one, with the
edge's probability w: at the first bit where they differ the lane is settled (U < w: live). All lanes share
the loop, which ends when every lane is settled: after log2(64) + 1.33 = 7.3 words on average, whatever w is.
The first words are drawn for many edges at a time, without a branch, so that they fill vector registers; the
edges that are not settled then, about one in five, go on by themselves. No rounding enters but that of w to
64 binary places.

The words of an edge depend on (seed, block, edge) alone, by a counter-based generator: any block can be drawn
by any thread, an edge that is cut changes no other edge's draw, and a weight that is lowered only takes live
lanes away. That is what makes what-if comparisons on common random numbers sharp.

References:
    Steele, Lea, Flood (2014), Fast splittable pseudorandom number generators, OOPSLA (SplitMix64).
    Knuth, Yao (1976), The complexity of nonuniform random number generation (lazy comparison).
"""

from __future__ import annotations

import numpy as np

from ripstop.risk.kernels.jit import inlined, kernel, lowest_bit, popcount
from ripstop.risk.kernels.shapes import (
    GROUP,
    GROUP_BITS,
    Adjacency,
    Counts,
    Indices,
    Network,
    Question,
    Room,
    Words,
)

Drawn = tuple[np.uint64, np.uint64]

LANES = 64
FULL = np.uint64(0xFFFFFFFFFFFFFFFF)
ZERO = np.uint64(0)
ONE = np.uint64(1)
TOP = np.uint64(63)
GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # SplitMix64's increment, 2**64 / golden ratio
STRIDE = np.uint64(0xD1342543DE82EF95)  # an odd multiplier (Steele, Vigna 2021) that keys the edges
BYTES = np.uint64(0x0101010101010101)
BYTE = np.uint64(0xFF)
FLUSH = 255  # so many ones fit a byte
TOGETHER = 8  # words drawn of every edge before any is looked at
WORTH = 4  # a pivot that settles less than 1 / WORTH of the lanes is the last
PARTS = 4  # of `need`, in which nodes join a closure
ONE32 = np.uint32(1)


@kernel
def mix(z: np.uint64) -> np.uint64:
    """Scramble a word (SplitMix64's finaliser)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@inlined
def compare(threshold: np.uint64, state: np.uint64, live: np.uint64, open_: np.uint64) -> Drawn:
    """Compare one more bit of U in all open lanes; give the lanes known to be live, and those still open."""
    random = mix(state)
    # All ones where the threshold's bit is set: no branch, for it would be mispredicted half the time.
    ones = ZERO - (threshold >> TOP)
    return live | (open_ & ~random & ones), open_ & (random ^ ~ones)


@kernel
def finish(threshold: np.uint64, state: np.uint64, live: np.uint64, open_: np.uint64) -> np.uint64:
    """Compare bits until no lane is open, and give those that are live."""
    while threshold != ZERO and open_ != ZERO:
        state += GOLDEN
        live, open_ = compare(threshold, state, live, open_)
        threshold <<= ONE
    return live


@kernel
def draw_words(network: Network, key: np.uint64, block: int, lanes: np.uint64, room: Room) -> None:
    """Draw the live lanes of every edge in one block into `room.words`, kept to `lanes`."""
    stream = mix(mix(key) + np.uint64(block + 1) * GOLDEN)
    words, opened, keys, thresholds = room.words, room.along, network.key, network.threshold
    for e in range(len(words)):
        threshold, live, open_ = thresholds[e], ZERO, FULL
        state = mix(stream + np.uint64(keys[e] + 1) * STRIDE)
        for _ in range(TOGETHER):
            state += GOLDEN
            live, open_ = compare(threshold, state, live, open_)
            threshold <<= ONE
        words[e] = live
        opened[e] = open_
    for e in range(len(words)):
        if thresholds[e] == FULL:
            words[e] = FULL
        elif opened[e] != ZERO:
            state = mix(stream + np.uint64(keys[e] + 1) * STRIDE) + np.uint64(TOGETHER) * GOLDEN
            words[e] = finish(thresholds[e] << np.uint64(TOGETHER), state, words[e], opened[e])
        words[e] &= lanes


@kernel
def lanes_of(block: int, trials: int) -> np.uint64:
    """Give the lanes of a block that are among the first `trials` worlds."""
    count = trials - block * LANES
    if count >= LANES:
        return FULL
    return (ONE << np.uint64(count)) - ONE


@kernel
def pass_along(adjacency: Adjacency, room: Room) -> None:
    """Lay the words out in the order in which a flood passes the edges."""
    for i in range(len(adjacency.edge)):
        room.along[i] = room.words[adjacency.edge[i]]


@kernel
def flood(adjacency: Adjacency, room: Room, reach: Words) -> None:
    """Spread along live edges in all lanes at once, from the nodes and lanes that `reach` holds.

    `room.along` holds the live lanes by place in the adjacency, `room.spread` those in which a node is known
    to have been spread from; it leaves equal to `reach`. The nodes are passed up and down again until nothing
    is new, those of a group only if one of them may have been reached since. So the inner loop has no branch:
    whether an edge brings anything is anybody's guess, and a wrong guess costs more than all the rest.
    """
    start, neighbour = adjacency.start, adjacency.neighbour
    along, spread, waits = room.along, room.spread, room.waits
    n, groups = np.uint32(len(reach)), len(waits)
    for g in range(groups):
        waits[g] = 1
    up, again = True, True
    while again:
        again = False
        for k in range(groups):
            g = k if up else groups - 1 - k
            if waits[g] == 0:
                continue
            waits[g] = 0
            first = np.uint32(g * GROUP)
            last = min(np.uint32(first + GROUP), n)
            for j in range(last - first):
                v = np.uint32(first + j) if up else np.uint32(last - ONE32 - j)
                bits = reach[v] & ~spread[v]
                if bits == ZERO:
                    continue
                spread[v] |= bits
                again = True
                for i in range(start[v], start[v + ONE32]):
                    u = neighbour[i]
                    reach[u] |= bits & along[i]
                    waits[u >> GROUP_BITS] = 1
        up = not up


@kernel
def flood_one(adjacency: Adjacency, room: Room, origin: int, lanes: np.uint64, reach: Words) -> None:
    """Set `reach` to the lanes in which each node is reached from `origin`, which starts in `lanes`."""
    for v in range(len(reach)):
        reach[v] = ZERO
        room.spread[v] = ZERO
    reach[origin] = lanes
    pass_along(adjacency, room)
    flood(adjacency, room, reach)


@kernel
def settle_bounded(network: Network, room: Room, need: int, lanes: np.uint64) -> np.uint64:
    """Show in which lanes no cascade weighs `need`, as far as sets of nodes show it; give the others.

    What a set of nodes reaches together bounds what each node in that closure reaches. So one part of the
    nodes after the other joins a closure, for as long as it is lighter than `need`; then a new one is begun
    with the part at hand, and a lane in which that part alone is too heavy stays open.
    """
    reach, settled, spread, asked = room.reach, room.back, room.spread, lanes
    n = len(reach)
    for v in range(n):
        reach[v] = settled[v] = spread[v] = ZERO
    pass_along(network.out, room)
    part = max(n * need // (PARTS * max(network.total, 1)), 1)
    for first in range(0, n, part):
        anew = ZERO if first > 0 else lanes
        for _ in range(2):
            for v in range(first, min(first + part, n)):
                reach[v] |= lanes & ~settled[v]
            flood(network.out, room, reach)
            count_mass(reach, network, room)
            heavy = lanes & heavy_lanes(room, need)
            lanes &= ~(heavy & anew)
            anew = heavy & lanes
            for v in range(n):
                reach[v] &= lanes & ~anew
                spread[v] = reach[v]
                settled[v] |= reach[v]
            if anew == ZERO:
                break
        if lanes == ZERO:
            break
    return asked & ~lanes


@kernel
def count_bits(words: Words, room: Room) -> None:
    """Count the words' set bits by lane, into `room.counts`.

    Each lane has a byte of eight counters, emptied every 255 words: the cost does not depend on how many
    bits are set.
    """
    packed, counts = room.packed, room.counts
    for lane in range(LANES):
        counts[lane] = 0
    for j in range(8):
        packed[j] = ZERO
    for first in range(0, len(words), FLUSH):
        for v in range(first, min(first + FLUSH, len(words))):
            word = words[v]
            for j in range(8):
                packed[j] += (word >> np.uint64(j)) & BYTES
        for j in range(8):
            for k in range(8):
                counts[8 * k + j] += np.int64((packed[j] >> np.uint64(8 * k)) & BYTE)
            packed[j] = ZERO


@kernel
def count_mass(words: Words, network: Network, room: Room) -> None:
    """Sum the mass of the nodes whose bit is set by lane, into `room.counts`."""
    if network.unit:
        count_bits(words, room)
        return
    for lane in range(LANES):
        room.counts[lane] = 0
    for v in range(len(words)):
        rest = words[v]
        while rest != ZERO:
            room.counts[lowest_bit(rest)] += network.mass[v]
            rest &= rest - ONE


@kernel
def heavy_lanes(room: Room, least: int) -> np.uint64:
    """Give the lanes whose count is `least` or more."""
    heavy = ZERO
    for lane in range(LANES):
        if room.counts[lane] >= least:
            heavy |= ONE << np.uint64(lane)
    return heavy


@kernel
def promising_lanes(network: Network, question: Question, room: Room, lanes: np.uint64) -> np.uint64:
    """Give the lanes of `lanes` in which some cascade may weigh `need`, by two quick counts.

    A cascade of k nodes has k - 1 live edges at least. And it consists of its first node and of nodes that
    some live edge enters (in an undirected graph: touches), so those have to be heavy enough.
    """
    if question.fewest > 0:
        count_bits(room.words, room)
        lanes &= heavy_lanes(room, question.fewest)
        if lanes == ZERO:
            return lanes
    touched = room.reach
    for v in range(len(touched)):
        touched[v] = ZERO
    for e in range(len(room.words)):
        touched[network.target[e]] |= room.words[e]
    if not network.directed:
        for e in range(len(room.words)):
            touched[network.source[e]] |= room.words[e]
    count_mass(touched, network, room)
    return lanes & heavy_lanes(room, question.need - network.heaviest)


@kernel
def bound_lanes(
    network: Network, question: Question, room: Room, lanes: np.uint64, left: Counts
) -> np.uint64:
    """Give the lanes of `lanes` in which sets of nodes do not show that no cascade weighs `need`.

    `left`: of the tally.
    """
    lanes = promising_lanes(network, question, room, lanes)
    if lanes != ZERO:
        left[0] += np.int64(popcount(lanes))
        lanes = settle_bounded(network, room, question.need, lanes)
        left[1] += np.int64(popcount(lanes))
    return lanes


@kernel
def split_lanes(room: Room) -> Indices:
    """List the live edges of each lane, in edge order: lane i's stand at `offsets[i]:offsets[i + 1]`."""
    count_bits(room.words, room)
    counts, offsets = room.counts, room.offsets
    offsets[0] = 0
    for lane in range(LANES):
        offsets[lane + 1] = offsets[lane] + counts[lane]
        counts[lane] = offsets[lane]
    edges = np.empty(offsets[LANES], np.int32)
    for e in range(len(room.words)):
        rest = room.words[e]
        while rest != ZERO:
            lane = lowest_bit(rest)
            edges[counts[lane]] = e
            counts[lane] += 1
            rest &= rest - ONE
    return edges
