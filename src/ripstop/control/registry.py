"""Membership: who belongs to the fleet, who is present, quiet or gone, and what each obeys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from ripstop.core.intent import Position
from ripstop.core.messages import Beat
from ripstop.core.node import Report
from ripstop.core.subjects import check_id

_QUIET_BEATS, _GONE_BEATS = 3, 12
_PARTITION_SHARE = 0.3


class Presence(Enum):
    """What the beats say. Losing beats alone isolates nobody."""

    UNSEEN = "unseen"
    PRESENT = "present"
    QUIET = "quiet"
    GONE = "gone"


@dataclass(slots=True)
class Member:
    """One enrolled agent."""

    id: str
    public: bytes
    presence: Presence = Presence.UNSEEN
    heard_us: int = 0
    beat: Beat | None = None
    boots: dict[str, int] = field(default_factory=dict)
    is_duplicate: bool = False
    is_disconnected: bool = False
    has_left: bool = False

    @property
    def position(self) -> Position:
        """The authority that the agent last said it obeys."""
        return self.beat.position if self.beat else Position()


class Registry:
    """The fleet's members, in the order of their ids wherever order matters."""

    def __init__(self, beat_s: float, agents: Mapping[str, bytes]) -> None:
        self._beat_us = round(beat_s * 1e6)
        self._members: dict[str, Member] = {}
        self._is_split = False
        for agent in sorted(agents):
            self.enrol(agent, agents[agent])

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members.values())

    def get(self, agent: str) -> Member | None:
        """Give a member; None for an agent that was never enrolled."""
        return self._members.get(agent)

    def enrol(self, agent: str, public: bytes) -> Member:
        """Add an agent with its public key, or give it a new key."""
        member = self._members.get(check_id(agent))
        if member is None:
            self._members[agent] = Member(agent, public)
            self._members = dict(sorted(self._members.items()))
        else:
            member.public = public
        return self._members[agent]

    def nonces(self) -> dict[str, bytes]:
        """Give the nonce of each agent's last beat: what the next tick echoes."""
        return {agent: m.beat.nonce for agent, m in self._members.items() if m.beat is not None}

    @property
    def gone_us(self) -> int:
        """Give how long a silent agent counts as there, in microseconds."""
        return _GONE_BEATS * self._beat_us

    def present(self) -> tuple[str, ...]:
        """Give the agents that are heard."""
        return tuple(m.id for m in self if m.presence is Presence.PRESENT)

    def heed(self, beat: Beat, now_us: int) -> tuple[Report, ...]:
        """Take a beat of a member, as its subject's owner sent it."""
        member = self._members[beat.agent]
        reports: list[Report] = []
        if member.presence is not Presence.PRESENT:
            came_back = member.presence is not Presence.UNSEEN
            reports.append(Report("agent.returned" if came_back else "agent.joined", {"agent": beat.agent}))
            member.presence = Presence.PRESENT
        if self._is_double(member, beat):
            reports.append(Report("agent.duplicated", {"agent": beat.agent, "boot": beat.boot}))
        member.heard_us = now_us
        member.beat = beat
        member.is_disconnected = member.has_left = False
        return tuple(reports)

    def disconnected(self, agent: str) -> None:
        """Take note that a member's connection has ended: by itself it changes nothing, a beat unsays it."""
        self._members[agent].is_disconnected = True

    def left(self, agent: str) -> None:
        """Take note that a member has taken leave: its silence is no sign of a partition, until a beat."""
        self._members[agent].has_left = True

    @staticmethod
    def _is_double(member: Member, beat: Beat) -> bool:
        """Two devices with one id: a start that came before another one is heard again after it."""
        last = member.beat
        if last is not None and last.boot == beat.boot and last.incarnation == beat.incarnation:
            return False
        start = f"{beat.boot}/{beat.incarnation}"
        number = member.boots.get(start)
        if number is None:
            if len(member.boots) >= 16:
                member.boots.pop(next(iter(member.boots)))
            member.boots[start] = max(member.boots.values(), default=0) + 1
            return False
        if number == max(member.boots.values()) or member.is_duplicate:
            return False
        member.is_duplicate = True
        return True

    def sweep(self, now_us: int) -> tuple[Report, ...]:
        """Find who fell silent since the last sweep; many at once is a partition, not many failures.

        A quiet agent is gone once the server says that its connection has ended, else after twelve beats.
        """
        quiet: list[Report] = []
        since_us = now_us - _QUIET_BEATS * self._beat_us
        for member in self._members.values():
            if member.heard_us >= since_us:
                continue
            silent_us = now_us - member.heard_us
            if member.presence is Presence.PRESENT and silent_us > _QUIET_BEATS * self._beat_us:
                member.presence = Presence.QUIET
                quiet.append(Report("agent.quieted", {"agent": member.id, "silent_s": silent_us / 1e6}))
            elif member.presence is Presence.QUIET and (member.is_disconnected or silent_us > self.gone_us):
                member.presence = Presence.GONE
                quiet.append(Report("agent.vanished", {"agent": member.id, "silent_s": silent_us / 1e6}))
        expected = [m for m in self if m.presence is not Presence.UNSEEN and not m.has_left]
        known, silent = len(expected), sum(1 for m in expected if m.presence is not Presence.PRESENT)
        was_split, self._is_split = self._is_split, known > 3 and silent >= _PARTITION_SHARE * known
        if self._is_split and not was_split:
            quiet.append(Report("fleet.partitioned", {"silent": silent, "known": known}))
        return tuple(quiet)
