from __future__ import annotations

import networkx as nx
import pytest

from ripstop.risk import Graph, GraphMitigation, RiskInputError, assess, cheapest, compare_graph
from ripstop.risk.whatif import paired_change


def ring(n: int = 12, weight: float = 0.8) -> Graph:
    graph = nx.cycle_graph(n)
    nx.set_edge_attributes(graph, weight, "load")
    nx.set_edge_attributes(graph, 0.1, "radio")
    return Graph.from_networkx(graph, weight=("load", "radio"))


def test_each_mitigation_is_assessed_as_if_alone_in_the_same_worlds() -> None:
    graph = ring()
    measures = [
        GraphMitigation(name="isolate 3", isolated=frozenset({3})),
        GraphMitigation(name="cut 0-1", cut=frozenset({(1, 0)})),
        GraphMitigation(name="shed load", shed={"load": 0.25}),
        GraphMitigation(name="shed around 6", shed={"load": 0.0}, shed_around=frozenset({6})),
    ]
    effects = compare_graph(graph, measures, theta=0.4, trials=800, seed=2)
    nothing = effects[0]
    assert nothing.report.hits.tolist() == assess(graph, theta=0.4, trials=800, seed=2).hits.tolist()
    for effect in effects[1:]:
        assert (effect.report.hits <= nothing.report.hits).all()
        assert effect.report.hits.sum() < nothing.report.hits.sum()
        for change, before, after in zip(
            effect.changes, nothing.report.probability, effect.report.probability, strict=True
        ):
            assert change.reduction == pytest.approx(before - after)
            assert change.low <= change.reduction <= change.high


def test_shedding_works_on_its_channel_alone() -> None:
    graph = GraphMitigation(shed={"load": 0.5}).apply(ring(weight=0.8))
    assert graph.weight.tolist() == pytest.approx([1 - 0.6 * 0.9] * 12)


def test_measures_on_what_is_not_there_are_refused() -> None:
    for measure, code in (
        (GraphMitigation(isolated=frozenset({99})), "C0702"),
        (GraphMitigation(cut=frozenset({(0, 6)})), "C0703"),
        (GraphMitigation(shed={"smell": 0.5}), "C0715"),
        (GraphMitigation(shed={"load": 2.0}), "C0715"),
    ):
        with pytest.raises(RiskInputError) as caught:
            measure.apply(ring())
        assert caught.value.code == code


def test_a_paired_change_counts_what_was_saved_less_what_was_spoiled() -> None:
    change = paired_change(30, 10, 100)
    assert change.reduction == pytest.approx(0.2)
    assert change.low < 0.2 < change.high
    assert paired_change(0, 0, 100).high < 0.06


def test_candidates_may_add_the_same_edge_and_leave_all_others_to_the_bit() -> None:
    graph = Graph.from_edges("abc", [("a", "b"), ("b", "c")], [0.1, 1e-18])
    one, other = (
        GraphMitigation(name=name, added={ends: 0.3}) for name, ends in (("x", ("a", "c")), ("y", ("c", "a")))
    )
    nothing, first, second = compare_graph(graph, [one, other])
    assert first.report.hits.tolist() == second.report.hits.tolist() != nothing.report.hits.tolist()
    assert cheapest(graph, [one, other], 0.9).reached
    grown = one.apply(graph)
    assert grown.weight[grown.edge("a", "b")] == 0.1
    assert grown.weight[grown.edge("b", "c")] == 1e-18
