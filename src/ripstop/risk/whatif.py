"""Which measure helps, and how surely: every candidate is tried in the same worlds as doing nothing."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ripstop.risk.assessment import assess
from ripstop.risk.errors import RiskInputError
from ripstop.risk.graph import GRAPH, Graph
from ripstop.risk.inputs import as_number, checked_names, is_row
from ripstop.risk.intervals import clopper_pearson
from ripstop.risk.itemload import LOAD, MITIGATION, ItemLoad, LoadMitigation
from ripstop.risk.kinds import Kind, takes
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


@takes(load=LOAD, mitigations=replace(MITIGATION, noun="measures on a load state", each=True))
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
    """Measures on a risk graph.

    Attributes:
        name: what a comparison calls it.
        isolated: nodes cut off from all others.
        cut: pairs of nodes whose edge is cut.
        shed: by channel, the factor in 0..1 that its probability is multiplied with.
        shed_around: nodes whose edges are shed; None sheds everywhere.
        added: new edges by their ends, with their weight: with `cut`, a re-wiring.
        hub: a star: every edge is cut but those of this node.
        moved: load taken from one node and given to another, by (from, to); for model `load`.
        cost: what it costs, in any one unit; a search weighs it against what the measure brings.
    """

    name: str = "none"
    isolated: frozenset[Hashable] = frozenset()
    cut: frozenset[tuple[Hashable, Hashable]] = frozenset()
    shed: Mapping[str, float] = field(default_factory=dict)
    shed_around: frozenset[Hashable] | None = None
    added: Mapping[tuple[Hashable, Hashable], float] = field(default_factory=dict)
    hub: Hashable | None = None
    moved: Mapping[tuple[Hashable, Hashable], float] = field(default_factory=dict)
    cost: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= as_number(self.cost) < math.inf:
            raise RiskInputError(
                f"`cost` of `{self.name}` is {self.cost}, expected a finite number, 0 or more", code="C0715"
            )
        for name in ("shed", "added", "moved"):
            given = getattr(self, name)
            if not isinstance(given, Mapping):
                raise RiskInputError(
                    f"`{name}` is `{given}`, expected numbers by what they are of", code="C0716"
                )
        for name in ("isolated", "cut"):
            given = getattr(self, name)
            if isinstance(given, str) or not is_row(given):
                raise RiskInputError(f"`{name}` is `{given}`, expected a set", code="C0716")
        for pair in (*self.cut, *self.added, *self.moved):
            if not isinstance(pair, tuple) or len(pair) != 2:
                raise RiskInputError(f"`{self.name}` names `{pair}`, expected pairs of nodes", code="C0716")

    @property
    def only_lowers(self) -> bool:
        """Whether no weight can rise: then no world gets worse, under percolation."""
        return not self.added and not self.moved

    def apply(self, graph: Graph) -> Graph:
        """Give the graph with the measures taken; nodes keep their places, and edges without `added`.

        Raises:
            RiskInputError: C0702 to C0706 or C0715, for what is not there or is no probability.
        """
        base = with_room(graph, self.added)
        kept = np.ones(len(base.source))
        gone = _marked(base, self.isolated)
        kept[gone[base.source] | gone[base.target]] = 0.0
        if self.hub is not None:
            spoke = _marked(base, [self.hub])
            kept[~(spoke[base.source] | spoke[base.target])] = 0.0
        for source, target in self.cut:
            kept[base.edge(source, target)] = 0.0
        channels = {name: kept * p for name, p in self._shed(base).items()}
        if self.added:
            name = next(iter(channels))
            grown = channels[name].copy()
            for (source, target), weight in self.added.items():
                at = base.edge(source, target)
                grown[at] = 1.0 - (1.0 - grown[at]) * (1.0 - check_share("weight", weight, "C0704"))
            channels[name] = grown
        return base.with_channels(channels).with_moved_load(self.moved)

    def _shed(self, graph: Graph) -> dict[str, Floats]:
        around = np.ones(len(graph.source), np.bool_)
        if self.shed_around is not None:
            nodes = checked_names(self.shed_around, "shed_around", code="C0716", once=False)
            near = _marked(graph, nodes)
            around = near[graph.source] | near[graph.target]
        for name in self.shed:
            if name not in graph.channels:
                raise RiskInputError(
                    f"there is no channel `{name}`, expected one of {', '.join(graph.channels)}",
                    code="C0715",
                )
        shed = {}
        for name, p in graph.channels.items():
            factor = check_share(f"shed {name}", self.shed.get(name, 1.0), "C0715")
            shed[name] = np.where(around, factor * p, p)
        return shed


def with_room(graph: Graph, pairs: Iterable[tuple[Hashable, Hashable]]) -> Graph:
    """Give the graph with an edge of weight 0 for each pair that has none.

    A graph with room for every candidate's edges draws the same random numbers under all of them.
    """
    missing = {pair for pair in pairs if not graph.has_edge(*pair)}
    if not graph.directed:
        missing = {min(pair, pair[::-1], key=lambda ends: graph.index(ends[0])) for pair in missing}
    new = sorted(missing, key=lambda ends: (graph.index(ends[0]), graph.index(ends[1])))
    return graph.with_edges(new, np.zeros(len(new))) if new else graph


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


MEASURES = Kind("measures", GraphMitigation, each=True)


@takes(graph=GRAPH, mitigations=MEASURES)
def compare_graph(
    graph: Graph,
    mitigations: Iterable[GraphMitigation],
    *,
    theta: float = 0.5,
    trials: int = 1000,
    seed: int = 0,
    model: str = "percolation",
) -> tuple[GraphEffect, ...]:
    """Try each mitigation on the same worlds; the first effect is that of doing nothing.

    A lower weight only takes live edges away, world by world, so under percolation a mitigation that only
    lowers weights spoils no world, and the hits that it takes away are exactly the worlds that it saves. In
    any other case `low` to `high` is the difference of two exact intervals: wider than need be.

    Raises:
        RiskInputError: as `assess` and `GraphMitigation.apply`.
    """
    measures = tuple(mitigations)
    room = with_room(graph, [pair for measure in measures for pair in measure.added])
    before = assess(room, theta=theta, trials=trials, seed=seed, model=model)
    effects = []
    for mitigation in (GraphMitigation(), *measures):
        after = assess(mitigation.apply(room), theta=theta, trials=trials, seed=seed, model=model)
        paired = mitigation.only_lowers and model == "percolation"
        effects.append(GraphEffect(mitigation, after, _changes(before, after, paired=paired)))
    return tuple(effects)


def _changes(before: RiskReport, after: RiskReport, *, paired: bool) -> tuple[Change, ...]:
    half = 0.975  # saved and spoiled, or before and after, share the error
    saved = before.hits - after.hits
    trials = before.trials
    if paired:
        low, high = clopper_pearson(saved, trials, half)
        low = low - clopper_pearson(0, trials, half)[1]
    else:
        first, second = (clopper_pearson(report.hits, trials, half) for report in (before, after))
        low, high = first[0] - second[1], first[1] - second[0]
    return tuple(
        Change(float(s / trials), float(a), float(b)) for s, a, b in zip(saved, low, high, strict=True)
    )
