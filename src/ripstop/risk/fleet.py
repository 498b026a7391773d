"""Fleet risk: how likely each agent is to fail, times what that would become; ranked, with the trend."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from ripstop.core.clock import Clock
from ripstop.risk.assessment import counted
from ripstop.risk.errors import RiskInputError
from ripstop.risk.graph import Graph
from ripstop.risk.report import RiskReport
from ripstop.risk.settings import Settings, check_seed, check_share, check_theta, check_trials
from ripstop.risk.work import Job, start

FIRST_LOOK = 64


@dataclass(frozen=True, slots=True)
class Budget:
    """What an assessment may spend: worlds at most, and seconds of wall time where a clock is given.

    In the lab leave `seconds` out, so that runs repeat.
    """

    trials: int = 1000
    seconds: float = math.inf

    def __post_init__(self) -> None:
        check_trials(self.trials)
        if not self.seconds > 0.0:
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
    """All agents, the riskiest first.

    `any_cascade`: P(at least one agent's failure cascades), at most: failures count as independent.
    """

    agents: tuple[AgentRisk, ...]
    any_cascade: float
    cascades: RiskReport

    def of(self, node: Hashable) -> AgentRisk:
        """Give one agent's line.

        Raises:
            RiskInputError: C0702, if the report has no such agent.
        """
        for line in self.agents:
            if line.node == node:
                return line
        raise RiskInputError(f"there is no node `{node}` in the report", code="C0702")


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
    cascades = ask if ask is not None else assess_within(graph, budget or Budget(), clock=clock)
    chance = np.zeros(len(cascades.nodes))
    place = {node: i for i, node in enumerate(cascades.nodes)}
    for node, p in failure.items():
        if node not in place:
            raise RiskInputError(f"there is no node `{node}` in the graph", code="C0702")
        chance[place[node]] = check_share(f"failure of {node}", p, "C0715")
    risk = chance * cascades.probability
    earlier = {} if before is None else {line.node: line for line in before.agents}
    lines = []
    for i in np.argsort(-risk, kind="stable").tolist():
        share = cascades.expected_share
        line = AgentRisk(
            cascades.nodes[i],
            float(chance[i]),
            float(cascades.probability[i]),
            float(risk[i]),
            float(chance[i] * cascades.low[i]),
            float(chance[i] * cascades.high[i]),
            None if share is None else float(chance[i] * share[i]),
        )
        lines.append(_with_trend(line, earlier.get(line.node)))
    return FleetReport(tuple(lines), 1.0 - float(np.prod(1.0 - risk)), cascades)


def _with_trend(line: AgentRisk, before: AgentRisk | None) -> AgentRisk:
    if before is None:
        return line
    return replace(
        line,
        trend=line.risk - before.risk,
        is_rising=line.low > before.high,
        is_falling=line.high < before.low,
    )


def assess_within(
    graph: Graph,
    budget: Budget,
    *,
    clock: Clock | None = None,
    theta: float = 0.5,
    seed: int = 0,
    model: str = "percolation",
) -> RiskReport:
    """Assess as `assess` does until the budget ends, and say how sure the answer is by then.

    Worlds are sampled in blocks that double as long as the next is expected to fit. When to stop depends on
    the clock alone, not on what was counted, so the exact intervals stay exact. At least 64 worlds are
    sampled, or `budget.trials` if those are fewer: some answer is always given.

    Raises:
        RiskInputError: C0711, C0713 to C0715.
    """
    theta, seed = check_theta(theta), check_seed(seed)
    if math.isfinite(budget.seconds) and clock is None:
        raise RiskInputError("the budget has seconds, but there is no clock to read them from", code="C0715")
    how = Settings()
    start_us = 0 if clock is None else clock.now().mono_us
    run = start(Job(graph, theta, seed, model, how))
    look = min(FIRST_LOOK, budget.trials)
    while True:
        run.extend(look)
        spent_s = 0.0 if clock is None else (clock.now().mono_us - start_us) / 1e6
        # Twice the worlds take about twice the time spent so far.
        if look == budget.trials or 2.0 * spent_s > budget.seconds:
            break
        look = min(2 * look, budget.trials)
    report = counted(graph, run, how)
    note = f"stopped by the budget after {run.trials} of {budget.trials} worlds"
    notes = report.notes if run.trials == budget.trials else (*report.notes, note)
    return replace(report, theta=theta, seed=seed, model=model, notes=notes)
