"""Which measure helps, and how surely: every candidate is tried in the same worlds as doing nothing."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ripstop.risk.assessment import assess
from ripstop.risk.errors import RiskInputError
from ripstop.risk.graph import Graph
from ripstop.risk.intervals import clopper_pearson
from ripstop.risk.itemload import ItemLoad, LoadMitigation
from ripstop.risk.load import NOTHING, LoadReport, simulate_load
from ripstop.risk.report import RiskReport
from ripstop.risk.settings import check_share

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Change:
    """What a measure takes from a probability, from paired worlds.

    `reduction` is the share of worlds that it saves less the share that it spoils; `low` to `high` is
    conservative: exact intervals of both shares, each at half the error.
    """

    reduction: float
    low: float
    high: float


def paired_change(saved: int, spoiled: int, trials: int, confidence: float = 0.95) -> Change:
    """Give the change from the worlds in which two paired answers differ."""
    half = 1.0 - (1.0 - confidence) / 2.0
    low, high = clopper_pearson([saved, spoiled], trials, half)
    return Change((saved - spoiled) / trials, float(low[0] - high[1]), float(high[0] - low[1]))


@dataclass(frozen=True, slots=True)
class LoadEffect:
    """One mitigation tried on a load state: what then happens, and the change against doing nothing."""

    mitigation: LoadMitigation
    report: LoadReport
    change: Change


def compare_load(
    load: ItemLoad,
    failing: Hashable | Sequence[Hashable],
    mitigations: Iterable[LoadMitigation],
    *,
    theta: float = 0.5,
    trials: int = 200,
    seed: int = 0,
) -> tuple[LoadEffect, ...]:
    """Try each mitigation on the same worlds; the first effect is that of doing nothing.

    Raises:
        RiskInputError: as `simulate_load`.
    """
    before = simulate_load(load, failing, theta=theta, trials=trials, seed=seed)
    lost = before.shares > theta
    effects = [LoadEffect(NOTHING, before, paired_change(0, 0, trials))]
    for mitigation in mitigations:
        after = simulate_load(load, failing, theta=theta, trials=trials, seed=seed, mitigation=mitigation)
        still = after.shares > theta
        change = paired_change(int((lost & ~still).sum()), int((still & ~lost).sum()), trials)
        effects.append(LoadEffect(mitigation, after, change))
    return tuple(effects)


@dataclass(frozen=True, slots=True)
class GraphMitigation:
    """Measures on a risk graph: they only ever lower weights.

    Attributes:
        name: what a comparison calls it.
        isolated: nodes cut off from all others.
        cut: pairs of nodes whose edge is cut.
        shed: by channel, the factor in 0..1 that its probability is multiplied with.
        shed_around: nodes whose edges are shed; None sheds everywhere.
    """

    name: str = "none"
    isolated: frozenset[Hashable] = frozenset()
    cut: frozenset[tuple[Hashable, Hashable]] = frozenset()
    shed: Mapping[str, float] = field(default_factory=dict)
    shed_around: frozenset[Hashable] | None = None

    def apply(self, graph: Graph) -> Graph:
        """Give the graph with the measures taken; nodes and edges keep their places.

        Raises:
            RiskInputError: C0702, C0703 or C0715 for a node, an edge or a channel that is not there.
        """
        around = np.ones(len(graph.source), np.bool_)
        if self.shed_around is not None:
            near = _marked(graph, self.shed_around)
            around = near[graph.source] | near[graph.target]
        spared = np.ones(len(graph.source))
        for name, p in graph.channels.items():
            factor = check_share(f"shed {name}", self.shed.get(name, 1.0), "C0715")
            spared *= 1.0 - np.where(around, factor * p, p)
        for name in self.shed:
            if name not in graph.channels:
                raise RiskInputError(
                    f"there is no channel `{name}`, expected one of {', '.join(graph.channels)}",
                    code="C0715",
                )
        weight = 1.0 - spared if self.shed else np.array(graph.weight)
        gone = _marked(graph, self.isolated)
        weight[gone[graph.source] | gone[graph.target]] = 0.0
        for source, target in self.cut:
            weight[graph.edge(source, target)] = 0.0
        return graph.with_weight(weight)


def _marked(graph: Graph, nodes: Iterable[Hashable]) -> NDArray[np.bool_]:
    marks = np.zeros(len(graph.nodes), np.bool_)
    marks[[graph.index(node) for node in nodes]] = True
    return marks


@dataclass(frozen=True, eq=False)
class GraphEffect:
    """One mitigation tried on a risk graph: the report, and each node's change against doing nothing."""

    mitigation: GraphMitigation
    report: RiskReport
    changes: tuple[Change, ...]


def compare_graph(
    graph: Graph,
    mitigations: Iterable[GraphMitigation],
    *,
    theta: float = 0.5,
    trials: int = 1000,
    seed: int = 0,
) -> tuple[GraphEffect, ...]:
    """Try each mitigation on the same percolation worlds; the first effect is that of doing nothing.

    A lower weight only takes live edges away, world by world, so a mitigation spoils none and the hits
    that it takes away are exactly the worlds that it saves.

    Raises:
        RiskInputError: as `assess` and `GraphMitigation.apply`.
    """
    before = assess(graph, theta=theta, trials=trials, seed=seed)
    effects = []
    for mitigation in (GraphMitigation(), *mitigations):
        after = assess(mitigation.apply(graph), theta=theta, trials=trials, seed=seed)
        saved = before.hits - after.hits
        half = 0.975  # as `paired_change`: saved and spoiled share the error
        low, high = clopper_pearson(saved, trials, half)
        most = clopper_pearson(0, trials, half)[1]
        changes = tuple(
            Change(float(s / trials), float(a - most), float(b))
            for s, a, b in zip(saved, low, high, strict=True)
        )
        effects.append(GraphEffect(mitigation, after, changes))
    return tuple(effects)
