"""Fleet risk: how likely each agent is to fail, times what that would become; ranked, with the trend."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ripstop.core.clock import Clock
from ripstop.risk.assessment import counted
from ripstop.risk.errors import RiskInputError
from ripstop.risk.graph import GRAPH, Graph
from ripstop.risk.inputs import as_number
from ripstop.risk.intervals import share_confidence
from ripstop.risk.jobs import JOB, Job
from ripstop.risk.kinds import WHOLE, Kind, takes
from ripstop.risk.report import REPORT, RiskReport
from ripstop.risk.runs import Run
from ripstop.risk.settings import check_seed, check_share, check_theta, check_trials
from ripstop.risk.work import start

Floats = NDArray[np.float64]

FIRST_LOOK = 64
LARGE = 0.1  # of the budget; a graph that takes longer to lay out is probed with few worlds first
BLOCK_COST = 3.0  # of a block of 64 in probes, measured on graphs of 10,000 nodes
PROBE = 8  # worlds, where a block of 64 may take longer than there is


@dataclass(frozen=True, slots=True)
class Budget:
    """What an assessment may spend: worlds at most, and seconds of wall time where a clock is given.

    In the lab leave `seconds` out, so that runs repeat.
    """

    trials: int = 1000
    seconds: float = math.inf

    def __post_init__(self) -> None:
        check_trials(self.trials)
        if not as_number(self.seconds) > 0.0:
            raise RiskInputError(f"`seconds` is {self.seconds}, expected a number above 0", code="C0715")


@dataclass(frozen=True, slots=True)
class AgentRisk:
    """One agent's line: its failure, the cascade if it fails, their product, and where that is going.

    `low` to `high` is the interval of the product, the failure's probability taken as given. `trend` is the
    product less that of the report before, None without one; `is_rising` and `is_falling` say that the two
    intervals do not even overlap.
    """

    node: Hashable
    failure: float
    cascade: float
    risk: float
    low: float
    high: float
    expected_loss: float | None
    trend: float | None = None
    is_rising: bool = False
    is_falling: bool = False


@dataclass(frozen=True, eq=False)
class FleetReport:
    """All agents; their lines are made when they are asked for.

    Attributes:
        cascades: what each agent's failure leads to.
        failure: each agent's probability to fail, in the order of `cascades`.
        earlier: shape (3, agents): risk, low and high in the report before; NaN for agents that are new.
    """

    cascades: RiskReport
    failure: Floats
    earlier: Floats | None = None

    @cached_property
    def figures(self) -> Floats:
        """The risk of each agent and the ends of its interval, shape (3, agents)."""
        return self.failure * np.stack([self.cascades.probability, self.cascades.low, self.cascades.high])

    @cached_property
    def any_cascade(self) -> float:
        """P(at least one agent's failure cascades), at most: failures count as independent."""
        return 1.0 - float(np.prod(1.0 - self.figures[0]))

    @cached_property
    def agents(self) -> tuple[AgentRisk, ...]:
        """All agents' lines, the riskiest first."""
        return self.ranking()

    @takes(top=WHOLE)
    def ranking(self, top: int | None = None) -> tuple[AgentRisk, ...]:
        """Give the lines of the riskiest; ties in the graph's order."""
        return tuple(self._line(i) for i in np.argsort(-self.figures[0], kind="stable")[:top].tolist())

    def of(self, node: Hashable) -> AgentRisk:
        """Give one agent's line.

        Raises:
            RiskInputError: C0702, if the report has no such agent.
        """
        return self._line(self.cascades.place(node))

    def _line(self, i: int) -> AgentRisk:
        share, failure = self.cascades.expected_share, float(self.failure[i])
        risk, low, high = self.figures[:, i].tolist()
        line = AgentRisk(
            self.cascades.nodes[i],
            failure,
            float(self.cascades.probability[i]),
            risk,
            low,
            high,
            None if share is None else failure * float(share[i]),
        )
        if self.earlier is None or math.isnan(self.earlier[0, i]):
            return line
        before, before_low, before_high = self.earlier[:, i].tolist()
        return replace(line, trend=risk - before, is_rising=low > before_high, is_falling=high < before_low)


@takes(graph=GRAPH, ask=REPORT)
def fleet_risk(
    graph: Graph,
    failure: Mapping[Hashable, float],
    *,
    budget: Budget | None = None,
    clock: Clock | None = None,
    before: FleetReport | None = None,
    ask: RiskReport | None = None,
) -> FleetReport:
    """Rank a fleet by failure probability times cascade probability.

    Args:
        graph: the risk graph.
        failure: each agent's probability to fail within the horizon; agents left out have 0.
        budget: what sampling may spend.
        clock: read for the budget's seconds.
        before: the last report; it gives the trend, sharpest with the same seed.
        ask: a report on the graph that is there already, by any model; by default `assess_within` is asked.

    Raises:
        RiskInputError: C0702, C0715.
    """
    if not isinstance(failure, Mapping):
        raise RiskInputError("expected each failure's probability by the agent's name", code="C0715")
    cascades = ask if ask is not None else assess_within(graph, budget or Budget(), clock=clock)
    chance = np.zeros(len(cascades.nodes))
    for node, p in failure.items():
        chance[cascades.place(node)] = check_share(f"failure of {node}", p, "C0715")
    return FleetReport(cascades, chance, None if before is None else _aligned(before, cascades.nodes))


def _aligned(before: FleetReport, nodes: tuple[Hashable, ...]) -> Floats:
    if before.cascades.nodes == nodes:
        return before.figures
    place = {node: i for i, node in enumerate(before.cascades.nodes)}
    at = np.array([place.get(node, -1) for node in nodes], np.int64)
    return np.where(at < 0, np.nan, before.figures[:, at])


def assess_within(
    graph: Graph,
    budget: Budget,
    *,
    clock: Clock | None = None,
    theta: float = 0.5,
    seed: int = 0,
    model: str = "percolation",
) -> RiskReport:
    """Assess as `assess` does until the budget ends, as `answer_within` says.

    Raises:
        RiskInputError: C0711, C0713 to C0715.
    """
    return answer_within(Job(graph, theta, seed, model), budget, clock=clock)


@takes(job=JOB, budget=Kind("a budget", Budget))
def answer_within(job: Job, budget: Budget, *, clock: Clock | None = None) -> RiskReport:
    """Answer a question until the budget ends, and say how sure the answer is by then.

    Worlds are sampled in blocks that double as long as the next is expected to fit. When to stop depends on
    the clock alone, not on what was counted, so the exact intervals stay exact. Some answer is always given:
    at least 8 worlds are sampled, or `budget.trials` if those are fewer.

    Raises:
        RiskInputError: C0715, for seconds without a clock, or settings with a threshold: it would stop by
            what was counted.
    """
    if math.isfinite(budget.seconds) and clock is None:
        raise RiskInputError(
            "the budget has seconds, but there is no clock to read them from",
            code="C0715",
            hint="give `clock=SystemClock()`, of `ripstop.core.clock`",
        )
    job = replace(job, theta=check_theta(job.theta), seed=check_seed(job.seed))
    how = job.settings
    if how.threshold is not None:
        raise RiskInputError("a budget goes without a threshold", code="C0715", hint="give one of the two")
    if how.fleet_wide:
        confidence = share_confidence(how.confidence, len(job.graph.nodes))
        job = replace(job, settings=replace(how, confidence=confidence))
    start_us = 0 if clock is None else clock.now().mono_us

    def spent_s() -> float:
        return 0.0 if clock is None else (clock.now().mono_us - start_us) / 1e6

    run = start(job)
    laid_out_s = spent_s()
    if laid_out_s > LARGE * budget.seconds:
        probe = run.fresh()
        probe.extend(min(PROBE, budget.trials))
        # A whole block searches more worlds, but draws no more random numbers.
        if laid_out_s + BLOCK_COST * (spent_s() - laid_out_s) > budget.seconds:
            return _within(probe, budget, job)
    _extend_within(run, budget, spent_s)
    return _within(run, budget, job)


def _extend_within(run: Run, budget: Budget, spent_s: Callable[[], float]) -> None:
    look = min(FIRST_LOOK, budget.trials)
    while True:
        before_s = spent_s()
        run.extend(look)
        after_s = spent_s()
        # Twice the worlds take about as long again as all so far; the last half tells it best.
        if look == budget.trials or after_s + 2.0 * (after_s - before_s) > budget.seconds:
            return
        look = min(2 * look, budget.trials)


def _within(run: Run, budget: Budget, job: Job) -> RiskReport:
    report = counted(job.graph, run, job.settings)
    note = f"stopped by the budget after {run.trials} of {budget.trials} worlds"
    notes = report.notes if run.trials == budget.trials else (*report.notes, note)
    return replace(report, theta=job.theta, seed=job.seed, model=job.model, notes=notes)
