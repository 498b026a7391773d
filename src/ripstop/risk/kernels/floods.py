"""What settles whole worlds, 64 at once, before what is left of them is searched one by one."""

from __future__ import annotations

import numpy as np

from ripstop.risk.kernels.jit import kernel, popcount
from ripstop.risk.kernels.shapes import Network, Question, Room, Tally
from ripstop.risk.kernels.words import (
    WORTH,
    ZERO,
    bound_lanes,
    count_mass,
    draw_words,
    flood_one,
    heavy_lanes,
    lanes_of,
    promising_lanes,
)


@kernel
def settle_together(network: Network, question: Question, block: int, room: Room, tally: Tally) -> np.uint64:
    """Draw a block's worlds and count those that sets or floods settle; give the lanes left open."""
    left = lanes_of(block, question.trials)
    asked = np.int64(popcount(left))
    draw_words(network, question.key, block, left, room)
    if question.bound:
        left = bound_lanes(network, question, room, left, tally.left)
    if question.flood and 2 * np.int64(popcount(left)) >= asked:
        left = flood_lanes(network, question, room, left, tally)
    if left != ZERO and not question.bound and not question.exact:
        left = promising_lanes(network, question, room, left)
    return left


@kernel
def flood_lanes(
    network: Network, question: Question, room: Room, lanes: np.uint64, tally: Tally
) -> np.uint64:
    """Flood from pivots for as long as they settle lanes; give those left open."""
    tally.left[2] += np.int64(popcount(lanes))
    for i in range(len(question.pivots)):
        asked = np.int64(popcount(lanes))
        lanes = flood_pivot(network, question, room, lanes, (int(question.pivots[i]), tally))
        if WORTH * np.int64(popcount(lanes)) > (WORTH - 1) * asked or lanes == ZERO:
            break
    tally.left[3] += np.int64(popcount(lanes))
    return lanes


@kernel
def flood_pivot(
    network: Network, question: Question, room: Room, lanes: np.uint64, place: tuple[int, Tally]
) -> np.uint64:
    """Settle the lanes that one pivot decides; give those left open.

    Where the pivot's reach counts, the nodes that reach it are counted (in an undirected world those are its
    component), and their edges taken out of the words: no other node reaches them. Where what lies outside
    is too light to count, every node is settled. `place`: the pivot, and the tally.
    """
    pivot, tally = place
    back = room.reach
    flood_one(network.out, room, pivot, lanes, back)
    count_mass(back, network, room)
    counted = lanes & heavy_lanes(room, question.need)
    if counted == ZERO:
        return lanes
    if network.directed:
        back = room.back
        flood_one(network.back, room, pivot, counted, back)
        count_mass(back, network, room)
    left = lanes & ~(counted & heavy_lanes(room, network.total - question.need + 1))
    for v in range(len(back)):
        tally.hits[v] += np.int64(popcount(back[v] & counted))
    if left != ZERO:
        for e in range(len(room.words)):
            room.words[e] &= left & ~(back[network.source[e]] & counted)
    return left
