"""What stands beside a breaker: a bulkhead that bounds the calls in flight, and a budget of retries.

A bulkhead refuses at once what is too much: a caller that waits is load as well. Its limit may adapt by
additive increase and multiplicative decrease, as a congestion window does: it grows by one for each limit's
worth of good calls while it is used, and shrinks when a call fails or is slow.

References:
    Jacobson (1988), Congestion avoidance and control; Chiu and Jain (1989) on why this converges fairly;
    resilience4j's Bulkhead; Finagle's RetryBudget.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import ParamSpec, TypeVar

from ripstop.core.clock import Clock, SystemClock
from ripstop.core.errors import ConfigurationError, RipstopError
from ripstop.core.value import dataclass

from .calling import Block
from .given import check_kinds, laid_over, refusing

P = ParamSpec("P")
R = TypeVar("R")


class BulkheadFull(RipstopError, RuntimeError):  # noqa: N818 - the name that users know
    """The bulkhead refuses the call; `limit` calls are in flight."""

    def __init__(self, name: str, limit: int) -> None:
        super().__init__(f"bulkhead `{name}` is full: {limit} calls are in flight", code="A0102")
        self.name = name
        self.limit = limit


@dataclass(frozen=True, slots=True)
class BulkheadSettings:
    """How many calls may be in flight; `low` equal to `high` is a fixed limit.

    An adaptive one begins at `low`. A call of at least `slow_s` (0: never) counts as failed. A bad call
    multiplies the limit by `shrink`; those that began before the limit last shrank do not count again.
    """

    low: int = 8
    high: int = 8
    shrink: float = 0.7
    slow_s: float = 0.0

    __refuse__ = refusing("a bulkhead", "C0372")

    def __post_init__(self) -> None:
        check_kinds("a bulkhead", self, "C0372")
        if not 1 <= self.low <= self.high:
            raise ConfigurationError("a bulkhead needs whole 1 <= `low` <= `high`", code="C0372")
        if not (0.0 < self.shrink < 1.0 and self.slow_s >= 0.0):
            raise ConfigurationError("a bulkhead needs 0 < `shrink` < 1 and `slow_s` >= 0", code="C0372")


class Limit:
    """The state machine of a bulkhead: no lock, no clock, no waiting.

    Args:
        settings: the limit's bounds, and how it adapts.
    """

    __slots__ = ("_credit", "_epoch", "_settings", "in_flight", "limit", "refused")

    def __init__(self, settings: BulkheadSettings) -> None:
        self._settings = settings
        self._credit = 0
        self._epoch = 0
        self.limit = settings.low
        self.in_flight = 0
        self.refused = 0

    def enter(self) -> int | None:
        """Ask to make a call: a permit to hand back, or None for a refusal."""
        if self.in_flight >= self.limit:
            self.refused += 1
            return None
        self.in_flight += 1
        return self._epoch

    def leave(self, permit: int, duration_s: float, is_bad: bool | None) -> None:
        """Give a permit back; `is_bad` None: the call was cancelled and says nothing."""
        settings = self._settings
        was_used = 2 * self.in_flight >= self.limit
        self.in_flight -= 1
        if settings.low == settings.high or is_bad is None:
            return
        if is_bad or (settings.slow_s and duration_s >= settings.slow_s):
            if permit == self._epoch and self.limit > settings.low:
                self._epoch += 1
                self.limit = max(settings.low, int(self.limit * settings.shrink))
            self._credit = 0
        elif was_used and self.limit < settings.high:
            self._credit += 1
            if self._credit >= self.limit:
                self._credit = 0
                self.limit += 1


class Bulkhead:
    """Bounds how many calls of a kind are in flight, sync and async, from any thread.

    Args:
        settings: the limit, fixed or adaptive; its fields may be given by name, laid over it.
        name: stands in errors.
        clock: for tests and virtual time.
    """

    def __init__(
        self,
        settings: BulkheadSettings | None = None,
        *,
        name: str = "bulkhead",
        clock: Clock | None = None,
        **bounds: float,
    ) -> None:
        chosen = laid_over(BulkheadSettings, settings, bounds, "a bulkhead", "C0372")
        self.name = name
        self._core = Limit(chosen)
        self._clock = clock or SystemClock()
        self._timed = chosen.slow_s > 0.0
        self._lock = Lock()

    @property
    def limit(self) -> int:
        """How many calls may be in flight now."""
        return self._core.limit

    @property
    def in_flight(self) -> int:
        """How many are."""
        return self._core.in_flight

    @property
    def refused(self) -> int:
        """How many calls were refused ever."""
        return self._core.refused

    def guard(self) -> Block:
        """Run a `with` or `async with` block as one call: entering it never waits.

        Raises:
            BulkheadFull: on entering: too many calls are in flight; the block did not run.
        """
        return Block(self._block())

    @contextmanager
    def _block(self) -> Iterator[None]:
        with self._lock:
            permit = self._core.enter()
        if permit is None:
            raise BulkheadFull(self.name, self._core.limit)
        began_us = self._clock.now().mono_us if self._timed else 0
        is_bad: bool | None = None
        try:
            yield
            is_bad = False
        except Exception:
            is_bad = True
            raise
        finally:
            lasted_us = self._clock.now().mono_us - began_us if self._timed else 0
            with self._lock:
                self._core.leave(permit, lasted_us / 1e6, is_bad)

    def call(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `fn` if there is room.

        Raises:
            BulkheadFull: too many calls are in flight; `fn` was not called.
        """
        with self.guard():
            return fn(*args, **kwargs)

    async def call_async(self, fn: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Do the same for a coroutine function."""
        with self.guard():
            return await fn(*args, **kwargs)


@dataclass(frozen=True, slots=True)
class RetrySettings:
    """How a retry budget fills.

    Each call pays `share` into it (0.2: one retry in five calls), and `least_per_s` comes in by time, so that
    a seldom caller may retry too. At most `most` is saved up.

    Raises:
        ConfigurationError: C0372, there is no such setting, a share or rate below 0, a `most` below 1.
    """

    share: float = 0.2
    least_per_s: float = 0.1
    most: float = 100.0

    __refuse__ = refusing("a retry budget", "C0372")

    def __post_init__(self) -> None:
        check_kinds("a retry budget", self, "C0372")
        if not (self.share >= 0.0 and self.least_per_s >= 0.0 and self.most >= 1.0):
            raise ConfigurationError(
                "a retry budget needs `share` and `least_per_s` >= 0 and `most` >= 1", code="C0372"
            )


class RetryBudget:
    """Lets retries be a share of the calls, so that a fault is not made worse by everybody trying again.

    A retry takes 1 of what has come in.

    Args:
        settings: how it fills; its fields may be given by name, laid over it.
        clock: for tests and virtual time.
    """

    def __init__(
        self, settings: RetrySettings | None = None, *, clock: Clock | None = None, **terms: float
    ) -> None:
        chosen = laid_over(RetrySettings, settings, terms, "a retry budget", "C0372")
        self._share = chosen.share
        self._least_per_s = chosen.least_per_s
        self._most = chosen.most
        self._clock = clock or SystemClock()
        self._balance = min(chosen.most, 1.0)
        self._at_us = self._clock.now().mono_us
        self._lock = Lock()

    @property
    def balance(self) -> float:
        """How many retries are saved up."""
        with self._lock:
            self._accrue()
            return self._balance

    def note_call(self) -> None:
        """Pay in for a first attempt."""
        with self._lock:
            self._balance = min(self._most, self._balance + self._share)

    def may_retry(self) -> bool:
        """Take one retry out, if there is one."""
        with self._lock:
            self._accrue()
            if self._balance < 1.0:
                return False
            self._balance -= 1.0
            return True

    def _accrue(self) -> None:
        now_us = self._clock.now().mono_us
        fresh = max(0, now_us - self._at_us) * 1e-6 * self._least_per_s
        self._at_us = now_us
        self._balance = min(self._most, self._balance + fresh)
