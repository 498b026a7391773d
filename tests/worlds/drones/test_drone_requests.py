"""What answers do: granted, refused, late, or never given."""

import copy
from collections.abc import Iterator

import numpy as np
import pytest

from ripstop.worlds.drones import (
    City,
    DroneWorld,
    FaultPlan,
    Handover,
    Occasion,
    Phase,
    Place,
    Request,
    Settled,
    StartDelivery,
    TakeOff,
)
from ripstop.worlds.faults import Scale

PLAN = FaultPlan(faults=(Scale(900.0, 0.15),), choice="busiest")


@pytest.fixture(scope="module")
def eve_of_fault() -> DroneWorld:
    """150 drones a second before the fault; tests copy it."""
    world = DroneWorld(City.wide(), 150, 1, fault=PLAN)
    world.run_ungoverned(899.0)
    return world


def grant_all(world: DroneWorld) -> None:
    while asked := world.requests():
        for request in asked:
            world.settle(request, True)


def until(world: DroneWorld, kind: type[Request], limit_s: float = 2400.0) -> Iterator[Request]:
    """Grant everything but `kind`, and give those as they come."""
    while world.t_s < limit_s:
        world.advance(1.0)
        while asked := world.requests():
            for request in asked:
                if isinstance(request, kind):
                    yield request
                else:
                    world.settle(request, True)
        world.failsafe()


def test_a_wish_is_given_out_once_and_settled_once() -> None:
    world = DroneWorld(City.wide(), 20, 1)
    request = next(until(world, TakeOff))
    assert request not in world.requests()
    assert world.settle(request, True) is Settled.APPLIED
    assert world.settle(request, True) is Settled.LAPSED


def test_a_refused_take_off_comes_again_later_with_a_lighter_tour() -> None:
    lighter, full = DroneWorld(City.wide(), 20, 1), DroneWorld(City.wide(), 20, 1)
    first = next(until(full, TakeOff))
    full.settle(first, True)
    refused = next(until(lighter, TakeOff))
    assert isinstance(refused, TakeOff)
    assert lighter.settle(refused, False) is Settled.REFUSED
    again = next(r for r in until(lighter, TakeOff) if isinstance(r, TakeOff) and r.agent == refused.agent)
    assert lighter.t_s >= full.t_s + 30.0
    lighter.settle(again, True)
    i = refused.agent
    assert lighter.fleet.route_wh[i] < full.fleet.route_wh[i]
    assert lighter.fleet.route_wh[i] <= 0.8 * lighter.city.fill * 45.0


def test_a_drone_hovers_and_pays_for_it_until_it_is_answered() -> None:
    world = DroneWorld(City.wide(), 20, 1)
    request = next(until(world, StartDelivery))
    assert isinstance(request, StartDelivery)
    i = request.agent
    before, here = world.true_energy_wh[i], world.fleet.xy_m[i].copy()
    for _ in range(3):
        world.advance(1.0)
    assert (world.fleet.xy_m[i] == here).all()
    assert before - world.true_energy_wh[i] == pytest.approx(3.0 * 71.45 / 3600.0, rel=1e-3)
    assert world.settle(request, True) is Settled.APPLIED  # a later tick will do
    assert world.fleet.phase[i] == Phase.TO_PICKUP


def test_a_question_that_nobody_answers_lapses_and_is_asked_again() -> None:
    world = DroneWorld(City.wide(), 20, 1)
    asked = until(world, StartDelivery)
    first = next(asked)
    again = next(r for r in asked if isinstance(r, StartDelivery) and r.agent == first.agent)  # type: ignore[union-attr]
    assert again.serial > first.serial
    assert world.settle(first, True) is Settled.LAPSED
    assert world.settle(again, True) is Settled.APPLIED


def test_a_refused_delivery_is_deferred_frees_its_energy_and_resumes_when_allowed() -> None:
    world = DroneWorld(City.wide(), 20, 1)
    request = next(until(world, StartDelivery))
    assert isinstance(request, StartDelivery)
    i, spare, cost = request.agent, world.spare_wh[request.agent], 0.0
    assert world.settle(request, False) is Settled.REFUSED
    assert [task.number for task in world.deferred(i)] == [request.task]
    assert request.task not in [task.number for task in world.tasks(i)]
    cost = world.spare_wh[i] - spare
    assert cost > 1.0
    seen = next(
        r
        for r in until(world, StartDelivery)
        if isinstance(r, StartDelivery) and (r.occasion is Occasion.RESUME or world.settle(r, True) is None)
    )
    assert isinstance(seen, StartDelivery)
    assert (seen.agent, seen.task) == (i, request.task)
    assert world.settle(seen, True) is Settled.APPLIED
    assert request.task in [task.number for task in world.tasks(i)]
    assert world.outcome().deferred_task_s > 0
    world.run_ungoverned(2400.0)
    assert world.orders.place[request.task] == Place.DELIVERED


def test_with_every_start_refused_drones_go_home_and_wait_and_later_do_the_work() -> None:
    world = DroneWorld(City.compact(), 10, 2)
    while world.t_s < 2000.0:
        world.advance(1.0)
        while asked := world.requests():
            for request in asked:
                world.settle(request, not isinstance(request, StartDelivery))
        world.failsafe()
    assert world.landed.all()
    assert world.outcome().deliveries == 0
    assert world.outcome().grounded == 0
    assert world.fleet.held.sum() > 10
    assert world.run_ungoverned(3600.0).deliveries > 5


def test_a_refused_hand_over_goes_to_somebody_else(eve_of_fault: DroneWorld) -> None:
    world = copy.deepcopy(eve_of_fault)
    asked = until(world, Handover)
    first = next(asked)
    assert isinstance(first, Handover)
    assert world.settle(first, False) is Settled.REFUSED
    targets = set()
    for request in asked:
        assert isinstance(request, Handover)
        if request.task == first.task:
            targets.add(request.target)
        world.settle(request, False)
        if len(targets) > 3:
            break
    assert first.target not in targets


def test_what_nobody_takes_goes_back_to_the_backlog(eve_of_fault: DroneWorld) -> None:
    world = copy.deepcopy(eve_of_fault)
    lost: set[int] = set()
    for request in until(world, Handover, 1100.0):
        assert isinstance(request, Handover)
        lost.add(request.task)
        world.settle(request, False)
    assert world.faulty is not None
    assert lost
    assert world.fleet.held[world.faulty] == 0
    assert not (world.orders.holder[sorted(lost)] == world.faulty).any()
    assert world.outcome().grounded == 1


@pytest.mark.parametrize("how", ["aborts", "vanishes", "lands"])
def test_a_hand_over_to_a_drone_that_is_no_longer_there_lapses(how: str, eve_of_fault: DroneWorld) -> None:
    world = copy.deepcopy(eve_of_fault)
    request = next(until(world, Handover))
    assert isinstance(request, Handover)
    if how == "vanishes":
        world.vanish(request.target)
    elif how == "aborts":
        world.fleet.energy_wh[request.target] = 4.0
        world.advance(1.0)
        assert request.target in world.failsafe()
    else:
        world.fleet.head(request.target, Phase.LANDED)
    assert world.settle(request, True) is Settled.LAPSED
    assert request.task in [task.number for task in world.tasks(request.origin)]


def test_two_offers_an_aborted_drone_a_cycle_the_most_important_first(eve_of_fault: DroneWorld) -> None:
    world = copy.deepcopy(eve_of_fault)
    first = next(until(world, Handover))
    assert isinstance(first, Handover)
    assert world.t_s == 905.0
    assert first.origin == world.faulty
    others = [r for r in world.requests() if isinstance(r, Handover)]
    assert len(others) <= 1
    best = min(task.priority for task in world.tasks(first.origin))
    assert world.task(first.task).priority == best


def test_a_target_is_near_flying_charged_and_has_a_free_slot(eve_of_fault: DroneWorld) -> None:
    world = copy.deepcopy(eve_of_fault)
    seen = 0
    for request in until(world, Handover, 960.0):
        assert isinstance(request, Handover)
        seen += 1
        apart = np.hypot(*(world.fleet.xy_m[request.target] - world.fleet.xy_m[request.origin]))
        assert apart <= world.city.handover_range_m
        assert world.flying[request.target]
        assert not world.aborted[request.target]
        assert world.battery_percent[request.target] >= 30.0
        full = world.fleet.held[request.target] >= 10  # by an offer of the same cycle that came before
        assert world.settle(request, True) is (Settled.LAPSED if full else Settled.APPLIED)
        assert world.fleet.held[request.target] <= 10
    assert seen > 2


def test_a_review_defers_at_once_what_is_refused_and_frees_its_energy() -> None:
    world = DroneWorld(City.wide(), 60, 1)
    world.run_ungoverned(600.0)
    i = next(j for j in np.flatnonzero(world.flying) if len(world.tasks(int(j))) > 2)
    i, spare, tasks = int(i), float(world.spare_wh[i]), world.tasks(int(i))
    world.review(i)
    asked = [r for r in world.requests() if isinstance(r, StartDelivery)]
    assert [(r.agent, r.task, r.occasion) for r in asked] == [(i, t.number, Occasion.REVIEW) for t in tasks]
    for request in asked:
        world.settle(request, world.task(request.task).priority <= 2)
    assert world.tasks(i) == tuple(task for task in tasks if task.priority <= 2)
    assert {task.number for task in world.deferred(i)} == {task.number for task in tasks if task.priority > 2}
    assert world.deferred(i)
    assert world.spare_wh[i] > spare + 1.0
    assert world.run_ungoverned(2400.0).grounded == 0


def test_a_drone_that_drops_the_leg_it_flies_turns_to_its_next_task() -> None:
    world = DroneWorld(City.wide(), 60, 1)
    world.run_ungoverned(600.0)
    to_pickup = np.flatnonzero((world.fleet.phase == Phase.TO_PICKUP) & (world.fleet.held > 1))
    i = int(to_pickup[0])
    first, second, *_ = world.tasks(i)
    world.review(i)
    for request in world.requests():
        assert isinstance(request, StartDelivery)
        world.settle(request, request.task != first.number)
    assert world.fleet.phase[i] == Phase.TO_PICKUP
    assert world.tasks(i)[0] == second
    assert tuple(world.fleet.target_m[i]) == (second.pickup_x_m, second.pickup_y_m)
