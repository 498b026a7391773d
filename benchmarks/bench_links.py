"""A signed broadcast to many agents and back: wall time of each stage, in one process.

    python benchmarks/bench_links.py [--agents 150] [--rounds 50]

One control plane and N agents, each with a connection and a key of its own, share this process and one
embedded server. A round is: sign an intent; publish it; every agent verifies it and acknowledges; the last
acknowledgement arrives and is parsed. The bar: 60 ms at p95 for 150 agents on a quiet machine. Where others
use the machine, wall time says little: compare least times, and processor time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from time import perf_counter, process_time

from ripstop.core.clock import Instant
from ripstop.core.intent import Intent, Mitigation, MitigationKind, OnSilence, Position, Release
from ripstop.core.messages import Ack, AckStatus
from ripstop.core.node import Connected, Effects, Event, Message, Send
from ripstop.core.subjects import Subjects
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
from ripstop.core.wire.record import pack, unpack
from ripstop.links.conditions import Conditions
from ripstop.links.driver import NodeDriver
from ripstop.links.memory import MemoryNetwork
from ripstop.links.nats import Login, NatsLink
from ripstop.links.nkey import new_seed, public_key
from ripstop.links.server import NatsServer
from ripstop.links.timeline import Timeline

FLEET = "bench"
NAMES = Subjects(FLEET)
SIGNER = Ed25519Signer(b"k" * 32, Role.COMMAND)
TRUSTED = {SIGNER.key_id: TrustedKey(SIGNER.public, Role.COMMAND)}


@lru_cache(maxsize=32)
def read_intent(body: bytes) -> Intent:
    """Read an intent once for all agents of the process, as `ripstop.agent` does; each has verified it."""
    return unpack(Intent, body)


class Agent:
    """Verifies an intent with a keyring of its own and acknowledges it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.subjects = (NAMES.intent("fleet"),)
        self.keyring = Keyring(TRUSTED)
        self.verify_s = 0.0
        self.arrived_s = 0.0

    def step(self, event: Event, now: Instant) -> Effects:
        if not isinstance(event, Message):
            return ()
        self.arrived_s = perf_counter()
        envelope = open_envelope(self.keyring, FLEET, EnvelopeType.INTENT, event.data)
        intent = read_intent(envelope.body)
        self.verify_s = perf_counter() - self.arrived_s
        ack = Ack(self.name, intent.scope, intent.position, AckStatus.APPLIED, "", now.mono_us)
        return (Send(NAMES.of("ack", self.name), pack(ack)),)


class Control:
    """Counts the acknowledgements of the round under way."""

    def __init__(self, expected: int) -> None:
        self.subjects = (NAMES.every("ack"),)
        self.expected = expected
        self.position = Position()
        self.heard = 0
        self.done = asyncio.Event()
        self.up = asyncio.Event()

    def step(self, event: Event, now: Instant) -> Effects:
        if isinstance(event, Connected):
            self.up.set()
        if isinstance(event, Message) and unpack(Ack, event.data).position == self.position:
            self.heard += 1
            if self.heard == self.expected:
                self.done.set()
        return ()


def intent_of(number: int, agents: Sequence[str]) -> Intent:
    """An intent as a real incident has it: one shedding policy on forty agents."""
    policy = json.dumps(
        {"ripstop": 1, "id": "shed", "rule": {"<=": [{"var": "priority"}, 2]}, "pad": "x" * 400}
    )
    shed = Mitigation("m-1", "i-1", MitigationKind.SHED, tuple(agents[:40]), policy, 5.0, OnSilence.REVERT)
    return Intent("fleet", Position(1, number), number, Release(1, "d" * 64, "c" * 40), (shed,))


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, round(share * (len(values) - 1)))]


async def measure(folder: Path, count: int, rounds: int) -> dict[str, list[float]]:
    names = [f"agent-{number:04d}" for number in range(count)]
    seeds = {name: new_seed() for name in names}
    server = NatsServer(folder, FLEET, agents={name: public_key(seed) for name, seed in seeds.items()})
    await server.start()
    control, agents = Control(count), [Agent(name) for name in names]
    ground = NodeDriver(control, NatsLink(server.address, server.login("control")))
    drivers = [
        NodeDriver(agent, NatsLink(server.address, Login(agent.name, seed=seeds[agent.name])))
        for agent in agents
    ]
    begun = perf_counter()
    for driver in (ground, *drivers):
        driver.start()
    await asyncio.gather(*(driver.link.connected(60.0) for driver in (ground, *drivers)))
    stages: dict[str, list[float]] = {"connect": [perf_counter() - begun]}
    for number in range(1, rounds + 1):
        intent = intent_of(number, names)
        control.position, control.heard = intent.position, 0
        control.done.clear()
        start, busy = perf_counter(), process_time()
        header = Header(FLEET, "fleet", 1, number, number)
        sealed = seal(SIGNER, EnvelopeType.INTENT, header, pack(intent))
        signed = perf_counter()
        ground.perform((Send(NAMES.intent("fleet"), sealed),))
        await asyncio.wait_for(control.done.wait(), 10.0)
        end = perf_counter()
        last = max(agent.arrived_s for agent in agents)
        verify = sum(agent.verify_s for agent in agents)
        for stage, seconds in (
            ("sign", signed - start),
            ("verify (all)", verify),
            ("fan-out (to last, less verify)", max(0.0, last - signed - verify)),
            ("answer (last to ground)", end - last),
            ("whole", end - start),
            ("processor time of the whole", process_time() - busy),
        ):
            stages.setdefault(stage, []).append(seconds)
    for driver in (*drivers, ground):
        await driver.close()
    await server.stop()
    return stages


class Silent:
    """A node that does nothing: what is left is the network's own time."""

    def __init__(self, *subjects: str) -> None:
        self.subjects = subjects

    def step(self, event: Event, now: Instant) -> Effects:
        return ()


def measure_memory(count: int, rounds: int) -> dict[str, float]:
    """Give microseconds per delivered message over the network in virtual time, the least of the rounds."""
    least: dict[str, float] = {}
    for name, conditions in (("plain", Conditions()), ("jitter", Conditions(jitter_s=0.002))):
        network = MemoryNetwork(Timeline(), 1, conditions)
        for number in range(count):
            network.attach(f"a{number}", Silent(f"to.{number}", "all"))
        network.attach("ground", Silent("up.*"))
        network.timeline.run_until(1_000_000)
        broadcast = [("ground", (Send("all", b"x"),))]
        answers = [(f"a{number}", (Send(f"up.{number}", b"x"),)) for number in range(count)]
        for way, sends in (("broadcast", broadcast), ("answers", answers)):
            for _ in range(rounds):
                start = perf_counter()
                for sender, effects in sends:
                    network.perform(sender, effects)
                network.timeline.run_until(network.timeline.now_us + 1_000_000)
                spent = (perf_counter() - start) / count * 1e6
                key = f"{way}, {name}"
                least[key] = min(spent, least.get(key, spent))
    return least


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--agents", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=50)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stages = asyncio.run(measure(Path(folder), options.agents, options.rounds))
    print(f"{options.agents} agents, {options.rounds} rounds, one process; milliseconds")
    print(f"{'stage':34}{'least':>8}{'p50':>8}{'p95':>8}")
    for stage, seconds in stages.items():
        p50, p95 = statistics.median(seconds), percentile(seconds, 0.95)
        print(f"{stage:34}{min(seconds) * 1e3:8.2f}{p50 * 1e3:8.2f}{p95 * 1e3:8.2f}")
    print("\nvirtual time, microseconds per delivered message, least of the rounds")
    for way, microseconds in measure_memory(options.agents, options.rounds).items():
        print(f"{way:34}{microseconds:8.2f}")


if __name__ == "__main__":
    main()
