"""What one node's failure reaches: the same worlds as for all nodes, one flood a block."""

from __future__ import annotations

import numpy as np

from ripstop.risk.kernels.jit import kernel, popcount
from ripstop.risk.kernels.shapes import Counts, Network, Question, Room
from ripstop.risk.kernels.words import (
    LANES,
    ONE,
    ZERO,
    count_mass,
    draw_words,
    flood_one,
    heavy_lanes,
    lanes_of,
)


@kernel
def run_origin(network: Network, question: Question, blocks: Counts, room: Room, origin: int) -> Counts:
    """Sample blocks `blocks[0]` to `blocks[1]`; give how many worlds count, and the mass reached in all."""
    hits, mass = np.int64(0), np.int64(0)
    for block in range(blocks[0], blocks[1]):
        lanes = lanes_of(block, question.trials)
        draw_words(network, question.key, block, lanes, room)
        flood_one(network.out, room, origin, lanes, room.reach)
        count_mass(room.reach, network, room)
        hits += np.int64(popcount(heavy_lanes(room, question.need) & lanes))
        for lane in range(LANES):
            if (lanes >> np.uint64(lane)) & ONE != ZERO:
                mass += room.counts[lane]
    return np.array([hits, mass], np.int64)
