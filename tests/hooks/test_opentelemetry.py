"""Spans and metrics of an agent, read back from OpenTelemetry's own exporters."""

import asyncio
import builtins
from pathlib import Path

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ripstop import ActionVetoed, Agent
from ripstop.core.clock import ManualClock
from ripstop.core.errors import ConfigurationError
from ripstop.hooks import trace_agent

POLICY = Path(__file__).parents[2] / "policies" / "payload_limit.json"


class Watched:
    """A traced agent and what its exporters hold."""

    def __init__(self) -> None:
        self.clock = ManualClock(1_767_225_600_000_000)
        self.agent = Agent("drone-1", POLICY, clock=self.clock)
        self._spans, self._reader = InMemorySpanExporter(), InMemoryMetricReader()
        tracers = TracerProvider()
        tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self._meters = MeterProvider([self._reader])
        self.hook = trace_agent(self.agent, tracer_provider=tracers, meter_provider=self._meters)

    def spans(self):
        return self._spans.get_finished_spans()

    def span(self, name):
        (found,) = [span for span in self.spans() if span.name == name]
        return found

    def points(self, name):
        found = self._reader.get_metrics_data()
        metrics = [m for r in found.resource_metrics for s in r.scope_metrics for m in s.metrics]
        return [point for metric in metrics if metric.name == name for point in metric.data.data_points]

    def close(self):
        self.hook.remove()
        self._meters.shutdown()


@pytest.fixture
def watched():
    made = Watched()
    made.agent.observe(battery_percent=26.0)
    yield made
    made.close()


def carry(payload_kg):
    return f"carrying {payload_kg} kg"


def test_an_action_is_a_span_with_its_decision_inside(watched):
    assert watched.agent.act("accept_task", carry, payload_kg=0.8) == "carrying 0.8 kg"
    act, decide = watched.span("ripstop.act"), watched.span("ripstop.decide")
    assert decide.parent.span_id == act.context.span_id
    assert dict(act.attributes) == {
        "ripstop.agent": "drone-1", "ripstop.action": "accept_task", "ripstop.verdict": "allow",
    }  # fmt: skip
    assert act.status.is_unset


def test_a_veto_is_an_outcome_with_its_reasons(watched):
    with pytest.raises(ActionVetoed):
        watched.agent.act("accept_task", carry, payload_kg=2.5)
    assert watched.span("ripstop.act").attributes["ripstop.verdict"] == "deny"
    assert watched.span("ripstop.act").status.is_unset
    decide = watched.span("ripstop.decide")
    assert decide.attributes["ripstop.policy"] == "payload_limit"
    assert [(event.name, event.attributes["code"]) for event in decide.events] == [("reason", "denied")]
    (point,) = watched.points("ripstop.decisions")
    assert dict(point.attributes) == {
        "ripstop.agent": "drone-1", "ripstop.action": "accept_task", "ripstop.verdict": "deny",
        "ripstop.policy": "payload_limit",
    }  # fmt: skip
    assert point.value == 1


def test_a_call_that_fails_marks_its_span(watched):
    def stall(payload_kg):
        raise OSError("the winch is stuck")

    with pytest.raises(OSError, match="stuck"):
        watched.agent.act("accept_task", stall, payload_kg=0.5)
    act = watched.span("ripstop.act")
    assert not act.status.is_ok
    assert act.status.description == "OSError"
    assert [event.name for event in act.events] == ["exception"]


def test_decorated_functions_and_coroutines_are_traced(watched):
    agent = watched.agent

    @agent.governed("accept_task")
    def take(payload_kg):
        return payload_kg

    @agent.governed("accept_task")
    async def take_later(payload_kg):
        return payload_kg

    async def act():
        return await agent.act_async("accept_task", take_later, payload_kg=0.25)

    assert take(0.5) == 0.5
    assert take.__name__ == "take"
    assert asyncio.run(take_later(0.75)) == 0.75
    assert asyncio.run(act()) == 0.25
    assert [span.name for span in watched.spans()].count("ripstop.act") == 4


def test_deciding_alone_is_traced_and_timed_by_the_agent_s_clock(watched):
    assert not watched.agent.decide("accept_task", payload_kg=2.5)
    assert watched.span("ripstop.decide").attributes["ripstop.verdict"] == "deny"
    (point,) = watched.points("ripstop.decision.duration")
    assert (point.count, point.sum) == (1, 0.0)


def test_the_breaker_s_transitions_are_counted_for_this_agent_alone(watched):
    other = Agent("drone-2", clock=watched.clock)
    for agent in (watched.agent, other):
        for volts in (12.5, 12.4, 12.3, 11.0):
            agent.observe(battery_v=volts)
            watched.clock.advance(1.0)
    counted = {dict(p.attributes)["ripstop.event"]: p.value for p in watched.points("ripstop.events")}
    assert counted["breaker.opened"] == 1
    assert {dict(p.attributes)["ripstop.agent"] for p in watched.points("ripstop.events")} == {"drone-1"}


def test_a_removed_hook_leaves_the_agent_s_own_methods(watched):
    @watched.agent.governed("accept_task")
    def take(payload_kg):
        return payload_kg

    watched.hook.remove()
    before = len(watched.spans())
    assert watched.agent.act("accept_task", carry, payload_kg=0.5) == "carrying 0.5 kg"
    assert take(0.5) == 0.5
    assert watched.agent.act.__func__ is Agent.act
    assert not {"act", "decide", "request"} & vars(watched.agent).keys()
    assert len(watched.spans()) == before


def test_without_the_package_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name.startswith("opentelemetry"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ConfigurationError, match="C0001") as caught:
        trace_agent(Agent("a"))
    assert "ripstop[otel]" in str(caught.value)
