"""What it would cost each candidate to take each item: a kernel, for the fleet waits for its answer."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ripstop import risk
from ripstop.risk.kernels.jit import kernel

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]


class Routes(NamedTuple):
    """Every agent's route by its gaps: where it is, then behind each of its items in the order reported.

    `before` (n, gaps, 2): where a gap begins; `after` (n, gaps, 2): the pick-up that follows it, not used in
    an agent's last gap; `held` (n,): its items, one fewer than its gaps.
    """

    before: Floats
    after: Floats
    held: Ints


@kernel
def apart(x: float, y: float, to_x: float, to_y: float) -> float:
    """Give the distance of two places."""
    across, along = x - to_x, y - to_y
    return math.sqrt(across * across + along * along)


@kernel
def cheapest_insertions(routes: Routes, targets: Ints, places: Floats, carry: Floats) -> Floats:
    """Give the metres of the cheapest insertion of each item into each candidate's route, shape (m, k).

    `targets` (m, k), -1 where there is none: 0 comes out there. `places` (m, 5): pick-up, drop, load. `carry`
    (m,): by what a metre with the item aboard counts more.
    """
    cheapest = np.zeros(targets.shape)
    for item in range(targets.shape[0]):
        x, y, drop_x, drop_y = places[item, 0], places[item, 1], places[item, 2], places[item, 3]
        leg = apart(drop_x, drop_y, x, y) * carry[item]
        for choice in range(targets.shape[1]):
            j = targets[item, choice]
            if j < 0:
                continue
            least = math.inf
            for gap in range(routes.held[j] + 1):
                begin_x, begin_y = routes.before[j, gap, 0], routes.before[j, gap, 1]
                extra = apart(begin_x, begin_y, x, y)
                if gap < routes.held[j]:
                    end_x, end_y = routes.after[j, gap, 0], routes.after[j, gap, 1]
                    extra += apart(end_x, end_y, drop_x, drop_y)
                    extra -= apart(end_x, end_y, begin_x, begin_y)
                least = min(least, extra)
            cheapest[item, choice] = max(least, 0.0) + leg
    return cheapest


def warmup() -> None:
    """Compile every kernel of the ground and of its risk engine, or load its machine code from disk."""
    risk.warmup()
    routes = Routes(np.zeros((1, 1, 2)), np.zeros((1, 1, 2)), np.zeros(1, np.int32))
    cheapest_insertions(routes, np.zeros((1, 1), np.int32), np.zeros((1, 5)), np.ones(1))
