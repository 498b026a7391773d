from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from oracles import fall_by_threshold, play_overload
from ripstop.risk import Graph, Settings, assess
from ripstop.risk.models import OverloadRun


def weighted(seed: int, *, directed: bool, n: int = 9, m: int = 20) -> nx.Graph:
    graph = nx.gnm_random_graph(n, m, seed=seed, directed=directed)
    rng = np.random.default_rng(seed)
    for _, _, d in graph.edges(data=True):
        d["weight"] = float(rng.choice([0.0, rng.uniform(0, 0.4)], p=[0.1, 0.9]))
    return graph


@pytest.mark.parametrize("directed", [False, True])
def test_the_threshold_model_agrees_with_direct_simulation(directed: bool) -> None:
    graph = weighted(4, directed=directed)
    trials, theta = 20_000, 0.3
    report = assess(Graph.from_networkx(graph), theta=theta, trials=trials, seed=1, model="threshold")
    weights = nx.to_numpy_array(graph)
    weights /= np.maximum(weights.sum(axis=0), 1.0)
    drawn = np.random.default_rng(8).uniform(size=(trials, len(graph)))
    shares = [fall_by_threshold(weights, drawn, v).mean(axis=1) for v in range(len(graph))]
    # Differences of two means of 0..1 variables: standard error at most 0.5 sqrt(2 / trials); five of them.
    most = 5 * 0.5 * (2 / trials) ** 0.5
    assert np.abs(report.probability - [(s > theta).mean() for s in shares]).max() < most
    assert report.expected_share is not None
    assert np.abs(report.expected_share - [s.mean() for s in shares]).max() < most


def test_on_a_cycle_of_certain_weights_each_node_fells_all() -> None:
    ring = nx.cycle_graph(5, create_using=nx.DiGraph)
    ring.add_edge(0, "tail")
    nx.set_edge_attributes(ring, 1.0, "weight")
    report = assess(Graph.from_networkx(ring), theta=0.99, trials=64, model="threshold")
    assert report.probability.tolist() == [1.0] * 5 + [0.0]


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_overload_agrees_with_the_slow_twin_world_by_world(directed: bool, seed: int) -> None:
    source = weighted(seed, directed=directed, n=12, m=26)
    rng = np.random.default_rng(seed)
    load = dict(zip(source, rng.uniform(0.5, 2, 12), strict=True))
    nx.set_node_attributes(source, load, "load")
    nx.set_node_attributes(source, {v: x * rng.uniform(1.1, 1.6) for v, x in load.items()}, "capacity")
    graph = Graph.from_networkx(source)
    trials = 100
    run = OverloadRun(graph, 0.3, seed, Settings(spread=0.15))
    run.extend(trials)
    hits = np.zeros(12)
    for block in range(2):
        noise = np.random.Generator(np.random.SFC64(np.random.SeedSequence([seed, block])))
        for row in noise.standard_normal((64, 12))[: trials - 64 * block]:
            factor = dict(zip(source, 1.0 + 0.15 * row, strict=True))
            capacity = {v: max(0.0, source.nodes[v]["capacity"] * factor[v]) for v in source}
            for i, v in enumerate(source):
                hits[i] += len(play_overload(source, load, capacity, v)) / 12 > 0.3
    assert run.hits.tolist() == hits.tolist()
    assert 0 < hits.sum() < 12 * trials


@pytest.mark.parametrize("model", ["threshold", "load"])
def test_every_model_repeats_itself_and_goes_on_where_it_stopped(model: str) -> None:
    graph = Graph.from_networkx(weighted(2, directed=False))
    whole = assess(graph, theta=0.3, trials=700, seed=5, model=model)
    assert whole.hits.tobytes() == assess(graph, theta=0.3, trials=700, seed=5, model=model).hits.tobytes()
    by_looks = assess(graph, theta=0.3, trials=700, seed=5, model=model, settings=Settings(threshold=0.5))
    if by_looks.trials == 700:
        assert by_looks.hits.tolist() == whole.hits.tolist()
