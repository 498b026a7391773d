"""From readings to self-restraint: the monitors of the watched signals and the breaker that they drive.

Each set of readings is a call through the breaker. An alarm is a failure that opens it at once; while it is
half open, readings are its probes. News alone (`novel`) is told to people and restrains nobody: what never
was before need not be wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from ripstop.core.canonical import Json
from ripstop.core.chance import stream
from ripstop.core.node import Scalar
from ripstop.core.value import dataclass
from ripstop.core.vocabulary import SignalSpec, Vocabulary

from .breaker import Breaker, BreakerEvent, BreakerState, Transition
from .detect import Checks, Finding, Monitor
from .settings import NodeSettings

# A good reading changes nothing then: what opens the breaker is an alarm, whatever the rates say.
_CALM = (BreakerState.CLOSED, BreakerState.DISABLED, BreakerState.METRICS_ONLY)
_REMIND_US = 5_000_000
_CHECKS = Checks(hold_s=600.0)
MOST_UNDECLARED = 1024


@dataclass(slots=True)
class Findings:
    """What a set of readings showed; `news` are the alarms that began or are due to be told again."""

    alarms: Mapping[str, Finding] = field(default_factory=dict)
    news: list[dict[str, Scalar]] = field(default_factory=list)
    recovered: list[str] = field(default_factory=list)
    transitions: list[Transition] = field(default_factory=list)


class Guard:
    """Watches one agent's signals and keeps its breaker."""

    def __init__(self, settings: NodeSettings, vocabulary: Vocabulary) -> None:
        self.breaker = Breaker(settings.breaker, chance=stream(settings.seed, settings.agent, "breaker"))
        if not settings.enforce:
            self.breaker.order(BreakerEvent.OBSERVED, 0)
            self.breaker.take_transitions()
        self._watch = settings.watch
        self._vocabulary = vocabulary
        self._monitors: dict[str, Monitor] = {}
        self._told_us: dict[str, int] = {}
        self.evicted = 0
        self.speak(vocabulary)

    def _monitor(self, name: str) -> Monitor:
        spec = self._vocabulary.signals.get(name)
        if spec is None:
            return Monitor(checks=_CHECKS)
        return Monitor(low=spec.low, high=spec.high, live=spec.live, checks=_CHECKS)

    def speak(self, vocabulary: Vocabulary) -> None:
        """Watch by another vocabulary; a signal whose declaration is the same keeps what was learned."""
        before, self._vocabulary = self._vocabulary, vocabulary
        self._takes_any = self._watch is None and vocabulary.is_open
        names = self._watch if self._watch is not None else tuple(vocabulary.signals)
        kept = self._monitors
        self._monitors = {}
        for name in names:
            spec = vocabulary.signals.get(name)
            if spec is not None and spec.type not in ("number", "timestamp"):
                continue
            same = name in kept and before.signals.get(name) == spec
            self._monitors[name] = kept[name] if same else self._monitor(name)

    @property
    def state(self) -> BreakerState:
        """Where the breaker stands."""
        return self.breaker.state

    @property
    def is_alarming(self) -> bool:
        """Whether a watched signal's last reading raised an alarm."""
        return bool(self._told_us)

    def monitor(self, name: str) -> Monitor | None:
        """Give the monitor of a signal, if it is watched."""
        return self._monitors.get(name)

    def watched(self) -> list[tuple[str, SignalSpec | None, Monitor]]:
        """Give the signals that are watched: name, declaration if any, monitor."""
        declared = self._vocabulary.signals
        return [(name, declared.get(name), monitor) for name, monitor in self._monitors.items()]

    def adopted(self, name: str) -> tuple[SignalSpec | None, Monitor | None]:
        """Give a signal's declaration, and its monitor; None where it would not be watched."""
        if name not in self._monitors and self._takes_any and len(self._monitors) < MOST_UNDECLARED:
            self._monitors[name] = self._monitor(name)
        return self._vocabulary.signals.get(name), self._monitors.get(name)

    def forget(self, name: str) -> None:
        """Learn a signal anew."""
        self._monitors[name] = self._monitor(name)

    def observe(self, signals: Mapping[str, Json], mono_us: int) -> Findings | None:
        """Test a set of readings; None where nothing is to be said."""
        if self._takes_any:
            self._watch_all(signals)
        monitors = self._monitors
        alarms: dict[str, Finding] = {}
        watched = False
        few, many = (signals, monitors) if len(signals) < len(monitors) else (monitors, signals)
        for name in few:
            if name in many:
                watched = True
                finding = monitors[name].observe(signals[name], mono_us)
                if finding.alarm:
                    alarms[name] = finding
        if not alarms and not self._told_us and self.breaker.state in _CALM:
            return None
        return self._judge(alarms, signals, mono_us) if watched else None

    def _watch_all(self, signals: Mapping[str, Json]) -> None:
        """Watch each number that is new here: nothing was declared about it."""
        for name, value in signals.items():
            if name not in self._monitors and type(value) in (int, float):
                if len(self._monitors) >= MOST_UNDECLARED:
                    self._evict()
                self._monitors[name] = self._monitor(name)

    def _evict(self) -> None:
        """Forget a quarter of the signals: those that were not read for the longest."""
        by_age = sorted(self._monitors, key=lambda name: self._monitors[name].last_us)
        for name in by_age[: MOST_UNDECLARED // 4]:
            del self._monitors[name]
            self._told_us.pop(name, None)
            self.evicted += 1

    def _judge(self, alarms: Mapping[str, Finding], signals: Mapping[str, Json], mono_us: int) -> Findings:
        found = Findings(alarms)
        for name, finding in alarms.items():
            if mono_us - self._told_us.get(name, -_REMIND_US) >= _REMIND_US:
                self._told_us[name] = mono_us
                found.news.append(self._fields(name, finding))
        for name in list(self._told_us):
            if name in signals and name not in alarms:
                del self._told_us[name]
                found.recovered.append(name)
        permit = self.breaker.permit(mono_us)
        if permit is not None:
            if any(finding.kind != "novel" for finding in alarms.values()):
                self.breaker.fail(permit, mono_us, at_once=True)
            else:
                self.breaker.succeed(permit, mono_us)
        if self.breaker.transitions:
            found.transitions = self.breaker.take_transitions()
        return found

    def _fields(self, name: str, finding: Finding) -> dict[str, Scalar]:
        spec = self._vocabulary.signals.get(name)
        return {
            "signal": name,
            "kind": finding.kind,
            "value": finding.value,
            "expected": finding.expected,
            "score": finding.score,
            "sigma": finding.sigma,
            "text": finding.explain(name, spec.unit if spec else ""),
        }
