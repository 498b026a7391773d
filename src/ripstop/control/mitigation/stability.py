"""The stability margin as a playbook sees it: short or not, with hysteresis, by the last report."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ripstop.core.node import Scalar
from ripstop.risk import MarginTrigger, StabilityReport

from .playbook import StabilityRule

BOUNDLESS = 1e9  # stands for a headroom without end: JSON-Logic and records know no infinity


@dataclass(slots=True)
class MarginWatch:
    """Takes reports of the margin; before the first one nothing is short.

    A playbook without a rule has no short margin, ever.
    """

    rule: StabilityRule | None
    is_short: bool = False
    damping_low: float = 1.0
    headroom_low: float = BOUNDLESS

    def take(self, report: StabilityReport) -> bool:
        """Take the newest report; True where the margin became short or ceased to be."""
        self.damping_low = report.damping_low
        self.headroom_low = min(report.headroom_low, BOUNDLESS)
        if self.rule is None:
            return False
        rule, was = self.rule, self.is_short
        trigger = MarginTrigger(
            rule.damping_enter, rule.damping_exit, rule.headroom_enter, rule.headroom_exit
        )
        self.is_short = trigger.is_active(report, was_active=was)
        return self.is_short is not was

    def signals(self) -> dict[str, float]:
        """Give what a playbook's trigger may read."""
        return {
            "margin_is_short": float(self.is_short),
            "damping_low": self.damping_low,
            "headroom_low": self.headroom_low,
        }

    def told(self, report: StabilityReport) -> dict[str, Scalar]:
        """Give the fields of the event that tells of a report."""
        return {
            "short": self.is_short,
            "stable": report.is_stable,
            "damping": report.damping,
            "damping_low": self.damping_low,
            "headroom": report.headroom if math.isfinite(report.headroom) else BOUNDLESS,
            "headroom_low": self.headroom_low,
            "limit": report.limit,
        }
