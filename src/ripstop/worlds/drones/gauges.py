"""Battery gauges: what the drones believe about their energy, faults included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from ripstop.worlds.faults import Fault, FaultySensor

# A 3-cell lithium-polymer pack, 12.6 V full and 10.5 V empty, taken as straight between: good enough for a
# monitor that looks for jumps, not for fuel accounting.
EMPTY_V: Final = 10.5
FULL_V: Final = 12.6


Reading = TypeVar("Reading", float, NDArray[np.float64])


def pack_voltage_v(percent: Reading) -> Reading:
    """Give the voltage that a gauge shows beside its percentage (NaN stays NaN)."""
    return EMPTY_V + (FULL_V - EMPTY_V) / 100.0 * percent


class BatteryGauges:
    """One gauge a drone. It reads the charge in percent; the voltage follows from the same sensing.

    Attributes:
        percent: shape (agents,), the last readings; NaN where a gauge says nothing.
    """

    def __init__(self, agents: int, noise_percent: float, *, rng: np.random.Generator) -> None:
        self.percent: NDArray[np.float64] = np.full(agents, 100.0)
        self._noise = noise_percent
        self._rng = rng
        self._faulty: dict[int, FaultySensor] = {}

    def sample(self, true_percent: NDArray[np.float64], t_s: float) -> None:
        """Take new readings of all drones."""
        noisy = true_percent + self._noise * self._rng.standard_normal(len(true_percent))
        for agent, sensor in self._faulty.items():
            noisy[agent] = sensor.read(float(noisy[agent]), t_s, rng=self._rng)
        self.percent = np.clip(noisy, 0.0, 100.0)

    def inject(self, agent: int, faults: Sequence[Fault]) -> None:
        """Give one drone's gauge faults, in place of those it has."""
        self._faulty[agent] = FaultySensor(faults)

    def replace(self, agent: int) -> bool:
        """Put a sound gauge in; tells whether the old one had a fault."""
        return self._faulty.pop(agent, None) is not None

    def is_faulty(self, agent: int) -> bool:
        """Tell whether a gauge has a fault."""
        return agent in self._faulty
