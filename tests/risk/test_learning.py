from __future__ import annotations

import math
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from ripstop.risk import (
    Graph,
    Incident,
    RiskInputError,
    assess,
    assess_learned,
    calibrated,
    learn,
    read_incidents,
    split_incidents,
    validate,
)


def drawn_graph(seed: int = 3, n: int = 25, m: int = 70) -> Graph:
    source = nx.gnm_random_graph(n, m, seed=seed, directed=True)
    rng = np.random.default_rng(seed)
    for _, _, d in source.edges(data=True):
        d["weight"] = float(rng.choice([0.05, 0.3, 0.7]))
    return Graph.from_networkx(source)


def play(graph: Graph, rng: np.random.Generator, *, causes: bool) -> Incident:
    """One cascade from a random node, a time step a generation."""
    n = len(graph.nodes)
    first = int(rng.integers(n))
    times, why, wave, t = {first: 0.0}, {}, [first], 0
    while wave:
        t += 1
        fresh = []
        for u in wave:
            for e in np.flatnonzero(graph.source == u):
                v = int(graph.target[e])
                if times.get(v, t) < t or rng.uniform() >= graph.weight[e] or v in times:
                    continue
                times[v] = float(t)
                why[v] = u
                fresh.append(v)
        wave = fresh
    return Incident(times, why if causes else {})


@pytest.mark.parametrize("causes", [True, False])
def test_weights_come_back_from_enough_incidents(causes: bool) -> None:
    graph = drawn_graph()
    rng = np.random.default_rng(1)
    log = [play(graph, rng, causes=causes) for _ in range(2000)]
    prior = graph.with_weight(np.full(len(graph.source), 0.3))
    learned = learn(log, prior, window=1.0)
    tried = learned.attempts > 100
    assert tried.sum() > 40
    # With the first of several successes named as the cause, the others count as failed: biased low a little.
    error = np.abs(learned.graph.weight - graph.weight)[tried]
    assert error.mean() < (0.1 if causes else 0.04)
    assert learned.unexplained == 0


def test_without_data_the_prior_stays() -> None:
    graph = Graph.from_edges("abc", [("a", "b"), ("b", "c")], [0.2, 0.9], directed=True)
    learned = learn([Incident({"c": 0})], graph)
    assert learned.graph.weight.tolist() == pytest.approx([0.2, 0.9])


def test_a_single_known_cause_is_a_beta_bernoulli_update() -> None:
    graph = Graph.from_edges("ab", [("a", "b")], [0.5], directed=True)
    log = [Incident({"a": 0, "b": 1}, {"b": "a"})] * 3 + [Incident({"a": 0})] * 5
    learned = learn(log, graph, strength=2.0)
    assert (learned.alpha[0], learned.beta[0]) == (4.0, 6.0)
    assert learned.rounds == 1


def test_one_incident_of_two_parents_shares_the_blame_as_the_em_of_saito_says() -> None:
    graph = Graph.from_edges("abc", [("a", "c"), ("b", "c")], [0.5, 0.5], directed=True)
    learned = learn([Incident({"a": 0, "b": 0, "c": 1})], graph, strength=1e6)
    # The prior is worth a million attempts, so each weight stays 0.5 and is to blame by 0.5 / (1 - 0.25).
    assert learned.alpha.tolist() == pytest.approx([0.5e6 + 2 / 3] * 2)


def test_learned_weights_predict_held_out_incidents_better_than_the_flat_prior() -> None:
    graph = drawn_graph()
    rng = np.random.default_rng(5)
    log = [play(graph, rng, causes=False) for _ in range(1200)]
    train, held_out = split_incidents(log, 0.25)
    flat = graph.with_weight(np.full(len(graph.source), float(graph.weight.mean())))
    learned = learn(train, flat, window=1.0)
    ours, theirs, truth = (validate(g, held_out, window=1.0) for g in (learned.graph, flat, graph))
    assert truth.brier - 0.005 < ours.brier < theirs.brier - 0.02
    assert ours.skill > 0.1


def test_the_posteriors_spread_reaches_the_report_and_shrinks_with_data() -> None:
    graph = drawn_graph()
    rng = np.random.default_rng(2)
    log = [play(graph, rng, causes=True) for _ in range(1500)]
    flat = graph.with_weight(np.full(len(graph.source), 0.3))
    wide, narrow = (
        assess_learned(learn(part, flat, window=1.0), theta=0.4, trials=16384, seed=1)
        for part in (log[:10], log)
    )
    assert (narrow.high - narrow.low).mean() < 0.6 * (wide.high - wide.low).mean()
    assert ((narrow.low <= narrow.probability) & (narrow.probability <= narrow.high)).all()
    again = assess_learned(learn(log, flat, window=1.0), theta=0.4, trials=16384, seed=1)
    assert again.low.tobytes() == narrow.low.tobytes()
    plain = assess(learn(log, flat, window=1.0).graph, theta=0.4, trials=16384, seed=1)
    assert np.abs(plain.probability - narrow.probability).max() < 0.1


def test_an_undirected_edge_learns_from_both_ways() -> None:
    graph = Graph.from_edges("ab", [("a", "b")], [0.5])
    learned = learn([Incident({"a": 0, "b": 1}), Incident({"b": 0, "a": 1}), Incident({"b": 0})], graph)
    assert learned.attempts.tolist() == [3]
    assert learned.alpha[0] == pytest.approx(3.0)
    assert validate(graph, [Incident({"b": 0, "a": 1})]).count == 1


def test_without_a_graph_every_pair_seen_in_order_is_an_edge() -> None:
    learned = learn([Incident({"a": 0, "b": 1, "c": 2})])
    assert learned.graph.nodes == ("a", "b", "c")
    assert len(learned.graph.source) == 3


def test_a_failure_after_the_window_is_unexplained() -> None:
    graph = Graph.from_edges("ab", [("a", "b")], [0.5], directed=True)
    learned = learn([Incident({"a": 0, "b": 10})], graph, window=5.0)
    assert learned.unexplained == 1
    assert learned.beta[0] == pytest.approx(2.0)


@pytest.mark.parametrize(
    "line",
    [
        "{}",
        "[1]",
        "not json",
        '{"failures": {}}',
        '{"failures": {"a": NaN}}',
        '{"failures": {"a": true}}',
        '{"failures": {"a": 0, "a": 1}}',
        '{"failures": {"a": 0}, "causes": {"a": "b"}}',
        '{"failures": {"a": 0, "b": 1}, "causes": {"a": "b"}}',
        '{"failures": {"a": 0, "b": 0}, "causes": {"a": "b"}}',
        '{"failures": {"a": 0}, "typo": 1}',
        '{"failures": {"a": 0, "b": 1}, "causes": {"b": 3}}',
        "",
    ],
)
def test_an_impossible_log_is_refused_with_its_line(tmp_path: Path, line: str) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(line + "\n")
    with pytest.raises(RiskInputError) as caught:
        read_incidents(log)
    assert caught.value.code == "C0731"


def test_what_cannot_be_learned_from_is_refused(tmp_path: Path) -> None:
    graph = Graph.from_edges("ab", [("a", "b")], [0.5])
    one = Incident({"a": 0})
    for call, code in (
        (lambda: learn([], graph), "C0731"),
        (lambda: learn([{"a": 0}], graph), "C0731"),  # type: ignore[list-item]  # wrong on purpose
        (lambda: learn("log", graph), "C0731"),  # type: ignore[arg-type]
        (lambda: learn([one], graph, window="x"), "C0715"),  # type: ignore[arg-type]
        (lambda: validate(graph, [None]), "C0731"),  # type: ignore[list-item]
        (lambda: Incident(["a"]), "C0731"),  # type: ignore[arg-type]
        (lambda: Incident({"a": 0}, "a"), "C0731"),  # type: ignore[arg-type]
        (lambda: Incident({"a": 0, "b": 1}, {"b": ["a"]}), "C0731"),
        (lambda: learn([Incident({"z": 0})], graph), "C0702"),
        (lambda: learn([one], graph, strength=0), "C0715"),
        (lambda: learn([one], graph, window=math.nan), "C0715"),
        (lambda: split_incidents([one], 0.5), "C0731"),
        (lambda: read_incidents(tmp_path / "none"), "C0731"),
        (lambda: assess_learned(learn([one], graph), draws=1), "C0715"),
    ):
        with pytest.raises(RiskInputError) as caught:
            call()
        assert caught.value.code == code


def test_a_report_is_calibrated_against_incidents() -> None:
    graph = drawn_graph()
    rng = np.random.default_rng(9)
    log = [play(graph, rng, causes=False) for _ in range(600)]
    report = calibrated(assess(graph, theta=0.3, trials=4000, seed=1), graph, log)
    assert report.calibration is not None
    assert report.calibration.count == 600
    # The model is the truth here: each bin's interval holds what was predicted, but for chance.
    inside = [b.observed_low <= b.predicted <= b.observed_high for b in report.calibration.bins]
    assert sum(inside) >= len(inside) - 1
    assert report.calibration.skill > 0
    assert report.to_json()["calibration"] is not None
    with pytest.raises(RiskInputError):
        calibrated(report, graph, [])


def test_a_time_beyond_all_numbers_is_refused_and_so_are_more_pairs_than_can_be_learned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(RiskInputError, match="expected a finite number"):
        Incident({"a": 10**400})
    monkeypatch.setattr("ripstop.risk.incidents.MOST_PAIRS", 100)
    large = [Incident({f"n{i}": float(i) for i in range(20)})]
    with pytest.raises(RiskInputError, match="more than 100 pairs"):
        learn(large)
    path = Graph.from_edges([f"n{i}" for i in range(20)], [("n0", "n1")], [0.5])
    assert learn(large, path).attempts.tolist() == [1]
