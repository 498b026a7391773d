"""Percolation against what is known in closed form."""

from __future__ import annotations

import math

import networkx as nx
import numpy as np
import pytest

from ripstop.risk import Graph, RiskInputError, Settings, assess
from ripstop.risk.percolation import PercolationRun

TRIALS = 20_000


def weighted(source: nx.Graph, weight: float) -> Graph:
    nx.set_edge_attributes(source, weight, "weight")
    return Graph.from_networkx(source)


def connected_complete(n: int, p: float) -> float:
    """P(a complete graph stays connected), by Gilbert (1959), Random graphs, Ann. Math. Stat. 30."""
    found = [0.0, 1.0]
    for k in range(2, n + 1):
        parts = (math.comb(k - 1, j - 1) * found[j] * (1 - p) ** (j * (k - j)) for j in range(1, k))
        found.append(1.0 - sum(parts))
    return found[n]


@pytest.mark.parametrize("p", [0.2, 0.35, 0.6])
def test_a_complete_graph_falls_as_gilberts_recursion_says(p: float) -> None:
    report = assess(weighted(nx.complete_graph(7), p), theta=0.99, trials=TRIALS, seed=1)
    # Standard error at most 0.0036; five of them.
    assert np.abs(report.probability - connected_complete(7, p)).max() < 0.018


def test_a_tree_falls_from_its_root_as_a_branching_process() -> None:
    p, depth = 0.7, 5
    graph = weighted(nx.balanced_tree(2, depth, create_using=nx.DiGraph), p)
    report = assess(graph, theta=0.0, trials=TRIALS, seed=2, settings=Settings(expected=True))
    assert report.expected_share is not None
    expected = sum((2 * p) ** k for k in range(depth + 1)) / len(graph.nodes)
    # The share lies in 0..1: standard error at most 0.0036; five of them.
    assert abs(report.expected_share[0] - expected) < 0.018


@pytest.mark.parametrize("directed", [False, True])
def test_the_bethe_lattice_breaks_at_one_over_z_minus_one(directed: bool) -> None:
    # z = 3, nine shells. Q = P(a branch dies out before the rim) by recursion; below p = 1/2 it tends to 1.
    shells, z = 9, 3
    source = nx.balanced_tree(z - 1, shells - 1)
    root = nx.DiGraph() if directed else nx.Graph()
    for child in range(z):
        root.add_edge("root", (child, 0))
        root.add_edges_from(((child, a), (child, b)) for a, b in source.edges)
    rim = dict.fromkeys(root, 0.0) | {
        (child, v): 1.0 for child in range(z) for v in source if source.degree(v) == 1
    }
    nx.set_node_attributes(root, rim, "consequence")
    for p, side in ((0.35, "below"), (0.7, "above")):
        dies = 1.0 - p  # the last step to the rim
        for _ in range(shells - 1):
            dies = 1.0 - p + p * dies ** (z - 1)
        reaches = 1.0 - dies**z
        report = assess(weighted(root.copy(), p), theta=0.0, trials=TRIALS, seed=3)
        assert abs(report.of("root").probability - reaches) < 0.018
        assert (reaches < 0.05) == (side == "below")


def test_the_square_lattice_breaks_at_one_half() -> None:
    # Self-duality (Kesten 1980): p_c = 1/2. On 60 x 60 the centre's chance to lose half jumps around it.
    source = nx.convert_node_labels_to_integers(nx.grid_2d_graph(60, 60))
    below, above = (
        assess(weighted(source, p), theta=0.5, trials=400, seed=4).probability.mean() for p in (0.44, 0.56)
    )
    assert below < 0.02
    assert above > 0.8


@pytest.mark.parametrize("kind", ["random", "geometric", "scale-free"])
@pytest.mark.parametrize("weight", [0.1, 0.17, 0.25, 0.45])
@pytest.mark.parametrize("theta", [0.15, 0.4, 0.5])
def test_directed_worlds_are_settled_as_by_measuring_every_reach(
    kind: str, weight: float, theta: float
) -> None:
    if kind == "random":
        source = nx.gnm_random_graph(250, 2000, seed=5, directed=True)
    elif kind == "geometric":
        source = nx.random_geometric_graph(250, 0.1, seed=5).to_directed()
    else:
        source = nx.barabasi_albert_graph(250, 4, seed=5).to_directed()
    nx.set_node_attributes(source, {v: (v * 7) % 5 for v in source}, "consequence")
    graph = weighted(source, weight)
    swept = assess(graph, theta=theta, trials=192, seed=6)
    measured = PercolationRun(graph, theta, 6, Settings(expected=True))
    measured.extend(192)
    assert swept.hits.tolist() == measured.hits.tolist()


def test_defined_answers_at_the_edges_of_the_question() -> None:
    empty = assess(Graph.from_edges([], [], []), trials=10)
    assert len(empty) == 0
    single = Graph.from_edges(["a"], [], [])
    assert assess(single, theta=0.5).probability.tolist() == [1.0]
    islands = Graph.from_edges("abcd", [], [])
    for model in ("percolation", "threshold", "load"):
        assert assess(islands, theta=0.5, model=model).probability.tolist() == [0.0] * 4
        assert assess(islands, theta=0.0, model=model).probability.tolist() == [1.0] * 4
        assert assess(islands, theta=1.0, model=model).probability.tolist() == [0.0] * 4
    with pytest.raises(RiskInputError):
        assess(islands, trials=0)
