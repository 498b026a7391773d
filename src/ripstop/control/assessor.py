"""When to compute: one computation of a kind at a time, at once on news, else ever more seldom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ripstop.core.chance import stream
from ripstop.core.clock import Instant
from ripstop.core.node import Compute, Effect, SetTimer

from .mitigation.assessment import Question, assess_fleet, plan_measures, survey_fleet
from .settings import ControlSettings

_LEAST_GAP_US = 100_000
_STRETCH = 1.5


@dataclass(slots=True)
class Assessor:
    """Keeps the cadence of assessments and hands out the computations."""

    settings: ControlSettings
    is_assessing: bool = False
    is_planning: bool = False
    is_surveying: bool = False
    _has_news: bool = False
    _interval_s: float = 0.0
    _last_us: int = -_LEAST_GAP_US
    _count: int = 0

    def _seed(self) -> int:
        self._count += 1
        return stream(self.settings.seed, "assess", self._count).word() >> 1

    def news(self, now: Instant) -> list[Effect]:
        """Something changed: assess at once, or as soon as the computation under way is done."""
        self._interval_s = self.settings.incident_s
        if self.is_assessing:
            self._has_news = True
            return []
        return [SetTimer("assess", max(now.mono_us, self._last_us + _LEAST_GAP_US))]

    def assess(self, question: Callable[[int], Question], now: Instant) -> list[Effect]:
        """Start an assessment, unless one is under way."""
        if self.is_assessing:
            self._has_news = True
            return []
        self.is_assessing, self._has_news, self._last_us = True, False, now.mono_us
        asked = question(self._seed())
        return [Compute("assess", lambda: assess_fleet(asked), self.settings.assess_cost_s)]

    def plan(self, question: Callable[[int], Question]) -> list[Effect]:
        """Start to plan, unless a plan is being made."""
        if self.is_planning:
            return []
        self.is_planning = True
        asked = question(self._seed())
        return [Compute("plan", lambda: plan_measures(asked), self.settings.plan_cost_s)]

    def survey(self, question: Callable[[int], Question]) -> list[Effect]:
        """Start to rank the fleet, unless that is under way."""
        if self.is_surveying:
            return []
        self.is_surveying = True
        asked = question(self._seed())
        return [Compute("survey", lambda: survey_fleet(asked), self.settings.assess_cost_s)]

    def again(self, *, is_computed: bool, now: Instant) -> list[Effect]:
        """Set the time of the next assessment; what needs no computation keeps the short pace."""
        self._last_us = now.mono_us
        if self._has_news:
            self._has_news = False
            return self.news(now)
        settings = self.settings
        pause_s = max(self._interval_s, settings.incident_s) if is_computed else settings.incident_s
        self._interval_s = min(pause_s * _STRETCH, max(settings.calm_s, settings.incident_s))
        return [SetTimer("assess", now.mono_us + round(pause_s * 1e6))]
