"""Outages world by world: what is not known of a power grid is drawn, and every outage played.

Theory of operation. What demands do apart largely cancels out in the flows; what they do together, by the
hour and the weather, does not: half of the variance of each is common to all. And they stay within bounds: a
normal tail has worlds that no operator expects, in which the grid is overloaded before anything trips, and
the outage of any line is followed by a loss.
"""

from __future__ import annotations

import math

import numpy as np

from ripstop.risk.errors import RiskInputError
from ripstop.risk.flow import FlowGrid, factors_of
from ripstop.risk.kernels.grid import Load, play_buses, play_lines, settle
from ripstop.risk.percolation import CountedRun

FLOW = "flow"
BUSES = "buses"
LINES = "lines"
PURPOSE = 0x666C6F77  # "flow": keys these draws apart from other uses of the seed
BLOCK = 64
REACH = math.sqrt(3.0)  # of a uniform number of deviation 1
TOGETHER = math.sqrt(0.5)  # of a demand's deviation, what it shares with all, and what it has of its own
DEMAND_SPREAD = 0.12
UNITS = 1 << 40  # a share of the demand is counted in these, so that sums do not depend on their order


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
        self._grid, self._theta, self._seed, self._spreads = grid, theta, seed, spreads
        self._factors = None if of == BUSES else factors_of(grid.wires)

    @property
    def expected_share(self) -> np.typing.NDArray[np.float64]:
        """The mean share of the demand lost by each outage."""
        return self.tally.mass / (max(self.trials, 1) * UNITS)

    def extend(self, trials: int) -> None:
        """Sample on until `trials` worlds are done."""
        buses, lines = len(self._grid.demand), len(self._grid.lines)
        for first in range(self.trials, trials, BLOCK):
            keys = np.random.SeedSequence([self._seed, first // BLOCK, PURPOSE])
            rng = np.random.Generator(np.random.SFC64(keys))
            drawn = rng.uniform(-REACH, REACH, (BLOCK, 1 + buses + lines))
            for row in drawn[: trials - first]:
                self._play(TOGETHER * (row[0] + row[1 : 1 + buses]), row[1 + buses :])
        self.trials = trials

    def _play(self, demand: np.typing.NDArray[np.float64], capacity: np.typing.NDArray[np.float64]) -> None:
        of_demand, of_capacity = self._spreads
        grid, flow, lost = self._grid, np.empty(len(capacity)), np.empty(len(self.hits))
        world = Load(
            grid.demand * np.exp(of_demand * demand),
            grid.generation.copy(),
            grid.capacity * np.exp(of_capacity * capacity),
        )
        settle(grid.wires, world, flow)
        if self._factors is None:
            play_buses(grid.wires, world, lost)
        else:
            play_lines(grid.wires, world, flow, self._factors, lost)
        share = lost / float(world.demand.sum())
        self.tally.mass[:] += np.rint(share * UNITS).astype(np.int64)
        self.tally.hits[:] += share > self._theta
