"""Sixty-four worlds in a machine word: exact Bernoulli draws, floods and counts for all lanes at once.

Theory of operation. A *block* is 64 sampled worlds. For each edge one 64-bit word says in which of them the
edge is live. Lane i compares a uniform number U, revealed bit by bit from the most significant one, with the
edge's probability w: at the first bit where they differ the lane is settled (U < w: live). All lanes share
the loop, which ends when every lane is settled: after log2(64) + 1.33 = 7.3 words on average, whatever w is.
No rounding enters but that of w to 64 binary places.

The words of an edge depend on (seed, block, edge) alone, by a counter-based generator: any block can be drawn
by any thread, an edge that is cut changes no other edge's draw, and a weight that is lowered only takes live
lanes away. That is what makes what-if comparisons on common random numbers sharp.

References:
    Steele, Lea, Flood (2014), Fast splittable pseudorandom number generators, OOPSLA (SplitMix64).
    Knuth, Yao (1976), The complexity of nonuniform random number generation (lazy comparison).
"""

from __future__ import annotations

import numpy as np

from ripstop.risk.kernels.jit import kernel, lowest_bit
from ripstop.risk.kernels.shapes import Adjacency, Indices, Network, Room, Words

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


@kernel
def mix(z: np.uint64) -> np.uint64:
    """Scramble a word (SplitMix64's finaliser)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@kernel
def draw_word(threshold: np.uint64, state: np.uint64) -> np.uint64:
    """Draw 64 independent Bernoulli(threshold / 2**64) lanes from a generator that starts at `state`."""
    if threshold == FULL:
        return FULL
    live = ZERO
    undecided = FULL
    while threshold != ZERO and undecided != ZERO:
        state += GOLDEN
        random = mix(state)
        # All ones where the threshold's bit is set: no branch, for it would be mispredicted half the time.
        ones = ZERO - (threshold >> TOP)
        live |= undecided & ~random & ones
        undecided &= random ^ ~ones
        threshold <<= ONE
    return live


@kernel
def draw_words(threshold: Words, key: np.uint64, block: int, lanes: np.uint64, words: Words) -> None:
    """Draw the live lanes of every edge in one block, kept to `lanes`."""
    stream = mix(mix(key) + np.uint64(block + 1) * GOLDEN)
    for e in range(len(threshold)):
        words[e] = draw_word(threshold[e], mix(stream + np.uint64(e + 1) * STRIDE)) & lanes


@kernel
def lanes_of(block: int, trials: int) -> np.uint64:
    """Give the lanes of a block that are among the first `trials` worlds."""
    count = trials - block * LANES
    if count >= LANES:
        return FULL
    return (ONE << np.uint64(count)) - ONE


@kernel
def flood(adjacency: Adjacency, room: Room, waiting: int, reach: Words) -> None:
    """Spread from the first `waiting` nodes of the queue along live edges in all lanes at once.

    `reach` and `room.fresh` enter with the lanes in which each of them starts and zero elsewhere; `reach`
    leaves with the lanes in which each node was reached. A node waits in the queue exactly while its `fresh`
    word is not zero.
    """
    n = len(reach)
    queue, fresh, words = room.queue, room.fresh, room.words
    head = 0
    while waiting > 0:
        v = queue[head]
        head = head + 1 if head + 1 < n else 0
        waiting -= 1
        bits = fresh[v]
        fresh[v] = ZERO
        for i in range(adjacency.start[v], adjacency.start[v + 1]):
            u = adjacency.neighbour[i]
            new = bits & words[adjacency.edge[i]] & ~reach[u]
            if new != ZERO:
                if fresh[u] == ZERO:
                    slot = head + waiting
                    queue[slot if slot < n else slot - n] = u
                    waiting += 1
                fresh[u] |= new
                reach[u] |= new


@kernel
def flood_one(adjacency: Adjacency, room: Room, origin: int, lanes: np.uint64, reach: Words) -> None:
    """Set `reach` to the lanes in which each node is reached from `origin`, which starts in `lanes`."""
    for v in range(len(reach)):
        reach[v] = ZERO
    reach[origin] = lanes
    room.fresh[origin] = lanes
    room.queue[0] = origin
    flood(adjacency, room, 1, reach)


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
def promising_lanes(network: Network, room: Room, need: int) -> np.uint64:
    """Give the lanes in which live edges touch enough mass for any cascade to weigh `need`.

    A cascade consists of its first node and of nodes that some live edge enters (in an undirected graph:
    touches).
    """
    touched = room.reach
    for v in range(len(touched)):
        touched[v] = ZERO
    for e in range(len(room.words)):
        touched[network.target[e]] |= room.words[e]
    if not network.directed:
        for e in range(len(room.words)):
            touched[network.source[e]] |= room.words[e]
    count_mass(touched, network, room)
    return heavy_lanes(room, need - network.heaviest)


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
