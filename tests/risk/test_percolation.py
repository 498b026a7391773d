from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from scipy.stats import binom

from oracles import exact_expected_share, exact_percolation
from ripstop.risk import Graph, Settings, assess
from ripstop.risk.kernels.shapes import Network, Words, make_room
from ripstop.risk.kernels.words import draw_words
from ripstop.risk.layout import FAR, Methods, network_of
from ripstop.risk.percolation import PercolationRun, least_mass_above

TRIALS = 20_000
# The chance that a right answer falls outside, per figure compared.
ALPHA = 1e-7


def assert_is_binomial(hits: int, trials: int, p: float) -> None:
    if p in (0.0, 1.0):
        assert hits == p * trials
        return
    assert binom.ppf(ALPHA, trials, p) <= hits <= binom.isf(ALPHA, trials, p)


def random_graph(seed: int, *, directed: bool, n: int = 6, m: int = 9) -> nx.Graph:
    rng = np.random.default_rng(seed)
    graph = nx.gnm_random_graph(n, m, seed=seed, directed=directed)
    for _, _, d in graph.edges(data=True):
        d["weight"] = float(rng.choice([0.0, 1.0, rng.uniform(), rng.uniform()]))
    return graph


def drawn_words(network: Network, lanes: int) -> Words:
    room = make_room(network)
    draw_words(network, np.uint64(1), 0, np.uint64(lanes), room)
    return room.words


def mixed(word: int) -> int:
    word = ((word ^ word >> 30) * 0xBF58476D1CE4E5B9) % 2**64
    word = ((word ^ word >> 27) * 0x94D049BB133111EB) % 2**64
    return word ^ word >> 31


def test_an_edge_is_live_where_uniform_bits_lie_below_its_weight() -> None:
    weights = [0.0, 1.0, 0.5, 1 / 3, 0.08, 2.0**-64, 2.0**-9, 1 - 2.0**-53, *np.linspace(0.01, 0.99, 50)]
    ends = [(0, k) for k in range(1, len(weights) + 1)]
    network = network_of(Graph.from_edges(range(len(weights) + 1), ends, weights, directed=True))
    golden = 0x9E3779B97F4A7C15
    stream = mixed(mixed(1) + golden & 2**64 - 1)
    for edge, word in enumerate(drawn_words(network, lanes=2**64 - 1).tolist()):
        state = mixed((stream + (edge + 1) * 0xD1342543DE82EF95) % 2**64)
        bits = [mixed((state + (k + 1) * golden) % 2**64) for k in range(64)]
        uniform = [sum((bit >> lane & 1) << 63 - k for k, bit in enumerate(bits)) for lane in range(64)]
        assert word == sum((u < int(weights[edge] * 2**64)) << lane for lane, u in enumerate(uniform))


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("theta", [0.2, 0.5, 0.8])
def test_every_node_agrees_with_the_sum_over_all_edge_subsets(
    directed: bool, seed: int, theta: float
) -> None:
    graph = random_graph(seed, directed=directed)
    exact = exact_percolation(graph, theta)
    report = assess(Graph.from_networkx(graph), theta=theta, trials=TRIALS, seed=seed)
    for node, hits in zip(report.nodes, report.hits, strict=True):
        assert_is_binomial(int(hits), TRIALS, exact[node])


@pytest.mark.parametrize("directed", [False, True])
def test_consequences_weigh_the_share_failed(directed: bool) -> None:
    graph = random_graph(7, directed=directed)
    for node, weight in zip(graph, [0.5, 4.0, 1.0, 0.0, 2.5, 1.0], strict=True):
        graph.nodes[node]["consequence"] = weight
    exact = exact_percolation(graph, 0.45)
    report = assess(Graph.from_networkx(graph), theta=0.45, trials=TRIALS, seed=3)
    for node, hits in zip(report.nodes, report.hits, strict=True):
        assert_is_binomial(int(hits), TRIALS, exact[node])


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("theta", [0.1, 0.5, 0.95])
def test_the_expected_share_agrees_with_the_exact_one(directed: bool, theta: float) -> None:
    graph = random_graph(5, directed=directed)
    exact = exact_expected_share(graph)
    report = assess(
        Graph.from_networkx(graph), theta=theta, trials=TRIALS, seed=5, settings=Settings(expected=True)
    )
    assert report.expected_share is not None
    for node, share in zip(report.nodes, report.expected_share, strict=True):
        # A share lies in 0..1, so its mean's standard error is at most 0.5 / sqrt(trials); six of them.
        assert abs(share - exact[node]) < 6 * 0.5 / TRIALS**0.5


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("theta", [0.02, 0.1, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("weight", [0.05, 0.15, 0.3, 0.6])
@pytest.mark.parametrize("weighted", [False, True])
def test_flood_bounds_and_exhaustive_search_settle_the_same_worlds_alike(
    directed: bool, theta: float, weight: float, weighted: bool
) -> None:
    source = nx.gnm_random_graph(90, 400, seed=11, directed=directed)
    nx.set_edge_attributes(source, weight, "weight")
    if weighted:
        nx.set_node_attributes(source, {v: 1 + v % 3 for v in source}, "consequence")
    assert_methods_agree(Graph.from_networkx(source), theta)


def assert_methods_agree(graph: Graph, theta: float) -> None:
    by_method = []
    for flood, bound, exact in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0), (0, 0, 1)):
        run = PercolationRun(graph, theta, 1, Settings(expected=bool(exact)))
        run.methods = Methods(bool(flood), bool(bound), judged=True)
        run.extend(300)
        by_method.append(run.hits.tolist())
    assert all(hits == by_method[-1] for hits in by_method)


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("weight", [0.45, 0.55, 0.95])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_graph_that_is_laid_out_anew_keeps_its_answers(
    directed: bool, weight: float, weighted: bool
) -> None:
    # More nodes than are left in the order in which they came, which here is a random one.
    side = 48
    shuffled = np.random.default_rng(3).permutation(side * side).tolist()
    source = nx.relabel_nodes(
        nx.convert_node_labels_to_integers(nx.grid_2d_graph(side, side)), dict(enumerate(shuffled))
    )
    source = source.to_directed() if directed else source
    nx.set_edge_attributes(source, weight, "weight")
    if weighted:
        nx.set_node_attributes(source, {v: 1 + v % 5 for v in source}, "consequence")
    graph = Graph.from_networkx(source)
    assert side * side > FAR
    assert_methods_agree(graph, 0.3)
    world = nx.DiGraph() if directed else nx.Graph()
    world.add_nodes_from(range(side * side))
    words = drawn_words(network_of(graph), lanes=1)
    world.add_edges_from(
        (int(a), int(b)) for a, b, live in zip(graph.source, graph.target, words, strict=True) if live
    )
    one = PercolationRun(graph, 0.3, 1, Settings(expected=True))
    one.extend(1)
    mass = network_of(graph).mass
    some = range(0, side * side, 97)
    reach = [sum(int(mass[u]) for u in nx.descendants(world, v) | {v}) for v in some]
    assert one.mass[list(some)].tolist() == reach


@pytest.mark.parametrize("weighted", [False, True])
def test_the_exact_reach_in_one_world_is_that_of_networkx(weighted: bool) -> None:
    source = nx.gnm_random_graph(130, 500, seed=3, directed=True)
    nx.set_edge_attributes(source, 0.25, "weight")
    if weighted:
        nx.set_node_attributes(source, {v: 1 + v % 7 for v in source}, "consequence")
    run = PercolationRun(Graph.from_networkx(source), 0.3, 1, Settings(expected=True))
    run.extend(1)
    world = nx.DiGraph()
    world.add_nodes_from(source)
    words = drawn_words(run.network, lanes=1)
    world.add_edges_from(
        (int(a), int(b))
        for a, b, live in zip(run.network.source, run.network.target, words, strict=True)
        if live
    )
    mass = run.network.mass
    reach = [sum(int(mass[u]) for u in nx.descendants(world, v) | {v}) for v in source]
    assert run.tally.mass.tolist() == reach


@pytest.mark.parametrize(("c", "giant"), [(1.5, 0.583), (2.0, 0.797), (3.0, 0.940)])
def test_a_random_graph_has_the_giant_component_of_theory(c: float, giant: float) -> None:
    n = 1500
    source = nx.gnm_random_graph(n, 4 * c * n // 2, seed=2)
    nx.set_edge_attributes(source, 0.25, "weight")
    report = assess(Graph.from_networkx(source), theta=0.3, trials=400, seed=1)
    # The component's size has standard deviation O(sqrt(n)) = 0.03 n; 400 worlds on one graph: 0.02 covers.
    assert abs(report.probability.mean() - giant) < 0.02


def test_a_path_falls_from_its_end_with_the_product_of_its_weights() -> None:
    for directed in (False, True):
        path = nx.path_graph(6, create_using=nx.DiGraph if directed else nx.Graph)
        nx.set_edge_attributes(path, 0.8, "weight")
        report = assess(Graph.from_networkx(path), theta=0.99, trials=TRIALS, seed=4)
        assert_is_binomial(int(report.hits[0]), TRIALS, 0.8**5)
        assert_is_binomial(int(report.hits[5]), TRIALS, 0.0 if directed else 0.8**5)


def test_a_star_falls_as_a_binomial_says() -> None:
    star = nx.star_graph(10)
    nx.set_edge_attributes(star, 0.3, "weight")
    report = assess(Graph.from_networkx(star), theta=0.5, trials=TRIALS, seed=4)
    # From the hub: at least 5 of 10 leaves (6 of 11 exceed a half). From a leaf: its edge, and 4 of 9 others.
    assert_is_binomial(int(report.hits[0]), TRIALS, binom.sf(4, 10, 0.3))
    assert_is_binomial(int(report.hits[1]), TRIALS, 0.3 * binom.sf(3, 9, 0.3))


def test_a_cycle_falls_as_its_reliability_polynomial_says() -> None:
    cycle = nx.cycle_graph(8)
    nx.set_edge_attributes(cycle, 0.9, "weight")
    report = assess(Graph.from_networkx(cycle), theta=0.99, trials=TRIALS, seed=9)
    for hits in report.hits:
        assert_is_binomial(int(hits), TRIALS, 0.9**8 + 8 * 0.1 * 0.9**7)


@pytest.mark.parametrize("directed", [False, True])
def test_the_same_seed_gives_the_same_bytes_with_any_number_of_workers(directed: bool) -> None:
    source = nx.gnm_random_graph(60, 240, seed=1, directed=directed)
    nx.set_edge_attributes(source, 0.2, "weight")
    graph = Graph.from_networkx(source)
    first = assess(graph, theta=0.2, trials=2000, seed=2**63 + 5)
    again = assess(graph, theta=0.2, trials=2000, seed=2**63 + 5, settings=Settings(workers=2))
    other = assess(graph, theta=0.2, trials=2000, seed=2**63 + 6)
    assert first.hits.tobytes() == again.hits.tobytes() != other.hits.tobytes()
    assert first.low.tobytes() == again.low.tobytes()


def test_lowering_a_weight_only_takes_hits_away() -> None:
    source = nx.gnm_random_graph(40, 120, seed=1)
    nx.set_edge_attributes(source, 0.3, "weight")
    graph = Graph.from_networkx(source)
    lower = graph.weight.copy()
    lower[::3] *= 0.5
    more = assess(graph, theta=0.2, trials=500, seed=1)
    less = assess(graph.with_weight(lower), theta=0.2, trials=500, seed=1)
    assert (less.hits <= more.hits).all()
    assert less.hits.sum() < more.hits.sum()


@pytest.mark.parametrize("theta", [0.1, 0.2, 0.29, 0.3, 0.7])
def test_the_least_mass_agrees_with_the_division_as_written(theta: float) -> None:
    for total in (1, 3, 7, 10, 100, 150):
        assert least_mass_above(theta, total) == min(k for k in range(total + 2) if k / total > theta)


def test_sampling_stops_once_every_node_is_settled() -> None:
    star = nx.star_graph(30)
    nx.set_edge_attributes(star, 0.9, "weight")
    settings = Settings(threshold=0.3)
    report = assess(Graph.from_networkx(star), theta=0.5, trials=100_000, seed=1, settings=settings)
    assert report.trials == 256
    assert report.standing is not None
    assert {s.value for s in report.standing} == {"above"}


def test_at_the_cap_a_close_call_is_undecided() -> None:
    pair = nx.path_graph(2)
    nx.set_edge_attributes(pair, 0.3, "weight")
    report = assess(
        Graph.from_networkx(pair), theta=0.5, trials=1000, seed=1, settings=Settings(threshold=0.3)
    )
    assert report.trials == 1000
    assert report.standing is not None
    assert {s.value for s in report.standing} == {"undecided"}


def test_what_a_whole_block_showed_of_methods_is_kept_for_the_same_question() -> None:
    source = nx.gnm_random_graph(90, 400, seed=11)
    nx.set_edge_attributes(source, 0.3, "weight")
    graph = Graph.from_networkx(source)
    first = PercolationRun(graph, 0.5, 1, Settings())
    first.extend(63)
    assert not first.methods.judged  # too few worlds to tell
    first = first.fresh()
    first.extend(64)
    assert first.methods.judged
    assert PercolationRun(graph, 0.5, 2, Settings()).methods is first.methods
    assert not PercolationRun(graph, 0.3, 1, Settings()).methods.judged
    assert not PercolationRun(graph.with_weight(graph.weight / 2), 0.5, 1, Settings()).methods.judged
    assert PercolationRun(graph, 0.5, 1, Settings(expected=True)).methods is not first.methods
