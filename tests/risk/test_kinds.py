"""Arguments of kinds that nobody meant: each is told with a code, and no name of a Python type."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import networkx as nx
import numpy as np
import pytest

from ripstop.core.errors import RipstopError
from ripstop.risk import (
    Budget,
    Graph,
    GraphMitigation,
    Incident,
    Limits,
    MarginTrigger,
    Settings,
    Shock,
    Telemetry,
    answer_within,
    assess,
    assess_flow,
    assess_learned,
    assess_node,
    calibrate,
    calibrated,
    cheapest,
    compare_graph,
    critical_for,
    fleet_risk,
    graph_from_json,
    identify,
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
    swing_model,
    validate,
    with_shocks,
    write_graph,
)
from ripstop.risk.forecast import Limit, Watch, evaluate, fit, followed, read_model, read_series
from ripstop.risk.kinds import Kind, takes

GRAPH = Graph.from_edges("abc", [("a", "b"), ("b", "c")], [0.5, 0.5], directed=True)
LOG = [Incident({"a": 0, "b": 1}), Incident({"b": 0, "c": 1})]
GRID = swing_model([[0, 1]], [2.0], [0.1, 0.2], [0.05, 0.1], [1.0, -1.0])
SERIES = np.sin(np.arange(600) / 9) + np.random.default_rng(0).normal(0, 0.1, 600)
MODEL, LIMIT = fit([SERIES]), Limit(1.0)
ODD: tuple[Any, ...] = (
    None, "x", b"x", True, -1, 1.5, math.nan, math.inf, 10**400, 1j, {}, {"a": {}}, {1}, range(3), iter([1]),
    [None], [[1], [2, 3]], np.array("x"), np.array([1, 2]), np.ma.masked_array([1, 2], [0, 1]),
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
    "most": lambda odd: most_critical(odd, 1),
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
    "followed": lambda odd: followed(odd, [SERIES]),
    "watch": lambda odd: Watch(odd, ["a"]),
    "watched": lambda odd: Watch(MODEL, ["a"]).forecast(odd),
    "observed": lambda odd: Watch(MODEL, ["a"]).observe(odd),
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
