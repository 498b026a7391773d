"""A fleet of scripted agents over the memory network: they beat, report and obey, and decide nothing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from ripstop.control import ControlNode, ControlSettings, Fleet, load_playbook
from ripstop.core.clock import Instant
from ripstop.core.intent import Intent, Position
from ripstop.core.messages import Ack, AckStatus, Beat, Item, Notice, Workload
from ripstop.core.node import Connected, Effects, Event, Message, Report, Send, SetTimer, Timer
from ripstop.core.subjects import Subjects
from ripstop.core.vocabulary import SignalSpec, Vocabulary
from ripstop.core.wire.envelope import Ed25519Signer, EnvelopeType, Keyring, Role, TrustedKey, open_envelope
from ripstop.core.wire.record import pack, unpack
from ripstop.links.memory import MemoryNetwork
from ripstop.links.timeline import Timeline

FLEET = "test"
NAMES = Subjects(FLEET)
SUSPECT = "d015"
PLAYBOOK = Path(__file__).parents[2] / "playbooks" / "drones.yaml"
COMMAND = Ed25519Signer(b"c" * 32, Role.COMMAND)
VOCABULARY = Vocabulary("drone", signals={"battery_percent": SignalSpec("battery_percent", low=0, high=100)})


def playbook(**changes):
    book = load_playbook(PLAYBOOK)
    return replace(book, **({"dwell_s": 3.0, "lease_s": 6.0} | changes))


@dataclass
class ScriptedAgent:
    """Obeys any intent whose generation is new; `mute` agents answer nothing, `stubborn` ones refuse."""

    work: Workload
    beat_s: float = 1.0
    is_mute: bool = False
    is_stubborn: bool = False
    breaker: str = "closed"
    position: Position = field(default_factory=Position)
    intent: Intent | None = None
    intents: list[Intent] = field(default_factory=list)
    peer: list[tuple[str, bytes]] = field(default_factory=list)
    sequence: int = 0

    @property
    def name(self):
        return self.work.agent

    @property
    def subjects(self):
        return (
            NAMES.tick,
            NAMES.intent("fleet"),
            f"{NAMES.peer(self.name, '*')}",
            NAMES.of("receipt", self.name),
        )

    def step(self, event: Event, now: Instant) -> Effects:
        if isinstance(event, Connected) or (isinstance(event, Timer) and event.name == "beat"):
            again = SetTimer("beat", now.mono_us + round(self.beat_s * 1e6))
            if self.is_mute and self.sequence > 2:
                return (again,)
            work = (self.report(now),) if isinstance(event, Connected) else ()
            return (self.beat(now), *work, again)
        if isinstance(event, Message) and event.subject.endswith(".intent.fleet"):
            return self.obey(event.data, now)
        if isinstance(event, Message) and ".peer." in event.subject:
            self.peer.append((event.subject, event.data))
        return ()

    def beat(self, now):
        self.sequence += 1
        nonce = self.sequence.to_bytes(8, "big")
        body = Beat(self.name, now.boot, 1, self.sequence, nonce, self.position, 0, self.breaker, 0, b"")
        return Send(NAMES.of("beat", self.name), pack(body))

    def report(self, now):
        return Send(NAMES.of("work", self.name), pack(replace(self.work, t_us=now.wall_us)))

    def notice(self, name, now, **fields):
        self.sequence += 1
        return Send(
            NAMES.of("notice", self.name), pack(Notice(self.name, self.sequence, now.wall_us, name, fields))
        )

    def obey(self, data, now):
        ring = Keyring({COMMAND.key_id: TrustedKey(COMMAND.public, Role.COMMAND)})
        intent = unpack(Intent, open_envelope(ring, FLEET, EnvelopeType.INTENT, data).body)
        if intent.position <= self.position or self.is_mute:
            return ()
        self.intents.append(intent)
        status, reason = AckStatus.APPLIED, ""
        if self.is_stubborn:
            status, reason = AckStatus.REFUSED, "stale"
        else:
            before, self.position, self.intent = self.intent, intent.position, intent
            same = before and (before.mitigations, before.topologies) == (
                intent.mitigations,
                intent.topologies,
            )
            if same and before.release == intent.release:
                return ()
        ack = Ack(self.name, "fleet", intent.position, status, reason, now.mono_us)
        return (Send(NAMES.of("ack", self.name), pack(ack)),)


def drone(row, count=30, *, spare=1.5, items=4, **changes):
    """One of `count` drones on a line, 150 m apart, each with some deliveries around it."""
    x = 150.0 * row
    pending = tuple(
        Item(f"t{row}-{k}", 1 + (row + k) % 5, 0.8, x + 300.0 * (k % 2), 200.0 * k, x - 200.0, 900.0)
        for k in range(items)
    )
    base = Workload(f"d{row:03}", 1, 0, True, True, x, 0.0, spare, 0.004, 10 - items, pending)
    return replace(base, **changes)


@dataclass
class World:
    """The control plane, its agents and what was reported."""

    node: ControlNode
    network: MemoryNetwork
    timeline: Timeline
    agents: dict[str, ScriptedAgent]
    reports: list[tuple[float, Report]] = field(default_factory=list)

    def run(self, seconds):
        self.timeline.run_until(self.timeline.now_us + round(seconds * 1e6))

    def named(self, name):
        return [dict(report.fields) | {"at_s": at} for at, report in self.reports if report.name == name]

    def perform(self, agent, *effects):
        self.network.perform(agent, effects)

    def say(self, agent, name, **fields):
        scripted = self.agents[agent]
        self.perform(agent, scripted.notice(name, self.network.now(agent), **fields))

    def report_work(self, agent, **changes):
        scripted = self.agents[agent]
        scripted.work = replace(scripted.work, **changes)
        self.perform(agent, scripted.report(self.network.now(agent)))

    def report_all(self, but=()):
        for agent in self.agents:
            if agent not in but:
                self.report_work(agent)


def make_node(names, book=None, **settings):
    told = ControlSettings(**({"fleet": FLEET, "beat_s": 1.0, "tick_s": 1.0, "survey_s": 0.0} | settings))
    keys = {name: bytes([7]) * 31 + bytes([row % 256]) for row, name in enumerate(names)}
    return ControlNode(told, book or playbook(), COMMAND, Fleet(VOCABULARY, keys))


def make_world(works=None, book=None, seed=1, conditions=None, **settings):
    works = works if works is not None else [drone(row) for row in range(30)]
    timeline = Timeline()
    network = MemoryNetwork(timeline, seed, conditions)
    agents = {work.agent: ScriptedAgent(work) for work in works}
    node = make_node(agents, book, **settings)
    world = World(node, network, timeline, agents)

    def note(name, report, now):
        world.reports.append((now.mono_us / 1e6, report))

    network.on_report = note
    network.attach("control", node)
    for name, agent in agents.items():
        network.attach(name, agent)
    return world


def fail(world, agent=SUSPECT):
    world.agents[agent].breaker = "open"
    world.say(agent, "anomaly.detected", signal="battery_percent")
    world.say(agent, "breaker.opened")


def recover(world, agent=SUSPECT):
    world.agents[agent].breaker = "closed"
    world.say(agent, "breaker.closed")
