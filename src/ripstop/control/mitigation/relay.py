"""The ground hub of a star: passes peers' messages on, but no hand-over that cannot be carried."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ripstop.core.messages import Item, PeerKind, PeerMessage, Workload
from ripstop.core.node import Effect, Report, Send
from ripstop.core.subjects import Subjects
from ripstop.core.wire.record import pack

from .playbook import Handover


def insertion_cost(workload: Workload, item: Item, handover: Handover) -> float:
    """Estimate what an item costs an agent at the cheapest place in its route, as the dependency graph does.

    References:
        `ripstop.control.telemetry.dependency` does the same for a whole fleet at once.
    """
    pick, drop = (item.pickup_x_m, item.pickup_y_m), (item.drop_x_m, item.drop_y_m)
    stops = [(workload.x_m, workload.y_m), *((i.drop_x_m, i.drop_y_m) for i in workload.items)]
    nexts = [(i.pickup_x_m, i.pickup_y_m) for i in workload.items]
    gaps = [
        math.dist(stop, pick) + math.dist(drop, after) - math.dist(stop, after)
        for stop, after in zip(stops, nexts, strict=False)
    ]
    gaps.append(math.dist(stops[-1], pick))
    carried = math.dist(pick, drop) * (1.0 + handover.load_factor * item.load)
    return (max(0.0, min(gaps)) + carried) * workload.cost_per_m


@dataclass(slots=True)
class Relay:
    """Forwards on `peer.<target>.<hub>` with `via=(hub,)`. It remembers what it let through to each agent.

    An offer passes when the target's last report leaves room for it besides what has been let through since.
    """

    hub: str
    subjects: Subjects
    handover: Handover
    relayed: int = 0
    refused: int = 0
    _let_through: dict[str, list[float]] = field(default_factory=dict)

    def reported(self, agent: str) -> None:
        """The agent has reported its work anew: what was let through before is in it."""
        self._let_through.pop(agent, None)

    def take(self, sender: str, message: PeerMessage, workloads: Mapping[str, Workload]) -> list[Effect]:
        """Take a message that `sender` sent to the hub."""
        if message.origin != sender or message.via:
            return [Report("peer.rejected", {"sender": sender, "origin": message.origin})]
        if message.kind is PeerKind.OFFER:
            reason = self._objection(workloads.get(message.target), message.item)
            if reason:
                self.refused += 1
                answer = PeerMessage(
                    message.target, sender, PeerKind.REFUSE, message.number, message.item, (self.hub,), reason
                )
                return [
                    Send(self.subjects.peer(sender, self.hub), pack(answer)),
                    Report("peer.refused", {"origin": sender, "target": message.target, "reason": reason}),
                ]
        self.relayed += 1
        forwarded = replace(message, via=(self.hub,))
        return [
            Send(self.subjects.peer(message.target, self.hub), pack(forwarded)),
            Report(
                "peer.relayed",
                {"origin": sender, "target": message.target, "kind": message.kind.value, "hops": 2},
            ),
        ]

    def _objection(self, target: Workload | None, item: Item) -> str:
        if target is None:
            return "target has not reported"
        if not (target.available and target.active):
            return "target takes no work"
        taken = self._let_through.setdefault(target.agent, [])
        if target.slots - len(taken) <= 0:
            return "target has no free slot"
        cost = insertion_cost(target, item, self.handover)
        if target.spare - sum(taken) - cost < 0.0:
            return "target cannot carry it"
        taken.append(cost)
        return ""
