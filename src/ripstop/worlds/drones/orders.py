"""The orders of a shift, as arrays, and who has which: an order is in one place at a time."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ripstop.worlds.drones.city import City

NOBODY = -1


class Place(enum.IntEnum):
    """Where an order is."""

    BACKLOG = 0
    HELD = 1  # on a drone's list, the parcel still at its pick-up
    ABOARD = 2
    DELIVERED = 3
    RETURNED = 4  # aboard a drone that came down: not delivered in this shift


@dataclass(frozen=True, slots=True)
class Task:
    """One delivery as agents and planner speak of it; priority 1 is the most important of 5."""

    number: int
    pickup_x_m: float
    pickup_y_m: float
    drop_x_m: float
    drop_y_m: float
    mass_kg: float
    priority: int


class Orders:
    """All orders of a shift.

    Attributes:
        pickup: shape (orders, 2), m.
        drop: shape (orders, 2), m.
        home: shape (orders, 2), m: the depot nearest to the drop.
        mass_kg: shape (orders,).
        priority: shape (orders,), 1..5.
        place: shape (orders,), values of `Place`.
        holder: shape (orders,), the agent that has it or had it last, else `NOBODY`.
    """

    def __init__(
        self, city: City, count: int, depots: NDArray[np.float64], *, rng: np.random.Generator
    ) -> None:
        self.pickup = rng.uniform(0.0, city.side_m, size=(count, 2))
        length = rng.uniform(city.shortest_drop_m, city.drop_range_m, size=count)
        angle = rng.uniform(0.0, 2.0 * np.pi, size=count)
        beyond = self.pickup + length[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        self.drop = _folded(beyond, city.side_m)
        self.mass_kg = rng.uniform(city.lightest_kg, city.heaviest_kg, size=count)
        self.priority = rng.integers(1, 6, size=count).astype(np.int8)
        self.home = depots[nearest(depots, self.drop)]
        self.place = np.full(count, Place.BACKLOG, dtype=np.int8)
        self.holder = np.full(count, NOBODY, dtype=np.int32)

    def __len__(self) -> int:
        return len(self.mass_kg)

    def task(self, number: int) -> Task:
        """Give one order as a value."""
        (px, py), (dx, dy) = self.pickup[number], self.drop[number]
        return Task(
            number,
            float(px),
            float(py),
            float(dx),
            float(dy),
            float(self.mass_kg[number]),
            int(self.priority[number]),
        )

    def move(self, number: int, place: Place, holder: int) -> None:
        """Put an order somewhere; nothing else writes `place` and `holder`."""
        self.place[number] = place
        self.holder[number] = holder

    def delivered_by_priority(self) -> tuple[int, ...]:
        """Count deliveries of priority 1, 2, ... 5."""
        counts = np.bincount(self.priority[self.place == Place.DELIVERED], minlength=6)
        return tuple(int(count) for count in counts[1:])


def nearest(depots: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.intp]:
    """Give for each point, shape (points, 2), the index of the nearest depot."""
    apart = points[:, None, :] - depots[None, :, :]
    best: NDArray[np.intp] = np.hypot(apart[..., 0], apart[..., 1]).argmin(axis=1)
    return best


def _folded(points: NDArray[np.float64], side_m: float) -> NDArray[np.float64]:
    """Fold points that lie outside the square back in, as a mirror at its edge would."""
    inside = np.mod(points, 2.0 * side_m)
    return np.where(inside > side_m, 2.0 * side_m - inside, inside)
