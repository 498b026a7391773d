"""Electrical power of a multirotor by its mass: the published hover model."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

GRAVITY_M_S2: Final = 9.81
AIR_DENSITY_KG_M3: Final = 1.204  # dry air at 20 degrees Celsius, 101.325 kPa
ROTOR_DISC_M2: Final = 0.2  # zeta: swept area of one rotor
ROTORS: Final = 6  # a hexacopter

# INVARIANT: what is multiplied by mass**1.5, in W kg**-1.5; 18.075 for the constants above.
W_PER_KG15: Final = (GRAVITY_M_S2**3 / (2.0 * AIR_DENSITY_KG_M3 * ROTOR_DISC_M2 * ROTORS)) ** 0.5


def hover_power_w(mass_kg: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the power in W that keeps `mass_kg` (frame, battery, payload) in the air.

    P = M**1.5 * sqrt(g**3 / (2 rho zeta n)): momentum theory of an ideal rotor disc, which carries thrust M g
    on the area zeta n. The source uses it for level flight at moderate speed too, and so do we; drag and
    climb are left out. Its fit for a 1.5 kg frame, 46.7 W/kg of battery and payload plus 26.9 W, is within
    4 W of this from 0.5 to 2.5 kg.

    References:
        Dorling, Heinrichs, Messier, Magierowski (2017), Vehicle Routing Problems for Drone Delivery, IEEE
        Trans. SMC: Systems 47(1), section III (arXiv:1608.02305).
    """
    return W_PER_KG15 * mass_kg * np.sqrt(mass_kg)
