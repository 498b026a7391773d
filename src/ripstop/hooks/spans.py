"""Spans and metrics of an agent to OpenTelemetry (extra `otel`), through its API alone.

    span `ripstop.act`        one governed action: decision, call, and how it ended
    span `ripstop.decide`     one decision, inside it where it is one of an action
    counter `ripstop.decisions`    by agent, action, verdict, policy (the first that said no)
    counter `ripstop.events`       by agent and event: `breaker.opened`, `anomaly.detected`, ...
    histogram `ripstop.decision.duration`  seconds, by agent and action

The methods of this one agent are wrapped; an agent that is not traced runs exactly the code that it would
run without this package.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import wraps
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, ParamSpec, TypeVar, cast

from ripstop import __version__
from ripstop.agent import ActionVetoed, Agent, BreakerOpen
from ripstop.core.canonical import Json
from ripstop.core.decision import Decision, Verdict
from ripstop.core.errors import missing_extra

from .events import Hook, fields_of, listen

if TYPE_CHECKING:
    from opentelemetry.metrics import Counter, Histogram, MeterProvider
    from opentelemetry.trace import Span, Status, Tracer, TracerProvider

P = ParamSpec("P")
R = TypeVar("R")
_NAME = "ripstop"
_WRAPPED = ("decide", "request", "act", "act_async", "governed")


def trace_agent(
    agent: Agent,
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
) -> Hook:
    """Trace an agent until the hook is removed; the global providers are used by default.

    Functions that were decorated with `agent.governed` before are traced as far as their decisions.

    Raises:
        ConfigurationError: C0001 without the extra `otel`.
    """
    try:
        from opentelemetry import metrics, trace
    except ImportError as error:
        raise missing_extra("opentelemetry-api", "otel") from error
    tracer = trace.get_tracer(_NAME, __version__, tracer_provider)
    meter = metrics.get_meter(_NAME, __version__, meter_provider)
    instruments = _Instruments(
        meter.create_counter("ripstop.decisions", "{decision}", "decisions made"),
        meter.create_counter("ripstop.events", "{event}", "what happened in the agent"),
        meter.create_histogram("ripstop.decision.duration", "s", "how long a decision took"),
    )
    traced = _Traced(agent, tracer, instruments)
    for name in _WRAPPED:
        setattr(agent, name, getattr(traced, name))
    listener = listen(traced.hear)

    def remove() -> None:
        listener.remove()
        traced.is_on = False
        for name in _WRAPPED:
            vars(agent).pop(name, None)

    return Hook(remove)


@dataclass(frozen=True, slots=True)
class _Instruments:
    decisions: Counter
    events: Counter
    duration: Histogram


class _Traced:
    """The wrapped methods of one agent; those of its class do the work."""

    def __init__(self, agent: Agent, tracer: Tracer, instruments: _Instruments) -> None:
        self.is_on = True
        self._agent = agent
        self._tracer = tracer
        self._instruments = instruments
        self._decide, self._request = agent.decide, agent.request
        self._act, self._act_async, self._governed = agent.act, agent.act_async, agent.governed

    # ---- deciding ---------------------------------------------------------------------------------------

    def decide(self, action: str, /, **context: Json) -> Decision:
        with self._span("ripstop.decide", action) as span:
            began_us = self._now_us()
            decision = self._decide(action, **context)
            self._decided(span, decision, began_us)
            return decision

    def request(self, action: str, context: Mapping[str, Json]) -> tuple[Decision, dict[str, Json]]:
        with self._span("ripstop.decide", action) as span:
            began_us = self._now_us()
            decision, decided = self._request(action, context)
            self._decided(span, decision, began_us)
            return decision, decided

    def _decided(self, span: Span, decision: Decision, began_us: int) -> None:
        seconds = (self._now_us() - began_us) / 1e6
        who = {"ripstop.agent": self._agent.name, "ripstop.action": decision.action}
        verdict = {"ripstop.verdict": decision.verdict.word}
        why = decision.reasons[0] if decision.reasons else None
        policy = why.policy or "agent" if why is not None and decision.verdict is not Verdict.ALLOW else ""
        span.set_attributes(verdict | ({"ripstop.policy": policy} if policy else {}))
        for reason in decision.reasons:
            told = {"policy": reason.policy, "code": reason.code, "text": reason.text}
            span.add_event("reason", told)
        self._instruments.decisions.add(1, {**who, **verdict, "ripstop.policy": policy})
        self._instruments.duration.record(seconds, who)

    def _now_us(self) -> int:
        return self._agent.clock.now().mono_us

    # ---- acting -----------------------------------------------------------------------------------------

    def act(self, action: str, fn: Callable[..., R], /, **context: Json) -> R:
        with self._acting(action):
            return self._act(action, fn, **context)

    async def act_async(self, action: str, fn: Callable[..., Awaitable[R]], /, **context: Json) -> R:
        with self._acting(action):
            return await self._act_async(action, fn, **context)

    def governed(self, action: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
        decorate = self._governed(action)

        def traced(fn: Callable[P, R]) -> Callable[P, R]:
            inner = decorate(fn)
            if iscoroutinefunction(fn):
                waiting = cast("Callable[P, Awaitable[object]]", inner)

                @wraps(fn)
                async def acting_async(*args: P.args, **kwargs: P.kwargs) -> object:
                    with self._acting(action):
                        return await waiting(*args, **kwargs)

                return cast("Callable[P, R]", acting_async)

            @wraps(fn)
            def acting(*args: P.args, **kwargs: P.kwargs) -> R:
                with self._acting(action):
                    return inner(*args, **kwargs)

            return acting

        return traced

    @contextmanager
    def _acting(self, action: str) -> Iterator[None]:
        """Span one action. A veto is an outcome, not an error of the program; what the call raises is one."""
        if not self.is_on:
            yield
            return
        with self._span("ripstop.act", action) as span:
            try:
                yield
            except ActionVetoed as veto:
                span.set_attribute("ripstop.verdict", veto.decision.verdict.word)
                raise
            except BreakerOpen:
                span.set_attribute("ripstop.breaker", "open")
                raise
            except Exception as error:
                span.record_exception(error)
                span.set_status(_error(error))
                raise
            span.set_attribute("ripstop.verdict", Verdict.ALLOW.word)

    def _span(self, name: str, action: str) -> AbstractContextManager[Span]:
        attributes = {"ripstop.agent": self._agent.name, "ripstop.action": action}
        return self._tracer.start_as_current_span(
            name, attributes=attributes, record_exception=False, set_status_on_exception=False
        )

    # ---- events -----------------------------------------------------------------------------------------

    def hear(self, record: logging.LogRecord) -> None:
        """Count an event of this agent, and note it on the span that is open where it happened."""
        fields = fields_of(record)
        if fields.get("agent") != self._agent.name:
            return
        name = record.getMessage()
        self._instruments.events.add(1, {"ripstop.agent": self._agent.name, "ripstop.event": name})
        told = {key: value for key, value in fields.items() if value is not None and key != "agent"}
        _current_span().add_event(name, told)


def _current_span() -> Span:
    from opentelemetry.trace import get_current_span

    return get_current_span()


def _error(error: Exception) -> Status:
    from opentelemetry.trace import Status, StatusCode

    return Status(StatusCode.ERROR, type(error).__name__)
