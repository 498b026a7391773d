"""The Analytics Engine, a library of its own: graphs and load states in, risk reports out."""

from __future__ import annotations

from ripstop.core.errors import missing_extra

try:
    import numba as _numba  # noqa: F401 - the extra's heaviest part stands for all of it
    import scipy as _scipy  # noqa: F401
except ModuleNotFoundError as error:
    raise missing_extra(error.name or "numba", "risk") from error

import numpy as np

from ripstop.risk.assessment import assess, assess_buses, assess_flow
from ripstop.risk.calibration import Bin, Calibration, auc, brier, calibrate
from ripstop.risk.errors import RiskInputError
from ripstop.risk.files import graph_from_json, graph_to_json, parse_graph, read_graph, write_graph
from ripstop.risk.fleet import AgentRisk, Budget, FleetReport, answer_within, assess_within, fleet_risk
from ripstop.risk.flow import (
    FlowGrid,
    Outage,
    bus_losses,
    flow_graph,
    outage_factors,
    outage_losses,
    play_bus,
    play_outage,
)
from ripstop.risk.graph import Cause, Graph
from ripstop.risk.gridfiles import read_grid
from ripstop.risk.identification import Identified, Telemetry, identify
from ripstop.risk.incidents import Incident, read_incidents, split_incidents
from ripstop.risk.intervals import Standing, clopper_pearson, confidence_sequence, decide
from ripstop.risk.itemload import ItemLoad, LoadMitigation
from ripstop.risk.jobs import FlowJob, Job
from ripstop.risk.learning import Learned, assess_learned, calibrated, learn, validate
from ripstop.risk.load import LoadReport, assess_load, simulate_load
from ripstop.risk.origin import assess_node
from ripstop.risk.rare import RareEvent, rare_probability
from ripstop.risk.report import NodeRisk, RiskReport
from ripstop.risk.search import (
    Chosen,
    Critical,
    Limits,
    cheapest,
    critical_for,
    cut_each,
    isolate_each,
    most_critical,
)
from ripstop.risk.settings import Settings
from ripstop.risk.shocks import Shock, shocks_by, with_shocks
from ripstop.risk.stability import MarginTrigger, Mode, StabilityReport, margin
from ripstop.risk.swing import SwingModel, swing_model
from ripstop.risk.swingfiles import read_swing
from ripstop.risk.whatif import (
    Change,
    GraphEffect,
    GraphMitigation,
    LoadEffect,
    compare_graph,
    compare_load,
)
from ripstop.risk.work import Pool, Processes, Queue, Threads, Worker

__all__ = [
    "AgentRisk",
    "Bin",
    "Budget",
    "Calibration",
    "Cause",
    "Change",
    "Chosen",
    "Critical",
    "FleetReport",
    "FlowGrid",
    "FlowJob",
    "Graph",
    "GraphEffect",
    "GraphMitigation",
    "Identified",
    "Incident",
    "ItemLoad",
    "Job",
    "Learned",
    "Limits",
    "LoadEffect",
    "LoadMitigation",
    "LoadReport",
    "MarginTrigger",
    "Mode",
    "NodeRisk",
    "Outage",
    "Pool",
    "Processes",
    "Queue",
    "RareEvent",
    "RiskInputError",
    "RiskReport",
    "Settings",
    "Shock",
    "StabilityReport",
    "Standing",
    "SwingModel",
    "Telemetry",
    "Threads",
    "Worker",
    "answer_within",
    "assess",
    "assess_buses",
    "assess_flow",
    "assess_learned",
    "assess_load",
    "assess_node",
    "assess_within",
    "auc",
    "brier",
    "bus_losses",
    "calibrate",
    "calibrated",
    "cheapest",
    "clopper_pearson",
    "compare_graph",
    "compare_load",
    "confidence_sequence",
    "critical_for",
    "cut_each",
    "decide",
    "fleet_risk",
    "flow_graph",
    "graph_from_json",
    "graph_to_json",
    "identify",
    "isolate_each",
    "learn",
    "margin",
    "most_critical",
    "outage_factors",
    "outage_losses",
    "parse_graph",
    "play_bus",
    "play_outage",
    "rare_probability",
    "read_graph",
    "read_grid",
    "read_incidents",
    "read_swing",
    "shocks_by",
    "simulate_load",
    "split_incidents",
    "swing_model",
    "validate",
    "warmup",
    "with_shocks",
    "write_graph",
]


def warmup() -> None:
    """Compile every kernel, or load its machine code from disk, so that no later call has to wait."""
    from ripstop.risk.forecast.crossing import Limit, passage

    for directed in (False, True):
        graph = Graph.from_edges("ab", [("a", "b")], [0.5], directed=directed)
        assess(graph, theta=0.5, trials=1)
        assess_node(graph, "a", theta=0.5, trials=1)
    for model in ("threshold", "load"):
        assess(graph, theta=0.5, trials=1, model=model)
    rare_probability(graph, "a", theta=0.5, particles=10, repeats=2)
    assess_flow(FlowGrid.from_arrays([[0, 1]], [0.1], [0.0, 1.0], [1.0, 0.0], [2.0]), trials=1)
    passage(np.zeros((1, 2)), np.zeros((1, 2, 2)), Limit(1.0))
    load = ItemLoad(
        nodes=("a", "b"),
        item_owner=np.zeros(1, np.int32),
        targets=np.ones((1, 1), np.int32),
        cost=np.ones((1, 1)),
        margin=np.array([0.0, 0.5]),
    )
    simulate_load(load, "a", theta=0.5, trials=1)
