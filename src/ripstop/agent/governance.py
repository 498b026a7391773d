"""What governs this agent: its release, the intents in force, its own restraint; and how each changes.

Every change ends in `refresh`: what holds now is worked out afresh, and becomes the restrictions of the
policy VM, the edges of the peers, a new basis in the ledger, and the timer for when it changes by itself.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from itertools import pairwise

from ripstop.core.canonical import Json, digest_bytes
from ripstop.core.clock import Instant
from ripstop.core.errors import RipstopError, WireError
from ripstop.core.intent import Intent, Position, Release
from ripstop.core.journal import RecordKind, restrictions_digest
from ripstop.core.messages import AckStatus
from ripstop.core.node import Append, Drop, Effect, Fetch, Scalar, SetTimer
from ripstop.core.subjects import Subjects
from ripstop.core.vocabulary import Vocabulary
from ripstop.core.wire.envelope import EnvelopeType
from ripstop.core.wire.record import pack, unpack

from .authority import Authority, RefusedError
from .chronicle import Chronicle
from .peers import Peers
from .releases import Age, Releases
from .restraint import Restraint, limit_policies, restraint_policy
from .settings import BUNDLE, STATE, NodeSettings, Opener, Restored, SavedScope, SavedState, SwitchState
from .standing import Held, Standing, Status, stand
from .vm import PolicyVM
from .voice import Voice

_NEVER_US = sys.maxsize
# What an operator's takeover of an action lifts: self-restraint, and nothing that others have ordered.
_OVERRIDABLE = (Restraint.BREAKER, Restraint.LIMIT, Restraint.HOLD)


class Governance:
    """Applies intents and releases; effects are added to `out`."""

    def __init__(
        self, settings: NodeSettings, vm: PolicyVM, authority: Authority, opener: Opener | None
    ) -> None:
        self.vm = vm
        self.authority = authority
        self.standing = self._told = Standing({})
        self._news: list[Standing] = []  # what was put in force and is not on file and told yet
        self.next_us = _NEVER_US  # when what holds changes by time alone
        self._is_new_basis = False
        self.restraints: dict[Restraint, str] = {}
        self._settings = settings
        self._open = opener
        self._names = Subjects(settings.fleet)
        self._states = self._bundles = 0
        self._synced_states = self._synced_bundles = 0
        self.releases = Releases(settings, vm, opener)
        self.age = self._told_age = Age()
        self.exempt: Mapping[str, int] = {}  # actions that an operator has taken over, and until when
        self._exempted: frozenset[str] = frozenset()

    def attach(
        self,
        chronicle: Chronicle,
        voice: Voice,
        peers: Peers,
        pace: Callable[[Instant, list[Effect]], None],
        speak: Callable[[Vocabulary], None],
        switch: Callable[[], SwitchState],
    ) -> None:
        """Take what is built after this one.

        `pace` sets the beats anew, `speak` tells of a vocabulary, `switch` gives the stop switch's state.
        """
        self._pace = pace
        self._speak = speak
        self._switch = switch
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
        self._put_in_force(standing)
        if not is_news:
            self.tell(now, out)  # else with the records: the answer leaves first

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

    def take_bundle(
        self, data: bytes, now: Instant, out: list[Effect], *, is_own: bool = False
    ) -> RipstopError | None:
        """Take a signed bundle; one that is refused leaves the last good one, and is reported and given back.

        INVARIANT: it is compiled first, persisted second, and in force third: a crash leaves a good one.
        """
        try:
            bundle = self.releases.read(data, now, is_own=is_own)
            if bundle is None:
                return None
            self.releases.adopt(bundle, now)
        except RipstopError as error:
            fields: dict[str, Scalar] = {
                "code": error.code, "reason": error.message, "counter": self.vm.release.counter,
            }  # fmt: skip
            self._chronicle.tell_seldom("release.refused", fields, now, out)
            return error
        self._speak(self.vm.vocabulary)
        if not is_own:
            self._bundles += 1
            out.append(Append(BUNDLE, data))
            self.save(now, out)
        self.refresh(now, out, is_changed=True)
        fields = {
            "counter": bundle.counter,
            "digest": self.vm.release.digest,
            "commit": bundle.commit,
        }
        self._chronicle.tell_here("release.applied", fields, now, out)
        return None

    def confirm(self, heard_us: int | None, now: Instant, out: list[Effect]) -> None:
        """Take a sign that the ground was there at `heard_us`, unless it wants another release."""
        wanted = max((held.intent.release.counter for held in self.authority.held.values()), default=0)
        if heard_us is None or wanted > self.vm.release.counter:
            return
        if self.releases.confirm(heard_us, now):
            self.save(now, out)
        if Restraint.STALE in self.restraints:
            self.refresh(now, out)

    # ---- what holds now ---------------------------------------------------------------------------------

    def restrain(self, restraint: Restraint, word: str, now: Instant, out: list[Effect]) -> None:
        """Put a restraint of the agent's own on (`word` says why) or, with "", take it off."""
        self.restrain_all({restraint: word}, now, out)

    def restrain_all(self, words: Mapping[Restraint, str], now: Instant, out: list[Effect]) -> None:
        """Do the same with several, and take note of which actions are exempt now."""
        if self.put_on(words, now):
            self.tell(now, out)

    def put_on(self, words: Mapping[Restraint, str], now: Instant) -> bool:
        """Put them in force; gives whether that is news, which the next `tell` puts on file."""
        before = (dict(self.restraints), self._exempted)
        self._exempted = self._exempt_at(now)
        for restraint, word in words.items():
            if word:
                self.restraints[restraint] = word
            else:
                self.restraints.pop(restraint, None)
        if before == (self.restraints, self._exempted):
            return False
        self.catch_up(now)
        return True

    def _exempt_at(self, now: Instant) -> frozenset[str]:
        return frozenset(action for action, end_us in self.exempt.items() if now.mono_us < end_us)

    @property
    def has_news(self) -> bool:
        """Whether something was put in force that is not on file and told yet."""
        return bool(self._news)

    def is_due(self, now_us: int) -> bool:
        """Whether what holds has changed by time alone since it was worked out."""
        return now_us >= self.next_us

    def refresh(self, now: Instant, out: list[Effect], *, is_changed: bool = False) -> None:
        """Work out what holds now and put it in force."""
        self.catch_up(now, is_changed=is_changed)
        self.tell(now, out)

    def catch_up(self, now: Instant, *, is_changed: bool = False) -> None:
        """Put in force what holds now; it is on file and told by the next `tell`."""
        self._grow_old(now)
        self._exempted = self._exempt_at(now)
        standing = stand(self.authority.held.values(), self._settings.agent, now.mono_us)
        self._put_in_force(standing, is_changed=is_changed)

    def _put_in_force(self, standing: Standing, *, is_changed: bool = False) -> None:
        self.standing = standing
        self._news.append(standing)
        ends_us = (standing.next_us, self.age.next_us, *(self.exempt[name] for name in self._exempted))
        self.next_us = min((end_us for end_us in ends_us if end_us is not None), default=_NEVER_US)
        if standing.tightened:
            self.restraints[Restraint.SILENCE] = "tightened"
        else:
            self.restraints.pop(Restraint.SILENCE, None)
        restrictions = standing.documents
        if self.restraints:
            restrictions = (*restrictions, *self._own_policies())
        if restrictions != self.vm.restrictions or is_changed:
            self.vm.restrict(restrictions)
            self._is_new_basis = True
        self._peers.adopt(standing)

    def _own_policies(self) -> list[str]:
        """Give the policies by which the agent restrains itself."""
        guards = {Restraint.BREAKER: self._settings.breaker_actions, **self.age.restraints}
        own: list[str] = []
        for restraint in sorted(self.restraints, key=lambda r: r.value):
            exempt = self._exempted if restraint in _OVERRIDABLE else frozenset()
            if restraint is Restraint.LIMIT:
                own += limit_policies(self._settings.ladder.limits, self.vm.vocabulary, exempt)
            else:
                own.append(restraint_policy(restraint, self.vm.vocabulary, guards.get(restraint), exempt))
        return own

    def tell(self, now: Instant, out: list[Effect]) -> None:
        """Put on file and tell what was put in force since the last time, and set the timers for it.

        INVARIANT: the node calls this before it does anything else, so no record comes between.
        """
        self._tell_age(now, out)
        steps = [self._told, *self._news]
        before, after = self._told, self.standing
        self._told, self._news = after, []
        changes = [(old, new) for old, new in pairwise(steps) if new.statuses != old.statuses]
        if self._is_new_basis or changes:
            self._is_new_basis = False
            self._chronicle.record_soon(
                RecordKind.BASIS, lambda: self.basis(self._chronicle.records.incarnation), now, out
            )
        for old, new in changes:
            self._tell_changes(old, new, now, out)
        if after.shortest_lease_s != before.shortest_lease_s:
            self._pace(now, out)
        if after.next_us is not None and after.next_us != before.next_us:
            out.append(SetTimer("lease", after.next_us))

    def _grow_old(self, now: Instant) -> None:
        """Let the release's age restrain."""
        self.age = age = self.releases.age(now)
        for restraint in (Restraint.EXPIRED, Restraint.STALE, Restraint.UNTRUSTED):
            if restraint in age.restraints:
                self.restraints[restraint] = "on"
            else:
                self.restraints.pop(restraint, None)

    def _tell_age(self, now: Instant, out: list[Effect]) -> None:
        before, self._told_age = self._told_age, self.age
        age, counter = self.age, self.vm.release.counter
        if age.is_expired and not before.is_expired:
            self._chronicle.tell("release.expired", {"counter": counter}, now, out)
        if age.stale != before.stale:
            fields: dict[str, Scalar] = {"policies": age.stale, "counter": counter}
            self._chronicle.tell("policies.stale", fields, now, out)
        if age.orders_failsafe is not before.orders_failsafe:
            out.append(SetTimer("ladder", now.mono_us))
        if age.next_us is not None and age.next_us != before.next_us:
            out.append(SetTimer("age", age.next_us))

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
        life = (self._chronicle.records.incarnation, now.boot)
        release = (self.releases.floor, *self.releases.confirmed)
        saved = SavedState(2, *life, scopes, *release, self._switch())
        out.append(Append(STATE, pack(saved)))

    def on_synced(self, out: list[Effect]) -> None:
        """Forget the states and bundles that newer ones on stable storage have replaced."""
        for stream, number, known in (
            (STATE, self._states, self._synced_states),
            (BUNDLE, self._bundles, self._synced_bundles - 1),  # and the one before the last
        ):
            if known > 1:
                out.append(Drop(stream, known - 1))
            if stream == STATE:
                self._synced_states = number
            else:
                self._synced_bundles = number

    def restore(self, restored: Restored, now: Instant, out: list[Effect]) -> None:
        """Take over what the disk holds: the last good bundle, and intents with what is left of leases."""
        self._states, self._bundles = restored.states, restored.bundle_count
        saved = restored.saved
        self.releases.restore(saved, now)
        refusals = (self.take_bundle(data, now, out, is_own=True) for data in restored.bundles)
        # INVARIANT: what was governed by a release is never without one: no older policies step in.
        self.releases.is_untrusted = bool(restored.bundles) and all(refusals)
        if self.releases.is_untrusted:
            self._chronicle.tell("release.lost", {"bundles": len(restored.bundles)}, now, out)
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
