"""What an agent costs: CPU time of each call, in microseconds, the best of five runs.

    python benchmarks/bench_agent.py [--json]

The same interpreter's plain function call and a hand-written rule stand beside it: on a busy machine read the
ratios. `observe` is the quiet path of a node: six signals, two of them watched, nothing to be said.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

from ripstop.agent import Agent, AgentNode, CircuitBreaker, FileLedger, Monitor, NodeSettings, Store
from ripstop.core.canonical import canonical_json
from ripstop.core.chance import stream
from ripstop.core.clock import Instant
from ripstop.core.messages import Bundle
from ripstop.core.node import Connected, Started
from ripstop.core.wire.bundle import open_bundle, seal_bundle
from ripstop.core.wire.envelope import Ed25519Signer, Keyring, Role, TrustedKey, open_envelope
from ripstop.policy import load, load_vocabulary

ROOT = Path(__file__).parents[1]
SECOND = 1_000_000
TASK = {
    "payload_kg": 0.5, "task_priority": 2, "margin_after_wh": 9.0, "reserve_wh": 5.0,
    "pickup_x_m": 1.0, "pickup_y_m": 1.0, "drop_x_m": 2.0, "drop_y_m": 2.0,
}  # fmt: skip


def best(call: Callable[[], object], number: int) -> float:
    """CPU microseconds of one call, the best of five runs."""
    times = []
    for _ in range(5):
        began = process_time()
        for _ in range(number):
            call()
        times.append(process_time() - began)
    return min(times) / number * 1e6


def node() -> AgentNode:
    vocabulary = load_vocabulary(ROOT / "vocabularies" / "drone.yaml")
    policies = [load(path) for path in sorted((ROOT / "policies" / "drones").glob("*.yaml"))]
    made = AgentNode(
        NodeSettings("a", watch=("battery_percent", "battery_v")), policies, vocabulary=vocabulary
    )
    made.step(Started(1), Instant(SECOND, 0, "b"))
    made.step(Connected(), Instant(SECOND, 0, "b"))
    return made


def flight(made: AgentNode) -> Callable[[], object]:
    """A drone that drains and flies on, one second a call."""
    noise = [stream(1, "noise", i).uniform(-0.2, 0.2) for i in range(997)]
    second = 0

    def observe() -> None:
        nonlocal second
        second += 1
        percent = 95.0 - 0.0001 * second + noise[second % 997]
        readings = {
            "battery_percent": percent, "battery_v": 10.5 + 0.021 * percent, "x_m": 0.5 * second,
            "y_m": 0.3 * second, "spare_wh": 10.0, "payload_kg": 0.5,
        }  # fmt: skip
        made.observe(readings, Instant(second * SECOND, (second - 1) * SECOND, "b"))

    return observe


def releases(folder: Path) -> dict[str, float]:
    """Check a bundle of the drone policies; install one of new content each time, in slots on the disk."""
    key = Ed25519Signer(b"\1" * 32, Role.RELEASE)
    ring = Keyring({key.key_id: TrustedKey(key.public, key.role)})
    policies = [load(path) for path in sorted((ROOT / "policies" / "drones").glob("*.yaml"))]

    def sealed(number: int) -> bytes:
        texts = [
            canonical_json(p.to_json() | {"description": f"release {number}"}).decode() for p in policies
        ]
        return seal_bundle(key, Bundle("fleet", number, "", 0, 0, 0, tuple(texts)))

    first, coming = sealed(1), iter([sealed(number) for number in range(2, 82)])
    agent = Agent("a", policies, ledger=Store(folder, ring))
    agent.install(first)
    walls = []

    def swap() -> None:
        bundle = next(coming)
        began = perf_counter()
        agent.install(bundle)
        walls.append(perf_counter() - began)

    figures = {
        "bundle, verify": best(lambda: open_bundle(partial(open_envelope, ring, "fleet"), first), 100),
        "bundle, verify, compile and swap": best(swap, 16),
    }
    figures["the same, with waiting for the disk (median)"] = median(walls) * 1e6
    agent.close()
    return figures


def measure() -> dict[str, float]:
    figures: dict[str, float] = {}

    def plain() -> int:
        return 1

    def by_hand(battery: float = 80.0, payload: float = 0.5) -> bool:
        return not battery < 30 or payload <= 1.0

    figures["a plain function call"] = best(plain, 200_000)
    figures["a rule written by hand"] = best(by_hand, 200_000)
    breaker = CircuitBreaker(seed=1)
    figures["breaker, a closed call of it"] = best(lambda: breaker.call(plain), 50_000)

    monitor, at = Monitor(low=0, high=100), 0
    values = [50.0 + stream(2, "value", i).uniform(-0.3, 0.3) for i in range(997)]

    def test() -> None:
        nonlocal at
        at += 1
        monitor.observe(values[at % 997], at * SECOND)

    figures["monitor, one reading"] = best(test, 50_000)

    made = node()
    figures["node, one second of six signals"] = best(flight(made), 20_000)
    second = 100_001  # right behind the last of its 5 x 20,000 seconds
    now = Instant(second * SECOND, (second - 1) * SECOND, "b")
    figures["node, decide"] = best(lambda: made.decide("accept_task", TASK, now), 5_000)
    figures["node, request (decide and record)"] = best(lambda: made.request("accept_task", TASK, now), 1_000)

    agent = Agent("drone-42", ROOT / "policies" / "payload_limit.json")
    agent.observe(battery_percent=80.0)
    figures["Agent.decide"] = best(lambda: agent.decide("accept_task", payload_kg=0.5), 5_000)
    figures["Agent.act, ledger in memory"] = best(
        lambda: agent.act("accept_task", plain, payload_kg=0.5), 1_000
    )

    with tempfile.TemporaryDirectory() as folder:
        ledger = FileLedger(Path(folder), "a")
        record = b"r" * 300

        def append() -> None:
            for _ in range(64):
                ledger.append("ledger", record)

        def durable() -> None:
            append()
            ledger.sync()

        figures |= releases(Path(folder) / "store")
        figures["ledger file, append"] = best(append, 100) / 64
        figures["ledger file, append and sync in batches of 64"] = best(durable, 20) / 64
        ledger.close()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    figures = measure()
    if args.json:
        print(json.dumps(figures))
        return
    unit = figures["a plain function call"]
    print(f"{'what':48} {'us':>9} {'plain calls':>12}")
    for name, figure in figures.items():
        print(f"{name:48} {figure:9.2f} {figure / unit:12.1f}")


if __name__ == "__main__":
    main()
