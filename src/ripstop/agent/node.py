"""The agent as a pure node: everything that decides, times and remembers on an agent, without I/O.

A shell feeds `step` with events; the application that rides along calls `observe`, `request`, `carry`,
`offer` and `answer` and hands their effects to the same shell. Here the parts are put together, and each
event and each call goes to the part whose business it is:

    a message    reception   who takes it               authority  who may command, freshness
    an intent    governance  what is in force           standing   leases, silence
    a release    releases    which may come, how old    restraint  the agent's own policies
    a tick       pulse       beats, ticks, connections  steady     clocks that jump
    a reading    senses      policies, guard, telemetry guard      monitors and the breaker
    a decision   vm          verdicts                   experience what monitors learned, on disk
    a record     chronicle   ledger, notices            records    chain, segments
    an emergency responder   ladder, switch, takeovers  voice      what is said to the ground
    a peer       peers       topology
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from ripstop.core.canonical import Json
from ripstop.core.chance import stream
from ripstop.core.clock import Instant
from ripstop.core.decision import Decision
from ripstop.core.errors import RipstopError
from ripstop.core.intent import Position, Release
from ripstop.core.messages import Item, PeerKind, PeerMessage
from ripstop.core.node import (
    Computed,
    Connected,
    Deliver,
    Disconnected,
    Effect,
    Effects,
    Event,
    Fetched,
    Message,
    Scalar,
    Started,
    Stored,
    Synced,
    Timer,
)
from ripstop.core.subjects import Subjects
from ripstop.core.vocabulary import Vocabulary
from ripstop.core.wire.envelope import Signer

from .authority import Authority
from .breaker import BreakerEvent, BreakerState, Transition
from .chronicle import Chronicle
from .experience import Experience
from .governance import Governance
from .guard import Findings, Guard
from .peers import Peers
from .personal import Veil
from .pulse import Pulse
from .reception import Reception, Taker
from .records import Records
from .responder import Responder
from .restraint import Restraint
from .senses import Senses
from .settings import NodeSettings, Opener, Restored
from .standing import Standing
from .steady import SteadyClock
from .vm import Policies, PolicyVM
from .voice import Burden, Voice

T = TypeVar("T")


class AgentNode:
    """One agent's state machine.

    Args:
        settings: who it is, and its cadences.
        policies: what it begins with, before any release: policies, documents, or a file's path.
        vocabulary: what it speaks; that of its policies by default.
        opener: checks the ground's envelopes; without one every command is refused.
        signer: the agent's own key; without one its ledger stays with it.
        restored: what its disk holds from before.
    """

    def __init__(
        self,
        settings: NodeSettings,
        policies: Policies = (),
        *,
        vocabulary: Vocabulary | None = None,
        opener: Opener | None = None,
        signer: Signer | None = None,
        restored: Restored | None = None,
    ) -> None:
        self.settings = settings
        self.vm = PolicyVM(policies, vocabulary=vocabulary, capabilities=settings.capabilities)
        self._names = Subjects(settings.fleet)
        self._restored = restored
        self._authority = Authority(
            settings.agent, opener, chance=stream(settings.seed, settings.agent, "nonce")
        )
        self._guard = Guard(settings, self.vm.vocabulary)
        self._voice = Voice(settings, self._names, self.vm.vocabulary)
        self._peers = Peers(settings.agent, self._names)
        self._governance = Governance(settings, self.vm, self._authority, opener)
        records = Records(settings.agent, self._basis, settings.segment_records, keeps=signer is not None)
        self._chronicle = Chronicle(settings, self._voice, records, opener, signer)
        self._experience = Experience(self._guard, self._chronicle, settings.personal)
        self._pulse = Pulse(
            settings, self._names, self._authority, self._governance, self._chronicle, self._voice,
            lambda: self._guard.state, stream(settings.seed, settings.agent, "node"),
        )  # fmt: skip
        self.responder = Responder(settings, self._governance, opener)
        self._governance.attach(
            self._chronicle, self._voice, self._peers, self._pulse.pace, self._speak,
            lambda: self.responder.switch.state,
        )  # fmt: skip
        self._veil = Veil(settings.personal, settings.salt)
        self._senses = Senses(
            self._guard, self._voice, self._governance, self.responder, self._chronicle, self._experience,
            self._veil,
        )  # fmt: skip
        self.responder.attach(self._chronicle, self._conditions())
        self._spoken = self.vm.vocabulary.digest
        self._clock = SteadyClock()
        self._reception = Reception(self._takers(), self._peers, self._chronicle)
        self._timers = self._by_timer()

    def _takers(self) -> dict[str, Taker]:
        return {
            self._names.tick: self._pulse.tick,
            self._names.bundle: self._governance.take_bundle,
            self._names.stop: self.responder.hear_token,
            self._names.of("receipt", self.settings.agent): self._chronicle.on_receipt,
            **{self._names.intent(scope): self._governance.take_intent for scope in self._authority.scopes},
        }

    def _by_timer(self) -> dict[str, Callable[[Instant, list[Effect]], None]]:
        return {
            "age": self._governance.refresh,
            "beat": self._pulse.beat,
            "fetch": self._pulse.fetch,
            "ladder": self.responder.poll,
            "lease": self._governance.refresh,
            "segment": self._chronicle.on_segment_timer,
            "soon": self._chronicle.catch_up,
            "summary": self._chronicle.summarise,
            "sync": self._chronicle.on_sync_timer,
        }

    def _conditions(self) -> dict[str, Callable[[], bool]]:
        return {
            "anomaly": lambda: self._guard.is_alarming,
            "breaker": lambda: self._senses.is_breaker_open,
            "ledger": lambda: self._chronicle.shortage.is_failing,
            "link": lambda: not self._authority.has_round_trip,
        }

    # ---- what can be seen of it -------------------------------------------------------------------------

    @property
    def subjects(self) -> tuple[str, ...]:
        """The subjects that it hears."""
        return self._reception.subjects

    @property
    def breaker_state(self) -> BreakerState:
        """Where its breaker stands."""
        return self._guard.state

    def breaker_retry_s(self, now: Instant) -> float | None:
        """How long until an open breaker lets a probe through; None in every other state."""
        return self._guard.breaker.retry_s(now.mono_us)

    @property
    def standing(self) -> Standing:
        """Which restrictions of the ground hold."""
        return self._governance.standing

    @property
    def position(self) -> Position:
        """The highest authority that it obeys."""
        return self._governance.position

    @property
    def release(self) -> Release:
        """The policy release in force."""
        return self.vm.release

    @property
    def ledger_head(self) -> tuple[int, bytes]:
        """The number and the chain link of the last ledger record."""
        return self._chronicle.records.sequence, self._chronicle.records.head

    def _basis(self) -> dict[str, Json]:
        basis = self._governance.basis(self._chronicle.records.incarnation)
        return basis | {"state": ""} if self._veil.names else basis  # a digest of little can be guessed

    # ---- events -----------------------------------------------------------------------------------------

    def step(self, event: Event, now: Instant) -> Effects:
        """Take one event and give what is to be done about it."""
        out: list[Effect] = []
        now = self._begin(now, out)
        match event:
            case Message():
                self._reception.take(event.subject, event.data, now, out)
            case Timer():
                handler = self._timers.get(event.name)
                if handler is not None:
                    handler(now, out)
            case Started():
                self._on_started(event, now, out)
            case Connected():
                self._pulse.connected(now, out)
            case Disconnected():
                self._pulse.disconnected()
            case Fetched():
                self._pulse.fetched(event, now, out)
            case Synced():
                self._chronicle.on_synced(event.sequence, now, out)
                self._governance.on_synced(out)
            case Stored() | Computed():
                pass  # it writes no durable key and computes nothing off its loop
        return tuple(out)

    def _begin(self, now: Instant, out: list[Effect]) -> Instant:
        """Begin with whatever comes: the clocks made steady, and what is in force told."""
        now, jump_us = self._clock.take(now)
        if jump_us:
            self.vm.shift(jump_us)
            self._chronicle.tell("clock.jumped", {"seconds": jump_us / 1e6}, now, out)
        if self._governance.has_news:
            self._governance.tell(now, out)
        return now

    def _on_started(self, event: Started, now: Instant, out: list[Effect]) -> None:
        restored, self._restored = self._restored, None
        life = (self.settings.agent, "nonce", event.incarnation, now.boot, now.mono_us)
        self._authority.reseed(stream(self.settings.seed, *life))
        self._veil.start("/".join(map(str, life)))
        self._chronicle.records.start(event.incarnation, restored.ledger if restored else None)
        if restored is not None:
            self.responder.restore(restored.saved)
            self._governance.restore(restored, now, out)
        self._governance.save(now, out)
        self._governance.refresh(now, out, is_changed=True)
        self._experience.restore(restored, now, out)
        self.responder.poll(now, out)
        self._chronicle.catch_up(now, out)

    def _speak(self, vocabulary: Vocabulary) -> None:
        if vocabulary.digest != self._spoken:
            self._spoken = vocabulary.digest
            self._voice.speak(vocabulary)
            self._guard.speak(vocabulary)
            self.responder.speak(vocabulary)

    # ---- peers ------------------------------------------------------------------------------------------

    def offer(self, target: str, item: Item, now: Instant) -> Effects:
        """Offer an item to a peer; where the edge is cut the refusal is delivered at once."""
        message, send = self._peers.offer(target, item)
        if send is not None:
            return (send,)
        me, reason = self.settings.agent, self._peers.why_cut(target)
        refusal = PeerMessage(target, me, PeerKind.REFUSE, message.number, item, reason=reason)
        return (Deliver(refusal),)

    def answer(self, message: PeerMessage, accepted: bool, reason: str, now: Instant) -> Effects:
        """Answer a peer's offer."""
        send = self._peers.answer(message, accepted, reason)
        return () if send is None else (send,)

    # ---- readings and decisions -------------------------------------------------------------------------

    def observe(self, signals: Mapping[str, Json], now: Instant) -> Effects:
        """Take readings sensed now: the policy VM, the monitors, the breaker and telemetry see them."""
        return self.sense(signals, now)[1]

    def sense(self, signals: Mapping[str, Json], now: Instant) -> tuple[Findings | None, Effects]:
        """Do the same, and give what the monitors found (None: nothing worth a word)."""
        out: list[Effect] = []
        found = self._senses.take(signals, self._begin(now, out), out)
        return found, tuple(out)

    def order_breaker(self, event: BreakerEvent, now: Instant) -> Effects:
        """Carry out an operator's order to the breaker: FORCED, DISABLED, OBSERVED or RESET."""
        out: list[Effect] = []
        self._senses.order_breaker(event, self._begin(now, out), out)
        return tuple(out)

    def note_circuit(self, action: str, transition: Transition, now: Instant) -> Effects:
        """Record that the breaker around an action's own calls has moved."""
        out: list[Effect] = []
        self._senses.note("circuit.moved", action, transition, self._begin(now, out), out)
        return tuple(out)

    def carry(self, burden: Burden, now: Instant) -> Effects:
        """Tell what the agent carries; it is sent where it changed materially or its time has come."""
        out: list[Effect] = []
        self._voice.carry(burden, (now.wall_us, now.mono_us), out)
        return tuple(out)

    def decide(self, action: str, context: Mapping[str, Json], now: Instant) -> Decision:
        """Decide without a trace: nothing is recorded, and nothing changes but what time itself has ended."""
        if self._governance.is_due(now.mono_us):
            self._governance.catch_up(now)
        if self.responder.is_due(now.mono_us):
            self.responder.catch_up(now)
        return self.vm.decide(action, context, self._clock.wall_us(now))

    def request(self, action: str, context: Mapping[str, Json], now: Instant) -> tuple[Decision, Effects]:
        """Decide on an action that is about to be taken; the decision goes into the ledger."""
        out: list[Effect] = []
        now = self._begin(now, out)
        if self._governance.is_due(now.mono_us):
            self._governance.refresh(now, out)
        if self.responder.is_due(now.mono_us):
            self.responder.poll(now, out)
        decision = self.vm.decide(action, context, now.wall_us)
        self.vm.commit(decision)
        self._chronicle.decided(decision, self._veil, now, out)
        return decision, tuple(out)

    # ---- orders given here ------------------------------------------------------------------------------

    def install(self, bundle: bytes, now: Instant) -> tuple[RipstopError | None, Effects]:
        """Take a signed release by another road than the wire; give why it was refused, if it was."""
        out: list[Effect] = []
        error = self._governance.take_bundle(bundle, self._begin(now, out), out)
        return error, tuple(out)

    def command(self, order: Callable[[Instant, list[Effect]], T], now: Instant) -> tuple[T, Effects]:
        """Carry out an order given here, such as `partial(node.responder.pull, "smoke")`."""
        out: list[Effect] = []
        return order(self._begin(now, out), out), tuple(out)

    # ---- records, and the disk that they are on ---------------------------------------------------------

    def tell(self, name: str, fields: Mapping[str, Scalar], now: Instant) -> Effects:
        """Record something that the application wants on file, and tell the ground."""
        out: list[Effect] = []
        self._chronicle.tell(name, fields, self._begin(now, out), out)
        return tuple(out)

    def defer_records(self) -> None:
        """Let decisions be recorded at the next sync; `settle` records them at once."""
        self._chronicle.defer_decisions()

    def write_ahead(self, most: int) -> bool:
        """Write some of the decisions put off, while others call the node, too; True where more remain."""
        return self._chronicle.write_ahead(most)

    def settle(self, now: Instant) -> Effects:
        """Record everything that was put off."""
        out: list[Effect] = []
        self._chronicle.catch_up(self._begin(now, out), out)
        return tuple(out)

    def seal(self, now: Instant) -> Effects:
        """Seal what is open, so that it leaves before the agent ends (`unsent` tells when it has)."""
        out: list[Effect] = []
        now = self._begin(now, out)
        self._experience.save(now, out)
        self._chronicle.seal(now, out)
        return tuple(out)

    @property
    def unsent(self) -> int:
        """How many sealed segments were never sent on this connection."""
        return self._chronicle.records.unsent

    def ledger_failed(self, reason: str, now: Instant) -> Effects:
        """Take note that records cannot be kept any more: the vocabulary says what that means."""
        out: list[Effect] = []
        now = self._begin(now, out)
        self._chronicle.disk_changed(now, out, is_failing=True)
        if self.vm.vocabulary.on_ledger_full == "deny":
            self._governance.restrain(Restraint.LEDGER, reason or "full", now, out)
        self.responder.poll(now, out)
        return tuple(out)

    def ledger_recovered(self, now: Instant) -> Effects:
        """Take note that records can be kept again."""
        out: list[Effect] = []
        now = self._begin(now, out)
        self._chronicle.disk_changed(now, out, is_failing=False)
        self._governance.restrain(Restraint.LEDGER, "", now, out)
        return tuple(out)

    def ledger_short(self, is_short: bool, now: Instant) -> Effects:
        """Take note that little is left of the ledger's share of the disk, or enough again."""
        out: list[Effect] = []
        self._chronicle.disk_changed(self._begin(now, out), out, is_short=is_short)
        return tuple(out)
