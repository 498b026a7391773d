"""The other cascade models on a plain graph: linear threshold, and overload by redistributed load."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from ripstop.risk.graph import Graph
from ripstop.risk.kernels import overload, threshold
from ripstop.risk.layout import adjacencies, whole_masses
from ripstop.risk.percolation import PercolationRun, least_mass_above
from ripstop.risk.runs import CountedRun
from ripstop.risk.settings import Settings

BLOCK = 64
SPREAD = 0.1  # of a capacity, where settings say none


class _PlayedRun(CountedRun):
    def __init__(self, graph: Graph, theta: float) -> None:
        super().__init__(len(graph.nodes))
        self.weights = whole_masses(graph.consequence)
        self.total = int(self.weights.sum())
        self.need = least_mass_above(theta, self.total) if len(graph.nodes) else 1

    @property
    def expected_share(self) -> NDArray[np.float64]:
        return self.tally.mass / (max(self.trials, 1) * max(self.total, 1))


class ThresholdRun(_PlayedRun):
    """Linear threshold: a node fails once its failed neighbours' weights reach a uniform random number.

    Where the weights into a node add up to more than one they are scaled down to one. Equal weights of
    1 / degree make it: a node fails when the share of its neighbours that failed exceeds a random one.
    """

    def __init__(self, graph: Graph, theta: float, seed: int, settings: Settings) -> None:
        del settings  # nothing in them concerns this model
        super().__init__(graph, theta)
        self._key = np.uint64(seed)
        _, back = adjacencies(graph)
        weight = graph.weight[back.edge]
        node = np.repeat(np.arange(len(graph.nodes)), np.diff(back.start))
        into = np.bincount(node, weight, len(graph.nodes))
        upto = np.cumsum(weight)
        before = np.concatenate([[0.0], upto])[back.start[:-1]]
        upto = (upto - before[node]) / np.maximum(into, 1.0)[node]
        self._picks = threshold.Picks(back.start, back.neighbour, upto, self.weights)

    def sample(self, first: int, last: int) -> None:
        """Count worlds `first` to `last` - 1."""
        worlds = np.array([first, last], np.int64)
        threshold.run_worlds(self._picks, self._key, worlds, self.need, self.tally)


class OverloadRun(_PlayedRun):
    """Overload: a failed node's load is shared out to its surviving neighbours by edge weight.

    A node that took load fails when it carries more than its capacity, which in each world is the declared
    one times 1 + `spread` (0.1) * a standard normal number. Load with no surviving neighbour is lost.
    Without a `load` a node carries the sum of its edges' weights; without a `capacity` it can carry 1 +
    `tolerance` times its load. Here a weight says how load is shared, not how likely a failure is.

    References:
        Motter, Lai (2002), Cascade-based attacks on complex networks, Phys. Rev. E 66: capacity in
        proportion to load. They send load over shortest paths anew; here it stays with the neighbours, as
        in Wang, Rong (2009), Cascade-based attack vulnerability on the US power grid, Safety Science 47.
    """

    def __init__(self, graph: Graph, theta: float, seed: int, settings: Settings) -> None:
        super().__init__(graph, theta)
        self._seed = seed
        self._spread = SPREAD if settings.spread is None else settings.spread
        out, _ = adjacencies(graph)
        n = len(graph.nodes)
        strength = np.bincount(graph.source, graph.weight, n) + np.bincount(graph.target, graph.weight, n)
        load = np.array(graph.quantities.get("load", strength), np.float64)
        self._capacity = graph.quantities.get("capacity", (1.0 + settings.tolerance) * load)
        self._grid = overload.Grid(out.start, out.neighbour, graph.weight[out.edge], load, self.weights)

    def sample(self, first: int, last: int) -> None:
        """Count worlds `first` to `last` - 1, in blocks of 64 with a stream each."""
        for begin in range(first, last, BLOCK):
            rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence([self._seed, begin // BLOCK])))
            drawn = rng.standard_normal((BLOCK, len(self.weights)))[: last - begin]
            capacity = np.maximum(self._capacity * (1.0 + self._spread * drawn), 0.0)
            rows = np.concatenate([capacity, capacity.min(axis=0, keepdims=True)])
            overload.run_worlds(
                self._grid, overload.make_wave(len(self.weights)), rows, self.need, self.tally
            )


MODELS: Mapping[str, Callable[[Graph, float, int, Settings], CountedRun]] = {
    "percolation": PercolationRun,
    "threshold": ThresholdRun,
    "load": OverloadRun,
}
"""Every model by its name; each is built from (graph, theta, seed, settings)."""
