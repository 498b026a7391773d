"""The stability margin as a playbook sees it: short or not, with hysteresis, by the last report."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ripstop.core.node import Scalar
from ripstop.risk import MarginTrigger, StabilityReport

from .playbook import IdentifyRule, StabilityRule, Unknown

BOUNDLESS = 1e9  # stands for a headroom without end: JSON-Logic and records know no infinity


@dataclass(slots=True)
class MarginWatch:
    """Takes reports of the margin.

    Where nobody identifies it, nothing is short before the first report. Where the playbook says how to, a
    margin that was not found yet, or is too old, is not known and counts as the playbook says. A playbook
    without a rule has no short margin, ever.
    """

    rule: StabilityRule | None
    is_short: bool = False
    damping_low: float = 1.0
    headroom_low: float = BOUNDLESS
    found_us: int | None = None
    is_known: bool = field(init=False)

    def __post_init__(self) -> None:
        self.is_known = self._identify is None
        if not self.is_known:
            self.is_short = self._unknown_is_short

    @property
    def _identify(self) -> IdentifyRule | None:
        return self.rule.identify if self.rule is not None else None

    @property
    def _unknown_is_short(self) -> bool:
        return self._identify is not None and self._identify.on_unknown is Unknown.SHORT

    def take(self, report: StabilityReport, now_us: int = 0) -> bool:
        """Take the newest report; True where the margin became short or ceased to be.

        Args:
            report: of the margin.
            now_us: the control plane's monotonic time, from which its age counts.
        """
        self.damping_low = report.damping_low
        self.headroom_low = min(report.headroom_low, BOUNDLESS)
        self.found_us, was_known, self.is_known = now_us, self.is_known, True
        if self.rule is None:
            return False
        rule, was = self.rule, self.is_short
        trigger = MarginTrigger(
            rule.damping_enter, rule.damping_exit, rule.headroom_enter, rule.headroom_exit
        )
        # What was not known leaves no hysteresis behind.
        self.is_short = trigger.is_active(report, was_active=was and was_known)
        return self.is_short is not was

    def age(self, now_us: int) -> bool:
        """Let what was identified grow old; True where it thereby became short or ceased to be."""
        how = self._identify
        if how is None or not self.is_known or self.age_s(now_us) <= how.max_age_s:
            return False
        was, self.is_known, self.is_short = self.is_short, False, self._unknown_is_short
        self.damping_low, self.headroom_low = 1.0, BOUNDLESS
        return self.is_short is not was

    def age_s(self, now_us: int) -> float:
        """Give how old the last report is; infinite before the first."""
        return math.inf if self.found_us is None else (now_us - self.found_us) / 1e6

    def signals(self) -> dict[str, float]:
        """Give what a playbook's trigger may read."""
        return {
            "margin_is_short": float(self.is_short),
            "margin_is_known": float(self.is_known),
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
