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
    """One candidate as tried: its cost (paused work, weighted by importance) and the risk that remains.

    `star` tells whether the hub's checks were counted on.
    """

    name: str
    keep: int | None
    isolates: bool
    star: bool
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
    """What a plan is made for: the frozen fleet, who is suspected, and what is in force already.

    While an incident lasts a plan only tightens: `earlier` and `earlier_keep` are never loosened.
    """

    load: FleetLoad
    suspects: Mapping[str, float]
    present: tuple[str, ...]
    registered: int
    earlier: Area | None = None
    earlier_keep: int | None = None
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
    planner = _Planner(situation, playbook, area, members, _isolable(situation, playbook), seed)
    return planner.plan(share)


@dataclass(frozen=True, slots=True)
class _Planner:
    """Tries candidates on one situation."""

    situation: Situation
    playbook: Playbook
    area: Area
    members: tuple[str, ...]
    isolable: tuple[str, ...]
    seed: int

    def plan(self, share: float) -> Plan | None:
        """Take the cheapest candidate that is enough.

        Where none is enough by itself, the strongest is taken, and the hub's checks are counted on as well.
        """
        ladder, target = self.playbook.ladder, self.playbook.risk.target
        relies = ladder.star is not None and (ladder.star.relied_on or ladder.shed is None)
        trials = [self._try(keep, isolates, relies) for keep, isolates in self._candidates(relies)]
        if not trials:
            return None
        enough = [t for t in trials if t.risk.probability <= target]
        if enough:
            best = min(enough, key=lambda t: (t.cost, t.risk.probability))
        else:
            best = min(trials, key=lambda t: (t.risk.probability, -t.cost))
            if ladder.star is not None and not relies:
                trials.append(best := self._try(best.keep, best.isolates, True))
        ordered = (*(t for t in trials if t is not best), best)
        isolated = self.isolable if best.isolates else ()
        is_enough = best.risk.probability <= target
        return Plan(best.keep, self.area, self.members, isolated, ordered, is_enough, share)

    def _candidates(self, relies: bool) -> list[tuple[int | None, bool]]:
        """Give (last priority that goes on, whether suspects are isolated), the mildest first."""
        shed = self.playbook.ladder.shed
        mild = (None,) if relies and self.situation.earlier_keep is None else ()
        keeps: tuple[int | None, ...] = (*mild, *(self._tighter(shed) if shed else ()))
        found: list[tuple[int | None, bool]] = [(keep, False) for keep in keeps]
        if self.isolable:
            found.append((None, True))
            found.extend((keep, True) for keep in keeps if keep is not None)
        return found

    def _tighter(self, shed: ShedRung) -> tuple[int, ...]:
        """Give the rung's priorities that shed at least what is shed already."""
        before = self.situation.earlier_keep
        if before is None:
            return shed.keep
        if shed.sheds is End.LEAST_IMPORTANT:
            return tuple(keep for keep in shed.keep if keep <= before)
        return tuple(keep for keep in shed.keep if keep >= before)

    def _try(self, keep: int | None, isolates: bool, star: bool) -> Trial:
        load, playbook = self.situation.load, self.playbook
        measures = self._measures(keep, isolates, star)
        draw = Draw(playbook.risk.model, playbook.risk.plan_trials, self.seed)
        risk = forecast(load, self.situation.suspects, measures, playbook, draw)
        cost = _paused_cost(load, measures.paused) + _ISOLATION_COST * isolates * len(self.isolable)
        return Trial(measures.name, keep, isolates, star, cost, risk)

    def _measures(self, keep: int | None, isolates: bool, star: bool) -> Measures:
        load, shed = self.situation.load, self.playbook.ladder.shed
        none = no_measures(load)
        paused = none.paused
        if shed is not None and keep is not None:
            paused = _is_shed(load, shed, keep) & _in_area(load, self.area)
        words = [f"keep {keep}"] if keep is not None else []
        words += ["star"] if star else []
        words += [f"isolate {len(self.isolable)}"] if isolates else []
        return Measures(
            " + ".join(words),
            paused,
            np.isin(load.agents, self.members if star else ()),
            np.isin(load.agents, self.isolable if isolates else ()),
        )


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


def _is_shed(load: FleetLoad, shed: ShedRung, keep: int) -> NDArray[np.bool_]:
    beyond = load.priority > keep if shed.sheds is End.LEAST_IMPORTANT else load.priority < keep
    return np.asarray(beyond, dtype=np.bool_)


def _in_area(load: FleetLoad, area: Area) -> NDArray[np.bool_]:
    centres = np.array(area.centres)
    apart = load.pickup_m[:, None, :] - centres[None, :, :]
    inside = (apart**2).sum(axis=-1) <= area.radius_m**2
    return np.asarray(inside.any(axis=1), dtype=np.bool_)


def _paused_cost(load: FleetLoad, paused: NDArray[np.bool_]) -> float:
    """Weigh the work that is put off: priority 1 counts five times priority 5, and so on down."""
    return float((6.0 - np.clip(load.priority[paused], 1, 5)).sum())
