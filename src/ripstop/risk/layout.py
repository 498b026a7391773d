"""A graph laid out for the kernels: its edges in the order in which they are passed, and what they weigh."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ripstop.risk.errors import RiskInputError
from ripstop.risk.inputs import frozen
from ripstop.risk.kernels.layout import (
    adjacency_both_ways,
    adjacency_of,
    by_source,
    nearness_order,
    strengths_of,
    thresholds_of,
)
from ripstop.risk.kernels.shapes import Adjacency, Counts, Indices, Network

if TYPE_CHECKING:
    from ripstop.risk.graph import Graph

MASS_UNITS = 1 << 40

FAR = 512
"""Nodes from which on neighbours are laid out near each other, so that they share cache lines; with fewer it
takes as long as it saves."""

PIVOTS = 4
"""Well-connected nodes that are tried first."""


class Layout(NamedTuple):
    """A graph's edges between places, by source; whatever they weigh.

    `place[v]` is where node v stands, `key[e]` which edge of the graph stands at e, `out` and `back` are the
    edges by node; in an undirected graph both are the same.
    """

    place: Indices
    source: Indices
    target: Indices
    key: Indices
    out: Adjacency
    back: Adjacency


@dataclass(slots=True)
class Methods:
    """What is tried on 64 worlds at once before they are searched one by one; no answer depends on it.

    All runs that ask the same of one graph share it, so that one of them finds out for all.
    """

    flood: bool
    bound: bool
    judged: bool = False

    @property
    def known(self) -> bool:
        """Whether there is nothing left to find out."""
        return self.judged or not (self.flood or self.bound)

    def judge(self, lanes: Counts) -> None:
        """Keep what settled most of a whole block's worlds that it was tried on; `lanes` as `Tally.left`.

        Sets settle worlds without a cascade that counts, floods those with one: where sets settle most,
        floods are not tried.
        """
        bounded, after_bounds, flooded, after_floods = lanes.tolist()
        self.bound = self.bound and 2 * after_bounds <= bounded
        self.flood = self.flood and 2 * after_floods < flooded
        self.judged = True


@dataclass(frozen=True, eq=False, slots=True)
class Laid:
    """A graph as percolation needs it: all that follows from the graph alone.

    Attributes:
        layout: its edges.
        network: the same with what they weigh.
        pivots: places of the nodes on which most weight meets, tried first.
        live: mean number of live edges in a world.
        methods: what suits it, by the mass that counts and whether means are left out.
    """

    layout: Layout
    network: Network
    pivots: Indices
    live: float
    methods: dict[tuple[int, bool], Methods] = field(default_factory=dict)


def laid_out(graph: Graph) -> Laid:
    """Lay a graph out.

    Raises:
        RiskInputError: C0706, if nothing has any consequence.
    """
    layout, weight = graph.layout, np.array(graph.weight)
    strength = strengths_of(len(graph.nodes), layout.source, layout.target, weight[layout.key])
    network = network_of(graph, layout)
    return Laid(layout, network, _largest(strength, PIVOTS), float(weight.sum()))


def _largest(values: NDArray[np.float64], count: int) -> Indices:
    """Give the positions of the largest values, the largest first; the values are lost."""
    found = np.zeros(min(count, len(values)), np.int32)
    for i in range(len(found)):
        found[i] = values.argmax()
        values[found[i]] = -math.inf
    return found


def merged_edges(
    n: int, ends: NDArray[np.int32], channels: Mapping[str, NDArray[np.float64]], *, directed: bool
) -> tuple[Indices, Indices, dict[str, NDArray[np.float64]]]:
    """Give sources, targets and channels of edges in order, each once, without self-loops; read-only.

    Parallel edges combine as independent causes; an edge that stands once keeps its weight to the last bit.
    """
    if not directed:
        ends = np.sort(ends, axis=1)
    kept = ends[:, 0] != ends[:, 1]
    code = ends[kept, 0].astype(np.int64) * max(n, 1) + ends[kept, 1]
    unique, place = np.unique(code, return_inverse=True)
    merged = {}
    for name, p in channels.items():
        spared = np.ones(len(unique))
        np.multiply.at(spared, place, 1.0 - p[kept])
        single = np.bincount(place, minlength=len(unique)) == 1
        alone = np.zeros(len(unique))
        alone[place] = p[kept]
        merged[name] = frozen(np.where(single, alone, 1.0 - spared))
    source, target = (part.astype(np.int32) for part in np.divmod(unique, max(n, 1)))
    return frozen(source), frozen(target), merged


def layout_of(graph: Graph) -> Layout:
    """Lay a graph's edges out as percolation passes them."""
    near = len(graph.nodes) >= FAR or (graph.directed and len(graph.nodes) > 0)
    if not near:
        return plain_layout(graph)
    source, target = np.array(graph.source), np.array(graph.target)
    place = nearness_order(adjacency_both_ways(len(graph.nodes), source, target))
    return _placed(place, *by_source(source, target, place, graph.directed), directed=graph.directed)


def plain_layout(graph: Graph) -> Layout:
    """Lay a graph's edges out as they stand."""
    place, key = (np.arange(size, dtype=np.int32) for size in (len(graph.nodes), len(graph.source)))
    return _placed(place, np.array(graph.source), np.array(graph.target), key, directed=graph.directed)


def _placed(place: Indices, source: Indices, target: Indices, key: Indices, *, directed: bool) -> Layout:
    return Layout(place, source, target, key, *_both(len(place), source, target, directed=directed))


def adjacencies(graph: Graph) -> tuple[Adjacency, Adjacency]:
    """Give the edges by node, outwards and inwards; in an undirected graph both are the same."""
    ends = np.array(graph.source), np.array(graph.target)
    return _both(len(graph.nodes), *ends, directed=graph.directed)


def _both(n: int, source: Indices, target: Indices, *, directed: bool) -> tuple[Adjacency, Adjacency]:
    if directed:
        return adjacency_of(n, source, target), adjacency_of(n, target, source)
    adjacency = adjacency_both_ways(n, source, target)
    return adjacency, adjacency


def network_of(graph: Graph, layout: Layout | None = None) -> Network:
    """Give a graph as kernels see it: laid out as it stands, if it is not yet.

    Raises:
        RiskInputError: C0706, if nothing has any consequence.
    """
    layout = plain_layout(graph) if layout is None else layout
    mass = np.empty(len(graph.nodes), np.int64)
    mass[layout.place] = whole_masses(graph.consequence)
    return Network(
        layout.source,
        layout.target,
        thresholds_of(np.array(graph.weight), layout.key),
        layout.key,
        layout.out,
        layout.back,
        mass,
        graph.directed,
        unit=bool((mass == 1).all()),
        total=int(mass.sum()),
        heaviest=int(mass.max(initial=0)),
    )


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
