"""A scripted ground and an agent beside it, over the memory link in virtual time, with real signatures."""

from dataclasses import dataclass, field, replace
from functools import partial

from ripstop.agent.breaker import BreakerSettings
from ripstop.agent.memory import Tail
from ripstop.agent.node import AgentNode
from ripstop.agent.settings import NodeSettings, Restored
from ripstop.core.canonical import canonical_json
from ripstop.core.intent import Intent, Mitigation, MitigationKind, OnSilence, Position, Release
from ripstop.core.journal import read_entry
from ripstop.core.messages import (
    Ack,
    Beat,
    Bundle,
    Notice,
    PeerMessage,
    Receipt,
    Segment,
    Tick,
    Workload,
)
from ripstop.core.node import Message, Send, Store
from ripstop.core.subjects import Subjects
from ripstop.core.vocabulary import ActionSpec, SignalSpec, Vocabulary
from ripstop.core.wire.bundle import seal_bundle
from ripstop.core.wire.envelope import (
    Ed25519Signer,
    EnvelopeType,
    Header,
    Keyring,
    Role,
    TrustedKey,
    open_envelope,
    seal,
)
from ripstop.core.wire.frame import decode_frame
from ripstop.core.wire.record import pack, unpack
from ripstop.links.memory import MemoryNetwork
from ripstop.links.timeline import Timeline

START_US = 1_700_000_000_000_000
NAMES = Subjects("city")
BODIES = {"beat": Beat, "ack": Ack, "notice": Notice, "work": Workload, "peer": PeerMessage}
VOCABULARY = Vocabulary(
    "drone",
    signals={
        "battery_percent": SignalSpec("battery_percent", unit="%", low=0, high=100, max_age_s=60),
        "battery_v": SignalSpec("battery_v", unit="V", low=9.0, high=13.0, max_age_s=60),
    },
    actions={
        "accept_task": ActionSpec("accept_task", {"payload_kg": SignalSpec("payload_kg", unit="kg")}),
        "take_off": ActionSpec("take_off"),
        "land": ActionSpec("land", failsafe=0),
    },
)
POLICY = {
    "ripstop": 1,
    "id": "drone/payload",
    "tier": "safety",
    "vocabulary": VOCABULARY.to_json(),
    "guards": ["accept_task"],
    "rule": {"if": [{"<": [{"var": "battery_percent"}, 30]}, {"<=": [{"var": "payload_kg"}, 1]}, True]},
}
SHED = canonical_json({"ripstop": 1, "id": "hub/shed", "guards": ["accept_task"], "rule": False}).decode()


def signer(role, number):
    return Ed25519Signer(bytes([number]) * 32, role)


COMMAND, RELEASE, AGENT = signer(Role.COMMAND, 1), signer(Role.RELEASE, 2), signer(Role.AGENT, 3)
STOP, STRANGER = signer(Role.STOP, 5), signer(Role.COMMAND, 9)
KEYS = Keyring({key.key_id: TrustedKey(key.public, key.role) for key in (COMMAND, RELEASE, AGENT, STOP)})


def mitigation(**more):
    made = Mitigation("m1", "i1", MitigationKind.SHED, ("a",), SHED, 10.0, OnSilence.REVERT)
    return replace(made, **more)


class Ground:
    """Hears everything; says only what a test tells it to, but for ticks while `is_ticking`."""

    def __init__(self):
        self.heard = []
        self.nonces = {}
        self.number = 0
        self.position = Position(1, 0)

    @property
    def subjects(self):
        return ("ripstop.city.*.*", "ripstop.city.peer.ground.*")

    def step(self, event, now):
        if isinstance(event, Message):
            topic = event.subject.split(".")[2]
            if topic in BODIES:
                body = unpack(BODIES[topic], event.data)
                self.heard.append((topic, body))
                if topic == "beat":
                    self.nonces[body.agent] = body.nonce
            elif topic == "frame":
                self.heard.append((topic, decode_frame(event.data)))
            elif topic == "segment":
                envelope = open_envelope(KEYS, "city", EnvelopeType.SEGMENT, event.data)
                self.heard.append((topic, unpack(Segment, envelope.body)))
        return ()

    def all(self, topic):
        return [body for name, body in self.heard if name == topic]

    def notices(self, name):
        return [notice for notice in self.all("notice") if notice.name == name]


@dataclass
class World:
    """One agent `a`, its ground and the network between them."""

    node: AgentNode
    ground: Ground
    network: MemoryNetwork
    timeline: Timeline
    make: object
    delivered: list = field(default_factory=list)
    reports: list = field(default_factory=list)
    life: int = 1

    def run(self, seconds):
        self.timeline.run_until(self.timeline.now_us + round(seconds * 1e6))

    def say(self, *effects):
        self.network.perform("ground", effects)

    def tick(self, key=COMMAND, epoch=None, nonces=None):
        ground = self.ground
        ground.number += 1
        at = Position(epoch or ground.position.epoch, ground.position.generation)
        body = pack(Tick(ground.number, at, 0, ground.nonces if nonces is None else nonces))
        header = Header("city", "fleet", at.epoch, at.generation, ground.number)
        self.say(Send(NAMES.tick, seal(key, EnvelopeType.TICK, header, body)))

    def round_trip(self):
        self.run(0.1)
        self.tick()
        self.run(0.1)

    def intent(self, *mitigations, generation=None, key=COMMAND, fleet="city", scope="fleet", **more):
        ground = self.ground
        generation = ground.position.generation + 1 if generation is None else generation
        position = Position(more.pop("epoch", ground.position.epoch), generation)
        if key is COMMAND and position > ground.position:
            ground.position = position
        tick = more.pop("tick", ground.number)
        made = Intent(scope, position, tick, more.pop("release", Release()), mitigations, **more)
        header = Header(fleet, scope, position.epoch, position.generation, tick)
        return seal(key, EnvelopeType.INTENT, header, pack(made))

    def send_intent(self, data, scope="fleet"):
        self.say(Send(NAMES.intent(scope), data))
        self.run(0.1)

    def order(self, *mitigations, **more):
        """A fresh tick, and right behind it the intent that cites it."""
        self.tick()
        data = self.intent(*mitigations, **more)
        self.send_intent(data, more.get("scope", "fleet"))
        return data

    def bundle(self, counter, policies=(POLICY,), key=RELEASE, **more):
        texts = tuple(canonical_json(policy).decode() for policy in policies)
        fleet, issued_us = more.pop("fleet", "city"), more.pop("issued_us", 0)
        made = Bundle(fleet, counter, "c0ffee", issued_us, more.pop("expires_us", 0), 0, texts)
        return seal_bundle(key, replace(made, **more))

    def store(self, key, data):
        self.say(Store(key, data))
        self.run(0.1)

    def observe(self, **signals):
        effects = self.node.observe(signals, self.network.now("a"))
        self.network.perform("a", effects)
        return effects

    def fly(self, values, name="battery_v", step_s=1.0):
        for value in values:
            self.observe(**{name: value})
            self.run(step_s)

    def request(self, action="accept_task", **context):
        decision, effects = self.node.request(action, context, self.network.now("a"))
        self.network.perform("a", effects)
        return decision

    def records(self):
        """Every entry that the ledger holds."""
        return [read_entry(record) for record in self.network.disk("a").read("ledger")]

    def kinds(self, kind):
        return [entry for entry in self.records() if entry.kind.value == kind]

    def restart(self, power_cut=True):
        """End the agent and begin its next life on what its disk holds."""
        disk = self.network.crash("a") if power_cut else self.network.disk("a")
        self.life += 1
        self.node = self.make(read_disk(disk))
        self.network.attach("a", self.node, incarnation=self.life, disk=disk)
        self.run(0.1)

    def receipt(self, segment, **more):
        body = Receipt("a", segment.incarnation, segment.first, segment.last, segment.head, b"")
        data = seal(
            more.pop("key", COMMAND),
            EnvelopeType.RECEIPT,
            Header("city", "agent-a"),
            pack(replace(body, **more)),
        )
        self.say(Send(NAMES.of("receipt", "a"), data))
        self.run(0.1)


def read_disk(disk):
    """Read a memory disk as the ledgers' `tail` would."""
    from ripstop.core.wire.chain import genesis, head

    class Readable:
        def tail(self, stream):
            first = disk.first(stream)
            assert first == 1 or stream != "ledger", "the tests drop nothing from the ledger and restart"
            return Tail(first, head(genesis("a"), 1, ()), disk.read(stream))

    return Restored.read(Readable())


def build_world(policies=(POLICY,), **more):
    rules = BreakerSettings(minimum_number_of_calls=1, wait_s=1.0, wait_max_s=4.0, jitter=0.0)
    settings = NodeSettings("a", "city", breaker=rules, breaker_actions=("accept_task", "take_off"), **more)
    opener = partial(open_envelope, KEYS, "city")

    def make(restored=None):
        return AgentNode(
            settings, policies, vocabulary=VOCABULARY, opener=opener, signer=AGENT, restored=restored
        )

    timeline = Timeline(START_US)
    network = MemoryNetwork(timeline, seed=1)
    world = World(make(), Ground(), network, timeline, make)
    network.on_deliver = lambda name, value, now: world.delivered.append(value)
    network.on_report = lambda name, report, now: world.reports.append(report)
    network.attach("ground", world.ground)
    network.attach("a", world.node, incarnation=1)
    world.run(0.5)
    return world
