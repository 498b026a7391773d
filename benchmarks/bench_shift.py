"""How many times faster than real time is a governed shift, and where does its time go?

    python benchmarks/bench_shift.py [--arms local,global,both] [--agents N] [--seed N] [--from S] [--until S]

One arm after the other, in this process alone, in processor time: each part's share of the time between
`--from` and `--until` (the fault comes at 900 s), what one call of it takes, and the arm's speed. Parts are
timed from outside and count what they call, so a frame's encoding is part of `sense`; the timing itself is
under 2 % of the whole. The demo's speed is that of the whole shift, building and loading included.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ripstop.core.node import Event, Message
from ripstop.lab.arms import Arm
from ripstop.lab.rig import CONTROL
from ripstop.lab.runner import Experiment, VirtualShift
from ripstop.lab.scenarios import load_scenario


@dataclass
class Part:
    spent_s: float = 0.0
    calls: int = 0


class Clocked:
    """Calls with the time that they took, by part."""

    def __init__(self) -> None:
        self.parts: dict[str, Part] = {}

    def call(self, part: str, function: Callable[..., Any], *given: Any) -> Any:
        began = time.perf_counter()
        result = function(*given)
        held = self.parts.setdefault(part, Part())
        held.spent_s += time.perf_counter() - began
        held.calls += 1
        return result

    def around(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *given: self.call(part, function, *given)


def named(event: Event) -> str:
    """Name an event as the breakdown does: a message by its topic, everything else by its kind."""
    return event.subject.split(".", 3)[2] if isinstance(event, Message) else type(event).__name__.lower()


def watch(shift: VirtualShift, clocked: Clocked) -> None:
    """Time the parts of a shift from outside."""
    for name, port in shift.network._ports.items():
        side = "ground" if name == CONTROL else "agent"
        step = port.step

        def timed(event: Event, now: Any, side: str = side, step: Any = step) -> Any:
            return clocked.call(f"{side} {named(event)}", step, event, now)

        port.step = timed
    network, crew, world = shift.network, shift.crew, shift.world
    for part, owner, name in (
        ("risk computations", network, "_compute"),
        ("sense and carry", crew, "_sense"),
        ("wishes", crew, "settle_wishes"),
        ("world", world, "advance"),
        ("failsafe", world, "failsafe"),
    ):
        setattr(owner, name, clocked.around(part, getattr(owner, name)))


def bench(arm: Arm, options: argparse.Namespace) -> None:
    experiment = Experiment(load_scenario("drones", options.city), agents=options.agents)
    shift = VirtualShift(experiment, options.seed, arm)
    shift.run_until(options.begin)
    clocked = Clocked()
    watch(shift, clocked)
    began_s, delivered = time.process_time(), shift.network.counts.delivered
    shift.run_until(options.until)
    took_s = time.process_time() - began_s
    delivered = shift.network.counts.delivered - delivered
    simulated_s = options.until - options.begin
    print(f"{arm.value}: {simulated_s / took_s:.0f} x real time; {took_s:.2f} s, {delivered} deliveries")
    rest_s = took_s
    for part, held in sorted(clocked.parts.items(), key=lambda item: -item[1].spent_s):
        each_us = held.spent_s / held.calls * 1e6
        print(f"  {part:22} {held.spent_s / took_s:6.1%}  {held.calls:8} calls  {each_us:9.1f} us each")
        rest_s -= held.spent_s
    print(f"  {'network, timeline':22} {rest_s / took_s:6.1%}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--arms", default="local,global,both")
    parser.add_argument("--agents", type=int, default=150)
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--city", default="wide")
    parser.add_argument("--from", dest="begin", type=float, default=0.0, help="seconds into the shift")
    parser.add_argument("--until", type=float, default=2400.0)
    options = parser.parse_args()
    for arm in options.arms.split(","):
        bench(Arm(arm), options)


if __name__ == "__main__":
    main()
