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
from copy import copy
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import reverse_cuthill_mckee

from ripstop.risk.errors import RiskInputError
from ripstop.risk.graph import Graph
from ripstop.risk.kernels import directed, undirected
from ripstop.risk.kernels.layout import adjacency_both_ways, adjacency_of, by_source, thresholds_of
from ripstop.risk.kernels.shapes import Adjacency, Network, Question, Room, Tally, make_room
from ripstop.risk.kernels.words import LANES
from ripstop.risk.settings import Settings

MASS_UNITS = 1 << 40
DENSE = 1.0
"""Mean number of live edges a node, above which a flood from a pivot is tried at all."""

FAR = 2048
"""Nodes from which on neighbours are laid out near each other, so that they share cache lines."""

WIDE = 8
"""Share of all mass, as a divisor, from which on a cascade has to weigh for sets of nodes to be bounded."""

PIVOTS = 4
"""Well-connected nodes that are tried first."""


def network_of(graph: Graph, place: NDArray[np.int32] | None = None) -> Network:
    """Lay a graph out for the kernels.

    Args:
        graph: the risk graph.
        place: where each node is to stand, a permutation; as in the graph, if there is none.
    """
    source, target, mass = np.array(graph.source), np.array(graph.target), whole_masses(graph.consequence)
    key = np.arange(len(source), dtype=np.int32)
    if place is not None:
        mass[place] = mass.copy()
        source, target, key = by_source(source, target, place, graph.directed)
    out, back = _both(len(graph.nodes), source, target, directed=graph.directed)
    unit = bool((mass == 1).all())
    total, heaviest = int(mass.sum()), int(mass.max(initial=0))
    threshold = thresholds_of(np.array(graph.weight), key)
    return Network(source, target, threshold, key, out, back, mass, graph.directed, unit, total, heaviest)


def adjacencies(graph: Graph) -> tuple[Adjacency, Adjacency]:
    """Give the edges by node, outwards and inwards; in an undirected graph both are the same."""
    ends = np.array(graph.source), np.array(graph.target)
    return _both(len(graph.nodes), *ends, directed=graph.directed)


def _both(
    n: int, source: NDArray[np.int32], target: NDArray[np.int32], *, directed: bool
) -> tuple[Adjacency, Adjacency]:
    if directed:
        return adjacency_of(n, source, target), adjacency_of(n, target, source)
    adjacency = adjacency_both_ways(n, source, target)
    return adjacency, adjacency


def whole_masses(consequence: NDArray[np.float64]) -> NDArray[np.int64]:
    """Give consequences as whole numbers in proportion: as they are if whole, else in 2**-40 of their sum.

    Whole numbers add up to the same whatever the order, so neither threads nor methods change a result.

    Raises:
        RiskInputError: C0706, if nothing has any consequence.
    """
    if len(consequence) == 0:
        return np.zeros(0, np.int64)
    total = float(consequence.sum())
    if not 0.0 < total < math.inf:
        raise RiskInputError("the consequences add up to nothing, expected a positive sum", code="C0706")
    if (consequence == consequence[0]).all():
        return np.ones(len(consequence), np.int64)
    if total <= MASS_UNITS and (consequence == np.floor(consequence)).all():
        return consequence.astype(np.int64)
    return np.rint(consequence / total * (MASS_UNITS - len(consequence))).astype(np.int64)


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


def nearness_order(graph: Graph) -> NDArray[np.int32]:
    """Give each node its place in an order in which neighbours stand near each other.

    References:
        Cuthill, McKee (1969), Reducing the bandwidth of sparse symmetric matrices, ACM National Conference.
    """
    n = len(graph.nodes)
    both = adjacency_both_ways(n, np.array(graph.source), np.array(graph.target))
    start, neighbour = both.start.astype(np.int32), both.neighbour.view(np.int32)
    near = csr_array((np.ones(len(neighbour), np.int8), neighbour, start), shape=(n, n))
    order = reverse_cuthill_mckee(near, symmetric_mode=True)
    place = np.empty(n, np.int32)
    place[order] = np.arange(n, dtype=np.int32)
    return place


class CountedRun:
    """What sampled worlds showed so far; counts of other worlds of the same stream can be added."""

    def __init__(self, nodes: int) -> None:
        self.trials = 0
        self.tally = empty_tally(nodes)

    @property
    def hits(self) -> NDArray[np.int64]:
        """Worlds in which each node's cascade exceeded theta."""
        return self.tally.hits

    @property
    def mass(self) -> NDArray[np.int64]:
        """The sum of the masses of each node's cascades."""
        return self.tally.mass

    def fresh(self, first: int) -> Self:
        """Give the same model on the same graph, nothing counted, that goes on from world `first`."""
        other = copy(self)
        other.trials = first
        other.tally = empty_tally(len(self.tally.hits))
        return other

    def add(self, hits: NDArray[np.int64], mass: NDArray[np.int64], worlds: int) -> None:
        """Add what so many worlds showed that were counted elsewhere."""
        self.tally.hits[:] += hits
        self.tally.mass[:] += mass
        self.trials += worlds


@dataclass(slots=True)
class Methods:
    """What is tried on 64 worlds at once before they are searched one by one; no answer depends on it.

    All runs on one graph share it, so that one of them finds out for all.
    """

    flood: bool
    bound: bool
    judged: bool = False

    @property
    def known(self) -> bool:
        """Whether there is nothing left to find out."""
        return self.judged or not (self.flood or self.bound)

    def judge(self, tally: Tally, worlds: int) -> None:
        """Keep what settled most of the first worlds that it was tried on."""
        flooded, bounded, left = tally.left.tolist()
        self.flood = self.flood and 2 * flooded <= worlds
        self.bound = self.bound and 2 * left <= bounded
        self.judged = True


_Rooms = tuple[Room, directed.Place, undirected.Forest]


class PercolationRun(CountedRun):
    """Worlds sampled so far on one graph, and what they showed; `extend` samples more of the same stream."""

    def __init__(self, graph: Graph, theta: float, seed: int, settings: Settings) -> None:
        n = len(graph.nodes)
        super().__init__(n)
        near = n >= FAR or (graph.directed and n > 0)
        self._place = nearness_order(graph) if near else np.arange(n, dtype=np.int32)
        self.network = network_of(graph, self._place if near else None)
        self._graph = graph
        self._settings = settings
        self._total = self.network.total
        self._need = least_mass_above(theta, self._total) if n else 1
        self._fewest = fewest_edges(self.network, self._need, float(graph.weight.sum()))
        self._key = np.uint64(seed)
        strength = np.bincount(graph.source, graph.weight, n) + np.bincount(graph.target, graph.weight, n)
        self._pivots = self._place[_largest(strength, PIVOTS)]
        self._rooms: deque[_Rooms] = deque()  # of all runs on this network, each in use by one at a time
        inexact = not settings.expected
        single = self.network.heaviest < self._need
        self.methods = Methods(
            flood=inexact and single and float(graph.weight.sum()) > DENSE * n / 2,
            bound=inexact and WIDE * self._need >= self._total,
        )

    @property
    def hits(self) -> NDArray[np.int64]:
        """Worlds in which each node's cascade exceeded theta."""
        return self.tally.hits[self._place]

    @property
    def mass(self) -> NDArray[np.int64]:
        """The sum of the masses of each node's cascades; zeros where the mean share was not asked for."""
        return self.tally.mass[self._place] if self._settings.expected else self.tally.mass

    def add(self, hits: NDArray[np.int64], mass: NDArray[np.int64], worlds: int) -> None:
        """Add what so many worlds showed that were counted elsewhere."""
        self.tally.hits[self._place] += hits
        if self._settings.expected:
            self.tally.mass[self._place] += mass
        self.trials += worlds

    @property
    def expected_share(self) -> NDArray[np.float64] | None:
        """Each node's mean share failed, if it was asked for."""
        if not self._settings.expected:
            return None
        return self.mass / (max(self.trials, 1) * max(self._total, 1))

    def extend(self, trials: int) -> None:
        """Sample until `trials` worlds are done; only the last call may ask for a broken block of 64."""
        first, last = self.trials // LANES, math.ceil(trials / LANES)
        if self._is_settled(trials):
            return
        if not self.methods.known:
            self._run(first, first + 1, trials)
            self.methods.judge(self.tally, min(LANES, trials - first * LANES))
            first += 1
        self._run(first, last, trials)
        self.trials = trials

    def _is_settled(self, trials: int) -> bool:
        """Answer without sampling where theta leaves no doubt."""
        light = int(self.network.mass.min(initial=self._total)) < self._need <= self._total
        if self._settings.expected or light:
            return False
        if self._need <= self._total:
            self.tally.hits[:] += trials - self.trials
        self.trials = trials
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


def _largest(values: NDArray[Any], count: int) -> NDArray[np.intp]:
    """Give the positions of the largest values, the largest first."""
    among = np.argpartition(-values, min(count, len(values) - 1))[:count] if len(values) else np.arange(0)
    return among[np.lexsort((among, -values[among]))]


def empty_tally(n: int) -> Tally:
    """Give a tally of nothing for n nodes."""
    return Tally(np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(3, np.int64), np.zeros(1, np.uint64))
