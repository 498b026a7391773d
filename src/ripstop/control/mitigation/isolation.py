"""Isolation tokens: the isolated share of a fleet never exceeds its cap, whoever asks."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from .playbook import IsolateRung


@dataclass(slots=True)
class TokenBook:
    """Hands out tokens bound to (agent, epoch): at most floor(cap x registered), and never more.

    A token comes back only when its agent has acknowledged the lift, or when the lease and the hold have
    lapsed by both sides' clocks: the caller gives the later of the two.
    """

    rung: IsolateRung
    epoch: int = 0
    _serial: int = 0
    _held: dict[str, int] = field(default_factory=dict)
    _lapses_us: dict[str, int] = field(default_factory=dict)

    @property
    def held(self) -> dict[str, int]:
        """The token of each isolated agent."""
        return dict(self._held)

    def budget(self, registered: int) -> int:
        """Give how many agents may be isolated at once in a fleet of this size."""
        # The rounding guards against 0.1 * 30 = 3.0000000000000004 and the like, in both directions.
        return math.floor(round(self.rung.cap * registered, 9))

    def grant(self, agent: str, registered: int, available: int) -> int:
        """Give the agent's token, or 0 where the cap or the capacity that must remain forbids it.

        `available` counts the agents that could still take work, the one asked about included.
        """
        if agent in self._held:
            self._lapses_us.pop(agent, None)
            return self._held[agent]
        if len(self._held) >= self.budget(registered):
            return 0
        if available - 1 < self.rung.least_capacity * available or available <= 1:
            return 0
        self._serial += 1
        self._held[agent] = self._serial
        return self._serial

    def restore(self, agent: str, token: int) -> None:
        """Take over a token that an earlier control plane granted: it stays spent."""
        self._held[agent] = token
        self._serial = max(self._serial, token)

    def lapse(self, agent: str, at_us: int) -> None:
        """The isolation is to end: the token comes back at `at_us` at the latest, as first told."""
        if agent in self._held:
            self._lapses_us.setdefault(agent, at_us)

    def give_back(self, agent: str) -> None:
        """The agent has acknowledged that it is not isolated any more."""
        self._held.pop(agent, None)
        self._lapses_us.pop(agent, None)

    def sweep(self, now_us: int) -> None:
        """Take back what has lapsed."""
        for agent in [a for a, at_us in self._lapses_us.items() if at_us <= now_us]:
            self.give_back(agent)
