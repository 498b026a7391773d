"""Physical truth: which line's outage loses most load on an IEEE grid, and who ranks the lines best.

    make oracles
    OPENBLAS_NUM_THREADS=1 python benchmarks/bench_risk_grid.py [--case case118 case39] [--held-out 200]

The truth is a DC line-trip cascade for every line in every held-out load scenario. In the first it is played
by the plain simulator below, for a hundred lines at most, whose flows are held to pandapower's `rundcpp`, and
which `outage_losses` has to agree with; the rest is left to `outage_losses`. Scenarios scale all loads by 0.8
to 1.2 and each by a normal factor of deviation 0.1. A line trips above 1 + alpha times its flow at the
nominal point, and 50 MW. Each predictor sees the nominal point; `learned` and `simulator` see other, earlier
scenarios too; `flow` has its defaults on every grid, unless options say otherwise. The score is
Spearman's rank correlation with the mean load lost, its interval from 2,000 bootstraps over lines. Where
halves of the scenarios hardly rank the lines alike, the truth is noise, and no score says much: take more.
"""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Callable
from dataclasses import replace

import networkx as nx
import numpy as np
from scipy.stats import rankdata

from ripstop.risk import (
    FlowGrid,
    Graph,
    Incident,
    Settings,
    assess,
    assess_flow,
    flow_graph,
    learn,
    outage_losses,
)

BOOTSTRAPS = 2000
PLAIN = 500  # buses above which the plain simulator, which solves dense systems, plays three lines only


def load_case(name: str) -> FlowGrid:
    import pandapower
    import pandapower.networks as networks

    warnings.simplefilter("ignore")
    net = getattr(networks, name)()
    pandapower.rundcpp(net)
    grid = FlowGrid.from_matpower(net._ppc)
    reference = net._ppc["branch"][:, 13].real
    worst = float(np.abs(plain_flows(grid, set(), grid.generation - grid.demand) - reference).max())
    print(f"{name}: {len(grid.demand)} buses, {len(grid.lines)} lines; rundcpp agrees within {worst:.1e} MW")
    return grid


def plain_flows(grid: FlowGrid, down: set[int], injection: np.ndarray) -> np.ndarray:
    graph = nx.MultiGraph()
    graph.add_nodes_from(range(len(injection)))
    graph.add_edges_from(
        (int(s), int(t), k)
        for k, (s, t) in enumerate(zip(grid.source, grid.target, strict=True))
        if k not in down
    )
    flow = np.zeros(len(grid.lines))
    for island in nx.connected_components(graph):
        buses = sorted(island)
        place = {v: i for i, v in enumerate(buses)}
        matrix = np.zeros((len(buses), len(buses)))
        inside = [k for _, _, k in graph.edges(buses, keys=True)]
        for k in inside:
            s, t, b = place[int(grid.source[k])], place[int(grid.target[k])], grid.susceptance[k]
            matrix[s, s] += b
            matrix[t, t] += b
            matrix[s, t] -= b
            matrix[t, s] -= b
        power = injection[buses]
        for k in inside:
            power[place[int(grid.source[k])]] -= grid.pushed[k]
            power[place[int(grid.target[k])]] += grid.pushed[k]
        angle = np.zeros(len(buses))
        if len(buses) > 1:
            angle[1:] = np.linalg.solve(matrix[1:, 1:], power[1:])
        for k in inside:
            across = angle[place[int(grid.source[k])]] - angle[place[int(grid.target[k])]]
            flow[k] = grid.susceptance[k] * across + grid.pushed[k]
    return flow


def plain_cascade(grid: FlowGrid, first: int) -> tuple[float, dict[int, float]]:
    """Load lost, and the round in which each line went down."""
    down, demand, made, rounds = {first: 0.0}, grid.demand.copy(), grid.generation.copy(), 0
    while True:
        graph = nx.Graph()
        graph.add_nodes_from(range(len(demand)))
        graph.add_edges_from(
            (int(s), int(t))
            for k, (s, t) in enumerate(zip(grid.source, grid.target, strict=True))
            if k not in down
        )
        for island in nx.connected_components(graph):
            buses = list(island)
            d, g = demand[buses].sum(), made[buses].sum()
            if g >= d * (1 - 1e-9):
                made[buses] *= d / g if g > 0 else 1.0
            else:
                demand[buses] *= g / d
        flow = plain_flows(grid, set(down), made - demand)
        over = [k for k in range(len(flow)) if k not in down and abs(flow[k]) > grid.capacity[k] + 1e-9]
        if not over:
            return float(grid.demand.sum() - demand.sum()), down
        rounds += 1
        down |= {k: float(rounds) for k in over}


def scenario(grid: FlowGrid, rng: np.random.Generator) -> FlowGrid:
    factor = rng.uniform(0.8, 1.2) * np.maximum(rng.normal(1.0, 0.1, len(grid.demand)), 0.0)
    return replace(grid, demand=grid.demand * factor).balanced()


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])


def agreement(losses: np.ndarray) -> float:
    """Give how alike two halves of the scenarios rank the lines, as drawn eight times."""
    rng, half = np.random.default_rng(9), len(losses) // 2
    drawn = [rng.permutation(losses) for _ in range(8)]
    return float(np.mean([spearman(one[:half].mean(axis=0), one[half:].mean(axis=0)) for one in drawn]))


def rounds_of(grid: FlowGrid, first: int) -> dict[int, float]:
    return plain_cascade(grid, first)[1]


def learned_graph(grid: FlowGrid, log: list[Incident]) -> Graph:
    """The physical prior, updated by the cascades seen so far: one edge for every pair ever seen as well."""
    prior = flow_graph(grid)
    seen = {(u, v) for i in log for v in i.failures for u in i.failures if i.failures[u] < i.failures[v]}
    new = [pair for pair in seen if not prior.has_edge(*pair)]
    if new:
        prior = prior.with_edges(new, np.full(len(new), 0.01))
    return learn(log, prior, window=1.0).graph


def expected_loss(graph: Graph) -> np.ndarray:
    return np.array(assess(graph, trials=2000, theta=0.1, settings=Settings(expected=True)).expected_share)


def topological(grid: FlowGrid) -> Graph:
    """Percolation over the map: a line fails its neighbours with half its loading."""
    loading = np.minimum(np.abs(grid.flows()) / grid.capacity, 1.0)
    touching = [
        (k, l)
        for k in range(len(loading))
        for l in range(len(loading))
        if k != l and {grid.source[k], grid.target[k]} & {grid.source[l], grid.target[l]}
    ]
    weight = np.array([0.5 * loading[l] for _, l in touching])
    return Graph.from_arrays(grid.lines, np.array(touching), weight, directed=True)


def predictors(
    grid: FlowGrid, past: list[FlowGrid], args: argparse.Namespace
) -> dict[str, Callable[[], np.ndarray]]:
    def simulator() -> np.ndarray:
        return np.mean([outage_losses(g) for g in past], axis=0)

    def learned() -> np.ndarray:
        log = [Incident(rounds_of(g, k)) for g in past[:2] for k in range(len(g.lines))]
        return expected_loss(learned_graph(grid, log))

    small = {"percolation, learned": learned} if len(grid.lines) <= 200 else {}  # it plays plain cascades
    return small | {
        "absolute flow (trivial)": lambda: np.abs(grid.flows()),
        "percolation, weight 0.5 x loading": lambda: expected_loss(topological(grid)),
        "percolation, outage factors": lambda: expected_loss(flow_graph(grid)),
        "flow (load redistribution)": lambda: np.array(
            assess_flow(
                grid,
                trials=args.trials,
                seed=1,
                demand_spread=args.demand_spread,
                settings=Settings(spread=args.capacity_spread),
            ).expected_share
        ),
        "simulator on earlier scenarios": simulator,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--case", nargs="*", default=["case118"])
    parser.add_argument("--held-out", type=int, default=200)
    parser.add_argument("--train", type=int, default=20)
    parser.add_argument("--floor-mw", type=float, default=50.0, help="least capacity of a line")
    parser.add_argument("--trials", type=int, default=300, help="worlds of `flow`")
    parser.add_argument("--demand-spread", type=float, default=0.12, help="what `flow` thinks of demands")
    parser.add_argument("--capacity-spread", type=float, default=0.0, help="and of capacities")
    parser.add_argument("--scenarios", type=int, default=7, help="seed of the load scenarios")
    parser.add_argument("--alpha", type=float, nargs="*", default=[0.5, 1.0])
    args = parser.parse_args()
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":
        print("note: with OPENBLAS_NUM_THREADS=1 the many small systems are solved up to ten times as fast")
    for case in args.case:
        bench_case(load_case(case), args)


def bench_case(nominal: FlowGrid, args: argparse.Namespace) -> None:
    for alpha in args.alpha:
        rng = np.random.default_rng(args.scenarios)
        grid = nominal.balanced().with_capacity(alpha, args.floor_mw)
        past = [scenario(grid, rng) for _ in range(args.train)]
        future = [scenario(grid, rng) for _ in range(args.held_out)]
        truth = np.array([outage_losses(g) for g in future])
        checked = 100 if len(grid.demand) <= PLAIN else 3
        some = range(0, len(grid.lines), len(grid.lines) // checked + 1)
        plain = np.array([plain_cascade(future[0], k)[0] for k in some])
        assert np.abs(plain - truth[0][some]).max() < 1e-6
        lost = np.round(truth.mean(axis=0), 6)
        print(
            f"alpha {alpha:g}: {np.mean(lost > 0):.0%} of lines ever lose load, mean {lost.mean():.1f} MW; "
            f"halves of the scenarios rank them alike by {agreement(truth):.2f}"
        )
        scores = {name: call() for name, call in predictors(grid, past, args).items()}
        # A draw in which every line loses the same says nothing of a ranking.
        draws = np.random.default_rng(8).integers(0, len(lost), (BOOTSTRAPS, len(lost)))
        draws = draws[np.ptp(lost[draws], axis=1) > 0]
        trivial = scores["absolute flow (trivial)"]
        for name, score in scores.items():
            gains = [spearman(score[d], lost[d]) - spearman(trivial[d], lost[d]) for d in draws]
            low, high = np.nanquantile(gains, (0.025, 0.975))
            print(
                f"  {name:36} {spearman(score, lost):6.3f}   against flow {np.nanmean(gains):+.3f} "
                f"({low:+.3f} .. {high:+.3f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
