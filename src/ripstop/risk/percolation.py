"""Independent cascade on all nodes at once: a failure crosses each edge with the edge's probability.

In each sampled world every edge is live or not, once. The nodes that a failed one reaches along live edges
fail too, so one world answers for every seed node. A cascade counts when the share failed, the first node
included, weighted by consequence, exceeds theta.

References:
    Kempe, Kleinberg, Tardos (2003), Maximizing the spread of influence, KDD (live-edge equivalence).
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from ripstop.risk.graph import Graph
from ripstop.risk.kernels import directed, undirected
from ripstop.risk.kernels.shapes import Network, Question, Room, make_room
from ripstop.risk.kernels.words import LANES
from ripstop.risk.layout import Methods
from ripstop.risk.runs import CountedRun, Counts
from ripstop.risk.settings import Settings

DENSE = 1.0
"""Mean number of live edges a node, above which a flood from a pivot is tried at all."""

WIDE = 8
"""Share of all mass, as a divisor, from which on a cascade has to weigh for sets of nodes to be bounded."""


def least_mass_above(theta: float, total: int) -> int:
    """Give the least whole mass whose share of the total exceeds theta, as the division would be written."""
    mass = math.floor(theta * total)
    while mass > 0 and (mass - 1) / total > theta:
        mass -= 1
    while mass / total <= theta:
        mass += 1
    return mass


def fewest_edges(network: Network, need: int, expected: float) -> int:
    """Give the least number of live edges in a cascade that weighs `need`; 0 where more are to be expected.

    Args:
        network: the graph laid out.
        need: mass of a cascade that counts.
        expected: mean number of live edges in a world.
    """
    if need > network.total:
        return 0
    heaviest_first = np.cumsum(network.mass if network.unit else np.sort(network.mass)[::-1])
    edges = int(np.searchsorted(heaviest_first, need))
    return edges if edges > expected else 0


_Rooms = tuple[Room, directed.Place, undirected.Forest]


class PercolationRun(CountedRun):
    """Worlds sampled so far on one graph, and what they showed; `extend` samples more of the same stream."""

    def __init__(self, graph: Graph, theta: float, seed: int, settings: Settings) -> None:
        n, laid = len(graph.nodes), graph.laid
        super().__init__(n)
        self._place, self.network, self._pivots = laid.layout.place, laid.network, laid.pivots
        self._settings = settings
        self._total = self.network.total
        self._need = least_mass_above(theta, self._total) if n else 1
        self._fewest = fewest_edges(self.network, self._need, laid.live)
        self._key = np.uint64(seed)
        self._rooms: deque[_Rooms] = deque()  # of all runs on this network, each in use by one at a time
        inexact = not settings.expected
        single = self.network.heaviest < self._need
        self.methods = laid.methods.setdefault(
            (self._need, inexact),
            Methods(
                flood=inexact and single and laid.live > DENSE * n / 2,
                bound=inexact and WIDE * self._need >= self._total,
            ),
        )

    @property
    def hits(self) -> NDArray[np.int64]:
        """Worlds in which each node's cascade exceeded theta."""
        return self.tally.hits[self._place]

    @property
    def mass(self) -> NDArray[np.int64]:
        """The sum of the masses of each node's cascades; zeros where the mean share was not asked for."""
        return self.tally.mass[self._place] if self._settings.expected else self.tally.mass

    def add(self, counts: Counts) -> None:
        """Add what worlds showed that were counted elsewhere."""
        self.tally.hits[self._place] += counts.hits
        if self._settings.expected:
            self.tally.mass[self._place] += counts.mass
        self.trials += counts.worlds

    @property
    def expected_share(self) -> NDArray[np.float64] | None:
        """Each node's mean share failed, if it was asked for."""
        if not self._settings.expected:
            return None
        return self.mass / (max(self.trials, 1) * max(self._total, 1))

    def sample(self, first: int, last: int) -> None:
        """Count worlds `first` to `last` - 1; `first` begins a block of 64."""
        if self._is_settled(last - first):
            return
        begin, end = first // LANES, math.ceil(last / LANES)
        if not self.methods.known:
            left = self.tally.left.copy()
            self._run(begin, begin + 1, last)
            begin += 1
            if begin * LANES <= last:
                self.methods.judge(self.tally.left - left)
        self._run(begin, end, last)

    def _is_settled(self, worlds: int) -> bool:
        """Count worlds without sampling, where theta leaves no doubt."""
        light = int(self.network.mass.min(initial=self._total)) < self._need <= self._total
        if self._settings.expected or light:
            return False
        if self._need <= self._total:
            self.tally.hits[:] += worlds
        return True

    def _question(self, trials: int) -> Question:
        how, exact = self.methods, self._settings.expected
        return Question(
            self._need, self._fewest, trials, self._key, self._pivots, how.flood, how.bound, exact
        )

    def _run(self, first: int, last: int, trials: int) -> None:
        question, tally = self._question(trials), self.tally
        blocks = np.array([first, last], np.int64)
        try:
            room, place, forest = self._rooms.pop()
        except IndexError:
            room, place, forest = self._make_rooms()
        if self.network.directed:
            directed.run_blocks(self.network, question, blocks, room, place, tally)
        else:
            undirected.run_blocks(self.network, question, blocks, room, forest, tally)
        self._rooms.append((room, place, forest))

    def _make_rooms(self) -> _Rooms:
        n, edges = len(self.network.mass), len(self.network.threshold)
        size = (n, edges) if self.network.directed else (0, 0)
        place = directed.make_place(*size, exact=self._settings.expected)
        return make_room(self.network), place, undirected.make_forest(0 if self.network.directed else n)
