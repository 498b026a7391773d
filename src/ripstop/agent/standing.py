"""Which of an intent's restrictions hold at a given time: leases, and what silence does to them.

Pure: the same intents, lease starts and time give the same standing.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from ripstop.core.intent import (
    Intent,
    Mitigation,
    MitigationKind,
    OnSilence,
    Topology,
    TopologyKind,
)
from ripstop.core.value import dataclass


class Status(Enum):
    """How a mitigation or topology stands: its lease runs, silence holds it, or silence has tightened it."""

    LIVE = "live"
    HELD = "held"
    TIGHTENED = "tightened"


@dataclass(frozen=True, slots=True)
class Held:
    """An intent in force, its signed bytes, and when its leases began.

    `since_us` is the monotonic time at which the beat was sent that the cited tick echoed. Where nothing
    proves when the intent was issued, its leases count as over at `since_us`.
    """

    intent: Intent
    envelope: bytes
    since_us: int
    is_proven: bool = True

    def is_claimed_by(self, agent: str) -> bool:
        """Whether an agent may say that it obeys this: not where it counts the leases on it as over."""
        return self.is_proven or not self.intent.leases_on(agent)

    def lease_end_us(self, lease_s: float) -> int:
        """When a lease of this intent ends, monotonic."""
        return self.since_us + round(lease_s * 1e6) if self.is_proven else self.since_us


@dataclass(frozen=True, slots=True)
class Standing:
    """What holds now. `next_us` is when that changes by itself (None: never)."""

    statuses: dict[str, Status]
    documents: tuple[str, ...] = ()
    isolated: bool = False
    tightened: bool = False
    stars: tuple[Topology, ...] = ()
    peerless: frozenset[str] = frozenset()
    next_us: int | None = None
    shortest_lease_s: float | None = None


def stand(held: Iterable[Held], agent: str, now_us: int) -> Standing:
    """Work out what holds for an agent at a monotonic time."""
    statuses: dict[str, Status] = {}
    documents: dict[str, None] = {}
    stars: list[Topology] = []
    peerless: set[str] = set()
    isolated = tightened = False
    ends: list[int] = []
    leases: list[float] = []
    for entry in held:
        for mitigation in entry.intent.mitigations:
            if agent not in mitigation.targets:
                continue
            status = _status(mitigation, entry, now_us, ends)
            if status is None:
                continue
            statuses[mitigation.id] = status
            leases.append(mitigation.lease_s)
            tightened |= status is Status.TIGHTENED
            isolated |= mitigation.kind is MitigationKind.ISOLATE
            if mitigation.policy:
                documents[mitigation.policy] = None
        for topology in entry.intent.topologies:
            if topology.kind is not TopologyKind.STAR:
                continue
            status = _status(topology, entry, now_us, ends)
            if status is None:
                continue
            if agent in topology.members:
                statuses[f"topology/{topology.region}"] = status
                leases.append(topology.lease_s)
            if status is Status.TIGHTENED:
                peerless.update(topology.members)
            else:
                stars.append(topology)
    return Standing(
        statuses,
        tuple(sorted(documents)),
        isolated,
        tightened,
        tuple(stars),
        frozenset(peerless),
        min(ends, default=None),
        min(leases, default=None),
    )


def _status(item: Mitigation | Topology, held: Held, now_us: int, ends: list[int]) -> Status | None:
    """Give how an item stands, None where it is over; adds when that changes to `ends`."""
    end_us = held.lease_end_us(item.lease_s)
    if now_us < end_us:
        ends.append(end_us)
        return Status.LIVE
    if item.on_silence is OnSilence.REVERT:
        return None
    hold_s = item.hold_s if isinstance(item, Mitigation) else 0.0
    if hold_s > 0:
        end_us += round(hold_s * 1e6)
        if now_us >= end_us:
            return None
        ends.append(end_us)
    return Status.HELD if item.on_silence is OnSilence.HOLD else Status.TIGHTENED
