from __future__ import annotations

import itertools

import networkx as nx
import numpy as np
import pytest

from ripstop.risk import (
    Graph,
    GraphMitigation,
    Limits,
    RiskInputError,
    assess,
    cheapest,
    compare_graph,
    cut_each,
    isolate_each,
    most_critical,
)


def barbell() -> Graph:
    source = nx.barbell_graph(5, 1)
    nx.set_edge_attributes(source, 0.9, "weight")
    return Graph.from_networkx(source)


def test_the_bridge_is_what_matters_most() -> None:
    found = most_critical(barbell(), 2)
    assert found[0].name in {4, 5, 6}
    assert found[0].saved > 0.1
    assert found[1].loss <= found[0].loss
    links = most_critical(barbell(), 1, links=True)
    assert set(links[0].name) in ({4, 5}, {5, 6})


def test_the_cheapest_set_that_is_enough_is_found_as_by_trying_all() -> None:
    graph = barbell()
    costs = [3.0, 1.0, 2.5, 2.0]
    candidates = [
        GraphMitigation(name=str(i), cut=cut.cut, cost=cost)
        for i, (cut, cost) in enumerate(zip(cut_each([(4, 5), (5, 6), (0, 1), (7, 8)]), costs, strict=True))
    ]
    chosen = cheapest(graph, candidates, 0.1, limits=Limits(cost=10))
    assert chosen.reached
    best = min(  # the only set of its cost
        (sum(m.cost for m in subset), {m.name for m in subset})
        for r in range(5)
        for subset in itertools.combinations(candidates, r)
        if _worst(graph, subset) <= 0.1
    )
    assert (chosen.cost, {m.name for m in chosen.measures}) == best
    assert chosen.risk == float(chosen.report.high.max())


def _worst(graph: Graph, measures: tuple[GraphMitigation, ...]) -> float:
    for measure in measures:
        graph = measure.apply(graph)
    return float(assess(graph).high.max())


def test_limits_are_kept_and_what_is_not_reached_is_said() -> None:
    candidates = isolate_each([0, 1, 2, 8, 9])
    chosen = cheapest(barbell(), candidates, 0.01, limits=Limits(measures=2))
    assert not chosen.reached
    assert len(chosen.measures) <= 2
    assert cheapest(barbell(), candidates, 1.0).measures == ()
    none = cheapest(barbell(), (), 0.5)
    assert not none.reached
    assert none.measures == ()


def test_only_the_watched_nodes_count() -> None:
    graph = barbell()
    chosen = cheapest(graph, isolate_each(graph.nodes), 0.05, watched=[0])
    assert chosen.reached
    assert chosen.measures[0].isolated == {0}


@pytest.mark.parametrize(
    "bad", [lambda: Limits(cost=-1), lambda: Limits(cost=float("nan")), lambda: Limits(evaluations=0)]
)
def test_limits_that_make_no_sense_are_refused(bad: object) -> None:
    with pytest.raises(RiskInputError) as caught:
        bad()
    assert caught.value.code == "C0732"


def test_rewiring_a_star_and_moving_load() -> None:
    ring = nx.cycle_graph(8)
    nx.set_edge_attributes(ring, 0.9, "weight")
    graph = Graph.from_networkx(ring)
    star = GraphMitigation(name="star", hub=0)
    rewired = GraphMitigation(name="re-wire", cut=frozenset({(3, 4)}), added={(3, 0): 0.9})
    nothing, starred, wired = compare_graph(graph, [star, rewired], theta=0.3, trials=2000, seed=1)
    assert starred.report.hits.sum() < nothing.report.hits.sum()
    # Room for the new edge renumbers nothing: doing nothing in it is the plain graph with one dead edge.
    assert nothing.report.probability.mean() == pytest.approx(
        assess(graph, theta=0.3, trials=2000).probability.mean(), abs=0.02
    )
    assert wired.changes[0].low <= wired.changes[0].reduction <= wired.changes[0].high
    nx.set_node_attributes(ring, 1.0, "load")
    loaded = Graph.from_networkx(ring)
    moved = GraphMitigation(moved={(0, 1): 0.5}).apply(loaded)
    assert moved.quantities["load"][:2].tolist() == [0.5, 1.5]
    for measure, code in (
        (GraphMitigation(moved={(0, 1): 2.0}), "C0706"),
        (GraphMitigation(hub=99), "C0702"),
        (GraphMitigation(added={(0, 99): 0.5}), "C0702"),
        (GraphMitigation(added={(0, 4): 1.5}), "C0704"),
    ):
        with pytest.raises(RiskInputError) as caught:
            measure.apply(loaded)
        assert caught.value.code == code
    with pytest.raises(RiskInputError):
        GraphMitigation(cost=-1.0)
    with pytest.raises(RiskInputError):
        GraphMitigation(moved={(0, 1): 1.0}).apply(graph)


def test_measures_add_up_and_keep_their_channels() -> None:
    graph = Graph.from_edges("abc", [("a", "b"), ("b", "c")], {"load": [0.5, 0.5], "radio": [0.2, 0.2]})
    once = GraphMitigation(shed={"load": 0.5}).apply(graph)
    twice = GraphMitigation(shed={"load": 0.5}).apply(once)
    assert twice.channels["load"].tolist() == [0.125, 0.125]
    assert np.array_equal(twice.channels["radio"], graph.channels["radio"])
