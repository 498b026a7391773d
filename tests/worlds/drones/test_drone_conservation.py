"""No task is lost or doubled, however requests are settled and whatever happens to drones."""

from collections import Counter

import numpy as np
import pytest

from ripstop.worlds.drones import City, DroneWorld, FaultPlan, Phase, Place, Request
from ripstop.worlds.drones.orders import NOBODY
from ripstop.worlds.faults import Scale
from ripstop.worlds.streams import stream


def check_places(world: DroneWorld) -> None:
    held = Counter(
        task for lists in (world.fleet.tours, world.fleet.deferred) for tour in lists for task in tour
    )
    assert not held or max(held.values()) == 1
    for place, listed in ((Place.HELD, sorted(held)), (Place.ABOARD, sorted(aboard(world)))):
        assert np.flatnonzero(world.orders.place == place).tolist() == listed
    for agent in range(world.agents):
        own = world.fleet.tours[agent] + world.fleet.deferred[agent]
        assert all(world.orders.holder[task] == agent for task in own)
        assert world.fleet.held[agent] == len(own) <= 2 * world.city.most_tasks


def aboard(world: DroneWorld) -> list[int]:
    return [int(task) for task in world.fleet.aboard if task != NOBODY]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_orders_are_in_one_place_under_random_late_and_missing_answers(seed: int) -> None:
    rng = stream(seed, "hostile answers")
    plan = FaultPlan(at_s=500.0, faults=(Scale(500.0, 0.15),), choice="busiest")
    world = DroneWorld(City.compact(), 40, seed, fault=plan)
    late: list[tuple[float, Request]] = []
    delivered = 0
    while world.t_s < 1800.0:
        world.advance(2.0)
        for request in world.requests():
            fate = rng.random()
            if fate < 0.75:
                world.settle(request, rng.random() < 0.85)
            elif fate < 0.95:
                late.append((world.t_s + rng.uniform(0.0, 9.0), request))
        for due, request in late:
            if due <= world.t_s:
                world.settle(request, rng.random() < 0.85)
        late = [(due, request) for due, request in late if due > world.t_s]
        world.failsafe()
        if rng.random() < 0.02:
            world.vanish(int(rng.integers(40)))
        if rng.random() < 0.02:
            world.reappear(int(rng.integers(40)))
        if world.faulty is not None and rng.random() < 0.005:
            world.replace_sensor(world.faulty)
        if rng.random() < 0.05:
            world.review(int(rng.integers(40)))
        check_places(world)
        for agent in np.flatnonzero((world.fleet.phase == Phase.HOVERING) & ~world.fleet.silent):
            assert world._desk.awaits(world.fleet.tours[agent][0])  # nobody hovers without a question
        now = world.outcome().deliveries
        assert now >= delivered
        delivered = now
    assert delivered > 20
    assert world.outcome().handovers > 0
    assert world.outcome().deferred_task_s > 0


def test_in_an_ungoverned_cascade_no_order_is_lost() -> None:
    plan = FaultPlan(faults=(Scale(900.0, 0.15),), choice="busiest")
    world = DroneWorld(City.wide(), 60, 4, fault=plan)
    for until in range(100, 1600, 100):
        world.run_ungoverned(float(until))
        check_places(world)
    assert world.outcome().handovers > 20
    assert int(np.bincount(world.orders.place).sum()) == len(world.orders)
