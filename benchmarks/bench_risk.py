"""Cascade risk for every node at once: how fast, against the plain networkx loop in the same run.

    make oracles
    python benchmarks/bench_risk.py [--sizes 150,1000,10000] [--rival-trials 3] [--large]

CPU time of one thread, best of a few runs, kernels warm. Graphs have mean degree 8, geometric or uniformly
random; weights are uniform around the one shown: below, near and above the critical point. The rival is the
loop as commonly written: in every trial, for every node, draw the edges on the way of a breadth-first search.
It runs a few trials only, and its time is scaled up. The other rivals find the components of one drawn world
after the other, which is all that an undirected graph needs: a loop over worlds, scaled up likewise; those
that are not installed are left out. `--large` adds 100,000 and 1,000,000 nodes, with the peak of memory.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from subprocess import PIPE, Popen

import networkx as nx
import numpy as np

from ripstop.risk import (
    Graph,
    ItemLoad,
    Settings,
    assess,
    assess_load,
    rare_probability,
    simulate_load,
    warmup,
)

TRIALS, THETA = 1000, 0.5


def drawn(kind: str, n: int, weight: float, *, directed: bool) -> nx.Graph:
    if kind == "geometric":
        graph = nx.random_geometric_graph(n, (8 / (np.pi * n)) ** 0.5, seed=1)
    else:
        graph = nx.gnm_random_graph(n, 4 * n, seed=1)
    if directed:
        graph = graph.to_directed()
    rng = np.random.default_rng(1)
    for _, _, d in graph.edges(data=True):
        d["weight"] = float(rng.uniform(0, min(2 * weight, 1)))
    return graph


def plain_loop(graph: nx.Graph, trials: int) -> None:
    for node in graph:
        for _ in range(trials):
            failed, waiting = {node}, deque([node])
            while waiting:
                v = waiting.popleft()
                for u in graph.neighbors(v):
                    if u not in failed and random.random() < graph[v][u]["weight"]:
                        failed.add(u)
                        waiting.append(u)
            len(failed) / len(graph)


def world_rivals(graph: Graph) -> dict[str, Callable[[], object]]:
    """By library: draw one world, find its components, and count the nodes in large ones."""
    n, ends = len(graph.nodes), np.stack([graph.source, graph.target], axis=1)
    rng = np.random.default_rng(3)

    def live() -> np.ndarray:
        return ends[rng.random(len(ends)) < graph.weight]

    def with_scipy() -> object:
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        edges = live()
        matrix = coo_array((np.ones(len(edges), np.int8), edges.T), shape=(n, n)).tocsr()
        _, label = connected_components(matrix, directed=False)
        return np.bincount(label)[label] > THETA * n

    def with_rustworkx() -> None:
        import rustworkx

        world = rustworkx.PyGraph(multigraph=False)
        world.add_nodes_from(range(n))
        world.add_edges_from_no_data([tuple(edge) for edge in live().tolist()])
        [part for part in rustworkx.connected_components(world) if len(part) > THETA * n]

    def with_igraph() -> None:
        import igraph

        [part for part in igraph.Graph(n, live().tolist()).connected_components() if len(part) > THETA * n]

    def with_networkit() -> None:
        import networkit

        world = networkit.Graph(n)
        for u, v in live().tolist():
            world.addEdge(u, v)
        networkit.components.ConnectedComponents(world).run()

    return {
        "scipy": with_scipy,
        "rustworkx": with_rustworkx,
        "igraph": with_igraph,
        "networkit": with_networkit,
    }


def bench_worlds(sizes: list[int], worlds: int = 20) -> None:
    print("supercritical undirected, 1,000 trials: the best loop over worlds by any library against ripstop")
    for n in sizes:
        graph = Graph.from_networkx(drawn("random", n, 0.25, directed=False))
        assess(graph, theta=THETA, trials=TRIALS, seed=1)
        ours = cpu_s(lambda g=graph: assess(g, theta=THETA, trials=TRIALS, seed=2), 3)
        found = {}
        for name, one in world_rivals(graph).items():
            try:
                one()
            except ModuleNotFoundError:
                continue
            found[name] = cpu_s(lambda call=one: [call() for _ in range(worlds)], 2) * TRIALS / worlds
        times = ", ".join(f"{name} {1e3 * s:.0f}" for name, s in found.items())
        best = min(found.values())
        print(f"{n:7}  ripstop {1e3 * ours:.1f} ms; {times} ms: {best / ours:.0f} times the best", flush=True)


def bench_large() -> None:
    for n in (100_000, 1_000_000):
        rng = np.random.default_rng(1)
        ends = rng.integers(0, n, (4 * n, 2))
        graph = Graph.from_arrays(range(n), ends, rng.uniform(0, 0.5, 4 * n))
        spent = cpu_s(lambda g=graph: assess(g, theta=THETA, trials=TRIALS, seed=2), 1)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"{n:9,} nodes undirected, supercritical: {spent:.1f} s, peak of the process {peak:.2f} GiB",
            flush=True,
        )


def bench_rare() -> None:
    path = nx.path_graph(12)
    nx.set_edge_attributes(path, 0.3, "weight")
    graph = Graph.from_networkx(path)
    found = rare_probability(graph, 0, theta=0.99, seed=1)
    spent = cpu_s(lambda: rare_probability(graph, 0, theta=0.99, seed=2), 3)
    print(
        f"rare event, exactly {0.3**11:.2e}: {found.probability:.2e}, relative deviation "
        f"{found.relative_deviation:.0%}, {1e3 * spent:.0f} ms a seed"
    )


def bench_first_call() -> None:
    code = (
        "import time, networkx as nx; g = nx.path_graph(9); nx.set_edge_attributes(g, .5, 'weight');"
        "t = time.perf_counter(); from ripstop.risk import Graph, assess; i = time.perf_counter() - t;"
        "t = time.perf_counter(); assess(Graph.from_networkx(g));"
        "print(f'{i:.2f} {time.perf_counter() - t:.2f}')"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - our own code
    imported, called = run.stdout.split()
    print(f"first call with a warm cache: {called} s, after {imported} s to import")


def cpu_s(call: Callable[[], object], runs: int) -> float:
    best = float("inf")
    for _ in range(runs):
        start = time.thread_time()
        call()
        best = min(best, time.thread_time() - start)
    return best


REGIMES = {"geometric": (0.08, 0.30, 0.45), "random": (0.08, 0.14, 0.17, 0.25)}


def bench_graphs(sizes: list[int], rival_trials: int) -> None:
    print(f"{'nodes':>7} {'':21} {'weight':>6} {'ripstop ms':>11} {'networkx s':>11} {'times':>8}  mean P")
    for n in sizes:
        for kind, weights in REGIMES.items():
            for directed in (False, True):
                for weight in weights:
                    source = drawn(kind, n, weight, directed=directed)
                    rival = rival_s(source, rival_trials) if n <= 1000 and rival_trials else float("nan")
                    report_line(kind, weight, Graph.from_networkx(source), rival)


def rival_s(source: nx.Graph, trials: int) -> float:
    trials = trials if len(source) <= 150 else 1
    return cpu_s(lambda: plain_loop(source, trials), 1) * TRIALS / trials


def report_line(kind: str, weight: float, graph: Graph, rival: float) -> None:
    n = len(graph.nodes)
    report = assess(graph, theta=THETA, trials=TRIALS, seed=1)
    ours = cpu_s(lambda: assess(graph, theta=THETA, trials=TRIALS, seed=2), 5 if n < 5000 else 2)
    name = f"{kind} {'directed' if graph.directed else 'undirected'}"
    print(
        f"{n:7} {name:21} {weight:6.2f} {1e3 * ours:11.2f} {rival:11.2f} {rival / ours:8.0f}"
        f"  {report.probability.mean():.3f}",
        flush=True,
    )


def bench_items() -> None:
    rng = np.random.default_rng(0)
    n, m, k = 150, 500, 12
    shared = {
        "nodes": tuple(range(n)),
        "item_owner": rng.integers(0, n, m),
        "targets": rng.integers(0, n, (m, k)),
        "cost": rng.uniform(0, 3, (m, k)),
        "sigma": 1.0,
        "slots": 6,
    }
    for name, margin in (("cascading", rng.uniform(0, 4, n)), ("calm", rng.uniform(4, 14, n))):
        load = ItemLoad(margin=margin, **shared)
        one = cpu_s(lambda l=load: simulate_load(l, 3, theta=0.2, trials=200), 5)
        every = cpu_s(lambda l=load: assess_load(l, theta=0.2, trials=200), 1)
        settled = cpu_s(
            lambda l=load: assess_load(l, theta=0.2, trials=200, settings=Settings(threshold=0.3)), 1
        )
        print(
            f"load by item, {n} nodes, {m} items, 200 trials, {name}: one seed {1e3 * one:.2f} ms, "
            f"all seeds {1e3 * every:.0f} ms, all settled against 0.3 in {1e3 * settled:.0f} ms"
        )


def bench_threads(runs: int = 7) -> None:
    """The same graph again, and one that was never asked: it is laid out first, by one thread.

    The wall shows it on two cores that nothing else uses. CPU time shows it on any machine: what the calling
    thread spends, and half of what the others do, is the least that two threads could take. The ceiling is
    what the machine gives: two processes that each ask with one thread, a core each, against one alone.
    """
    graph = thread_graph()
    for trials in (TRIALS, 8 * TRIALS):
        walls: dict[str, list[float]] = {}
        least: dict[str, float] = {}
        with twins(trials) as (first, second):
            for seed in range(runs):
                for workers, name in ((1, "one"), (2, "two")):
                    for known in (True, False):
                        # A copy has nothing of what the graph keeps.
                        asked_of, key = graph if known else replace(graph), f"{name} {known}"
                        wall, cpu = threads_s(asked_of, trials, seed, workers)
                        walls.setdefault(key, []).append(wall)
                        least[key] = min(least.get(key, cpu), cpu)
                walls.setdefault("alone", []).append(asked(seed, first))
                walls.setdefault("pair", []).append(asked(seed, first, second))
        best, usual = ({name: of(each) for name, each in walls.items()} for of in (min, np.median))
        for known in (True, False):
            one, two = f"one {known}", f"two {known}"
            print(
                f"two threads, 10,000 nodes, {trials:,} trials, {'again' if known else 'a new graph'}: "
                f"{best[one] / best[two]:.2f} times one by the wall (median {usual[one] / usual[two]:.2f}), "
                f"{least[one] / least[two]:.2f} by CPU time ({1e3 * least[one]:.1f} ms one thread)"
            )
        ceiling, median = (2.0 * of["alone"] / of["pair"] for of in (best, usual))
        print(
            f"two processes, {trials:,} trials: {ceiling:.2f} times one by the wall (median {median:.2f})",
            flush=True,
        )


def threads_s(graph: Graph, trials: int, seed: int, workers: int) -> tuple[float, float]:
    """Give how long a question took: by the wall, and the least that so many threads could take."""
    clocks = time.perf_counter, time.process_time, time.thread_time
    start = [now() for now in clocks]
    assess(graph, theta=THETA, trials=trials, seed=seed, settings=Settings(workers=workers))
    wall, whole, own = (now() - then for now, then in zip(clocks, start, strict=True))
    return wall, own + (whole - own) / workers


def thread_graph() -> Graph:
    return Graph.from_networkx(drawn("random", 10_000, 0.14, directed=False))


@contextmanager
def twins(trials: int) -> Iterator[list[Popen[str]]]:
    """Start two processes, a core each, that answer a seed by how long one thread took for it."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    begun = [
        Popen(  # noqa: S603 - this program
            [sys.executable, __file__, "--twin", f"{core}:{trials}"], stdin=PIPE, stdout=PIPE, text=True
        )
        for core in cores
    ]
    try:
        asked(0, *begun)
        yield begun
    finally:
        for each in begun:
            each.communicate()


def asked(seed: int, *processes: Popen[str]) -> float:
    """Have processes answer a seed at the same time; give how long the slower one took."""
    for each in processes:
        print(seed, file=each.stdin, flush=True)
    return max(float(each.stdout.readline()) for each in processes if each.stdout is not None)


def be_twin(core: int, trials: int) -> None:
    os.sched_setaffinity(0, {core})
    graph = thread_graph()
    for line in sys.stdin:
        start = time.perf_counter()
        assess(graph, theta=THETA, trials=trials, seed=int(line))
        print(time.perf_counter() - start, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", default="150,1000,10000")
    parser.add_argument("--rival-trials", type=int, default=3, help="0 leaves the networkx loop out")
    parser.add_argument("--large", action="store_true", help="100,000 and 1,000,000 nodes too")
    parser.add_argument("--threads", action="store_true", help="two threads alone")
    parser.add_argument("--twin", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.twin:
        be_twin(*map(int, args.twin.split(":")))
        return
    if args.threads:
        bench_threads()
        return
    start = time.perf_counter()
    warmup()
    print(f"warm-up: {time.perf_counter() - start:.2f} s")
    bench_items()
    bench_graphs([int(size) for size in args.sizes.split(",")], args.rival_trials)
    bench_worlds([int(size) for size in args.sizes.split(",")])
    bench_rare()
    bench_first_call()
    bench_threads()
    if args.large:
        bench_large()


if __name__ == "__main__":
    main()
