"""The incident desk: turns assessments into plans, plans into intents, and lets go when the danger is over.

It holds no clock and no socket: what is to be done comes back as effects and an `Order` to the node, which
alone issues intents.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from ripstop.core.clock import Instant
from ripstop.core.intent import Intent, Mitigation, MitigationKind, OnSilence, Topology
from ripstop.core.node import Effect, Report, Scalar, SetTimer

from .mitigation.assessment import Assessment
from .mitigation.forecast import fault_probability
from .mitigation.hub import Cue, IncidentHub, Level, Risk, State, entrance, level
from .mitigation.isolation import TokenBook
from .mitigation.plan import Plan, places_of
from .mitigation.playbook import Playbook, Verdict
from .mitigation.shedding import Area, shedding_policy
from .mitigation.stability import MarginWatch
from .mitigation.topology import star
from .mitigation.trigger import Trigger

_REPLAN_US = 5_000_000
_NAMED = 5


class Order(Enum):
    """What the node is to do next for the desk."""

    NOTHING = "nothing"
    PLAN = "plan"
    ISSUE = "issue"


Answer = tuple[list[Effect], Order]


@dataclass(slots=True)
class IncidentDesk:
    """Owns the hub, the plan in force and the isolation tokens.

    `mitigations` and `topologies` are what the next intent is to carry, `members` whom it restricts.
    """

    playbook: Playbook
    hub: IncidentHub = field(init=False)
    tokens: TokenBook | None = field(init=False)
    margin: MarginWatch = field(init=False)
    mitigations: tuple[Mitigation, ...] = ()
    topologies: tuple[Topology, ...] = ()
    area: Area | None = None
    keep: int | None = None
    _trigger: Trigger = field(init=False)
    _proposed: Plan | None = None
    members: tuple[str, ...] = ()
    _planned_us: int = 0
    _planned_for: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.hub = IncidentHub(self.playbook)
        self._trigger = Trigger(self.playbook.trigger)
        self.margin = MarginWatch(self.playbook.stability)
        rung = self.playbook.ladder.isolate
        self.tokens = TokenBook(rung) if rung else None

    @property
    def incident_id(self) -> str:
        """Give the id of the open incident, or nothing."""
        return self.hub.incident.id if self.hub.incident else ""

    def adopt(self, earlier: Intent, now: Instant) -> list[Effect]:
        """Take over what an earlier control plane had in force: the protection outlives it."""
        if not (earlier.mitigations or earlier.topologies):
            return []
        names = [m.incident for m in earlier.mitigations] + [t.region for t in earlier.topologies]
        self.mitigations, self.topologies = earlier.mitigations, earlier.topologies
        groups = [m.targets for m in earlier.mitigations] + [t.members for t in earlier.topologies]
        self.members = tuple(sorted({agent for group in groups for agent in group}))
        for mitigation in earlier.mitigations:
            if mitigation.token and self.tokens is not None:
                for agent in mitigation.targets:
                    self.tokens.restore(agent, mitigation.token)
        self.hub.adopt(names[0], now.mono_us)
        return [Report("incident.adopted", {"incident": names[0], "agents": len(self.members)})]

    # ---- assessments ----------------------------------------------------------------------------------

    def assessed(self, found: Assessment, epoch: int, now: Instant, *, is_blind: bool = False) -> Answer:
        """Take an assessment with the mitigations taken away; `is_blind` where it lacks agents' reports."""
        triggered = self._trigger.holds(self._report(found))
        at = level(
            found.risk, self.playbook, triggered=triggered, is_margin_short=self.margin.is_short,
            is_blind=is_blind,
        )  # fmt: skip
        out: list[Effect] = [self._told(risk, found, at) for risk in (found.risk, found.other)]
        hub = self.hub
        if hub.state in (State.WATCHING, State.LIFTING):
            if at is Level.HIGH:
                return self._enter(found, epoch, now, out)
        elif hub.state is State.MITIGATING:
            if hub.calm(at, now.mono_us):
                return self._lift(now, out)
            if at is not Level.LOW and self._must_replan(found, now):
                return out, Order.PLAN
        elif hub.state is State.AWAITING and hub.calm(at, now.mono_us):
            out.append(self._closed("calmed before an approval", now))
            hub.cue(Cue.CALMED)
            self._proposed = None
            self._forget()
        return out, Order.NOTHING

    def _report(self, found: Assessment) -> dict[str, float]:
        rule, risk, other = self.playbook.risk, found.risk, found.other
        return {
            "probability": risk.probability, "low": risk.low, "high": risk.high,
            "enter": entrance(self.playbook, is_margin_short=self.margin.is_short),
            "exit": rule.exit, "theta": rule.theta,
            "suspects": len(found.suspects), "airborne": found.airborne,
            "fault_probability": fault_probability(found.suspects), "expected_share": risk.expected_share,
            "other_probability": other.probability, "other_low": other.low, "other_high": other.high,
            **self.margin.signals(),
        }  # fmt: skip

    def _told(self, risk: Risk, found: Assessment, at: Level) -> Report:
        surest = sorted(found.suspects, key=lambda agent: (-found.suspects[agent], agent))
        fields: dict[str, Scalar] = {
            "incident": self.incident_id,
            "model": risk.model,
            "triggers": risk is found.risk,
            "level": at.value if risk is found.risk else "",
            "probability": risk.probability,
            "low": risk.low,
            "high": risk.high,
            "trials": risk.trials,
            "expected_share": risk.expected_share,
            "fault_probability": fault_probability(found.suspects),
            "suspects": len(found.suspects),
            "agent": ",".join(surest[:_NAMED]),
            "airborne": found.airborne,
            "theta": self.playbook.risk.theta,
        }
        return Report("risk.assessed", fields)

    def _enter(self, found: Assessment, epoch: int, now: Instant, out: list[Effect]) -> Answer:
        was_lifting = self.hub.state is State.LIFTING
        name = f"incident-{epoch}-{self.hub.opened + 1}"
        incident = self.hub.open(name, tuple(sorted(found.suspects)), now.mono_us)
        if incident is None:
            return out, Order.NOTHING
        event = "incident.relapsed" if was_lifting else "incident.opened"
        fields: dict[str, Scalar] = {
            "incident": incident.id,
            "model": found.risk.model,
            "probability": found.risk.probability,
            "low": found.risk.low,
            "suspects": len(found.suspects),
            "agent": ",".join(sorted(found.suspects)[:_NAMED]),
        }
        return [*out, Report(event, fields)], Order.PLAN

    def _must_replan(self, found: Assessment, now: Instant) -> bool:
        """New suspects, or work picked up far from what is covered: at most every five seconds."""
        if now.mono_us - self._planned_us < _REPLAN_US or found.load is None:
            return False
        if not found.suspects.keys() <= self._planned_for or self.area is None:
            return True
        places = places_of(found.load, found.suspects)
        return not self.area.covers(places, self.area.radius_m / 2.0)

    # ---- plans ----------------------------------------------------------------------------------------

    def planned(self, plan: Plan | None, suspects: frozenset[str], now: Instant) -> Answer:
        """Take the planner's answer."""
        hub = self.hub
        self._planned_us = now.mono_us
        if plan is None:
            if hub.state is not State.COMPUTING:
                return [], Order.NOTHING
            told = Report("mitigation.unplannable", {"incident": self.incident_id})
            closed = self._closed("no rung of the ladder may be used", now)
            hub.hold_off(now.mono_us)
            hub.cue(Cue.UNPLANNABLE)
            self._forget()
            return [told, closed], Order.NOTHING
        self._planned_for |= suspects
        approval = self.playbook.approval
        if approval and plan.share > approval.above_share and hub.state is State.COMPUTING:
            hub.cue(Cue.ASKED)
            self._proposed = plan
            asked: dict[str, Scalar] = {
                "incident": self.incident_id,
                "share": plan.share,
                "default": approval.default.value,
            }
            until = now.mono_us + round(approval.deadline_s * 1e6)
            return [Report("approval.requested", asked), SetTimer("approval", until)], Order.NOTHING
        return self._apply(plan, Cue.PLANNED, now)

    def settle(self, is_approved: bool | None, who: str, now: Instant) -> Answer:
        """Take a person's answer, or None when the deadline has passed."""
        if self.hub.state is not State.AWAITING or self._proposed is None or self.playbook.approval is None:
            return [], Order.NOTHING
        default = self.playbook.approval.default is Verdict.APPLY
        yes = default if is_approved is None else is_approved
        told = Report("approval.settled", {"incident": self.incident_id, "approved": yes, "by": who})
        plan, self._proposed = self._proposed, None
        if yes:
            out, order = self._apply(plan, Cue.APPROVED, now)
            return [told, *out], order
        closed = self._closed("refused", now)
        self.hub.hold_off(now.mono_us)
        self.hub.cue(Cue.REFUSED)
        self._forget()
        return [told, closed], Order.NOTHING

    def _apply(self, plan: Plan, cue: Cue, now: Instant) -> Answer:
        if not self.hub.cue(cue):
            return [], Order.NOTHING
        before = (self.mitigations, self.topologies)
        self.area, self.keep = plan.area, plan.keep
        self.members = tuple(sorted({*self.members, *plan.members}))
        self.mitigations = (*self._shed(plan), *self._isolated(plan))
        rung = self.playbook.ladder.star
        self.topologies = (star(self.incident_id, rung, self.members, self.playbook),) if rung else ()
        if before == (self.mitigations, self.topologies):
            return [], Order.NOTHING
        return [self._plan_told(plan)], Order.ISSUE

    def _shed(self, plan: Plan) -> tuple[Mitigation, ...]:
        rung = self.playbook.ladder.shed
        if rung is None or plan.keep is None:
            return ()
        name = f"mitigation/{self.incident_id}/shed"
        policy = shedding_policy(name, self.playbook.vocabulary, rung, plan.keep, plan.area)
        return (
            Mitigation(
                name, self.incident_id, MitigationKind.SHED, self.members, policy, self.playbook.lease_s,
                rung.on_silence, rung.hold_s,
            ),
        )  # fmt: skip

    def _isolated(self, plan: Plan) -> tuple[Mitigation, ...]:
        rung = self.playbook.ladder.isolate
        if rung is None or self.tokens is None:
            return ()
        held = self.tokens.held
        return tuple(
            Mitigation(
                f"mitigation/{self.incident_id}/isolate/{agent}", self.incident_id, MitigationKind.ISOLATE,
                (agent,), "", self.playbook.lease_s, OnSilence.HOLD, rung.hold_s, held[agent],
            )
            for agent in plan.isolated
            if agent in held
        )  # fmt: skip

    def grant(self, plan: Plan | None, registered: int, available: int) -> None:
        """Spend the tokens that a plan needs; who gets none is not isolated."""
        for agent in plan.isolated if plan and self.tokens else ():
            if self.tokens is not None:
                self.tokens.grant(agent, registered, available)

    @property
    def holds_tokens(self) -> bool:
        """Whether isolation tokens are out."""
        return self.tokens is not None and bool(self.tokens.held)

    def return_tokens(self, obeying: frozenset[str], now: Instant) -> None:
        """Take back the tokens of agents that obey the intent in force, where it does not isolate them.

        Where the isolation ends by itself, a token of one that does not answer comes back when lease and
        hold are over, with a tenth of them to spare for its clock.
        """
        if self.tokens is None or self.playbook.ladder.isolate is None:
            return
        self.tokens.sweep(now.mono_us)
        wanted = {agent for m in self.mitigations if m.token for agent in m.targets}
        hold_s = self.playbook.ladder.isolate.hold_s
        for agent in sorted(self.tokens.held.keys() - wanted):
            if agent in obeying:
                self.tokens.give_back(agent)
            elif hold_s:
                self.tokens.lapse(agent, now.mono_us + round(1.1e6 * (hold_s + self.playbook.lease_s)))

    def _plan_told(self, plan: Plan) -> Report:
        chosen = plan.chosen
        fields: dict[str, Scalar] = {
            "incident": self.incident_id,
            "plan": chosen.name,
            "keep": plan.keep,
            "risk_after": chosen.risk.probability,
            "is_enough": plan.is_enough,
            "has_star": self.playbook.ladder.star is not None,
            "relies_on_star": chosen.star,
            "cost": chosen.cost,
            "tried": "; ".join(f"{t.name}: {t.risk.probability:.3f}" for t in plan.trials),
            "targets": len(self.members),
            "share": plan.share,
            "centres": len(plan.area.centres),
            "radius_m": plan.area.radius_m,
            "isolated": len(plan.isolated),
        }
        return Report("mitigation.planned", fields)

    # ---- the end --------------------------------------------------------------------------------------

    def _lift(self, now: Instant, out: list[Effect]) -> Answer:
        self.hub.cue(Cue.CALMED)
        told = Report("mitigation.lifting", {"incident": self.incident_id, "agents": len(self.members)})
        self.mitigations, self.topologies = (), ()
        return [*out, told], Order.ISSUE

    def finish(self, reason: str, now: Instant) -> list[Effect]:
        """The fleet has acknowledged that everything is lifted, or every lease is over."""
        if self.hub.state is not State.LIFTING:
            return []
        closed = self._closed(reason, now)
        self.hub.cue(Cue.LIFTED)
        self._forget()
        return [closed]

    def _closed(self, reason: str, now: Instant) -> Report:
        incident = self.hub.incident
        lasted = (now.mono_us - incident.opened_us) / 1e6 if incident else 0.0
        return Report(
            "incident.closed", {"incident": self.incident_id, "reason": reason, "duration_s": lasted}
        )

    def _forget(self) -> None:
        self.mitigations, self.topologies = (), ()
        self.area = self.keep = None
        self.members, self._planned_for = (), frozenset()
