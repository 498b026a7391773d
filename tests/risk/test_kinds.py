"""Arguments of kinds that nobody meant: each is told with a code, and no name of a Python type."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import networkx as nx
import numpy as np
import pytest

from ripstop.core.errors import RipstopError
from ripstop.risk import (
    Budget,
    FlowJob,
    Graph,
    GraphMitigation,
    Incident,
    ItemLoad,
    Job,
    Limits,
    MarginTrigger,
    Settings,
    Shock,
    Telemetry,
    Worker,
    answer_within,
    assess,
    assess_flow,
    assess_learned,
    assess_load,
    assess_node,
    calibrate,
    calibrated,
    cheapest,
    clopper_pearson,
    compare_graph,
    compare_load,
    confidence_sequence,
    critical_for,
    cut_each,
    decide,
    fleet_risk,
    graph_from_json,
    graph_to_json,
    identify,
    isolate_each,
    learn,
    margin,
    most_critical,
    outage_losses,
    parse_graph,
    rare_probability,
    read_graph,
    read_grid,
    read_incidents,
    read_swing,
    shocks_by,
    simulate_load,
    swing_model,
    validate,
    with_shocks,
    write_graph,
)
from ripstop.risk.forecast import (
    AdaptiveRadius,
    Bet,
    Limit,
    Watch,
    ahead_of,
    evaluate,
    evenly,
    failure_probabilities,
    fit,
    fit_each,
    followed,
    read_model,
    read_series,
    write_model,
)
from ripstop.risk.kinds import Kind, takes

GRAPH = Graph.from_edges("abc", [("a", "b"), ("b", "c")], [0.5, 0.5], directed=True)
LOG = [Incident({"a": 0, "b": 1}), Incident({"b": 0, "c": 1})]
GRID = swing_model([[0, 1]], [2.0], [0.1, 0.2], [0.05, 0.1], [1.0, -1.0])
SERIES = np.sin(np.arange(600) / 9) + np.random.default_rng(0).normal(0, 0.1, 600)
MODEL, LIMIT = fit([SERIES]), Limit(1.0)
LOAD = ItemLoad(nodes="ab", item_owner=[0], targets=[[1]], cost=[[1]], margin=0.5)
ODD: tuple[Any, ...] = (
    None, "x", b"x", "\ud800", True, -1, 1.5, math.nan, math.inf, 10**400, 1j, {},
    {"a": {}}, {1}, range(3), iter([1]), [None], [[1], [2, 3]],
    np.array("x"), np.array([1, 2]), np.zeros(1, "i4,i4"), np.ma.masked_array([1, 2], [0, 1]),
    Fraction(1, 2), int, len, nx.path_graph(3), io.StringIO("x"), np.datetime64("2020"),
)  # fmt: skip
ASKED: dict[str, Callable[[Any], object]] = {
    "nodes": lambda odd: Graph.from_edges(odd, [("a", "b")], [0.5]),
    "edges": lambda odd: Graph.from_edges("ab", odd, [0.5]),
    "weights": lambda odd: Graph.from_edges("ab", [("a", "b")], odd),
    "quantities": lambda odd: Graph.from_edges("ab", [("a", "b")], [0.5], quantities=odd),
    "ends": lambda odd: Graph.from_arrays("ab", odd, [0.5]),
    "networkx": lambda odd: Graph.from_networkx(odd),
    "json": graph_from_json,
    "text": parse_graph,
    "file": read_graph,
    "written": lambda odd: write_graph(odd, "x.json"),
    "assess": lambda odd: assess(odd, trials=64),
    "theta": lambda odd: assess(GRAPH, trials=64, theta=odd),
    "trials": lambda odd: assess(GRAPH, trials=odd),
    "seed": lambda odd: assess(GRAPH, trials=64, seed=odd),
    "model": lambda odd: assess(GRAPH, trials=64, model=odd if isinstance(odd, str) else str(odd)),
    "settings": lambda odd: assess(GRAPH, trials=64, settings=odd),
    "confidence": lambda odd: Settings(confidence=odd),
    "threshold": lambda odd: assess(GRAPH, trials=64, settings=Settings(threshold=odd)),
    "expected": lambda odd: assess(GRAPH, trials=64, settings=Settings(expected=odd)),
    "node": lambda odd: assess_node(odd, "a", trials=64),
    "rare": lambda odd: rare_probability(odd, "a", particles=10, repeats=2),
    "learn": lambda odd: learn(odd),
    "prior": lambda odd: learn(LOG, odd),
    "strength": lambda odd: learn(LOG, strength=odd),
    "validate": lambda odd: validate(odd, LOG),
    "bins": lambda odd: validate(GRAPH, LOG, bins=odd),
    "calibrate": lambda odd: calibrate(odd, [1]),
    "calibrated": lambda odd: calibrated(odd, GRAPH, LOG),
    "learned": lambda odd: assess_learned(odd, trials=64, draws=2),
    "log": read_incidents,
    "measures": lambda odd: compare_graph(GRAPH, odd, trials=64),
    "compared": lambda odd: compare_graph(odd, [], trials=64),
    "cut": lambda odd: GraphMitigation(cut=odd),
    "shed": lambda odd: GraphMitigation(shed=odd),
    "cost": lambda odd: GraphMitigation(cost=odd),
    "cheapest": lambda odd: cheapest(odd, [], 0.1),
    "critical": lambda odd: critical_for(odd, 1),
    "ranked": lambda odd: most_critical(odd, 1),
    "limits": lambda odd: Limits(odd),
    "seconds": lambda odd: Budget(10, odd),
    "within": lambda odd: answer_within(odd, Budget(10)),
    "fleet": lambda odd: fleet_risk(GRAPH, odd),
    "shocks": lambda odd: with_shocks(GRAPH, odd),
    "members": lambda odd: Shock("s", odd),
    "margin": margin,
    "direction": lambda odd: margin(GRID, odd),
    "identify": identify,
    "times": lambda odd: identify(Telemetry(odd, [[0.0]], [[50.0]])),
    "machines": lambda odd: identify(
        Telemetry(np.arange(400.0), SERIES[:400, None], SERIES[:400, None]), machines=odd
    ),
    "trigger": lambda odd: MarginTrigger(damping_enter=odd),
    "report": lambda odd: MarginTrigger().is_active(odd, was_active=False),
    "swing": read_swing,
    "lines": lambda odd: swing_model(odd, [1.0], [1, 1], [1, 1], [0, 0]),
    "grid": lambda odd: assess_flow(odd, trials=1),
    "losses": outage_losses,
    "case": read_grid,
    "histories": fit,
    "window": lambda odd: fit([SERIES], window=odd),
    "evaluated": lambda odd: evaluate(odd, [SERIES], LIMIT),
    "limit": lambda odd: evaluate(MODEL, [SERIES], odd),
    "followed": lambda odd: followed(odd, [SERIES], LIMIT),
    "watch": lambda odd: Watch(odd, ["a"]),
    "watched": lambda odd: Watch(MODEL, ["a"]).forecast(odd),
    "observed": lambda odd: Watch(MODEL, ["a"]).observe(odd),
    "hits": lambda odd: clopper_pearson(odd, 2),
    "counts": lambda odd: clopper_pearson(1, odd),
    "tail": lambda odd: clopper_pearson(1, 2, odd),
    "sequence": lambda odd: confidence_sequence(odd, 2, 0.9),
    "looks": lambda odd: confidence_sequence(1, 2, odd),
    "decided": lambda odd: decide(odd, 2, 0.5),
    "against": lambda odd: decide(1, 2, odd),
    "surely": lambda odd: decide(1, 2, 0.5, odd),
    "isolated": lambda odd: isolate_each(odd),
    "links": lambda odd: cut_each(odd),
    "agents": lambda odd: shocks_by(odd, "xy"),
    "groups": lambda odd: shocks_by("ab", odd),
    "pool": lambda odd: assess(GRAPH, trials=64, settings=Settings(pool=odd)),
    "question": lambda odd: Job(GRAPH, settings=odd),
    "asked": lambda odd: Job(GRAPH, model=odd),
    "worlds": lambda odd: Job(GRAPH).count(odd),
    "candidates": lambda odd: cheapest(GRAPH, odd, 0.1),
    "watched nodes": lambda odd: cheapest(GRAPH, (), 0.1, watched=odd),
    "within limits": lambda odd: cheapest(GRAPH, (), 0.1, limits=odd),
    "asking": lambda odd: cheapest(GRAPH, (), 0.1, ask=odd if not callable(odd) else None),
    "as links": lambda odd: most_critical(GRAPH, 1, links=odd, trials=64),
    "around": lambda odd: GraphMitigation(shed={"weight": 0.5}, shed_around=odd).apply(GRAPH),
    "direction of edges": lambda odd: Graph.from_edges("ab", [("a", "b")], [0.5], directed=odd),
    "attributes": lambda odd: Graph.from_networkx(nx.Graph([("a", "b")]), odd),
    "added nodes": GRAPH.with_nodes,
    "lost nodes": GRAPH.without_nodes,
    "added edges": lambda odd: GRAPH.with_edges(odd, [0.5]),
    "channels": GRAPH.with_channels,
    "moved": GRAPH.with_moved_load,
    "as json": graph_to_json,
    "asked node": assess(GRAPH, trials=64).of,
    "top": assess(GRAPH, trials=64).ranking,
    "owners": lambda odd: ItemLoad(nodes=odd, item_owner=[0], targets=[[1]], cost=[[1]], margin=0.5),
    "items": lambda odd: ItemLoad(nodes="ab", item_owner=odd, targets=[[1]], cost=[[1]], margin=0.5),
    "targets": lambda odd: ItemLoad(nodes="ab", item_owner=[0], targets=odd, cost=[[1]], margin=0.5),
    "per cycle": lambda odd: simulate_load(replace(LOAD, per_cycle=odd), "a", trials=4),
    "load": lambda odd: simulate_load(odd, "a", trials=4),
    "failing": lambda odd: simulate_load(LOAD, odd, trials=4),
    "all loads": lambda odd: assess_load(odd, trials=4),
    "load's measures": lambda odd: compare_load(LOAD, "a", odd, trials=4),
    "load's measure": lambda odd: simulate_load(LOAD, "a", trials=4, mitigation=odd),
    "fetch": lambda odd: Worker(odd),
    "jobs": lambda odd: Worker(len, odd),
    "was active": lambda odd: MarginTrigger().is_active(margin(GRID), was_active=odd),
    "power job": lambda odd: FlowJob(odd),
    "side": lambda odd: Limit(1.0, odd),
    "promise": lambda odd: Bet(odd, 0.0),
    "outcome": lambda odd: Bet(0.1, 0.0).update(odd),
    "scores": lambda odd: AdaptiveRadius(odd, 1),
    "series of scores": lambda odd: AdaptiveRadius(np.ones((1, 9)), odd),
    "came": lambda odd: AdaptiveRadius(np.ones((1, 9)), 1).update(odd, np.ones(1)),
    "step": lambda odd: fit([SERIES], step_s=odd),
    "horizon": lambda odd: fit_each([SERIES], horizon=odd),
    "most": lambda odd: ahead_of(MODEL, SERIES, LIMIT, most=odd),
    "instants": lambda odd: evenly(odd, SERIES),
    "samples": lambda odd: evenly(np.arange(600.0), odd),
    "spacing": lambda odd: evenly(np.arange(600.0), SERIES, odd),
    "crossings": lambda odd: failure_probabilities(odd, unknown=0.5),
    "weights of a network": lambda odd: write_model(MODEL, odd, "x.onnx"),
    "onnx": read_model,
    "series": read_series,
}


@pytest.mark.parametrize("question", ASKED)
def test_what_is_of_another_kind_is_answered_or_refused_with_a_code(question: str) -> None:
    for odd in ODD:
        try:
            ASKED[question](odd)
        except RipstopError as error:
            assert error.code, odd


def test_a_kind_is_told_in_words_and_a_default_passes() -> None:
    @takes(names=Kind("names", str, each=True))
    def counted(names: list[str] | None = None) -> int:
        return len(names or ())

    assert (counted(), counted(["a"]), counted(names=None)) == (0, 1, 0)
    with pytest.raises(RipstopError, match="C0716: `names` is `ab`, expected names"):
        counted("ab")  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(RipstopError, match="build one by"):
        assess({"a": ["b"]})  # type: ignore[arg-type]
    with pytest.raises(KeyError):
        takes(other=Kind("names", str))(counted)
