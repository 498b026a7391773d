"""What governs this agent: its release, the intents in force, its own restraint; and how each changes.

Every change ends in `refresh`: what holds now is worked out afresh, and becomes the restrictions of the
policy VM, the edges of the peers, a new basis in the ledger, and the timer for when it changes by itself.
"""

from __future__ import annotations

from collections.abc import Callable

from ripstop.core.canonical import Json, digest_bytes
from ripstop.core.clock import Instant
from ripstop.core.errors import RipstopError, WireError
from ripstop.core.intent import Intent, Position, Release
from ripstop.core.journal import RecordKind, restrictions_digest
from ripstop.core.messages import AckStatus, Bundle
from ripstop.core.node import Append, Drop, Effect, Fetch, Scalar, SetTimer
from ripstop.core.subjects import Subjects
from ripstop.core.vocabulary import Vocabulary
from ripstop.core.wire.envelope import EnvelopeType
from ripstop.core.wire.record import pack, unpack

from .authority import Authority, RefusedError
from .chronicle import Chronicle
from .peers import Peers
from .restraint import Restraint, restraint_policy
from .settings import BUNDLE, STATE, NodeSettings, Opener, Restored, SavedScope, SavedState
from .standing import Held, Standing, Status, stand
from .vm import PolicyVM
from .voice import Voice


class Governance:
    """Applies intents and releases; effects are added to `out`."""

    def __init__(
        self, settings: NodeSettings, vm: PolicyVM, authority: Authority, opener: Opener | None
    ) -> None:
        self.vm = vm
        self.authority = authority
        self.standing = Standing({})
        self.restraints: dict[Restraint, str] = {}
        self._settings = settings
        self._open = opener
        self._names = Subjects(settings.fleet)
        self._states = self._bundles = 0
        self._synced_states = self._synced_bundles = 0
        self._expires_us = 0

    def attach(
        self,
        chronicle: Chronicle,
        voice: Voice,
        peers: Peers,
        pace: Callable[[Instant, list[Effect]], None],
        speak: Callable[[Vocabulary], None],
    ) -> None:
        """Take what is built after this one: `pace` sets the beats anew, `speak` tells of a vocabulary."""
        self._pace = pace
        self._speak = speak
        self._chronicle = chronicle
        self._voice = voice
        self._peers = peers

    @property
    def position(self) -> Position:
        """The highest position that is obeyed: one whose leases nothing proves is not claimed."""
        return self.authority.obeyed

    def basis(self, incarnation: int) -> dict[str, Json]:
        """Give what decisions stand on from here, as the ledger keeps it."""
        position, release = self.authority.position, self.vm.release
        return {
            "agent": self._settings.agent,
            "incarnation": incarnation,
            "release": {
                "counter": release.counter,
                "digest": release.digest,
                "commit": release.commit,
            },
            "position": [position.epoch, position.generation],
            "intent": restrictions_digest(self.vm.restrictions),
            "restrictions": list(self.vm.restrictions),
            "breaker": self.restraints.get(Restraint.BREAKER, "closed"),
            "state": self.vm.state_digest(),
        }

    # ---- intents ----------------------------------------------------------------------------------------

    def take_intent(self, data: bytes, now: Instant, out: list[Effect], *, is_stored: bool = False) -> None:
        """Take an intent from the wire or from its durable key; whatever it is, nothing is raised."""
        try:
            held = self.authority.intent(data, now, is_stored=is_stored)
        except WireError as error:
            if not (is_stored and error.code == "W0503"):
                self._refuse(error, now, out)
            return
        if held is not None:
            self._apply(held, now, out)

    def take_ripe(self, now: Instant, out: list[Effect]) -> None:
        """Apply the waiting intents that a tick has proved fresh; refuse those that waited in vain."""
        if not self.authority.has_waiting:
            return
        fresh, stale = self.authority.ripe(now, 2 * self._settings.beat_s)
        for held in fresh:
            self._apply(held, now, out)
        for refusal in stale:
            self._refuse(refusal, now, out)

    def _apply(self, held: Held, now: Instant, out: list[Effect]) -> None:
        """Compile first, persist second, apply third: a crash in between leaves the earlier one in force."""
        intent = held.intent
        before = self.authority.held.get(intent.scope)
        coming = {**self.authority.held, intent.scope: held}
        standing = stand(coming.values(), self._settings.agent, now.mono_us)
        try:
            self.vm.prepare(standing.documents)
        except RipstopError as error:
            refusal = RefusedError(error.message, error.code, intent.scope, intent.position)
            self._refuse(refusal, now, out)
            return
        self.authority.accept(held)
        self.save(now, out)
        is_news = before is None or _content(before.intent) != _content(intent) or not before.is_proven
        if is_news and held.is_claimed_by(self._settings.agent):
            answer = (AckStatus.APPLIED, "")
            self._voice.ack(intent.scope, intent.position, answer, now.mono_us, out)
        if is_news:
            self._chronicle.record_soon(RecordKind.INTENT, lambda: _applied(held), now, out)
        if intent.release.counter > self.vm.release.counter:
            out.append(Fetch(self._names.bundle_key))
        self._adopt(standing, now, out)

    def _refuse(self, error: WireError, now: Instant, out: list[Effect]) -> None:
        """Say why a command was refused; one that could be read is answered, too."""
        scope = error.scope if isinstance(error, RefusedError) else ""
        position = error.position if isinstance(error, RefusedError) else None
        if position is not None and scope in self.authority.scopes and error.code != "W0501":
            status = AckStatus.SUPERSEDED if error.code == "W0503" else AckStatus.REFUSED
            self._voice.ack(scope, position, (status, error.message), now.mono_us, out)
        fields: dict[str, Scalar] = {
            "code": error.code,
            "reason": error.message,
            "scope": scope,
            "epoch": position.epoch if position else 0,
            "generation": position.generation if position else 0,
        }
        self._chronicle.tell_seldom("intent.refused", fields, now, out)

    # ---- releases ---------------------------------------------------------------------------------------

    def take_bundle(self, data: bytes, now: Instant, out: list[Effect], *, is_own: bool = False) -> None:
        """Take a signed bundle; one that is older, expired or does not load leaves the last good one."""
        try:
            bundle = self._read_bundle(data, now, is_own)
            if bundle is None:
                return
            self.vm.adopt(bundle)
        except RipstopError as error:
            fields: dict[str, Scalar] = {
                "code": error.code, "reason": error.message, "counter": self.vm.release.counter,
            }  # fmt: skip
            self._chronicle.tell_seldom("release.refused", fields, now, out)
            return
        self._expires_us = bundle.expires_us
        self._speak(self.vm.vocabulary)
        if not is_own:
            self._bundles += 1
            out.append(Append(BUNDLE, data))
        self.refresh(now, out, is_changed=True)
        fields = {
            "counter": bundle.counter,
            "digest": self.vm.release.digest,
            "commit": bundle.commit,
        }
        self._chronicle.tell_here("release.applied", fields, now, out)

    def _read_bundle(self, data: bytes, now: Instant, is_own: bool) -> Bundle | None:
        if self._open is None:
            raise WireError("no key is trusted here", code="W0202")
        bundle = unpack(Bundle, self._open(EnvelopeType.BUNDLE, data).body)
        current = self.vm.release.counter
        if bundle.fleet != self._settings.fleet:
            raise WireError(f"a bundle for fleet `{bundle.fleet}`", code="W0205")
        if bundle.counter == current and current:
            return None
        if bundle.counter < current:
            raise WireError(f"release {bundle.counter} is older than {current}", code="W0601")
        if not is_own and bundle.expires_us and now.wall_us >= bundle.expires_us:
            raise WireError(f"release {bundle.counter} has expired", code="W0602")
        return bundle

    def check_expiry(self, now: Instant, out: list[Effect]) -> None:
        """Report a release that has expired; it stays in force, since no policy would be worse."""
        if self._expires_us and now.wall_us >= self._expires_us:
            self._expires_us = 0
            self._chronicle.tell("release.expired", {"counter": self.vm.release.counter}, now, out)

    # ---- what holds now ---------------------------------------------------------------------------------

    def restrain(self, restraint: Restraint, word: str, now: Instant, out: list[Effect]) -> None:
        """Put a restraint of the agent's own on (`word` says why) or, with "", take it off."""
        if self.restraints.get(restraint, "") == word:
            return
        if word:
            self.restraints[restraint] = word
        else:
            del self.restraints[restraint]
        self.refresh(now, out)

    def refresh(self, now: Instant, out: list[Effect], *, is_changed: bool = False) -> None:
        """Work out what holds now and put it in force."""
        standing = stand(self.authority.held.values(), self._settings.agent, now.mono_us)
        self._adopt(standing, now, out, is_changed=is_changed)

    def _adopt(
        self, standing: Standing, now: Instant, out: list[Effect], *, is_changed: bool = False
    ) -> None:
        before, self.standing = self.standing, standing
        if standing.tightened:
            self.restraints[Restraint.SILENCE] = "tightened"
        else:
            self.restraints.pop(Restraint.SILENCE, None)
        own = [
            restraint_policy(restraint, self.vm.vocabulary, self._settings.breaker_actions)
            for restraint in sorted(self.restraints, key=lambda r: r.value)
        ]
        restrictions = (*standing.documents, *filter(None, own))
        if restrictions != self.vm.restrictions or is_changed:
            self.vm.restrict(restrictions)
            is_changed = True
        self._peers.adopt(standing)
        if is_changed or standing.statuses != before.statuses:
            self._chronicle.record_soon(
                RecordKind.BASIS, lambda: self.basis(self._chronicle.records.incarnation), now, out
            )
            self._tell_changes(before, standing, now, out)
        if standing.shortest_lease_s != before.shortest_lease_s:
            self._pace(now, out)
        if standing.next_us is not None and standing.next_us != before.next_us:
            out.append(SetTimer("lease", standing.next_us))

    def _tell_changes(self, before: Standing, after: Standing, now: Instant, out: list[Effect]) -> None:
        for name in sorted(before.statuses.keys() | after.statuses.keys()):
            old, new = before.statuses.get(name), after.statuses.get(name)
            if old is new:
                continue
            fields = {
                "mitigation": name,
                "from": old.value if old else "",
                "to": new.value if new else "",
            }
            if new is Status.LIVE:
                self._chronicle.tell_here("mitigation.applied", fields, now, out)
            elif new is not None or self._is_named(name):
                self._chronicle.tell("mitigation.lapsed", fields, now, out)
            else:
                self._chronicle.tell_here("mitigation.lifted", fields, now, out)

    def _is_named(self, name: str) -> bool:
        """Whether an intent in force still puts it on this agent: then silence ended it, not the ground."""
        agent = self._settings.agent
        return any(
            name == mitigation.id and agent in mitigation.targets
            for held in self.authority.held.values()
            for mitigation in held.intent.mitigations
        ) or any(
            name == f"topology/{topology.region}" and agent in topology.members
            for held in self.authority.held.values()
            for topology in held.intent.topologies
        )

    # ---- the disk ---------------------------------------------------------------------------------------

    def save(self, now: Instant, out: list[Effect]) -> None:
        """Write what must not be forgotten."""
        scopes = tuple(
            SavedScope(held.envelope, held.since_us, held.is_proven) for held in self.authority.held.values()
        )
        self._states += 1
        saved = SavedState(1, self._chronicle.records.incarnation, now.boot, scopes)
        out.append(Append(STATE, pack(saved)))

    def on_synced(self, out: list[Effect]) -> None:
        """Forget the states and bundles that newer ones on stable storage have replaced."""
        for stream, number, known in (
            (STATE, self._states, self._synced_states),
            (BUNDLE, self._bundles, self._synced_bundles),
        ):
            if known > 1:
                out.append(Drop(stream, known - 1))
            if stream == STATE:
                self._synced_states = number
            else:
                self._synced_bundles = number

    def restore(self, restored: Restored, now: Instant, out: list[Effect]) -> None:
        """Take over what the disk holds: the bundle, and the intents with what is left of their leases."""
        self._states, self._bundles = restored.states, restored.bundles
        if restored.bundle:
            self.take_bundle(restored.bundle, now, out, is_own=True)
        saved = restored.saved
        if saved is None and restored.state:
            self._chronicle.tell("state.damaged", {"states": restored.states}, now, out)
        for scope in saved.scopes if saved else ():
            try:
                self._restore_scope(scope, saved.boot == now.boot if saved else False, now)
            except RipstopError as error:
                fields = {"code": error.code, "reason": error.message}
                self._chronicle.tell("intent.refused", fields, now, out)

    def _restore_scope(self, scope: SavedScope, is_same_boot: bool, now: Instant) -> None:
        if self._open is None:
            raise WireError("no key is trusted here", code="W0202")
        intent = unpack(Intent, self._open(EnvelopeType.INTENT, scope.envelope).body)
        if is_same_boot:
            held = Held(intent, scope.envelope, scope.since_us, scope.is_proven)
        else:
            held = Held(intent, scope.envelope, now.mono_us, is_proven=False)
        self.vm.prepare(stand([held], self._settings.agent, now.mono_us).documents)
        self.authority.accept(held)


def _applied(held: Held) -> dict[str, Json]:
    intent = held.intent
    return {
        "scope": intent.scope,
        "epoch": intent.position.epoch,
        "generation": intent.position.generation,
        "tick": intent.tick,
        "status": AckStatus.APPLIED.value,
        "reason": "" if held.is_proven else "nothing proves it fresh: its leases count as over",
        "digest": digest_bytes(held.envelope),
    }


def _content(intent: Intent) -> tuple[object, object, Release]:
    return intent.mitigations, intent.topologies, intent.release
