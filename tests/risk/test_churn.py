from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from ripstop.risk import Graph, RiskInputError, assess


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
    fresh = Graph.from_networkx(source)
    assert graph.nodes == fresh.nodes
    assert graph.source.tolist() == fresh.source.tolist()
    assert graph.weight.tolist() == fresh.weight.tolist()
    assert assess(graph, seed=3).hits.tolist() == assess(fresh, seed=3).hits.tolist()


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
