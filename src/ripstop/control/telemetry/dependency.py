"""The fleet's dependency graph, built from what agents report: who would take over whose work, at what cost.

Theory of operation. When an agent gives up, each of its pending items goes to the nearest available agents.
What item m would cost target k is the cheapest insertion of (pick-up, drop) into k's own route, in metres,
times what a metre costs k. A route is: where k is, then pick-up and drop of each of its items in the order
reported. The way home after the last drop is not reported; it is taken to be as long from the new last drop
as from the old one.

        ... before -----saved-----> after ...          extra = |before P| + |P D| + |D after| - saved
               \\                     /
                P ------- D --------

`FleetLoad` holds the arrays of the load model; `dependency_edges` makes of them the one-shot edges of
percolation: 1 - prod over items (1 - P(item -> k) * Phi((extra - margin_k) / sigma)), where margin is the
spare capacity and the overdraft that an agent allows itself before it gives up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from ripstop.core.messages import Workload

from ..mitigation.playbook import Handover
from .insertion import Routes, cheapest_insertions

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
Flags = NDArray[np.bool_]
_NEGLIGIBLE = 1e-9


@dataclass(frozen=True)
class FleetLoad:
    """The frozen state of a fleet: n agents, m pending items, k candidate targets an item.

    Shapes: `xy_m` (n, 2), `spare`, `slots`, `available`, `active` (n,); `owner`, `priority` (m,), `pickup_m`
    (m, 2), `targets` (m, k) with -1 where there are fewer, `cost` and `own_cost` in the unit of `spare`:
    what the item costs each target, and what its owner saves by not doing it.
    """

    agents: tuple[str, ...]
    xy_m: Floats
    spare: Floats
    slots: Ints
    available: Flags
    active: Flags
    owner: Ints
    priority: Ints
    pickup_m: Floats
    targets: Ints
    cost: Floats
    own_cost: Floats

    @cached_property
    def index(self) -> dict[str, int]:
        """Give each agent's row."""
        return {agent: row for row, agent in enumerate(self.agents)}


def fleet_load(workloads: Sequence[Workload], handover: Handover) -> FleetLoad:
    """Build the load model's arrays from each agent's last report, in the order given.

    150 agents with 600 items take 2 to 3 ms (`benchmarks/bench_control.py`).
    """
    count = len(workloads)
    xy = np.array([(w.x_m, w.y_m) for w in workloads], dtype=np.float64).reshape(count, 2)
    items = [(row, item) for row, w in enumerate(workloads) for item in w.items]
    owner = np.array([row for row, _ in items], dtype=np.int32)
    places = np.array(
        [(i.pickup_x_m, i.pickup_y_m, i.drop_x_m, i.drop_y_m, i.load) for _, i in items], dtype=np.float64
    ).reshape(len(items), 5)
    available = np.array([w.available and w.active for w in workloads], dtype=np.bool_)
    metre = np.array([w.cost_per_m for w in workloads], dtype=np.float64)
    slots = np.array([max(0, w.slots) for w in workloads], dtype=np.int32)
    routes = _routes(xy, owner, places)
    targets = _candidates(xy, available & (slots > 0), owner, handover)
    carry = 1.0 + handover.load_factor * places[:, 4]
    return FleetLoad(
        agents=tuple(w.agent for w in workloads),
        xy_m=xy,
        spare=np.array([w.spare for w in workloads], dtype=np.float64),
        slots=slots,
        available=available,
        active=np.array([w.active for w in workloads], dtype=np.bool_),
        owner=owner,
        priority=np.array([i.priority for _, i in items], dtype=np.int32),
        pickup_m=places[:, :2].copy(),
        targets=targets,
        cost=cheapest_insertions(routes, targets, places[:, :4].copy(), carry)
        * metre[np.maximum(targets, 0)],
        own_cost=_removal(routes, owner, places, carry) * metre[owner],
    )


def _routes(xy: Floats, owner: Ints, places: Floats) -> Routes:
    held = np.bincount(owner, minlength=len(xy)).astype(np.int32)
    shape = (len(xy), int(held.max(initial=0)) + 1, 2)
    before, after = np.zeros(shape), np.zeros(shape)
    before[:, 0] = xy
    position = _rank(owner, held)
    before[owner, position + 1] = places[:, 2:4]
    after[owner, position] = places[:, :2]
    return Routes(before, after, held)


def _rank(owner: Ints, held: Ints) -> NDArray[np.int64]:
    """Give each item's place in its owner's route; items come grouped by owner."""
    first = np.concatenate([[0], np.cumsum(held)[:-1]]) if len(held) else held
    rank: NDArray[np.int64] = np.arange(len(owner)) - first[owner]
    return rank


def _candidates(xy: Floats, eligible: Flags, owner: Ints, handover: Handover) -> Ints:
    """Give the nearest eligible agents within range of each item's owner, nearest first, shape (m, k)."""
    count = len(xy)
    width = max(1, min(handover.candidates, count - 1))
    if count < 2 or not len(owner):
        return np.full((len(owner), 1), -1, dtype=np.int32)
    holders = np.unique(owner)
    apart = xy[holders][:, None, :] - xy[None, :, :]
    distance = np.sqrt(apart[..., 0] ** 2 + apart[..., 1] ** 2)
    distance[:, ~eligible] = np.inf
    distance[np.arange(len(holders)), holders] = np.inf
    distance[~(distance <= handover.range_m)] = np.inf
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :width].astype(np.int32)
    nearest[~np.isfinite(np.take_along_axis(distance, nearest, axis=1))] = -1
    row = np.zeros(count, dtype=np.int64)
    row[holders] = np.arange(len(holders))
    chosen: Ints = nearest[row[owner]]
    return chosen


def _norm(x: Floats, y: Floats) -> Floats:
    return np.sqrt(x * x + y * y)


def _removal(routes: Routes, owner: Ints, places: Floats, carry: Floats) -> Floats:
    """Give the metres that an owner saves by leaving an item out, shape (m,)."""
    if not len(owner):
        return np.zeros(0)
    rank = _rank(owner, routes.held)
    start, end = routes.before[owner, rank], places[:, 2:4]
    onward = routes.after[owner, rank + 1]
    there = _norm(places[:, 0] - start[:, 0], places[:, 1] - start[:, 1])
    leg = _norm(places[:, 2] - places[:, 0], places[:, 3] - places[:, 1]) * carry
    back = _norm(onward[:, 0] - end[:, 0], onward[:, 1] - end[:, 1])
    direct = _norm(onward[:, 0] - start[:, 0], onward[:, 1] - start[:, 1])
    last = rank + 1 == routes.held[owner]
    saving: Floats = there + leg + np.where(last, 0.0, back - direct)
    return np.maximum(saving, 0.0)


@dataclass(frozen=True, slots=True)
class Edges:
    """Directed edges with the probability that the source's failure brings the target down."""

    source: Ints
    target: Ints
    weight: Floats


def dependency_edges(load: FleetLoad, handover: Handover) -> Edges:
    """Give the one-shot edges of percolation from the load model's arrays.

    An item goes to its r-th candidate with probability spread * (1 - spread)**r.
    """
    count, width = len(load.agents), load.targets.shape[1]
    chosen = handover.spread * (1.0 - handover.spread) ** np.arange(width)
    target = np.maximum(load.targets, 0)
    margin = load.spare + handover.overdraft
    fails = ndtr((load.cost - margin[target]) / handover.sigma) * chosen
    fails[load.targets < 0] = 0.0
    pair = load.owner[:, None].astype(np.int64) * count + target
    survives = np.bincount(
        pair.ravel(), weights=np.log1p(-np.minimum(fails, 1.0 - 1e-12)).ravel(), minlength=count * count
    )
    weight = -np.expm1(survives)
    kept = np.flatnonzero(weight > _NEGLIGIBLE)
    return Edges((kept // count).astype(np.int32), (kept % count).astype(np.int32), weight[kept])
