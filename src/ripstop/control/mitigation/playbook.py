"""A playbook: when the ground steps in, what it may do, to whom, and when it lets go again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from ripstop.core.canonical import Json, digest
from ripstop.core.errors import ConfigurationError, Place
from ripstop.core.intent import OnSilence

from .document import DocumentReader


class Model(Enum):
    """The risk models that a playbook may name as the one that triggers."""

    LOAD = "load"
    PERCOLATION = "percolation"


class End(Enum):
    """Which end of the priorities is shed; 1 is the most important."""

    LEAST_IMPORTANT = "least_important"
    MOST_IMPORTANT = "most_important"


class Verdict(Enum):
    """What an approval that nobody gave in time turns into."""

    APPLY = "apply"
    REFUSE = "refuse"


MOST_BUSES = 24  # 3 s a fit; 32 take 10, so that at a tenth of a core a margin is too old before the next


def _demand(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)


@dataclass(frozen=True, slots=True)
class RiskRule:
    """The question asked of the risk models, and the two thresholds of the answer.

    The risk is P(fault | evidence) x P(share of the airborne fleet that fails > `theta`). An incident opens
    when the interval's low end reaches `enter` and ends when the high end, with the mitigations taken away,
    stays under `exit`. A plan is good enough when the risk that remains is at most `target`.
    """

    model: Model
    theta: float
    enter: float
    exit: float
    target: float
    trials: int = 200
    plan_trials: int = 200

    def __post_init__(self) -> None:
        _demand(0.0 < self.theta < 1.0, "`theta` must lie between 0 and 1")
        _demand(0.0 <= self.exit < self.enter <= 1.0, "`exit` must be less than `enter`, both within 0..1")
        _demand(0.0 <= self.target <= self.enter, "`target` must lie between 0 and `enter`")
        _demand(10 <= self.trials <= 100_000, "`trials` must lie within 10..100000")
        _demand(10 <= self.plan_trials <= 100_000, "`plan_trials` must lie within 10..100000")


class Unknown(Enum):
    """What a margin that is not known counts as."""

    SHORT = "short"
    AMPLE = "ample"


@dataclass(frozen=True, slots=True)
class IdentifyRule:
    """How the swing model is identified from what the agents, one a bus, report.

    `lines` names the buses that may be joined; `machines` those that have inertia, all of them if empty.
    `power`, `frequency` (Hz), `angle` (rad) and `reserve` are signals; `base_power` is 1 p.u. in the unit of
    power and reserve. Readings are put on a grid of `step_s`, over `window_s`; two that are more than `gap_s`
    apart (2.5 steps, if 0) leave a hole. A fit starts every `every_s`, and takes at most `share` of a core.

    A model speaks if it explains at least `explained` of the changes that it has not seen, its successive
    errors correlate by at most `correlation`, and the interval of the damping is no wider than `widest`.
    A margin from readings older than `max_age_s` is not known, and counts as `on_unknown` says; so it does
    before the first.
    """

    lines: tuple[tuple[str, ...], ...]
    power: str
    on_unknown: Unknown
    step_s: float
    window_s: float
    frequency: str = ""
    angle: str = ""
    reserve: str = ""
    machines: tuple[str, ...] = ()
    base_power: float = 1.0
    gap_s: float = 0.0
    every_s: float = 10.0
    share: float = 0.1
    max_age_s: float = 60.0
    explained: float = 0.5
    correlation: float = 0.5
    widest: float = 0.1

    def __post_init__(self) -> None:
        _demand(bool(self.lines), "`lines` must name at least one line")
        _demand(all(len(set(line)) == 2 == len(line) for line in self.lines), "a line joins two buses")
        _demand(len(self.buses) <= MOST_BUSES, f"`lines` name {len(self.buses)} buses, at most {MOST_BUSES}")
        _demand(set(self.machines) <= set(self.buses), "`machines` must be buses that `lines` name")
        _demand(bool(self.power), "`power` must name a signal")
        _demand(bool(self.frequency or self.angle), "`frequency` or `angle` must name a signal")
        for name in ("step_s", "base_power", "every_s", "max_age_s", "widest"):
            _demand(getattr(self, name) > 0.0, f"`{name}` must be positive")
        steps = self.window_s / self.step_s
        _demand(10.0 <= steps <= 10_000.0, "`window_s` must hold 10 to 10000 steps of `step_s`")
        _demand(self.gap_s == 0.0 or self.gap_s >= self.step_s, "`gap_s` must be 0 or at least `step_s`")
        for name in ("share", "explained", "correlation"):
            _demand(0.0 < getattr(self, name) <= 1.0, f"`{name}` must lie within 0..1 and not be 0")
        if self.gap_s == 0.0:
            object.__setattr__(self, "gap_s", 2.5 * self.step_s)

    @property
    def buses(self) -> tuple[str, ...]:
        """The agents that lines name, in order of their first mention."""
        return tuple(dict.fromkeys(bus for line in self.lines for bus in line))

    @property
    def ends(self) -> list[tuple[int, int]]:
        """The lines by positions of their buses."""
        place = {bus: i for i, bus in enumerate(self.buses)}
        return [(place[one], place[other]) for one, other in self.lines]

    @property
    def is_machine(self) -> list[bool]:
        """By bus, whether it has inertia."""
        return [not self.machines or bus in self.machines for bus in self.buses]


@dataclass(frozen=True, slots=True)
class StabilityRule:
    """When a network's stability margin counts as short, and what follows.

    Damping is a ratio, headroom in p.u.; both go by the lower end of their interval, with hysteresis
    (`ripstop.risk.MarginTrigger`). While the margin is short, an incident opens at a risk of `enter`. The
    application hands reports of the margin in, or `identify` says how the ground finds it by itself.
    """

    enter: float
    damping_enter: float = 0.03
    damping_exit: float = 0.05
    headroom_enter: float = 0.0
    headroom_exit: float = 0.0
    identify: IdentifyRule | None = None

    def __post_init__(self) -> None:
        _demand(0.0 <= self.enter <= 1.0, "`enter` must lie within 0..1")
        _demand(self.damping_exit >= self.damping_enter, "`damping_exit` must not be below `damping_enter`")
        _demand(
            self.headroom_exit >= self.headroom_enter, "`headroom_exit` must not be below `headroom_enter`"
        )


@dataclass(frozen=True, slots=True)
class Handover:
    """How the fleet hands work over when an agent gives up: what the dependency graph is built with.

    A candidate is an available agent within `range_m` of the one that gives up, nearest first, at most
    `candidates` of them. `per_cycle` items move a cycle. `sigma` is the standard deviation of the cost's
    estimate (the unit of `Workload.spare`), `load_factor` the extra cost of a metre per unit of load carried.
    `spread` is the chance that an item goes to the nearest, then to the next, and so on (percolation only).
    `overdraft` is how far below nothing `Workload.spare` may fall before an agent gives up, same unit.
    """

    range_m: float
    per_cycle: int = 2
    candidates: int = 24
    sigma: float = 1.0
    load_factor: float = 0.0
    spread: float = 0.5
    overdraft: float = 0.0

    def __post_init__(self) -> None:
        _demand(self.range_m > 0.0, "`range_m` must be positive")
        _demand(1 <= self.per_cycle <= 1000, "`per_cycle` must lie within 1..1000")
        _demand(1 <= self.candidates <= 256, "`candidates` must lie within 1..256")
        _demand(self.sigma > 0.0, "`sigma` must be positive")
        _demand(self.load_factor >= 0.0, "`load_factor` must not be negative")
        _demand(self.overdraft >= 0.0, "`overdraft` must not be negative")
        _demand(0.0 < self.spread <= 1.0, "`spread` must lie within 0..1 and not be 0")


@dataclass(frozen=True, slots=True)
class ShedRung:
    """Load shedding: work beyond a priority pauses within `radius_m` of the faulty and its pick-ups.

    `keep` lists the priorities tried as the last that goes on, the mildest first.
    """

    radius_m: float
    keep: tuple[int, ...]
    actions: tuple[str, ...]
    sheds: End = End.LEAST_IMPORTANT
    on_silence: OnSilence = OnSilence.REVERT
    hold_s: float = 0.0

    def __post_init__(self) -> None:
        _demand(self.radius_m > 0.0, "`radius_m` must be positive")
        _demand(bool(self.keep), "`keep` must name at least one priority")
        _demand(bool(self.actions), "`actions` must name at least one action")


@dataclass(frozen=True, slots=True)
class StarRung:
    """Reroute: the region's peers speak through a hub that checks each hand-over.

    With `relied_on` false its checks are counted on only where no other rung is enough by itself.
    """

    hub: str
    successor: str = ""
    relied_on: bool = False
    on_silence: OnSilence = OnSilence.REVERT


@dataclass(frozen=True, slots=True)
class IsolateRung:
    """Isolation of the suspects, the last rung: at most `cap` of the registered fleet, ever.

    `least_capacity` is the share of the available agents that must remain.
    """

    cap: float
    least_capacity: float = 0.5
    hold_s: float = 0.0

    def __post_init__(self) -> None:
        _demand(0.0 <= self.cap <= 0.5, "`cap` must lie within 0..0.5")
        _demand(0.0 <= self.least_capacity <= 1.0, "`least_capacity` must lie within 0..1")


@dataclass(frozen=True, slots=True)
class Ladder:
    """The rungs that the planner may use; a missing rung is never used."""

    shed: ShedRung | None = None
    star: StarRung | None = None
    isolate: IsolateRung | None = None

    def __post_init__(self) -> None:
        _demand(any((self.shed, self.star, self.isolate)), "the ladder has no rung")


@dataclass(frozen=True, slots=True)
class Approval:
    """A person is asked when a plan touches more than `above_share`; silence means `default`."""

    above_share: float
    deadline_s: float
    default: Verdict

    def __post_init__(self) -> None:
        _demand(0.0 <= self.above_share <= 1.0, "`above_share` must lie within 0..1")
        _demand(self.deadline_s > 0.0, "`deadline_s` must be positive")


@dataclass(frozen=True, slots=True)
class Playbook:
    """A playbook as loaded. `trigger` is JSON-Logic over the risk report, an extra condition to enter.

    `evidence` maps what is seen of an agent to the probability that it fails. `dwell_s` is how long the risk
    must stay low; it doubles with each incident within the hour, up to `dwell_max_s`, so that a fault that
    comes and goes cannot make the fleet flap. `largest_share` of the present fleet may be restricted.
    """

    playbook: int
    id: str
    vocabulary: str
    trigger: Mapping[str, object]
    risk: RiskRule
    evidence: Mapping[str, float]
    handover: Handover
    ladder: Ladder
    dwell_s: float
    lease_s: float
    title: str = ""
    dwell_max_s: float = 300.0
    largest_share: float = 1.0
    approval: Approval | None = None
    stability: StabilityRule | None = None
    digest: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        _demand(self.playbook == 1, "`playbook` must be 1, the only version there is")
        _demand(bool(self.id), "`id` must not be empty")
        _demand(bool(self.trigger), "`trigger` must hold an expression")
        _demand(self.dwell_s > 0.0, "`dwell_s` must be positive")
        _demand(self.dwell_max_s >= self.dwell_s, "`dwell_max_s` must be at least `dwell_s`")
        _demand(self.lease_s > 0.0, "`lease_s` must be positive")
        _demand(0.0 < self.largest_share <= 1.0, "`largest_share` must lie within 0..1 and not be 0")
        if self.stability is not None:
            within = self.risk.exit < self.stability.enter <= self.risk.enter
            _demand(within, "`stability.enter` must lie above `risk.exit`, and not above `risk.enter`")
        for name, value in self.evidence.items():
            _demand(name in EVIDENCE, f"`evidence.{name}` is unknown (known: {', '.join(EVIDENCE)})")
            _demand(0.0 <= value <= 1.0, f"`evidence.{name}` is a probability, within 0..1")


EVIDENCE = ("anomaly", "breaker_open", "work_abandoned")


def read_playbook(document: Mapping[str, Json], places: Mapping[str, Place] | None = None) -> Playbook:
    """Build a playbook from a parsed document; `places` tells where its values stand, by JSON pointer.

    Raises:
        ConfigurationError: C0201 with every finding, where it does not fit.
    """
    reader = DocumentReader(places)
    found = reader.record(Playbook, {key: value for key, value in document.items() if key != "digest"})
    if "digest" in document:
        reader.find("unknown key `digest`", "/digest")
    if found is None or reader.findings:
        raise _joined(reader.findings)
    return _with_digest(found, digest(document))


def _with_digest(playbook: Playbook, value: str) -> Playbook:
    object.__setattr__(playbook, "digest", value)
    return playbook


def _joined(findings: list[ConfigurationError]) -> ConfigurationError:
    first = findings[0]
    if len(findings) == 1:
        return first
    more = "; ".join(f"{f.message} at `{(f.place and f.place.pointer) or '/'}`" for f in findings[1:6])
    return ConfigurationError(
        f"{first.message}; and {len(findings) - 1} more: {more}",
        code=first.code, hint=first.hint, place=first.place,
    )  # fmt: skip
