"""The risk points of a run sorted into curves: one agent's, by model, with and without the mitigations."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ripstop.lab.report import wording
from ripstop.lab.report.schema import Live, RiskPoint


@dataclass(frozen=True, slots=True)
class Curve:
    """What one model said over time about one agent."""

    agent: str
    model: str
    without_mitigation: bool
    points: tuple[RiskPoint, ...]

    @property
    def peak(self) -> RiskPoint:
        """The point of the highest probability."""
        return max(self.points, key=lambda point: point.probability)


def watched(live: Live) -> str:
    """Give the agent whose risk is shown: the faulty one, or the one of the highest risk if it has none."""
    if not live.risks or any(point.agent == live.faulty for point in live.risks):
        return live.faulty
    return max(live.risks, key=lambda point: point.probability).agent


def curves(live: Live) -> tuple[Curve, ...]:
    """Give the curves of the watched agent: models in the order of their first report, unmitigated first."""
    agent = watched(live)
    sorted_points: dict[tuple[str, bool], list[RiskPoint]] = {}
    for point in live.risks:
        if point.agent == agent and math.isfinite(point.probability):
            sorted_points.setdefault((point.model, point.without_mitigation), []).append(point)
    found = [
        Curve(agent, model, without, tuple(sorted(points, key=lambda point: point.t_s)))
        for (model, without), points in sorted_points.items()
    ]
    order = list(dict.fromkeys(curve.model for curve in found))
    return tuple(sorted(found, key=lambda curve: (order.index(curve.model), not curve.without_mitigation)))


def models(live: Live) -> tuple[str, ...]:
    """Give the names of the models that spoke about the watched agent, in the order of the curves."""
    return tuple(dict.fromkeys(curve.model for curve in curves(live)))


def others_above(live: Live, enter: float) -> int:
    """Count the other agents whose risk, without mitigations, had its low end at the threshold or above."""
    agent = watched(live)
    return len({p.agent for p in live.risks if p.agent != agent and p.without_mitigation and p.low >= enter})


def sentences(live: Live, enter: float) -> tuple[str, ...]:
    """Say for each model how high it went, and whether it reached the threshold."""
    said, limit = [], wording.figure(enter)
    for curve in curves(live):
        if not curve.without_mitigation:
            continue
        peak = curve.peak
        entered = [point for point in curve.points if point.low >= enter]
        verdict = f"never surely above {limit}"
        if entered:
            after = wording.seconds(entered[0].t_s - live.fault_t_s)
            verdict = f"surely above {limit} from {after} after the fault"
        said.append(
            f"{wording.model(curve.model)}: at most {peak.probability:.2f}"
            f" ({peak.low:.2f} to {peak.high:.2f}), {verdict}"
        )
    return tuple(said)
