"""`CircuitBreaker`: the breaker around a user's own calls, sync and async, from any thread.

The lock guards a few lines of bookkeeping and is never held while the call runs, so callers do not queue.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from threading import Lock
from typing import ParamSpec, TypeVar, cast

from ripstop.core.chance import SplitMix64
from ripstop.core.clock import Clock, SystemClock

from .breaker import (
    Breaker,
    BreakerEvent,
    BreakerOpen,
    BreakerSettings,
    BreakerState,
    Transition,
)

P = ParamSpec("P")
R = TypeVar("R")
Listener = Callable[[Transition], None]


class CircuitBreaker:
    """Refuses calls to what keeps failing, and probes when it may be well again.

    Args:
        settings: thresholds and waits; `failure_rate_threshold`, `wait_s` and the like may be given by name.
        name: stands in errors and events.
        ignore: exceptions that say nothing about the health of what was called.
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
        ignore: tuple[type[Exception], ...] = (),
        listener: Listener | None = None,
        clock: Clock | None = None,
        seed: int | None = None,
        **thresholds: float,
    ) -> None:
        chosen = replace(settings or BreakerSettings(), **thresholds)  # type: ignore[arg-type]  # checked there
        self.name = name
        self._clock = clock or SystemClock()
        self._core = Breaker(chosen, chance=SplitMix64(self._clock.now().wall_us if seed is None else seed))
        self._ignore = ignore
        self._listener = listener
        self._lock = Lock()
        self._timed = chosen.slow_call_duration_s > 0
        self._needs_time = self._timed or chosen.time_window_s > 0

    @property
    def state(self) -> BreakerState:
        """Where the breaker stands; an open one whose wait is over stays open until somebody calls."""
        return self._core.state

    @property
    def failure_rate(self) -> float | None:
        """The share of failed calls in the window, or None while it holds too few."""
        return self._core.failure_rate

    def call(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `fn` if the breaker lets it; whatever it raises counts and is raised on.

        Raises:
            BreakerOpen: the breaker refuses; `fn` was not called.
        """
        began_us = self._now_us() if self._needs_time else 0
        permit = self._enter(began_us)
        try:
            result = fn(*args, **kwargs)
        except BaseException as error:
            self._broke(permit, began_us, error)
            raise
        self._succeed(permit, began_us)
        return result

    async def call_async(self, fn: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Do the same for a coroutine function."""
        began_us = self._now_us() if self._needs_time else 0
        permit = self._enter(began_us)
        try:
            result = await fn(*args, **kwargs)
        except BaseException as error:
            self._broke(permit, began_us, error)
            raise
        self._succeed(permit, began_us)
        return result

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Run a `with` block as one call."""
        began_us = self._now_us() if self._needs_time else 0
        permit = self._enter(began_us)
        try:
            yield
        except BaseException as error:
            self._broke(permit, began_us, error)
            raise
        self._succeed(permit, began_us)

    def __call__(self, fn: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function or a coroutine function."""
        if inspect.iscoroutinefunction(fn):
            waiting = cast("Callable[P, Awaitable[object]]", fn)

            @wraps(fn)
            async def guarded_async(*args: P.args, **kwargs: P.kwargs) -> object:
                return await self.call_async(waiting, *args, **kwargs)

            return cast("Callable[P, R]", guarded_async)

        @wraps(fn)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            return self.call(fn, *args, **kwargs)

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

    def _enter(self, began_us: int) -> int:
        core = self._core
        if core.state is BreakerState.CLOSED:
            permit = core.permit(0)
            if permit is not None:
                return permit
        now_us = began_us or self._now_us()
        with self._lock:
            permit = core.permit(now_us)
            moved = core.take_transitions()
        self._tell(moved)
        if permit is None:
            raise BreakerOpen(self.name, core.state, core.retry_s(now_us))
        return permit

    def _succeed(self, permit: int, began_us: int) -> None:
        core = self._core
        now_us = self._now_us() if self._needs_time or core.state is not BreakerState.CLOSED else 0
        with self._lock:
            core.succeed(permit, now_us, (now_us - began_us) / 1e6 if self._timed else 0.0)
            if not core.transitions:
                return
            moved = core.take_transitions()
        self._tell(moved)

    def _broke(self, permit: int, began_us: int, error: BaseException) -> None:
        now_us = self._now_us()
        duration_s = (now_us - began_us) / 1e6 if self._timed else 0.0
        with self._lock:
            if not isinstance(error, Exception):
                self._core.cancel(permit)
            elif isinstance(error, self._ignore):
                self._core.succeed(permit, now_us, duration_s)
            else:
                self._core.fail(permit, now_us, duration_s)
            moved = self._core.take_transitions()
        self._tell(moved)

    def _tell(self, moved: list[Transition]) -> None:
        if self._listener is not None:
            for transition in moved:
                self._listener(transition)
