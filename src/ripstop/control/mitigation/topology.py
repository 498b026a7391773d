"""The star: whose peer traffic goes through the hub while an incident lasts."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ripstop.core.intent import Topology, TopologyKind

from .playbook import Playbook, StarRung
from .shedding import Area


def region_members(places: Iterable[tuple[str, float, float]], area: Area, reach_m: float) -> tuple[str, ...]:
    """Give the agents that can hand work into the area or out of it: within `reach_m` beyond its edge."""
    limit = area.radius_m + reach_m
    return tuple(
        sorted(
            agent
            for agent, x, y in places
            if any(math.hypot(x - cx, y - cy) <= limit for cx, cy in area.centres)
        )
    )


def star(incident: str, rung: StarRung, members: tuple[str, ...], playbook: Playbook) -> Topology:
    """Give the star of an incident's region; it ends with its lease."""
    return Topology(
        region=incident,
        kind=TopologyKind.STAR,
        members=members,
        hub=rung.hub,
        successor=rung.successor,
        lease_s=playbook.lease_s,
        on_silence=rung.on_silence,
    )
