"""One change of will on its way to the fleet: who has answered, who refused, who must be asked again."""

from __future__ import annotations

from dataclasses import dataclass, field

from ripstop.core.intent import Position
from ripstop.core.messages import AckStatus


@dataclass(slots=True)
class Campaign:
    """The answers to the first intent that carried a will; renewals of it count as the same will.

    `targets` is frozen at the start. A target that answers nothing is asked again until `ends_us`, and
    counts as unmitigated until then and after.
    """

    position: Position
    targets: frozenset[str]
    started_us: int
    ends_us: int
    incident: str = ""
    applied: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)
    tries: int = 1
    is_complete: bool = False

    def answer(self, agent: str, position: Position, status: AckStatus, reason: str) -> bool:
        """Take an answer; True where it says something new about this will."""
        if position < self.position or agent not in self.targets:
            return False
        if status is AckStatus.APPLIED:
            self.refused.pop(agent, None)
            if agent in self.applied:
                return False
            self.applied.add(agent)
            return True
        known = self.refused.get(agent)
        if agent in self.applied or known == reason:
            return False
        self.refused[agent] = reason
        return True

    def missing(self) -> list[str]:
        """Give the targets that have not applied it, in order."""
        return sorted(self.targets - self.applied)

    def unanswered(self) -> list[str]:
        """Give the targets that have neither applied nor refused it, in order."""
        return sorted(self.targets - self.applied - self.refused.keys())

    def retry_after_us(self) -> int:
        """Give the pause before the next try: 0.2 s, doubling to 2 s."""
        return min(200_000 << min(self.tries - 1, 4), 2_000_000)
