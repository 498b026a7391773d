from __future__ import annotations

from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
from numpy.typing import NDArray

from ripstop.risk import Budget, Graph, RiskInputError, fleet_risk
from ripstop.risk.forecast import Forecaster, Limit, failure_probabilities


def test_forecasts_give_the_fleet_s_risk_its_failure_probabilities(
    model: Forecaster, windows: NDArray[np.float64], limit: Limit
) -> None:
    names = [f"drone-{i}" for i in range(4)]
    battery = model.forecast(windows[:4], limit, names=names)
    heat = model.forecast(windows[4:7], Limit(55.0), names=names[:3])
    failure = failure_probabilities([battery, heat], unknown=0.1)
    for i, name in enumerate(names):
        survives = 1.0 - battery.probability[i]
        if i < 3:
            survives *= 1.0 - heat.probability[i]
        assert failure[name] == pytest.approx(1.0 - survives)
    ring = nx.cycle_graph(4)
    nx.set_edge_attributes(ring, 0.8, "weight")
    graph = Graph.from_networkx(nx.relabel_nodes(ring, dict(enumerate(names))))
    report = fleet_risk(graph, failure, budget=Budget(trials=256))
    likeliest = max(failure, key=lambda name: failure[name])
    assert report.of(likeliest).failure == pytest.approx(failure[likeliest])
    assert report.any_cascade > 0.0


def test_a_signal_that_is_not_known_is_never_taken_for_safe(
    model: Forecaster, windows: NDArray[np.float64], limit: Limit
) -> None:
    silent = windows[:2].copy()
    silent[0] = np.nan
    report = model.forecast(silent, limit, names=["a", "b"])
    assert failure_probabilities([report], unknown=0.3)["a"] == pytest.approx(0.3)
    with pytest.raises(RiskInputError) as caught:
        failure_probabilities([report], unknown=float("nan"))
    assert caught.value.code == "C0715"


def test_a_name_that_stands_twice_is_refused(
    model: Forecaster, windows: NDArray[np.float64], limit: Limit
) -> None:
    report = replace(model.forecast(windows[:2], limit), names=("a", "a"))
    with pytest.raises(RiskInputError, match="stands twice"):
        failure_probabilities([report], unknown=0.1)
