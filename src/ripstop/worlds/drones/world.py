"""The drone world: what a tick does, what is asked for, and what others may do to it.

Theory of operation. A tick is `advance` (wind, flight, arrivals, gauges, and once a cycle the planner), then
`requests`/`settle` until nothing fresh is asked, then `failsafe`. Physics is arrays over the fleet; Python
loops only over drones to which something happens in this tick. Each drone's route has a head (the leg that it
flies) and a tail whose energy is computed when the route changes, so the margin of the whole fleet costs one
array expression. What must hold: every order is in exactly one place (`Orders.move` alone writes it), a task
has at most one open request, and an answer to a request that has lapsed changes nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, assert_never

import numpy as np
from numpy.typing import NDArray

from ripstop.core.errors import ConfigurationError
from ripstop.worlds.drones.city import City
from ripstop.worlds.drones.fleet import Fleet, Phase
from ripstop.worlds.drones.gauges import BatteryGauges, pack_voltage_v
from ripstop.worlds.drones.missions import FAILSAFE_SHARE, Missions
from ripstop.worlds.drones.orders import Orders, Place, Task
from ripstop.worlds.drones.outcome import Minute, Outcome
from ripstop.worlds.drones.planner import Planner
from ripstop.worlds.drones.requests import Desk, Handover, Request, Settled, StartDelivery, TakeOff
from ripstop.worlds.drones.routing import Router
from ripstop.worlds.drones.scenario import FaultPlan, Scenario
from ripstop.worlds.drones.wind import Wind
from ripstop.worlds.streams import stream

_US: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Reading:
    """What one drone's sensors say at this moment; NaN where a sensor says nothing."""

    battery_percent: float
    battery_v: float
    x_m: float
    y_m: float
    payload_kg: float


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """What a map of one moment needs: copies, shape (agents,) unless said otherwise."""

    t_s: float
    side_m: float
    x_m: NDArray[np.float64]
    y_m: NDArray[np.float64]
    phase: NDArray[np.int8]
    aborted: NDArray[np.bool_]
    held: NDArray[np.int16]
    battery_percent: NDArray[np.float64]
    depots_m: NDArray[np.float64]  # (depots, 2)
    faulty: int | None


class DroneWorld:
    """A fleet over a city for one shift; deterministic from its seed and from how its requests are settled.

    Args:
        city: as for `city.reference_agents` drones; it is scaled to `agents`.
        agents: how many drones.
        seed: not negative.
        fault: the gauge fault to come, or None.
        fault_at_s: when the airborne fleet is counted, so that an arm without a fault counts the same drones;
            the fault's own time when there is one.
    """

    def __init__(
        self, city: City, agents: int, seed: int, *, fault: FaultPlan | None = None, fault_at_s: float = 900.0
    ) -> None:
        if agents < 1 or seed < 0:
            raise ConfigurationError(
                f"world needs at least one agent and a seed that is not negative, got `{agents}`, `{seed}`",
                code="C0330",
            )
        if fault and isinstance(fault.choice, int) and fault.choice >= agents:
            raise ConfigurationError(
                f"fault needs a drone's number under {agents}, got `{fault.choice}`", code="C0331"
            )
        self.city = city.scaled(agents)
        self.agents = agents
        self.seed = seed
        self.faulty: int | None = None
        self._fault = fault
        self._fault_us = round((fault.at_s if fault else fault_at_s) * _US)
        depots = self.city.depot_places(rng=stream(seed, "depots"))
        count = self.city.orders_per_agent * agents
        self.orders = Orders(self.city, count, depots, rng=stream(seed, "orders"))
        bearing = float(stream(seed, "wind bearing").uniform(0.0, 2.0 * math.pi))
        mean = (self.city.wind_m_s * math.cos(bearing), self.city.wind_m_s * math.sin(bearing))
        self.wind = Wind(mean, self.city.wind_sd_m_s, self.city.wind_tau_s, rng=stream(seed, "wind"))
        self.router = Router(self.city, depots, self.orders, mean)
        self.fleet = Fleet(self.city, self.router, self.orders, agents)
        self.gauges = BatteryGauges(agents, self.city.gauge_noise_percent, rng=stream(seed, "gauges"))
        self._desk = Desk(self.city.answer_within_s)
        self._planner = Planner(self.city, self.fleet, self.gauges, self.orders, self._desk)
        self._missions = Missions(
            self.city, self.fleet, self.router, self._planner, rng=stream(seed, "take-offs")
        )
        self._silent_since = np.full(agents, np.inf)
        self._t_us = 0
        self._airborne_at_fault: NDArray[np.bool_] = np.zeros(agents, dtype=bool)
        self._minutes: list[Minute] = []
        self._refused = 0
        self._deferred_task_s = 0.0

    @classmethod
    def from_scenario(
        cls, scenario: Scenario, agents: int, seed: int, *, with_fault: bool = True
    ) -> DroneWorld:
        """Build the world of a scenario, with its fault or (same drones, same seed) without."""
        fault = scenario.fault if with_fault else None
        return cls(scenario.city, agents, seed, fault=fault, fault_at_s=scenario.fault.at_s)

    # ---- what is there to read -------------------------------------------------------------------------

    @property
    def t_s(self) -> float:
        """Give the seconds since the shift began."""
        return self._t_us / _US

    @property
    def elapsed_us(self) -> int:
        """Give the microseconds since the shift began."""
        return self._t_us

    @property
    def x_m(self) -> NDArray[np.float64]:
        """Give the positions eastwards, shape (agents,)."""
        return self.fleet.xy_m[:, 0]

    @property
    def y_m(self) -> NDArray[np.float64]:
        """Give the positions northwards, shape (agents,)."""
        return self.fleet.xy_m[:, 1]

    @property
    def true_energy_wh(self) -> NDArray[np.float64]:
        """Give the energy that is really left, shape (agents,)."""
        return self.fleet.energy_wh

    @property
    def battery_percent(self) -> NDArray[np.float64]:
        """Give the gauges' readings, shape (agents,); NaN for silent drones and dropped readings."""
        return np.where(self.fleet.silent, np.nan, self.gauges.percent)

    @property
    def battery_v(self) -> NDArray[np.float64]:
        """Give the voltages that the gauges show, shape (agents,)."""
        return pack_voltage_v(self.battery_percent)

    @property
    def payload_kg(self) -> NDArray[np.float64]:
        """Give the mass in each hold, shape (agents,)."""
        return self.fleet.payload_kg

    @property
    def pending(self) -> NDArray[np.int16]:
        """Give how many tasks each drone holds that it has not picked up, deferred ones included."""
        return self.fleet.held

    @property
    def flying(self) -> NDArray[np.bool_]:
        """Tell who is in the air, shape (agents,)."""
        return self.fleet.flying

    @property
    def aborted(self) -> NDArray[np.bool_]:
        """Tell whose mission has been broken off (grounded: in the air on the way home, or landed)."""
        return self.fleet.aborted

    @property
    def landed(self) -> NDArray[np.bool_]:
        """Tell who has come back to a depot or down elsewhere, shape (agents,)."""
        landed: NDArray[np.bool_] = self.fleet.phase >= Phase.LANDED
        return landed

    @property
    def airborne_at_fault(self) -> NDArray[np.bool_]:
        """Tell who was in the air when the fault began; all false before."""
        return self._airborne_at_fault

    @property
    def spare_wh(self) -> NDArray[np.float64]:
        """Give by reported energy what each drone has beyond its remaining route, shape (agents,)."""
        return self._planner.spare_wh()

    @property
    def reserve_wh(self) -> float:
        """Give what should be left of a battery after landing."""
        return self.city.reserve_wh

    def readings(self, agent: int) -> Reading:
        """Give what one drone's sensors say (for the whole fleet the arrays are cheaper)."""
        x, y = self.fleet.xy_m[agent]
        percent = math.nan if self.fleet.silent[agent] else float(self.gauges.percent[agent])
        return Reading(
            percent, pack_voltage_v(percent), float(x), float(y), float(self.fleet.payload_kg[agent])
        )

    def tasks(self, agent: int) -> tuple[Task, ...]:
        """Give a drone's pending tasks: on its list, not picked up, not deferred."""
        return tuple(self.orders.task(number) for number in self.fleet.tours[agent])

    def deferred(self, agent: int) -> tuple[Task, ...]:
        """Give the tasks that a drone holds but was refused to start."""
        return tuple(self.orders.task(number) for number in self.fleet.deferred[agent])

    def task(self, number: int) -> Task:
        """Give one task by number."""
        return self.orders.task(number)

    def margin_after_wh(self, agent: int, task: int) -> float:
        """Give a drone's spare energy were a task put into its route where it fits best, by reported energy.

        It counts what the drone holds now: when several offers to one drone are decided before any is
        settled, each answer sees the same margin.
        """
        _, extra = self.fleet.best_place(agent, task)
        return float(self.spare_wh[agent]) - extra

    def energy_per_m_wh(self, agent: int) -> float:
        """Give a drone's energy a metre with its present load, averaged over headings."""
        return self.router.cruise_wh_per_m(float(self.fleet.payload_kg[agent]))

    def neighbours(self, agent: int, range_m: float | None = None) -> tuple[int, ...]:
        """Give the flying drones within radio range (the city's, unless told), nearest first."""
        apart = self.fleet.xy_m - self.fleet.xy_m[agent]
        distance = np.hypot(apart[:, 0], apart[:, 1])
        reach = self.city.radio_range_m if range_m is None else range_m
        near = self.flying & ~self.fleet.silent & (distance <= reach)
        near[agent] = False
        found = np.flatnonzero(near)
        return tuple(int(other) for other in found[np.argsort(distance[found], kind="stable")])

    def snapshot(self) -> Snapshot:
        """Copy what a map of this moment needs."""
        return Snapshot(
            self.t_s,
            self.city.side_m,
            self.x_m.copy(),
            self.y_m.copy(),
            self.fleet.phase.copy(),
            self.fleet.aborted.copy(),
            self.fleet.held.copy(),
            self.battery_percent,
            self.router.depots.copy(),
            self.faulty,
        )

    def outcome(self) -> Outcome:
        """Sum the shift up so far."""
        then, grounded = self._airborne_at_fault, self.fleet.aborted
        others = then.copy()
        if self.faulty is not None:
            others[self.faulty] = False
        by_priority = self.orders.delivered_by_priority()
        return Outcome(
            agents=self.agents,
            faulty=self.faulty,
            airborne_at_fault=int(then.sum()),
            grounded=int(grounded.sum()),
            grounded_share=_share(grounded & then, then),
            grounded_share_others=_share(grounded & others, others),
            grounded_share_fleet=float(grounded.mean()),
            exhausted=int((self.fleet.phase == Phase.DOWN).sum()),
            deliveries=sum(by_priority),
            deliveries_by_priority=by_priority,
            undelivered_held=int(self.fleet.held.sum()),
            handovers=self._missions.handovers,
            refused=self._refused,
            deferred_task_s=self._deferred_task_s,
            aborts=tuple(self._missions.aborts),
            minutes=tuple(self._minutes),
        )

    # ---- a tick ----------------------------------------------------------------------------------------

    def advance(self, dt_s: float) -> None:
        """Let `dt_s` pass: wind, flight, arrivals, gauges, and what the planner does when its time comes."""
        before_us = self._t_us
        self._t_us += round(dt_s * _US)
        self.wind.step(dt_s)
        for agent in self.fleet.move(dt_s, self.wind.now):
            self._missions.arrive(agent, self.t_s)
        self._lose()
        if before_us < self._fault_us <= self._t_us:
            self._begin_fault()
        self.gauges.sample(100.0 * self.fleet.energy_wh / self.city.battery_wh, self.t_s)
        for request in self._desk.expired(self.t_s):
            self._missions.unanswered(request, self.t_s)
        self._missions.ask_due(self.t_s)
        if self._cycles(before_us) < self._cycles(self._t_us):
            self._planner.cycle(self.t_s)
        self._deferred_task_s += dt_s * sum(map(len, self.fleet.deferred))
        if before_us // (60 * _US) < self._t_us // (60 * _US):
            self._note_minute()

    def requests(self) -> tuple[Request, ...]:
        """Give what has been asked since the last call: each wish once, in the order of asking."""
        return self._desk.fresh()

    def settle(self, request: Request, granted: bool) -> Settled:
        """Carry out a request, or note its refusal; in this tick or, within `answer_within_s`, a later one.

        What was asked for in a state that no longer holds (its drone aborted, landed, fell silent; its task
        went elsewhere) lapses: nothing changes.
        """
        if not self._desk.close(request):
            return Settled.LAPSED
        match request:
            case TakeOff():
                result = self._missions.take_off(request.agent, granted, self.t_s)
            case Handover():
                result = self._missions.hand_over(request, granted, self.t_s)
            case StartDelivery():
                result = self._missions.start(request, granted, self.t_s)
            case _:
                assert_never(request)
        self._refused += result is Settled.REFUSED
        return result

    def failsafe(self) -> tuple[int, ...]:
        """Break off the missions that reported energy no longer covers; gives the drones concerned.

        The rule of each autopilot: route plus half the reserve must be there. Without a reading it does
        nothing.
        """
        short = self.spare_wh < FAILSAFE_SHARE * self.reserve_wh
        short &= self.flying & ~self.fleet.aborted & ~self.fleet.silent
        gone = tuple(int(agent) for agent in np.flatnonzero(short))
        for agent in gone:
            self._missions.abort(agent, "route not covered by reported energy", self.t_s)
        return gone

    def run_ungoverned(self, until_s: float, dt_s: float = 1.0) -> Outcome:
        """Run to a time with every request granted at once."""
        while self.t_s < until_s:
            self.advance(dt_s)
            while asked := self.requests():
                for request in asked:
                    self.settle(request, True)
            self.failsafe()
        return self.outcome()

    # ---- what others may do to it ----------------------------------------------------------------------

    def replace_sensor(self, agent: int) -> bool:
        """Put a sound gauge into a drone; tells whether it rejoins.

        It does when its gauge had a fault, it was aborted, is still in the air, and its remaining route is
        feasible by the new reading. An abort that a sound gauge caused stays.
        """
        if not self.gauges.replace(agent):
            return False
        energy_wh = float(self.fleet.energy_wh[agent])
        self.gauges.percent[agent] = 100.0 * energy_wh / self.city.battery_wh
        return self._missions.rejoin(agent, energy_wh, self.t_s)

    def review(self, agent: int) -> None:
        """Let a drone ask about each task on its list again: after what it may do has changed.

        A refused start is otherwise noticed only when its leg begins, and its energy is bound until then.
        """
        self._missions.review(agent, self.t_s)

    def vanish(self, agent: int) -> None:
        """Take a drone's computer away: no readings, no requests, no answers; the autopilot flies its leg on.

        After `lost_link_s` the autopilot breaks the mission off, and the planner takes the list back.
        """
        if not self.fleet.silent[agent]:
            self.fleet.silent[agent] = True
            self._silent_since[agent] = self.t_s
            self._desk.withdraw(agent)

    def reappear(self, agent: int) -> None:
        """Give a drone its computer back; a mission broken off meanwhile stays so."""
        if self.fleet.silent[agent]:
            self.fleet.silent[agent] = False
            self._silent_since[agent] = np.inf
            self._missions.recall(agent, self.t_s)

    # ---- inside ----------------------------------------------------------------------------------------

    def _cycles(self, t_us: int) -> int:
        return round((t_us / _US - self.city.cycle_phase_s) // self.city.cycle_s)

    def postpone_fault(self, to_s: float) -> None:
        """Let the fault come at another second of the shift; C0337 where that, or the fault, is over."""
        if self._t_us >= min(self._fault_us, round(to_s * _US)):
            raise ConfigurationError(f"a fault cannot be moved to {to_s} s any more", code="C0337")
        self._fault_us = round(to_s * _US)

    def _begin_fault(self) -> None:
        self._airborne_at_fault = self.flying.copy()
        if self._fault is not None:
            self.faulty = self._choose(self._fault.choice)
            if self.faulty is not None:
                self.gauges.inject(self.faulty, self._fault.faults)

    def _choose(self, choice: str | int) -> int | None:
        if isinstance(choice, int):
            return choice
        candidates = np.flatnonzero(self.flying & ~self.fleet.aborted & (self.fleet.held > 0))
        if not len(candidates):
            return None
        if choice == "drawn":
            return int(stream(self.seed, "faulty").choice(candidates))
        return int(candidates[self.fleet.held[candidates].argmax()])

    def _lose(self) -> None:
        """Bring down whose battery is empty, and call home who has been silent for too long."""
        fleet = self.fleet
        for agent in np.flatnonzero(self.flying & (fleet.energy_wh <= 0.0)):
            fleet.energy_wh[agent] = 0.0
            if not fleet.aborted[agent]:
                self._missions.abort(int(agent), "battery exhausted", self.t_s)
            self._missions.land(int(agent), Phase.DOWN)
        if fleet.silent.any():
            lost = fleet.silent & (self.t_s - self._silent_since > self.city.lost_link_s)
            lost &= (self.flying & ~fleet.aborted) | (fleet.held > 0)
            for agent in np.flatnonzero(lost):
                self._missions.lose(int(agent), self.t_s)

    def _note_minute(self) -> None:
        self._minutes.append(
            Minute(
                self.t_s,
                int(self.flying.sum()),
                int(self.fleet.aborted.sum()),
                int((self.orders.place == Place.DELIVERED).sum()),
                sum(map(len, self.fleet.deferred)),
            )
        )


def _share(part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> float:
    return float(part.sum() / whole.sum()) if whole.any() else 0.0
