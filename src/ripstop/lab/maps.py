"""Maps of the fleet at one moment, for the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ripstop.lab.report.schema import DroneMark, DroneState, Map, Star
from ripstop.worlds.drones import Phase, Snapshot

_STATES: Final[dict[int, DroneState]] = {
    Phase.PARKED: "waiting",
    Phase.LANDED: "landed",
    Phase.DOWN: "landed",
}
Circle = tuple[float, float, float]
PickUp = tuple[float, float, int]


@dataclass(frozen=True, slots=True)
class Restriction:
    """What the ground had restricted: circles where work pauses, the members of the star, its hub."""

    circles: tuple[Circle, ...]
    members: tuple[str, ...]
    hub: str


def fleet_map(
    label: str,
    snapshot: Snapshot,
    names: Sequence[str],
    pickups: Sequence[PickUp] = (),
    restriction: Restriction | None = None,
) -> Map:
    """Draw up a map: where everybody is, what is restricted where.

    Args:
        label: what the map is of.
        snapshot: the world's copy of that moment.
        names: the drones' ids by number.
        pickups: pending pick-ups of the faulty drone, with their priorities.
        restriction: what the ground had restricted then.
    """
    restricted = set(restriction.members) if restriction else set()
    circles = restriction.circles if restriction else ()
    middle = snapshot.side_m / 2.0
    star = Star(restriction.hub, restriction.members, middle, middle) if restriction else None
    drones = tuple(
        DroneMark(
            name,
            float(snapshot.x_m[i]),
            float(snapshot.y_m[i]),
            _state(snapshot, i, name in restricted),
            float(snapshot.battery_percent[i]),
        )
        for i, name in enumerate(names)
    )
    depots = tuple((float(x), float(y)) for x, y in snapshot.depots_m)
    faulty = names[snapshot.faulty] if snapshot.faulty is not None else ""
    return Map(label, snapshot.t_s, snapshot.side_m, depots, drones, faulty, tuple(pickups), circles, star)


def _state(snapshot: Snapshot, i: int, is_restricted: bool) -> DroneState:
    at_rest = _STATES.get(int(snapshot.phase[i]))
    if snapshot.aborted[i]:
        return "aborted"
    if at_rest is not None:
        return at_rest
    return "restricted" if is_restricted else "flying"
