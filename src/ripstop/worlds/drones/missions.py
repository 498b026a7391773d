"""A drone's mission, step by step: take-off, legs, arrivals, aborts, and what an answer changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from ripstop.worlds.drones.city import City
from ripstop.worlds.drones.fleet import Fleet, Phase
from ripstop.worlds.drones.orders import NOBODY, Orders, Place
from ripstop.worlds.drones.outcome import Abort
from ripstop.worlds.drones.planner import Planner
from ripstop.worlds.drones.requests import Desk, Handover, Occasion, Request, Settled, StartDelivery, TakeOff
from ripstop.worlds.drones.routing import Router

RETRY_S: Final = 30.0  # a refused or empty-handed take-off tries again after this
FAILSAFE_SHARE: Final = 0.5  # of the reserve: under it a mission is broken off


class Missions:
    """Everything that changes what a drone does; called for one drone, when something happens to it.

    Attributes:
        due_s: shape (agents,), when a parked drone wants to take off next; infinite when it does not.
        aborts: every broken-off mission, in order of time.
        handovers: how many tasks have changed hands.
    """

    def __init__(
        self, city: City, fleet: Fleet, router: Router, planner: Planner, *, rng: np.random.Generator
    ) -> None:
        self._city, self._fleet, self._router, self._planner = city, fleet, router, planner
        self._orders: Orders = planner.orders
        self._desk: Desk = planner.desk
        self._fill = np.full(fleet.agents, city.fill)
        window = max(city.take_off_window_s, 1e-9)
        self.due_s = np.sort(rng.uniform(0.0, window, size=fleet.agents))
        self.aborts: list[Abort] = []
        self.handovers = 0

    def ask_due(self, t_s: float) -> None:
        """Ask for the take-offs whose time has come."""
        for agent in np.flatnonzero((self.due_s <= t_s) & ~self._fleet.silent):
            self.due_s[agent] = np.inf
            self._desk.take_off(int(agent), t_s)

    def arrive(self, agent: int, t_s: float) -> None:
        """Do what a drone does at the end of its leg."""
        fleet, phase = self._fleet, self._fleet.phase[agent]
        if fleet.aborted[agent] or phase == Phase.HOMING:
            self.land(agent)
        elif phase == Phase.TO_PICKUP:
            task = fleet.tours[agent].pop(0)
            fleet.aboard[agent] = task
            self._orders.move(task, Place.ABOARD, agent)
            fleet.head(agent, Phase.TO_DROP)
        else:
            self._orders.move(int(fleet.aboard[agent]), Place.DELIVERED, agent)
            fleet.aboard[agent] = NOBODY
            self.next_leg(agent, t_s)

    def land(self, agent: int, phase: Phase = Phase.LANDED) -> None:
        """Put a drone on the ground; a parcel still aboard counts as returned."""
        fleet = self._fleet
        if fleet.aboard[agent] != NOBODY:
            self._orders.move(int(fleet.aboard[agent]), Place.RETURNED, agent)
            fleet.aboard[agent] = NOBODY
        fleet.head(agent, phase)

    def next_leg(self, agent: int, t_s: float) -> None:
        """Ask for the next leg, hovering; with nothing to do fly home."""
        fleet = self._fleet
        if not fleet.tours[agent]:
            fleet.head(agent, Phase.HOMING)
            return
        fleet.head(agent, Phase.HOVERING)
        task = fleet.tours[agent][0]
        if not fleet.silent[agent] and not self._desk.awaits(task):
            self._desk.start(agent, task, t_s)

    def abort(self, agent: int, reason: str, t_s: float) -> None:
        """Break a mission off: fly to the nearest depot, and leave the list to the planner."""
        fleet = self._fleet
        self._desk.withdraw(agent)
        fleet.aborted[agent] = True
        fleet.tours[agent].extend(fleet.deferred[agent])
        fleet.deferred[agent].clear()
        fleet.head(agent, Phase.HOMING)
        margin = float(fleet.energy_wh[agent] - fleet.route_wh[agent])
        self.aborts.append(Abort(agent, t_s, reason, margin))

    def rejoin(self, agent: int, energy_wh: float, t_s: float) -> bool:
        """Lift an abort when the drone is in the air and `energy_wh` covers what it still holds."""
        fleet, load = self._fleet, int(self._fleet.aboard[agent])
        if not (fleet.aborted[agent] and fleet.flying[agent]) or fleet.silent[agent]:
            return False
        here = fleet.xy_m[agent]
        start, head_wh = here, 0.0
        if load != NOBODY:
            start = self._orders.drop[load]
            away = start - here
            head_wh = float(np.hypot(*away)) * self._router.wh_per_m(away, float(self._orders.mass_kg[load]))
        route_wh = head_wh + self._router.chain_wh(start, fleet.tours[agent])
        if energy_wh - route_wh < FAILSAFE_SHARE * self._city.reserve_wh:
            return False
        self._desk.withdraw(agent)
        fleet.aborted[agent] = False
        self.aborts = [
            replace(abort, lifted_s=t_s) if abort.agent == agent and abort.lifted_s is None else abort
            for abort in self.aborts
        ]
        if load != NOBODY:
            fleet.head(agent, Phase.TO_DROP)
        else:
            self.next_leg(agent, t_s)
        return True

    def take_off(self, agent: int, granted: bool, t_s: float) -> Settled:
        """Settle a take-off: plan the tour now, by what the drone reports now."""
        fleet, city = self._fleet, self._city
        if fleet.phase[agent] != Phase.PARKED or fleet.silent[agent]:
            return Settled.LAPSED
        if not granted:
            self._fill[agent] *= city.lighter_share
            self.due_s[agent] = t_s + RETRY_S
            return Settled.REFUSED
        budget_wh = self._fill[agent] * (self._planner.reported_wh(agent) - city.reserve_wh)
        tour = self._router.fill_tour(fleet.xy_m[agent], budget_wh) if budget_wh > 0 else ()
        if not tour:
            self.due_s[agent] = t_s + RETRY_S
            return Settled.LAPSED
        for task in tour:
            self._orders.move(task, Place.HELD, agent)
        fleet.tours[agent] = list(tour)
        self.next_leg(agent, t_s)
        return Settled.APPLIED

    def hand_over(self, request: Handover, granted: bool, t_s: float) -> Settled:
        """Settle a hand-over; nobody here looks at the target's energy."""
        fleet, task, target = self._fleet, request.task, request.target
        if not fleet.aborted[request.origin] or task not in fleet.tours[request.origin]:
            return Settled.LAPSED
        if not granted:
            self._planner.remember_refusal(task, target, t_s)
            return Settled.REFUSED
        gone = not fleet.flying[target] or fleet.aborted[target] or fleet.silent[target]
        if gone or fleet.held[target] >= self._city.most_tasks:
            return Settled.LAPSED
        fleet.tours[request.origin].remove(task)
        fleet.held[request.origin] -= 1
        place, _ = fleet.best_place(target, task)
        fleet.tours[target].insert(place, task)
        self._orders.move(task, Place.HELD, target)
        self._planner.forget(task)
        self.handovers += 1
        if fleet.phase[target] == Phase.HOMING:
            self.next_leg(target, t_s)
        else:
            fleet.lay(target)
        return Settled.APPLIED

    def start(self, request: StartDelivery, granted: bool, t_s: float) -> Settled:
        """Settle a delivery; refused, it is deferred and its energy is free."""
        fleet, agent, task = self._fleet, request.agent, request.task
        if fleet.aborted[agent] or fleet.silent[agent]:
            return Settled.LAPSED
        if request.occasion is Occasion.RESUME:
            return self._resume(agent, task, granted)
        if task not in fleet.tours[agent]:
            return Settled.LAPSED
        # Whoever hovers for this task starts on any answer about it: a task has one open request at most.
        starts = fleet.phase[agent] == Phase.HOVERING and fleet.tours[agent][0] == task
        if request.occasion is Occasion.LEG and not starts:
            return Settled.LAPSED
        if not granted:
            self._defer(agent, task, t_s)
            return Settled.REFUSED
        if starts:
            fleet.head(agent, Phase.TO_PICKUP)
        return Settled.APPLIED

    def _defer(self, agent: int, task: int, t_s: float) -> None:
        fleet = self._fleet
        was_next = fleet.tours[agent][0] == task
        fleet.tours[agent].remove(task)
        fleet.deferred[agent].append(task)
        if was_next and fleet.phase[agent] in (Phase.HOVERING, Phase.TO_PICKUP):
            self.next_leg(agent, t_s)
        else:
            fleet.lay(agent)

    def review(self, agent: int, t_s: float) -> None:
        """Ask about each task on a drone's list again."""
        if not self._fleet.aborted[agent] and not self._fleet.silent[agent]:
            for task in self._fleet.tours[agent]:
                if not self._desk.awaits(task):
                    self._desk.start(agent, task, t_s, Occasion.REVIEW)

    def _resume(self, agent: int, task: int, granted: bool) -> Settled:
        fleet, phase = self._fleet, self._fleet.phase[agent]
        if task not in fleet.deferred[agent] or phase in (Phase.PARKED, Phase.DOWN):
            return Settled.LAPSED
        if not granted:
            return Settled.REFUSED
        fleet.deferred[agent].remove(task)
        place, _ = fleet.best_place(agent, task)
        fleet.tours[agent].insert(place, task)
        if phase in (Phase.HOMING, Phase.LANDED):
            fleet.head(agent, Phase.TO_PICKUP)  # this answer covers the leg that begins now
        else:
            fleet.lay(agent)
        return Settled.APPLIED

    def unanswered(self, request: Request, t_s: float) -> None:
        """Ask again later for what nobody answered; an unanswered offer is simply not made."""
        if isinstance(request, TakeOff):
            self.due_s[request.agent] = t_s + RETRY_S
        elif isinstance(request, StartDelivery) and self._fleet.phase[request.agent] == Phase.HOVERING:
            self.next_leg(request.agent, t_s)

    def lose(self, agent: int, t_s: float) -> None:
        """Bring a drone without a computer home by autopilot and take its list back."""
        if self._fleet.flying[agent] and not self._fleet.aborted[agent]:
            self.abort(agent, "lost link", t_s)
        for task in tuple(self._fleet.tours[agent] + self._fleet.deferred[agent]):
            self._planner.to_backlog(agent, task)

    def recall(self, agent: int, t_s: float) -> None:
        """Go on after a drone's computer has come back."""
        if self._fleet.phase[agent] == Phase.PARKED:
            self.due_s[agent] = t_s + RETRY_S
        elif self._fleet.phase[agent] == Phase.HOVERING:
            self.next_leg(agent, t_s)
