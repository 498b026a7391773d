"""The same agents and ground in real time, over an embedded NATS server: a connection and a key for each.

The shift before the window runs in virtual time, so that monitors know their signals and batteries are as
empty as they should be. Then the very same agent nodes, with their timers and ledgers, go on over NATS: their
clocks are the machine's, shifted so that the shift's time goes on. The sensor fails between two ticks, as
sensors do; everything is measured from that moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, cast

from ripstop.control.audit.files import read_log
from ripstop.control.mitigation.shedding import MOST_CENTRES, Area, shedding_policy
from ripstop.control.service import Device, ServiceOptions
from ripstop.control.settings import ControlSettings
from ripstop.control.store.check import check_policies
from ripstop.control.store.git import PolicyRepository
from ripstop.control.store.keys import FleetKeys
from ripstop.control.store.releases import Issued, ReleaseShelf
from ripstop.control.store.store import PolicyStore, Refused
from ripstop.core.clock import Clock, Instant, ShiftedClock, SystemClock
from ripstop.core.errors import ConfigurationError
from ripstop.core.intent import Position
from ripstop.core.messages import Ack
from ripstop.core.node import Report
from ripstop.core.wire.cbor import decode
from ripstop.core.wire.record import unpack
from ripstop.lab.arms import Arm
from ripstop.lab.crew import Crew
from ripstop.lab.ground import Ground, Told
from ripstop.lab.journal import Journal
from ripstop.lab.maps import PickUp, Restriction
from ripstop.lab.report.schema import Dispatch
from ripstop.lab.rig import CONTROL, FLEET, SHIFT_BEGINS_US, Tempo, Trust, keyring_of
from ripstop.lab.runner import Experiment, VirtualShift
from ripstop.lab.steps import Evidence
from ripstop.lab.stopwatch import Stopwatch
from ripstop.links.driver import NodeDriver
from ripstop.links.loop import settled
from ripstop.links.nats import LinkSettings, Login, NatsLink
from ripstop.links.nkey import new_seed, public_key
from ripstop.worlds.drones import Snapshot

_US: Final = 1_000_000
# The bars of the live window: lease 5 s, dwell and back-off at most 5 s, the sensor replaced 8 s in.
LIVE_TEMPO: Final = Tempo(
    beat_s=1.0,
    tick_s=1.0,
    work_s=5.0,
    back_off_s=4.0,
    incident_s=0.5,
    survey_s=0.0,
    segment_s=10.0,
    lease_s=5.0,
    dwell_s=2.0,
)
_CALM_US: Final = 2 * _US
_AT_FULL_PACE: Final = 200  # agents that one process carries at LIVE_TEMPO with room to spare


def _slower(agents: int) -> float:
    return max(1.0, agents / _AT_FULL_PACE)


def live_tempo(agents: int) -> Tempo:
    """Give the cadences of a live fleet: one process carries all its agents, so many beat less often."""
    slower, of = _slower(agents), LIVE_TEMPO
    return replace(
        of,
        beat_s=slower * of.beat_s,
        tick_s=slower * of.tick_s,
        work_s=slower * of.work_s,
        lease_s=slower * (of.lease_s or 0.0),
    )


@dataclass(frozen=True, slots=True)
class Window:
    """The window around the fault, in seconds; `phase_s` puts the fault between two ticks."""

    before_s: float = 8.0
    after_s: float = 19.0
    replaced_after_s: float = 8.0
    tick_s: float = 0.5
    phase_s: float = 0.2
    drain_s: float = 8.0


@dataclass(slots=True)
class LiveRun:
    """What the window left behind; times as in the shift, microseconds since it began."""

    evidence: Evidence
    snapshots: dict[str, Snapshot]
    journal: Journal
    crew: Crew
    topics: Counter[str]
    dispatches: list[Dispatch]
    folder: Path
    unreceipted: int
    pickups: tuple[PickUp, ...]
    restriction: Restriction | None
    ended_us: int


class LiveFleet:
    """The fleet over NATS. Build it, `run` it once."""

    def __init__(
        self, experiment: Experiment, seed: int, folder: Path, policies: Path, window: Window | None = None
    ) -> None:
        self.window = window or Window()
        fault = experiment.scenario.fault
        fault = fault.moved(round(fault.at_s) + self.window.phase_s)
        fault = replace(fault, replaced_after_s=self.window.replaced_after_s)
        scenario = replace(experiment.scenario, fault=fault)
        self.experiment = replace(experiment, scenario=scenario, tempo=live_tempo(experiment.agents))
        self.seed = seed
        self.folder = folder
        self.policies = policies
        self.fault_us = round(fault.at_s * _US)
        self._keys = FleetKeys.load(folder / "keys")
        self._clock: Clock = SystemClock()
        self._watch = Stopwatch(keyring_of(self._keys), FLEET, self._clock, SHIFT_BEGINS_US)
        self._trust = Trust(self._keys, self._watch.opener, self._first_release())
        self.shift = VirtualShift(self.experiment, seed, Arm.LOCAL, self._trust)
        self.journal = Journal()
        self.crew = Crew(self.shift.world, self.shift.rig.agents, self._perform, lambda _: self._clock.now())
        self._drivers: dict[str, NodeDriver] = {}
        self._snapshots: dict[str, Snapshot] = {}
        self._pickups: tuple[PickUp, ...] = ()
        self._restriction: Restriction | None = None
        self._is_replaced = False

    def _first_release(self) -> Issued | None:
        """Make the first release of the policy store, as `ripstop up` would: the agents begin with it."""
        repository = PolicyRepository(self.policies)
        shelf = ReleaseShelf(self.folder / "releases")
        keys = self._keys
        store = PolicyStore(
            repository, shelf, keys.release, FLEET, check_policies, stop_keys=(keys.stop.public,)
        )
        found = store.poll(SHIFT_BEGINS_US)
        repository.close()
        if isinstance(found, Refused):
            raise ConfigurationError("the policies do not hold: " + "; ".join(found.reasons), code="C0413")
        return found if isinstance(found, Issued) else None

    # ---- before the window ------------------------------------------------------------------------------

    def prepare(self) -> Iterator[float]:
        """Run the shift up to the window in virtual time, giving the share done."""
        until_s = self.fault_us // _US - self.window.before_s
        for t_s in self.shift.ticks(until_s):
            yield t_s / until_s

    # ---- the window -------------------------------------------------------------------------------------

    async def run(self, progress: Callable[[float], None] | None = None) -> LiveRun:
        """Play the window in real time."""
        logging.getLogger("ripstop.links.driver").addHandler(logging.NullHandler())
        rig = self.shift.rig
        seeds = {name: new_seed() for name in rig.names}
        async with contextlib.AsyncExitStack() as stack:
            ground = await stack.enter_async_context(
                Ground(self._options(seeds), self._begin, self._on_ground)
            )
            await self._connect(ground, seeds, stack)
            await self._heard_all(ground)
            await ground.rehearse()
            self._rehearse()
            stack.enter_context(settled())
            await self._play(progress)
            unreceipted = await self._drain(ground)
        ended_us = self._now_us()
        self.journal.sort()
        topics, frames_us = self._heard()
        return LiveRun(
            self._evidence(frames_us), self._snapshots, self.journal, self.crew, topics, self._dispatches(),
            self.folder, unreceipted, self._pickups, self._restriction, ended_us,
        )  # fmt: skip

    def _begin(self) -> ShiftedClock:
        """Let the shift's time go on from here, by the machine's clocks; a second time it goes on already."""
        if not isinstance(self._clock, ShiftedClock):
            start_us = SHIFT_BEGINS_US + self.shift.world.elapsed_us
            start = Instant(start_us, start_us, "lab")
            self._clock = self._watch.clock = ShiftedClock(start)
        return self._clock

    def _options(self, seeds: dict[str, str]) -> ServiceOptions:
        rig, tempo = self.shift.rig, self.experiment.tempo
        devices = {name: Device(public_key(seeds[name]), rig.agent_key(name).public) for name in rig.names}
        settings = ControlSettings(
            fleet=FLEET,
            beat_s=tempo.beat_s,
            work_s=tempo.work_s,
            tick_s=tempo.tick_s,
            incident_s=tempo.incident_s,
            survey_s=tempo.survey_s,
            calm_s=1.0,
            seed=self.seed,
        )
        return ServiceOptions(
            self.folder, self.policies, rig.playbook, rig.vocabulary, settings, devices=devices
        )

    async def _connect(self, ground: Ground, seeds: dict[str, str], stack: contextlib.AsyncExitStack) -> None:
        """Give every agent's node its own connection; it goes on with the timers and the disk that it had."""
        network = self.shift.network
        settings = LinkSettings(ping_s=self.experiment.tempo.beat_s)
        for name, node in zip(self.shift.rig.names, self.shift.rig.agents, strict=True):
            link = NatsLink(ground.address, Login(name, seed=seeds[name]), settings)
            driver = NodeDriver(node, link, clock=self._clock, disk=network.disk(name))
            driver.on_deliver = lambda value, now, name=name: self.crew.on_deliver(name, value, now)
            driver.on_report = lambda report, now, name=name: self._on_report(name, report, now)
            driver.start(timers=network.pending_timers(name))
            self._drivers[name] = driver
            stack.push_async_callback(driver.close)
        await asyncio.gather(*(driver.link.connected(30.0) for driver in self._drivers.values()))

    def _rehearse(self) -> None:
        """Have the agents' process compile a restriction as the ground makes them: it may be its first."""
        rig, rung = self.shift.rig, self.shift.rig.playbook.ladder.shed
        if rung is not None:
            nowhere = Area(((0.0, 0.0),) * MOST_CENTRES, 0.0)
            document = shedding_policy("rehearsal", rig.playbook.vocabulary, rung, rung.keep[0], nowhere)
            rig.agents[0].vm.prepare((document,))

    async def _play(self, progress: Callable[[float], None] | None) -> None:
        """Tick by tick: the world is moved to the clock, never the clock to the world.

        On a machine that took long to get here the fault waits for a calm second before it.
        """
        world, window = self.shift.world, self.window
        if (earliest_us := self._now_us() + _CALM_US) > self.fault_us:
            self.fault_us = earliest_us // _US * _US + round(window.phase_s * _US)
            world.postpone_fault(self.fault_us / _US)
        end_us = self.fault_us + round(window.after_s * _US)
        began_us = world.elapsed_us
        while world.elapsed_us < end_us:
            due_us = world.elapsed_us + round(window.tick_s * _US)
            await self._until(due_us)
            dt_s = max(self._now_us() - world.elapsed_us, round(window.tick_s * _US)) / _US
            is_before = world.elapsed_us < self.fault_us
            world.advance(dt_s)
            if is_before and world.elapsed_us >= self.fault_us:
                self._snapshots["at the fault"] = world.snapshot()
                held = world.tasks(world.faulty) if world.faulty is not None else ()
                self._pickups = tuple((t.pickup_x_m, t.pickup_y_m, t.priority) for t in held)
            self._replace_when_due()
            self.crew.tick(dt_s)
            world.failsafe()
            if "before" not in self._snapshots:
                self._snapshots["before"] = world.snapshot()
            if progress is not None:
                progress((world.elapsed_us - began_us) / (end_us - began_us))
        self._snapshots["after"] = world.snapshot()

    async def _heard_all(self, ground: Ground, patience_s: float = 5.0) -> None:
        """Wait until every agent that is up has told the ground what it carries."""
        ends_us = self._now_us() + round(patience_s * _US)
        while await ground.known() < len(self._drivers) and self._now_us() < ends_us:
            self.crew.tick(0.0)
            await asyncio.sleep(0.2)

    async def _until(self, t_us: int) -> None:
        await asyncio.sleep(max(0, t_us - self._now_us()) / _US)

    def _now_us(self) -> int:
        return self._clock.now().wall_us - SHIFT_BEGINS_US

    def _replace_when_due(self) -> None:
        world = self.shift.world
        due_us = self.fault_us + round(self.window.replaced_after_s * _US)
        if self._is_replaced or world.faulty is None or world.elapsed_us < due_us:
            return
        self._is_replaced = True
        rejoins = world.replace_sensor(world.faulty)
        name = self.shift.rig.names[world.faulty]
        self.journal.note(self._now_us(), name, "sensor.replaced", {"rejoins": rejoins})

    async def _drain(self, ground: Ground) -> int:
        """Seal what the agents have on file, wait for the ground's receipts; gives how many still wait."""
        for name, node in zip(self.shift.rig.names, self.shift.rig.agents, strict=True):
            driver = self._drivers[name]
            driver.perform(node.seal(driver.now()))
        ends_us = self._now_us() + round(self.window.drain_s * _slower(len(self._drivers)) * _US)
        while (waiting := await self._unreceipted(ground)) and self._now_us() < ends_us:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        return waiting

    async def _unreceipted(self, ground: Ground) -> int:
        receipted = await ground.receipted()
        nodes = zip(self.shift.rig.names, self.shift.rig.agents, strict=True)
        return sum(receipted.get(name, 0) < node.ledger_head[0] for name, node in nodes)

    # ---- what is heard ----------------------------------------------------------------------------------

    def _perform(self, name: str, effects: object) -> None:
        self._drivers[name].perform(effects)  # type: ignore[arg-type]  # the crew hands on a node's effects

    def _on_report(self, name: str, report: Report, now: Instant) -> None:
        self.journal.note(now.wall_us - SHIFT_BEGINS_US, name, report.name, report.fields)
        self.crew.on_report(name, report, now)

    def _on_ground(self, told: Told) -> None:
        fields, t_us = told.report.fields, told.at.wall_us - SHIFT_BEGINS_US
        self.journal.note(t_us, CONTROL, told.report.name, fields)
        found, widest = told.restriction, self._restriction
        if found is not None and (widest is None or len(found.members) > len(widest.members)):
            self._restriction = found  # what the map shows

    # ---- what is on file ----------------------------------------------------------------------------------

    def _heard(self) -> tuple[Counter[str], list[int]]:
        """Count the messages on the wire by topic, and give when telemetry of the faulty drone went by."""
        topics: Counter[str] = Counter()
        frames_us = []
        for t_us, topic, sender, _ in _filed(self.folder / "wire", "wire"):
            topics[topic] += 1
            if topic == "frame" and sender == self._faulty:
                frames_us.append(t_us)
        return topics, frames_us

    @property
    def _faulty(self) -> str:
        number = self.shift.world.faulty
        return "" if number is None else self.shift.rig.names[number]

    def _dispatches(self) -> list[Dispatch]:
        """Time every intent that changed what holds; every agent answers it, restricted by it or not."""
        answers: dict[Position, dict[str, int]] = {}
        for t_us, topic, agent, data in _filed(self.folder / "audit", "messages"):
            if topic == "ack":
                answers.setdefault(unpack(Ack, data).position, {}).setdefault(agent, t_us)
        found = []
        for entry in self.journal.all("intent.issued", node=CONTROL):
            epoch, generation, size = (int(entry.fields[k] or 0) for k in ("epoch", "generation", "size"))
            if entry.fields["purpose"] != "release":
                at, sealing = Position(epoch, generation), (self._keys.command, size)
                found.append(self._watch.dispatch(at, entry.t_us, answers.get(at, {}), sealing))
        return [dispatch for dispatch in found if dispatch is not None]

    def _evidence(self, frames_us: list[int]) -> Evidence:
        return Evidence(
            journal=self.journal,
            faulty=self._faulty,
            fault_us=self.fault_us,
            vetoes=[replace(v, t_us=v.t_us - SHIFT_BEGINS_US) for v in self.crew.vetoes],
            frames_us=frames_us,
            hops=dict(self.crew.tally.hops),
        )


def _filed(folder: Path, stream: str) -> Iterator[tuple[int, str, str, bytes]]:
    """Give the messages of a log: when (microseconds of the shift), topic, the rest of the subject, data."""
    for record in read_log(folder, stream).records:
        t_us, subject, data = cast("tuple[int, str, bytes]", decode(record))
        topic, _, rest = subject.removeprefix(f"ripstop.{FLEET}.").partition(".")
        yield t_us - SHIFT_BEGINS_US, topic, rest, data
