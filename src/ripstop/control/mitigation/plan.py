"""The planner: tries the rungs of the ladder on the model and takes the cheapest that is good enough.

Every candidate is played on the same random numbers, so that their differences are theirs and not chance's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..telemetry.dependency import FleetLoad
from .forecast import Draw, Measures, forecast, no_measures
from .hub import Risk
from .isolation import TokenBook
from .playbook import End, Playbook, ShedRung
from .shedding import Area, Point, area_around
from .topology import region_members

_ISOLATION_COST = 1000.0


@dataclass(frozen=True, slots=True)
class Trial:
    """One candidate as tried: its cost (paused work, weighted by importance) and the risk that remains."""

    name: str
    keep: int | None
    isolates: bool
    cost: float
    risk: Risk


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done: pause work beyond `keep` in `area`, a star over `members`, isolate `isolated`.

    `trials` lists every candidate tried, the chosen one last. `is_enough` tells whether the risk that
    remains is at most the playbook's target. `share` is the touched share of the present fleet.
    """

    keep: int | None
    area: Area
    members: tuple[str, ...]
    isolated: tuple[str, ...]
    trials: tuple[Trial, ...]
    is_enough: bool
    share: float

    @property
    def chosen(self) -> Trial:
        """The candidate that the plan carries out."""
        return self.trials[-1]


@dataclass(frozen=True, slots=True)
class Situation:
    """What a plan is made for: the frozen fleet, who is suspected, and what is in force already."""

    load: FleetLoad
    suspects: Mapping[str, float]
    present: tuple[str, ...]
    registered: int
    earlier: Area | None = None
    tokens: Mapping[str, int] | None = None


def places_of(load: FleetLoad, suspects: Mapping[str, float]) -> list[Point]:
    """Give where the suspects are and where their pending work is picked up."""
    rows = [load.index[agent] for agent in suspects if agent in load.index]
    places = [(float(load.xy_m[row, 0]), float(load.xy_m[row, 1])) for row in rows]
    pickups = load.pickup_m[np.isin(load.owner, rows)]
    return [*places, *((float(x), float(y)) for x, y in pickups)]


def make_plan(situation: Situation, playbook: Playbook, *, seed: int) -> Plan | None:
    """Choose the measures; None where no rung may be used (nobody to restrict, or too many)."""
    load = situation.load
    radius_m = playbook.ladder.shed.radius_m if playbook.ladder.shed else 0.0
    places = places_of(load, situation.suspects)
    if not places:
        return None
    kept = list(situation.earlier.centres) if situation.earlier else []
    area = area_around([*kept, *places], radius_m)
    members = region_members(
        ((agent, float(x), float(y)) for agent, (x, y) in zip(load.agents, load.xy_m, strict=True)),
        area,
        playbook.handover.range_m,
    )
    present = set(situation.present)
    members = tuple(agent for agent in members if agent in present)
    share = len(members) / max(1, len(present))
    if not members or share > playbook.largest_share:
        return None
    isolated = _isolable(situation, playbook)
    trials: list[Trial] = []
    draw = Draw(playbook.risk.model, playbook.risk.plan_trials, seed)
    for keep, isolates in _candidates(playbook, bool(isolated)):
        measures = _measures(situation, playbook, area, members, (keep, isolated if isolates else ()))
        risk = forecast(load, situation.suspects, measures, playbook, draw)
        cost = _cost(load, measures) + _ISOLATION_COST * isolates * len(isolated)
        trials.append(Trial(measures.name, keep, isolates, cost, risk))
    return _chosen(trials, playbook, area, members, (isolated, share))


def _candidates(playbook: Playbook, can_isolate: bool) -> list[tuple[int | None, bool]]:
    """Give (last priority that goes on, whether suspects are isolated), the mildest first."""
    ladder = playbook.ladder
    found: list[tuple[int | None, bool]] = []
    if ladder.star is not None and (ladder.star.relied_on or ladder.shed is None):
        found.append((None, False))
    keeps = ladder.shed.keep if ladder.shed else ()
    found.extend((keep, False) for keep in keeps)
    if can_isolate:
        found.append((None, True))
        found.extend((keep, True) for keep in keeps)
    return found


def _isolable(situation: Situation, playbook: Playbook) -> tuple[str, ...]:
    """Give the suspects that the tokens suffice for, the surest first, as a trial run of the book."""
    rung = playbook.ladder.isolate
    if rung is None:
        return ()
    book = TokenBook(rung)
    for agent, token in (situation.tokens or {}).items():
        book.restore(agent, token)
    available = int(situation.load.available.sum())
    surest = sorted(situation.suspects, key=lambda agent: (-situation.suspects[agent], agent))
    granted = [a for a in surest if book.grant(a, situation.registered, available)]
    return tuple(granted)


def _measures(
    situation: Situation, playbook: Playbook, area: Area, members: tuple[str, ...],
    choice: tuple[int | None, tuple[str, ...]],
) -> Measures:  # fmt: skip
    load, (keep, isolated) = situation.load, choice
    none = no_measures(load)
    shed, star = playbook.ladder.shed, playbook.ladder.star
    paused = none.paused
    if shed is not None and keep is not None:
        paused = _is_shed(load, shed, keep) & _in_area(load, area)
    checked = none.checked
    if star is not None and (star.relied_on or shed is None):
        checked = np.isin(load.agents, members)
    words = [f"keep {keep}"] if keep is not None else []
    words += ["star"] if star is not None else []
    words += [f"isolate {len(isolated)}"] if isolated else []
    return Measures(", ".join(words), paused, checked, np.isin(load.agents, isolated))


def _is_shed(load: FleetLoad, shed: ShedRung, keep: int) -> NDArray[np.bool_]:
    beyond = load.priority > keep if shed.sheds is End.LEAST_IMPORTANT else load.priority < keep
    return np.asarray(beyond, dtype=np.bool_)


def _in_area(load: FleetLoad, area: Area) -> NDArray[np.bool_]:
    centres = np.array(area.centres)
    apart = load.pickup_m[:, None, :] - centres[None, :, :]
    inside = (apart**2).sum(axis=-1) <= area.radius_m**2
    return np.asarray(inside.any(axis=1), dtype=np.bool_)


def _cost(load: FleetLoad, measures: Measures) -> float:
    """Weigh the work that is put off: priority 1 counts five times priority 5, and so on down."""
    return float((6.0 - np.clip(load.priority[measures.paused], 1, 5)).sum())


def _chosen(
    trials: list[Trial], playbook: Playbook, area: Area, members: tuple[str, ...],
    rest: tuple[tuple[str, ...], float],
) -> Plan | None:  # fmt: skip
    if not trials:
        return None
    isolated, share = rest
    enough = [t for t in trials if t.risk.probability <= playbook.risk.target]
    if enough:
        best = min(enough, key=lambda t: (t.cost, t.risk.probability))
    else:
        best = min(trials, key=lambda t: (t.risk.probability, t.risk.expected_share, t.cost))
    ordered = (*(t for t in trials if t is not best), best)
    return Plan(best.keep, area, members, isolated if best.isolates else (), ordered, bool(enough), share)
