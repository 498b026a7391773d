"""Scenario documents and cities: what is refused, and how."""

import copy
import math
from typing import Any

import pytest

from ripstop.core.errors import ConfigurationError
from ripstop.worlds.drones import City, DroneWorld, FaultPlan, Scenario
from ripstop.worlds.faults import Scale

GOOD: dict[str, Any] = {
    "scenario": "drones",
    "cities": {"here": {"battery_wh": 30}},
    "fault": {"at_s": 600, "choice": "busiest", "gauge": [{"kind": "scale", "factor": 0.2}]},
    "shift": {"end_s": 1200, "tick_s": 1},
    "seeds": {"tuning": [1, 2], "reporting": {"first": 10, "count": 3}},
}


def test_a_mapping_becomes_a_scenario() -> None:
    plan = Scenario.from_mapping(GOOD, "here")
    assert plan.city.name == "here"
    assert plan.city.battery_wh == 30
    assert plan.city.side_m == City.wide().side_m
    assert plan.fault == FaultPlan(600.0, (Scale(600.0, 0.2),), "busiest", None)
    assert plan.reporting_seeds == (10, 11, 12)
    assert plan.tuning_seeds == (1, 2)


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        (("extra",), 1, "C0323"),
        (("cities",), 3, "C0324"),
        (("cities", "here", "colour"), 3, "C0311"),
        (("cities", "here", "battery_wh"), -1, "C0310"),
        (("cities", "here", "battery_wh"), "much", "C0325"),
        (("cities", "here", "battery_wh"), math.nan, "C0310"),
        (("cities", "here", "depots"), 2.5, "C0310"),
        (("cities", "here", "fill"), 1.2, "C0310"),
        (("cities", "here", "lightest_kg"), 9, "C0312"),
        (("fault", "choice"), "luck", "C0321"),
        (("fault", "choice"), True, "C0321"),
        (("fault", "gauge"), [], "C0322"),
        (("fault", "gauge"), ["scale"], "C0322"),
        (("fault", "gauge"), [{"kind": "melt"}], "C0301"),
        (("fault", "at_s"), None, "C0325"),
        (("fault", "when"), 3, "C0323"),
        (("shift", "end_s"), 0, "C0325"),
        (("seeds", "tuning"), "all", "C0326"),
        (("seeds", "tuning"), [1, "two"], "C0326"),
    ],
)
def test_a_bad_document_is_refused_with_its_code(path: tuple[str, ...], value: object, code: str) -> None:
    document = copy.deepcopy(GOOD)
    node = document
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    with pytest.raises(ConfigurationError) as caught:
        Scenario.from_mapping(document, "here")
    assert caught.value.code == code
    assert not caught.value.message.endswith(".")


def test_a_city_that_the_document_lacks_is_refused_with_those_it_has() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Scenario.from_mapping(GOOD, "there")
    assert caught.value.code == "C0320"
    assert "here" in caught.value.hint


def test_a_world_needs_agents_a_seed_and_a_fault_on_one_of_them() -> None:
    for agents, seed in ((0, 1), (3, -1)):
        with pytest.raises(ConfigurationError, match="C0330"):
            DroneWorld(City.wide(), agents, seed)
    with pytest.raises(ConfigurationError, match="C0331"):
        DroneWorld(City.wide(), 3, 1, fault=FaultPlan(choice=3))


def test_the_named_drone_gets_the_fault() -> None:
    world = DroneWorld(City.wide(), 30, 1, fault=FaultPlan(300.0, (Scale(300.0, 0.15),), 7))
    world.run_ungoverned(310.0)
    assert world.faulty == 7
    assert world.battery_percent[7] < 16
