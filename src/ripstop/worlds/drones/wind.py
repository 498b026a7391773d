"""Wind over the city: one vector for all, wandering about a forecast mean."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

SLOWEST_M_S: Final = 0.5  # a drone that the wind nearly stops still creeps: keeps time to arrival finite

Vector = tuple[float, float]


class Wind:
    """An Ornstein-Uhlenbeck vector: exact steps, so the law does not depend on the tick.

    Each component has standard deviation `sd_m_s` and correlation time `tau_s` about the mean, and starts
    from its stationary law.

    References:
        Gillespie (1996), Exact numerical simulation of the Ornstein-Uhlenbeck process, Phys. Rev. E 54, 2084.
    """

    def __init__(self, mean: Vector, sd_m_s: float, tau_s: float, *, rng: np.random.Generator) -> None:
        self.mean = mean
        self._sd = sd_m_s
        self._tau = tau_s
        self._rng = rng
        self._gust = rng.standard_normal(2) * sd_m_s

    @property
    def now(self) -> Vector:
        """Give the wind of this moment (m/s towards +x, towards +y)."""
        return self.mean[0] + float(self._gust[0]), self.mean[1] + float(self._gust[1])

    def step(self, dt_s: float) -> None:
        """Let `dt_s` pass."""
        keep = math.exp(-dt_s / self._tau)
        fresh = self._sd * math.sqrt(1.0 - keep * keep)
        self._gust = keep * self._gust + fresh * self._rng.standard_normal(2)


def ground_speed_m_s(
    ux: NDArray[np.float64], uy: NDArray[np.float64], wind: Vector, airspeed_m_s: float
) -> NDArray[np.float64]:
    """Give the speed over ground of a craft that holds its track (unit vector) at constant airspeed.

    The wind triangle: tail component plus what the airspeed leaves after crabbing against the cross wind;
    never under `SLOWEST_M_S`.
    """
    tail = wind[0] * ux + wind[1] * uy
    cross = wind[0] * uy - wind[1] * ux
    return np.maximum(tail + np.sqrt(np.maximum(airspeed_m_s**2 - cross * cross, 0.0)), SLOWEST_M_S)
