"""The control plane as a pure node: events in, effects out; what runs live runs in virtual time as well."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from ripstop.core.clock import Instant
from ripstop.core.errors import WireError
from ripstop.core.intent import Release
from ripstop.core.node import (
    Append,
    Computed,
    Connected,
    Disconnected,
    Effect,
    Effects,
    Event,
    Fetched,
    Message,
    Report,
    Scalar,
    Send,
    SetTimer,
    Started,
    Store,
    Stored,
    Synced,
    Timer,
)
from ripstop.core.subjects import Subjects
from ripstop.core.vocabulary import Vocabulary
from ripstop.core.wire.cbor import encode
from ripstop.core.wire.envelope import Ed25519Signer, Keyring
from ripstop.core.wire.token import Token
from ripstop.risk import StabilityReport

from .allowance import LedgerAllowance
from .assessor import Assessor
from .audit.intake import ChainHead, LedgerIntake
from .authority import Authority, Will
from .dispatch import Dispatch, Purpose
from .evidence import EvidenceBook
from .identifier import depth_of, identifier_of, told
from .incidents import Answer, IncidentDesk, Order
from .mitigation.assessment import Assessment, Question, Survey, nothing_suspected
from .mitigation.hub import State
from .mitigation.plan import Plan
from .mitigation.playbook import Playbook
from .mitigation.relay import Relay
from .reception import Reception
from .registry import Presence, Registry
from .settings import ControlSettings
from .stops import StopDesk
from .telemetry.ingest import Telemetry

_GIVES_WAY = 5  # a tick waits for this part of the time between two
_LOGGED = (
    "incident.", "mitigation.", "intent.", "release.", "approval.", "authority.", "ledger.", "lift.", "stop.",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fleet:
    """Whom a control plane governs: the agents' public keys, and how far ledgers and epochs are on file.

    `stops` is what stands of stops; without it no token is taken.
    """

    vocabulary: Vocabulary
    agents: Mapping[str, bytes] = field(default_factory=dict)
    heads: Mapping[str, ChainHead] = field(default_factory=dict)
    used_epoch: int = 0
    stops: StopDesk | None = None


class ControlNode:
    """Watches, assesses, mitigates, records. `subjects` and `step` are what a shell needs of it.

    Application calls (`publish`, `enrol`, `approve`) give effects that the shell carries out as well.
    """

    def __init__(
        self, settings: ControlSettings, playbook: Playbook, signer: Ed25519Signer, fleet: Fleet
    ) -> None:
        settings.check(playbook)
        self.settings = settings
        self.playbook = playbook
        self.names = Subjects(settings.fleet)
        self.registry = Registry(settings.beat_s, fleet.agents)
        self.telemetry = Telemetry(fleet.vocabulary, depth_of(playbook, 64))
        self.identifier = identifier_of(playbook, settings, self.telemetry, fleet.vocabulary)
        self.evidence = EvidenceBook(playbook.evidence, round(settings.alarm_s * 1e6))
        self.desk = IncidentDesk(playbook)
        self.authority = Authority(self.names, signer, signer.public, fleet.used_epoch)
        self.dispatch = Dispatch(self.authority, self.registry, playbook.lease_s)
        self.assessor = Assessor(settings)
        star = playbook.ladder.star
        self.relay = Relay(star.hub, self.names, playbook.handover) if star else None
        self.intake = LedgerIntake(self.names, signer, dict(fleet.heads))
        self.intake.trust(fleet.agents)
        self.stops = fleet.stops or StopDesk(self.names, Keyring({}))
        self._has_begun = False
        self._to_issue: Purpose | None = None  # what was taken over waits for the first tick
        self._blind_until_us = 0
        self._late: set[str] = set()  # timers whose work has given way to a command
        self.reception = Reception(
            self.names, self.registry, self.telemetry, self.evidence, self.dispatch, self.intake,
            self.assessor, self.relay, self.stops, ledgers=LedgerAllowance(settings.ledger_bytes_s),
        )  # fmt: skip
        self.workloads = self.reception.workloads
        self._timers: dict[str, Callable[[Instant], list[Effect]]] = {
            "tick": self._tick,
            "assess": self._assess,
            "survey": self._survey,
            "identify": self._identify,
            "renew": self._renew,
            "resend": self._resend,
            "approval": lambda now: self._ordered(self.desk.settle(None, "deadline", now), now),
        }

    @property
    def subjects(self) -> tuple[str, ...]:
        """Give what the ground hears: every agent's reports, and what peers say to the hub."""
        return self.reception.subjects

    # ---- events ---------------------------------------------------------------------------------------

    def step(self, event: Event, now: Instant) -> Effects:
        """Take one event and give what is to be done about it."""
        out = self._take(event, now)
        if not out:
            return ()
        logged = [self._logged(e, now) for e in out if isinstance(e, Report) and e.name.startswith(_LOGGED)]
        return (*out, *logged)

    def _take(self, event: Event, now: Instant) -> list[Effect]:
        match event:
            case Message():
                return self._message(event, now)
            case Timer():
                handler = self._timers.get(event.name)
                return handler(now) if handler else []
            case Computed():
                return self._computed(event, now)
            case Synced():
                return self.intake.synced(event.sequence, self.authority.position.epoch)
            case Connected():
                return [*self.authority.connect(), *self._begin(now)]
            case Fetched():
                return [*self.authority.fetched(event), *self._begin(now)]
            case Stored():
                return [*self.authority.stored(event), *self._begin(now)]
            case Started() | Disconnected():
                return []

    def _begin(self, now: Instant) -> list[Effect]:
        """Once, as soon as the epoch is held: take over what is in force.

        It is issued under this epoch with the first tick, which waits for the beats of agents that come back:
        an intent that cites no nonce of theirs proves nothing to them, and would be refused as stale.
        """
        if self._has_begun or not self.authority.is_active:
            return []
        self._has_begun = True
        earlier = self.authority.adopted
        out = self.desk.adopt(earlier, now) if earlier is not None else []
        release = self.authority.will.release
        if earlier is not None and earlier.release.counter > release.counter:
            release = earlier.release
        adopted = bool(self.desk.mitigations or self.desk.topologies)
        self.authority.will = Will(release)
        self._to_issue = Purpose.MITIGATION if adopted else Purpose.RELEASE
        wait_us = round(self.settings.tick_s * 1e6)
        out.append(self._tick_in(min(wait_us, self.dispatch.renew_us) if adopted else wait_us, now))
        if self.settings.survey_s > 0.0:
            out.append(SetTimer("survey", now.mono_us + round(self.settings.survey_s * 1e6)))
        if self.identifier is not None:
            out.append(self.identifier.begin(now))
        if adopted:
            self._blind_until_us = now.mono_us + self.registry.gone_us
            out += self.assessor.news(now)
        return out

    def _logged(self, report: Report, now: Instant) -> Append:
        return Append("incidents", encode([1, report.name, now.wall_us, dict(report.fields)]))

    def _message(self, event: Message, now: Instant) -> list[Effect]:
        keeps_all = self.desk.hub.incident is not None
        out = self.reception.take(event.subject, event.data, now, keeps_all=keeps_all)
        if out and self.desk.hub.state is State.LIFTING and self.dispatch.is_lift_over(now):
            out += self._lifted("acknowledged by all", now)
        return out

    # ---- timers ---------------------------------------------------------------------------------------

    def _tick(self, now: Instant) -> list[Effect]:
        tick_us = round(self.settings.tick_s * 1e6)
        wait_us = tick_us // _GIVES_WAY
        if self._gives_way("tick", is_command_near=self.dispatch.is_young(now, wait_us)):
            return [self._tick_in(wait_us, now)]
        self._return_tokens(now)
        again = self._tick_in(tick_us, now)
        first = self._issue(self._to_issue, now) if self._to_issue is not None else self.dispatch.tick(now)
        return [*first, *self.stops.standing(), *self.registry.sweep(now.mono_us), again]

    def _tick_in(self, wait_us: int, now: Instant) -> SetTimer:
        self.reception.tick_due_us = due_us = now.mono_us + wait_us
        return SetTimer("tick", due_us)

    def _renew(self, now: Instant) -> list[Effect]:
        wait_us = self.dispatch.renew_us // 2
        if self._gives_way("renew", is_command_near=self.desk.hub.is_calm_by(now.mono_us + wait_us)):
            return [SetTimer("renew", now.mono_us + wait_us)]
        return self.dispatch.renew(now)

    def _gives_way(self, timer: str, *, is_command_near: bool) -> bool:
        """Whether a timer's work waits for agents to answer a command first; it waits once, then it is done.

        A tick waits for a command that has just gone out, a renewal for a lift that is nearly due.
        """
        was_late = timer in self._late
        self._late.discard(timer)
        if is_command_near and not was_late:
            self._late.add(timer)
            return True
        return False

    def _resend(self, now: Instant) -> list[Effect]:
        out = self.dispatch.retry(now)
        if self.desk.hub.state is State.LIFTING and self.dispatch.is_lift_over(now):
            out += self._lifted("every lease is over", now)
        return out

    def _lifted(self, reason: str, now: Instant) -> list[Effect]:
        self._return_tokens(now)
        return self.desk.finish(reason, now)

    def _return_tokens(self, now: Instant) -> None:
        if self.desk.holds_tokens:
            obeying = (m.id for m in self.registry if m.position >= self.authority.position)
            self.desk.return_tokens(frozenset(obeying), now)

    def _assess(self, now: Instant) -> list[Effect]:
        suspects = self._suspects(now)
        if suspects:
            return self.assessor.assess(lambda seed: self.question(suspects, seed), now)
        if self.desk.hub.state is State.WATCHING:
            return []
        airborne = sum(1 for work in self.workloads.values() if work.active)
        return self._assessed(nothing_suspected(airborne, self.playbook), is_computed=False, now=now)

    def _suspects(self, now: Instant) -> dict[str, float]:
        """Give the suspects; one that is gone hands nothing over until its beats tell that it is back."""
        found = self.evidence.suspects(now.mono_us)
        gone = {m.id for m in self.registry if m.presence is Presence.GONE} if found else set()
        return {agent: probability for agent, probability in found.items() if agent not in gone}

    def _survey(self, now: Instant) -> list[Effect]:
        again = SetTimer("survey", now.mono_us + round(self.settings.survey_s * 1e6))
        return [*self.assessor.survey(lambda seed: self.question({}, seed)), again]

    def _identify(self, now: Instant) -> list[Effect]:
        if self.identifier is None:
            return []
        out = self.identifier.due(now)
        if self.desk.margin.age(now.mono_us):
            out += self.assessor.news(now)
        return out

    def question(self, suspects: Mapping[str, float], seed: int) -> Question:
        """Freeze what is known; an agent that is gone takes no work any more."""
        works = []
        for member in self.registry:
            work = self.workloads.get(member.id)
            if work is not None:
                is_gone = member.presence is Presence.GONE
                works.append(replace(work, available=False, active=False) if is_gone else work)
        tokens = self.desk.tokens.held if self.desk.tokens is not None else None
        present = self.registry.present()
        return Question(
            tuple(works), suspects, present, len(self.registry), self.playbook, seed, self.desk.area,
            self.desk.keep, tokens,
        )  # fmt: skip

    # ---- computations ---------------------------------------------------------------------------------

    def _computed(self, event: Computed, now: Instant) -> list[Effect]:
        if event.error:
            out: list[Effect] = [Report("computation.failed", {"name": event.name, "reason": event.error})]
        else:
            out = []
        result = event.result
        if event.name == "survey":
            self.assessor.is_surveying = False
            if isinstance(result, Survey):
                told: dict[str, Scalar] = {
                    "agent": result.agent, "probability": result.probability, "airborne": result.airborne,
                    "theta": self.playbook.risk.theta, "model": "percolation",
                }  # fmt: skip
                out.append(Report("risk.surveyed", told))
        elif event.name == "assess":
            self.assessor.is_assessing = False
            if isinstance(result, Assessment):
                out += self._assessed(result, is_computed=True, now=now)
            else:
                out += self.assessor.again(is_computed=True, now=now)
        elif event.name == "identify":
            out += self._identified(event, now)
        elif event.name == "plan":
            self.assessor.is_planning = False
            out += self._planned(result if isinstance(result, Plan) else None, now)
        return out

    def _identified(self, event: Computed, now: Instant) -> list[Effect]:
        if self.identifier is None:
            return []
        found = self.identifier.done(event.result, event.error, now)
        if found.report is None:
            return [Report("margin.unknown", told(found))]
        known = self.margin_found(found.report, now, self.identifier.read_us)
        return [*known, Report("margin.identified", told(found))]

    def _is_blind(self, now: Instant) -> bool:
        """Whether agents that an adopted incident restricts have still to tell how they are.

        Before that nothing says that the danger is over; one that stays silent until it counts as gone is
        waited for no longer.
        """
        if now.mono_us >= self._blind_until_us:
            return False
        restricted = (self.registry.get(agent) for agent in self.desk.members)
        return any(m is not None and (m.beat is None or m.id not in self.workloads) for m in restricted)

    def _assessed(self, found: Assessment, *, is_computed: bool, now: Instant) -> list[Effect]:
        blind = self._is_blind(now)
        answer = self.desk.assessed(found, self.authority.position.epoch, now, is_blind=blind)
        out = self._ordered(answer, now)
        return [*out, *self.assessor.again(is_computed=is_computed, now=now)]

    def _planned(self, plan: Plan | None, now: Instant) -> list[Effect]:
        available = sum(1 for work in self.workloads.values() if work.available and work.active)
        self.desk.grant(plan, len(self.registry), available)
        suspects = frozenset(self._suspects(now))
        return self._ordered(self.desk.planned(plan, suspects, now), now)

    def _ordered(self, answer: Answer, now: Instant) -> list[Effect]:
        out, order = answer
        if order is Order.PLAN:
            suspects = self._suspects(now)
            return [*out, *self.assessor.plan(lambda seed: self.question(suspects, seed))]
        if order is Order.ISSUE:
            is_lift = self.desk.hub.state is State.LIFTING
            return [*out, *self._issue(Purpose.LIFT if is_lift else Purpose.MITIGATION, now)]
        return out

    def _issue(self, purpose: Purpose, now: Instant) -> list[Effect]:
        self._to_issue = None
        will = replace(
            self.authority.will, mitigations=self.desk.mitigations, topologies=self.desk.topologies
        )
        if purpose is Purpose.RELEASE:
            targets = frozenset(self.registry.present())
        else:
            targets = frozenset(self.desk.members)
        return self.dispatch.issue(will, purpose, targets, self.desk.incident_id, now)

    # ---- what the application asks for ----------------------------------------------------------------

    def publish(self, release: Release, sealed: bytes, now: Instant) -> Effects:
        """Put a release in force: `sealed` is its bundle, signed by the release key.

        A counter that does not rise is refused: an agent would refuse it as well.
        """
        if release.counter <= self.authority.will.release.counter:
            fields: dict[str, Scalar] = {"release": release.counter, "reason": "the counter does not rise"}
            return (Report("release.refused", fields),)
        self.authority.will = replace(self.authority.will, release=release)
        out: list[Effect] = [
            Append("bundles", sealed),
            Store(self.names.bundle_key, sealed),
            Send(self.names.bundle, sealed),
            Report("release.published", {"release": release.counter, "digest": release.digest}),
        ]
        if self._has_begun:
            out += self._issue(Purpose.RELEASE, now)
        return (*out, *(self._logged(e, now) for e in out if isinstance(e, Report)))

    def enrol(self, agent: str, public: bytes, now: Instant) -> Effects:
        """Add an agent with its public key."""
        self.registry.enrol(agent, public)
        self.intake.trust({agent: public})
        told = Report("agent.enrolled", {"agent": agent, "key": public[:8].hex()})
        return (told, self._logged(told, now))

    def take_token(self, data: bytes, now: Instant) -> tuple[Token | WireError, Effects]:
        """Take a stop, or a signature that lifts one, from an operator; gives what it says, or why not."""
        try:
            token, out = self.stops.take(data, lambda agent: self.registry.get(agent) is not None)
        except WireError as error:
            refused = Report("stop.refused", {"code": error.code, "reason": error.message})
            return error, (refused, self._logged(refused, now))
        return token, (*out, *(self._logged(e, now) for e in out if isinstance(e, Report)))

    def margin_found(self, report: StabilityReport, now: Instant, read_us: int | None = None) -> Effects:
        """Take a report of the stability margin; the fleet is assessed at once where that is news.

        `read_us` is the monotonic time of the readings that it goes by; now, if it is left out.
        """
        is_news = self.desk.margin.take(report, now.mono_us if read_us is None else read_us)
        told = Report("margin.assessed", self.desk.margin.told(report))
        if not is_news:
            return (told,)
        return (told, self._logged(told, now), *self.assessor.news(now))

    def approve(self, incident: str, who: str, now: Instant, *, is_approved: bool) -> Effects:
        """Answer for a plan that waits for a person; without effect where none waits for this incident."""
        if incident != self.desk.incident_id:
            return ()
        return tuple(self._ordered(self.desk.settle(is_approved, who, now), now))
