"""The drones' flight software: it asks its agent before it acts, and tells it what the sensors say.

It stands between the world (which knows no policies) and the agents (which know no world), the same in
virtual and in real time. A tick is `tick`: sense, report the workload, then have every wish of the world
decided. A hand-over travels as a peer message: origin offers, target decides with its own margin, and the
world moves the task when the target accepts. When its restraints change, a drone looks at its list again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from ripstop.agent.node import AgentNode
from ripstop.agent.voice import Burden
from ripstop.core.clock import Instant
from ripstop.core.decision import Verdict
from ripstop.core.messages import Item, PeerKind, PeerMessage
from ripstop.core.node import Effects, Report
from ripstop.worlds.drones import DroneWorld, Handover, Request, Settled, StartDelivery, TakeOff, Task
from ripstop.worlds.drones.requests import Occasion

Perform = Callable[[str, Effects], None]
Context = Mapping[str, float]
_IDLE_EVERY: Final = 10  # ticks between the readings of a drone on the ground
# What a drone looks at its list again for, and as what: as work that it would take now, or go on with.
_REVIEWED: Final = {"breaker.opened": "accept_task", "mitigation.applied": "start_delivery"}


@dataclass(slots=True)
class Tally:
    """What the flight software counted.

    `vetoes` by (action, policy that denied); `hops` counts offers that arrived, by the hops that they took;
    `restricted_s` are drone-seconds in the air under a restriction of the ground.
    """

    decided: int = 0
    vetoes: dict[tuple[str, str], int] = field(default_factory=dict)
    hops: dict[int, int] = field(default_factory=dict)
    offers: int = 0
    refused_offers: int = 0
    restricted_s: float = 0.0

    @property
    def vetoed(self) -> int:
        """All vetoes."""
        return sum(self.vetoes.values())


@dataclass(frozen=True, slots=True)
class Veto:
    """One veto: which drone was denied what, by which policies, and the first one's words."""

    t_us: int
    agent: str
    action: str
    policies: tuple[str, ...]
    reason: str


def _seen(
    world: DroneWorld,
) -> Iterator[tuple[float, float, float, float, float, float, float, bool, bool, bool]]:
    """Read what each drone's sensors say, in whole columns: an array is slow to read one by one.

    Gives for each drone: battery (percent), battery (V), x, y (m), spare energy (Wh), the same without the
    reserve (0 where there is no telling), payload (kg), whether it flies, whether it is in the air and has
    not given up, and whether its telemetry is silent.
    """
    spare_wh, flying = world.spare_wh, world.flying
    columns = (
        world.battery_percent,
        world.battery_v,
        world.x_m,
        world.y_m,
        spare_wh,
        np.where(np.isfinite(spare_wh), spare_wh - world.reserve_wh, 0.0),
        world.fleet.payload_kg,
        flying,
        flying & ~world.aborted,
        world.fleet.silent,
    )
    return zip(*(column.tolist() for column in columns), strict=True)


class Crew:
    """The flight software of the whole fleet, drone by drone in the order of their numbers."""

    def __init__(
        self,
        world: DroneWorld,
        nodes: Sequence[AgentNode],
        perform: Perform,
        clock: Callable[[str], Instant],
    ) -> None:
        self.world = world
        self.tally = Tally()
        self.vetoes: list[Veto] = []
        self.nodes = nodes
        self.names = [node.settings.agent for node in nodes]
        self._number = {name: i for i, name in enumerate(self.names)}
        self._perform = perform
        self._clock = clock
        self._offered: dict[tuple[str, str], Handover] = {}
        self._to_review: dict[int, str] = {}
        self._reviewed_as: dict[int, str] = {}
        self._lists: dict[int, tuple[tuple[int, ...], tuple[Item, ...]]] = {}
        self._costs: dict[float, float] = {}
        self._most_tasks = world.city.most_tasks
        self._ticks = 0

    # ---- a tick -----------------------------------------------------------------------------------------

    def tick(self, dt_s: float) -> None:
        """Sense, report, look again where restraints have changed, and have every open wish decided."""
        self._sense()
        self._count_restricted(dt_s)
        self._ticks += 1
        self.settle_wishes()

    def settle_wishes(self) -> None:
        """Have every open wish of the world decided, those included that an answer gives rise to."""
        self._reviewed_as, self._to_review = self._to_review, {}
        for agent in self._reviewed_as:
            self.world.review(agent)
        while asked := self.world.requests():
            for request in asked:
                self._settle(request)

    def _sense(self) -> None:
        """Hand every drone's readings to its agent, and tell it what the drone carries."""
        idle = self._ticks % _IDLE_EVERY
        for i, seen in enumerate(_seen(self.world)):
            percent, volts, x_m, y_m, spare_wh, left_wh, payload_kg, flies, takes_work, silent = seen
            if silent or not (flies or i % _IDLE_EVERY == idle):
                continue
            readings = {
                "battery_percent": percent,
                "battery_v": volts,
                "x_m": x_m,
                "y_m": y_m,
                "spare_wh": spare_wh,
                "payload_kg": payload_kg,
            }
            name, node = self.names[i], self.nodes[i]
            now = self._clock(name)
            effects = node.observe(readings, now)
            if effects:
                self._perform(name, effects)
            items = self._items(i)  # deferred deliveries are still to be done by somebody
            slots = self._most_tasks - len(items)
            cost_per_m = self._costs.get(payload_kg) or self._cost_per_m(i, payload_kg)
            burden = Burden(
                takes_work, flies, x_m, y_m, left_wh, cost_per_m, slots if slots > 0 else 0, items
            )
            effects = node.carry(burden, now)
            if effects:
                self._perform(name, effects)

    def _items(self, i: int) -> tuple[Item, ...]:
        """Give what a drone has on its list; made anew only when the list has changed."""
        fleet = self.world.fleet
        numbers = (*fleet.tours[i], *fleet.deferred[i])
        known = self._lists.get(i)
        if known is None or known[0] != numbers:
            known = (numbers, tuple(_item(self.world.task(number)) for number in numbers))
            self._lists[i] = known
        return known[1]

    def _cost_per_m(self, i: int, payload_kg: float) -> float:
        cost = self._costs[payload_kg] = self.world.energy_per_m_wh(i)
        return cost

    def _count_restricted(self, dt_s: float) -> None:
        for node, flies in zip(self.nodes, self.world.flying.tolist(), strict=True):
            if flies and node.standing.statuses:
                self.tally.restricted_s += dt_s

    # ---- wishes -----------------------------------------------------------------------------------------

    def _settle(self, request: Request) -> None:
        world = self.world
        match request:
            case TakeOff():
                world.settle(request, self._permits(request.agent, "take_off", {"payload_kg": 0.0}))
            case StartDelivery():
                world.settle(request, self._may_deliver(request))
            case Handover():
                self._offer(request)

    def _may_deliver(self, request: StartDelivery) -> bool:
        agent, task = request.agent, self.world.task(request.task)
        if request.occasion is Occasion.REVIEW and self._reviewed_as.get(agent) == "accept_task":
            # Its energy is in the route already: the margin after it is the margin.
            context = self._acceptance(task, float(self.world.spare_wh[agent]))
            return self._permits(agent, "accept_task", context)
        return self._permits(agent, "start_delivery", _delivery(task))

    def _acceptance(self, task: Task, margin_wh: float) -> Context:
        return {
            **_delivery(task),
            "drop_x_m": task.drop_x_m,
            "drop_y_m": task.drop_y_m,
            "margin_after_wh": margin_wh,
            "reserve_wh": self.world.reserve_wh,
        }

    def _permits(self, agent: int, action: str, context: Context) -> bool:
        name = self.names[agent]
        now = self._clock(name)
        decision, effects = self.nodes[agent].request(action, context, now)
        if effects:
            self._perform(name, effects)
        self.tally.decided += 1
        if decision.verdict is Verdict.ALLOW:
            return True
        policies = tuple(reason.policy for reason in decision.reasons)
        key = (action, policies[0] if policies else "")
        self.tally.vetoes[key] = self.tally.vetoes.get(key, 0) + 1
        text = decision.reasons[0].text if decision.reasons else ""
        self.vetoes.append(Veto(now.wall_us, name, action, policies, text))
        return False

    # ---- hand-overs -------------------------------------------------------------------------------------

    def _offer(self, request: Handover) -> None:
        origin, target = self.names[request.origin], self.names[request.target]
        item = _item(self.world.task(request.task))
        self._offered[origin, item.id] = request
        self.tally.offers += 1
        self._perform(origin, self.nodes[request.origin].offer(target, item, self._clock(origin)))

    def on_deliver(self, name: str, value: object, now: Instant) -> None:
        """Take what a node hands to its drone: a peer's offer, or the answer to one."""
        if not isinstance(value, PeerMessage) or name not in self._number:
            return
        if value.kind is PeerKind.OFFER:
            self._consider(name, value)
        elif value.kind is PeerKind.REFUSE:
            request = self._offered.pop((name, value.item.id), None)
            if request is not None:
                self.tally.refused_offers += 1
                self.world.settle(request, False)
        else:
            self._offered.pop((name, value.item.id), None)

    def on_report(self, name: str, report: Report, now: Instant) -> None:
        """Note whose restraints have changed: it looks at its list again."""
        if report.name in _REVIEWED and name in self._number:
            self._to_review[self._number[name]] = _REVIEWED[report.name]

    def _consider(self, name: str, message: PeerMessage) -> None:
        """Decide on a peer's offer as the target, by the drone's own margin, and answer it."""
        hops = 1 + len(message.via)
        self.tally.hops[hops] = self.tally.hops.get(hops, 0) + 1
        request = self._offered.get((message.origin, message.item.id))
        if request is None or self.names[request.target] != name:
            return
        i = self._number[name]
        task = self.world.task(request.task)
        context = self._acceptance(task, self.world.margin_after_wh(i, task.number))
        accepted = self._permits(i, "accept_task", context)
        if accepted:
            accepted = self.world.settle(request, True) is Settled.APPLIED
        reason = "" if accepted else "declined"
        self._perform(name, self.nodes[i].answer(message, accepted, reason, self._clock(name)))


def _delivery(task: Task) -> dict[str, float]:
    return {
        "payload_kg": task.mass_kg,
        "task_priority": float(task.priority),
        "pickup_x_m": task.pickup_x_m,
        "pickup_y_m": task.pickup_y_m,
    }


def _item(task: Task) -> Item:
    return Item(
        f"task-{task.number}",
        task.priority,
        task.mass_kg,
        task.pickup_x_m,
        task.pickup_y_m,
        task.drop_x_m,
        task.drop_y_m,
    )
