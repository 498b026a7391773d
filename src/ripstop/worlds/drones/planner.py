"""The central planner: hands tasks of aborted drones over, and asks again for deferred ones.

It trusts what drones report and checks a tour's energy only at take-off. The emergency hand-over checks
nothing but distance, a reported charge and a free slot: that this is not enough is the point of the world.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ripstop.worlds.drones.city import City
from ripstop.worlds.drones.fleet import Fleet, Phase
from ripstop.worlds.drones.gauges import BatteryGauges
from ripstop.worlds.drones.orders import NOBODY, Orders, Place
from ripstop.worlds.drones.requests import Desk, Occasion
from ripstop.worlds.drones.routing import Points


class Planner:
    """Runs once a cycle over aborted drones and deferred tasks; files requests, decides none."""

    def __init__(self, city: City, fleet: Fleet, gauges: BatteryGauges, orders: Orders, desk: Desk) -> None:
        self._city, self._fleet, self._gauges = city, fleet, gauges
        self.orders, self.desk = orders, desk
        self._refused: dict[tuple[int, int], float] = {}  # (task, target) -> until when
        self._stranded_since: dict[int, float] = {}  # aborted drone -> when first seen
        self._offers: dict[int, int] = {}  # task -> how often offered

    def remember_refusal(self, task: int, target: int, t_s: float) -> None:
        """Do not offer this task to this drone again for a while."""
        self._refused[task, target] = t_s + self._city.refusal_memory_s

    def forget(self, task: int) -> None:
        """Drop what is known about a task that has found a new holder."""
        self._offers.pop(task, None)

    def spare_wh(self) -> NDArray[np.float64]:
        """Give by reported energy what each drone has beyond its route, shape (agents,); NaN: no reading."""
        return self._gauges.percent * (self._city.battery_wh / 100.0) - self._fleet.route_wh

    def reported_wh(self, agent: int) -> float:
        """Give the energy that a drone reports."""
        return float(self._gauges.percent[agent]) * self._city.battery_wh / 100.0

    def cycle(self, t_s: float) -> None:
        """File this cycle's offers and second askings."""
        fleet = self._fleet
        stranded = fleet.aborted & ~fleet.silent & (fleet.held > 0)
        for agent in np.flatnonzero(stranded):
            self._offer(int(agent), t_s)
        for known in tuple(self._stranded_since):
            if not stranded[known]:
                del self._stranded_since[known]
        waiting = ~fleet.aborted & ~fleet.silent & (fleet.held > 0)
        spare = self.spare_wh()  # what one drone gives back leaves the others' as it is
        for agent in np.flatnonzero(waiting):
            if fleet.deferred[agent]:
                self._ask_again(int(agent), float(spare[agent]), t_s)

    def _takers(self) -> NDArray[np.bool_]:
        fleet = self._fleet
        up = fleet.flying & ~fleet.aborted & ~fleet.silent
        charged = self._gauges.percent >= self._city.handover_percent
        taking: NDArray[np.bool_] = up & charged & (fleet.held < self._city.most_tasks)
        return taking

    def _offer(self, origin: int, t_s: float) -> None:
        """Offer tasks of an aborted drone to drones within its reach, nearest to the pick-up first."""
        tour = self._fleet.tours[origin]
        open_tasks = [task for task in tour if not self.desk.awaits(task)]
        if t_s - self._stranded_since.setdefault(origin, t_s) >= self._city.give_up_s:
            for task in open_tasks:
                self.to_backlog(origin, task)
            return
        near = self._distance(self._fleet.xy_m[origin]) <= self._city.handover_range_m
        reach = np.flatnonzero(self._takers() & near)
        # Refused tasks wait their turn; among equals the most important first.
        open_tasks.sort(key=lambda task: (self._offers.get(task, 0), self.orders.priority[task]))
        for task in open_tasks[: self._city.offers_per_cycle]:
            distance = self._distance(self.orders.pickup[task])[reach]
            target = self._first_willing(task, reach[np.argsort(distance, kind="stable")], t_s)
            self._offers[task] = self._offers.get(task, 0) + 1
            if target != NOBODY:
                self.desk.hand_over(task, origin, target, t_s)

    def _distance(self, point: Points) -> NDArray[np.float64]:
        apart = self._fleet.xy_m - point
        return np.hypot(apart[:, 0], apart[:, 1])

    def _first_willing(self, task: int, by_distance: NDArray[np.intp], t_s: float) -> int:
        for target in by_distance:
            if self._refused.get((task, int(target)), -np.inf) <= t_s:
                return int(target)
        return NOBODY

    def to_backlog(self, agent: int, task: int) -> None:
        """Take a task off a drone's list and give it to whoever takes off next."""
        for held in (self._fleet.tours[agent], self._fleet.deferred[agent]):
            if task in held:
                held.remove(task)
        self.orders.move(task, Place.BACKLOG, NOBODY)
        self.forget(task)
        self._fleet.lay(agent)

    def _ask_again(self, agent: int, spare: float, t_s: float) -> None:
        """Ask for the first deferred task that the drone could still do; on the ground give back the rest."""
        deferred = self._fleet.deferred[agent]
        landed = self._fleet.phase[agent] == Phase.LANDED
        for task in tuple(deferred):
            if self.desk.awaits(task):
                return
            _, extra = self._fleet.best_place(agent, task)
            if spare - extra >= self._city.reserve_wh:
                deferred.remove(task)
                deferred.append(task)  # next time another one's turn
                self.desk.start(agent, task, t_s, Occasion.RESUME)
                return
            if landed:
                self.to_backlog(agent, task)
