"""The front door: one question, one report, whichever model answers."""

from __future__ import annotations

from dataclasses import replace

from ripstop.risk.graph import Graph
from ripstop.risk.intervals import (
    clopper_pearson,
    confidence_sequence,
    decide,
    share_confidence,
    standings,
)
from ripstop.risk.models import Run
from ripstop.risk.report import RiskReport
from ripstop.risk.settings import Settings, check_seed, check_theta, check_trials
from ripstop.risk.work import Job, start

FIRST_LOOK = 256


def assess(
    graph: Graph,
    *,
    theta: float = 0.5,
    trials: int = 1000,
    seed: int = 0,
    model: str = "percolation",
    settings: Settings | None = None,
) -> RiskReport:
    """Estimate, for every node, P(share failed > theta | it fails).

    Args:
        graph: the risk graph.
        theta: a cascade counts when the share failed, weighted by consequence, exceeds it.
        trials: sampled worlds (at most, where `settings.threshold` lets sampling stop early).
        seed: 0 to 2**64 - 1; the same seed gives the same bytes, whatever the number of workers.
        model: `percolation` (a failure crosses each edge with its weight's probability), `threshold` (linear
            threshold) or `load` (overload by redistributed load; here a weight says how load is shared).
        settings: confidence, threshold, workers and the like.

    Raises:
        RiskInputError: C0711 to C0715, or C0706.
    """
    how = settings or Settings()
    theta, trials, seed = check_theta(theta), check_trials(trials), check_seed(seed)
    if how.fleet_wide:
        how = replace(how, confidence=share_confidence(how.confidence, len(graph.nodes)))
    run = start(Job(graph, theta, seed, model, how))
    if how.threshold is None:
        run.extend(trials)
    else:
        _sample_until_settled(run, trials, how.threshold, how.confidence)
    report = counted(graph, run, how)
    return replace(report, theta=theta, seed=seed, model=model)


def _sample_until_settled(run: Run, trials: int, threshold: float, confidence: float) -> None:
    """Look after 256, 512, 1024 ... worlds, and stop when every node is settled."""
    look = min(FIRST_LOOK, trials)
    while True:
        run.extend(look)
        if look == trials or bool(decide(run.hits, run.trials, threshold, confidence).all()):
            return
        look = min(2 * look, trials)


def counted(graph: Graph, run: Run, how: Settings) -> RiskReport:
    """Give the report on what a run has counted so far."""
    if how.threshold is None:
        low, high = clopper_pearson(run.hits, run.trials, how.confidence)
        standing = None
    else:
        low, high = confidence_sequence(run.hits, run.trials, how.confidence)
        standing = standings(decide(run.hits, run.trials, how.threshold, how.confidence))
    notes = (f"left out {graph.dropped} self-loop(s)",) if graph.dropped else ()
    return RiskReport(
        nodes=graph.nodes,
        probability=run.hits / max(run.trials, 1),
        low=low,
        high=high,
        hits=run.hits,
        trials=run.trials,
        confidence=how.confidence,
        expected_share=run.expected_share,
        threshold=how.threshold,
        standing=standing,
        notes=notes,
    )
