"""What a route costs by forecast, where one more order fits best, and how a tour is filled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ripstop.worlds.drones.city import City
from ripstop.worlds.drones.orders import NOBODY, Orders, Place, nearest
from ripstop.worlds.drones.power import hover_power_w
from ripstop.worlds.drones.wind import Vector, ground_speed_m_s

Points = NDArray[np.float64]

_FEW: Final = 32


class Router:
    """Prices routes under the mean wind. A route is: from a point, each pick-up and drop in order, home.

    One parcel is aboard at a time; home is the depot nearest to where the last parcel was dropped.
    """

    def __init__(self, city: City, depots: Points, orders: Orders, wind: Vector) -> None:
        self._city = city
        self._orders = orders
        self._wind = wind
        self.depots = depots
        self._pickup_x, self._pickup_y = orders.pickup.T.copy()  # contiguous: scanned at each take-off
        carried = hover_power_w(city.empty_kg + orders.mass_kg)
        self._loaded_wh = self._leg_wh(orders.drop - orders.pickup, carried)
        self._empty_w = hover_power_w(np.asarray(city.empty_kg))
        headings = np.linspace(0.0, 2.0 * np.pi, 360, endpoint=False)
        speeds = ground_speed_m_s(np.cos(headings), np.sin(headings), wind, city.airspeed_m_s)
        self._mean_s_per_m = float((1.0 / speeds).mean())

    def _leg_wh(self, legs: Points, power_w: Points) -> Points:
        """Price legs, shape (..., 2), flown at `power_w`."""
        x, y = legs[..., 0], legs[..., 1]
        length = np.hypot(x, y)
        safe = np.maximum(length, 1e-9)
        speed = ground_speed_m_s(x / safe, y / safe, self._wind, self._city.airspeed_m_s)
        return power_w * length / (speed * 3600.0)

    def empty_wh(self, legs: Points) -> Points:
        """Price legs, shape (..., 2), flown without a parcel."""
        return self._leg_wh(legs, self._empty_w)

    def wh_per_m(self, leg: Points, payload_kg: float) -> float:
        """Give the energy a metre along one leg's heading, shape (2,)."""
        power = hover_power_w(np.array([self._city.empty_kg + payload_kg]))
        length = float(np.hypot(leg[0], leg[1]))
        unit = leg / length if length > 1e-9 else np.array([1.0, 0.0])
        return float(self._leg_wh(unit[None, :], power)[0])

    def cruise_wh_per_m(self, payload_kg: float) -> float:
        """Give the energy a metre averaged over all headings: for estimates without a route."""
        power = float(hover_power_w(np.array([self._city.empty_kg + payload_kg]))[0])
        return power * self._mean_s_per_m / 3600.0

    def loaded_wh(self, number: int) -> float:
        """Give the energy of an order's own leg, from pick-up to drop."""
        return float(self._loaded_wh[number])

    def home_from(self, point: Points) -> Points:
        """Give the depot nearest to a point, shape (2,)."""
        place: Points = self.depots[nearest(self.depots, point[None, :])[0]]
        return place

    def chain_wh(self, start: Points, tasks: Sequence[int]) -> float:
        """Price the route from `start` over `tasks` in order and home."""
        if not tasks:
            return float(self.empty_wh(self.home_from(start) - start))
        o, k = self._orders, list(tasks)
        ends = np.concatenate([start[None, :], o.drop[k]])
        heads = np.concatenate([o.pickup[k], o.home[k[-1:]]])
        return float(self.empty_wh(heads - ends).sum() + self._loaded_wh[k].sum())

    def insertion(self, start: Points, tasks: Sequence[int], number: int, first: int) -> tuple[int, float]:
        """Find where an order fits cheapest.

        Args:
            start: where the route of `tasks` begins, shape (2,).
            tasks: the orders to come.
            number: the order to insert.
            first: the earliest index allowed.

        Returns:
            Its index and the extra energy in Wh.
        """
        o, k = self._orders, list(tasks)
        home = o.home[k[-1]] if k else self.home_from(start)
        before = np.concatenate([start[None, :], o.drop[k]])[first:]
        after = np.concatenate([o.pickup[k], home[None, :]])[first:]
        after_new = after.copy()
        after_new[-1] = o.home[number]
        legs = np.stack([o.pickup[number] - before, after_new - o.drop[number], after - before])
        there, back, saved = self.empty_wh(legs)
        extra = there + back - saved + self._loaded_wh[number]
        best = int(extra.argmin())
        return first + best, float(extra[best])

    def fill_tour(self, start: Points, budget_wh: float) -> tuple[int, ...]:
        """Choose orders of the backlog for a drone about to take off at `start`.

        The oldest order within reach of where the tour has got to is taken, as long as the whole route with
        the way home stays within the budget; the tour ends when none fits any more.
        """
        o, city = self._orders, self._city
        at, spent, tour = start, 0.0, list[int]()
        open_now = np.flatnonzero(o.place == Place.BACKLOG)
        while len(tour) < city.most_tasks:
            near = open_now[self._within(open_now, at, city.pickup_range_m)]
            pick, cost = self._first_fit(near, at, budget_wh - spent)
            if pick == NOBODY:
                break
            spent += cost
            at = o.drop[pick]
            open_now = open_now[open_now != pick]
            tour.append(pick)
        return tuple(tour)

    def _first_fit(self, near: NDArray[np.intp], at: Points, left_wh: float) -> tuple[int, float]:
        """Give the first order that fits with the way home, and its energy without the way home."""
        o = self._orders
        for block in (near[:_FEW], near[_FEW:]):  # mostly one of the first few fits
            there = self.empty_wh(o.pickup[block] - at) + self._loaded_wh[block]
            back = self.empty_wh(o.home[block] - o.drop[block])
            fits = np.flatnonzero(there + back <= left_wh)
            if len(fits):
                return int(block[fits[0]]), float(there[fits[0]])
        return NOBODY, 0.0

    def _within(self, numbers: NDArray[np.intp], point: Points, range_m: float) -> NDArray[np.bool_]:
        """Tell which orders' pick-ups lie within a range of a point."""
        east, north = self._pickup_x[numbers] - point[0], self._pickup_y[numbers] - point[1]
        close: NDArray[np.bool_] = east * east + north * north <= range_m * range_m
        return close
