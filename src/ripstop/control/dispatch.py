"""Brings a change of will to the fleet: issues it, keeps its leases alive, asks again, counts the answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from ripstop.core.clock import Instant
from ripstop.core.intent import Position
from ripstop.core.messages import AckStatus
from ripstop.core.node import Append, Effect, Report, Scalar, SetTimer

from .authority import Authority, Will
from .campaign import Campaign
from .registry import Presence, Registry


class Purpose(Enum):
    """Why a will changed; each purpose has at most one campaign under way."""

    MITIGATION = "mitigation"
    LIFT = "lift"
    RELEASE = "release"


_COMPLETE = {
    Purpose.MITIGATION: "mitigation.complete",
    Purpose.LIFT: "mitigation.lifted",
    Purpose.RELEASE: "release.complete",
}
_INCOMPLETE = {
    Purpose.MITIGATION: "mitigation.incomplete",
    Purpose.LIFT: "lift.incomplete",
    Purpose.RELEASE: "release.incomplete",
}
_NAMED = 5


@dataclass(slots=True)
class Dispatch:
    """Owns the authority and the campaigns. Leases are renewed four times in their length.

    A changed will goes out at once, on the tick that agents have; a renewal on a new tick, which makes the
    lease begin later. So a first lease may be shorter by the time between two renewals, never more.
    """

    authority: Authority
    registry: Registry
    lease_s: float
    _addressed: frozenset[str] = frozenset()  # to whom the tick proves something that the last intent cites
    _campaigns: dict[Purpose, Campaign] = field(default_factory=dict)

    def campaign(self, purpose: Purpose) -> Campaign | None:
        """Give the campaign under way for a purpose, or the last one that ended incomplete."""
        return self._campaigns.get(purpose)

    @property
    def renew_us(self) -> int:
        """The time between two renewals."""
        return round(self.lease_s * 1e6 / 4.0)

    def issue(
        self, will: Will, purpose: Purpose, targets: frozenset[str], incident: str, now: Instant
    ) -> list[Effect]:
        """Issue a changed will and start to count the answers of `targets`."""
        authority = self.authority
        if not authority.is_active:
            authority.will = will
            return []
        out = self._sent(will, now, tick_age_us=self.renew_us)
        ends_us = now.mono_us + round(self.lease_s * 1e6)
        campaign = Campaign(authority.position, targets, now.mono_us, ends_us, incident)
        if purpose is not Purpose.RELEASE:
            self._campaigns.pop(Purpose.LIFT, None)
            self._campaigns.pop(Purpose.MITIGATION, None)
        self._campaigns[purpose] = campaign
        fields: dict[str, Scalar] = {
            "purpose": purpose.value,
            "incident": incident,
            "epoch": authority.position.epoch,
            "generation": authority.position.generation,
            "tick": authority.tick_number,
            "targets": len(targets),
            "release": will.release.counter,
            "size": len(authority.last_intent),
        }
        out.append(Report("intent.issued", fields))
        out.append(SetTimer("resend", now.mono_us + campaign.retry_after_us()))
        campaign.is_complete = not targets
        return out

    def _sent(self, will: Will, now: Instant, *, tick_age_us: int = 0) -> list[Effect]:
        out = self.authority.issue(will, self.registry.nonces(), now, tick_age_us=tick_age_us)
        self._addressed = frozenset(self.authority.echoed)
        out.append(Append("intents", self.authority.last_intent))
        if will.has_lease:
            out.append(SetTimer("renew", now.mono_us + self.renew_us))
        return out

    def renew(self, now: Instant) -> list[Effect]:
        """Issue the same will again, on a fresh tick: every lease begins anew."""
        if not (self.authority.is_active and self.authority.will.has_lease):
            return []
        return self._sent(self.authority.will, now)

    def tick(self, now: Instant) -> list[Effect]:
        """Send a tick, and the intent once more where somebody present has missed it.

        Who came later cannot prove it fresh: the tick tells them that they are behind, and they read its key.
        """
        out = self.authority.tick(self.registry.nonces(), now)
        position = self.authority.position
        answered = self._answered(now)
        waited_for = self._addressed - answered
        present = (m for m in self.registry if m.presence is Presence.PRESENT and m.id in waited_for)
        is_behind = any(member.position < position for member in present)
        if out and not self.authority.will.has_lease and is_behind:
            out += self.authority.resend()
        return out

    def _answered(self, now: Instant) -> set[str]:
        """Give who has acknowledged what is in force, as long as their beats may not tell it yet."""
        newest_us = now.mono_us - round(self.lease_s * 1e6)
        return {
            agent
            for campaign in self._campaigns.values()
            if campaign.position == self.authority.position and campaign.started_us > newest_us
            for agent in campaign.applied
        }

    def retry(self, now: Instant) -> list[Effect]:
        """Ask those again who have not answered; give up when their lease would be over."""
        out: list[Effect] = []
        next_us: int | None = None
        for purpose, campaign in tuple(self._campaigns.items()):
            if campaign.is_complete:
                continue
            if now.mono_us >= campaign.ends_us:
                out += self._ended(purpose, campaign)
                continue
            if campaign.unanswered() and next_us is None:
                out += self.authority.resend()
            campaign.tries += 1
            due = min(now.mono_us + campaign.retry_after_us(), campaign.ends_us)
            next_us = due if next_us is None else min(next_us, due)
        if next_us is not None:
            out.append(SetTimer("resend", next_us))
        return out

    def _ended(self, purpose: Purpose, campaign: Campaign) -> list[Effect]:
        missing = campaign.missing()
        del self._campaigns[purpose]
        fields: dict[str, Scalar] = {
            "incident": campaign.incident,
            "targets": len(campaign.targets),
            "applied": len(campaign.applied),
            "refused": len(campaign.refused),
            "unanswered": len(campaign.unanswered()),
            "agent": ",".join(missing[:_NAMED]),
        }
        return [Report(_INCOMPLETE[purpose], fields)]

    def answered(
        self, agent: str, position: Position, answer: tuple[AckStatus, str, str], now: Instant
    ) -> list[Effect]:
        """Take an answer: (status, reason, by which message it came)."""
        status, reason, road = answer
        out: list[Effect] = []
        for purpose, campaign in self._campaigns.items():
            if campaign.is_complete or not campaign.answer(agent, position, status, reason):
                continue
            fields: dict[str, Scalar] = {
                "agent": agent,
                "purpose": purpose.value,
                "status": status.value,
                "reason": reason,
                "road": road,
                "after_s": (now.mono_us - campaign.started_us) / 1e6,
            }
            out.append(Report("ack.received", fields))
            if campaign.targets <= campaign.applied:
                out += self._completed(purpose, campaign, now)
        return out

    def _completed(self, purpose: Purpose, campaign: Campaign, now: Instant) -> list[Effect]:
        campaign.is_complete = True
        fields: dict[str, Scalar] = {
            "incident": campaign.incident,
            "targets": len(campaign.targets),
            "after_s": (now.mono_us - campaign.started_us) / 1e6,
            "tries": campaign.tries,
        }
        return [Report(_COMPLETE[purpose], fields)]

    def is_young(self, now: Instant, age_us: int) -> bool:
        """Whether something was issued less than `age_us` ago that not everybody has answered."""
        under_way = (campaign for campaign in self._campaigns.values() if not campaign.is_complete)
        return any(now.mono_us - campaign.started_us < age_us for campaign in under_way)

    def is_lift_over(self, now: Instant) -> bool:
        """Whether everybody has acknowledged the lift, or every lease is over anyway."""
        campaign = self._campaigns.get(Purpose.LIFT)
        return campaign is None or campaign.is_complete or now.mono_us >= campaign.ends_us
