"""The risk graph: agents, and how likely a failure at one end of an edge causes one at the other."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ripstop.risk.errors import RiskInputError
from ripstop.risk.inputs import (
    QUANTITIES,
    checked_ends,
    checked_names,
    checked_quantities,
    checked_weights,
    frozen,
    is_name,
    is_row,
)
from ripstop.risk.kinds import BY_NAME, PAIRS, TRUTH, Kind, takes
from ripstop.risk.layout import Laid, Layout, laid_out, layout_of, merged_edges

if TYPE_CHECKING:
    import networkx as nx

WEIGHT = "weight"


@dataclass(frozen=True, slots=True)
class Cause:
    """One channel's part in an edge: its name and the probability it carries by itself."""

    channel: str
    probability: float


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes, edges by (source, target), and for every edge one probability per named channel.

    An edge's `weight` is 1 - prod(1 - p) over its channels: they fail independently. In an undirected graph
    source < target by position. INVARIANT: edges are sorted by (source, target), each once. Build one with
    `from_edges`, `from_arrays` or `from_networkx`: they sort, check and freeze what is given.

    Attributes:
        nodes: names, in the order of every array by node.
        source: position of each edge's start, shape (edges,).
        target: position of each edge's end.
        channels: probabilities by channel name, each of shape (edges,).
        quantities: what is known of the nodes, each of shape (nodes,): `consequence` weighs a node's failure
            (default 1), `load` and `capacity` are used by the load model.
        dropped: self-loops left out: a failed node cannot fail again.
    """

    nodes: tuple[Hashable, ...]
    directed: bool
    source: NDArray[np.int32]
    target: NDArray[np.int32]
    channels: Mapping[str, NDArray[np.float64]]
    quantities: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    dropped: int = 0

    @classmethod
    @takes(directed=TRUTH)
    def from_edges(
        cls,
        nodes: Iterable[Hashable],
        edges: Sequence[tuple[Hashable, Hashable]],
        weight: ArrayLike | Mapping[str, ArrayLike],
        *,
        directed: bool = False,
        quantities: Mapping[str, ArrayLike] | None = None,
    ) -> Graph:
        """Build a graph from named ends; parallel edges combine as independent causes.

        Args:
            nodes: names, each once.
            edges: pairs of names.
            weight: one probability per edge, or several by channel name.
            directed: whether a failure runs from the first name to the second only.
            quantities: by name (`consequence`, `load`, `capacity`), one value per node.

        Raises:
            RiskInputError: C0702 to C0706.
        """
        names = checked_names(nodes)
        if not is_row(edges) or not isinstance(edges, Collection):
            raise RiskInputError(f"`edges` are `{edges}`, expected pairs of names", code="C0703")
        position = {name: i for i, name in enumerate(names)}
        ends = np.empty((len(edges), 2), np.int32)
        for e, pair in enumerate(edges):
            if not isinstance(pair, Sequence | np.ndarray) or len(pair) != 2:
                raise RiskInputError(
                    f"edge {e} is `{pair}`, expected two names",
                    code="C0703",
                    hint="weights go apart: from_edges(nodes, [(a, b)], [0.5])",
                )
            for side in (0, 1):
                place = position.get(pair[side]) if is_name(pair[side]) else None
                if place is None:
                    raise RiskInputError(
                        f"edge `{pair[0]}` to `{pair[1]}` ends at `{pair[side]}`, expected one of the nodes",
                        code="C0703",
                        hint="list every node",
                    )
                ends[e, side] = place
        return cls.from_arrays(names, ends, weight, directed=directed, quantities=quantities)

    @classmethod
    @takes(directed=TRUTH)
    def from_arrays(
        cls,
        nodes: Iterable[Hashable],
        ends: ArrayLike,
        weight: ArrayLike | Mapping[str, ArrayLike],
        *,
        directed: bool = False,
        quantities: Mapping[str, ArrayLike] | None = None,
    ) -> Graph:
        """Build a graph as `from_edges` does, from positions: the fast way for a million edges.

        Args:
            nodes: names, each once.
            ends: shape (edges, 2), positions of both ends among the nodes.
            weight: one probability per edge, or several by channel name.
            directed: whether a failure runs from the first end to the second only.
            quantities: by name (`consequence`, `load`, `capacity`), one value per node.

        Raises:
            RiskInputError: C0702 to C0706.
        """
        names = checked_names(nodes)
        places = checked_ends(ends, len(names))
        given = weight if isinstance(weight, Mapping) else {WEIGHT: weight}
        if not given and len(places):
            raise RiskInputError("the edges have no channel, expected one or more", code="C0704")
        channels = {name: checked_weights(name, p, places, names) for name, p in given.items()}
        return cls._sorted(names, directed, places, channels, checked_quantities(quantities, names))

    @classmethod
    def _sorted(
        cls,
        names: tuple[Hashable, ...],
        directed: bool,
        ends: NDArray[np.int32],
        channels: dict[str, NDArray[np.float64]],
        quantities: dict[str, NDArray[np.float64]],
    ) -> Graph:
        source, target, merged = merged_edges(len(names), ends, channels, directed=directed)
        dropped = int((ends[:, 0] == ends[:, 1]).sum())
        return cls(names, directed, source, target, merged, quantities, dropped)

    @classmethod
    def from_networkx(
        cls, graph: nx.Graph, weight: str | Sequence[str] = WEIGHT, *, quantities: Sequence[str] = QUANTITIES
    ) -> Graph:
        """Take nodes, edges and their weights from a networkx graph, directed or not, multi or not.

        Args:
            graph: any networkx graph.
            weight: the edge attribute that holds the probability, or several: one channel each.
            quantities: node attributes to take along where a node has them; a node without `consequence`
                has 1, one without another is an error.

        Raises:
            RiskInputError: C0704 for an edge without the attribute or with one that is no probability, C0706
                likewise for nodes, C0701 for a graph that is changed while it is read.
        """
        if not all(hasattr(graph, name) for name in ("nodes", "edges", "is_directed")):
            raise RiskInputError(f"`{graph}` is no graph of networkx", code="C0701")
        names = (weight,) if isinstance(weight, str) else weight
        if not isinstance(names, Sequence) or not names or not all(map(is_name, names)):
            raise RiskInputError(f"`weight` is `{weight}`, expected names of attributes", code="C0704")
        try:
            nodes, edges = dict(graph.nodes(data=True)), list(graph.edges(data=True))
        except RuntimeError:
            raise RiskInputError(
                "the graph was changed while it was read", code="C0701", hint="hand in a copy: graph.copy()"
            ) from None
        values: dict[str, list[object]] = {name: [] for name in names}
        for u, v, attributes in edges:
            if not any(name in attributes for name in names):
                raise RiskInputError(
                    f"edge `{u}` to `{v}` has no `{names[0]}`, expected a probability in 0..1",
                    code="C0704",
                    hint="name the attribute that holds it: from_networkx(graph, weight=...)",
                )
            for name in names:
                values[name].append(attributes.get(name, 0.0))
        taken = {
            name: [known.get(name, 1.0 if name == "consequence" else None) for known in nodes.values()]
            for name in quantities
            if any(name in known for known in nodes.values())
        }
        return cls.from_edges(
            nodes,
            [(u, v) for u, v, _ in edges],
            {name: np.array(p, dtype=object) for name, p in values.items()},
            directed=bool(graph.is_directed()),
            quantities={name: np.array(q, dtype=object) for name, q in taken.items()},
        )

    def to_networkx(self) -> nx.Graph:
        """Give a networkx graph with the total in `weight` and each further channel under its name.

        Raises:
            RiskInputError: C0702, for a node `None`.
        """
        import networkx as nx  # an optional extra, needed here only

        if None in self.position:
            raise RiskInputError("networkx has no node `None`", code="C0702", hint="give it another name")
        graph = nx.DiGraph() if self.directed else nx.Graph()
        for i, node in enumerate(self.nodes):
            graph.add_node(node, **{name: float(q[i]) for name, q in self.quantities.items()})
        for e in range(len(self.source)):
            graph.add_edge(self.nodes[self.source[e]], self.nodes[self.target[e]], **self.attributes(e))
        return graph

    def attributes(self, edge: int) -> dict[str, float]:
        """Give an edge's channels by name, and its total as `weight`."""
        parts = {name: float(p[edge]) for name, p in self.channels.items()}
        return parts | {WEIGHT: float(self.weight[edge])}

    @cached_property
    def weight(self) -> NDArray[np.float64]:
        """Each edge's probability over all its channels, shape (edges,)."""
        if len(self.channels) == 1:
            return next(iter(self.channels.values()))
        spared = np.ones(len(self.source))
        for p in self.channels.values():
            spared *= 1.0 - p
        return frozen(1.0 - spared)

    @cached_property
    def position(self) -> Mapping[Hashable, int]:
        """Where each node stands in the arrays."""
        return {name: i for i, name in enumerate(self.nodes)}

    @cached_property
    def consequence(self) -> NDArray[np.float64]:
        """What each node's failure weighs, shape (nodes,); one each unless given."""
        given = self.quantities.get("consequence")
        return frozen(np.ones(len(self.nodes))) if given is None else given

    @cached_property
    def layout(self) -> Layout:
        """The edges as kernels pass them: 28 bytes an edge, 12 to 20 a node, for as long as the graph lives.

        Graphs of the same edges with other channels or quantities share it.
        """
        return layout_of(self)

    @cached_property
    def laid(self) -> Laid:
        """The layout and what it weighs: 8 bytes an edge and 8 a node more, shared with no other graph."""
        return laid_out(self)

    def _share_with(self, made: Graph) -> Graph:
        """Hand what is known of nodes and edges alone to a graph of the same, and give it."""
        vars(made).update({name: vars(self)[name] for name in ("position", "layout") if name in vars(self)})
        return made

    def index(self, node: Hashable) -> int:
        """Give a node's position.

        Raises:
            RiskInputError: C0702, if there is no such node.
        """
        place = self.position.get(node) if is_name(node) else None
        if place is None:
            raise RiskInputError(f"there is no node `{node}` in the graph", code="C0702")
        return place

    def edge(self, source: Hashable, target: Hashable) -> int:
        """Give the position of the edge between two nodes.

        Raises:
            RiskInputError: C0703, if there is no such edge.
        """
        a, b = self.index(source), self.index(target)
        if not self.directed and a > b:
            a, b = b, a
        first, last = np.searchsorted(self.source, [a, a + 1])
        at = first + np.searchsorted(self.target[first:last], b)
        if at == last or self.target[at] != b:
            raise RiskInputError(f"there is no edge from `{source}` to `{target}`", code="C0703")
        return int(at)

    def why(self, source: Hashable, target: Hashable) -> tuple[Cause, ...]:
        """Explain an edge's weight: its channels, the strongest first.

        The weight is 1 - prod(1 - probability) over them.
        """
        edge = self.edge(source, target)
        causes = [Cause(name, float(p[edge])) for name, p in self.channels.items() if p[edge] > 0]
        return tuple(sorted(causes, key=lambda cause: -cause.probability))

    def has_edge(self, source: Hashable, target: Hashable) -> bool:
        """Tell whether there is an edge between two nodes of the graph.

        Raises:
            RiskInputError: C0702, if there is no such node.
        """
        self.index(source), self.index(target)
        try:
            self.edge(source, target)
        except RiskInputError:
            return False
        return True

    def with_weight(self, weight: ArrayLike) -> Graph:
        """Give the same edges with other weights, in one channel; common random numbers stay in step.

        Raises:
            RiskInputError: C0704, for a weight that is no probability.
        """
        return self.with_channels({WEIGHT: weight})

    @takes(channels=BY_NAME)
    def with_channels(self, channels: Mapping[str, ArrayLike]) -> Graph:
        """Give the same edges with other channels; common random numbers stay in step.

        Raises:
            RiskInputError: C0704, for a weight that is no probability.
        """
        ends = np.stack([self.source, self.target], axis=1)
        checked = {name: frozen(checked_weights(name, p, ends, self.nodes)) for name, p in channels.items()}
        return self._share_with(replace(self, channels=checked))

    def with_quantities(self, quantities: Mapping[str, ArrayLike]) -> Graph:
        """Give the graph with other quantities of its nodes.

        Raises:
            RiskInputError: C0706.
        """
        return self._share_with(replace(self, quantities=checked_quantities(quantities, self.nodes)))

    def with_moved_load(self, moved: Mapping[tuple[Hashable, Hashable], float]) -> Graph:
        """Give the graph with load taken from some nodes and given to others, by (from, to).

        Raises:
            RiskInputError: C0702, or C0706 where there is no such load.
        """
        BY_NAME.check("moved", moved)
        if not moved:
            return self
        if "load" not in self.quantities:
            raise RiskInputError("load is to be moved, but the graph gives none", code="C0706")
        load = np.array(self.quantities["load"])
        for (source, target), amount in moved.items():
            load[self.index(source)] -= amount
            load[self.index(target)] += amount
        return self.with_quantities({**self.quantities, "load": load})

    def with_nodes(self, nodes: Iterable[Hashable]) -> Graph:
        """Give the graph with more nodes, without edges; their quantities are 0, their consequence 1.

        Raises:
            RiskInputError: C0702, for a node that is there already.
        """
        more = checked_names(nodes)
        names = checked_names((*self.nodes, *more))
        grown = {
            name: frozen(np.append(q, np.full(len(more), 1.0 if name == "consequence" else 0.0)))
            for name, q in self.quantities.items()
        }
        return replace(self, nodes=names, quantities=grown)

    def without_nodes(self, nodes: Iterable[Hashable]) -> Graph:
        """Give the graph without some nodes and their edges.

        Raises:
            RiskInputError: C0702, for a node that is not there.
        """
        stays = np.ones(len(self.nodes), np.bool_)
        stays[[self.index(node) for node in checked_names(nodes)]] = False
        place = np.cumsum(stays) - 1
        kept = stays[self.source] & stays[self.target]
        return replace(
            self,
            nodes=tuple(name for name, stay in zip(self.nodes, stays, strict=True) if stay),
            source=frozen(place[self.source[kept]].astype(np.int32)),
            target=frozen(place[self.target[kept]].astype(np.int32)),
            channels={name: frozen(p[kept]) for name, p in self.channels.items()},
            quantities={name: frozen(q[stays]) for name, q in self.quantities.items()},
        )

    @takes(edges=PAIRS)
    def with_edges(
        self, edges: Sequence[tuple[Hashable, Hashable]], weight: ArrayLike | Mapping[str, ArrayLike]
    ) -> Graph:
        """Give the graph with edges added or replaced: O(edges), without a look at the nodes' names.

        Args:
            edges: pairs of nodes; one that is there already gets the new weight in the channels given.
            weight: as `from_edges`. One weight without a name goes to the graph's first channel.

        Raises:
            RiskInputError: C0702 to C0705.
        """
        first = next(iter(self.channels), WEIGHT)
        given = weight if isinstance(weight, Mapping) else {first: weight}
        ends = np.array([(self.index(a), self.index(b)) for a, b in edges], np.int32).reshape(-1, 2)
        new = Graph._sorted(
            self.nodes,
            self.directed,
            ends,
            {name: checked_weights(name, p, ends, self.nodes) for name, p in given.items()},
            {},
        )
        if len(new.source) + new.dropped < len(edges):
            raise RiskInputError("an edge is given twice, expected each once", code="C0705")
        size = max(len(self.nodes), 1)
        here, there = (g.source.astype(np.int64) * size + g.target for g in (self, new))
        union = np.union1d(here, there)
        channels = {}
        for name in dict.fromkeys((*self.channels, *given)):
            p = np.zeros(len(union))
            if name in self.channels:
                p[np.searchsorted(union, here)] = self.channels[name]
            if name in new.channels:
                p[np.searchsorted(union, there)] = new.channels[name]
            channels[name] = frozen(p)
        source, target = frozen((union // size).astype(np.int32)), frozen((union % size).astype(np.int32))
        return replace(self, source=source, target=target, channels=channels)

    def to_directed(self) -> Graph:
        """Give the graph with each undirected edge as two: under percolation no node's risk changes.

        References:
            Kempe, Kleinberg, Tardos (2003), KDD: a cascade crosses an edge one way at most.
        """
        if self.directed:
            return self
        ends = np.concatenate(
            [np.stack([self.source, self.target], axis=1), np.stack([self.target, self.source], axis=1)]
        )
        channels = {name: np.concatenate([p, p]) for name, p in self.channels.items()}
        return Graph._sorted(self.nodes, True, ends, channels, dict(self.quantities))


GRAPH = Kind("a risk graph", Graph, code="C0701", hint="build one by Graph.from_networkx(graph)")
