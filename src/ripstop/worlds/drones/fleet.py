"""The drones as arrays: where each is, what it carries and heads for, how much energy it has."""

from __future__ import annotations

import enum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ripstop.worlds.drones.city import City
from ripstop.worlds.drones.orders import NOBODY, Orders
from ripstop.worlds.drones.power import hover_power_w
from ripstop.worlds.drones.routing import Points, Router
from ripstop.worlds.drones.wind import Vector, ground_speed_m_s


class Phase(enum.IntEnum):
    """What a drone is doing."""

    PARKED = 0  # not yet taken off
    TO_PICKUP = 1
    TO_DROP = 2
    HOMING = 3
    HOVERING = 4  # waits for an answer, in the air
    LANDED = 5
    DOWN = 6  # came down where its battery ended


_MOVING: Final = (False, True, True, True, False, False, False)
_FLYING: Final = (False, True, True, True, True, False, False)
MOVING: Final = np.array(_MOVING)
FLYING: Final = np.array(_FLYING)


class Fleet:
    """State of all drones, and how a tick moves them.

    Attributes:
        xy_m: shape (agents, 2).
        energy_wh: shape (agents,), the true energy left.
        phase: shape (agents,), values of `Phase`.
        aborted: shape (agents,): its mission was broken off.
        silent: shape (agents,): its computer is gone, the autopilot flies on.
        aboard: shape (agents,), the order in its hold or `NOBODY`.
        tours: per drone the orders still to be picked up, in order; the first may be the one it flies to.
        deferred: per drone the orders that it holds but may not start.
        held: shape (agents,), how many orders of these two kinds it has.
    """

    def __init__(self, city: City, router: Router, orders: Orders, agents: int) -> None:
        self._city, self._router, self._orders = city, router, orders
        self.agents = agents
        self.xy_m = router.depots[np.arange(agents) % len(router.depots)].copy()
        self.energy_wh = np.full(agents, city.battery_wh, dtype=np.float64)
        self.phase = np.full(agents, Phase.PARKED, dtype=np.int8)
        self.aborted = np.zeros(agents, dtype=bool)
        self.silent = np.zeros(agents, dtype=bool)
        self.aboard = np.full(agents, NOBODY, dtype=np.int32)
        self.tours: list[list[int]] = [[] for _ in range(agents)]
        self.deferred: list[list[int]] = [[] for _ in range(agents)]
        self.held = np.zeros(agents, dtype=np.int16)
        self.target_m = self.xy_m.copy()
        self._payload_kg = np.zeros(agents)
        self._leg_wh_per_m = np.zeros(agents)
        self._tail_wh = np.zeros(agents)  # of the route beyond the present target
        self._lag_s = np.zeros(agents)  # time of the last tick that an arrival left unused

    @property
    def flying(self) -> NDArray[np.bool_]:
        """Tell who is in the air, shape (agents,)."""
        flying: NDArray[np.bool_] = FLYING[self.phase]
        return flying

    @property
    def payload_kg(self) -> NDArray[np.float64]:
        """Give the mass in each hold, shape (agents,)."""
        return self._payload_kg

    @property
    def route_wh(self) -> NDArray[np.float64]:
        """Give the forecast energy that each drone's remaining route takes, shape (agents,)."""
        left = self.target_m - self.xy_m
        return np.hypot(left[:, 0], left[:, 1]) * self._leg_wh_per_m + self._tail_wh

    def move(self, dt_s: float, wind: Vector) -> tuple[int, ...]:
        """Let everybody fly for `dt_s`; gives who has reached its target, in order of number.

        An arrival costs the time and energy up to it; what is left of the tick is flown in the next one, so
        energy does not depend on the tick's length.
        """
        moving = MOVING[self.phase]
        left = self.target_m - self.xy_m
        length = np.hypot(left[:, 0], left[:, 1])
        unit = left / np.maximum(length, 1e-9)[:, None]
        speed = ground_speed_m_s(unit[:, 0], unit[:, 1], wind, self._city.airspeed_m_s)
        need_s = length / speed
        have_s = dt_s + self._lag_s
        arrived = moving & (need_s <= have_s)
        used_s = np.where(moving, np.minimum(need_s, have_s), np.where(self.flying, dt_s, 0.0))
        step = np.where(moving & ~arrived, speed * have_s, 0.0)
        self.xy_m += unit * step[:, None]
        self.xy_m[arrived] = self.target_m[arrived]
        self._lag_s = np.where(arrived, have_s - used_s, np.where(moving, 0.0, self._lag_s))
        self.energy_wh -= hover_power_w(self._city.empty_kg + self._payload_kg) * used_s / 3600.0
        return tuple(int(agent) for agent in np.flatnonzero(arrived))

    def head(self, agent: int, phase: Phase) -> None:
        """Put a drone into a phase and lay its route from what it holds."""
        self.phase[agent] = phase
        self.lay(agent)

    def lay(self, agent: int) -> None:
        """Recompute a drone's target and the energy of its route: after any change to what it holds."""
        phase, tour, here = Phase(int(self.phase[agent])), self.tours[agent], self.xy_m[agent]
        self.held[agent] = len(tour) + len(self.deferred[agent])
        load = int(self.aboard[agent])
        self._payload_kg[agent] = self._orders.mass_kg[load] if load != NOBODY else 0.0
        target, tail = here, 0.0
        if not FLYING[phase]:
            self._lag_s[agent] = 0.0
        elif self.aborted[agent] or phase is Phase.HOMING:
            target = self._router.home_from(here)
        elif phase is Phase.TO_PICKUP:
            target = self._orders.pickup[tour[0]]
            tail = self._router.loaded_wh(tour[0]) + self._router.chain_wh(
                self._orders.drop[tour[0]], tour[1:]
            )
        elif phase is Phase.TO_DROP:
            target = self._orders.drop[load]
            tail = self._router.chain_wh(target, tour)
        else:
            tail = self._router.chain_wh(here, tour)
        self.target_m[agent] = target
        self._leg_wh_per_m[agent] = self._router.wh_per_m(target - here, float(self._payload_kg[agent]))
        self._tail_wh[agent] = tail

    def best_place(self, agent: int, task: int) -> tuple[int, float]:
        """Find where one more order fits into a drone's tour: its index there and the extra energy in Wh."""
        phase, tour = self.phase[agent], self.tours[agent]
        start: Points = self.xy_m[agent]
        if phase == Phase.TO_DROP:
            start = self._orders.drop[self.aboard[agent]]
        # The order that it flies to, or hovers for, stays the first.
        first = 1 if tour and phase in (Phase.TO_PICKUP, Phase.HOVERING) else 0
        return self._router.insertion(start, tour, task, first)
