"""Delivery drones over a city: flight, energy, orders, a planner, and sensors that may lie."""

from ripstop.worlds.drones.city import City
from ripstop.worlds.drones.fleet import Phase
from ripstop.worlds.drones.orders import Place, Task
from ripstop.worlds.drones.outcome import Abort, Minute, Outcome
from ripstop.worlds.drones.power import hover_power_w
from ripstop.worlds.drones.requests import Handover, Occasion, Request, Settled, StartDelivery, TakeOff
from ripstop.worlds.drones.scenario import FaultPlan, Scenario
from ripstop.worlds.drones.world import DroneWorld, Reading, Snapshot

__all__ = [
    "Abort",
    "City",
    "DroneWorld",
    "FaultPlan",
    "Handover",
    "Minute",
    "Occasion",
    "Outcome",
    "Phase",
    "Place",
    "Reading",
    "Request",
    "Scenario",
    "Settled",
    "Snapshot",
    "StartDelivery",
    "TakeOff",
    "Task",
    "hover_power_w",
]
