"""What an agent does with readings: policies see them, monitors judge them, telemetry tells them.

What the monitors find moves the breaker, and where it stands becomes the agent's restraint of itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from ripstop.core.canonical import Json
from ripstop.core.clock import Instant
from ripstop.core.journal import RecordKind
from ripstop.core.node import Effect
from ripstop.core.value import dataclass

from .breaker import BreakerEvent, BreakerState, Transition
from .chronicle import Chronicle, told
from .experience import Experience
from .governance import Governance
from .guard import Findings, Guard
from .personal import Veil
from .responder import Responder
from .restraint import Restraint
from .voice import Voice

_OPEN_STATES = (BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.FORCED_OPEN)


@dataclass(slots=True)
class Senses:
    """Hands readings to all who want them, and carries out what they show; effects are added to `out`."""

    guard: Guard
    voice: Voice
    governance: Governance
    responder: Responder
    chronicle: Chronicle
    experience: Experience
    veil: Veil

    @property
    def is_breaker_open(self) -> bool:
        """Whether the breaker keeps actions back; half open it still does."""
        return self.guard.state in _OPEN_STATES

    def take(self, signals: Mapping[str, Json], now: Instant, out: list[Effect]) -> Findings | None:
        """Take readings sensed now; gives what the monitors found (None: nothing worth a word)."""
        wall_us, mono_us = times = now.wall_us, now.mono_us
        voice = self.voice
        self.governance.vm.observe(signals, wall_us)
        found = self.guard.observe(signals, mono_us)
        if found is not None and found.alarms and voice.sampler is not None:
            voice.sampler.alarm(mono_us)
        voice.sense(signals, times, frozenset(found.alarms if found else ()), out)
        if found is not None:
            self._react(found, now, out)
        self.responder.sense(signals, now, out)
        if mono_us >= self.experience.due_us:
            self.experience.save(now, out)
        return found

    def order_breaker(self, event: BreakerEvent, now: Instant, out: list[Effect]) -> None:
        """Carry out an operator's order to the breaker."""
        self.guard.breaker.order(event, now.mono_us)
        self._react(Findings(transitions=self.guard.breaker.take_transitions()), now, out)

    def _react(self, found: Findings, now: Instant, out: list[Effect]) -> None:
        for transition in found.transitions:
            name = "opened" if transition.after is BreakerState.OPEN else transition.after.value
            self.note(f"breaker.{name}", "anomaly", transition, now, out)
        for alarm in found.news:
            self.chronicle.tell("anomaly.detected", self.veil.alarm(alarm), now, out)
        for name in found.recovered:
            self.chronicle.tell("signal.recovered", {"signal": name}, now, out)
        if found.transitions:
            word = self.guard.state.value if self.is_breaker_open else ""
            self.governance.restrain(Restraint.BREAKER, word, now, out)
        if found.news or found.transitions:
            self.voice.repeat_work((now.wall_us, now.mono_us), out)

    def note(self, name: str, breaker: str, transition: Transition, now: Instant, out: list[Effect]) -> None:
        """Record and tell that a breaker has moved: this one, or that around an action's own calls."""
        fields = told(breaker, transition)
        self.chronicle.record(RecordKind.BREAKER, fields, now, out)
        self.chronicle.tell(name, fields, now, out)
