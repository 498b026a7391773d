from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from ripstop.risk import Graph, GraphMitigation, RiskInputError, assess
from ripstop.risk.layout import FAR


@pytest.mark.parametrize("directed", [False, True])
def test_a_graph_under_churn_is_the_graph_built_anew(directed: bool) -> None:
    rng = np.random.default_rng(4)
    source = nx.gnm_random_graph(20, 50, seed=2, directed=directed)
    for _, _, d in source.edges(data=True):
        d["weight"] = float(rng.uniform())
    graph = Graph.from_networkx(source)
    for step in range(30):
        u, v = (int(x) for x in rng.choice(list(source), 2, replace=False))
        if step % 3 == 0:
            source.remove_node(u)
            graph = graph.without_nodes([u])
        elif step % 3 == 1:
            source.add_edge(u, v, weight=0.5)
            graph = graph.with_edges([(u, v)], [0.5])
        else:
            source.add_edge(100 + step, u, weight=0.25)
            graph = graph.with_nodes([100 + step]).with_edges([(100 + step, u)], [0.25])
        # Asked in between, so that every graph but the first comes from one that is laid out already.
        fresh = Graph.from_networkx(source)
        assert (
            assess(graph, theta=0.3, seed=3).hits.tolist() == assess(fresh, theta=0.3, seed=3).hits.tolist()
        )
    assert graph.nodes == fresh.nodes
    assert graph.source.tolist() == fresh.source.tolist()
    assert graph.weight.tolist() == fresh.weight.tolist()


def built_anew(graph: Graph) -> Graph:
    ends = np.stack([graph.source, graph.target], axis=1)
    return Graph.from_arrays(
        graph.nodes, ends, dict(graph.channels), directed=graph.directed, quantities=dict(graph.quantities)
    )


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("nodes", [20, FAR])
def test_what_is_kept_of_a_graph_answers_for_no_other(directed: bool, nodes: int) -> None:
    source = nx.gnm_random_graph(nodes, 4 * nodes, seed=2, directed=directed)
    nx.set_edge_attributes(source, 0.2, "weight")
    graph = Graph.from_networkx(source)
    asked = {"theta": 0.3, "trials": 128, "seed": 1}
    before = assess(graph, **asked)  # type: ignore[arg-type]
    heavy = graph.with_quantities({"consequence": np.arange(nodes) % 7, "load": np.ones(nodes)})
    assess(heavy, **asked)  # type: ignore[arg-type]
    others = {
        "weights": graph.with_weight(graph.weight / 2),
        "channels": graph.with_channels({"a": graph.weight / 2, "b": graph.weight / 3}),
        "consequences": heavy,
        "even": heavy.with_quantities({}),
        "moved": heavy.with_moved_load({(0, 1): 0.5}),
        "edges": graph.with_edges([(0, nodes - 1), (1, nodes - 2)], [1.0, 1.0]),
        "fewer": graph.without_nodes([0, 1, 2]),
        "more": graph.with_nodes(["new"]).with_edges([("new", 5)], [1.0]),
        "isolated": GraphMitigation(isolated=frozenset({0, 3})).apply(graph),
    }
    others |= {} if directed else {"both ways": graph.to_directed()}
    for name, other in others.items():
        kept, anew = assess(other, **asked), assess(built_anew(other), **asked)  # type: ignore[arg-type]
        assert kept.hits.tolist() == anew.hits.tolist(), name
        assert other.laid is not graph.laid, name
    same = {name for name, other in others.items() if other.layout is graph.layout}
    assert same == {"weights", "channels", "consequences", "even", "moved", "isolated"}
    assert assess(graph, **asked).hits.tolist() == before.hits.tolist()  # type: ignore[arg-type]


def test_channels_and_quantities_follow() -> None:
    graph = Graph.from_edges("ab", [("a", "b")], {"load": [0.5]}, quantities={"consequence": [2, 3]})
    more = graph.with_nodes("c").with_edges([("b", "c"), ("a", "b")], {"radio": [0.1, 0.2]})
    assert more.quantities["consequence"].tolist() == [2, 3, 1]
    assert more.channels["load"].tolist() == [0.5, 0.0]
    assert more.channels["radio"].tolist() == [0.2, 0.1]
    less = more.without_nodes("a")
    assert (less.nodes, less.quantities["consequence"].tolist()) == (("b", "c"), [3, 1])


def test_both_ways_are_as_likely_as_the_undirected_edge() -> None:
    source = nx.cycle_graph(6)
    nx.set_edge_attributes(source, 0.7, "weight")
    graph = Graph.from_networkx(source)
    one, two = (assess(g, theta=0.6, trials=20_000, seed=1) for g in (graph, graph.to_directed()))
    # Two proportions, standard error at most 0.005; five of them.
    assert np.abs(one.probability - two.probability).max() < 0.025
    assert graph.to_directed().to_directed() is not graph


def test_what_does_not_fit_is_refused() -> None:
    graph = Graph.from_edges("ab", [("a", "b")], [0.5])
    for call, code in (
        (lambda: graph.with_nodes("a"), "C0702"),
        (lambda: graph.without_nodes("z"), "C0702"),
        (lambda: graph.with_edges([("a", "z")], [0.5]), "C0702"),
        (lambda: graph.with_edges([("a", "b")], [1.5]), "C0704"),
        (lambda: graph.with_edges([("a", "b"), ("b", "a")], [0.5, 0.5]), "C0705"),
    ):
        with pytest.raises(RiskInputError) as caught:
            call()
        assert caught.value.code == code
