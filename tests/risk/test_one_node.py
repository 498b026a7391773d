"""One node's figures alone are those that it has among all."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from ripstop.risk import Graph, RiskInputError, Settings, assess, assess_node


def weighted(seed: int, *, directed: bool, unit: bool) -> Graph:
    rng = np.random.default_rng(seed)
    graph = nx.gnp_random_graph(70, 0.05, seed=seed, directed=directed)
    for _, _, edge in graph.edges(data=True):
        edge["weight"] = float(rng.choice([0.0, 1.0, rng.uniform(), rng.uniform()]))
    if not unit:
        for node in graph:
            graph.nodes[node]["consequence"] = float(rng.uniform(0.0, 3.0))
    return Graph.from_networkx(graph)


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize("trials", [1, 63, 1000])
def test_it_is_that_node_s_line_of_the_whole_report(directed: bool, unit: bool, trials: int) -> None:
    graph = weighted(trials, directed=directed, unit=unit)
    for theta in (0.0, 0.1, 0.4, 1.0):
        settings = Settings(expected=True)
        whole = assess(graph, theta=theta, trials=trials, seed=9, settings=settings)
        share = whole.expected_share
        assert share is not None
        for i in (0, 17, 69):
            alone = assess_node(graph, graph.nodes[i], theta=theta, trials=trials, seed=9)
            assert (alone.probability, alone.low, alone.high) == (
                whole.probability[i], whole.low[i], whole.high[i],
            )  # fmt: skip
            assert alone.expected_share == share[i]


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"node": "nobody"}, "C0702"),
        ({"theta": float("nan")}, "C0711"),
        ({"trials": 0}, "C0712"),
        ({"seed": -1}, "C0713"),
        ({"confidence": 1.0}, "C0715"),
    ],
)
def test_bad_questions_are_refused(given: dict[str, object], code: str) -> None:
    graph = Graph.from_edges("ab", [("a", "b")], [0.5], directed=True)
    asked = {"node": "a", **given}
    with pytest.raises(RiskInputError) as refused:
        assess_node(graph, asked.pop("node"), **asked)  # type: ignore[arg-type]  # wrong on purpose
    assert refused.value.code == code
