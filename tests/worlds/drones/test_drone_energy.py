"""Energy against the published formula, and against a route priced another way."""

import math
from dataclasses import replace

import numpy as np
import pytest

from ripstop.worlds.drones import City, DroneWorld, Phase, hover_power_w
from ripstop.worlds.drones.wind import Wind, ground_speed_m_s
from ripstop.worlds.streams import stream

CALM = replace(City.wide(), wind_sd_m_s=0.0)


def test_power_follows_the_published_equation() -> None:
    # By hand: sqrt(9.81**3 / (2 * 1.204 * 0.2 * 6)) = 18.075; 2.5**1.5 = 3.9528.
    assert hover_power_w(np.array([2.5]))[0] == pytest.approx(71.45, abs=0.01)


def test_power_is_that_of_the_papers_linear_fit_within_5_w_where_it_was_fitted() -> None:
    carried = np.linspace(0.5, 2.5, 21)  # battery and payload on a frame of 1.5 kg
    fit_w = 46.7 * carried + 26.9
    assert np.abs(hover_power_w(1.5 + carried) - fit_w).max() < 5.0


def leg_s(leg: np.ndarray, wind: tuple[float, float], airspeed: float) -> float:
    """Time for a leg, from the quadratic |leg - wind t| = airspeed t: not the way the world does it."""
    a = airspeed**2 - wind[0] ** 2 - wind[1] ** 2
    half_b = leg[0] * wind[0] + leg[1] * wind[1]
    c = -(leg[0] ** 2 + leg[1] ** 2)
    return (-half_b + math.sqrt(half_b**2 - a * c)) / a


def price(world: DroneWorld, start: np.ndarray, tasks: list[int]) -> float:
    """Energy of a route in Wh, leg by leg."""
    at, total = start, 0.0
    for task in tasks:
        for to, mass in (
            (world.orders.pickup[task], 0.0),
            (world.orders.drop[task], world.orders.mass_kg[task]),
        ):
            seconds = leg_s(to - at, world.wind.mean, world.city.airspeed_m_s)
            total += seconds * float(hover_power_w(np.array([world.city.empty_kg + mass]))[0]) / 3600.0
            at = to
    home = min(world.router.depots, key=lambda depot: math.dist(depot, at))
    seconds = leg_s(home - at, world.wind.mean, world.city.airspeed_m_s)
    return total + seconds * float(hover_power_w(np.array([world.city.empty_kg]))[0]) / 3600.0


def test_a_route_costs_what_its_legs_cost_by_the_wind_triangle() -> None:
    world = DroneWorld(CALM, 5, 3)
    start = world.fleet.xy_m[0].copy()
    for tasks in ([], [4], [7, 2, 30, 11]):
        assert world.router.chain_wh(start, tasks) == pytest.approx(price(world, start, tasks), rel=1e-12)


def test_the_cheapest_insertion_is_the_cheapest_of_all_places() -> None:
    world = DroneWorld(CALM, 5, 3)
    start, tasks = world.fleet.xy_m[0].copy(), [7, 2, 30, 11]
    for first in (0, 1):
        place, extra = world.router.insertion(start, tasks, 40, first)
        costs = {
            k: price(world, start, [*tasks[:k], 40, *tasks[k:]]) - price(world, start, tasks)
            for k in range(first, len(tasks) + 1)
        }
        assert place == min(costs, key=costs.__getitem__)
        assert extra == pytest.approx(costs[place], rel=1e-9)


@pytest.mark.parametrize("dt_s", [0.3, 1.0, 7.3])
def test_in_steady_wind_a_tour_takes_exactly_its_forecast_whatever_the_tick(dt_s: float) -> None:
    world = DroneWorld(replace(CALM, take_off_window_s=0.0, depots=1), 1, 5)
    forecast = None
    while not world.landed[0]:
        world.advance(dt_s)
        while asked := world.requests():
            for request in asked:
                start = world.fleet.xy_m[0].copy()
                world.settle(request, True)
                if forecast is None:
                    forecast = price(world, start, list(world.fleet.tours[0]))
        assert world.t_s < 4000
    assert forecast is not None
    assert world.city.battery_wh - world.true_energy_wh[0] == pytest.approx(forecast, rel=1e-9)
    assert world.outcome().deliveries > 1


def test_a_tour_is_filled_tightly_but_not_over_the_fill() -> None:
    world = DroneWorld(City.wide(), 60, 2)
    usable = world.city.battery_wh - world.reserve_wh
    tours = [
        world.router.fill_tour(world.fleet.xy_m[k], world.city.fill * usable)
        for k in range(len(world.router.depots))
    ]
    for k, tour in enumerate(tours):
        cost = world.router.chain_wh(world.fleet.xy_m[k], tour)
        assert 0.85 * world.city.fill * usable < cost <= world.city.fill * usable


def test_the_margin_of_the_whole_fleet_is_each_drones_priced_alone() -> None:
    world = DroneWorld(CALM, 40, 8)
    world.run_ungoverned(700.0)
    checked = 0
    for i in np.flatnonzero(world.flying & ~world.aborted):
        held = list(world.fleet.tours[i])
        here = world.fleet.xy_m[i]
        if world.fleet.phase[i] == Phase.TO_DROP:
            aboard = int(world.fleet.aboard[i])
            to = world.orders.drop[aboard]
            mass = np.array([world.city.empty_kg + world.orders.mass_kg[aboard]])
            head = leg_s(to - here, world.wind.mean, 10.0) * float(hover_power_w(mass)[0]) / 3600.0
            expected = head + price(world, to, held)
        else:
            expected = price(world, here, held)
        assert world.fleet.route_wh[i] == pytest.approx(expected, rel=1e-9)
        checked += 1
    assert checked > 10


def test_a_drone_with_an_empty_battery_comes_down_where_it_is() -> None:
    world = DroneWorld(City.wide(), 3, 1)
    world.run_ungoverned(1200.0)
    i = int(np.flatnonzero(world.flying)[0])
    world.fleet.energy_wh[i] = 0.001
    world.run_ungoverned(1210.0)
    assert world.fleet.phase[i] == Phase.DOWN
    assert world.outcome().exhausted == 1
    assert world.true_energy_wh[i] == 0.0


def test_wind_has_its_deviation_and_forgets_in_its_time() -> None:
    wind = Wind((3.0, 0.0), 0.3, 600.0, rng=stream(1, "wind"))
    samples = []
    for _ in range(20_000):
        wind.step(60.0)
        samples.append(wind.now[0])
    speed = np.array(samples) - 3.0
    # Correlation time 600 s: 20,000 steps of 60 s are about 1,000 independent samples, so 3 % of error
    # in the deviation is 1.3 standard errors; allow five.
    assert abs(speed.std() / 0.3 - 1.0) < 0.12
    assert abs(np.corrcoef(speed[:-10], speed[10:])[0, 1] - math.exp(-1.0)) < 0.15


def test_headwind_slows_and_a_gale_never_stops_a_craft() -> None:
    east, zero = np.array([1.0]), np.array([0.0])
    assert ground_speed_m_s(east, zero, (-3.0, 0.0), 10.0)[0] == pytest.approx(7.0)
    assert ground_speed_m_s(east, zero, (0.0, 6.0), 10.0)[0] == pytest.approx(8.0)
    assert ground_speed_m_s(east, zero, (-30.0, 0.0), 10.0)[0] == 0.5
