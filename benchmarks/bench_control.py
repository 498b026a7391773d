"""How long the control plane takes: dependency graph, both forecasts, a plan, a frame, a beat.

python benchmarks/bench_control.py [--agents 150] [--items 4] [--repeats 20]
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ripstop.control import ControlNode, ControlSettings, Fleet, load_playbook
from ripstop.control.mitigation.forecast import Draw, forecast, no_measures
from ripstop.control.mitigation.plan import Situation, make_plan
from ripstop.control.mitigation.playbook import Model
from ripstop.control.store.keys import FleetKeys
from ripstop.control.telemetry.dependency import dependency_edges, fleet_load
from ripstop.core.clock import Instant, SystemClock
from ripstop.core.intent import Position
from ripstop.core.messages import Beat, Item, Workload
from ripstop.core.node import Message, Started
from ripstop.core.shipped import shipped
from ripstop.core.subjects import Subjects
from ripstop.core.wire.frame import encode_frame
from ripstop.core.wire.record import pack
from ripstop.policy import load_vocabulary

CLOCK = SystemClock()


def took_ms(call: Callable[[], object], repeats: int) -> float:
    """Give the median time of a call in milliseconds."""
    call()
    times = []
    for _ in range(repeats):
        start = CLOCK.now().mono_us
        call()
        times.append((CLOCK.now().mono_us - start) / 1e3)
    return statistics.median(times)


def fleet(agents: int, items: int, *, rng: np.random.Generator) -> list[Workload]:
    """Draw a fleet at the density of 150 agents in 10 km x 10 km."""
    side = 10_000.0 * (agents / 150.0) ** 0.5
    works = []
    for row in range(agents):
        x, y = (float(v) for v in rng.uniform(0.0, side, 2))
        places = np.add(rng.uniform(-2000.0, 2000.0, (items, 4)), (x, y, x, y))
        pending = tuple(
            Item(f"t{row}-{k}", int(rng.integers(1, 6)), 0.8, *map(float, place))
            for k, place in enumerate(places)
        )
        works.append(Workload(f"d{row:04}", 1, 0, True, True, x, y, 5.0, 0.004, 10 - items, pending))
    return works


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--agents", type=int, default=150)
    parser.add_argument("--items", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=20)
    args = parser.parse_args()
    playbook = load_playbook(shipped("playbooks") / "drones.yaml")
    works = fleet(args.agents, args.items, rng=np.random.default_rng(1))
    load = fleet_load(works, playbook.handover)
    suspects = {works[len(works) // 2].agent: 1.0}
    situation = Situation(load, suspects, load.agents, len(load.agents))
    print(f"{args.agents} agents, {len(load.owner)} items, {args.repeats} repeats, medians in ms")
    for name, call in (
        ("dependency arrays", lambda: fleet_load(works, playbook.handover)),
        ("percolation edges", lambda: dependency_edges(load, playbook.handover)),
        ("forecast by load", lambda: ask(load, suspects, playbook, Model.LOAD)),
        ("forecast by percolation", lambda: ask(load, suspects, playbook, Model.PERCOLATION)),
        ("plan", lambda: make_plan(situation, playbook, seed=1)),
    ):
        print(f"  {name:24} {took_ms(call, args.repeats):8.2f}")
    messages(playbook, works, args.repeats)


def ask(load, suspects, playbook, model) -> object:
    """Ask one model as an assessment does."""
    return forecast(load, suspects, no_measures(load), playbook, Draw(model, playbook.risk.trials, 1))


def messages(playbook, works: list[Workload], repeats: int) -> None:
    """Measure what one message of each kind costs the node."""
    vocabulary = load_vocabulary(shipped("vocabularies") / "drone.yaml")
    keys = FleetKeys.from_seed(1, "bench")
    agents = {work.agent: bytes(32) for work in works}
    settings = ControlSettings("bench")
    node = ControlNode(settings, replace(playbook, lease_s=30.0), keys.command, Fleet(vocabulary, agents))
    now = Instant(1_000_000_000_000, 1_000_000, "b")
    node.step(Started(1), now)
    names, agent = Subjects("bench"), works[0].agent
    beat = pack(Beat(agent, "boot", 1, 1, b"12345678", Position(), 1, "closed", 5, bytes(32)))
    digest = bytes.fromhex(vocabulary.digest)
    times = iter(range(now.wall_us - 10**9, now.wall_us))
    for name, topic, make in (
        ("beat", "beat", lambda: beat),
        ("workload", "work", lambda: pack(works[0])),
        ("frame of 5", "frame", lambda: encode_frame(digest, (agent,), [(next(times), 50.0, 0, 0, 0)] * 5)),
    ):
        batch = [Message(names.of(topic, agent), make()) for _ in range(200)]
        ms = took_ms(lambda batch=batch: [node.step(message, now) for message in batch], max(3, repeats // 4))
        print(f"  message: {name:15} {ms * 5.0:8.2f} us")


if __name__ == "__main__":
    main()
