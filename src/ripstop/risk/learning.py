"""Edge weights learned from incidents: Beta-Bernoulli where causes are known, EM where several could be.

Theory of operation. Whenever a node fails, each of its out-edges gets one *attempt* at every neighbour that
is still up. An attempt whose neighbour stayed up has failed for certain. Where the neighbour failed within
the window, one of the attempts at it succeeded: the known cause's, or each of them in proportion to its
weight (the E-step). The M-step counts successes against attempts on top of each edge's Beta prior, which is
the physical weight worth `strength` attempts.

References:
    Saito, Nakano, Kimura (2008), Prediction of information diffusion probabilities for independent cascade
    model, KES: the EM. Dempster, Laird, Rubin (1977), J. R. Stat. Soc. B 39.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ripstop.risk.assessment import assess
from ripstop.risk.calibration import Calibration, calibrate
from ripstop.risk.errors import RiskInputError
from ripstop.risk.graph import GRAPH, Graph
from ripstop.risk.incidents import Incident, checked_incidents, seen_nodes, seen_pairs
from ripstop.risk.inputs import as_number
from ripstop.risk.kinds import Kind, takes
from ripstop.risk.report import REPORT, RiskReport
from ripstop.risk.settings import check_seed, check_trials, check_whole

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEARNED = "learned"
JEFFREYS = 0.5
MOST_ROUNDS = 500
CLOSE = 1e-9  # largest step of a weight at which EM ends
SAMPLES = 32  # of each posterior draw's own uncertainty
PURPOSE = 0x6C6561726E  # "learn": keys these draws apart from other uses of the seed


@dataclass(frozen=True, eq=False)
class Attempts:
    """Every attempt of a failed node at a neighbour that was up, by edge.

    `edge`: its edge. `failure`: the failure that it may have caused, or -1 where the neighbour stayed up.
    `known`: 1 or 0 where the cause of that failure is known, NaN where not. `unexplained`: failures after the
    first that no edge accounts for.
    """

    edge: Ints
    failure: Ints
    known: Floats
    failures: int
    unexplained: int


@dataclass(frozen=True, eq=False)
class Learned:
    """What incidents say about a graph's edges: Beta(alpha, beta) by edge.

    Where causes are ambiguous the Beta holds the expected counts, and so understates the uncertainty.

    Attributes:
        graph: the edges with the posterior's mean as weight, in the channel `learned`.
        alpha, beta: successes and failures of each edge, the prior's included, shape (edges,).
        incidents: how many were learned from.
        attempts: how often each edge was put to the test.
        unexplained: failures after the first that no edge accounts for: outside causes, or missing edges.
        rounds: EM steps taken; 1 where all causes were known.
    """

    graph: Graph
    alpha: Floats
    beta: Floats
    incidents: int
    attempts: Ints
    unexplained: int
    rounds: int

    def draw(self, rng: np.random.Generator) -> Graph:
        """Give the graph with weights drawn from their posterior."""
        return self.graph.with_weight(rng.beta(self.alpha, self.beta))


@takes(graph=GRAPH)
def learn(
    incidents: Sequence[Incident],
    graph: Graph | None = None,
    *,
    strength: float = 2.0,
    window: float = math.inf,
) -> Learned:
    """Learn edge weights from incidents.

    Args:
        incidents: the log.
        graph: the edges, directed or not, whose weights are the prior's means (the physical prior). Without
            one, every ordered pair that was ever seen is an edge, with Jeffreys' prior.
        strength: how many attempts the prior is worth.
        window: how long after its cause a failure comes at the latest, in the log's unit of time.

    Raises:
        RiskInputError: C0702 for a node that the graph does not have, C0731 for no incidents, C0715.
    """
    if not checked_incidents(incidents):
        raise RiskInputError("there are no incidents to learn from", code="C0731")
    if not 0.0 < as_number(strength) < math.inf:
        raise RiskInputError(f"`strength` is {strength}, expected a finite number above 0", code="C0715")
    strength = float(strength)
    _check_window(window)
    if graph is None:
        pairs = seen_pairs(incidents)
        base = Graph.from_edges(seen_nodes(incidents), pairs, np.full(len(pairs), 0.5), directed=True)
        strength = 2 * JEFFREYS
    else:
        base = graph
    alpha = np.maximum(strength * base.weight, 1e-9)
    beta = np.maximum(strength * (1.0 - base.weight), 1e-9)
    found = collect_attempts(incidents, base, window)
    tried = np.bincount(found.edge, minlength=len(base.source))
    won, rounds = _expected_successes(found, alpha, beta, tried)
    mean = (alpha + won) / (alpha + beta + tried)
    learned = replace(base, channels={LEARNED: _frozen(np.clip(mean, 0.0, 1.0))})
    rest = beta + np.maximum(tried - won, 0.0)
    return Learned(learned, alpha + won, rest, len(incidents), tried, found.unexplained, rounds)


def _check_window(window: float) -> None:
    if not as_number(window) > 0.0:
        raise RiskInputError(f"`window` is {window}, expected a number above 0", code="C0715")


def collect_attempts(incidents: Sequence[Incident], graph: Graph, window: float = math.inf) -> Attempts:
    """List every attempt in some incidents.

    Raises:
        RiskInputError: C0702, for a node that the graph does not have.
    """
    neighbours = _neighbours(graph)
    edge: list[int] = []
    failure: list[int] = []
    known: list[float] = []
    failures = unexplained = 0
    for incident in incidents:
        times = {graph.index(node): float(t) for node, t in incident.failures.items()}
        causes = {graph.index(v): graph.index(u) for v, u in incident.causes.items()}
        numbers: dict[int, int] = {}
        first = min(times.values())
        for u, t in times.items():
            for v, e in neighbours[u]:
                later = times.get(v, math.inf)
                if later <= t:
                    continue  # it was down already
                hit = later - t <= window and later < math.inf
                edge.append(e)
                failure.append(numbers.setdefault(v, failures + len(numbers)) if hit else -1)
                known.append(float(causes[v] == u) if hit and v in causes else math.nan)
        failures += len(numbers)
        unexplained += sum(t > first and v not in numbers for v, t in times.items())
    return Attempts(
        np.array(edge, np.int64), np.array(failure, np.int64), np.array(known), failures, unexplained
    )


def _neighbours(graph: Graph) -> list[list[tuple[int, int]]]:
    found: list[list[tuple[int, int]]] = [[] for _ in graph.nodes]
    for e, (u, v) in enumerate(zip(graph.source.tolist(), graph.target.tolist(), strict=True)):
        found[u].append((v, e))
        if not graph.directed:
            found[v].append((u, e))
    return found


def _expected_successes(found: Attempts, alpha: Floats, beta: Floats, tried: Ints) -> tuple[Floats, int]:
    """Give each edge's expected number of successes, and the number of EM steps."""
    hit = found.failure >= 0
    edge, failure, known = found.edge[hit], found.failure[hit], found.known[hit]
    certain = ~np.isnan(known)
    weight = alpha / (alpha + beta)
    for step in range(1, MOST_ROUNDS + 1):
        spared = np.ones(found.failures)
        np.multiply.at(spared, failure, 1.0 - weight[edge])
        share = weight[edge] / np.maximum(1.0 - spared, 1e-300)[failure]
        # Saito's responsibilities may add up to more than one: several attempts can succeed at once.
        share = np.where(certain, known, np.minimum(share, 1.0))
        won = np.asarray(np.bincount(edge, share, len(alpha)), np.float64)
        moved = (alpha + won) / (alpha + beta + tried)
        largest = float(np.abs(moved - weight).max(initial=0.0))
        weight = moved
        if largest < CLOSE or certain.all():
            return won, step
    return won, MOST_ROUNDS


def _frozen(array: Floats) -> Floats:
    array.setflags(write=False)
    return array


@takes(graph=GRAPH)
def validate(
    graph: Graph, incidents: Sequence[Incident], *, window: float = math.inf, bins: int = 10
) -> Calibration:
    """Hold a graph's weights to incidents that they were not learned from.

    Each node that stood next to failed ones is one prediction: that it fails, with 1 - prod(1 - weight) over
    the attempts at it.

    Raises:
        RiskInputError: C0702, C0715 where there is nothing to compare.
    """
    predicted: list[float] = []
    happened: list[bool] = []
    _check_window(window)
    for incident in checked_incidents(incidents):
        found = collect_attempts([incident], graph, window)
        target = _targets(incident, graph, found)
        spared: dict[tuple[int, int], float] = {}
        for e, v, f in zip(found.edge.tolist(), target, found.failure.tolist(), strict=True):
            # Attempts that came too early for the failure are one prediction apart, which did not come true.
            key = (v, f)
            spared[key] = spared.get(key, 1.0) * (1.0 - float(graph.weight[e]))
        for (_, f), p in spared.items():
            predicted.append(1.0 - p)
            happened.append(f >= 0)
    return calibrate(predicted, happened, bins)


def _targets(incident: Incident, graph: Graph, found: Attempts) -> list[int]:
    """Give the node that each attempt was made at: in an undirected graph, the end that failed later."""
    times = {graph.index(node): float(t) for node, t in incident.failures.items()}
    ends = []
    for e in found.edge.tolist():
        u, v = int(graph.source[e]), int(graph.target[e])
        if not graph.directed and times.get(u, math.inf) > times.get(v, math.inf):
            u, v = v, u
        ends.append(v)
    return ends


@takes(report=REPORT, graph=GRAPH)
def calibrated(report: RiskReport, graph: Graph, incidents: Sequence[Incident]) -> RiskReport:
    """Give the report with its Brier score and reliability against recorded, or simulated, incidents.

    Each incident that one node's failure began is one prediction: that it becomes a cascade, with that node's
    probability. Works for every model.

    Raises:
        RiskInputError: C0702 for a node that is not there, C0715 where no incident began with one node.
    """
    predicted: list[float] = []
    happened: list[bool] = []
    total = float(graph.consequence.sum())
    for incident in checked_incidents(incidents):
        begin = min(incident.failures.values())
        first = [node for node, t in incident.failures.items() if t == begin]
        if len(first) == 1:
            down = [graph.index(node) for node in incident.failures]
            predicted.append(report.of(first[0]).probability)
            happened.append(float(graph.consequence[down].sum()) / total > report.theta)
    return replace(report, calibration=calibrate(predicted, happened))


@takes(learned=Kind("learned weights", Learned))
def assess_learned(
    learned: Learned, *, theta: float = 0.5, trials: int = 4096, seed: int = 0, draws: int = 32
) -> RiskReport:
    """Estimate every node's P(share failed > theta) with weights drawn from their posterior.

    Each of `draws` graphs gets `trials / draws` worlds. `low` to `high` is the central 95 % of the mixture of
    what each draw says, its own sampling error included, so it covers both what the incidents leave open and
    what the sampling does. It is a credible interval, not a confidence interval.

    Raises:
        RiskInputError: C0711 to C0713, C0715.
    """
    draws = check_whole("draws", draws, "C0715", least=2, below=1 << 16)
    each = max(64, -(-check_trials(trials) // draws))
    seed = check_seed(seed)
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, PURPOSE])))
    hits: Ints = np.zeros(len(learned.graph.nodes), np.int64)
    clouds = []
    for k in range(draws):
        report = assess(learned.draw(rng), theta=theta, trials=each, seed=(seed + k) % (1 << 64))
        hits = hits + report.hits
        own = rng.beta(report.hits + JEFFREYS, each - report.hits + JEFFREYS, (SAMPLES, len(hits)))
        clouds.append(own)
    low, high = np.quantile(np.concatenate(clouds), (0.025, 0.975), axis=0)
    return replace(
        report,
        probability=hits / (each * draws),
        low=np.minimum(low, hits / (each * draws)),
        high=np.maximum(high, hits / (each * draws)),
        hits=hits,
        trials=each * draws,
        seed=seed,
        notes=(f"weights drawn {draws} times from their posterior; credible intervals",),
    )
