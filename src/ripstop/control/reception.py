"""What the ground hears: each message is checked, taken note of, and kept where it is evidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from ripstop.core.clock import Instant
from ripstop.core.errors import WireError
from ripstop.core.messages import LEAVE, Ack, AckStatus, Beat, Notice, PeerMessage, Workload
from ripstop.core.node import Append, Effect, Report, Scalar, SetTimer
from ripstop.core.subjects import Subjects
from ripstop.core.wire.cbor import encode
from ripstop.core.wire.record import unpack

from .allowance import LEDGER_BYTES_S, Allowance, LedgerAllowance
from .assessor import Assessor
from .audit.intake import LedgerIntake
from .dispatch import Dispatch
from .evidence import EvidenceBook
from .mitigation.relay import Relay
from .registry import Registry
from .stops import StopDesk
from .telemetry.ingest import Telemetry
from .telemetry.workload import check_workload

_JOIN_TICK_US = 200_000
# What decisions were made from is always kept; everything else while an incident is open.
_KEPT = frozenset({"notice", "ack", "work", "peer"})
TOPICS = ("beat", "frame", "work", "notice", "ack", "segment", "gone")
# What can be long has its own bounds: frames and works by what they hold, segments by their signature.
_LONGEST = {"beat": 4096, "ack": 16_384, "notice": 16_384, "peer": 16_384, "work": 1 << 20}
_Told = TypeVar("_Told", Beat, Workload, Notice, Ack)


@dataclass(slots=True)
class Reception:
    """Hands each message to the part that it concerns; `workloads` holds each agent's last report.

    An agent speaks on its own subjects and for itself only; whoever is not enrolled is refused.
    `tick_due_us` is when the next tick is due, if nobody comes back before.
    """

    names: Subjects
    registry: Registry
    telemetry: Telemetry
    evidence: EvidenceBook
    dispatch: Dispatch
    intake: LedgerIntake
    assessor: Assessor
    relay: Relay | None
    stops: StopDesk
    workloads: dict[str, Workload] = field(default_factory=dict)
    tick_due_us: int = 0
    allowance: Allowance = field(default_factory=Allowance)
    ledgers: LedgerAllowance = field(default_factory=lambda: LedgerAllowance(LEDGER_BYTES_S))
    _routes: dict[str, tuple[str, str]] = field(default_factory=dict)
    _prefix: str = field(init=False)
    _topics: dict[str, Callable[[str, bytes, Instant], list[Effect]]] = field(init=False)

    def __post_init__(self) -> None:
        self._prefix = f"ripstop.{self.names.fleet}."
        self._topics = {
            "beat": self._beat,
            "frame": self._frame,
            "work": self._work,
            "notice": self._notice,
            "ack": self._ack,
            "segment": self._segment,
            "gone": self._gone,
            "peer": self._peer,
        }

    @property
    def subjects(self) -> tuple[str, ...]:
        """Give what the ground hears: every agent's reports, and what peers say to the hub."""
        own = (self.names.peers_of(self.relay.hub),) if self.relay else ()
        return (*(self.names.every(topic) for topic in TOPICS), *own)

    def take(self, subject: str, data: bytes, now: Instant, *, keeps_all: bool) -> list[Effect]:
        """Take a message; `keeps_all` while an incident is open."""
        known = self._routes.get(subject)
        topic, agent = known or self._route(subject)
        handler = self._topics.get(topic)
        if handler is None:
            return []
        try:
            if known is None:
                self._check_enrolled(agent)
            self._check_amount(topic, agent, data, now)
            out = handler(agent, data, now)
        except WireError as error:
            fields = {"agent": agent[:64], "topic": topic, "code": error.code, "reason": error.message}
            return [Report("message.refused", fields)]
        if topic in _KEPT or (keeps_all and topic != "segment"):
            out.append(Append("messages", encode([now.wall_us, subject, data])))
        return out

    def _route(self, subject: str) -> tuple[str, str]:
        """Give a subject's topic and the agent that speaks on it; those of enrolled agents are remembered."""
        if not subject.startswith(self._prefix):
            return "", ""
        topic, _, rest = subject[len(self._prefix) :].partition(".")
        route = (topic, rest.rpartition(".")[2])
        if self.registry.get(route[1]) is not None:
            self._routes[subject] = route
        return route

    def _check_enrolled(self, agent: str) -> None:
        if self.registry.get(agent) is None:
            raise WireError(f"agent `{agent[:64]}` is not enrolled", code="W0207")

    def _check_amount(self, topic: str, agent: str, data: bytes, now: Instant) -> None:
        if topic == "segment":  # what it acknowledged an agent must be able to hand over, in time
            return
        self.allowance.spend(agent, len(data), now.mono_us)
        if len(data) > _LONGEST.get(topic, len(data)):
            raise WireError(f"{len(data)} bytes, expected at most {_LONGEST[topic]}", code="W0211")

    def _beat(self, agent: str, data: bytes, now: Instant) -> list[Effect]:
        beat = _own(unpack(Beat, data), agent)
        out: list[Effect] = [*self.registry.heed(beat, now.mono_us)]
        authority, is_back = self.dispatch.authority, bool(out)
        is_active = authority.is_active
        if is_back and is_active:  # others may follow: one tick echoes the beats of all
            out.append(SetTimer("tick", min(now.mono_us + _JOIN_TICK_US, self.tick_due_us)))
        self.stops.is_due |= is_back
        if is_active and beat.position > authority.position:
            fields: dict[str, Scalar] = {
                "agent": agent,
                "epoch": beat.position.epoch,
                "generation": beat.position.generation,
            }
            out.append(Report("agent.ahead", fields))
        out += self.dispatch.answered(agent, beat.position, (AckStatus.APPLIED, "", "beat"), now)
        is_news = self.evidence.breaker(agent, beat.breaker)
        if is_news or (is_back and self.evidence.suspicion(agent, now.mono_us)[0]):
            out += self.assessor.news(now)
        return out

    def _frame(self, agent: str, data: bytes, now: Instant) -> list[Effect]:
        before = self.telemetry.last_alarm(agent)
        self.telemetry.take(agent, data, now.wall_us)
        if self.telemetry.last_alarm(agent) != before and self.evidence.alarm(agent, now.mono_us):
            return self.assessor.news(now)
        return []

    def _work(self, agent: str, data: bytes, now: Instant) -> list[Effect]:
        work = _own(unpack(Workload, data), agent)
        check_workload(work)
        self.workloads[agent] = work
        if self.relay:
            self.relay.reported(agent)
        return self.assessor.news(now) if self.evidence.workload(work) else []

    def _notice(self, agent: str, data: bytes, now: Instant) -> list[Effect]:
        notice = _own(unpack(Notice, data), agent)
        told = {**notice.fields, "agent": agent, "notice": notice.name, "sensed_us": notice.t_us}
        out: list[Effect] = [Report("notice.received", told)]
        if notice.name == LEAVE:
            self.registry.left(agent)
        if self.evidence.notice(notice, now.mono_us):
            out += self.assessor.news(now)
        return out

    def _ack(self, agent: str, data: bytes, now: Instant) -> list[Effect]:
        ack = _own(unpack(Ack, data), agent)
        return self.dispatch.answered(agent, ack.position, (ack.status, ack.reason, "ack"), now)

    def _segment(self, agent: str, data: bytes, now: Instant) -> list[Effect]:
        if not self.ledgers.takes(agent, len(data), now.mono_us):
            self.intake.put_off(agent)
            told: dict[str, Scalar] = {
                "agent": agent,
                "size": len(data),
                "most_bytes_s": self.ledgers.rate_bytes_s,
            }
            return [Report("segment.delayed", told)]
        return self.intake.take(agent, data, self.dispatch.authority.position.epoch)

    def _gone(self, agent: str, data: bytes, now: Instant) -> list[Effect]:
        self.registry.disconnected(agent)
        return []

    def _peer(self, agent: str, data: bytes, now: Instant) -> list[Effect]:
        if self.relay is None:
            return []
        return self.relay.take(agent, unpack(PeerMessage, data), self.workloads)


def _own(told: _Told, agent: str) -> _Told:
    """An agent speaks for itself only; the server grants it no other subject, and neither do we."""
    if told.agent != agent:
        raise WireError(f"agent `{agent}` speaks for `{told.agent[:64]}`", code="W0208")
    return told
