"""What emerges: a cascade with the fault, none without, and none when hand-overs are checked."""

from dataclasses import replace

import numpy as np
import pytest
from ruamel.yaml import YAML

from ripstop.core.shipped import shipped
from ripstop.worlds.drones import City, DroneWorld, Handover, Outcome, Scenario


def scenario(city: str) -> Scenario:
    """The shipped scenario with its worst case: the busiest drone's gauge fails."""
    plan = shipped_scenario(city)
    return replace(plan, fault=replace(plan.fault, choice="busiest"))


def shipped_scenario(city: str) -> Scenario:
    document = YAML(typ="safe").load((shipped("scenarios") / "drones.yaml").read_text())
    return Scenario.from_mapping(document, city)


def checked(world: DroneWorld, until_s: float) -> Outcome:
    """Run with one rule: a hand-over needs the reserve to remain afterwards."""
    while world.t_s < until_s:
        world.advance(1.0)
        while asked := world.requests():
            for request in asked:
                good = True
                if isinstance(request, Handover):
                    good = world.margin_after_wh(request.target, request.task) >= world.reserve_wh
                world.settle(request, good)
        world.failsafe()
    return world.outcome()


def test_the_shipped_file_holds_the_cities_of_the_code() -> None:
    assert scenario("wide").city == City.wide()
    assert scenario("compact").city == City.compact()
    assert not set(scenario("wide").tuning_seeds) & set(scenario("wide").reporting_seeds)


@pytest.mark.parametrize("city", ["wide", "compact"])
def test_one_false_gauge_grounds_over_a_fifth_and_without_it_nobody(city: str) -> None:
    plan = scenario(city)
    without = DroneWorld.from_scenario(plan, 150, 100, with_fault=False).run_ungoverned(1500.0)
    cascade = DroneWorld.from_scenario(plan, 150, 100).run_ungoverned(1500.0)
    assert without.grounded == 0
    assert without.aborts == ()
    assert without.airborne_at_fault == cascade.airborne_at_fault > 60
    assert cascade.grounded_share > 0.2
    assert cascade.deliveries < 0.8 * without.deliveries


def test_the_cascade_grows_generation_by_generation_from_the_faulty_drone() -> None:
    outcome = DroneWorld.from_scenario(scenario("wide"), 150, 101).run_ungoverned(1000.0)
    first, *others = outcome.aborts
    assert first.agent == outcome.faulty
    assert first.t_s == pytest.approx(900.0, abs=2.0)
    assert first.true_margin_wh > 10.0  # it had energy: only its gauge said otherwise
    assert len(others) > 5
    assert all(abort.t_s >= 905.0 for abort in others)
    assert outcome.handovers >= len(others)


@pytest.mark.parametrize("city", ["wide", "compact"])
def test_checking_each_hand_over_stops_the_cascade_at_the_faulty_drone(city: str) -> None:
    plan = scenario(city)
    without = DroneWorld.from_scenario(plan, 150, 100, with_fault=False).run_ungoverned(1500.0)
    outcome = checked(DroneWorld.from_scenario(plan, 150, 100), 1500.0)
    assert outcome.grounded <= 3
    assert outcome.deliveries > 0.95 * without.deliveries
    assert outcome.refused > 0


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    plan = scenario("wide")

    def run(seed: int) -> tuple[str, bytes]:
        world = DroneWorld.from_scenario(plan, 60, seed)
        text = repr(world.run_ungoverned(1100.0))
        state = (world.fleet.xy_m, world.true_energy_wh, world.battery_percent, world.orders.place)
        return text, b"".join(array.tobytes() for array in state)

    assert run(5) == run(5)
    assert run(5) != run(6)


def test_small_fleets_work_and_density_stays() -> None:
    city = City.wide()
    for agents in (1, 2, 20, 600):
        scaled = city.scaled(agents)
        assert scaled.side_m**2 / agents == pytest.approx(city.side_m**2 / 150)
        assert scaled.depots == max(1, round(6 * agents / 150))
    for agents in (1, 2, 20):
        outcome = DroneWorld.from_scenario(scenario("wide"), agents, 3).run_ungoverned(2400.0)
        assert outcome.deliveries > 0
        assert np.isfinite(outcome.grounded_share)
