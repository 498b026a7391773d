"""The circuit breaker as a pure state machine: a table (state, event) -> state, windows, jittered back-off.

The terms are resilience4j's. Time is handed in as monotonic microseconds; nothing here waits, locks or calls.
A call asks for a permit and gives it back as succeeded, failed or cancelled. A permit belongs to the spell of
the state in which it was given: what ends in another spell counts for nothing.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import NamedTuple, Protocol

from ripstop.core.chance import SplitMix64
from ripstop.core.errors import ConfigurationError, RipstopError
from ripstop.core.value import dataclass

from .given import check_kinds, impossible, refusing


class BreakerState(Enum):
    """Where a breaker stands."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    FORCED_OPEN = "forced_open"
    DISABLED = "disabled"
    METRICS_ONLY = "metrics_only"


class BreakerEvent(Enum):
    """What moves a breaker."""

    TRIPPED = "tripped"
    WAITED = "waited"
    RECOVERED = "recovered"
    RELAPSED = "relapsed"
    FORCED = "forced"
    DISABLED = "disabled"
    OBSERVED = "observed"
    RESET = "reset"


_S, _E = BreakerState, BreakerEvent
# INVARIANT: what is not in this table does not happen. Orders (the last four events) hold in every state.
TRANSITIONS: dict[tuple[BreakerState, BreakerEvent], BreakerState] = {
    (_S.CLOSED, _E.TRIPPED): _S.OPEN,
    (_S.OPEN, _E.WAITED): _S.HALF_OPEN,
    (_S.HALF_OPEN, _E.RECOVERED): _S.CLOSED,
    (_S.HALF_OPEN, _E.RELAPSED): _S.OPEN,
    **{(state, _E.FORCED): _S.FORCED_OPEN for state in _S},
    **{(state, _E.DISABLED): _S.DISABLED for state in _S},
    **{(state, _E.OBSERVED): _S.METRICS_ONLY for state in _S},
    **{(state, _E.RESET): _S.CLOSED for state in _S},
}


class BreakerOpen(RipstopError, RuntimeError):  # noqa: N818 - the name that users know
    """The breaker refuses the call; `state` and `retry_s` (None: nobody knows) say why and until when."""

    def __init__(self, name: str, state: BreakerState, retry_s: float | None) -> None:
        when = "" if retry_s is None else f", next try in {retry_s:.1f} s"
        super().__init__(f"breaker `{name}` is {state.value}{when}", code="A0101")
        self.name = name
        self.state = state
        self.retry_s = retry_s


class Transition(NamedTuple):
    """One step of a breaker; `wait_s` is the back-off that an opening begins."""

    before: BreakerState
    after: BreakerState
    event: BreakerEvent
    mono_us: int
    wait_s: float


class Metrics(NamedTuple):
    """What a breaker's window holds: calls, and how many of them failed or were slow; and refusals ever."""

    calls: int
    failures: int
    slow: int
    not_permitted: int

    @property
    def failure_rate(self) -> float:
        """The share of failed calls; 0 of none."""
        return self.failures / self.calls if self.calls else 0.0

    @property
    def slow_call_rate(self) -> float:
        """The share of slow calls; 0 of none."""
        return self.slow / self.calls if self.calls else 0.0


_LONGEST_S = 1e9  # some thirty years


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """When a breaker opens and how it closes again; rates are shares in (0, 1].

    The window holds the last `sliding_window_size` calls, or with `time_window_s` those of that many
    seconds. The breaker opens once at least `minimum_number_of_calls` are in it (or the `sliding_window_size`
    that it holds) and a rate reaches its threshold. A call of more than `slow_call_duration_s` (0: none) is
    slow. The n-th opening in a row waits `wait_s` * 2**n, at most `wait_max_s`, jittered by the share
    `jitter`; an opening counts as in a row when the breaker was closed for less than ten times its last wait.
    In half-open `permitted_calls_in_half_open` probes decide by the same rates; who has not decided after
    `half_open_max_s` (0: for ever) is open again.
    """

    failure_rate_threshold: float = 0.5
    slow_call_rate_threshold: float = 1.0
    slow_call_duration_s: float = 0.0
    sliding_window_size: int = 100
    time_window_s: int = 0
    minimum_number_of_calls: int = 10
    permitted_calls_in_half_open: int = 3
    wait_s: float = 1.0
    wait_max_s: float = 60.0
    jitter: float = 0.2
    half_open_max_s: float = 0.0

    __refuse__ = refusing("a breaker", "C0301")

    def __post_init__(self) -> None:
        check_kinds("a breaker", self, "C0301")
        claims = {
            "failure_rate_threshold": 0 < self.failure_rate_threshold <= 1,
            "slow_call_rate_threshold": 0 < self.slow_call_rate_threshold <= 1,
            "slow_call_duration_s": self.slow_call_duration_s >= 0,
            "sliding_window_size": self.sliding_window_size >= 1,
            "time_window_s": self.time_window_s >= 0,
            "minimum_number_of_calls": self.minimum_number_of_calls >= 1,
            "permitted_calls_in_half_open": self.permitted_calls_in_half_open >= 1,
            "wait_s": 0 < self.wait_s <= self.wait_max_s and self.wait_s < _LONGEST_S,
            "jitter": 0 <= self.jitter < 1,
            "half_open_max_s": self.half_open_max_s >= 0,
        }
        for name, holds in claims.items():
            if not holds:
                raise impossible("a breaker", name, getattr(self, name), "C0301")

    @property
    def least_calls(self) -> int:
        """How many calls the window must hold before its rates count."""
        if self.time_window_s:
            return self.minimum_number_of_calls
        return min(self.minimum_number_of_calls, self.sliding_window_size)


class _Window(Protocol):
    calls: int
    failures: int
    slow: int

    def record(self, failed: bool, slow: bool, now_us: int) -> None: ...
    def forget(self, now_us: int) -> None: ...
    def clear(self) -> None: ...


class CountWindow:
    """The last `size` calls, one bit each for failed and for slow."""

    __slots__ = ("_failed_bits", "_size", "_slow_bits", "_top", "calls", "failures", "slow")

    def __init__(self, size: int) -> None:
        self._size = size
        self._top = 1 << (size - 1)
        self.clear()

    @property
    def is_clean(self) -> bool:
        """Whether it is full of good calls, so that one more changes nothing."""
        return self.calls == self._size and not self._failed_bits and not self._slow_bits

    def clear(self) -> None:
        """Forget every call."""
        self.calls = self.failures = self.slow = 0
        self._failed_bits = self._slow_bits = 0

    def forget(self, now_us: int) -> None:
        """Nothing is too old here."""

    def record(self, failed: bool, slow: bool, now_us: int) -> None:
        """Count one call and forget the oldest when the window is full."""
        if self.calls < self._size:
            self.calls += 1
        if not (failed or slow or self._failed_bits or self._slow_bits):
            return
        top = self._top
        self.failures += failed - bool(self._failed_bits & top)
        self.slow += slow - bool(self._slow_bits & top)
        self._failed_bits = (self._failed_bits & ~top) << 1 | failed
        self._slow_bits = (self._slow_bits & ~top) << 1 | slow


class TimeWindow:
    """The calls of the last `seconds` seconds, summed up by second."""

    __slots__ = ("_buckets", "_seconds", "calls", "failures", "slow")

    def __init__(self, seconds: int) -> None:
        self._seconds = seconds
        self._buckets: deque[tuple[int, int, int, int]] = deque()
        self.clear()

    def clear(self) -> None:
        """Forget every call."""
        self.calls = self.failures = self.slow = 0
        self._buckets.clear()

    def forget(self, now_us: int) -> None:
        """Forget the calls that are too old by now."""
        oldest = now_us // 1_000_000 - self._seconds
        while self._buckets and self._buckets[0][0] <= oldest:
            _, calls, failures, slows = self._buckets.popleft()
            self.calls -= calls
            self.failures -= failures
            self.slow -= slows

    def record(self, failed: bool, slow: bool, now_us: int) -> None:
        """Count one call and forget those that are too old."""
        self.forget(now_us)
        second = now_us // 1_000_000
        last = self._buckets.pop() if self._buckets and self._buckets[-1][0] == second else (second, 0, 0, 0)
        self._buckets.append((second, last[1] + 1, last[2] + failed, last[3] + slow))
        self.calls += 1
        self.failures += failed
        self.slow += slow


class Breaker:
    """One breaker; every method takes the monotonic time and returns at once.

    Args:
        settings: thresholds and waits.
        chance: where the jitter comes from.
    """

    __slots__ = (
        "_chance", "_changed_us", "_opens", "_out", "_probes", "_retry_us", "_wait_s", "_window",
        "is_settled", "not_permitted", "settings", "spell", "state", "transitions",
    )  # fmt: skip

    def __init__(self, settings: BreakerSettings, *, chance: SplitMix64) -> None:
        self.settings = settings
        self.state = BreakerState.CLOSED
        self.not_permitted = 0
        self.spell = 0  # the permit that a closed breaker gives
        self.is_settled = False  # closed, and one more good call would change nothing
        self._chance = chance
        self._window: _Window = (
            TimeWindow(settings.time_window_s)
            if settings.time_window_s
            else CountWindow(settings.sliding_window_size)
        )
        self._probes = CountWindow(settings.permitted_calls_in_half_open)
        self._out = 0  # probes that are running
        self._opens = 0
        self._wait_s = 0.0
        self._retry_us = 0
        self._changed_us = 0
        self.transitions: list[Transition] = []  # since they were last taken

    @property
    def failure_rate(self) -> float | None:
        """The share of failed calls, or None while fewer than the minimum are in the window."""
        enough = self._window.calls >= self.settings.least_calls
        return self._window.failures / self._window.calls if enough else None

    @property
    def metrics(self) -> Metrics:
        """What the window holds now."""
        window = self._probes if self.state is BreakerState.HALF_OPEN else self._window
        return Metrics(window.calls, window.failures, window.slow, self.not_permitted)

    @property
    def calls(self) -> int:
        """How many calls the window holds."""
        return self._window.calls

    def retry_s(self, now_us: int) -> float | None:
        """How long until an open breaker lets a probe through; None in every other state."""
        return max(0.0, (self._retry_us - now_us) / 1e6) if self.state is BreakerState.OPEN else None

    @property
    def retry_us(self) -> int:
        """When an open breaker lets the next probe through, monotonic."""
        return self._retry_us

    def take_transitions(self) -> list[Transition]:
        """Give the transitions since the last time and forget them."""
        taken, self.transitions = self.transitions, []
        return taken

    def forget(self, now_us: int) -> None:
        """Let what is too old by now leave the window, before somebody looks at it."""
        self._window.forget(now_us)

    def tick(self, now_us: int) -> None:
        """Let time pass: an open breaker whose wait is over goes half-open without waiting for a call."""
        if self.state is BreakerState.OPEN and now_us >= self._retry_us:
            self._move(BreakerEvent.WAITED, now_us)
        elif self.state is BreakerState.HALF_OPEN:
            self._reclaim(now_us)

    def permit(self, now_us: int) -> int | None:
        """Ask to make a call: a permit to hand back, or None for a refusal."""
        state = self.state
        if (
            state is BreakerState.CLOSED
            or state is BreakerState.METRICS_ONLY
            or state is BreakerState.DISABLED
        ):
            return self.spell
        if state is BreakerState.OPEN and now_us >= self._retry_us:
            self._move(BreakerEvent.WAITED, now_us)
        if self.state is BreakerState.HALF_OPEN:
            self._reclaim(now_us)
        free = self._out + self._probes.calls < self.settings.permitted_calls_in_half_open
        if self.state is BreakerState.HALF_OPEN and free:
            self._out += 1
            return self.spell
        self.not_permitted += 1
        return None

    def succeed(self, permit: int, now_us: int, duration_s: float = 0.0) -> None:
        """Give a permit back: the call went well."""
        limit_s = self.settings.slow_call_duration_s
        self._record(permit, False, bool(limit_s) and duration_s > limit_s, now_us)

    def tally(self, permit: int) -> bool:
        """Give a permit back whose call went well and was not timed: `succeed` where nothing can move.

        Returns:
            Whether it did; else it is still to be given back.
        """
        window = self._window
        if permit != self.spell or self.state is not BreakerState.CLOSED or window.failures or window.slow:
            return False
        window.record(False, False, 0)
        self._settle()
        return True

    def fail(self, permit: int, now_us: int, duration_s: float = 0.0, *, at_once: bool = False) -> None:
        """Give a permit back: the call failed; `at_once` opens (or reopens) whatever the rates say."""
        limit_s = self.settings.slow_call_duration_s
        self._record(permit, True, bool(limit_s) and duration_s > limit_s, now_us)
        if at_once and permit == self.spell:
            if self.state is BreakerState.CLOSED:
                self._move(BreakerEvent.TRIPPED, now_us)
            elif self.state is BreakerState.HALF_OPEN:
                self._move(BreakerEvent.RELAPSED, now_us)

    def cancel(self, permit: int) -> None:
        """Give a permit back unused: the call was cancelled and says nothing."""
        if permit == self.spell and self.state is BreakerState.HALF_OPEN and self._out:
            self._out -= 1

    def order(self, event: BreakerEvent, now_us: int) -> None:
        """Carry out an operator's order: FORCED, DISABLED, OBSERVED or RESET."""
        if (BreakerState.DISABLED, event) not in TRANSITIONS:
            raise ConfigurationError(f"`{event.value}` is no order to a breaker", code="C0302")
        self._opens = 0
        self._move(event, now_us)

    def _reclaim(self, now_us: int) -> None:
        limit_s = self.settings.half_open_max_s
        if limit_s and now_us - self._changed_us >= limit_s * 1e6:
            self._move(BreakerEvent.RELAPSED, now_us)

    def _record(self, permit: int, failed: bool, slow: bool, now_us: int) -> None:
        if permit != self.spell or self.state is BreakerState.DISABLED:
            return
        if self.state is BreakerState.HALF_OPEN:
            self._out -= 1
            self._probes.record(failed, slow, now_us)
            if self._probes.calls == self.settings.permitted_calls_in_half_open:
                bad = self._is_bad(self._probes)
                self._move(BreakerEvent.RELAPSED if bad else BreakerEvent.RECOVERED, now_us)
            return
        self._window.record(failed, slow, now_us)
        self._settle()
        if (self._window.failures or self._window.slow) and self.state is BreakerState.CLOSED:
            enough = self._window.calls >= self.settings.least_calls
            if enough and self._is_bad(self._window):  # also by a good call, the first that makes it enough
                self._move(BreakerEvent.TRIPPED, now_us)

    def _settle(self) -> None:
        window = self._window
        closed = self.state is BreakerState.CLOSED
        self.is_settled = closed and isinstance(window, CountWindow) and window.is_clean

    def _is_bad(self, window: _Window) -> bool:
        return (
            window.failures >= self.settings.failure_rate_threshold * window.calls
            or window.slow >= self.settings.slow_call_rate_threshold * window.calls
        )

    def _move(self, event: BreakerEvent, now_us: int) -> None:
        before = self.state
        after = TRANSITIONS[before, event]
        if after is before:
            if event is BreakerEvent.RESET:
                self._window.clear()
                self._settle()
            return
        wait_s = self._back_off(event, now_us) if after is BreakerState.OPEN else 0.0
        self.state = after
        self.spell += 1
        self._out = 0
        self._changed_us = now_us
        self._probes.clear()
        if after is not BreakerState.OPEN:
            self._window.clear()
        self._settle()
        self.transitions.append(Transition(before, after, event, now_us, wait_s))

    def _back_off(self, event: BreakerEvent, now_us: int) -> float:
        settings = self.settings
        if event is BreakerEvent.TRIPPED and now_us - self._changed_us > 10e6 * self._wait_s:
            self._opens = 0
        wait_s = min(settings.wait_s * 2.0 ** min(self._opens, 32), settings.wait_max_s)
        self._opens += 1
        self._wait_s = wait_s * (1.0 + settings.jitter * self._chance.uniform(-1.0, 1.0))
        self._retry_us = now_us + round(self._wait_s * 1e6)
        return self._wait_s
