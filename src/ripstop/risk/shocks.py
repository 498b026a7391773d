"""Common causes: a storm, a firmware version or a region that fells several agents at once."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ripstop.risk.errors import RiskInputError
from ripstop.risk.graph import GRAPH, Graph
from ripstop.risk.inputs import checked_names, is_row
from ripstop.risk.kinds import Kind, takes
from ripstop.risk.settings import check_share

COMMON_CAUSE = "common cause"


@dataclass(frozen=True, slots=True)
class Shock:
    """A common cause.

    Attributes:
        name: of the node that stands for it; its line of a report is P(cascade | the shock happens).
        members: agents that it can fell.
        severity: probability that it fells a member, each independently once it happened.
        attribution: probability that a member's failure is the first sign of this shock: then the others are
            in danger too. 0: a member's failure tells nothing.
    """

    name: Hashable
    members: tuple[Hashable, ...]
    severity: float = 1.0
    attribution: float = 0.0

    def __post_init__(self) -> None:
        check_share("severity", self.severity, "C0715")
        check_share("attribution", self.attribution, "C0715")
        if not isinstance(self.members, Collection) or not is_row(self.members) or not len(self.members):
            raise RiskInputError(f"shock `{self.name}` has no members, expected some", code="C0715")


@takes(graph=GRAPH, shocks=Kind("shocks", Shock, each=True))
def with_shocks(graph: Graph, shocks: Sequence[Shock]) -> Graph:
    """Give the graph with a node of no consequence for each shock, joined to its members both ways.

    Percolation on it answers for agents and shocks alike. The members of a shock fail together in the worlds
    in which it happens: their failures are not independent. The result is directed.

    Raises:
        RiskInputError: C0702, for a member that is not there or a name that is taken.
    """
    names = [shock.name for shock in shocks]
    grown = graph.to_directed().with_nodes(names)
    consequence = np.append(graph.consequence, np.zeros(len(names)))
    pairs: list[tuple[Hashable, Hashable]] = []
    weights: list[float] = []
    for shock in shocks:
        for member in dict.fromkeys(shock.members):
            pairs += [(shock.name, member), (member, shock.name)]
            weights += [shock.severity, shock.attribution]
    grown = grown.with_edges(pairs, {COMMON_CAUSE: np.array(weights)}) if pairs else grown
    return grown.with_quantities({**grown.quantities, "consequence": consequence})


def shocks_by(
    names: Iterable[Hashable], groups: Iterable[Hashable], severity: float = 1.0
) -> tuple[Shock, ...]:
    """Give a shock for each group with at least two agents, from each agent's group: region, firmware, ...

    Args:
        names: agents.
        groups: each one's group, in the same order.
        severity: of every shock.

    Raises:
        RiskInputError: C0715, C0716.
    """
    agents, places = (
        checked_names(values, noun, code="C0716", once=False)
        for noun, values in (("names", names), ("groups", groups))
    )
    if len(agents) != len(places):
        raise RiskInputError(
            f"{len(agents)} agents and {len(places)} groups, expected one each", code="C0715"
        )
    members: dict[Hashable, list[Hashable]] = {}
    for name, group in zip(agents, places, strict=True):
        members.setdefault(group, []).append(name)
    return tuple(Shock(group, tuple(some), severity) for group, some in members.items() if len(some) > 1)
