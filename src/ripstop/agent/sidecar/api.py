"""What one agent answers to the sidecar's requests: the façade's calls as JSON values.

An action runs in another program, so the breaker's call begins with the decision and ends with the outcome.
Between them its permit waits here, bounded in number and in time; one that is never heard of again says
nothing and is given back.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping

from ripstop.agent.agent import Agent
from ripstop.agent.breaker import BreakerOpen, BreakerState
from ripstop.agent.circuit import CallEnd, CircuitBreaker, Permit
from ripstop.agent.detect import Finding
from ripstop.agent.vetoes import is_restrained_by_breaker
from ripstop.core.canonical import Json
from ripstop.core.decision import Decision, Reason, Verdict
from ripstop.core.value import dataclass

from .message import RequestError
from .metrics import AgentGauges
from .shapes import misfit

MAX_PENDING = 10_000
# What is kept for each name is kept for good where the vocabulary is open, so their number is bounded here.
MAX_SIGNALS = 10_000
MAX_ACTIONS = 1024  # as many as an agent keeps breakers for
_REFUSING = (BreakerState.OPEN, BreakerState.FORCED_OPEN)
_ENDS = {
    "success": CallEnd.SUCCEEDED,
    "failure": CallEnd.FAILED,
    "slow": CallEnd.SUCCEEDED,
    "cancelled": CallEnd.CANCELLED,
}


@dataclass(frozen=True, slots=True)
class _Call:
    """An action that was allowed; a failsafe has no breaker and so no permit."""

    action: str
    circuit: CircuitBreaker | None
    permit: Permit | None
    since_us: int


class AgentApi:
    """One agent as the sidecar serves it.

    Args:
        agent: the façade; it may be that of an agent in a fleet.
        call_s: how long an outcome is waited for.
    """

    def __init__(self, agent: Agent, call_s: float) -> None:
        self.agent = agent
        self._call_us = round(call_s * 1e6)
        self._calls: dict[str, _Call] = {}  # oldest first
        self._number = 0
        self._signals: set[str] = set()
        self._actions: set[str] = set()

    def tick(self) -> None:
        """Let time pass: the agent's timers run, calls that nobody ends are given up."""
        self.agent.tick()
        oldest_us = self.agent.clock.now().mono_us - self._call_us
        while self._calls:
            call_id, call = next(iter(self._calls.items()))
            if call.since_us > oldest_us and len(self._calls) <= MAX_PENDING:
                break
            del self._calls[call_id]
            self._end(call, CallEnd.CANCELLED, None)

    # ---- deciding ---------------------------------------------------------------------------------------

    def decide(self, request: Mapping[str, Json]) -> dict[str, Json]:
        """Answer `POST /v1/decide`.

        Raises:
            RequestError: W0713, more names than any agent has actions.
        """
        action, given = str(request["action"]), request.get("context", {})
        context = given if isinstance(given, Mapping) else {}
        vocabulary = self.agent.node.vm.vocabulary
        if action not in vocabulary.actions:  # what is declared, a failsafe above all, is never turned away
            _admit(self._actions, (action,), MAX_ACTIONS, "actions")
        if request.get("dry_run") is True:
            decision, refusal = self.agent.decide(action, **context), self._standing(action)
            return self._decided(decision, context, None, refusal)
        decision, clamped = self.agent.request(action, context)
        if decision.verdict is not Verdict.ALLOW:
            return self._decided(decision, clamped, None, None)
        circuit = self.agent.circuit(action)
        try:
            permit = circuit.begin() if circuit is not None else None
        except BreakerOpen as refusal:
            return self._decided(decision, clamped, None, refusal)
        return self._decided(decision, clamped, self._begin(action, circuit, permit), None)

    def _standing(self, action: str) -> BreakerOpen | None:
        """Give the refusal of an action's breaker, as far as it can be known without asking for a permit."""
        state = self.agent.circuits.states().get(action)
        return BreakerOpen(action, state, None) if state in _REFUSING and state is not None else None

    def _begin(self, action: str, circuit: CircuitBreaker | None, permit: Permit | None) -> str:
        self._number += 1
        call_id = f"{self.agent.incarnation}-{self._number}"
        self._calls[call_id] = _Call(action, circuit, permit, self.agent.clock.now().mono_us)
        if len(self._calls) > MAX_PENDING:
            self.tick()
        return call_id

    def _decided(
        self, decision: Decision, context: Mapping[str, Json], call: str | None, refusal: BreakerOpen | None
    ) -> dict[str, Json]:
        verdict, reasons = decision.verdict, decision.reasons
        if refusal is not None and verdict is Verdict.ALLOW:
            verdict, reasons = Verdict.DENY, (*reasons, Reason("", "call_breaker", refusal.message))
        return {
            "agent": self.agent.name,
            "action": decision.action,
            "verdict": verdict.word,
            "limits": [limit.to_json() for limit in decision.limits],
            "reasons": [reason.to_json() for reason in reasons],
            "evidence": [item.to_json() for item in decision.evidence],
            "t_us": decision.t_us,
            "release": decision.release,
            "intent": decision.intent,
            "context": dict(context),
            "call": call,
            "breaker": self._refusing(decision, refusal),
        }

    def _refusing(self, decision: Decision, refusal: BreakerOpen | None) -> dict[str, Json] | None:
        """Give the breaker that stands in the way: the agent's own, or the action's; None for neither."""
        if is_restrained_by_breaker(decision):
            retry_s = self.agent.node.breaker_retry_s(self.agent.clock.now())
            return {"name": "anomaly", "state": self.agent.breaker_state.value, "retry_s": retry_s}
        if refusal is not None:
            return {"name": refusal.name, "state": refusal.state.value, "retry_s": refusal.retry_s}
        return None

    # ---- sensing ----------------------------------------------------------------------------------------

    def observe(self, request: Mapping[str, Json]) -> dict[str, Json]:
        """Answer `POST /v1/observe`.

        Raises:
            RequestError: W0713, more names than any agent has signals.
        """
        given = request["readings"]
        readings = given if isinstance(given, Mapping) else {}
        declared = self.agent.node.vm.vocabulary.signals
        _admit(self._signals, readings.keys() - declared.keys(), MAX_SIGNALS, "signals")
        alarms = self.agent.observe(readings)
        return {
            "agent": self.agent.name,
            "alarms": {name: _alarm(name, finding) for name, finding in alarms.items()},
            "breaker": self.agent.breaker_state.value,
        }

    # ---- outcomes ---------------------------------------------------------------------------------------

    def outcome(self, request: Mapping[str, Json]) -> dict[str, Json]:
        """Answer `POST /v1/outcome`.

        Raises:
            RequestError: W0703 neither call nor action, or one that is not the call's; W0712 no such call.
        """
        call = self._called(request)
        told = str(request["outcome"])
        took = request.get("duration_s")
        duration_s = float(took) if isinstance(took, int | float) else None
        counted = self._end(call, _ENDS[told], math.inf if told == "slow" else duration_s)
        return {
            "agent": self.agent.name,
            "action": call.action,
            "counted": counted,
            "breaker": None
            if call.circuit is None
            else {"name": call.action, "state": call.circuit.state.value, "retry_s": None},
        }

    def _called(self, request: Mapping[str, Json]) -> _Call:
        action, call_id = request.get("action"), request.get("call")
        if isinstance(call_id, str):
            call = self._calls.get(call_id)
            if call is None:
                raise RequestError(
                    f"no call `{call_id}` waits for its outcome",
                    status=404,
                    code="W0712",
                    hint="it was told already, took too long, or belongs to an earlier life of the sidecar",
                )
            if action not in (None, call.action):
                raise misfit(f"call `{call_id}` is one of `{call.action}`, got `{action}`")
            del self._calls[call_id]
            return call
        if not isinstance(action, str):
            raise misfit("`call` or `action` is missing")
        circuit = self.agent.circuit(action)
        try:
            permit = circuit.begin() if circuit is not None else None
        except BreakerOpen:
            permit = None
        return _Call(action, circuit, permit, 0)

    @staticmethod
    def _end(call: _Call, end: CallEnd, duration_s: float | None) -> bool:
        if call.circuit is None or call.permit is None:
            return False
        call.circuit.end(call.permit, end, duration_s)
        return end is not CallEnd.CANCELLED

    # ---- how it is --------------------------------------------------------------------------------------

    def health(self) -> dict[str, Json]:
        """Give this agent's part of `GET /v1/health`."""
        return {
            "agent": self.agent.name,
            "breaker": self.agent.breaker_state.value,
            "release": self.agent.node.release.digest,
            "ledger": "failing" if self.agent.is_ledger_failing else "ok",
            "pending_calls": len(self._calls),
        }

    def gauges(self) -> AgentGauges:
        """Give what the metrics show of it."""
        return AgentGauges(
            self.agent.name,
            self.agent.breaker_state.value,
            Counter(state.value for state in self.agent.circuits.states().values()),
            len(self._calls),
            self.agent.node.ledger_head[0],
            self.agent.is_ledger_failing,
        )


def _admit(known: set[str], names: Iterable[str], most: int, of: str) -> None:
    """Take note of names.

    Raises:
        RequestError: W0713, there would be too many.
    """
    new = [name for name in names if name not in known]
    if len(known) + len(new) > most:
        raise RequestError(
            f"more than {most} names of {of}",
            status=429,
            code="W0713",
            hint="a name is that of a kind: what differs from one to the next belongs into the context",
        )
    known.update(new)


def _alarm(name: str, finding: Finding) -> dict[str, Json]:
    numbers = {
        "score": finding.score,
        "value": finding.value,
        "expected": finding.expected,
        "scale": finding.scale,
    }
    shown: dict[str, Json] = {key: _finite(value) for key, value in numbers.items()}
    return {"kind": finding.kind, **shown, "text": finding.explain(name)}


def _finite(value: object) -> float | None:
    """Give a number that JSON has a word for; None for what is none."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
