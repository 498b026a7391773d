"""Asks the risk models what a fault would lead to, with any measures in place, on common random numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ripstop.risk import Graph, ItemLoad, LoadMitigation, assess, assess_node, simulate_load

from ..telemetry.dependency import Edges, FleetLoad, dependency_edges
from .hub import Risk
from .playbook import Model, Playbook

Flags = NDArray[np.bool_]
_INCIDENT = "(incident)"


@dataclass(frozen=True, slots=True)
class Measures:
    """What a mitigation does to the fleet's frozen state; the names of `LoadMitigation`.

    `paused` (m,) items are not handed over nor done, `checked` (n,) agents take nothing they cannot carry,
    `isolated` (n,) agents neither give nor take.
    """

    name: str
    paused: Flags
    checked: Flags
    isolated: Flags


def no_measures(load: FleetLoad) -> Measures:
    """Give the measures that do nothing."""
    count = len(load.agents)
    return Measures(
        "none", np.zeros(len(load.owner), np.bool_), np.zeros(count, np.bool_), np.zeros(count, np.bool_)
    )


def fault_probability(suspects: Mapping[str, float]) -> float:
    """Give the probability that at least one of the suspects fails; their failures count as independent."""
    return 1.0 - math.prod(1.0 - p for p in suspects.values())


@dataclass(frozen=True, slots=True)
class Draw:
    """Which model answers, with how many worlds, from which seed."""

    model: Model
    trials: int
    seed: int


def forecast(
    load: FleetLoad, suspects: Mapping[str, float], measures: Measures, playbook: Playbook, draw: Draw
) -> Risk:
    """Estimate P(fault | evidence) x P(more than theta of the airborne fleet, others too, fail).

    By load, all suspects fail at once and the result is multiplied by the probability that any of them does:
    an upper bound where there are several. By percolation each fails with its own probability.
    """
    held = {agent: p for agent, p in suspects.items() if agent in load.index}
    theta = _theta(load, held, playbook)
    if not held or theta >= 1.0:
        return Risk(draw.model.value, 0.0, 0.0, 0.0, 0, 0.0)
    asked = replace(playbook, risk=replace(playbook.risk, theta=theta))
    if draw.model is Model.LOAD:
        return _by_load(load, held, measures, asked, draw)
    return _by_percolation(load, held, measures, asked, draw)


def _theta(load: FleetLoad, suspects: Mapping[str, float], playbook: Playbook) -> float:
    """Give the share that counts as a cascade: the playbook's, and at least one agent besides the suspects.

    In a fleet of four a single fault is more than a fifth already, but no cascade.
    """
    counted = float(_consequence(load, suspects).sum())
    return max(playbook.risk.theta, (len(suspects) + 0.5) / counted) if counted else 1.0


def _consequence(load: FleetLoad, suspects: Mapping[str, float]) -> NDArray[np.float64]:
    """What counts as the airborne fleet: who is active now, and the suspects, who were."""
    counted = load.active.copy()
    counted[[load.index[agent] for agent in suspects]] = True
    return counted.astype(np.float64)


def _by_load(
    load: FleetLoad, suspects: Mapping[str, float], measures: Measures, playbook: Playbook, draw: Draw
) -> Risk:
    state = ItemLoad(
        nodes=load.agents,
        item_owner=load.owner,
        targets=load.targets,
        cost=np.where(load.targets >= 0, load.cost, 0.0),
        margin=load.spare + playbook.handover.overdraft,
        reserve=playbook.handover.overdraft,
        sigma=playbook.handover.sigma,
        slots=load.slots,
        own_cost=load.own_cost,
        eligible=load.available,
        consequence=_consequence(load, suspects),
        per_cycle=playbook.handover.per_cycle,
    )
    mitigation = LoadMitigation(
        name=measures.name, paused=measures.paused, checked=measures.checked, isolated=measures.isolated
    )
    report = simulate_load(
        state,
        tuple(suspects),
        theta=playbook.risk.theta,
        trials=draw.trials,
        seed=draw.seed,
        mitigation=mitigation,
    )
    weight = fault_probability(suspects)
    return Risk(
        "load", report.probability * weight, report.low * weight, report.high * weight, draw.trials,
        report.expected_share * weight,
    )  # fmt: skip


def mitigated(load: FleetLoad, measures: Measures) -> FleetLoad:
    """Apply the measures to the arrays themselves, for models that know nothing of measures."""
    spare = load.spare.copy()
    np.add.at(spare, load.owner[measures.paused], load.own_cost[measures.paused])
    targets = load.targets.copy()
    targets[measures.paused | measures.isolated[load.owner]] = -1
    taker = np.maximum(targets, 0)
    overloads = measures.checked[taker] & (load.cost > spare[taker])
    targets[overloads | measures.isolated[taker]] = -1
    return replace(load, spare=spare, targets=targets)


def _by_percolation(
    load: FleetLoad, suspects: Mapping[str, float], measures: Measures, playbook: Playbook, draw: Draw
) -> Risk:
    """One more node stands for the incident: its edges are the suspects' probabilities to fail."""
    edges = dependency_edges(mitigated(load, measures), playbook.handover)
    count = len(load.agents)
    rows = np.array([load.index[agent] for agent in suspects], dtype=np.int32)
    weights = np.array(list(suspects.values()))
    graph = takeover_graph(
        load,
        Edges(
            np.concatenate([edges.source, np.full(len(rows), count, np.int32)]),
            np.concatenate([edges.target, rows]),
            np.concatenate([edges.weight, weights]),
        ),
        np.append(_consequence(load, suspects), 0.0),
        extra=(_INCIDENT,),
    )
    found = assess_node(graph, _INCIDENT, theta=playbook.risk.theta, trials=draw.trials, seed=draw.seed)
    return Risk(
        "percolation", found.probability, found.low, found.high, draw.trials, found.expected_share or 0.0
    )


def takeover_graph(
    load: FleetLoad, edges: Edges, consequence: NDArray[np.float64], extra: tuple[str, ...] = ()
) -> Graph:
    """Give the risk graph whose edges are take-overs of work."""
    order = np.lexsort((edges.target, edges.source))
    return Graph(
        nodes=(*load.agents, *extra),
        directed=True,
        source=edges.source[order],
        target=edges.target[order],
        channels={"takeover": edges.weight[order]},
        quantities={"consequence": consequence},
    )


def ranking(load: FleetLoad, playbook: Playbook, *, trials: int, seed: int) -> tuple[str, float]:
    """Give the agent whose failure would be the worst by percolation, and P(cascade) if it fails."""
    edges = dependency_edges(load, playbook.handover)
    graph = takeover_graph(load, edges, load.active.astype(np.float64))
    report = assess(graph, theta=playbook.risk.theta, trials=trials, seed=seed)
    worst = int(report.probability.argmax())
    return load.agents[worst], float(report.probability[worst])
