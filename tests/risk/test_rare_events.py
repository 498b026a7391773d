from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from scipy.stats import binom

from oracles import exact_percolation
from ripstop.risk import Graph, RiskInputError, decide, rare_probability


def path(n: int, weight: float) -> Graph:
    source = nx.path_graph(n)
    nx.set_edge_attributes(source, weight, "weight")
    return Graph.from_networkx(source)


def test_a_path_falls_with_one_in_half_a_million() -> None:
    found = rare_probability(path(12, 0.3), 0, theta=0.99, seed=1)
    exact = 0.3**11  # 1.8e-6
    assert found.relative_deviation < 0.4
    # Four standard errors.
    assert abs(found.probability - exact) < 4 * found.relative_deviation * found.probability
    assert found.low < exact < found.high


def test_a_star_falls_as_rarely_as_the_binomial_says() -> None:
    source = nx.star_graph(40)
    nx.set_edge_attributes(source, 0.15, "weight")
    found = rare_probability(Graph.from_networkx(source), 0, theta=0.5, particles=1000, seed=2)
    exact = binom.sf(19, 40, 0.15)  # 21 of 41 exceed a half: 5e-7
    assert exact < 1e-6
    assert abs(found.probability - exact) < 4 * found.relative_deviation * found.probability


@pytest.mark.parametrize("directed", [False, True])
def test_common_events_agree_with_the_sum_over_all_edge_subsets(directed: bool) -> None:
    source = nx.gnm_random_graph(6, 9, seed=3, directed=directed)
    rng = np.random.default_rng(3)
    for _, _, d in source.edges(data=True):
        d["weight"] = float(rng.uniform(0.05, 0.6))
    exact = exact_percolation(source, 0.6)
    graph = Graph.from_networkx(source)
    for node in source:
        found = rare_probability(graph, node, theta=0.6, seed=4)
        error = found.relative_deviation * found.probability if found.probability else 0.0
        assert abs(found.probability - exact[node]) <= 5 * error + 1e-12


def test_what_needs_no_sampling_is_answered_at_once() -> None:
    assert rare_probability(path(3, 0.5), 0, theta=0.0).probability == 1.0
    assert rare_probability(path(3, 0.5), 0, theta=1.0).probability == 0.0
    assert rare_probability(path(3, 0.0), 0, theta=0.5).probability == 0.0
    assert rare_probability(path(3, 1.0), 0, theta=0.9).probability == 1.0


def test_the_same_seed_gives_the_same_figures() -> None:
    one, two = (rare_probability(path(8, 0.3), 0, theta=0.99, seed=5) for _ in range(2))
    assert one == two


def test_bad_questions_are_refused() -> None:
    for arguments, code in (
        ({"node": 99}, "C0702"),
        ({"particles": 1}, "C0715"),
        ({"repeats": 1}, "C0715"),
        ({"theta": 2.0}, "C0711"),
        ({"seed": -1}, "C0713"),
    ):
        with pytest.raises(RiskInputError) as caught:
            rare_probability(path(3, 0.5), **({"node": 0} | arguments))
        assert caught.value.code == code


@pytest.mark.parametrize("p", [0.25, 0.3, 0.35])
def test_sequential_decisions_are_wrong_at_most_alpha_of_ten_thousand_times(p: float) -> None:
    threshold, alpha, repeats, most = 0.3, 0.05, 10_000, 2048
    rng = np.random.default_rng(7)
    hits, side, n = np.zeros(repeats, np.int64), np.zeros(repeats, np.int8), 0
    while n < most:
        step = max(16, n // 8)
        hits += rng.binomial(step, p, repeats)
        n += step
        now = decide(hits, n, threshold, 1 - alpha)
        side = np.where(side == 0, now, side)  # the first decision stands
    wrong = side == (1 if p < threshold else -1)
    if p == threshold:
        wrong = side != 0
    assert wrong.mean() <= alpha


def test_what_was_never_seen_is_not_called_impossible() -> None:
    path = nx.path_graph(12)
    nx.set_edge_attributes(path, 1e-4, "weight")
    found = rare_probability(Graph.from_networkx(path), 0, theta=0.99)
    assert found.probability == found.low == 0.0
    assert 0.0 < found.high < 0.01
