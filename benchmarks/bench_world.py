"""The drone world: does the cascade emerge, what stops it, and how fast is it?

    python benchmarks/bench_world.py [--seeds tuning|reporting|FIRST:COUNT] [--agents N] [--choice busiest]

Arms, all on the same seeds: no fault; ungoverned; every hand-over checked against the reserve (`checked`);
deliveries and hand-overs of all but priority 1 paused near the faulty drone's pick-ups (`shed`), for good or
for 200 s (`shed_200`); all but priorities 1..3 paused there (`shed_mild`); the check and the 200 s (`both`).
The rules are a few lines here, without agents and network: they show what governance can reach, not what it
does.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from ruamel.yaml import YAML

from ripstop.core.shipped import shipped
from ripstop.worlds.drones import DroneWorld, Handover, Outcome, Request, Scenario, TakeOff

Rule = Callable[[DroneWorld, Request], bool]
REACTION_S = 2.0
RADIUS_M = 2_000.0


def checked(world: DroneWorld, request: Request) -> bool:
    """Grant a hand-over when the reserve remains after it."""
    if not isinstance(request, Handover):
        return True
    return world.margin_after_wh(request.target, request.task) >= world.reserve_wh


class Shed:
    """Pause deliveries near the faulty drone and its pick-ups, from shortly after the fault on."""

    def __init__(self, keep: int, lasts_s: float = float("inf")) -> None:
        self.keep, self.lasts_s = keep, lasts_s
        self.since: float | None = None
        self.told = False
        self.centres = np.zeros((0, 2))

    def __call__(self, world: DroneWorld, request: Request) -> bool:
        if world.faulty is None or isinstance(request, TakeOff):
            return True
        if self.since is None:
            self.since = world.t_s + REACTION_S
            here = (float(world.x_m[world.faulty]), float(world.y_m[world.faulty]))
            picks = [(task.pickup_x_m, task.pickup_y_m) for task in world.tasks(world.faulty)]
            self.centres = np.array([here, *picks])
        if not self.told and world.t_s >= self.since:
            self.told = True
            for agent in range(world.agents):
                world.review(agent)
        task = world.task(request.task)
        if task.priority <= self.keep or not 0 <= world.t_s - self.since <= self.lasts_s:
            return True
        apart = self.centres - (task.pickup_x_m, task.pickup_y_m)
        return bool(np.hypot(apart[:, 0], apart[:, 1]).min() > RADIUS_M)


def both(*rules: Rule) -> Rule:
    return lambda world, request: all(rule(world, request) for rule in rules)


ARMS: dict[str, Callable[[], Rule]] = {
    "checked": lambda: checked,
    "shed": lambda: Shed(1),
    "shed_200": lambda: Shed(1, 200.0),
    "shed_mild": lambda: Shed(3),
    "both": lambda: both(checked, Shed(1, 200.0)),
}


def run(world: DroneWorld, rule: Rule, end_s: float) -> Outcome:
    while world.t_s < end_s:
        world.advance(1.0)
        while asked := world.requests():
            for request in asked:
                world.settle(request, rule(world, request))
        world.failsafe()
    return world.outcome()


def line(arm: str, outcomes: list[Outcome], cpu_s: float, simulated_s: float) -> None:
    grounded = [o.grounded_share for o in outcomes]
    over = sum(share > 0.2 for share in grounded)
    print(
        f"  {arm:10} grounded mean {np.mean(grounded):.3f} min {min(grounded):.3f} max {max(grounded):.3f}"
        f"  over 20 %: {over}/{len(grounded)}  deliveries {np.mean([o.deliveries for o in outcomes]):.0f}"
        f"  deferred {np.mean([o.deferred_task_s for o in outcomes]) / 3600:.1f} task-h"
        f"  {simulated_s / cpu_s:.0f} x real time",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", default="tuning", help="tuning, reporting, or FIRST:COUNT")
    parser.add_argument("--agents", type=int, default=150)
    parser.add_argument("--choice", default="", help="whose gauge fails, as in the scenario file")
    parser.add_argument("--cities", default="wide,compact")
    parser.add_argument("--arms", default="no_fault,ungoverned," + ",".join(ARMS))
    options = parser.parse_args()
    document = YAML(typ="safe").load((shipped("scenarios") / "drones.yaml").read_text())
    for city in options.cities.split(","):
        plan = Scenario.from_mapping(document, city)
        if options.choice:
            plan = replace(plan, fault=replace(plan.fault, choice=options.choice))
        seeds = {"tuning": plan.tuning_seeds, "reporting": plan.reporting_seeds}.get(options.seeds)
        if seeds is None:
            first, count = map(int, options.seeds.split(":"))
            seeds = tuple(range(first, first + count))
        print(f"{city}: {options.agents} drones, {plan.fault.choice}, seeds {seeds[0]}..{seeds[-1]}")
        for arm in options.arms.split(","):
            begun = time.process_time()
            outcomes = []
            for seed in seeds:
                world = DroneWorld.from_scenario(plan, options.agents, seed, with_fault=arm != "no_fault")
                if arm in ARMS:
                    outcomes.append(run(world, ARMS[arm](), plan.end_s))
                else:
                    outcomes.append(world.run_ungoverned(plan.end_s))
            line(arm, outcomes, time.process_time() - begun, len(seeds) * plan.end_s)


if __name__ == "__main__":
    main()
