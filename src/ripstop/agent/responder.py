"""What the agent does by itself when things go wrong: the ladder, the stop switch, and people who step in.

Self-restraint is apart from isolation: it needs nobody, and peers do not notice it. It is put on as policies
like any other (agent.restraint), so it can only tighten and reaches no failsafe action. Orders for failsafe
actions are delivered to the application.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from ripstop.core.canonical import Json
from ripstop.core.clock import Instant
from ripstop.core.decision import Verdict
from ripstop.core.errors import ConfigurationError, WireError
from ripstop.core.node import Deliver, Effect, Scalar, SetTimer
from ripstop.core.value import dataclass
from ripstop.core.vocabulary import Vocabulary

from .chronicle import Chronicle
from .governance import Governance
from .ladder import Ladder, Response, Rung
from .restraint import Restraint
from .settings import NodeSettings, Opener, SavedState
from .stop import StopSwitch
from .vm import PolicyVM

_RELEASE = "release"  # the release's age asks for the failsafe actions
_POLL_US = 1_000_000
_MOST_TAKEOVERS = 16
_NEVER_US = 1 << 62


@dataclass(frozen=True, slots=True)
class Order:
    """The failsafe actions that are due, to be tried in this order; none: no more."""

    actions: tuple[str, ...]
    rung: Rung
    cause: str


@dataclass(frozen=True, slots=True)
class Takeover:
    """An operator has taken an action over: the agent's self-restraint leaves it alone until `end_us`."""

    action: str
    operator: str
    reason: str
    end_us: int


class _Watch:
    """A response's policy over what was observed."""

    def __init__(self, response: Response, vocabulary: Vocabulary) -> None:
        self._vm = PolicyVM(dict(response.policy or {}), vocabulary=vocabulary)
        (policy,) = self._vm.policies or (None,)
        if policy is None or (response.rung >= Rung.RETURN and policy.tier != "safety"):
            raise ConfigurationError(
                f"condition `{response.condition}` needs a policy of tier `safety`, got `business`",
                code="C0375",
                hint="only a safety policy may order a failsafe action",
            )
        ordinary = (name for name, spec in vocabulary.actions.items() if not spec.is_failsafe)
        self._action = policy.guards[0] if policy.guards else next(ordinary, "act")

    def observe(self, signals: Mapping[str, Json], t_us: int) -> None:
        self._vm.observe(signals, t_us)

    def denies(self, t_us: int) -> bool:
        return self._vm.decide(self._action, {}, t_us).verdict is Verdict.DENY


class Responder:
    """Carries out what the ladder, the switch and operators ask for; effects are added to `out`.

    Args:
        settings: the agent's.
        governance: puts restraints on.
        opener: checks stop tokens where the release in force names no key for them, and lifts.
    """

    def __init__(self, settings: NodeSettings, governance: Governance, opener: Opener | None) -> None:
        self.switch = StopSwitch(settings.fleet, governance.authority.scopes, opener)
        self.takeovers: dict[str, Takeover] = {}
        self.order = Order((), Rung.CLEAR, "")
        self._agent = settings.agent
        self._rules = settings.ladder
        responses = (*settings.ladder.responses, Response(_RELEASE, Rung.RETURN))
        self._ladder = Ladder(replace(settings.ladder, responses=responses))
        self._governance = governance
        self._rung = self._told = Rung.CLEAR
        self._next_us = _NEVER_US
        self._deferred_us = 0
        self._deferral_us = round(settings.ladder.deferral_max_s * 1e6)
        self._is_polling = bool(settings.ladder.responses)
        self._sources: dict[str, Callable[[], bool]] = {}
        self._watches: dict[str, _Watch] = {}

    def attach(self, chronicle: Chronicle, sources: Mapping[str, Callable[[], bool]]) -> None:
        """Take what is built after this one: `sources` tell the agent's own conditions by name.

        Raises:
            ConfigurationError: C0375, a response's policy may not order what it is to order.
            PolicyError: it does not load.
        """
        self._chronicle = chronicle
        named = {response.condition for response in self._rules.responses}
        self._sources = {name: source for name, source in sources.items() if name in named}
        self._sources[_RELEASE] = lambda: self._governance.age.orders_failsafe
        self.speak(self._governance.vm.vocabulary)

    def speak(self, vocabulary: Vocabulary) -> None:
        """Read the responses' policies for another vocabulary."""
        self._watches = {
            response.condition: _Watch(response, vocabulary)
            for response in self._rules.responses
            if response.policy is not None
        }

    @property
    def rung(self) -> Rung:
        """Where the agent stands; what is deferred does not count yet."""
        return self._rung

    # ---- conditions -------------------------------------------------------------------------------------

    def sense(self, signals: Mapping[str, Json], now: Instant, out: list[Effect]) -> None:
        """Take readings, and see to the conditions."""
        if self._is_polling:
            for watch in self._watches.values():
                watch.observe(signals, now.wall_us)
            self.poll(now, out)

    def set(self, condition: str, is_on: bool, now: Instant, out: list[Effect]) -> None:
        """Take a condition that the application tells.

        Raises:
            ConfigurationError: C0376, no response is declared for it, or the agent tells it by itself.
        """
        told = {response.condition for response in self._rules.responses}
        if condition not in told or condition in self._sources or condition in self._watches:
            raise ConfigurationError(
                f"`{condition}` is no condition of the application's", code="C0376",
                hint="declare it in `LadderSettings.responses`",
            )  # fmt: skip
        self._ladder.set(condition, is_on, now.mono_us)
        self.poll(now, out)

    def poll(self, now: Instant, out: list[Effect]) -> None:
        """Look at every condition, and go where they demand."""
        self._look(now)
        for takeover in [held for held in self.takeovers.values() if now.mono_us >= held.end_us]:
            del self.takeovers[takeover.action]
            fields: dict[str, Scalar] = {"action": takeover.action, "operator": takeover.operator}
            self._chronicle.tell("override.ended", fields, now, out)
        self._stand(now, out)

    def is_due(self, now_us: int) -> bool:
        """Whether time alone may have moved the ladder since it was looked at."""
        return now_us >= self._next_us

    def catch_up(self, now: Instant) -> None:
        """Put in force what time has brought; it is told, and failsafes are ordered, by the next `poll`."""
        self._look(now)
        self._rung, cause = self._demanded(now)
        self._governance.put_on(self._words(cause), now)
        self._next_us = min(self._turns(now), default=_NEVER_US)

    def _look(self, now: Instant) -> None:
        for name, source in self._sources.items():
            self._ladder.set(name, source(), now.mono_us)
        for name, watch in self._watches.items():
            self._ladder.set(name, watch.denies(now.wall_us), now.mono_us)
        self._ladder.step(now.mono_us)

    def _demanded(self, now: Instant) -> tuple[Rung, str]:
        """Give the rung on which the agent has to stand now, and why."""
        rung, cause = self._ladder.rung, self._ladder.cause
        is_deferred = now.mono_us < self._deferred_us
        if rung is Rung.RETURN and is_deferred:
            rung = Rung.HOLD
        elif rung < Rung.RETURN and not is_deferred:
            self._deferral_us = round(self._rules.deferral_max_s * 1e6)
        if self.switch.is_stopped:
            rung, cause = Rung.STOP, self.switch.state.latches[-1].reason
        return rung, cause

    def _words(self, cause: str) -> dict[Restraint, str]:
        rung = self._rung
        return {
            Restraint.LIMIT: "on" if rung >= Rung.LIMIT and self._rules.limits else "",
            Restraint.HOLD: cause or "on" if Rung.HOLD <= rung < Rung.STOP else "",
            Restraint.STOP: "on" if rung is Rung.STOP else "",
        }

    def _stand(self, now: Instant, out: list[Effect]) -> None:
        """Put in force what the rung means now."""
        self._rung, cause = self._demanded(now)
        before, self._told = self._told, self._rung
        if self._rung is not before:
            fields: dict[str, Scalar] = {
                "from": before.name.lower(), "to": self._rung.name.lower(), "cause": cause,
            }  # fmt: skip
            self._chronicle.tell("ladder.moved", fields, now, out)
        self._governance.exempt = {action: held.end_us for action, held in self.takeovers.items()}
        self._governance.restrain_all(self._words(cause), now, out)
        self._give_order(self._rung, cause, now, out)
        self._wake(now, out)

    def _give_order(self, rung: Rung, cause: str, now: Instant, out: list[Effect]) -> None:
        failsafes = self._governance.vm.vocabulary.failsafes
        actions: tuple[str, ...] = ()
        if rung >= Rung.RETURN:
            actions = failsafes[-1:] if rung is Rung.LAND else failsafes
        if rung is not Rung.STOP:
            actions = tuple(action for action in actions if action not in self.takeovers)
        if actions == self.order.actions and (rung is self.order.rung or not actions):
            return
        self.order = Order(actions, rung, cause)
        out.append(Deliver(self.order))
        fields: dict[str, Scalar] = {"actions": " ".join(actions), "rung": rung.name.lower(), "cause": cause}
        self._chronicle.tell("failsafe.ordered" if actions else "failsafe.ended", fields, now, out)

    def _turns(self, now: Instant) -> list[int]:
        """Give when time alone may move the ladder."""
        ends = [self._deferred_us] if self._deferred_us > now.mono_us else []
        if self._ladder.next_us is not None:
            ends.append(max(self._ladder.next_us, now.mono_us))
        return ends

    def _wake(self, now: Instant, out: list[Effect]) -> None:
        ends = self._turns(now)
        self._next_us = min(ends, default=_NEVER_US)
        ends += [takeover.end_us for takeover in self.takeovers.values()]
        if self._is_polling:
            ends.append(now.mono_us + _POLL_US)
        if ends:
            out.append(SetTimer("ladder", min(ends)))

    # ---- people -----------------------------------------------------------------------------------------

    def take_over(self, takeover: Takeover, now: Instant, out: list[Effect]) -> None:
        """Let an operator have an action: breaker, limits and holds of the agent's own leave it alone.

        Policies, mitigations, isolation and the stop switch stay in force.

        Raises:
            ConfigurationError: C0377, no declared action, no operator or reason, too long, or too many.
        """
        length_us = takeover.end_us - now.mono_us
        problem = ""
        if takeover.action not in self._governance.vm.vocabulary.actions:
            problem = f"`{takeover.action}` is no declared action"
        elif not takeover.operator or not takeover.reason:
            problem = "a takeover needs an operator and a reason"
        elif not 0 < length_us <= self._rules.takeover_max_s * 1e6:
            problem = f"a takeover lasts above 0 and at most {self._rules.takeover_max_s:g} s"
        elif len(self.takeovers) >= _MOST_TAKEOVERS and takeover.action not in self.takeovers:
            problem = f"{_MOST_TAKEOVERS} actions are taken over already"
        if problem:
            raise ConfigurationError(problem, code="C0377")
        self.takeovers[takeover.action] = takeover
        fields: dict[str, Scalar] = {
            "action": takeover.action, "operator": takeover.operator, "reason": takeover.reason,
            "seconds": length_us / 1e6,
        }  # fmt: skip
        self._chronicle.tell("override.begun", fields, now, out)
        self.poll(now, out)

    def defer(self, seconds: float, reason: str, now: Instant, out: list[Effect]) -> float:
        """Put an ordered or coming return off; give for how many seconds it is, within what is left of them.

        LAND and STOP are never deferred.
        """
        asked_us = round(min(max(0.0, seconds), 1e9) * 1e6)  # what is no number is 0
        base_us = max(self._deferred_us, now.mono_us)
        given_us = min(asked_us, self._deferral_us)
        self._deferral_us -= given_us
        self._deferred_us = base_us + given_us
        fields: dict[str, Scalar] = {"seconds": given_us / 1e6, "reason": reason}
        self._chronicle.tell("failsafe.deferred", fields, now, out)
        self.poll(now, out)
        return (self._deferred_us - now.mono_us) / 1e6

    # ---- the stop switch --------------------------------------------------------------------------------

    def pull(self, reason: str, now: Instant, out: list[Effect]) -> str:
        """Stop by hand; give the latch's name, which two release keys must sign to lift it."""
        was_stopped = self.switch.is_stopped
        latch = self.switch.pull(reason, self._agent, now)
        if not was_stopped or latch.issued_us == now.wall_us:
            self._latched(latch.id, reason, now, out)
        return latch.id

    def hear_token(self, data: bytes, now: Instant, out: list[Effect]) -> None:
        """Take a token from the fleet's common subject, where those for other agents come as well."""
        self.take_token(data, now, out, is_common=True)

    def take_token(
        self, data: bytes, now: Instant, out: list[Effect], *, is_common: bool = False
    ) -> WireError | None:
        """Take a stop token, or a signature for lifting one; give why it was refused, if it was."""
        try:
            self._take(data, now, out)
        except WireError as error:
            if is_common and error.code == "W0504":
                return error
            fields: dict[str, Scalar] = {"code": error.code, "reason": error.message}
            self._chronicle.tell_seldom("stop.refused", fields, now, out)
            return error
        return None

    def _take(self, data: bytes, now: Instant, out: list[Effect]) -> None:
        try:
            latch = self.switch.take(data, self._governance.releases.stop_keys)
        except WireError as error:
            if error.code != "W0206":
                raise
            self._lift(data, now, out)
            return
        if latch is not None:
            self._latched(latch.id, latch.reason, now, out)

    def _lift(self, data: bytes, now: Instant, out: list[Effect]) -> None:
        found = self.switch.lift(data)
        if found is None:
            return
        latch, is_gone = found
        self._governance.save(now, out)
        fields: dict[str, Scalar] = {"id": latch.id, "signatures": len(latch.lifts) + is_gone}
        self._chronicle.tell("stop.lifted" if is_gone else "stop.lift_signed", fields, now, out)
        self.poll(now, out)

    def _latched(self, name: str, reason: str, now: Instant, out: list[Effect]) -> None:
        self._governance.save(now, out)  # INVARIANT: written before it holds, as an intent is
        self._chronicle.tell("stop.latched", {"id": name, "reason": reason}, now, out)
        self.poll(now, out)

    def restore(self, saved: SavedState | None) -> None:
        """Take over what the disk holds of the switch."""
        if saved is not None:
            self.switch.state = saved.switch
