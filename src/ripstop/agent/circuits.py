"""`Circuits`: a breaker around each action, or around each action and peer."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from ripstop.core.clock import Clock, SystemClock

from .breaker import BreakerSettings, BreakerState, Transition
from .circuit import CircuitBreaker, Outcomes


class Circuits:
    """The breakers of one caller: one for each action, or for each action and peer.

    Args:
        settings: thresholds and waits of all of them.
        outcomes: what counts as a failure.
        listener: is told each transition, with the breaker's name.
        clock: for tests and virtual time.
        most: how many are kept; beyond that the one that was not asked for for longest is forgotten, closed
            ones first.
    """

    def __init__(
        self,
        settings: BreakerSettings | None = None,
        *,
        outcomes: Outcomes | None = None,
        listener: Callable[[str, Transition], None] | None = None,
        clock: Clock | None = None,
        most: int = 1024,
    ) -> None:
        self._settings = settings or BreakerSettings()
        self._outcomes = outcomes
        self._listener = listener
        self._clock = clock or SystemClock()
        self._most = most
        self._lock = Lock()
        self._held: dict[tuple[str, str], CircuitBreaker] = {}

    def of(self, action: str, peer: str = "") -> CircuitBreaker:
        """Give the breaker around an action, towards a peer if one is named; it is made where missing."""
        key = (action, peer)
        with self._lock:
            circuit = self._held.pop(key, None) or self._make(action, peer)
            self._held[key] = circuit
            if len(self._held) > self._most:
                self._forget_one(key)
        return circuit

    def states(self) -> dict[str, BreakerState]:
        """Give where each of them stands, by name: `action` or `action@peer`."""
        with self._lock:
            return {circuit.name: circuit.state for circuit in self._held.values()}

    def _make(self, action: str, peer: str) -> CircuitBreaker:
        name = f"{action}@{peer}" if peer else action
        told = self._listener
        listener = None if told is None else lambda transition: told(name, transition)
        return CircuitBreaker(
            self._settings, name=name, outcomes=self._outcomes, listener=listener, clock=self._clock
        )

    def _forget_one(self, keep: tuple[str, str]) -> None:
        """Forget the oldest closed breaker; an open one only where all are open."""
        others = [key for key in self._held if key != keep]
        closed = (key for key in others if self._held[key].state is BreakerState.CLOSED)
        del self._held[next(closed, others[0])]
