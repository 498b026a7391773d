"""From forecasts to the fleet's risk: how likely each agent is to fail within the horizon."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from ripstop.risk.errors import RiskInputError
from ripstop.risk.forecast.crossing import CrossingReport
from ripstop.risk.kinds import Kind, takes
from ripstop.risk.settings import check_share


@takes(reports=Kind("reports of crossings", CrossingReport, each=True))
def failure_probabilities(reports: Sequence[CrossingReport], *, unknown: float) -> dict[Hashable, float]:
    """Give each agent's probability to fail, for `fleet_risk`: that any of its signals crosses its limit.

    Several signals of one agent count as independent, 1 - product of (1 - p): no less than the likeliest of
    them, no more than their sum.

    Args:
        reports: one for each signal, the agents' names on its series; an agent may lack some.
        unknown: the probability of a signal that is not known. It has no default, since silence is no safety.

    Raises:
        RiskInputError: C0715 for `unknown`, C0751 for an agent that stands twice in one report.
    """
    silent = check_share("unknown", unknown, "C0715")
    survives: dict[Hashable, float] = {}
    for report in reports:
        if len(set(report.names)) != len(report.names):
            raise RiskInputError("a name stands twice in a report", code="C0751")
        for name, p, known in zip(report.names, report.probability.tolist(), report.is_known, strict=True):
            survives[name] = survives.get(name, 1.0) * (1.0 - (p if known else silent))
    return {name: 1.0 - p for name, p in survives.items()}
