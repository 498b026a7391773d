"""What is told and kept: a record in the ledger, a notice to the ground, a report to people here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import TypeAlias

from ripstop.core.canonical import Json
from ripstop.core.chance import stream
from ripstop.core.clock import Instant
from ripstop.core.decision import Decision
from ripstop.core.errors import WireError
from ripstop.core.journal import RecordKind, write_decision, write_entry
from ripstop.core.messages import Receipt
from ripstop.core.node import Effect, Report, Scalar, SetTimer, Sync
from ripstop.core.sample import SampleTable
from ripstop.core.seldom import Seldom
from ripstop.core.value import dataclass
from ripstop.core.wire.envelope import EnvelopeType, Header, Signer, seal
from ripstop.core.wire.record import pack, unpack

from .breaker import Transition
from .personal import Veil
from .records import Records
from .settings import NodeSettings, Opener
from .shortage import Shortage
from .voice import Voice

Body: TypeAlias = Callable[[], Mapping[str, Json]]
_SOON_US = 200_000
_SUMMARY_US = 60_000_000
_PROBE_US = 1_000_000
_IN_FLIGHT = 8
_RESEND_SEGMENTS = 3
_SOONEST = 0.8  # of the time for a segment


@dataclass(slots=True)
class _Deferred:
    """At `most` so many decisions that wait, and the entries of the first of them, written already."""

    most: int = 0
    decided: list[tuple[int, Decision]] = field(default_factory=list)
    written: list[bytes] = field(default_factory=list)

    def write(self, most: int) -> bool:
        """Write some more; True where some remain. One thread writes, while others add and take."""
        begin = len(self.written)
        self.written += [write_decision(*waiting) for waiting in self.decided[begin : begin + most]]
        return len(self.written) < len(self.decided)

    def entries(self) -> list[bytes]:
        """Give the entries of all of them."""
        found = list(self.written)
        return found + [write_decision(*waiting) for waiting in self.decided[len(found) :]]


class Chronicle:
    """Writes the ledger and gets it to the ground; effects are added to `out`."""

    def __init__(
        self,
        settings: NodeSettings,
        voice: Voice,
        records: Records,
        opener: Opener | None,
        signer: Signer | None,
    ) -> None:
        self.records = records
        self.shortage = Shortage(settings.agent, durable=settings.durable)
        self._voice = voice
        self._settings = settings
        self._open = opener
        self._signer = signer
        self._seldom = Seldom()
        self._chance = stream(settings.seed, settings.agent, "segment")
        self._sync_us = round(settings.sync_s * 1e6)
        self._sync_armed = self._segment_armed = self._summary_armed = False
        self._soon: list[tuple[RecordKind, Body]] = []
        self._deferred = _Deferred()
        self._defers = False

    def record_soon(self, kind: RecordKind, body: Body, now: Instant, out: list[Effect]) -> None:
        """Append a record before the next one, or in a moment: an answer to the ground need not wait for it.

        `body` is asked for then. INVARIANT: records stay in the order in which they were asked for.
        """
        if not self._soon:
            out.append(SetTimer("soon", now.mono_us + _SOON_US))
        self._soon.append((kind, body))

    def defer_decisions(self) -> None:
        """Let decisions wait for the next sync, for a shell that syncs without keeping who decides.

        INVARIANT: what waits can no longer change, stands in the ledger before anything recorded after it,
        and is no more than the open segment takes.
        """
        self._defers = True

    def catch_up(self, now: Instant, out: list[Effect]) -> None:
        """Append what was put off."""
        self._append_decided(now, out)
        if not self._soon:
            return
        waiting, self._soon = self._soon, []
        for kind, body in waiting:
            self.record(kind, body(), now, out)

    def record(self, kind: RecordKind, body: Mapping[str, Json], now: Instant, out: list[Effect]) -> None:
        """Append a record; it is synced and its segment sealed in time."""
        self.append(kind, write_entry(kind, now.wall_us, body), None, now, out)

    def decided(self, decision: Decision, veil: Veil, now: Instant, out: list[Effect]) -> None:
        """Append a decision; what its personal values were is kept before it, if it is kept itself."""
        if self._defers and self._may_wait(decision, veil):
            self._deferred.decided.append((now.wall_us, decision))
            if not self._sync_armed:
                self._arm_sync(self._sync_us, now, out)
            return
        if not veil.names:
            self.append(RecordKind.DECISION, write_decision(now.wall_us, decision), decision, now, out)
            return
        openings: list[Effect] = []
        body, begin = veil.decision(decision.to_json(), openings), len(out)
        entry = write_entry(RecordKind.DECISION, now.wall_us, body)
        if self.append(RecordKind.DECISION, entry, decision, now, out):
            out[begin:begin] = openings

    def _may_wait(self, decision: Decision, veil: Veil) -> bool:
        deferred, inputs = self._deferred, decision.inputs
        if not deferred.decided:
            deferred.most = self.records.room - 1  # as long as they wait nothing else is recorded
        return (
            len(deferred.decided) < deferred.most
            and not (self._soon or veil.names or self.shortage.is_on)
            and isinstance(inputs, SampleTable)
            and inputs.is_settled()
        )

    def write_ahead(self, most: int) -> bool:
        """Write some of the decisions that wait; True where more remain. It may be called at any time."""
        return self._deferred.write(most)

    def _append_decided(self, now: Instant, out: list[Effect]) -> None:
        if self._deferred.decided:
            deferred, self._deferred = self._deferred, _Deferred()
            self.records.extend(deferred.entries(), out)
            self._arm(now, out)

    def append(
        self, kind: RecordKind, entry: bytes, decision: Decision | None, now: Instant, out: list[Effect]
    ) -> bool:
        """Append what is written already, or count it where the disk is short; False where it is counted."""
        if self._soon or self._deferred.decided:
            self.catch_up(now, out)
        if self.shortage.is_on and self.shortage.takes(kind, decision, entry, now.wall_us):
            self._arm_summary(now, out)
            return False
        self.records.append(kind, now.wall_us, entry, out)
        self._arm(now, out)
        return True

    def _arm(self, now: Instant, out: list[Effect]) -> None:
        if not self._sync_armed:
            self._arm_sync(self._sync_us, now, out)
        if not self._segment_armed:
            self._arm_segment(now, out)

    # ---- a disk that is short ---------------------------------------------------------------------------

    def disk_changed(
        self, now: Instant, out: list[Effect], *, is_short: bool | None = None, is_failing: bool | None = None
    ) -> None:
        """Take note of how the disk is; what was counted is put on record as soon as there is room."""
        self.shortage.set(is_short=is_short, is_failing=is_failing)
        self.summarise(now, out)
        if is_short is not None:
            self.tell("ledger.short" if is_short else "ledger.roomy", {}, now, out)
        if self.shortage.is_failing and not self._sync_armed:
            self._arm_sync(_PROBE_US, now, out)

    def summarise(self, now: Instant, out: list[Effect]) -> None:
        """Put what was counted on record, where the disk takes anything."""
        self._summary_armed = False
        body = None if self.shortage.is_failing else self.shortage.take_summary()
        if body is not None:
            self.record(RecordKind.SUMMARY, body, now, out)

    def _arm_summary(self, now: Instant, out: list[Effect]) -> None:
        if not self._summary_armed:
            self._summary_armed = True
            out.append(SetTimer("summary", now.mono_us + _SUMMARY_US))

    def _arm_sync(self, wait_us: int, now: Instant, out: list[Effect]) -> None:
        self._sync_armed = True
        out.append(SetTimer("sync", now.mono_us + wait_us))

    def tell(self, name: str, fields: Mapping[str, Scalar], now: Instant, out: list[Effect]) -> None:
        """Record something that happened, and tell the ground and the people here."""
        self.record(RecordKind.NOTICE, {"name": name, "fields": fields}, now, out)
        self._voice.notice(name, fields, now.wall_us, out)

    def tell_here(self, name: str, fields: Mapping[str, Scalar], now: Instant, out: list[Effect]) -> None:
        """Do the same, but without a message and without haste: the ground learns of it by another one."""
        self.record_soon(RecordKind.NOTICE, lambda: {"name": name, "fields": fields}, now, out)
        out.append(Report(name, fields))

    def tell_seldom(self, name: str, fields: Mapping[str, Scalar], now: Instant, out: list[Effect]) -> None:
        """Tell it, by its name and code, ever more seldom while it goes on; `times` is how often it was."""
        times = self._seldom.take(f"{name}/{fields.get('code', '')}", now.mono_us)
        if times:
            self.tell(name, {**fields, "times": times} if times > 1 else fields, now, out)

    # ---- segments ---------------------------------------------------------------------------------------

    def _arm_segment(self, now: Instant, out: list[Effect]) -> None:
        if not self._segment_armed and (self.records.has_open or self.records.unreceipted):
            self._segment_armed = True
            # What sets a whole fleet going, a new link say, is not to bring all of its segments at once.
            after_s = self._settings.segment_s * self._chance.uniform(_SOONEST, 1.0)
            out.append(SetTimer("segment", now.mono_us + round(after_s * 1e6)))

    def on_sync_timer(self, now: Instant, out: list[Effect]) -> None:
        """Bring what was appended to stable storage; a disk that takes nothing is asked again."""
        self._append_decided(now, out)
        self._sync_armed = False
        if self.records.synced < self.records.sequence:
            out.append(Sync(self.records.sequence))
        if self.shortage.is_failing:
            self._arm_sync(_PROBE_US, now, out)

    def seal(self, now: Instant, out: list[Effect]) -> None:
        """Append and seal all that there is, so that it leaves before the agent ends."""
        self.catch_up(now, out)
        self.summarise(now, out)
        self.records.seal(out)

    def on_segment_timer(self, now: Instant, out: list[Effect]) -> None:
        """Seal what is open, and send again what no receipt came for."""
        self._segment_armed = False
        self.catch_up(now, out)
        self.records.seal(out)
        self.send_segments(now, out)
        self._arm_segment(now, out)

    def on_synced(self, sequence: int, now: Instant, out: list[Effect]) -> None:
        """Send the segments that are on stable storage now."""
        self.records.on_synced(sequence)
        self.send_segments(now, out)

    def on_round_trip(self, now: Instant, out: list[Effect]) -> None:
        """Send everything that waits for a receipt: the link is a new one."""
        self.records.forget_sent()
        self.send_segments(now, out)
        self._arm_segment(now, out)

    def send_segments(self, now: Instant, out: list[Effect]) -> None:
        """Send the next segments, signed; without a key of its own the agent keeps its ledger to itself."""
        if self._signer is None or not self._voice.is_connected:
            return
        again_us = round(_RESEND_SEGMENTS * self._settings.segment_s * 1e6)
        due = self.records.due(now.mono_us, again_us, _IN_FLIGHT)
        if not due:
            return
        header = Header(self._settings.fleet, f"agent-{self._settings.agent}")
        for segment in due:
            self._voice.segment(seal(self._signer, EnvelopeType.SEGMENT, header, pack(segment)), out)

    def on_receipt(self, data: bytes, now: Instant, out: list[Effect]) -> None:
        """Take a signed receipt: what it covers may go.

        Raises:
            WireError: it is forged, foreign, malformed, or does not fit the chain (W0404).
        """
        if self._open is None:
            raise WireError("no key is trusted here", code="W0202")
        envelope = self._open(EnvelopeType.RECEIPT, data)
        receipt = unpack(Receipt, envelope.body)
        if receipt.agent != self._settings.agent:
            raise WireError(f"a receipt for `{receipt.agent}`", code="W0404")
        if not self.records.on_receipt(receipt, out):
            raise WireError("a receipt does not fit this ledger", code="W0404")
        self.send_segments(now, out)


def told(breaker: str, transition: Transition) -> dict[str, Scalar]:
    """Give what is told and kept of a breaker's move."""
    return {
        "breaker": breaker,
        "from": transition.before.value,
        "to": transition.after.value,
        "cause": transition.event.value,
        "wait_s": transition.wait_s,
    }
