"""The front door: one question, one report, whichever model answers."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

from ripstop.risk.flow import GRID, FlowGrid
from ripstop.risk.flowrun import BUSES, DEMAND_SPREAD, FLOW, UNITS
from ripstop.risk.graph import GRAPH, Graph
from ripstop.risk.intervals import (
    clopper_pearson,
    confidence_sequence,
    decide,
    share_confidence,
    standings,
)
from ripstop.risk.jobs import FlowJob, Job
from ripstop.risk.kinds import takes
from ripstop.risk.report import RiskReport
from ripstop.risk.runs import Run
from ripstop.risk.settings import SETTINGS, Settings, check_seed, check_theta, check_trials
from ripstop.risk.work import start

FIRST_LOOK = 256


@takes(graph=GRAPH, settings=SETTINGS)
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
    run = _sampled(start(Job(graph, theta, seed, model, how)), trials, how)
    report = counted(graph, run, how)
    return replace(report, theta=theta, seed=seed, model=model)


@takes(grid=GRID, settings=SETTINGS)
def assess_flow(
    grid: FlowGrid,
    *,
    theta: float = 0.05,
    trials: int = 50,
    seed: int = 0,
    demand_spread: float = DEMAND_SPREAD,
    settings: Settings | None = None,
) -> RiskReport:
    """Estimate, for every line, P(share of demand lost > theta | it trips), and the expected share lost.

    Each world draws what is not known: the demands, around the grid's own and within bounds, half of their
    variance common to all; generation follows demand. `expected_share` times the total demand is the expected
    loss in MW.

    Args:
        grid: the grid; it is balanced first.
        theta: share of the demand whose loss counts as a cascade.
        trials: worlds (at most, where `settings.threshold` lets sampling stop early).
        seed: the same seed gives the same bytes, whoever counts.
        demand_spread: standard deviation of a demand's logarithm; `settings.spread` is that of a capacity's,
            0 if left out.
        settings: confidence, threshold, workers and the like.

    Raises:
        RiskInputError: C0711 to C0713, C0715, C0741 for a spread that is none, or a grid without demand.
    """
    return _assess_grid(FlowJob(grid, theta, seed, demand_spread, settings or Settings()), trials)


@takes(grid=GRID, settings=SETTINGS)
def assess_buses(
    grid: FlowGrid,
    *,
    theta: float = 0.05,
    trials: int = 50,
    seed: int = 0,
    demand_spread: float = DEMAND_SPREAD,
    settings: Settings | None = None,
) -> RiskReport:
    """Estimate the same as `assess_flow` for every bus that trips with all its lines, on the same worlds.

    A bus's own demand is lost with it. Every outage is played in full, so this takes longer.

    Raises:
        RiskInputError: as `assess_flow`.
    """
    return _assess_grid(FlowJob(grid, theta, seed, demand_spread, settings or Settings(), BUSES), trials)


def _assess_grid(job: FlowJob, trials: int) -> RiskReport:
    how, trials = job.settings, check_trials(trials)
    job = replace(job, theta=check_theta(job.theta), seed=check_seed(job.seed))
    if how.fleet_wide:
        how = replace(how, confidence=share_confidence(how.confidence, job.size))
    run = _sampled(start(job), trials, how)
    report = replace(_report(job.names, run, how), theta=job.theta, seed=job.seed, model=FLOW)
    overloaded, units = run.before.tolist()
    if not overloaded:
        return report
    note = (
        f"in {overloaded} of {run.trials} worlds lines are above their limits before anything trips, "
        f"which alone loses {100.0 * units / (UNITS * run.trials):.2g} % of the demand on average"
    )
    return replace(report, notes=(note,))


def _sampled(run: Run, trials: int, how: Settings) -> Run:
    if how.threshold is None:
        run.extend(trials)
    else:
        _sample_until_settled(run, trials, how.threshold, how.confidence)
    return run


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
    notes = (f"left out {graph.dropped} self-loop(s)",) if graph.dropped else ()
    return replace(_report(graph.nodes, run, how), notes=notes)


def _report(names: tuple[Hashable, ...], run: Run, how: Settings) -> RiskReport:
    if how.threshold is None:
        low, high = clopper_pearson(run.hits, run.trials, how.confidence)
        standing = None
    else:
        low, high = confidence_sequence(run.hits, run.trials, how.confidence)
        standing = standings(decide(run.hits, run.trials, how.threshold, how.confidence))
    return RiskReport(
        nodes=names,
        probability=run.hits / max(run.trials, 1),
        low=low,
        high=high,
        hits=run.hits,
        trials=run.trials,
        confidence=how.confidence,
        expected_share=run.expected_share,
        threshold=how.threshold,
        standing=standing,
    )
