"""The one authority: epochs by compare-and-set, ticks that echo nonces, and intents that cite them.

An epoch is taken at the start: read the key, write it one higher on condition that nobody else did. Whoever
loses stays passive. A key that was lost or damaged gives no epoch out a second time: the ground's own logs
tell how far it was. From then on everything that commands goes out as one intent for the scope `fleet`; it is
sent and stored, the same bytes by two roads.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ripstop.core.clock import Instant
from ripstop.core.errors import WireError
from ripstop.core.intent import Intent, Mitigation, Position, Release, Topology
from ripstop.core.messages import Tick
from ripstop.core.node import Effect, Fetch, Fetched, Report, Send, Store, Stored
from ripstop.core.subjects import Subjects
from ripstop.core.wire.envelope import (
    Envelope,
    EnvelopeType,
    Header,
    Keyring,
    Signer,
    TrustedKey,
    open_envelope,
    seal,
)
from ripstop.core.wire.record import pack, unpack

SCOPE = "fleet"


@dataclass(frozen=True, slots=True)
class Will:
    """What the ground wants of the fleet, without the numbers that make it an intent."""

    release: Release = field(default_factory=Release)
    mitigations: tuple[Mitigation, ...] = ()
    topologies: tuple[Topology, ...] = ()

    @property
    def has_lease(self) -> bool:
        """Whether anything in it would lapse if nobody renewed it."""
        return bool(self.mitigations or self.topologies)


@dataclass(slots=True)
class Authority:
    """Issues ticks and intents under one epoch; `position` is the last intent's.

    Epochs up to `used_epoch` were in use before, whatever the durable key says. `echoed` holds the nonces
    that the last tick had, by agent.
    """

    subjects: Subjects
    signer: Signer
    public: bytes
    used_epoch: int = 0
    will: Will = field(default_factory=Will)
    position: Position = field(default_factory=Position)
    tick_number: int = 0
    echoed: dict[str, bytes] = field(default_factory=dict)
    is_lost: bool = False
    adopted: Intent | None = None
    last_intent: bytes = b""
    _epoch_revision: int | None = None
    _intent_revision: int | None = None
    _is_storing: bool = False
    _ticked_us: int = 0
    _waiting: bytes = b""
    _keyring: Keyring = field(init=False)

    def __post_init__(self) -> None:
        self._keyring = Keyring({self.signer.key_id: TrustedKey(self.public, self.signer.role)})

    @property
    def is_active(self) -> bool:
        """Whether an epoch is held and what was in force before is known."""
        return self.position.epoch > 0 and not self.is_lost and self._intent_revision is not None

    def connect(self) -> list[Effect]:
        """Read what the durable keys hold, at the start and after every reconnection."""
        if self.is_lost:
            return []
        return [Fetch(self.subjects.epoch_key), Fetch(self.subjects.intent_key(SCOPE))]

    def fetched(self, event: Fetched) -> list[Effect]:
        """Take the answer to a read."""
        if event.key == self.subjects.epoch_key:
            return self._epoch_read(event)
        if event.key == self.subjects.intent_key(SCOPE):
            return self._intent_read(event)
        return []

    def _epoch_read(self, event: Fetched) -> list[Effect]:
        found = int(event.data) if event.data and event.data.isdigit() else 0
        if self.position.epoch:
            return (
                self._lose("another control plane took a higher epoch") if found > self.position.epoch else []
            )
        if self._epoch_revision is not None:
            return []
        found = self._epoch_revision = max(found, self.used_epoch)
        return [Store(self.subjects.epoch_key, str(found + 1).encode(), expected=event.revision)]

    def _intent_read(self, event: Fetched) -> list[Effect]:
        earlier = self._own(event.data) if event.data else None
        if earlier is not None and earlier.epoch > self.position.epoch > 0:
            return self._lose("an intent of a higher epoch is in force")
        first = self._intent_revision is None
        self._intent_revision = event.revision
        if first and earlier is not None:
            try:
                self.adopted = unpack(Intent, earlier.body)
            except WireError as error:
                return [Report("intent.unreadable", {"reason": str(error)})]
        if not first and self.last_intent and self.is_active:
            return self._store(self.last_intent)
        return []

    def _own(self, data: bytes) -> Envelope | None:
        try:
            return open_envelope(self._keyring, self.subjects.fleet, EnvelopeType.INTENT, data)
        except WireError:
            return None  # somebody else's bytes under our key are not in force: agents refuse them as well

    def stored(self, event: Stored) -> list[Effect]:
        """Take the answer to a write."""
        if event.key == self.subjects.epoch_key:
            if not event.revision:
                return self._lose("another control plane took the epoch")
            epoch = (self._epoch_revision or 0) + 1
            self.position = Position(epoch, 0)
            return [Report("authority.gained", {"epoch": epoch})]
        if event.key != self.subjects.intent_key(SCOPE):
            return []
        self._is_storing = False
        if not event.revision:
            self._waiting = b""
            return [Fetch(event.key)]
        self._intent_revision = event.revision
        waiting, self._waiting = self._waiting, b""
        return self._store(waiting) if waiting else []

    def _lose(self, reason: str) -> list[Effect]:
        self.is_lost = True
        return [Report("authority.lost", {"epoch": self.position.epoch, "reason": reason})]

    def _store(self, data: bytes) -> list[Effect]:
        if self._is_storing:
            self._waiting = data
            return []
        self._is_storing = True
        return [Store(self.subjects.intent_key(SCOPE), data, expected=self._intent_revision)]

    def _header(self) -> Header:
        at = self.position
        return Header(self.subjects.fleet, SCOPE, at.epoch, at.generation, self.tick_number)

    def tick(self, nonces: dict[str, bytes], now: Instant) -> list[Effect]:
        """Send the next tick, which echoes the last nonce of every agent."""
        if not self.is_active:
            return []
        self.tick_number += 1
        self._ticked_us = now.mono_us
        self.echoed = nonces
        body = pack(Tick(self.tick_number, self.position, now.wall_us, nonces))
        return [Send(self.subjects.tick, seal(self.signer, EnvelopeType.TICK, self._header(), body))]

    def issue(
        self, will: Will, nonces: dict[str, bytes], now: Instant, *, tick_age_us: int = 0
    ) -> list[Effect]:
        """Send and store a will as the next generation.

        It cites the last tick where that is at most so old, so that whoever has it can apply the will at
        once; else a new one, which goes right before.
        """
        self.will = will
        if not self.is_active:
            return []
        is_fresh = self.tick_number > 0 and now.mono_us - self._ticked_us <= tick_age_us
        out = [] if is_fresh else self.tick(nonces, now)
        self.position = Position(self.position.epoch, self.position.generation + 1)
        intent = Intent(
            SCOPE, self.position, self.tick_number, will.release, will.mitigations, will.topologies
        )
        self.last_intent = seal(self.signer, EnvelopeType.INTENT, self._header(), pack(intent))
        return [*out, *self.resend(), *self._store(self.last_intent)]

    def resend(self) -> list[Effect]:
        """Send the intent in force once more; whoever has it takes no notice."""
        return [Send(self.subjects.intent(SCOPE), self.last_intent)] if self.last_intent else []
