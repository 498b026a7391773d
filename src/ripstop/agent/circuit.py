"""`CircuitBreaker`: the breaker around a user's own calls, sync and async, from any thread.

The lock guards a few lines of bookkeeping and is never held while the call runs, so callers do not queue.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from functools import wraps
from threading import Lock
from types import AsyncGeneratorType, CoroutineType
from typing import NamedTuple, ParamSpec, TypeVar, cast

from ripstop.core.chance import SplitMix64
from ripstop.core.clock import Clock, SystemClock
from ripstop.core.value import dataclass

from .breaker import (
    Breaker,
    BreakerEvent,
    BreakerOpen,
    BreakerSettings,
    BreakerState,
    Metrics,
    Transition,
)
from .calling import LATER, Block, check_function, within
from .given import impossible, laid_over

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
Listener = Callable[[Transition], None]
log = logging.getLogger("ripstop.breaker")


class CallEnd(Enum):
    """How a call through a breaker ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    IGNORED = "ignored"
    CANCELLED = "cancelled"
    NOT_PERMITTED = "not_permitted"


class Permit(NamedTuple):
    """Leave for one call that is made elsewhere: the breaker's number for it, and when it was given."""

    number: int
    began_us: int


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Which ends of a call count as failures, and who is told of each.

    An exception in `ignore` counts neither way; of the others those in `record` are failures, unless
    `is_failure` says otherwise of the one that was raised; the rest count as successes. A returned value
    counts as a failure where `is_bad_result` says so. `told` hears the end of every call, outside the lock.
    """

    ignore: tuple[type[Exception], ...] = ()
    record: tuple[type[Exception], ...] = (Exception,)
    is_failure: Callable[[Exception], bool] | None = None
    is_bad_result: Callable[[object], bool] | None = None
    told: Callable[[CallEnd], None] | None = None

    def judge(self, error: BaseException) -> CallEnd:
        """Say what an exception counts as."""
        if not isinstance(error, Exception):
            return CallEnd.CANCELLED
        if isinstance(error, self.ignore):
            return CallEnd.IGNORED
        is_failure = isinstance(error, self.record)
        if is_failure and self.is_failure is not None:
            is_failure = self.is_failure(error)
        return CallEnd.FAILED if is_failure else CallEnd.SUCCEEDED

    @property
    def is_plain(self) -> bool:
        """Whether a returned value is always a success that nobody is told of."""
        return self.is_bad_result is None and self.told is None


class CircuitBreaker:
    """Refuses calls to what keeps failing, and probes when it may be well again.

    Args:
        settings: thresholds and waits; its fields may be given by name, laid over it.
        name: stands in errors and events.
        outcomes: what counts as a failure: every exception by default.
        listener: is told each transition, outside the lock.
        clock: for tests and virtual time.
        seed: of the jitter; None takes the machine's clock.

    A call that ends by a `BaseException` that is no `Exception` (cancelled, interrupted) gives its permit
    back and counts neither way.
    """

    def __init__(
        self,
        settings: BreakerSettings | None = None,
        *,
        name: str = "breaker",
        outcomes: Outcomes | None = None,
        listener: Listener | None = None,
        clock: Clock | None = None,
        seed: int | None = None,
        **thresholds: float,
    ) -> None:
        chosen = laid_over(BreakerSettings, settings, thresholds, "a breaker", "C0301")
        if not isinstance(seed, int | None):
            raise impossible("a breaker", "seed", seed, "C0301", "expected a whole number")
        self.name = name
        self._clock = clock or SystemClock()
        self._core = Breaker(chosen, chance=SplitMix64(self._clock.now().wall_us if seed is None else seed))
        self._outcomes = outcomes or Outcomes()
        self._listener = listener
        self._lock = Lock()
        self._timed = chosen.slow_call_duration_s > 0
        self._needs_time = self._timed or chosen.time_window_s > 0
        # INVARIANT: where this holds, a good call of a settled breaker changes nothing and is told to nobody,
        # so the bookkeeping can be skipped. It never holds with a time window, which is never settled.
        self._is_plain = not self._needs_time and self._outcomes.is_plain

    @property
    def state(self) -> BreakerState:
        """Where the breaker stands; an open one whose wait is over stays open until somebody calls."""
        return self._core.state

    @property
    def failure_rate(self) -> float | None:
        """The share of failed calls in the window, or None while it holds too few."""
        with self._lock:
            self._core.forget(self._now_us())
            return self._core.failure_rate

    @property
    def metrics(self) -> Metrics:
        """What the window holds now."""
        with self._lock:
            self._core.forget(self._now_us())
            return self._core.metrics

    def call(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `fn` if the breaker lets it; whatever it raises counts and is raised on.

        A coroutine or generator that it returns is the call: it counts when it has run.

        Raises:
            BreakerOpen: the breaker refuses; `fn` was not called.
        """
        core = self._core
        permit, began_us = core.spell, 0  # read before the state is looked at: a later move makes it void
        if not (core.is_settled and self._is_plain):
            permit, began_us = self._enter()
        try:
            result = fn(*args, **kwargs)
        except BaseException as error:
            self._broke(permit, began_us, error)
            raise
        if type(result) in LATER:
            return self._deferred(permit, result)
        if not (core.is_settled and self._is_plain):
            self._returned(permit, began_us, result)
        return result

    async def call_async(self, fn: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Do the same for a coroutine function."""
        core = self._core
        permit, began_us = core.spell, 0
        if not (core.is_settled and self._is_plain):
            permit, began_us = self._enter()
        try:
            result = await fn(*args, **kwargs)
        except BaseException as error:
            self._broke(permit, began_us, error)
            raise
        if not (core.is_settled and self._is_plain):
            self._returned(permit, began_us, result)
        return result

    def guard(self) -> Block:
        """Run a `with` or `async with` block as one call: entering it never waits."""
        return Block(self._block())

    @contextmanager
    def _block(self) -> Iterator[None]:
        permit, began_us = self._enter()
        try:
            yield
        except BaseException as error:
            self._broke(permit, began_us, error)
            raise
        self._returned(permit, began_us, None)

    def begin(self) -> Permit:
        """Ask to make a call that runs elsewhere, perhaps in another program; `end` says how it ended.

        Raises:
            BreakerOpen: the breaker refuses.
        """
        number, _ = self._enter()
        return Permit(number, self._now_us())

    def end(self, permit: Permit, end: CallEnd, duration_s: float | None = None) -> None:
        """Count a call that `begin` permitted.

        Args:
            permit: from `begin`; one that is given back twice would count twice.
            end: how it ended.
            duration_s: what the caller measured, `math.inf` for "slow"; by default the time since `begin`.
        """
        now_us = self._now_us()
        took_s = (now_us - permit.began_us) / 1e6 if duration_s is None else duration_s
        self._count(permit.number, end, now_us, took_s)

    def tick(self) -> None:
        """Let an open breaker whose wait is over go half-open at once: for whoever shows its state."""
        with self._lock:
            self._core.tick(self._now_us())
            moved = self._core.take_transitions()
        self._tell(moved)

    def __call__(self, fn: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function or a coroutine function: what comes of it is `call`, written out.

        Iterating over a generator, sync or async, is one call: permitted when it begins, counted when it
        ends; one that is left before its end counts neither way.
        """
        check_function(fn)
        core, is_plain = self._core, self._is_plain
        is_iterated, is_async = inspect.isgeneratorfunction(fn), inspect.isasyncgenfunction(fn)
        if is_iterated or is_async:
            return within(self._block, fn, is_async=is_async)
        if inspect.iscoroutinefunction(fn):
            waiting = cast("Callable[P, Awaitable[object]]", fn)

            @wraps(fn)
            async def guarded_async(*args: P.args, **kwargs: P.kwargs) -> object:
                permit, began_us = core.spell, 0
                if not (core.is_settled and is_plain):
                    permit, began_us = self._enter()
                try:
                    result = await waiting(*args, **kwargs)
                except BaseException as error:
                    self._broke(permit, began_us, error)
                    raise
                if not (core.is_settled and is_plain):
                    self._returned(permit, began_us, result)
                return result

            return cast("Callable[P, R]", guarded_async)

        @wraps(fn)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            permit, began_us = core.spell, 0
            if not (core.is_settled and is_plain):
                permit, began_us = self._enter()
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:
                self._broke(permit, began_us, error)
                raise
            if type(result) in LATER:
                return self._deferred(permit, result)
            if not (core.is_settled and is_plain):
                self._returned(permit, began_us, result)
            return result

        return guarded

    def force_open(self) -> None:
        """Refuse every call until told otherwise."""
        self._order(BreakerEvent.FORCED)

    def disable(self) -> None:
        """Let every call through and count nothing."""
        self._order(BreakerEvent.DISABLED)

    def observe_only(self) -> None:
        """Let every call through and count."""
        self._order(BreakerEvent.OBSERVED)

    def reset(self) -> None:
        """Close, and forget what was counted."""
        self._order(BreakerEvent.RESET)

    def _now_us(self) -> int:
        return self._clock.now().mono_us

    def _order(self, event: BreakerEvent) -> None:
        with self._lock:
            self._core.order(event, self._now_us())
            moved = self._core.take_transitions()
        self._tell(moved)

    def _enter(self) -> tuple[int, int]:
        """Get a permit; give it and when the call began, where that matters."""
        core = self._core
        began_us = self._now_us() if self._needs_time else 0
        permit: int | None = core.spell
        if core.state is BreakerState.CLOSED and permit is not None:
            return permit, began_us
        now_us = began_us or self._now_us()
        with self._lock:
            permit = core.permit(now_us)
            moved = core.take_transitions()
        self._tell(moved)
        if permit is None:
            self._hear(CallEnd.NOT_PERMITTED)
            raise BreakerOpen(self.name, core.state, core.retry_s(now_us))
        return permit, began_us

    def _deferred(self, permit: int, result: R) -> R:
        """Guard what a call has made and not run yet: that is the call."""
        with self._lock:
            self._core.cancel(permit)
        if isinstance(result, CoroutineType):
            return cast("R", self.call_async(lambda: result))
        return within(self._block, lambda: result, is_async=isinstance(result, AsyncGeneratorType))()

    def _returned(self, permit: int, began_us: int, result: object) -> None:
        if self._is_plain:
            with self._lock:
                if self._core.tally(permit):
                    return
        judge = self._outcomes.is_bad_result
        try:
            is_bad = judge is not None and judge(result)
        except BaseException as error:  # the permit must not be lost with it
            self._broke(permit, began_us, error)
            raise
        self._end(permit, began_us, CallEnd.FAILED if is_bad else CallEnd.SUCCEEDED)

    def _broke(self, permit: int, began_us: int, error: BaseException) -> None:
        end = CallEnd.FAILED
        try:
            end = self._outcomes.judge(error)
        finally:
            self._end(permit, began_us, end)

    def _end(self, permit: int, began_us: int, end: CallEnd) -> None:
        now_us = self._now_us()
        self._count(permit, end, now_us, (now_us - began_us) / 1e6 if self._timed else 0.0)

    def _count(self, permit: int, end: CallEnd, now_us: int, duration_s: float) -> None:
        core = self._core
        with self._lock:
            if end is CallEnd.SUCCEEDED:
                core.succeed(permit, now_us, duration_s)
            elif end is CallEnd.FAILED:
                core.fail(permit, now_us, duration_s)
            else:
                core.cancel(permit)
            moved = core.take_transitions() if core.transitions else None
        if moved:
            self._tell(moved)
        self._hear(end)

    def _hear(self, end: CallEnd) -> None:
        if self._outcomes.told is not None:
            self._safely(self._outcomes.told, end)

    def _tell(self, moved: list[Transition]) -> None:
        if self._listener is not None:
            for transition in moved:
                self._safely(self._listener, transition)

    def _safely(self, listener: Callable[[T], None], event: T) -> None:
        try:
            listener(event)
        except Exception as error:  # who listens must not change what becomes of the call, or of its permit
            log.exception("listener.failed", extra={"breaker": self.name, "reason": str(error)})
