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
    Settings,
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


def two_roads() -> Graph:
    return Graph.from_edges(
        "sabt", [("s", "a"), ("s", "b"), ("a", "t"), ("b", "t")], [1.0] * 4, directed=True
    )


def test_two_measures_that_help_only_together_are_found() -> None:
    graph = two_roads()
    candidates = cut_each([("a", "t"), ("b", "t"), ("s", "a"), ("s", "b")])
    chosen = cheapest(graph, candidates, 0.1, watched=["s"], ask=lambda g: assess(g, theta=0.75))
    assert chosen.reached
    assert len(chosen.measures) == 1  # s, a and b are three of four
    far = graph.with_quantities({"consequence": [0, 0, 0, 1]})
    chosen = cheapest(far, candidates, 0.1, watched=["s"])
    assert chosen.reached
    assert len(chosen.measures) == 2
    many = Graph.from_edges(
        [*far.nodes, *range(200)],
        [("s", "a"), ("s", "b"), ("a", "t"), ("b", "t")],
        [1.0] * 4,
        directed=True,
        quantities={"consequence": [0, 0, 0, 1] + [0] * 200},
    )
    more = (*candidates, *isolate_each(range(200)))  # too many sets to try them all
    assert cheapest(many, more, 0.1, watched=["s"]).reached
    assert not cheapest(many, more, 0.1, watched=["s"], limits=Limits(measures=1)).reached


@pytest.mark.parametrize("seed", range(8))
def test_the_chosen_set_and_the_critical_nodes_are_the_best_on_small_graphs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    source = nx.gnm_random_graph(6, 9, seed=seed, directed=bool(seed % 2))
    for ends in source.edges:
        source.edges[ends]["weight"] = float(rng.choice([0.3, 0.6, 0.9, 1.0]))
    graph = Graph.from_networkx(source)
    candidates = [
        GraphMitigation(isolated=frozenset({node}), cost=float(rng.integers(1, 5))) for node in graph.nodes
    ]
    sets = [s for r in range(4) for s in itertools.combinations(candidates, r)]
    enough = [sum(m.cost for m in some) for some in sets if _worst(graph, some) <= 0.2]
    chosen = cheapest(graph, candidates, 0.2, limits=Limits(measures=3))
    assert chosen.reached == bool(enough)
    assert not enough or chosen.cost == min(enough)

    def loss(measures: tuple[GraphMitigation, ...]) -> float:
        changed = graph
        for measure in measures:
            changed = measure.apply(changed)
        share = assess(changed, trials=512, settings=Settings(expected=True)).expected_share
        assert share is not None
        return float(share.mean())

    least = min(loss(pair) for pair in itertools.combinations(candidates, 2))
    assert most_critical(graph, 2)[-1].loss == pytest.approx(least)
