"""A stage: agents on one clock that moves only when told to, fed with scripted signals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf
from os import PathLike

from ripstop.agent import Agent, Finding, NodeSettings
from ripstop.agent.vm import Policies
from ripstop.core.canonical import Json
from ripstop.core.clock import ManualClock
from ripstop.core.decision import Decision, Verdict
from ripstop.core.errors import ConfigurationError
from ripstop.core.vocabulary import Vocabulary


class Stage:
    """Makes agents that share a clock, and lets time pass for them.

    Args:
        t_us: when the scene begins, in microseconds since 1970 UTC; policies that look at `now` see it.
    """

    def __init__(self, t_us: int = 1_767_225_600_000_000) -> None:
        self.clock = ManualClock(t_us)
        self._agents: list[Agent] = []

    def agent(
        self,
        name: str = "agent",
        policies: Policies = (),
        *,
        vocabulary: Vocabulary | None = None,
        ledger: str | PathLike[str] | None = None,
        settings: NodeSettings | None = None,
    ) -> Agent:
        """Make an agent on this stage's clock; `close` closes it."""
        made = Agent(
            name, policies, vocabulary=vocabulary, ledger=ledger, settings=settings, clock=self.clock
        )
        self._agents.append(made)
        return made

    def wait(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            ConfigurationError: C0373, time would run backwards.
        """
        if not seconds >= 0.0:
            raise ConfigurationError(f"time passes forwards, got {seconds} s", code="C0373")
        self.clock.advance(seconds)

    def play(
        self, agent: Agent, script: Mapping[str, Iterable[Json]], *, every_s: float = 1.0
    ) -> list[Mapping[str, Finding]]:
        """Feed signals, one value of each a step; give the alarms of each step, by signal.

        Args:
            agent: whose sensors these are.
            script: values by signal; all of the same number.
            every_s: time between two steps; none passes before the first.

        Raises:
            ConfigurationError: C0373, the signals have different numbers of values, or the agent does
                not follow this stage's clock.
        """
        if agent.clock is not self.clock:
            raise ConfigurationError(
                f"`{agent.name}` is not of this stage", code="C0373", hint="make it with `stage.agent(...)`"
            )
        columns = {name: list(values) for name, values in script.items()}
        if len({len(values) for values in columns.values()}) > 1:
            counts = ", ".join(f"`{name}` {len(values)}" for name, values in columns.items())
            raise ConfigurationError(
                f"a script needs as many values of each signal, got {counts}", code="C0373"
            )
        alarms: list[Mapping[str, Finding]] = []
        for step, values in enumerate(zip(*columns.values(), strict=True)):
            if step:
                self.wait(every_s)
            alarms.append(agent.observe(dict(zip(columns, values, strict=True))))
        return alarms

    def close(self) -> None:
        """Close the agents that were made here."""
        while self._agents:
            self._agents.pop().close()


def assert_vetoed(agent: Agent, action: str, /, *, because: str = "", **context: Json) -> Decision:
    """Assert that the agent would not allow an action, and give the decision.

    Args:
        agent: who decides; nothing is done or recorded.
        action: what is asked for.
        because: what the id of a policy, or the code or text of a reason, must contain.
        context: what the action is asked for with.

    Raises:
        AssertionError: it is allowed, or vetoed for other reasons.
    """
    decision = agent.decide(action, **context)
    if decision.verdict is Verdict.ALLOW:
        raise AssertionError(f"`{action}` is allowed with {context}, expected a veto")
    said = [f"{reason.policy or 'agent'}: {reason.code}: {reason.text}" for reason in decision.reasons]
    if because and not any(because in text for text in said):
        raise AssertionError(f"`{action}` is vetoed, but not because of `{because}`: {'; '.join(said)}")
    return decision


def assert_limited(
    agent: Agent, action: str, /, *, to: Mapping[str, tuple[float, float]], **context: Json
) -> Decision:
    """Assert that the agent would limit an action, and to what; give the decision.

    Args:
        agent: who decides; nothing is done or recorded.
        action: what is asked for.
        to: least and greatest value of each limited parameter, infinite where open.
        context: what the action is asked for with.

    Raises:
        AssertionError: it is allowed, denied, or limited otherwise.
    """
    decision = agent.decide(action, **context)
    found = {
        limit.parameter: (-inf if limit.low is None else limit.low, inf if limit.high is None else limit.high)
        for limit in decision.limits
    }
    if decision.verdict is not Verdict.LIMIT or found != dict(to):
        raise AssertionError(
            f"`{action}` is {decision.verdict.word} with {context}, limits {found}, expected a limit to {to}"
        )
    return decision


def assert_allowed(agent: Agent, action: str, /, **context: Json) -> Decision:
    """Assert that the agent would allow an action, and give the decision.

    Raises:
        AssertionError: it is limited or denied; the message says why.
    """
    decision = agent.decide(action, **context)
    if decision.verdict is not Verdict.ALLOW:
        said = "; ".join(f"{reason.policy or 'agent'}: {reason.text}" for reason in decision.reasons)
        raise AssertionError(f"`{action}` is not allowed with {context}: {said}")
    return decision
