"""Outages world by world: what is not known of a power grid is drawn, and every outage played.

Theory of operation. What demands do apart largely cancels out in the flows; what they do together, by the
hour and the weather, does not: half of the variance of each is common to all. And they stay within bounds: a
normal tail has worlds that no operator expects, in which the grid is overloaded before anything trips, and
the outage of any line is followed by a loss.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ripstop.risk.errors import RiskInputError
from ripstop.risk.flow import Floats, FlowGrid, factors_of
from ripstop.risk.kernels.grid import SLACK, Load, play, play_buses, play_lines, settle
from ripstop.risk.runs import CountedRun

FLOW = "flow"
BUSES = "buses"
LINES = "lines"
PURPOSE = 0x666C6F77  # "flow": keys these draws apart from other uses of the seed
BLOCK = 64
REACH = math.sqrt(3.0)  # of a uniform number of deviation 1
TOGETHER = math.sqrt(0.5)  # of a demand's deviation, what it shares with all, and what it has of its own
DEMAND_SPREAD = 0.12
UNITS = 1 << 40  # of a share of the demand


class FlowRun(CountedRun):
    """Worlds sampled so far on one grid, and what they showed for each line, or for each bus.

    In each world every bus's demand and every line's capacity are drawn around the grid's own, the logarithms
    evenly between bounds; generation follows demand. A block of 64 worlds has a stream of its own.

    Args:
        grid: the grid; it is balanced in every world.
        theta: share of the demand whose loss counts.
        seed: of all draws.
        spreads: standard deviations of the logarithms, of demands and of capacities.
        of: what trips, `lines` or `buses`.
    """

    def __init__(
        self, grid: FlowGrid, theta: float, seed: int, spreads: tuple[float, float], of: str = LINES
    ) -> None:
        if not grid.demand.sum() > 0.0:
            raise RiskInputError(
                "the grid feeds no demand, expected some, and generation in its island", code="C0741"
            )
        super().__init__(len(grid.buses if of == BUSES else grid.lines))
        self.before = np.zeros(2, np.int64)
        self._grid, self._theta, self._seed, self._spreads = grid, theta, seed, spreads
        self._factors = None if of == BUSES else factors_of(grid.wires)

    @property
    def expected_share(self) -> Floats:
        """The mean share of the demand lost by each outage."""
        return self.tally.mass / (max(self.trials, 1) * UNITS)

    def sample(self, first: int, last: int) -> None:
        """Count worlds `first` to `last` - 1; `before`: those with a line above its limit as it is."""
        for world, flow in self._worlds(first, last):
            lost, demand = np.empty(len(self.hits)), float(world.demand.sum())
            if (np.abs(flow) > world.capacity + SLACK).any():
                standing = np.full(len(flow), -1, np.int32)
                alone = np.array([play(self._grid.wires, world, standing, -1) / demand])
                self.before += np.append(1, in_units(alone))
            if self._factors is None:
                play_buses(self._grid.wires, world, lost)
            else:
                play_lines(self._grid.wires, world, flow, self._factors, lost)
            share = lost / demand
            self.tally.mass[:] += in_units(share)
            self.tally.hits[:] += share > self._theta

    def _worlds(self, begin: int, end: int) -> Iterator[tuple[Load, Floats]]:
        """Give each world, balanced, and the flows with every line up."""
        grid, (of_demand, of_capacity) = self._grid, self._spreads
        buses, lines = len(grid.demand), len(grid.lines)
        for first in range(begin, end, BLOCK):
            keys = np.random.SeedSequence([self._seed, first // BLOCK, PURPOSE])
            rng = np.random.Generator(np.random.SFC64(keys))
            drawn = rng.uniform(-REACH, REACH, (BLOCK, 1 + buses + lines))
            for row in drawn[: end - first]:
                apart, flow = row[1 : 1 + buses], np.empty(lines)
                world = Load(
                    grid.demand * np.exp(of_demand * TOGETHER * (row[0] + apart)),
                    grid.generation.copy(),
                    grid.capacity * np.exp(of_capacity * row[1 + buses :]),
                )
                settle(grid.wires, world, flow)
                yield world, flow


def in_units(share: Floats) -> NDArray[np.int64]:
    """Give shares of the demand as whole numbers, which add up to the same in any order."""
    return np.rint(share * UNITS).astype(np.int64)
