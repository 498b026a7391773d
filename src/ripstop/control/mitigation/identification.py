"""The stability margin from live telemetry: a model fitted, held against what it has not seen, and asked.

A fit that is not good enough says nothing: what it would say of the damping may be off by any factor, either
way. Where the swings were measured without it, they tell the damping, and the headroom is what the reserves
leave; its lower end is 0, for nothing says where the power flow ends. So a finding is a report, or the reason
why there is none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ripstop.risk import RiskInputError, StabilityReport, identify, margin

from ..telemetry.swings import Stretch
from .playbook import IdentifyRule

HELD_OUT = 0.3  # of the samples, which the model is tried on
DRAWS = 60  # models drawn for the intervals


@dataclass(frozen=True, slots=True)
class Finding:
    """What one fit showed: the margin, or why it is not known (`reason`), and how good the fit is.

    `explained` is the share of the held-out changes that the model predicts (`Identified.explained`), 0 where
    nothing was fitted; `correlation` that of successive errors; `samples` how many there were.
    """

    report: StabilityReport | None
    reason: str = ""
    explained: float = 0.0
    correlation: float = 0.0
    samples: int = 0


def find_margin(stretch: Stretch, rule: IdentifyRule, seed: int) -> Finding:
    """Identify the swing model and give its margin, or say why the telemetry does not tell."""
    if stretch.swings is None:
        return Finding(None, stretch.missing)
    samples = len(np.asarray(stretch.swings.t_s))
    try:
        found = identify(
            stretch.swings, rule.ends, machines=rule.is_machine, reserve=stretch.reserve, held_out=HELD_OUT
        )
        explained = found.explained if math.isfinite(found.explained) else 0.0
        doubt = _doubt(explained, found.correlation, rule)
        if doubt and found.swings is None:
            return Finding(None, doubt, explained, found.correlation, samples)
        report = margin(found, draws=DRAWS, seed=seed)
        if math.isnan(report.damping):
            return Finding(
                None, "the damping is not known: " + found.notes[0], explained, found.correlation, samples
            )
        if doubt:
            report = _by_reserve(report, doubt)
    except RiskInputError as error:
        return Finding(None, f"{error.code}: {error.message}", samples=samples)
    wide = report.damping_high - report.damping_low
    if wide > rule.widest:
        reason = f"the damping is known to {wide:.2f} only, expected {rule.widest:g}"
        return Finding(None, reason, explained, found.correlation, samples)
    return Finding(report, "", explained, found.correlation, samples)


def _by_reserve(report: StabilityReport, doubt: str) -> StabilityReport:
    """Keep what does not rest on the model: the swings, and the reserves."""
    left = dict(report.limits)["reserve"]
    return replace(
        report,
        headroom=left,
        headroom_low=0.0,
        headroom_high=left,
        limit="reserve" if math.isfinite(left) else "none",
        limits=(("reserve", left),),
        notes=(*report.notes, f"headroom is what the reserves leave: {doubt}"),
    )


def _doubt(explained: float, correlation: float, rule: IdentifyRule) -> str:
    if explained < rule.explained:
        share = max(explained, 0.0)
        return f"the model explains {share:.2f} of what it has not seen, expected {rule.explained:g}"
    if abs(correlation) > rule.correlation:
        return f"successive errors correlate by {correlation:.2f}, expected {rule.correlation:g} at most"
    return ""
