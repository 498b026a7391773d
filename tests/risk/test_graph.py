from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from ripstop.risk import (
    Budget,
    Graph,
    RiskInputError,
    Settings,
    assess,
    assess_within,
    fleet_risk,
    graph_from_json,
    graph_to_json,
    parse_graph,
    read_graph,
)


def code_of(call: object, *args: object, **kwargs: object) -> str:
    with pytest.raises(RiskInputError) as caught:
        call(*args, **kwargs)  # type: ignore[operator]
    text = str(caught.value)
    assert "\n" not in text
    assert not caught.value.message.endswith(".")
    return caught.value.code


def pair(weight: object) -> nx.Graph:
    graph = nx.Graph()
    graph.add_edge("a", "b", weight=weight)
    return graph


@pytest.mark.parametrize(
    "weight", [-0.1, 1.1, math.nan, math.inf, -math.inf, None, "0.5", True, 10**400, [0.5], 1 + 0j]
)
def test_a_weight_that_is_no_probability_is_refused(weight: object) -> None:
    assert code_of(Graph.from_networkx, pair(weight)) == "C0704"


def test_an_edge_without_the_attribute_is_refused_not_taken_for_certain() -> None:
    assert code_of(Graph.from_networkx, nx.path_graph(3)) == "C0704"


def test_a_self_loop_is_left_out_and_reported() -> None:
    graph = pair(0.5)
    graph.add_edge("a", "a", weight=0.9)
    report = assess(Graph.from_networkx(graph), theta=0.5, trials=100)
    assert (
        report.probability.tolist() == assess(Graph.from_networkx(pair(0.5)), trials=100).probability.tolist()
    )
    assert "self-loop" in report.notes[0]


def test_parallel_edges_of_a_multigraph_are_independent_causes() -> None:
    graph = nx.MultiGraph()
    graph.add_edges_from([("a", "b", {"weight": 0.5}), ("b", "a", {"weight": 0.2})])
    assert Graph.from_networkx(graph).weight.tolist() == [pytest.approx(0.6)]


def test_a_single_edge_keeps_its_weight_to_the_last_bit() -> None:
    for weight in (0.1, 1e-12, 1 - 2**-53):
        assert Graph.from_networkx(pair(weight)).weight.tolist() == [weight]


def test_channels_combine_and_explain_themselves() -> None:
    graph = Graph.from_edges(
        ["a", "b", "c"], [("b", "a"), ("b", "c")], {"load": [0.3, 0.0], "radio": [0.1, 0.2]}
    )
    assert graph.weight[graph.edge("a", "b")] == pytest.approx(1 - 0.7 * 0.9)
    assert [(c.channel, c.probability) for c in graph.why("a", "b")] == [("load", 0.3), ("radio", 0.1)]
    assert [c.channel for c in graph.why("c", "b")] == ["radio"]
    assert code_of(graph.why, "a", "c") == "C0703"
    assert code_of(graph.why, "a", "z") == "C0702"


def test_isolated_nodes_and_disconnected_fleets_have_their_own_answers() -> None:
    graph = nx.Graph()
    graph.add_nodes_from("abcd")
    graph.add_edge("a", "b", weight=1.0)
    report = assess(Graph.from_networkx(graph), theta=0.25, trials=10)
    assert report.probability.tolist() == [1.0, 1.0, 0.0, 0.0]


def test_an_empty_graph_gives_an_empty_report_and_one_node_is_its_own_fleet() -> None:
    for model in ("percolation", "threshold", "load"):
        for directed in (nx.Graph, nx.DiGraph):
            empty = assess(Graph.from_networkx(directed()), trials=10, model=model)
            assert (len(empty), empty.ranking()) == (0, ())
            one = directed()
            one.add_node("a")
            assert assess(Graph.from_networkx(one), trials=10, model=model).probability.tolist() == [1.0]
            alone = assess(Graph.from_networkx(one), theta=1.0, trials=10, model=model)
            assert alone.probability.tolist() == [0.0]


def test_theta_zero_is_certain_and_theta_one_impossible() -> None:
    graph = Graph.from_networkx(pair(1.0))
    for expected in (False, True):
        settings = Settings(expected=expected)
        assert assess(graph, theta=0, trials=70, settings=settings).probability.tolist() == [1.0, 1.0]
        assert assess(graph, theta=1, trials=70, settings=settings).probability.tolist() == [0.0, 0.0]


def test_certain_and_impossible_edges_are_exact() -> None:
    path = nx.path_graph(40)
    nx.set_edge_attributes(path, 1.0, "weight")
    assert assess(Graph.from_networkx(path), theta=0.99, trials=130).hits.tolist() == [130] * 40
    path[19][20]["weight"] = 0.0
    assert assess(Graph.from_networkx(path), theta=0.5, trials=130).hits.tolist() == [0] * 40


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"theta": 1.5}, "C0711"),
        ({"theta": math.nan}, "C0711"),
        ({"theta": "half"}, "C0711"),
        ({"trials": 0}, "C0712"),
        ({"trials": 2.5}, "C0712"),
        ({"seed": -1}, "C0713"),
        ({"seed": 2**64}, "C0713"),
        ({"model": "magic"}, "C0714"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(given: dict[str, object], code: str) -> None:
    assert code_of(assess, Graph.from_networkx(pair(0.5)), **given) == code


def test_settings_that_make_no_sense_are_refused() -> None:
    for given in (
        {"confidence": 1.0},
        {"threshold": 0.0},
        {"workers": 0},
        {"spread": -1.0},
        {"tolerance": math.nan},
    ):
        assert code_of(Settings, **given) == "C0715"


def test_nodes_and_quantities_are_checked() -> None:
    assert code_of(Graph.from_edges, ["a", "a"], [], []) == "C0702"
    assert code_of(Graph.from_edges, ["a"], [("a", "b")], [0.5]) == "C0703"
    assert code_of(Graph.from_edges, ["a", "b"], [("a", "b")], [0.5, 0.5]) == "C0704"
    for values in ([1.0], [1.0, -1.0], [1.0, math.inf], ["x", 1.0]):
        assert code_of(Graph.from_edges, ["a", "b"], [], [], quantities={"consequence": values}) == "C0706"
    for ends in ([[0, 2]], [[-1, 0]], [0, 1], [[0.0, 1.0]]):
        assert code_of(Graph.from_arrays, ["a", "b"], ends, [0.5]) == "C0703"
    assert code_of(Graph.from_edges, ["a"], [], [], quantities={"mood": [1.0]}) == "C0706"
    nothing = Graph.from_edges(["a", "b"], [], [], quantities={"consequence": [0.0, 0.0]})
    assert code_of(assess, nothing) == "C0706"


def test_a_graph_cannot_change_while_it_is_read() -> None:
    graph = Graph.from_networkx(pair(0.5))
    for array in (graph.source, graph.target, graph.weight):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_networkx_gets_back_what_it_gave() -> None:
    for kind in (nx.Graph, nx.DiGraph):
        source = nx.gnm_random_graph(12, 30, seed=1, directed=kind is nx.DiGraph)
        nx.set_edge_attributes(source, {e: (i + 1) / 64 for i, e in enumerate(source.edges)}, "weight")
        back = Graph.from_networkx(source).to_networkx()
        assert nx.utils.graphs_equal(back, source)


def test_json_reads_back_what_it_wrote(tmp_path: Path) -> None:
    graph = Graph.from_edges(
        ["a", "b", 3],
        [("b", "a"), ("b", 3)],
        {"load": [0.3, 0.0], "radio": [0.1, 0.2]},
        directed=True,
        quantities={"consequence": [1.0, 2.0, 0.5]},
    )
    file = tmp_path / "graph.json"
    file.write_text(json.dumps(graph_to_json(graph)))
    again = read_graph(file)
    assert again.nodes == graph.nodes
    assert graph_to_json(again) == graph_to_json(graph)


def test_what_networkx_writes_as_node_link_data_is_read() -> None:
    for kind in (nx.Graph, nx.DiGraph, nx.MultiGraph):
        source = kind()
        source.add_node("x", colour="red", load=1.0)
        source.add_edge("x", "y", weight=0.25)
        source.nodes["y"]["load"] = 2.0
        graph = graph_from_json(nx.node_link_data(source, edges="links"))
        assert (graph.nodes, graph.weight.tolist()) == (("x", "y"), [0.25])
        assert graph.quantities["load"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "C0701"),
        ("{", "C0701"),
        ("[]", "C0701"),
        ("[" * 100_000, "C0701"),
        ('{"edges": [], "edges": []}', "C0701"),
        ('{"edges": [["a", "b", NaN]]}', "C0701"),
        ('{"edges": {}}', "C0701"),
        ('{"edges": [], "direced": true}', "C0701"),
        ('{"edges": [], "directed": "yes"}', "C0701"),
        ('{"edges": [["a", "b"]]}', "C0703"),
        ('{"edges": [{"source": "a"}]}', "C0703"),
        ('{"edges": [{"source": "a", "target": "b"}]}', "C0704"),
        ('{"edges": [{"source": "a", "target": "b", "weight": 0.1, "channels": {"x": 0.1}}]}', "C0704"),
        ('{"edges": [{"source": "a", "target": "b", "channels": {}}]}', "C0704"),
        ('{"edges": [["a", "b", 2]]}', "C0704"),
        ('{"edges": [["a", "b", "0.5"]]}', "C0704"),
        ('{"edges": [["a", "b", 1e999]]}', "C0704"),
        ('{"edges": [["a", "b", 0.5], ["b", "a", 0.5]]}', "C0705"),
        ('{"nodes": ["a"], "edges": [["a", "b", 0.5]]}', "C0703"),
        ('{"nodes": ["a", "a"], "edges": []}', "C0702"),
        ('{"nodes": [null], "edges": []}', "C0702"),
        ('{"nodes": [{"id": "a", "consequence": -1}], "edges": []}', "C0706"),
        ('{"nodes": [{"id": "a", "load": 1}, "b"], "edges": []}', "C0706"),
    ],
)
def test_a_file_that_is_no_graph_is_refused_with_a_code(text: str, code: str) -> None:
    assert code_of(parse_graph, text, "graph.json") == code


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b'{"edges": [["\xe9", "b", 0.5]]}')
    for name in ("missing.json", "latin", "."):
        assert code_of(read_graph, tmp_path / name) == "C0701"


def test_a_report_ranks_looks_up_and_writes_json() -> None:
    graph = Graph.from_edges(["a", "b", "c"], [("a", "b"), ("b", "c")], [0.9, 0.1], directed=True)
    report = assess(graph, theta=0.5, trials=500, seed=3, settings=Settings(expected=True, threshold=0.5))
    ranking = report.ranking()
    assert [line.node for line in ranking] == ["a", "b", "c"]
    assert report.of("a") == ranking[0]
    assert code_of(report.of, "z") == "C0702"
    written = json.loads(json.dumps(report.to_json()))
    assert [row["standing"] for row in written["nodes"]] == ["above", "below", "below"]
    assert np.all((report.low <= report.probability) & (report.probability <= report.high))


def test_a_networkx_graph_that_changes_while_it_is_read_is_refused() -> None:
    class Growing(nx.Graph):  # type: ignore[type-arg]  # networkx has no types
        def nodes_that_grow(self) -> Iterator[tuple[int, dict[str, object]]]:
            for node in self._node:
                self.add_node(node + 100)
                yield node, {}

        def nodes(self, data: bool = False) -> Iterator[tuple[int, dict[str, object]]]:  # type: ignore[override]
            return self.nodes_that_grow()

    source = Growing()
    source.add_edge(1, 2, weight=0.5)
    with pytest.raises(RiskInputError) as caught:
        Graph.from_networkx(source)
    assert (caught.value.code, caught.value.hint) == ("C0701", "hand in a copy: graph.copy()")


def test_a_consequence_that_some_nodes_have_counts_and_the_others_have_one() -> None:
    source = nx.path_graph(3)
    nx.set_edge_attributes(source, 0.5, "weight")
    source.nodes[1]["consequence"] = 10
    assert Graph.from_networkx(source).consequence.tolist() == [1, 10, 1]
    source.nodes[1]["capacity"] = 10
    with pytest.raises(RiskInputError, match="node `0` has `capacity` `null`"):
        Graph.from_networkx(source)


def test_edges_without_any_channel_are_refused() -> None:
    with pytest.raises(RiskInputError, match="no channel"):
        Graph.from_edges("ab", [("a", "b")], {})
    assert len(Graph.from_edges("ab", [], {}).source) == 0


def test_what_is_no_graph_no_edge_or_no_name_is_refused_with_its_code() -> None:
    graph = Graph.from_edges("ab", [("a", "b")], [0.5])
    refused: list[tuple[str, Callable[[], object]]] = [
        ("C0701", lambda: assess(nx.path_graph(3))),
        ("C0702", lambda: Graph.from_edges([["a"]], [], [])),  # type: ignore[list-item]
        ("C0702", lambda: graph.index([])),  # type: ignore[arg-type]
        ("C0703", lambda: Graph.from_edges("ab", [("a", "b", 0.5)], [0.5])),  # type: ignore[list-item]
        ("C0703", lambda: Graph.from_edges("ab", [("a", [])], [0.5])),  # type: ignore[list-item]
        ("C0706", lambda: Graph.from_edges("ab", [], [], quantities={"consequence": [1e308, 1e308]})),
        ("C0715", lambda: fleet_risk(graph, [0.5, 0.5])),  # type: ignore[arg-type]
        ("C0711", lambda: assess(graph, theta="0.5")),  # type: ignore[arg-type]
        ("C0714", lambda: assess(graph, model=[])),  # type: ignore[arg-type]
        ("C0715", lambda: Settings(workers=None)),  # type: ignore[arg-type]
    ]
    for code, ask in refused:
        with pytest.raises(RiskInputError) as caught:
            ask()
        assert caught.value.code == code
    with pytest.raises(RiskInputError, match=r"1\.0000001"):
        assess(graph, theta=1.0000001)
    report = assess_within(graph, Budget(64), seed=np.int64(7))  # type: ignore[arg-type]
    assert json.dumps(report.to_json()) == json.dumps(assess(graph, trials=64, seed=7).to_json())


def test_a_quantity_that_a_node_lacks_is_told_as_missing_and_a_wrong_one_at_its_node(tmp_path: Path) -> None:
    for quantity, told in ((None, "node `b` has `load` `null`"), ("x", 'node `b` has `load` `"x"`')):
        nodes = [{"id": "a", "load": 1}, {"id": "b", "load": quantity}]
        with pytest.raises(RiskInputError, match=told):
            graph_from_json({"nodes": nodes, "edges": [["a", "b", 0.5]]})
    file = tmp_path / "g.csv"
    file.write_bytes("source,target,weight".encode("utf-16"))
    with pytest.raises(RiskInputError, match="expected CSV"):
        read_graph(file)
