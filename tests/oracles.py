"""Slow, obvious answers that kernels are held to."""

from __future__ import annotations

import itertools
from collections.abc import Hashable

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from ripstop.risk import ItemLoad


def exact_percolation(
    graph: nx.Graph, theta: float, consequence: str = "consequence"
) -> dict[Hashable, float]:
    """Sum over every subset of live edges: P(share reached > theta) by starting node."""
    edges = [(u, v, d["weight"]) for u, v, d in graph.edges(data=True)]
    total = sum(graph.nodes[v].get(consequence, 1) for v in graph)
    answer = dict.fromkeys(graph, 0.0)
    for alive in itertools.product((False, True), repeat=len(edges)):
        chance = 1.0
        world = nx.DiGraph() if graph.is_directed() else nx.Graph()
        world.add_nodes_from(graph)
        for (u, v, p), live in zip(edges, alive, strict=True):
            chance *= p if live else 1.0 - p
            if live:
                world.add_edge(u, v)
        if chance == 0.0:
            continue
        for node in graph:
            reached = nx.descendants(world, node) | {node}
            if sum(graph.nodes[v].get(consequence, 1) for v in reached) / total > theta:
                answer[node] += chance
    return answer


def exact_expected_share(graph: nx.Graph) -> dict[Hashable, float]:
    """Sum over thresholds: E[share] = sum over k of P(count > k) / n, from the exact law above."""
    n = len(graph)
    shares = dict.fromkeys(graph, 0.0)
    for k in range(n):
        for node, p in exact_percolation(graph, (k + 0.5) / n).items():
            shares[node] += p / n
    return shares


def play_load(load: ItemLoad, failing: list[int], noise: list[float]) -> dict[str, object]:
    """Play one world of load redistribution by item, as the documentation of `ItemLoad` reads."""
    n = len(load.nodes)
    held = {v: [i for i, owner in enumerate(load.item_owner) if owner == v] for v in range(n)}
    room, slots = [float(x) for x in load.margin], [int(x) for x in load.slots]
    failed, moved, dropped, cycles = list(failing), 0, 0, 0
    while any(held[v] for v in failed) and (load.cycles == 0 or cycles < load.cycles):
        cycles += 1
        took = []
        for v in list(failed):
            given = 0
            while held[v] and given < load.per_cycle:
                item = held[v].pop(0)
                for j, cost in zip(load.targets[item], load.cost[item], strict=True):
                    if j >= 0 and j not in failed and load.eligible[j] and slots[j] > 0:
                        slots[j] -= 1
                        room[j] -= float(cost)
                        held[j].append(item)
                        took.append(j)
                        moved += 1
                        given += 1
                        break
                else:
                    dropped += 1
        failed.extend(j for j in dict.fromkeys(took) if room[j] + noise[j] < 0)
    return {"failed": sorted(int(v) for v in failed), "moved": moved, "dropped": dropped, "cycles": cycles}


def play_overload(
    graph: nx.Graph, load: dict[Hashable, float], capacity: dict[Hashable, float], first: Hashable
) -> set[Hashable]:
    """Play one world of load redistribution on a plain graph, as the documentation of `OverloadRun` reads."""
    carried = dict(load)
    failed, wave = {first}, [first]
    while wave:
        touched = []
        for v in wave:
            alive = {u: d["weight"] for u, d in graph[v].items() if u not in failed and d["weight"] > 0}
            for u, weight in alive.items():
                carried[u] += carried[v] * weight / sum(alive.values())
                touched.append(u)
        wave = [u for u in dict.fromkeys(touched) if carried[u] > capacity[u]]
        failed.update(wave)
    return failed


def fall_by_threshold(
    weights: NDArray[np.float64], thresholds: NDArray[np.float64], first: int
) -> NDArray[np.bool_]:
    """Let every node fail once its failed in-neighbours' weights exceed its threshold, in each row."""
    failed = np.zeros(thresholds.shape, np.bool_)
    failed[:, first] = True
    while True:
        more = failed | (failed @ weights > thresholds)
        if (more == failed).all():
            return failed
        failed = more
