"""Load shedding: the policy document that pauses unimportant work within a radius of some places."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ripstop.core.canonical import Json, canonical_json

from .playbook import End, ShedRung

Point = tuple[float, float]
MOST_CENTRES = 64
_GRID_M = 1.0


@dataclass(frozen=True, slots=True)
class Area:
    """The union of circles of one radius, in metres east and north."""

    centres: tuple[Point, ...]
    radius_m: float

    def holds(self, x_m: float, y_m: float) -> bool:
        """Whether a point lies in any of the circles."""
        return any(math.hypot(x_m - cx, y_m - cy) <= self.radius_m for cx, cy in self.centres)

    def covers(self, places: Sequence[Point], slack_m: float) -> bool:
        """Whether each place is a centre, give or take `slack_m`."""
        return all(any(math.hypot(x - cx, y - cy) <= slack_m for cx, cy in self.centres) for x, y in places)


def area_around(places: Sequence[Point], radius_m: float) -> Area:
    """Give the area around places, rounded to a metre, each place once.

    More than 64 places are put into one circle that holds all of theirs: a policy stays small.
    """
    rounded = dict.fromkeys((round(x / _GRID_M) * _GRID_M, round(y / _GRID_M) * _GRID_M) for x, y in places)
    if len(rounded) <= MOST_CENTRES:
        return Area(tuple(rounded), radius_m)
    xs, ys = [x for x, _ in rounded], [y for _, y in rounded]
    middle = ((min(xs) + max(xs)) / 2.0, (min(ys) + max(ys)) / 2.0)
    reach = max(math.hypot(x - middle[0], y - middle[1]) for x, y in rounded)
    return Area((middle,), radius_m + math.ceil(reach))


def is_shed(priority: int, keep: int, sheds: End) -> bool:
    """Whether work of this priority pauses when `keep` is the last that goes on."""
    return priority > keep if sheds is End.LEAST_IMPORTANT else priority < keep


def shedding_policy(policy_id: str, vocabulary: str, rung: ShedRung, keep: int, area: Area) -> str:
    """Give the policy document, in canonical JSON, that forbids the rung's actions in the area.

    The parameters `task_priority`, `pickup_x_m` and `pickup_y_m` of the actions are what it reads; where one
    is unknown the action is denied.
    """
    beyond = ">" if rung.sheds is End.LEAST_IMPORTANT else "<"
    document: dict[str, Json] = {
        "ripstop": 1,
        "id": policy_id,
        "tier": "business",
        "vocabulary": vocabulary,
        "guards": list(rung.actions),
        "effect": "forbid",
        "on_unknown": "deny",
        "rule": {
            "and": [
                {beyond: [{"var": "task_priority"}, keep]},
                {"or": [_inside(centre, area.radius_m) for centre in area.centres]},
            ]
        },
    }
    return canonical_json(document).decode()


def _inside(centre: Point, radius_m: float) -> Json:
    return {
        "<=": [
            {"+": [_square("pickup_x_m", centre[0]), _square("pickup_y_m", centre[1])]},
            radius_m * radius_m,
        ]
    }


def _square(name: str, origin: float) -> Json:
    apart: Json = {"-": [{"var": name}, origin]}
    return {"*": [apart, apart]}
