"""When to identify the stability model: at a cadence, one fit at a time, within a share of a core."""

from __future__ import annotations

from dataclasses import dataclass

from ripstop.core.chance import stream
from ripstop.core.clock import Instant
from ripstop.core.errors import ConfigurationError
from ripstop.core.node import Compute, Effect, Scalar, SetTimer
from ripstop.core.vocabulary import Vocabulary

from .mitigation.identification import Finding, find_margin
from .mitigation.playbook import IdentifyRule, Playbook
from .settings import ControlSettings
from .telemetry.ingest import Telemetry
from .telemetry.swings import latest_stretch

NAME = "identify"
_SPARE = 1.25  # rings hold that much more than the window, for readings that come more often


@dataclass(slots=True)
class Identifier:
    """Keeps the cadence of fits and hands them out.

    `last` is what the newest one showed, `read_us` when its last reading was taken, in monotonic time.
    """

    rule: IdentifyRule
    settings: ControlSettings
    telemetry: Telemetry
    last: Finding | None = None
    fits: int = 0
    refused: int = 0
    _is_fitting: bool = False
    _started_us: int = 0
    read_us: int = 0
    _ready_us: int = 0
    _count: int = 0

    def begin(self, now: Instant) -> SetTimer:
        """Set the time of the first fit."""
        return SetTimer(NAME, now.mono_us + round(self.rule.every_s * 1e6))

    def due(self, now: Instant) -> list[Effect]:
        """Start a fit, unless one is under way or the last one was dear; and set the time of the next."""
        out: list[Effect] = [self.begin(now)]
        if self._is_fitting or now.mono_us < self._ready_us:
            return out
        self._is_fitting, self._started_us = True, now.mono_us
        self._count += 1
        seed = stream(self.settings.seed, NAME, self._count).word() >> 1
        rule, stretch = self.rule, latest_stretch(self.telemetry, self.rule)
        self.read_us = now.mono_us - max(now.wall_us - stretch.end_us, 0)
        return [*out, Compute(NAME, lambda: find_margin(stretch, rule, seed), self.settings.identify_cost_s)]

    def done(self, result: object, error: str, now: Instant) -> Finding:
        """Take a fit's answer; a fit that failed is a finding, too."""
        self._is_fitting = False
        took_us = now.mono_us - self._started_us
        self._ready_us = now.mono_us + round(took_us * (1.0 / self.rule.share - 1.0))
        found = result if isinstance(result, Finding) else Finding(None, error or "the fit failed")
        self.last = found
        self.fits += 1
        self.refused += found.report is None
        return found


def identifier_of(
    playbook: Playbook, settings: ControlSettings, telemetry: Telemetry, vocabulary: Vocabulary
) -> Identifier | None:
    """Give the identifier that a playbook asks for, if it does.

    Raises:
        ConfigurationError: C0204 for a signal that is no number of the vocabulary.
    """
    rule = playbook.stability.identify if playbook.stability is not None else None
    if rule is None:
        return None
    for name in filter(None, (rule.power, rule.frequency, rule.angle, rule.reserve)):
        spec = vocabulary.signals.get(name)
        if spec is None or spec.type != "number":
            raise ConfigurationError(
                f"the stability model is identified from `{name}`, which is no number of the vocabulary",
                code="C0204",
                hint="signals: "
                + ", ".join(n for n, s in sorted(vocabulary.signals.items()) if s.type == "number"),
            )
    return Identifier(rule, settings, telemetry)


def depth_of(playbook: Playbook, least: int) -> int:
    """Give how many readings of a signal are to be kept: `least`, or what a fit looks back on."""
    rule = playbook.stability.identify if playbook.stability is not None else None
    return least if rule is None else max(least, round(_SPARE * rule.window_s / rule.step_s) + 2)


def told(found: Finding) -> dict[str, Scalar]:
    """Give the fields that tell how good a fit is."""
    return {
        "explained": found.explained,
        "correlation": found.correlation,
        "samples": found.samples,
        "reason": found.reason,
    }
