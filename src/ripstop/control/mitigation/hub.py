"""The incident's state machine: when to step in, when to hold, when to let go, and never to flap.

    watching -- risk entered --> computing -- planned --> mitigating -- calmed --> lifting -> watching
                                     |  needs a person --> awaiting -- approved --> mitigating
                                     |  nothing helps  --> watching        refused --> watching

The risk that ends an incident is the one *with the mitigations taken away*: leaving on the mitigated risk
flaps. An undecided interval holds whatever is the case.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from .playbook import Playbook


class State(Enum):
    """Where the fleet's incident stands; WATCHING means that there is none."""

    WATCHING = "watching"
    COMPUTING = "computing"
    AWAITING = "awaiting"
    MITIGATING = "mitigating"
    LIFTING = "lifting"


class Cue(Enum):
    """What moves an incident on."""

    ENTERED = "entered"
    PLANNED = "planned"
    UNPLANNABLE = "unplannable"
    ASKED = "asked"
    APPROVED = "approved"
    REFUSED = "refused"
    CALMED = "calmed"
    LIFTED = "lifted"


TRANSITIONS: dict[tuple[State, Cue], State] = {
    (State.WATCHING, Cue.ENTERED): State.COMPUTING,
    (State.COMPUTING, Cue.PLANNED): State.MITIGATING,
    (State.COMPUTING, Cue.ASKED): State.AWAITING,
    (State.COMPUTING, Cue.UNPLANNABLE): State.WATCHING,
    (State.AWAITING, Cue.APPROVED): State.MITIGATING,
    (State.AWAITING, Cue.REFUSED): State.WATCHING,
    (State.AWAITING, Cue.CALMED): State.WATCHING,
    (State.MITIGATING, Cue.PLANNED): State.MITIGATING,
    (State.MITIGATING, Cue.CALMED): State.LIFTING,
    (State.LIFTING, Cue.ENTERED): State.COMPUTING,
    (State.LIFTING, Cue.LIFTED): State.WATCHING,
}


class Level(Enum):
    """Where a risk's interval lies against the playbook's thresholds."""

    HIGH = "high"
    LOW = "low"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Risk:
    """P(fault | evidence) x P(cascade | fault) by one model, with its interval and how it was found."""

    model: str
    probability: float
    low: float
    high: float
    trials: int
    expected_share: float


def level(
    risk: Risk, playbook: Playbook, *, triggered: bool, is_margin_short: bool = False, is_blind: bool = False
) -> Level:
    """Place a risk: HIGH needs the playbook's trigger besides, and less where the margin is short.

    What is computed while blind, with reports still to come, may find too little and never too much: it can
    be HIGH, it is not LOW.
    """
    if risk.high < playbook.risk.exit:
        return Level.UNDECIDED if is_blind else Level.LOW
    if risk.low >= entrance(playbook, is_margin_short=is_margin_short) and triggered:
        return Level.HIGH
    return Level.UNDECIDED


def entrance(playbook: Playbook, *, is_margin_short: bool) -> float:
    """Give the risk at which an incident opens."""
    rule = playbook.stability
    return rule.enter if rule is not None and is_margin_short else playbook.risk.enter


_HOUR_US = 3_600_000_000


@dataclass(slots=True)
class Incident:
    """One incident from its opening to its close, in the control plane's monotonic time."""

    id: str
    opened_us: int
    suspects: tuple[str, ...]
    reason: str = ""


@dataclass(slots=True)
class IncidentHub:
    """Holds the one incident that a fleet can have at a time, and its clocks."""

    playbook: Playbook
    state: State = State.WATCHING
    incident: Incident | None = None
    opened: int = 0
    _calm_since_us: int | None = None
    _recent_us: list[int] = field(default_factory=list)
    _quiet_until_us: int = 0

    def cue(self, cue: Cue) -> bool:
        """Move on; False where the cue means nothing in this state."""
        following = TRANSITIONS.get((self.state, cue))
        if following is None:
            return False
        self.state = following
        if following is State.WATCHING:
            self.incident = None
            self._calm_since_us = None
        return True

    def open(self, incident_id: str, suspects: tuple[str, ...], now_us: int) -> Incident | None:
        """Enter: open an incident, or take up again the one that was being lifted."""
        if self.state is State.WATCHING and now_us < self._quiet_until_us:
            return None
        if not self.cue(Cue.ENTERED):
            return None
        self._calm_since_us = None
        if self.incident is None:
            self.opened += 1
            self._recent_us = [t for t in self._recent_us if now_us - t < _HOUR_US] + [now_us]
            self.incident = Incident(incident_id, now_us, suspects)
        return self.incident

    def adopt(self, incident_id: str, now_us: int) -> Incident:
        """Take over an incident that an earlier control plane had in force."""
        self.state = State.MITIGATING
        self.opened += 1
        self._recent_us.append(now_us)
        self.incident = Incident(incident_id, now_us, (), "adopted")
        return self.incident

    def hold_off(self, now_us: int) -> None:
        """Stay out for a dwell time after a plan was refused or none was found."""
        self._quiet_until_us = now_us + round(self.dwell_s(now_us) * 1e6)

    def dwell_s(self, now_us: int) -> float:
        """Give how long the risk must stay low: doubled with each further incident within the hour.

        This bounds the transitions: a fault that comes and goes at any frequency finds the mitigations held
        for longer and longer, up to the playbook's `dwell_max_s`.
        """
        earlier = sum(1 for t in self._recent_us if now_us - t < _HOUR_US) - 1
        doubled: float = self.playbook.dwell_s * 2.0 ** min(max(0, earlier), 30)
        return min(doubled, self.playbook.dwell_max_s)

    def calm(self, found: Level, now_us: int) -> bool:
        """Note a level while mitigating or awaiting; True when it has been low for the whole dwell time."""
        if found is not Level.LOW:
            self._calm_since_us = None
            return False
        if self._calm_since_us is None:
            self._calm_since_us = now_us
        return self.is_calm_by(now_us)

    def is_calm_by(self, at_us: int) -> bool:
        """Whether the dwell time is over at a time, if the risk stays as low as it is now."""
        since_us = self._calm_since_us
        return since_us is not None and at_us - since_us >= self.dwell_s(at_us) * 1e6
