"""A small shift that has all the parts of the large one: two dozen drones, a fault early on."""

from dataclasses import replace

from ripstop.lab.runner import Experiment
from ripstop.lab.scenarios import load_scenario


def small_experiment(
    agents: int = 24, end_s: float = 420.0, replaced_after_s: float | None = 60.0
) -> Experiment:
    scenario = load_scenario("drones", "wide")
    scenario = replace(
        scenario,
        city=replace(scenario.city, take_off_window_s=200.0),
        fault=replace(scenario.fault.moved(260.0), choice="busiest", replaced_after_s=replaced_after_s),
        end_s=end_s,
    )
    return Experiment(scenario, agents=agents)
