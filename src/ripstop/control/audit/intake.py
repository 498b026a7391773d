"""Takes sealed ledger segments in: each agent's chain grows without gap or fork, and receipts say how far.

A segment is signed by its agent's key, follows the head on file and hashes to its own head. Then it is
appended and synced, and only then a signed receipt goes back: the agent may forget what it covers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ripstop.core.errors import WireError
from ripstop.core.messages import Receipt, Segment
from ripstop.core.node import Append, Effect, Report, Scalar, Send, Sync
from ripstop.core.subjects import Subjects
from ripstop.core.wire.cbor import encode
from ripstop.core.wire.chain import check_segment, genesis
from ripstop.core.wire.envelope import (
    EnvelopeType,
    Header,
    Keyring,
    Role,
    Signer,
    TrustedKey,
    open_envelope,
    seal,
)
from ripstop.core.wire.record import pack, unpack

_ASK_AGAIN = 3
_GAPS = 32


@dataclass(frozen=True, slots=True)
class ChainHead:
    """How far an agent's chain is on file; `first` is where the last segment began."""

    incarnation: int
    last: int
    head: bytes
    first: int = 0


@dataclass(slots=True)
class LedgerIntake:
    """Holds the head of every agent's chain; `heads` is what the files held at the start.

    `checkpoint` is the link of the record's last checkpoint: receipts cite it.
    """

    subjects: Subjects
    signer: Signer
    heads: dict[str, ChainHead] = field(default_factory=dict)
    accepted: int = 0
    repeated: int = 0
    checkpoint: bytes = b""
    _keyrings: dict[str, Keyring] = field(default_factory=dict)
    _waiting: dict[int, tuple[str, Receipt]] = field(default_factory=dict)
    _sequence: int = 0
    _asked: dict[str, dict[int, int]] = field(default_factory=dict)  # how often a segment came after a gap

    def trust(self, agents: Mapping[str, bytes]) -> None:
        """Know these agents' public keys; an empty one is that of a device that signs nothing."""
        for agent, public in agents.items():
            if not public:
                continue
            self._keyrings[agent] = Keyring.of([TrustedKey(public, Role.AGENT)])

    def take(self, agent: str, data: bytes, epoch: int) -> list[Effect]:
        """Take a segment that arrived on an agent's subject."""
        try:
            segment = self._opened(agent, data)
        except WireError as error:
            return [_refused(agent, error)]
        known = self.heads.get(agent)
        if known is None or self._restarts(segment, known):
            known = ChainHead(segment.incarnation, 0, genesis(agent))
        if segment.last <= known.last:
            return self._again(agent, segment, known, data)
        if segment.first > known.last + 1 and not self._is_lost(agent, segment.first):
            gap: dict[str, Scalar] = {"agent": agent, "expected": known.last + 1, "got": segment.first}
            return [*self._send(agent, self._receipt(agent, known), epoch), Report("ledger.gapped", gap)]
        return self._append(agent, segment, known, data)

    def put_off(self, agent: str) -> None:
        """A segment was not taken for now: what follows it shows no loss, and is counted anew."""
        self._asked.pop(agent, None)

    def _is_lost(self, agent: str, first: int) -> bool:
        """Whether what comes before a segment is not to be had any more; else it is to be asked for.

        An agent sends again from the oldest that it holds. So what was only lost on the way comes before its
        successors do again, and what the agent itself has lost is what one segment keeps coming without.
        """
        asked = self._asked.setdefault(agent, {})
        asked[first] = asked.get(first, 0) + 1
        if len(asked) > _GAPS:
            del asked[max(asked)]
        return asked.get(first, 0) > _ASK_AGAIN

    def _opened(self, agent: str, data: bytes) -> Segment:
        keyring = self._keyrings.get(agent)
        if keyring is None:
            raise WireError(f"agent `{agent}` is not enrolled", code="W0207")
        envelope = open_envelope(keyring, self.subjects.fleet, EnvelopeType.SEGMENT, data)
        segment = unpack(Segment, envelope.body)
        if segment.agent != agent or not segment.records:
            raise WireError("segment names another agent or holds no record", code="W0404")
        return segment

    @staticmethod
    def _restarts(segment: Segment, known: ChainHead) -> bool:
        """A ledger that began anew: a higher start of the device, numbered from 1."""
        return segment.first == 1 and segment.incarnation > known.incarnation

    def _again(self, agent: str, segment: Segment, known: ChainHead, data: bytes) -> list[Effect]:
        """What is on file already: the receipt was lost, or somebody tells two stories."""
        if segment.last == known.last and segment.head != known.head:
            return self._fork(agent, segment, data)
        self.repeated += 1
        self._sequence += 1
        self._waiting[self._sequence] = (agent, self._receipt(agent, known))
        return [Sync(self._sequence)]

    def _fork(self, agent: str, segment: Segment, data: bytes) -> list[Effect]:
        """Keep the other story as it was signed."""
        where: dict[str, Scalar] = {"agent": agent, "incarnation": segment.incarnation, "last": segment.last}
        return [Append("forks", encode([agent, data])), Report("ledger.forked", where)]

    def _append(self, agent: str, segment: Segment, known: ChainHead, data: bytes) -> list[Effect]:
        is_gap = segment.first > known.last + 1
        if segment.first <= known.last:
            return self._fork(agent, segment, data)
        try:
            check_segment(segment, segment.previous if is_gap else known.head)
        except WireError as error:
            if error.code == "W0401":
                return self._fork(agent, segment, data)
            return [_refused(agent, error)]
        self._asked.pop(agent, None)
        head = ChainHead(segment.incarnation, segment.last, segment.head, segment.first)
        self.heads[agent] = head
        self.accepted += 1
        self._sequence += 1
        self._waiting[self._sequence] = (agent, self._receipt(agent, head))
        told: list[Effect] = []
        if is_gap:
            told.append(Report("ledger.lost", {"agent": agent, "after": known.last, "before": segment.first}))
        elif not known.last and segment.incarnation > 1:
            told.append(Report("ledger.restarted", {"agent": agent, "incarnation": segment.incarnation}))
        return [*told, Append("segments", encode([agent, data])), Sync(self._sequence)]

    def _receipt(self, agent: str, head: ChainHead) -> Receipt:
        return Receipt(agent, head.incarnation, head.first, head.last, head.head, self.checkpoint)

    def synced(self, sequence: int, epoch: int) -> list[Effect]:
        """Everything up to `sequence` is on stable storage: the receipts may go."""
        done = [number for number in self._waiting if number <= sequence]
        return [effect for number in done for effect in self._send(*self._waiting.pop(number), epoch)]

    def _send(self, agent: str, receipt: Receipt, epoch: int) -> tuple[Effect, ...]:
        header = Header(self.subjects.fleet, f"agent-{agent}", epoch)
        sealed = seal(self.signer, EnvelopeType.RECEIPT, header, pack(receipt))
        return Append("receipts", sealed), Send(self.subjects.of("receipt", agent), sealed)


def _refused(agent: str, error: WireError) -> Report:
    return Report("segment.refused", {"agent": agent, "code": error.code, "reason": error.message})
