"""One arm of one seed in virtual time: the world, the crew, the agents and the ground on one timeline.

A tick of the shift: messages due by now are carried; the world moves; the crew senses and has its wishes
decided; the autopilots' failsafe comes last. Nothing here reads the machine's clock but the stopwatch, and
nothing that it says gets into a record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from ripstop.core.clock import Instant, SystemClock
from ripstop.core.node import Report
from ripstop.lab.arms import Arm
from ripstop.lab.crew import Crew
from ripstop.lab.journal import Journal
from ripstop.lab.report.schema import ArmRun
from ripstop.lab.rig import CONTROL, SHIFT_BEGINS_US, Documents, Rig, Tempo, Trust, build
from ripstop.links.conditions import Conditions
from ripstop.links.memory import MemoryNetwork
from ripstop.links.timeline import Timeline
from ripstop.worlds.drones import DroneWorld, Scenario

SERIES_EVERY_S: Final = 10.0
_US: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Experiment:
    """What all arms and seeds of an experiment share."""

    scenario: Scenario
    agents: int = 150
    tempo: Tempo = field(default_factory=Tempo)
    theta: float = 0.2
    conditions: Conditions = field(default_factory=lambda: Conditions(delay_s=0.005))
    documents: Documents | None = None

    def world(self, seed: int, arm: Arm) -> DroneWorld:
        """Build the world of an arm: the same drones, orders and wind whatever governs them."""
        return DroneWorld.from_scenario(self.scenario, self.agents, seed, with_fault=arm.layers.fault)


class VirtualShift:
    """A governed shift in virtual time; `run_until` may be called again and again."""

    def __init__(self, experiment: Experiment, seed: int, arm: Arm, trust: Trust | None = None) -> None:
        self.experiment = experiment
        self.world = experiment.world(seed, arm)
        self.rig: Rig = build(
            experiment.agents, seed, arm.layers, experiment.tempo, experiment.documents, trust
        )
        self.timeline = Timeline(SHIFT_BEGINS_US)
        self.network = MemoryNetwork(self.timeline, seed, experiment.conditions)
        self.journal = Journal()
        self.crew = Crew(self.world, self.rig.agents, self.network.perform, self.network.now)
        self._sent: Counter[str] = Counter()
        self._is_replaced = False
        self.network.on_report = self._on_report
        self.network.on_deliver = self.crew.on_deliver
        self.network.taps.append(self._count)
        self._attach()

    def _attach(self) -> None:
        control = self.rig.control
        if control is not None:
            self.network.attach(CONTROL, control)
            if self.rig.layers.local:
                now = Instant(SHIFT_BEGINS_US, SHIFT_BEGINS_US, CONTROL)
                release = self.rig.release
                self.network.perform(CONTROL, control.publish(release.release, release.sealed, now))
        for name, node in zip(self.rig.names, self.rig.agents, strict=True):
            self.network.attach(name, node, connects=control is not None)

    def _on_report(self, name: str, report: Report, now: Instant) -> None:
        self.journal.note(now.wall_us - SHIFT_BEGINS_US, name, report.name, report.fields)
        self.crew.on_report(name, report, now)

    def _count(self, t_us: int, sender: str, subject: str, data: bytes) -> None:
        self._sent[subject] += 1

    @property
    def topics(self) -> Counter[str]:
        """Give how many messages were sent so far, by topic."""
        found: Counter[str] = Counter()
        for subject, count in self._sent.items():
            found[subject.split(".", 3)[2]] += count
        return found

    def run_until(self, until_s: float) -> None:
        """Let the shift go on to a time, tick by tick."""
        for _ in self.ticks(until_s):
            pass

    def ticks(self, until_s: float) -> Iterator[float]:
        """Let the shift go on, giving the time after every tick."""
        dt_s = self.experiment.scenario.tick_s
        world = self.world
        while world.t_s < until_s:
            self.timeline.run_until(SHIFT_BEGINS_US + world.elapsed_us + round(dt_s * _US))
            world.advance(dt_s)
            self._replace_when_due()
            self.crew.tick(dt_s)
            world.failsafe()
            yield world.t_s

    def _replace_when_due(self) -> None:
        fault = self.experiment.scenario.fault
        after_s = fault.replaced_after_s
        if self._is_replaced or after_s is None or self.world.faulty is None:
            return
        if self.world.t_s >= fault.at_s + after_s:
            self._is_replaced = True
            rejoins = self.world.replace_sensor(self.world.faulty)
            name = self.rig.names[self.world.faulty]
            self.journal.note(self.world.elapsed_us, name, "sensor.replaced", {"rejoins": rejoins})


@dataclass(frozen=True, slots=True)
class Forecast:
    """What both models said first of the faulty drone: P(cascade), local vetoes left out of account."""

    percolation: float
    load: float


@dataclass(frozen=True, slots=True)
class ShiftResult:
    """One arm on one seed: the figures of the report, and what was foretold at the fault."""

    arm: Arm
    run: ArmRun
    forecast: Forecast | None
    vetoes: dict[str, int]
    hops: dict[int, int]
    reports: dict[str, int]


Progress = Callable[[float], None]


def run_arm(experiment: Experiment, seed: int, arm: Arm, progress: Progress | None = None) -> ShiftResult:
    """Run one arm of one seed to the end of the shift.

    Args:
        experiment: what the arms share.
        seed: of the world, the keys and the network.
        arm: which layers there are.
        progress: called with the share done, now and then.
    """
    watch = SystemClock()
    began_us = watch.now().mono_us
    end_s = experiment.scenario.end_s
    series: list[tuple[float, float]] = []

    def note(world: DroneWorld) -> None:
        if world.t_s % SERIES_EVERY_S == 0.0:
            series.append((world.t_s, world.outcome().grounded_share))
            if progress is not None:
                progress(world.t_s / end_s)

    shift: VirtualShift | None = None
    if arm.layers.governed:
        shift = VirtualShift(experiment, seed, arm)
        world = shift.world
        for _ in shift.ticks(end_s):
            note(world)
    else:
        world = experiment.world(seed, arm)
        while world.t_s < end_s:
            world.run_ungoverned(min(world.t_s + SERIES_EVERY_S, end_s), experiment.scenario.tick_s)
            note(world)
    took_s = (watch.now().mono_us - began_us) / 1e6
    outcome = world.outcome()
    tally = shift.crew.tally if shift else None
    run = ArmRun(
        seed=seed,
        grounded_share=outcome.grounded_share,
        deliveries=outcome.deliveries,
        vetoes=tally.vetoed if tally else 0,
        restricted_s=tally.restricted_s if tally else 0.0,
        speed=end_s / took_s,
        collapse=outcome.grounded_share > experiment.theta,
        series=tuple(series),
    )
    return ShiftResult(
        arm,
        run,
        foretold(shift) if shift else None,
        {f"{action} by {policy}": n for (action, policy), n in tally.vetoes.items()} if tally else {},
        dict(tally.hops) if tally else {},
        dict(shift.journal.counts) if shift else {},
    )


def foretold(shift: VirtualShift) -> Forecast | None:
    """Give what both models said first after the fault about the faulty drone, or None."""
    if shift.world.faulty is None:
        return None
    faulty = shift.rig.names[shift.world.faulty]
    since_us = round(shift.experiment.scenario.fault.at_s * _US)
    found: dict[str, float] = {}
    for entry in shift.journal.all("risk.assessed", node=CONTROL, since_us=since_us):
        if faulty in str(entry.fields["agent"]).split(","):
            found.setdefault(str(entry.fields["model"]), float(entry.fields["probability"] or 0.0))
    if len(found) < 2:
        return None
    return Forecast(found["percolation"], found["load"])
