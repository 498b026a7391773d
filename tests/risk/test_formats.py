from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ripstop.risk import (
    Graph,
    RiskInputError,
    Settings,
    assess,
    calibrate,
    parse_graph,
    read_graph,
    write_graph,
)
from ripstop.risk.formats import graph_to_csv, parse_csv, parse_graphml
from ripstop.risk.plots import exceedance, plot_calibration, plot_report


def mixed(*, directed: bool) -> Graph:
    return Graph.from_edges(
        ["a", "b", "c"],
        [("a", "b"), ("b", "c")],
        {"load": [0.25, 0.5], "radio": [0.125, 0.0]},
        directed=directed,
        quantities={"consequence": [1, 2, 3]},
    )


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("ending", ["json", "graphml", "csv"])
def test_a_graph_comes_back_from_its_file(tmp_path: Path, ending: str, directed: bool) -> None:
    graph = mixed(directed=directed)
    write_graph(graph, tmp_path / f"g.{ending}")
    back = read_graph(tmp_path / f"g.{ending}")
    assert (back.nodes, back.directed) == (graph.nodes, directed)
    assert back.source.tolist() == graph.source.tolist()
    assert {k: p.tolist() for k, p in back.channels.items()} == {
        k: p.tolist() for k, p in graph.channels.items()
    }
    if ending != "csv":
        assert back.consequence.tolist() == [1, 2, 3]


def test_a_plain_table_is_a_directed_graph(tmp_path: Path) -> None:
    (tmp_path / "g.csv").write_text("source,target,weight\nhub, a ,0.5\na,b,0.25\n")
    graph = read_graph(tmp_path / "g.csv")
    assert graph.directed
    assert graph.nodes == ("hub", "a", "b")
    assert graph.weight.tolist() == [0.5, 0.25]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "C0701"),
        ("a,b\n", "C0701"),
        ("source,target\n", "C0701"),
        ("source,target,weight,weight\n", "C0701"),
        ("source,target,weight\na,b\n", "C0701"),
        ('source,target,weight\n"a,b\n', "C0701"),
        ("source,target,weight\na,b,1.5\n", "C0704"),
        ("source,target,weight\na,b,nan\n", "C0704"),
        ("source,target,weight\na,b,x\n", "C0704"),
        ("source,target,weight\na,b,.5\na,b,.5\n", "C0705"),
        ("source,target,weight,directed\na,b,.5,true\nb,c,.5,false\n", "C0701"),
    ],
)
def test_a_bad_table_is_refused(tmp_path: Path, text: str, code: str) -> None:
    (tmp_path / "g.csv").write_text(text)
    with pytest.raises(RiskInputError) as caught:
        read_graph(tmp_path / "g.csv")
    assert caught.value.code == code


@pytest.mark.parametrize("text", ["", "<graphml", "<graphml/>", "not xml", "<a>&b;</a>"])
def test_bad_graphml_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "g.graphml").write_text(text)
    with pytest.raises(RiskInputError) as caught:
        read_graph(tmp_path / "g.graphml")
    assert caught.value.code == "C0701"


GRAPHML = """<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
<key id="w" for="edge" attr.name="weight" attr.type="double"/>
<graph edgedefault="directed"><node id="a"/><node id="b"/>
<edge source="a" target="q"><data key="w">0.5</data></edge></graph></graphml>"""


def test_an_edge_of_graphml_to_a_node_that_is_not_declared_is_refused() -> None:
    with pytest.raises(RiskInputError, match="`a` to `q`") as caught:
        parse_graphml(GRAPHML)
    assert caught.value.code == "C0702"
    assert parse_graphml(GRAPHML.replace('"q"', '"b"')).nodes == ("a", "b")


@pytest.mark.parametrize(
    ("written", "meant"),
    [("capasity", "capacity"), ("laod", "load"), ("Load", "load"), ("consequense", "consequence")],
)
def test_a_misspelt_quantity_of_a_node_is_told_with_the_one_that_was_meant(written: str, meant: str) -> None:
    text = '{"nodes": [{"id": "a", "WRITTEN": 3}, "b"], "edges": [["a", "b", 0.5]]}'.replace(
        "WRITTEN", written
    )
    with pytest.raises(RiskInputError, match=f"has `{written}`") as caught:
        parse_graph(text)
    assert (caught.value.code, caught.value.hint) == ("C0706", f"did you mean `{meant}`?")
    source = nx.Graph([(0, 1, {"weight": 0.5})])
    source.nodes[0][written] = 3  # a graph in memory serves others, too: what it says to them is theirs
    assert Graph.from_networkx(source).quantities == {}


def test_what_else_is_known_of_a_node_says_nothing() -> None:
    text = '{"nodes": [{"id": "a", "road": 3, "x": 1, "capasity": "big"}, "b"], "edges": [["a", "b", 0.5]]}'
    assert parse_graph(text).quantities == {}


def test_csv_holds_no_carriage_return() -> None:
    with pytest.raises(RiskInputError, match="carriage return"):
        graph_to_csv(Graph.from_edges(["0\r0", "b"], [("0\r0", "b")], [0.5]))


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(RiskInputError):
        write_graph(mixed(directed=True), tmp_path / "none" / "g.json")


def test_the_exceedance_falls_with_the_share_and_meets_the_report() -> None:
    source = nx.cycle_graph(8)
    nx.set_edge_attributes(source, 0.7, "weight")
    graph = Graph.from_networkx(source)
    table = exceedance(graph, trials=500, seed=2)
    assert (np.diff(table, axis=0) <= 0).all()
    assert table[10].tolist() == assess(graph, theta=0.5, trials=500, seed=2).probability.tolist()


def test_pictures_are_drawn(tmp_path: Path) -> None:
    graph = mixed(directed=True)
    plot_report(assess(graph, trials=64), graph, tmp_path / "report.png")
    plot_calibration(calibrate([0.1, 0.9, 0.8], [0, 1, 1]), tmp_path / "reliability.svg")
    assert (tmp_path / "report.png").read_bytes()[:4] == b"\x89PNG"
    assert "<svg" in (tmp_path / "reliability.svg").read_text()
    empty = Graph.from_edges([], [], [])
    plot_report(assess(empty, trials=64), empty, tmp_path / "empty.png")


@pytest.mark.parametrize("beside", [{"length": 120.0}, {"length": 0.9}, {"length": "far"}])
def test_what_stands_beside_a_weight_in_graphml_is_no_probability(
    tmp_path: Path, beside: dict[str, object]
) -> None:
    source = nx.path_graph(4)
    nx.set_edge_attributes(source, 0.25, "weight")
    for _, _, attributes in source.edges(data=True):
        attributes.update(beside)
    nx.write_graphml(source, tmp_path / "g.graphml")
    assert read_graph(tmp_path / "g.graphml").weight.tolist() == [0.25] * 3


@pytest.mark.parametrize("key", ["name", "label"])
def test_nodes_of_graphml_go_by_their_names_where_each_has_one(tmp_path: Path, key: str) -> None:
    source = nx.path_graph(2)
    nx.set_edge_attributes(source, 0.25, "weight")
    nx.set_node_attributes(source, {0: "hub", 1: "Drohne ü"}, key)
    nx.write_graphml(source, tmp_path / "g.graphml")
    assert set(read_graph(tmp_path / "g.graphml").nodes) == {"hub", "Drohne ü"}
    nx.set_node_attributes(source, "same", key)
    nx.write_graphml(source, tmp_path / "g.graphml")
    assert set(read_graph(tmp_path / "g.graphml").nodes) == {"0", "1"}


@pytest.mark.parametrize("way", ["Undirected", "Directed"])
def test_the_table_that_gephi_writes_is_read(tmp_path: Path, way: str) -> None:
    file = tmp_path / "g.csv"
    rows = f"0,1,{way},0,,,0.4\n1,2,{way},1,,,0.7\n"
    file.write_text("\ufeffSource,Target,Type,Id,Label,timeset,Weight\n" + rows, encoding="utf-8")
    graph = read_graph(file)
    assert (graph.directed, list(graph.channels)) == (way == "Directed", ["weight"])
    assert graph.weight.tolist() == [0.4, 0.7]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "g.csv",
            "source,target,weight\na,b,0.5\nb,c,\n",
            "g.csv:3:1: C0704: edge `b` to `c` has `weight` ``",
        ),
        ("g.csv", "source;target;weight\na;b;0.5\n", "separate cells by commas"),
        ("g.json", '{"edges": [["a", "b", null]]}', "has `weight` `null`"),
        ("g.json", '{"edges": [["a", "b", true]]}', "has `weight` `true`"),
        ("g.gml", "graph [ ]", "else .csv or .graphml"),
    ],
)
def test_a_file_s_fault_is_named_as_it_stands_there(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(RiskInputError) as caught:
        read_graph(tmp_path / name)
    assert said in str(caught.value)


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "g.json").write_text('{"edges": [["a", "b", 0.5]]}', encoding="utf-8-sig")
    assert read_graph(tmp_path / "g.json").weight.tolist() == [0.5]


@pytest.mark.parametrize("name", ["g.xyz", "missing/g.png"])
def test_a_picture_that_cannot_be_drawn_is_said(tmp_path: Path, name: str) -> None:
    graph = mixed(directed=True)
    with pytest.raises(RiskInputError) as caught:
        plot_report(assess(graph, trials=64), graph, tmp_path / name)
    assert caught.value.code == "C0701"


NAMES = st.one_of(
    st.integers(), st.text(min_size=1, max_size=8), st.none(), st.tuples(st.integers(0, 2)), st.booleans()
)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_graph_comes_back_to_the_bit_or_is_refused(tmp_path_factory: Any, data: st.DataObject) -> None:
    names = data.draw(st.lists(NAMES, min_size=2, max_size=6, unique=True))
    directed = data.draw(st.booleans())
    pairs = [(a, b) for a in range(len(names)) for b in range(len(names)) if (a != b if directed else a < b)]
    ends = data.draw(st.lists(st.sampled_from(pairs), min_size=1, max_size=8, unique=True))
    weights = st.lists(st.floats(0, 1), min_size=len(ends), max_size=len(ends))
    channels = data.draw(
        st.lists(st.text("aeLw ", min_size=1, max_size=4), min_size=1, max_size=2, unique=True)
    )
    drawn = {name: data.draw(weights) for name in channels}
    graph = Graph.from_arrays(names, ends, drawn, directed=directed)
    ending = data.draw(st.sampled_from(["json", "csv", "graphml"]))
    file = tmp_path_factory.getbasetemp() / f"any.{ending}"
    try:
        write_graph(graph, file)
    except RiskInputError as error:
        assert error.code == "C0702"
        return
    back = read_graph(file)
    kept = [n if ending == "json" and type(n) is int else str(n) for n in names]
    place = [kept.index(node) for node in back.nodes]
    assert back.directed == directed
    found = {}
    for e, (a, b) in enumerate(zip(back.source.tolist(), back.target.tolist(), strict=True)):
        at = (place[a], place[b]) if directed else tuple(sorted((place[a], place[b])))
        found[at] = {name: float(p[e]) for name, p in back.channels.items()}
    assert found == {pair: {name: p[i] for name, p in drawn.items()} for i, pair in enumerate(ends)}


def test_a_table_names_the_line_that_is_wrong_and_finds_an_edge_turned_round() -> None:
    with pytest.raises(RiskInputError) as caught:
        parse_csv("source,target,weight\n\n\na,b,1.5\n", "t.csv")
    assert caught.value.place is not None
    assert caught.value.place.line == 4
    for way, refused in (("false", True), ("true", False)):
        text = f"source,target,weight,directed\na,b,.5,{way}\nb,a,.5,{way}\n"
        if refused:
            with pytest.raises(RiskInputError, match="stands twice"):
                parse_csv(text)
        else:
            assert len(parse_csv(text).source) == 2


def test_names_that_read_alike_as_text_are_refused_not_merged(tmp_path: Path) -> None:
    graph = Graph.from_edges([1, "1"], [(1, "1")], [0.5])
    for ending in ("csv", "graphml"):
        with pytest.raises(RiskInputError, match="two nodes read `1`"):
            write_graph(graph, tmp_path / f"g.{ending}")
    write_graph(graph, tmp_path / "g.json")
    assert read_graph(tmp_path / "g.json").nodes == (1, "1")


def test_a_file_with_edges_twice_over_or_too_deep_to_be_shown_is_refused() -> None:
    with pytest.raises(RiskInputError, match="both `edges` and `links`"):
        parse_graph('{"edges": [], "links": [["a", "b", 0.5]]}')
    for depth in (100, *range(sys.getrecursionlimit() - 120, sys.getrecursionlimit(), 3)):
        with pytest.raises(RiskInputError):
            parse_graph('{"edges": [' + "[" * depth + "]" * depth + "]}")


def test_a_write_that_is_interrupted_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, graph = tmp_path / "g.json", mixed(directed=True)
    write_graph(graph, file)
    before = file.read_bytes()

    def interrupted(handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_graph(graph.without_nodes(["a"]), file)
    assert [each.name for each in tmp_path.iterdir()] == ["g.json"]
    assert file.read_bytes() == before


def test_a_device_is_written_to_and_read_as_far_as_a_file_may_go(monkeypatch: pytest.MonkeyPatch) -> None:
    write_graph(mixed(directed=True), "/dev/null")
    assert Path("/dev/null").is_char_device()
    monkeypatch.setattr("ripstop.risk.files.LARGEST", 1000)
    with pytest.raises(RiskInputError, match="larger than 1000 bytes"):
        read_graph("/dev/zero")


def test_the_sizes_of_a_plot_are_those_of_the_settings() -> None:
    graph = Graph.from_edges("abc", [("a", "b"), ("b", "c")], [0.5, 0.5])
    how = Settings(tolerance=5.0, threshold=0.5)
    table = exceedance(graph, trials=200, model="load", settings=how)
    assert (
        table[10].tolist()
        == assess(
            graph, theta=0.5, trials=200, model="load", settings=Settings(tolerance=5.0)
        ).probability.tolist()
    )
    assert (exceedance(graph, trials=200, model="load") != table).any()
