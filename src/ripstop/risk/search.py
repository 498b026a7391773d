"""Search over mitigations: the cheapest set that is enough, and which nodes or edges matter most.

Greedy with lazy evaluation: what a measure brings is nearly always less once others are in place, so the gain
known from an earlier round is an upper bound, and only the measure that leads by its bound is tried again.
Where few sets are possible they are all tried, since a measure may bring nothing but together with another:
of two roads that a failure can take, one has to be closed as well as the other. All sets meet the same
worlds.

References:
    Minoux (1978), Accelerated greedy algorithms for maximizing submodular set functions.
    Leskovec et al. (2007), Cost-effective outbreak detection in networks, KDD (CELF).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, islice

import numpy as np

from ripstop.risk.assessment import assess
from ripstop.risk.errors import RiskInputError
from ripstop.risk.graph import GRAPH, Graph
from ripstop.risk.inputs import as_number, checked_names
from ripstop.risk.jobs import JOB, Job
from ripstop.risk.kinds import FUNCTION, PAIRS, TRUTH, Kind, takes
from ripstop.risk.report import RiskReport
from ripstop.risk.settings import check_share, check_whole
from ripstop.risk.whatif import MEASURES, GraphMitigation, with_room

SHORTLIST = 64
MOST_SETS = 1024  # that are tried one by one, fewer on a graph on which they would take long:
MOST_WORK = 1 << 17  # nodes of all of them together


@dataclass(frozen=True, slots=True)
class Limits:
    """What a set of mitigations may cost, how many it may hold, and how many sets may be tried."""

    cost: float = math.inf
    measures: int = 1 << 30
    evaluations: int = 10_000

    def __post_init__(self) -> None:
        cost, measures, evaluations = map(as_number, (self.cost, self.measures, self.evaluations))
        if not (cost >= 0.0 and measures >= 0.0 and evaluations >= 1.0):
            raise RiskInputError(
                f"limits are cost {self.cost}, {self.measures} measures, {self.evaluations} evaluations, "
                "expected none below 0 and at least one evaluation",
                code="C0732",
            )

    def allow(self, measures: Sequence[GraphMitigation]) -> bool:
        """Tell whether a set costs no more, and holds no more, than it may."""
        return len(measures) <= self.measures and sum(m.cost for m in measures) <= self.cost


@dataclass(frozen=True, eq=False)
class Chosen:
    """A set of mitigations, in the order of choice, and what the risk is with them.

    Attributes:
        measures: the set; empty where nothing is needed, or nothing helps.
        cost: of all of them.
        report: the risk with all of them in place.
        reached: whether every watched node's interval lies at or under the target.
        risk: the largest upper end of a watched node's interval.
        evaluations: how many sets were tried.
    """

    measures: tuple[GraphMitigation, ...]
    cost: float
    report: RiskReport
    reached: bool
    risk: float
    evaluations: int


@takes(graph=GRAPH, candidates=MEASURES, limits=Kind("limits", Limits), ask=FUNCTION)
def cheapest(
    graph: Graph,
    candidates: Sequence[GraphMitigation],
    target: float,
    *,
    watched: Sequence[Hashable] | None = None,
    limits: Limits | None = None,
    ask: Callable[[Graph], RiskReport] | None = None,
) -> Chosen:
    """Search for a cheap set of mitigations that brings the risk of every watched node to `target` or under.

    Greedy by gain for cost, then every measure that turns out not to be needed is taken out again, the
    dearest first; where that does not reach the target, so is what all candidates together do not need. Then
    each measure alone that costs less is tried, and cheaper sets in the order of their cost: all of them on
    small graphs with ten candidates or so, where the set is the cheapest, else a first part. The set is good,
    not proved optimal: the problem is NP-hard.

    Args:
        graph: the risk graph.
        candidates: measures to choose from, each with its cost.
        target: probability, held against the upper end of each watched node's interval.
        watched: nodes whose risk counts; all of them by default.
        limits: on cost, number and effort.
        ask: how a graph is assessed; by default `assess` with theta 0.5, 1000 trials and seed 0. It has to
            use one seed throughout.

    Raises:
        RiskInputError: C0702, C0715, C0732, and as `GraphMitigation.apply`.
    """
    target = check_share("target", target, "C0715")
    within = limits or Limits()
    search = _Search(with_room(graph, [p for c in candidates for p in c.added]), watched, ask or assess)
    chosen = search.greedy(candidates, target, within)
    chosen = search.prune(chosen, target)
    if not search.reaches(chosen, target):
        chosen = search.needed(candidates, target, within) or chosen
    chosen = search.cheaper(chosen, candidates, target, within)
    report = search.report(chosen)
    risk = search.worst(report)
    return Chosen(
        tuple(chosen), sum(m.cost for m in chosen), report, risk <= target, risk, search.evaluations
    )


class _Search:
    def __init__(
        self, graph: Graph, watched: Sequence[Hashable] | None, ask: Callable[[Graph], RiskReport]
    ) -> None:
        self._graph = graph
        self._ask = ask
        names = (
            graph.nodes if watched is None else checked_names(watched, "watched", code="C0716", once=False)
        )
        self._watched = np.array([graph.index(node) for node in names], np.int64)
        self._known: dict[tuple[int, ...], RiskReport] = {}
        self.evaluations = 0

    def report(self, measures: Sequence[GraphMitigation]) -> RiskReport:
        key = tuple(sorted(id(measure) for measure in measures))
        if key not in self._known:
            graph = self._graph
            for measure in measures:
                graph = measure.apply(graph)
            self._known[key] = self._ask(graph)
            self.evaluations += 1
        return self._known[key]

    def worst(self, report: RiskReport) -> float:
        return float(report.high[self._watched].max(initial=0.0))

    def reaches(self, measures: Sequence[GraphMitigation], target: float) -> bool:
        return self.worst(self.report(measures)) <= target

    def excess(self, measures: Sequence[GraphMitigation], target: float) -> float:
        """Sum by how much the watched nodes lie above the target: what the greedy search brings down."""
        high = self.report(measures).high[self._watched]
        return float(np.maximum(high - target, 0.0).sum())

    def greedy(
        self, candidates: Sequence[GraphMitigation], target: float, limits: Limits
    ) -> list[GraphMitigation]:
        chosen: list[GraphMitigation] = []
        left = self.excess(chosen, target)
        heap = [(-math.inf, i, -1) for i in range(len(candidates))]
        while heap and left > 0.0 and len(chosen) < limits.measures:
            bound, i, size = heapq.heappop(heap)
            measure = candidates[i]
            if sum(m.cost for m in chosen) + measure.cost > limits.cost:
                continue
            if size == len(chosen):
                if bound >= 0.0:
                    break  # the best that is left brings nothing
                chosen.append(measure)
                left = self.excess(chosen, target)
                continue
            if self.evaluations >= limits.evaluations:
                break
            gain = left - self.excess([*chosen, measure], target)
            heapq.heappush(heap, (-gain / max(measure.cost, 1e-12), i, len(chosen)))
        return chosen

    def prune(self, chosen: list[GraphMitigation], target: float) -> list[GraphMitigation]:
        if not self.reaches(chosen, target):
            return chosen
        for measure in sorted(chosen, key=lambda m: -m.cost):
            rest = [m for m in chosen if m is not measure]
            if self.reaches(rest, target):
                chosen = rest
        return chosen

    def needed(
        self, candidates: Sequence[GraphMitigation], target: float, limits: Limits
    ) -> list[GraphMitigation]:
        """Give those of all candidates that cannot be spared, if they reach the target within the limits."""
        if self.evaluations + len(candidates) >= limits.evaluations:
            return []
        kept = self.prune(list(candidates), target)
        return kept if limits.allow(kept) and self.reaches(kept, target) else []

    def cheaper(
        self,
        chosen: Sequence[GraphMitigation],
        candidates: Sequence[GraphMitigation],
        target: float,
        limits: Limits,
    ) -> list[GraphMitigation]:
        """Give the cheapest of `chosen`, the single measures and the first sets by cost."""
        cost = sum(m.cost for m in chosen) if self.reaches(chosen, target) else math.inf
        first = min(MOST_SETS, MOST_WORK // max(len(self._graph.nodes), 1))
        alone = min(limits.measures, 1)
        for sets in (_by_cost(candidates, alone), islice(_by_cost(candidates, limits.measures), first)):
            for measures in sets:
                price = sum(m.cost for m in measures)
                if self.evaluations >= limits.evaluations or price >= cost or price > limits.cost:
                    break
                if self.reaches(measures, target):
                    chosen, cost = measures, price
                    break
        return list(chosen)


def _by_cost(candidates: Sequence[GraphMitigation], most: int) -> Iterator[list[GraphMitigation]]:
    """Give sets of at most so many candidates in the order of cost; of equal ones the smaller first."""
    order = sorted(candidates, key=lambda m: m.cost)
    heap: list[tuple[float, int, tuple[int, ...]]] = [(0.0, 0, ())]
    while heap:
        _, _, places = heapq.heappop(heap)
        yield [order[i] for i in places]
        following = places[-1] + 1 if places else 0
        if following < len(order):
            longer, moved = (*places, following), (*places[:-1], following)
            for grown in (longer, moved) if places else (longer,):
                if len(grown) <= most:
                    heapq.heappush(heap, (math.fsum(order[i].cost for i in grown), len(grown), grown))


@dataclass(frozen=True, slots=True)
class Critical:
    """One node or edge of a ranking: without it and those before it, the fleet's mean expected loss."""

    name: Hashable
    loss: float
    saved: float


@takes(graph=GRAPH, links=TRUTH)
def most_critical(
    graph: Graph, k: int, *, links: bool = False, theta: float = 0.5, trials: int = 512, seed: int = 0
) -> tuple[Critical, ...]:
    """Name the `k` agents, or links, without which cascades would be smallest, as `critical_for` does.

    Raises:
        RiskInputError: C0711 to C0713, C0732.
    """
    return critical_for(Job(graph, theta, seed), k, links=links, trials=trials)


@takes(job=JOB, links=TRUTH)
def critical_for(job: Job, k: int, *, links: bool = False, trials: int = 512) -> tuple[Critical, ...]:
    """Name the `k` agents, or links, without which cascades would be smallest, on common worlds.

    The loss is the mean over all nodes of the share lost when that node fails. Every `k` are tried where that
    makes few sets; else they are chosen one by one, each the best beside those before it. Of more than 64
    candidates those are tried whose isolation or cut takes most expected failures away at first order (the
    weights around a node; an edge's weight times its ends' loss).

    Args:
        job: the question: graph, theta, seed, model and settings.
        k: how many.
        links: links instead of agents.
        trials: worlds for each set that is tried.

    Raises:
        RiskInputError: C0712, C0732.
    """
    k = check_whole("k", k, "C0732", least=1, below=1 << 31)
    graph, how = job.graph, replace(job.settings, expected=True, threshold=None)

    def loss(measures: Sequence[GraphMitigation]) -> float:
        changed = graph
        for measure in measures:
            changed = measure.apply(changed)
        report = assess(changed, theta=job.theta, trials=trials, seed=job.seed, model=job.model, settings=how)
        share = report.expected_share
        return 0.0 if share is None or not len(share) else float(share.mean())

    names, measures = _shortlist(graph, links=links)
    sets = math.comb(len(names), k)
    if 1 < sets <= min(MOST_SETS, MOST_WORK // len(graph.nodes)):
        best = min(combinations(range(len(names)), k), key=lambda some: loss([measures[i] for i in some]))
        names, measures = [names[i] for i in best], [measures[i] for i in best]
    chosen: list[GraphMitigation] = []
    found: list[Critical] = []
    left = loss(chosen)
    heap = [(-math.inf, i, -1) for i in range(len(names))]
    while heap and len(chosen) < k:
        bound, i, size = heapq.heappop(heap)
        if size == len(chosen):
            chosen.append(measures[i])
            left += bound
            found.append(Critical(names[i], left, -bound))
            continue
        gain = left - loss([*chosen, measures[i]])
        heapq.heappush(heap, (-gain, i, len(chosen)))
    return tuple(found)


def _shortlist(graph: Graph, *, links: bool) -> tuple[Sequence[Hashable], Sequence[GraphMitigation]]:
    n = len(graph.nodes)
    strength = np.bincount(graph.source, graph.weight, n) + np.bincount(graph.target, graph.weight, n)
    if not links:
        nodes = [graph.nodes[i] for i in np.argsort(-strength, kind="stable")[:SHORTLIST]]
        return nodes, isolate_each(nodes)
    score = graph.weight * (1.0 + strength[graph.source]) * (1.0 + strength[graph.target])
    best = np.argsort(-score, kind="stable")[:SHORTLIST]
    pairs = [(graph.nodes[graph.source[e]], graph.nodes[graph.target[e]]) for e in best]
    return pairs, cut_each(pairs)


def isolate_each(nodes: Sequence[Hashable], cost: float = 1.0) -> tuple[GraphMitigation, ...]:
    """Give one mitigation for each node, that isolates it: candidates for a search.

    Raises:
        RiskInputError: C0715 for the cost, C0716 for what are no names.
    """
    one = GraphMitigation(cost=cost)
    return tuple(
        replace(one, name=f"isolate {node}", isolated=frozenset({node}))
        for node in checked_names(nodes, code="C0716", once=False)
    )


@takes(links=PAIRS)
def cut_each(links: Sequence[tuple[Hashable, Hashable]], cost: float = 1.0) -> tuple[GraphMitigation, ...]:
    """Give one mitigation for each link, that cuts it: candidates for a search.

    Raises:
        RiskInputError: C0715 for the cost, C0716 for what are no pairs of names.
    """
    one = GraphMitigation(cost=cost)
    return tuple(replace(one, name=f"cut {a} - {b}", cut=frozenset({(a, b)})) for a, b in links)
