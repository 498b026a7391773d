"""`Agent`: the node for people who write agents: decide, act, observe, from sync or async code.

The agent works alone, without a network and without a thread: its timers run when it is called. Joined to a
control plane (`agent.runtime`) its effects go to the driver of the link instead.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial, wraps
from os import PathLike
from threading import RLock
from types import TracebackType
from typing import ParamSpec, TypeVar, cast, overload

from ripstop.core.canonical import Json
from ripstop.core.clock import Clock, Instant, SystemClock
from ripstop.core.decision import Decision, Reason, Verdict
from ripstop.core.errors import ConfigurationError
from ripstop.core.intent import Release
from ripstop.core.node import Effect, Effects, Node, Started
from ripstop.core.vocabulary import Vocabulary
from ripstop.core.wire.envelope import open_envelope

from .breaker import BreakerState, Transition
from .calling import action_of, awaited, bound, check_function, clamped, given, is_json, signature_of
from .circuit import CircuitBreaker
from .circuits import Circuits
from .detect import Finding
from .disk import Ledger, Store
from .ladder import Rung
from .node import AgentNode
from .responder import Order, Takeover
from .restraint import Restraint
from .settings import NodeSettings, Restored
from .solo import GuardedNode, Solo, found_damage, next_incarnation
from .vetoes import ActionVetoed, BreakerVetoed, is_restrained_by_breaker
from .vm import Policies
from .voice import Burden

P = ParamSpec("P")
R = TypeVar("R")


class Agent:
    """One governed agent.

    Args:
        name: its id in the fleet.
        policies: a file's path, a policy, a document, or a sequence of these.
        vocabulary: what it speaks; that of its policies by default.
        ledger: folder of its ledger and its releases, or a `Store`, which also says whose releases it takes;
            without one all is in memory.
        settings: cadences, what is watched, what the breaker denies; its `agent` must be `name`.
        clock: for tests and virtual time.
    """

    def __init__(
        self,
        name: str,
        policies: Policies = (),
        *,
        vocabulary: Vocabulary | None = None,
        ledger: str | PathLike[str] | Store | None = None,
        settings: NodeSettings | None = None,
        clock: Clock | None = None,
    ) -> None:
        settings = settings or NodeSettings(name)
        if settings.agent != name:
            raise ConfigurationError(f"the settings are `{settings.agent}`'s, not `{name}`'s", code="C0304")
        if settings.personal and not settings.salt_key:
            settings = replace(settings, salt_key=os.urandom(32))
        store = ledger if isinstance(ledger, Store) else Store(ledger)
        disk = store.open(name)
        opener = None if store.trust is None else partial(open_envelope, store.trust, settings.fleet)
        restored = Restored.read(disk)
        node = AgentNode(settings, policies, vocabulary=vocabulary, opener=opener, restored=restored)
        self._begin(node, disk, restored, clock or SystemClock())
        now = self.clock.now()
        self._perform(self.node.step(Started(self.incarnation), now), now)
        for fields in found_damage(disk):
            self._perform(self.node.tell("ledger.recovered", fields, now), now)

    @classmethod
    def over(cls, node: AgentNode, disk: Ledger, restored: Restored, clock: Clock) -> Agent:
        """Build the façade over a node, restored from its disk, that somebody else starts and drives."""
        agent = cls.__new__(cls)
        agent._begin(node, disk, restored, clock)
        return agent

    def _begin(self, node: AgentNode, disk: Ledger, restored: Restored, clock: Clock) -> None:
        self.name = node.settings.agent
        self.node = node
        self.disk = disk
        self.clock = clock
        self.incarnation = next_incarnation(disk, restored, clock)
        self.circuits = Circuits(node.settings.call_breaker, listener=self._note, clock=clock)
        self._lock = RLock()
        self._shell: Callable[[Effects], None] | None = None
        self._sync: Callable[[], None] | None = None
        self.on_order: Callable[[Order], None] | None = None
        self._solo = Solo(node, disk, self.deliver, self.clock, self._lock)

    # ---- deciding and acting ----------------------------------------------------------------------------

    def decide(self, action: str, /, **context: Json) -> Decision:
        """Decide on an action; nothing is done, changed or recorded, and bad input raises nothing."""
        with self._lock:
            return self.node.decide(action, context, self.clock.now())

    def act(self, action: str, fn: Callable[..., R], /, **context: Json) -> R:
        """Decide, record, then run `fn` through the action's breaker.

        `fn` gets the values of the context that it has parameters for.

        Raises:
            ActionVetoed: not allowed; a `PermissionError` that carries the decision.
            BreakerVetoed: not allowed because the anomaly breaker is open; a `RuntimeError` as well.
            BreakerOpen: the action's own calls keep failing; a `RuntimeError`.
            ConfigurationError: C0307, `fn` is no function; nothing is decided.
        """
        return self._run(action, fn, context)

    def _run(self, action: str, fn: Callable[..., R], context: Mapping[str, Json]) -> R:
        check_function(fn)
        call = bound(fn, self._admit(action, context))
        return call() if self._is_failsafe(action) else self.circuits.of(action).call(call)

    async def act_async(self, action: str, fn: Callable[..., Awaitable[R]], /, **context: Json) -> R:
        """Do the same for a coroutine function; a plain one is run and has its result given."""
        check_function(fn)
        call = partial(awaited, bound(fn, self._admit(action, context)))
        return await (call() if self._is_failsafe(action) else self.circuits.of(action).call_async(call))

    @overload
    def governed(self, action: str) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
    @overload
    def governed(self, action: Callable[P, R]) -> Callable[P, R]: ...
    def governed(self, action: str | Callable[..., object]) -> object:
        """Make each call of a function or coroutine an `act`; bare, it is named like the function."""
        if isinstance(action, str):
            return partial(self._governed, action)
        return self._governed(action_of(action), action)

    def _governed(self, action: str, fn: Callable[P, R]) -> Callable[P, R]:
        signature = signature_of(fn)

        def arranged(*args: P.args, **kwargs: P.kwargs) -> inspect.BoundArguments:
            arguments = signature.bind(*args, **kwargs)
            arguments.apply_defaults()
            values = {name: value for name, value in arguments.arguments.items() if is_json(value)}
            arguments.arguments.update(self._admit(action, values))
            return arguments

        if inspect.iscoroutinefunction(fn):
            waiting = cast("Callable[P, Awaitable[object]]", fn)

            @wraps(fn)
            async def governed_async(*args: P.args, **kwargs: P.kwargs) -> object:
                arguments = arranged(*args, **kwargs)
                if self._is_failsafe(action):
                    return await waiting(*arguments.args, **arguments.kwargs)
                circuit = self.circuits.of(action)
                return await circuit.call_async(waiting, *arguments.args, **arguments.kwargs)

            return cast("Callable[P, R]", governed_async)

        @wraps(fn)
        def governed(*args: P.args, **kwargs: P.kwargs) -> R:
            arguments = arranged(*args, **kwargs)
            if self._is_failsafe(action):
                return fn(*arguments.args, **arguments.kwargs)
            return self.circuits.of(action).call(fn, *arguments.args, **arguments.kwargs)

        return governed

    def request_action(self, fn: Callable[..., R], context: Mapping[str, Json] | None = None) -> R:
        """Take the action that `fn` is named for: `act` under the function's own name."""
        return self._run(action_of(fn), fn, given(context))

    def request(self, action: str, context: Mapping[str, Json]) -> tuple[Decision, dict[str, Json]]:
        """Decide and record, for an action that is taken elsewhere; only ALLOW lets it be taken.

        Returns:
            The decision, and the context to act on: clamped where the action declares that it may be.
        """
        with self._lock:
            now = self._now()
            decision, effects = self.node.request(action, context, now)
            if effects:  # mostly there are none, and it is the caller's time
                self._perform(effects, now)
            if decision.verdict is Verdict.LIMIT:
                spec = self.node.vm.vocabulary.actions.get(action)
                if spec is not None and spec.clamp:
                    context = clamped(context, decision.limits)
                    decision, effects = self.node.request(action, context, now)
                    self._perform(effects, now)
        if self.node.settings.durable and decision.verdict is Verdict.ALLOW:
            try:
                self._sync_now()
            except OSError:
                with self._lock:
                    decision = self._unstable(self.node.decide(action, context, now))
        return decision, dict(context)

    def _unstable(self, decision: Decision) -> Decision:
        """Give what holds of a decision that could not be brought to stable storage.

        The node may not have heard of the failure yet, so what the vocabulary says of it is applied here.
        """
        may_go_on = self.node.vm.vocabulary.on_ledger_full != "deny" or self._is_failsafe(decision.action)
        if decision.verdict is not Verdict.ALLOW or may_go_on:
            return decision
        reason = Reason(Restraint.LEDGER.policy_id, "denied", Restraint.LEDGER.text)
        return replace(decision, verdict=Verdict.DENY, reasons=(*decision.reasons, reason))

    def _admit(self, action: str, context: Mapping[str, Json]) -> dict[str, Json]:
        """Decide and record; give the context to act on.

        Raises:
            ActionVetoed: the decision is not ALLOW.
        """
        decision, decided = self.request(action, context)
        if decision.verdict is Verdict.ALLOW:
            return decided
        if is_restrained_by_breaker(decision):
            with self._lock:
                retry_s = self.node.breaker_retry_s(self.clock.now())
            raise BreakerVetoed(decision, self.node.breaker_state, retry_s)
        raise ActionVetoed(decision)

    def _sync_now(self) -> None:
        """Bring what was recorded to stable storage; the lock is free, so threads that wait share a sync."""
        (self._sync or self._solo.sync)()  # who fails tells the node

    def _is_failsafe(self, action: str) -> bool:
        spec = self.node.vm.vocabulary.actions.get(action)
        return spec is not None and spec.is_failsafe

    def circuit(self, action: str) -> CircuitBreaker | None:
        """Give the breaker around an action's own calls; None for a failsafe action, which has none."""
        return None if self._is_failsafe(action) else self.circuits.of(action)

    def _note(self, action: str, transition: Transition) -> None:
        with self._lock:
            now = self._now()
            self._perform(self.node.note_circuit(action, transition, now), now)

    # ---- releases ---------------------------------------------------------------------------------------

    def install(self, bundle: bytes) -> Release:
        """Take a signed release, by whatever road it came; what is refused leaves the last good one in force.

        Raises:
            WireError: forged, foreign, truncated, older, expired, or by a key that is not trusted.
            PolicyError: it does not load.
        """
        with self._lock:
            now = self._now()
            error, effects = self.node.install(bundle, now)
            self._perform(effects, now)
            if error is not None:
                raise error
            return self.node.release

    # ---- stopping and stepping in -----------------------------------------------------------------------

    @property
    def rung(self) -> Rung:
        """Where the agent stands on its ladder of local responses."""
        return self.node.responder.rung

    @property
    def order(self) -> Order:
        """The failsafe actions that are due now; `on_order` is told when they change."""
        return self.node.responder.order

    def stop(self, reason: str) -> str:
        """Pull the stop switch: it latches, also over a restart, until two release keys lift its name.

        Returns:
            The latch's name.
        """
        return self._command(partial(self.node.responder.pull, reason))

    def take_token(self, token: bytes) -> None:
        """Take a signed stop token, or a signature for lifting a latch, by whatever road it came.

        Raises:
            WireError: forged, foreign, or lifted before.
        """
        error = self._command(partial(self.node.responder.take_token, token))
        if error is not None:
            raise error

    def take_over(self, action: str, *, operator: str, reason: str, seconds: float) -> None:
        """Let an operator have an action for a while: its self-restraint, and nothing else, lets it be.

        Raises:
            ConfigurationError: C0377, what is asked for cannot be had.
        """
        end_us = self.clock.now().mono_us + round(min(max(0.0, seconds), 1e9) * 1e6)  # what is no number is 0
        self._command(partial(self.node.responder.take_over, Takeover(action, operator, reason, end_us)))

    def defer(self, seconds: float, reason: str) -> float:
        """Put a return off that is ordered or coming; give the seconds for which it is."""
        return self._command(partial(self.node.responder.defer, seconds, reason))

    def tell_condition(self, condition: str, is_on: bool) -> None:
        """Tell whether a condition of the application's own, named in `LadderSettings`, is on.

        Raises:
            ConfigurationError: C0376, it is not declared.
        """
        self._command(partial(self.node.responder.set, condition, is_on))

    def _command(self, order: Callable[[Instant, list[Effect]], R]) -> R:
        with self._lock:
            now = self._now()
            result, effects = self.node.command(order, now)
            self._perform(effects, now)
        return result

    def erase(self, signal: str | None = None, before_us: int | None = None) -> int:
        """Erase personal values of a signal (None: of all) sensed before a time (None: ever); give how many.

        The ledger keeps their commitments and verifies as before.
        """
        return self.disk.personal.erase(signal, before_us)

    # ---- sensing ----------------------------------------------------------------------------------------

    def observe(self, readings: Mapping[str, Json] | None = None, /, **more: Json) -> Mapping[str, Finding]:
        """Take readings sensed now; give the alarms that they raised, by signal (empty: all is well)."""
        with self._lock:
            now = self._now()
            found, effects = self.node.sense({**given(readings), **more}, now)
            self._perform(effects, now)
        return found.alarms if found else {}

    def carry(self, burden: Burden) -> None:
        """Tell the ground what the agent carries and could still carry."""
        with self._lock:
            now = self._now()
            self._perform(self.node.carry(burden, now), now)

    def receive_telemetry(self, sample: Mapping[str, Json]) -> Finding | None:
        """Take one reading, `{"name": ..., "value": ...}`; give the alarm that it raised, or None.

        Raises:
            ConfigurationError: C0305, the sample has no `name` or no `value`.
        """
        name = sample.get("name") if isinstance(sample, Mapping) else None
        if not isinstance(name, str) or "value" not in sample:
            raise ConfigurationError(
                "a sample needs a `name` and a `value`",
                code="C0305",
                hint='{"name": "battery_v", "value": 12.5}',
            )
        return self.observe({name: sample["value"]}).get(name)

    @property
    def breaker_state(self) -> BreakerState:
        """Where the anomaly breaker stands."""
        return self.node.breaker_state

    @property
    def is_ledger_failing(self) -> bool:
        """Whether the last record could not be kept, as far as an agent that works alone knows."""
        return self._solo.is_failing

    def tick(self) -> None:
        """Let time pass: what is due is done without waiting for the next call."""
        with self._lock:
            self._now()

    # ---- effects ----------------------------------------------------------------------------------------

    def guarded_node(self, after: Callable[[], None]) -> Node:
        """Give the node for a shell: its steps take turns with the calls of this façade.

        Args:
            after: called after each step, within the shell's thread.
        """
        return GuardedNode(self.node, self._lock, after)

    def join(self, shell: Callable[[Effects], None], sync: Callable[[], None]) -> dict[str, int]:
        """Hand all further effects to a shell; give the timers that are pending, which it takes over.

        Args:
            shell: carries effects out, from whatever thread.
            sync: brings the ledger to stable storage; its `OSError` the shell tells to the node itself.
        """
        with self._lock:
            self._shell, self._sync = shell, sync
            return self._solo.take_timers(self.clock.now())

    def deliver(self, value: object) -> None:
        """Hand the application what its node delivers."""
        if isinstance(value, Order) and self.on_order is not None:
            self.on_order(value)

    def _now(self) -> Instant:
        now = self.clock.now()
        if now.mono_us >= self._solo.due_us and self._shell is None:
            self._solo.run_due(now)
        return now

    def _perform(self, effects: Effects, now: Instant) -> None:
        if self._shell is not None:
            self._shell(effects)
        else:
            self._solo.perform(effects, now)

    def flush(self) -> None:
        """Bring everything that was decided to stable storage before this returns.

        Raises:
            OSError: the disk does not take it.
        """
        with self._lock:
            now = self._now()
            self._perform(self.node.settle(now), now)
        self._sync_now()

    def close(self) -> None:
        """Record what was put off, sync and close the ledger.

        Raises:
            OSError: the disk does not take what was recorded; the ledger is closed all the same.
        """
        with self._lock:
            now = self._now()
            self._perform(self.node.seal(now), now)
        self._solo.close()

    def __enter__(self) -> Agent:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
