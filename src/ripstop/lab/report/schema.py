"""The report of a run as plain data: what `report.json` holds, and all that the page and the tables show.

Every `t_s` is in seconds of the scenario's own time, on one axis: 0 is the beginning of the run, and the
fault comes at `Live.fault_t_s`. `Step.wall_s` and `Live.fault_to_last_ack_s` are the exception: seconds of
wall time after the fault. Shares and probabilities are 0..1. A figure that nobody measured is None.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final, Literal

from ripstop.core.errors import ConfigurationError
from ripstop.lab.report import plain

FORMAT: Final = 1

DroneState = Literal["flying", "restricted", "aborted", "landed", "waiting"]
ArmName = Literal["no fault", "ungoverned", "local", "global", "both"]

ARMS: Final[tuple[ArmName, ...]] = ("no fault", "ungoverned", "local", "global", "both")


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over seeds with its interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Machine:
    """What the run was measured on."""

    cpu: str
    cores: int
    python: str


@dataclass(frozen=True, slots=True)
class Scenario:
    """The parameters of the run.

    `theta`: share of the airborne fleet whose grounding counts as a cascade. `enter`: the probability of a
    cascade from which on the playbook acts.
    """

    name: str
    agents: int
    city: str
    faulty_rule: str
    theta: float
    enter: float


@dataclass(frozen=True, slots=True)
class Step:
    """One of the eight steps; `wall_s` is wall time after the fault, `reason` says why it was not reached."""

    number: int
    name: str
    reached: bool
    wall_s: float | None = None
    detail: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Dispatch:
    """One signed intent on its way to its targets and back, stage by stage, in milliseconds of wall time."""

    t_s: float
    targets: int
    sign_ms: float
    fanout_p50_ms: float
    fanout_p95_ms: float
    verify_p50_ms: float
    verify_p95_ms: float
    answer_p50_ms: float
    answer_p95_ms: float
    total_p50_ms: float
    total_p95_ms: float


@dataclass(frozen=True, slots=True)
class RiskPoint:
    """What one model said at one moment of how likely the agent's fault is to cascade."""

    t_s: float
    agent: str
    model: str
    probability: float
    low: float
    high: float
    without_mitigation: bool


@dataclass(frozen=True, slots=True)
class Happening:
    """One line of the timeline; `name` is an event name such as `breaker.opened`."""

    t_s: float
    name: str
    agent: str
    text: str


@dataclass(frozen=True, slots=True)
class DroneMark:
    """One drone on a map; `percent` is the battery as the drone reports it."""

    id: str
    x_m: float
    y_m: float
    state: DroneState
    percent: float


@dataclass(frozen=True, slots=True)
class Star:
    """A region that goes through a hub; where the hub stands is given if it is no drone on the map."""

    hub: str
    members: tuple[str, ...]
    x_m: float | None = None
    y_m: float | None = None


@dataclass(frozen=True, slots=True)
class Map:
    """The fleet at one moment. `pickups`: (x, y, priority). `circles`: (x, y, radius) where work pauses."""

    label: str
    t_s: float
    size_m: float
    depots: tuple[tuple[float, float], ...]
    drones: tuple[DroneMark, ...]
    faulty: str
    pickups: tuple[tuple[float, float, int], ...] = ()
    circles: tuple[tuple[float, float, float], ...] = ()
    star: Star | None = None


@dataclass(frozen=True, slots=True)
class Hops:
    """Peer messages that went straight from drone to drone, and those that went through a hub."""

    mesh: int
    star: int


@dataclass(frozen=True, slots=True)
class Record:
    """What is on file, and whether it verifies."""

    decisions: int
    segments: int
    verified: bool
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Live:
    """The run in real time around the fault; `bar_s` is what `fault_to_last_ack_s` is held against."""

    seed: int
    agents: int
    faulty: str
    fault_t_s: float
    steps: tuple[Step, ...]
    fault_to_last_ack_s: float | None
    bar_s: float
    dispatches: tuple[Dispatch, ...]
    risks: tuple[RiskPoint, ...]
    timeline: tuple[Happening, ...]
    maps: tuple[Map, ...]
    messages: dict[str, int]
    hops: Hops
    record: Record


@dataclass(frozen=True, slots=True)
class ArmRun:
    """One arm on one seed; `series` holds (time, grounded share), `restricted_s` counts drone-seconds."""

    seed: int
    grounded_share: float
    deliveries: float
    vetoes: float
    restricted_s: float
    speed: float
    collapse: bool
    series: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class ArmSummary:
    """One arm over all seeds; `speed` is how many times faster than real time it ran."""

    arm: ArmName
    grounded_share: Interval
    deliveries: Interval
    vetoes: Interval
    restricted_s: Interval
    speed: Interval
    runs: tuple[ArmRun, ...]


@dataclass(frozen=True, slots=True)
class CalibrationPair:
    """What both models foretold for one seed, and what then happened to the ungoverned fleet."""

    seed: int
    percolation: float
    load: float
    outcome_share: float
    collapsed: bool


@dataclass(frozen=True, slots=True)
class Calibration:
    """The models against what happened; the Brier scores are means over the pairs (0 is perfect)."""

    pairs: tuple[CalibrationPair, ...]
    brier_percolation: float
    brier_load: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """The whole shift in virtual time; `harm` says in sentences what governance itself cost."""

    seeds: tuple[int, ...]
    arms: tuple[ArmSummary, ...]
    calibration: Calibration | None
    harm: tuple[str, ...]

    def arm(self, name: ArmName) -> ArmSummary | None:
        """Give the summary of one arm, or None if it was not run."""
        return next((arm for arm in self.arms if arm.arm == name), None)


@dataclass(frozen=True, slots=True)
class Report:
    """All of a run: how it was made, what the live part measured, how the shift ended."""

    id: str
    made_us: int
    version: str
    command: str
    machine: Machine
    scenario: Scenario
    live: Live | None
    outcome: Outcome | None

    def to_json(self) -> dict[str, plain.Json]:
        """Give the report as values that `json` can write; a figure that is not finite becomes null."""
        return {"format": FORMAT, **plain.unbuild(self)}

    @classmethod
    def from_json(cls, value: plain.Json) -> Report:
        """Read what `to_json` gave.

        Raises:
            ConfigurationError: C0401 for a shape that is none of ours, C0402 for another format.
        """
        if not isinstance(value, dict):
            raise ConfigurationError("a report is a JSON object", code="C0401")
        fields = dict(value)
        found = fields.pop("format", None)
        if found != FORMAT:
            raise ConfigurationError(
                f"expected a report of format `{FORMAT}`, got `{found}`",
                code="C0402",
                hint="make the report again with this version of ripstop",
            )
        return plain.build(cls, fields)

    def write(self) -> str:
        """Give the text of `report.json`."""
        return json.dumps(self.to_json(), ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"

    @classmethod
    def read(cls, text: str) -> Report:
        """Read the text of a `report.json`.

        Raises:
            ConfigurationError: C0401 or C0402, as `from_json`; C0401 too if the text is no JSON.
        """
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigurationError(f"the report is no JSON: {error}", code="C0401") from error
        return cls.from_json(value)
