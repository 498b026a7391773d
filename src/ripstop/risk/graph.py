"""The risk graph: agents, and how likely a failure at one end of an edge causes one at the other."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from numbers import Real
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ripstop.risk.errors import RiskInputError

if TYPE_CHECKING:
    import networkx as nx

S = TypeVar("S", bound=np.generic)
WEIGHT = "weight"
QUANTITIES = ("consequence", "load", "capacity")


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
        names = _checked_names(nodes)
        position = {name: i for i, name in enumerate(names)}
        ends = np.empty((len(edges), 2), np.int32)
        for e, pair in enumerate(edges):
            for side in (0, 1):
                place = position.get(pair[side])
                if place is None:
                    raise RiskInputError(
                        f"edge `{pair[0]}` to `{pair[1]}` ends at `{pair[side]}`, expected one of the nodes",
                        code="C0703",
                        hint="list every node",
                    )
                ends[e, side] = place
        return cls.from_arrays(names, ends, weight, directed=directed, quantities=quantities)

    @classmethod
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
        names = _checked_names(nodes)
        places = _checked_ends(ends, len(names))
        given = weight if isinstance(weight, Mapping) else {WEIGHT: weight}
        channels = {name: _checked_weights(name, p, places, names) for name, p in given.items()}
        return cls._sorted(names, directed, places, channels, _checked_quantities(quantities or {}, names))

    @classmethod
    def _sorted(
        cls,
        names: tuple[Hashable, ...],
        directed: bool,
        ends: NDArray[np.int32],
        channels: dict[str, NDArray[np.float64]],
        quantities: dict[str, NDArray[np.float64]],
    ) -> Graph:
        if not directed:
            ends = np.sort(ends, axis=1)
        kept = ends[:, 0] != ends[:, 1]
        code = ends[kept, 0].astype(np.int64) * max(len(names), 1) + ends[kept, 1]
        unique, place = np.unique(code, return_inverse=True)
        merged = {}
        for name, p in channels.items():
            spared = np.ones(len(unique))
            np.multiply.at(spared, place, 1.0 - p[kept])
            single = np.bincount(place, minlength=len(unique)) == 1
            alone = np.zeros(len(unique))
            alone[place] = p[kept]
            # An edge that stands once keeps its weight to the last bit.
            merged[name] = _frozen(np.where(single, alone, 1.0 - spared))
        return cls(
            names,
            directed,
            _frozen((unique // max(len(names), 1)).astype(np.int32)),
            _frozen((unique % max(len(names), 1)).astype(np.int32)),
            merged,
            quantities,
            int((~kept).sum()),
        )

    @classmethod
    def from_networkx(
        cls, graph: nx.Graph, weight: str | Sequence[str] = WEIGHT, *, quantities: Sequence[str] = QUANTITIES
    ) -> Graph:
        """Take nodes, edges and their weights from a networkx graph, directed or not, multi or not.

        Args:
            graph: any networkx graph.
            weight: the edge attribute that holds the probability, or several: one channel each.
            quantities: node attributes to take along where every node has them.

        Raises:
            RiskInputError: C0704 for an edge without the attribute or with one that is no probability.
        """
        names = (weight,) if isinstance(weight, str) else tuple(weight)
        edges = list(graph.edges(data=True))
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
            name: [graph.nodes[node][name] for node in graph]
            for name in quantities
            if len(graph) and all(name in graph.nodes[node] for node in graph)
        }
        return cls.from_edges(
            graph.nodes,
            [(u, v) for u, v, _ in edges],
            {name: np.array(p, dtype=object) for name, p in values.items()},
            directed=bool(graph.is_directed()),
            quantities={name: np.array(q, dtype=object) for name, q in taken.items()},
        )

    def to_networkx(self) -> nx.Graph:
        """Give a networkx graph with the total in `weight` and each further channel under its name."""
        import networkx as nx  # an optional extra, needed here only

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
        return _frozen(1.0 - spared)

    @cached_property
    def position(self) -> Mapping[Hashable, int]:
        """Where each node stands in the arrays."""
        return {name: i for i, name in enumerate(self.nodes)}

    @cached_property
    def consequence(self) -> NDArray[np.float64]:
        """What each node's failure weighs, shape (nodes,); one each unless given."""
        given = self.quantities.get("consequence")
        return _frozen(np.ones(len(self.nodes))) if given is None else given

    def index(self, node: Hashable) -> int:
        """Give a node's position.

        Raises:
            RiskInputError: C0702, if there is no such node.
        """
        place = self.position.get(node)
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

    def with_weight(self, weight: ArrayLike) -> Graph:
        """Give the same edges with other weights, in one channel; common random numbers stay in step.

        Raises:
            RiskInputError: C0704, for a weight that is no probability.
        """
        ends = np.stack([self.source, self.target], axis=1)
        channels = {WEIGHT: _frozen(_checked_weights(WEIGHT, weight, ends, self.nodes))}
        return replace(self, channels=channels)


def _frozen(array: NDArray[S]) -> NDArray[S]:
    array.setflags(write=False)
    return array


def _checked_names(nodes: Iterable[Hashable]) -> tuple[Hashable, ...]:
    names = tuple(nodes)
    seen: set[Hashable] = set()
    for name in names:
        if name in seen:
            raise RiskInputError(f"node `{name}` stands twice", code="C0702", hint="give each node once")
        seen.add(name)
    return names


def _as_numbers(values: ArrayLike) -> NDArray[np.float64]:
    """Give the values as floats; what is no number becomes NaN, which no check lets pass."""
    try:
        given = np.asarray(values)
    except ValueError:
        return np.full(len(values) if isinstance(values, Sequence) else 0, np.nan)
    if given.dtype.kind in "iuf":
        return np.array(given, np.float64)
    return np.array([_as_number(value) for value in given.ravel().tolist()], np.float64).reshape(given.shape)


def _as_number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _checked_ends(ends: ArrayLike, n: int) -> NDArray[np.int32]:
    places = np.asarray(ends)
    if places.size == 0:
        return np.zeros((0, 2), np.int32)
    if places.ndim != 2 or places.shape[1] != 2 or places.dtype.kind not in "iu":
        raise RiskInputError(
            f"`ends` has shape {places.shape}, expected whole numbers, two for each edge", code="C0703"
        )
    wrong = np.flatnonzero(((places < 0) | (places >= n)).any(axis=1))
    if len(wrong):
        raise RiskInputError(
            f"edge {wrong[0]} has ends {places[wrong[0]].tolist()}, expected positions in 0..{n - 1}",
            code="C0703",
        )
    return places.astype(np.int32)


def _checked_weights(
    name: str, values: ArrayLike, ends: NDArray[np.int32], names: tuple[Hashable, ...]
) -> NDArray[np.float64]:
    p = _as_numbers(values)
    if p.shape != (len(ends),):
        raise RiskInputError(
            f"`{name}` has shape {p.shape}, expected one weight for each of {len(ends)} edges", code="C0704"
        )
    wrong = np.flatnonzero(~((p >= 0.0) & (p <= 1.0)))
    if len(wrong):
        first = int(wrong[0])
        source, target = (names[i] for i in ends[first])
        raise RiskInputError(
            f"edge `{source}` to `{target}` has `{name}` {_shown(values, first)}, "
            "expected a probability in 0..1",
            code="C0704",
            hint="a weight is the probability that a failure at one end causes one at the other",
        )
    return p


def _shown(values: ArrayLike, at: int) -> str:
    value = np.asarray(values, dtype=object)[at]
    return f"{value:g}" if isinstance(value, float) else f"`{value}`"


def _checked_quantities(
    quantities: Mapping[str, ArrayLike], names: tuple[Hashable, ...]
) -> dict[str, NDArray[np.float64]]:
    checked = {}
    for name, values in quantities.items():
        if name not in QUANTITIES:
            raise RiskInputError(
                f"`{name}` is not known of a node, expected one of {', '.join(QUANTITIES)}", code="C0706"
            )
        q = _as_numbers(values)
        if q.shape != (len(names),):
            raise RiskInputError(
                f"`{name}` has shape {q.shape}, expected one value for each of {len(names)} nodes",
                code="C0706",
            )
        wrong = np.flatnonzero(~(np.isfinite(q) & (q >= 0.0)))
        if len(wrong):
            first = int(wrong[0])
            raise RiskInputError(
                f"node `{names[first]}` has `{name}` {_shown(values, first)}, "
                "expected a finite number, 0 or more",
                code="C0706",
            )
        checked[name] = _frozen(q)
    return checked
