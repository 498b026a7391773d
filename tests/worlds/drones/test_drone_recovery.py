"""A false gauge and its replacement; a computer that goes and comes back; what is read meanwhile."""

import copy
import math

import numpy as np
import pytest

from ripstop.core.errors import ConfigurationError
from ripstop.worlds.drones import City, DroneWorld, FaultPlan, Phase, Place
from ripstop.worlds.faults import Dropout, Scale

PLAN = FaultPlan(faults=(Scale(900.0, 0.15),), choice="busiest")


@pytest.fixture(scope="module")
def eve_of_fault() -> DroneWorld:
    """150 drones a second before the fault; tests copy it."""
    world = DroneWorld(City.wide(), 150, 1, fault=PLAN)
    world.run_ungoverned(899.0)
    return world


def test_a_false_gauge_shows_low_voltage_and_the_drone_aborts_on_it(eve_of_fault: DroneWorld) -> None:
    world = copy.deepcopy(eve_of_fault)
    before = world.battery_v.copy()
    world.run_ungoverned(901.0)
    i = world.faulty
    assert i is not None
    assert world.battery_percent[i] < 15.0
    assert world.battery_v[i] < before[i] - 0.5
    assert world.true_energy_wh[i] > 0.2 * world.city.battery_wh
    assert world.aborted[i]
    others = np.delete(np.arange(150), i)
    assert np.abs(world.battery_v - before)[others].max() < 0.05


def test_a_drone_with_a_new_gauge_rejoins_with_the_tasks_it_still_holds(eve_of_fault: DroneWorld) -> None:
    world = copy.deepcopy(eve_of_fault)
    world.run_ungoverned(903.0)
    i = world.faulty
    assert i is not None
    held = world.tasks(i)
    assert held
    assert world.replace_sensor(i)
    assert not world.aborted[i]
    assert world.tasks(i) == held
    assert world.battery_percent[i] == pytest.approx(2.0 * world.true_energy_wh[i])
    assert world.outcome().aborts[0].lifted_s == 903.0
    outcome = world.run_ungoverned(3000.0)
    assert outcome.grounded == 0
    assert world.landed[i]
    assert all(world.orders.place[task.number] == Place.DELIVERED for task in held)


def test_an_abort_that_a_sound_gauge_caused_is_not_lifted_by_replacing_it(eve_of_fault: DroneWorld) -> None:
    world = copy.deepcopy(eve_of_fault)
    world.run_ungoverned(940.0)
    victim = next(abort.agent for abort in world.outcome().aborts if abort.agent != world.faulty)
    assert not world.replace_sensor(victim)
    assert world.aborted[victim]


def test_a_drone_that_has_landed_does_not_rejoin(eve_of_fault: DroneWorld) -> None:
    world = copy.deepcopy(eve_of_fault)
    world.run_ungoverned(1500.0)
    assert world.faulty is not None
    assert world.landed[world.faulty]
    assert not world.replace_sensor(world.faulty)
    assert world.aborted[world.faulty]


def test_a_gauge_that_says_nothing_aborts_nobody() -> None:
    plan = FaultPlan(faults=(Dropout(900.0),), choice="busiest")
    world = DroneWorld(City.wide(), 50, 1, fault=plan)
    outcome = world.run_ungoverned(1500.0)
    assert world.faulty is not None
    assert math.isnan(world.battery_percent[world.faulty])
    assert outcome.grounded == 0


def test_a_silent_drone_says_nothing_and_is_called_home_with_its_tasks_taken_back() -> None:
    world = DroneWorld(City.wide(), 50, 1)
    world.run_ungoverned(700.0)
    i = int(np.flatnonzero(world.flying & (world.fleet.held > 1))[0])
    world.vanish(i)
    reading = world.readings(i)
    assert math.isnan(reading.battery_percent)
    assert math.isnan(reading.battery_v)
    assert i not in world.neighbours(int(np.flatnonzero(world.flying)[1]), 1e6)
    world.run_ungoverned(740.0)
    assert world.aborted[i]
    assert world.fleet.held[i] == 0
    assert world.outcome().aborts[0].reason == "lost link"


def test_a_drone_that_comes_back_in_time_goes_on() -> None:
    world = DroneWorld(City.wide(), 50, 1)
    world.run_ungoverned(700.0)
    i = int(np.flatnonzero(world.flying & (world.fleet.held > 1))[0])
    held = len(world.tasks(i))
    world.vanish(i)
    world.run_ungoverned(720.0)
    world.reappear(i)
    assert world.readings(i).battery_percent > 0
    world.run_ungoverned(2400.0)
    assert world.outcome().grounded == 0
    assert world.fleet.phase[i] == Phase.LANDED
    assert held > 1
    assert world.fleet.held[i] == 0


def test_a_parked_drone_that_was_silent_takes_off_after_all() -> None:
    world = DroneWorld(City.wide(), 10, 1)
    for i in range(10):
        world.vanish(i)
    world.run_ungoverned(1600.0)
    assert (world.fleet.phase == Phase.PARKED).all()
    for i in range(10):
        world.reappear(i)
    world.run_ungoverned(1700.0)
    assert world.flying.all()


def test_neighbours_are_the_flying_ones_in_range_nearest_first() -> None:
    world = DroneWorld(City.wide(), 150, 1)
    world.run_ungoverned(800.0)
    i = int(np.flatnonzero(world.flying)[0])
    apart = np.hypot(world.x_m - world.x_m[i], world.y_m - world.y_m[i])
    near = world.neighbours(i, 2000.0)
    assert list(near) == sorted(near, key=lambda j: apart[j])
    expected = set(np.flatnonzero(world.flying & (apart <= 2000.0)).tolist()) - {i}
    assert set(near) == expected
    assert world.neighbours(i, 0.0) == ()


def test_a_snapshot_stays_as_it_was() -> None:
    world = DroneWorld(City.wide(), 20, 1)
    world.run_ungoverned(300.0)
    shot = world.snapshot()
    x = shot.x_m.copy()
    world.run_ungoverned(400.0)
    assert shot.t_s == 300.0
    assert (shot.x_m == x).all()
    assert not (world.x_m == x).all()


def test_the_timeline_has_each_minute_and_adds_up() -> None:
    world = DroneWorld(City.wide(), 60, 2, fault=PLAN)
    outcome = world.run_ungoverned(1200.0)
    assert [minute.t_s for minute in outcome.minutes] == [60.0 * k for k in range(1, 21)]
    assert outcome.minutes[-1].delivered == outcome.deliveries == sum(outcome.deliveries_by_priority)
    assert outcome.minutes[-1].grounded == outcome.grounded
    both = outcome.grounded_share * outcome.airborne_at_fault
    assert outcome.grounded_share_others == pytest.approx((both - 1) / (outcome.airborne_at_fault - 1))


def test_a_postponed_fault_comes_then_and_one_that_is_over_cannot_be_moved(eve_of_fault: DroneWorld) -> None:
    world = copy.deepcopy(eve_of_fault)
    with pytest.raises(ConfigurationError, match="cannot be moved"):
        world.postpone_fault(899.0)
    world.postpone_fault(905.0)
    world.run_ungoverned(904.0)
    assert world.faulty is None
    world.run_ungoverned(906.0)
    assert world.faulty is not None
    with pytest.raises(ConfigurationError, match="cannot be moved"):
        world.postpone_fault(950.0)
