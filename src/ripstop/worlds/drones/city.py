"""A city: how large, how many depots, what the drones and their planner are like."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ripstop.core.errors import ConfigurationError

# Whole numbers among the fields, and those that may be nothing.
_COUNTS: Final = frozenset(
    {"reference_agents", "depots", "orders_per_agent", "most_tasks", "offers_per_cycle"}
)
_MAY_BE_ZERO: Final = frozenset(
    {"wind_sd_m_s", "gauge_noise_percent", "cycle_phase_s", "take_off_window_s", "shortest_drop_m"}
)
_SHARES: Final = frozenset({"fill", "reserve_share", "lighter_share"})


@dataclass(frozen=True, slots=True)
class City:
    """All numbers of the drone world, those of `City.wide()` by default.

    `side_m` and `depots` are for `reference_agents` drones; `scaled` keeps the density for other fleets.
    """

    name: str = "wide"
    reference_agents: int = 150
    side_m: float = 10_000.0
    depots: int = 6
    # The craft
    airspeed_m_s: float = 10.0
    empty_kg: float = 2.5  # frame and battery
    battery_wh: float = 50.0
    gauge_noise_percent: float = 0.1
    radio_range_m: float = 3_000.0
    # The orders
    orders_per_agent: int = 12
    pickup_range_m: float = 2_200.0  # from where the tour has got to
    shortest_drop_m: float = 300.0
    drop_range_m: float = 2_000.0  # from the pick-up
    lightest_kg: float = 0.2
    heaviest_kg: float = 1.5
    # The planner
    reserve_share: float = 0.10  # of the battery: what should be left after landing
    fill: float = 0.93  # how much of the usable energy a tour may take at take-off
    lighter_share: float = 0.8  # of the fill, after each refused take-off
    take_off_window_s: float = 1_500.0
    most_tasks: int = 10
    cycle_s: float = 10.0
    cycle_phase_s: float = 5.0
    # The emergency hand-over
    handover_range_m: float = 3_000.0
    handover_percent: float = 30.0  # the target reports at least this much
    offers_per_cycle: int = 2  # by one aborting drone
    refusal_memory_s: float = 120.0
    give_up_s: float = 120.0  # an order that nobody took for so long goes back to the backlog
    answer_within_s: float = 5.0  # a request that nobody answered for so long lapses
    lost_link_s: float = 30.0  # autopilot comes home when its computer has been silent for so long
    # The wind
    wind_m_s: float = 3.0
    wind_sd_m_s: float = 0.3
    wind_tau_s: float = 600.0

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name != "name":
                self._check(field.name, getattr(self, field.name))
        for low, high in (("lightest_kg", "heaviest_kg"), ("shortest_drop_m", "drop_range_m")):
            if getattr(self, low) > getattr(self, high):
                raise ConfigurationError(f"city needs `{low}` at most `{high}`", code="C0312")

    def _check(self, name: str, value: float) -> None:
        whole = name in _COUNTS
        good = isinstance(value, int) if whole else isinstance(value, int | float)
        good = good and not isinstance(value, bool) and math.isfinite(value)
        good = good and (value > 0 or (name in _MAY_BE_ZERO and value == 0))
        if not good or (name in _SHARES and value > 1):
            kind = (
                "a share in 0..1"
                if name in _SHARES
                else "a positive whole number"
                if whole
                else "a positive number"
            )
            raise ConfigurationError(f"city `{name}` needs {kind}, got `{value}`", code="C0310")

    @classmethod
    def wide(cls) -> City:
        """Give the wide city: long legs, 50 Wh, tours filled to 0.93."""
        return cls()

    @classmethod
    def compact(cls) -> City:
        """Give the compact city: half the battery, short legs, tours filled to 0.88."""
        return cls(
            name="compact",
            battery_wh=25.0,
            pickup_range_m=1_100.0,
            drop_range_m=900.0,
            shortest_drop_m=150.0,
            handover_range_m=2_000.0,
            radio_range_m=2_000.0,
            fill=0.88,
        )

    @classmethod
    def from_mapping(cls, name: str, settings: Mapping[str, float]) -> City:
        """Build a city from a scenario file's mapping; what is not given is as in the wide city.

        Raises:
            ConfigurationError: an unknown key (C0311), a value out of range (C0310, C0312).
        """
        known = {field.name for field in fields(cls)} - {"name"}
        for key in settings:
            if key not in known:
                raise ConfigurationError(
                    f"expected a setting of a city, got `{key}`",
                    code="C0311",
                    hint="one of " + ", ".join(sorted(known)),
                )
        # A file may say 50 where 50.0 is meant; arrays must not become whole numbers by it.
        given = {key: value if key in _COUNTS else float(value) for key, value in settings.items()}
        return replace(cls(name=name), **given)  # type: ignore[arg-type]  # checked field by field

    @property
    def reserve_wh(self) -> float:
        """Give the energy that should be left after landing."""
        return self.reserve_share * self.battery_wh

    def scaled(self, agents: int) -> City:
        """Give the city for a fleet of another size: area and depots in proportion, at least one depot.

        Density decides how many drones are within reach of a hand-over; keeping it keeps the mechanism. What
        does change: in a fleet of 20 the whole city is one neighbourhood with one depot.
        """
        share = agents / self.reference_agents
        return replace(
            self,
            reference_agents=agents,
            side_m=self.side_m * math.sqrt(share),
            depots=max(1, round(self.depots * share)),
        )

    def depot_places(self, *, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw the depots, shape (depots, 2), m: a near-square lattice, each moved within its cell."""
        columns = math.ceil(math.sqrt(self.depots))
        rows = math.ceil(self.depots / columns)
        k = np.arange(self.depots)
        cell = np.array([self.side_m / columns, self.side_m / rows])
        middle = np.stack([k % columns + 0.5, k // columns + 0.5], axis=1)
        places: NDArray[np.float64] = (middle + rng.uniform(-0.2, 0.2, size=(self.depots, 2))) * cell
        return places
