from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import networkx as nx
import numpy as np
import pytest

from ripstop.risk import (
    FlowGrid,
    RiskInputError,
    Settings,
    assess,
    assess_buses,
    assess_flow,
    bus_losses,
    clopper_pearson,
    flow_graph,
    flowrun,
    outage_factors,
    outage_losses,
    play_bus,
    play_outage,
)


def meshed(seed: int = 1, n: int = 14, m: int = 24) -> FlowGrid:
    source = nx.gnm_random_graph(n, m, seed=seed)
    while not nx.is_connected(source):
        seed += 50
        source = nx.gnm_random_graph(n, m, seed=seed)
    rng = np.random.default_rng(seed)
    grid = FlowGrid.from_arrays(
        np.array(source.edges), rng.uniform(0.05, 0.3, m), rng.uniform(5, 20, n), rng.uniform(0, 40, n)
    )
    return grid.balanced()


def slow_outage(grid: FlowGrid, first: int) -> float:
    return slow_cascade(grid, {first})


def slow_bus(grid: FlowGrid, bus: int) -> float:
    down = {l for l in range(len(grid.lines)) if bus in (grid.source[l], grid.target[l])}
    alone = np.arange(len(grid.demand)) != bus
    rest = replace(grid, demand=grid.demand * alone, generation=grid.generation * alone)
    return slow_cascade(rest, down) + float(grid.demand[bus])


def slow_cascade(grid: FlowGrid, down: set[int]) -> float:
    """The cascade as the documentation reads, island by island, each by least squares."""
    ends = enumerate(zip(grid.source, grid.target, strict=True))
    alive = {l: (int(s), int(t)) for l, (s, t) in ends if l not in down}
    demand, made = dict(enumerate(grid.demand)), dict(enumerate(grid.generation))
    while True:
        graph = nx.MultiGraph()
        graph.add_nodes_from(demand)
        graph.add_edges_from((s, t, l) for l, (s, t) in alive.items())
        over = []
        for island in nx.connected_components(graph):
            d, g = sum(demand[v] for v in island), sum(made[v] for v in island)
            for v in island:
                if g >= d:
                    made[v] *= d / g if g > 0 else 1.0
                else:
                    demand[v] *= g / d
            names = sorted(island)
            lines = [l for l, (s, _) in alive.items() if s in island]
            a = np.zeros((len(lines), len(names)))
            for i, l in enumerate(lines):
                s, t = alive[l]
                a[i, names.index(s)] += 1
                a[i, names.index(t)] -= 1
            b = np.diag([grid.susceptance[l] for l in lines])
            push = grid.pushed[lines]
            p = np.array([made[v] - demand[v] for v in names]) - a.T @ push
            angle = np.linalg.lstsq(a.T @ b @ a, p, rcond=None)[0]
            over += [
                l
                for l, f in zip(lines, b @ a @ angle + push, strict=True)
                if abs(f) > grid.capacity[l] + 1e-9
            ]
        if not over:
            return float(grid.demand.sum() - sum(demand.values()))
        for l in over:
            del alive[l]


@pytest.mark.parametrize("alpha", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_an_outage_agrees_with_the_slow_twin(alpha: float, seed: int) -> None:
    grid = meshed(seed).with_capacity(alpha, 1.0)
    for k in range(len(grid.lines)):
        assert play_outage(grid, k).lost_mw == pytest.approx(slow_outage(grid, k), abs=1e-6)


def test_a_cascade_that_sheds_nothing_loses_exactly_nothing() -> None:
    cascades = 0
    for seed in range(20):
        grid = meshed(seed).with_capacity(0.3, 1.0)
        outages = [play_outage(grid, k) for k in range(len(grid.lines))]
        harmless = [o.lost_mw for o in outages if len(o.down) > 1 and o.lost_mw < 1e-6]
        assert not any(harmless)
        cascades += len(harmless)
    assert cascades


@pytest.mark.parametrize("alpha", [0.1, 0.5])
def test_phase_shifters_and_loops_agree_with_the_slow_twin(alpha: float) -> None:
    plain = meshed(4)
    ends = np.stack([plain.source, plain.target], axis=1)
    ends[5] = ends[5, 0]  # a line from a bus to itself carries nothing
    pushed = np.random.default_rng(3).normal(0.0, 10.0, len(ends)) * (np.arange(len(ends)) % 3 == 0)
    grid = FlowGrid.from_arrays(
        ends,
        1 / plain.susceptance,
        plain.demand,
        plain.generation,
        pushed=np.where(ends[:, 0] == ends[:, 1], 0, pushed),
    )
    grid = grid.balanced().with_capacity(alpha, 1.0)
    slow = [slow_outage(grid, k) for k in range(len(ends))]
    assert outage_losses(grid) == pytest.approx(slow, abs=1e-6)
    assert max(slow) > 1.0


def test_a_line_that_is_wholly_compensated_has_defined_flows() -> None:
    # Bus 1's susceptances cancel: 0 - 1 - 2 has no reactance at all, and takes all of the flow from 0 to 2.
    grid = FlowGrid.from_arrays([[0, 1], [1, 2], [0, 2]], [0.1, -0.1, 0.2], [0.0, 0.0, 5.0], [5.0, 0.0, 0.0])
    assert grid.flows() == pytest.approx([5.0, 5.0, 0.0], abs=1e-5)


def test_the_loss_of_a_bus_is_its_own_demand_and_what_hangs_on_it() -> None:
    grid = FlowGrid.from_arrays([[0, 1], [1, 2]], [0.1, 0.1], [1.0, 2.0, 3.0], [6.0, 0.0, 0.0])
    assert bus_losses(grid).tolist() == pytest.approx([6.0, 5.0, 3.0])
    meshes = meshed(2).with_capacity(0.2, 1.0)
    slow = [slow_bus(meshes, v) for v in range(len(meshes.demand))]
    assert bus_losses(meshes) == pytest.approx(slow, abs=1e-6)
    assert [play_bus(meshes, v).lost_mw for v in range(len(slow))] == pytest.approx(slow, abs=1e-6)


def test_the_risk_of_a_bus_is_what_worlds_played_one_by_one_show() -> None:
    grid = meshed(1, 6, 8).with_capacity(0.2, 1.0)
    how = Settings(confidence=0.9999, spread=0.1)
    report = assess_buses(grid, theta=0.5, trials=2000, seed=2, demand_spread=0.2, settings=how)
    rng, worlds = np.random.default_rng(5), 300
    lost = np.empty((worlds, 6))
    for world in lost:
        own, together, limit = (3**0.5 * rng.uniform(-1, 1, size) for size in (6, 1, 8))
        drawn = grid.demand * np.exp(0.2 * 0.5**0.5 * (own + together))
        limits = grid.capacity * np.exp(0.1 * limit)
        now = replace(grid, demand=drawn, capacity=limits).balanced()
        world[:] = [slow_bus(now, v) / now.demand.sum() for v in range(6)]
    assert report.expected_share is not None
    # 5 standard errors of the difference; where every world loses the same, only rounding is left.
    error = 5 * lost.std(axis=0) * np.sqrt(1 / worlds + 1 / 2000) + 1e-6
    assert (np.abs(report.expected_share - lost.mean(axis=0)) < error).all()
    low, high = clopper_pearson((lost > 0.5).sum(axis=0), worlds, 0.9999)
    assert ((report.low <= high) & (low <= report.high)).all()
    assert 0.05 < report.probability.max() < 0.95


def test_demands_move_together_too_and_within_bounds() -> None:
    # Two lines feed forty small buses: what these do apart cancels out. One line left is overloaded where the
    # demand exceeds the limit.
    demand = np.array([0.0] + [1.0] * 40)
    ends = np.array([[0, 1], [0, 1]] + [[1, v] for v in range(2, 41)])

    def share_above(limit: float) -> float:
        capacity = np.array([limit, limit] + [np.inf] * 39)
        grid = FlowGrid.from_arrays(ends, np.full(41, 0.1), demand, demand.sum() * (demand == 0.0), capacity)
        return float(assess_flow(grid, theta=0.5, trials=2000).probability[0])

    assert share_above(40 * 1.05) == pytest.approx(0.33, abs=0.05)
    assert share_above(40 * 1.22) == 0.0


def test_what_is_lost_before_anything_trips_is_told() -> None:
    # The line to bus 2 trips above 10.2 MW, in nearly half of all worlds, and 10 of 20 MW are lost with it.
    def notes(limit: float, workers: int = 1) -> tuple[str, ...]:
        grid = FlowGrid.from_arrays(
            [[0, 1], [0, 2]], [0.1, 0.1], [0.0, 10.0, 10.0], [20.0, 0.0, 0.0], [99.0, limit]
        )
        return assess_flow(grid, trials=200, settings=Settings(workers=workers)).notes

    (note,) = notes(10.2)
    found = re.fullmatch(
        r"in (\d+) of 200 worlds lines are above their limits before anything trips, "
        r"which alone loses (\d+) % of the demand on average",
        note,
    )
    assert found
    overloaded, percent = int(found[1]), float(found[2])
    assert 60 < overloaded < 120
    assert percent == pytest.approx(overloaded / 4, rel=0.15)
    assert notes(10.2, workers=2) == (note,)
    assert notes(15.0) == ()


def test_each_world_is_settled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    settled: list[object] = []

    def settle(*world: Any) -> None:
        settled.append(world)
        flowrun_settle(*world)

    flowrun_settle = flowrun.settle
    monkeypatch.setattr(flowrun, "settle", settle)
    for workers in (1, 2):
        settled.clear()
        assess_flow(meshed().with_capacity(0.0), trials=130, settings=Settings(workers=workers))
        assert len(settled) == 130


def test_limits_are_as_given_where_nobody_says_otherwise() -> None:
    grid = FlowGrid.from_arrays([[0, 1], [0, 1]], [0.1, 0.1], [0.0, 10.0], [10.0, 0.0], [10.1, 9.9])
    assert assess_flow(grid, demand_spread=0.0, theta=0.5).probability.tolist() == [1.0, 0.0]
    unsure = assess_flow(grid, demand_spread=0.0, theta=0.5, settings=Settings(spread=0.1)).probability
    assert ((unsure > 0.2) & (unsure < 0.8)).all()


@pytest.mark.parametrize("alpha", [0.05, 0.5])
@pytest.mark.parametrize("seed", range(6))
def test_all_outages_at_once_are_the_single_ones(seed: int, alpha: float) -> None:
    # Sparse, so that outages split the grid again and again; two parts from the start; a series capacitor.
    grid = meshed(seed, n=14, m=16)
    n, lines = len(grid.demand), len(grid.lines)
    ends = np.stack([grid.source, grid.target], axis=1)
    reactance = np.tile(1.0 / grid.susceptance, 2)
    reactance[3] *= -0.1
    twice = FlowGrid.from_arrays(
        np.concatenate([ends, ends + n]), reactance, np.tile(grid.demand, 2), np.tile(grid.generation, 2)
    )
    twice = twice.balanced().with_capacity(alpha, 1.0)
    alone = [play_outage(twice, k).lost_mw for k in range(2 * lines)]
    assert outage_losses(twice) == pytest.approx(alone, abs=1e-7)


def test_what_is_fed_in_below_nothing_is_demand() -> None:
    grid = FlowGrid.from_arrays([[0, 1]], [0.1], [0.0, 3.0], [8.0, -5.0], [1.0])
    assert grid.demand.tolist() == [0.0, 8.0]
    assert grid.generation.tolist() == [8.0, 0.0]
    assert outage_losses(grid).tolist() == [8.0]


def test_outage_factors_predict_the_flows_after_an_outage() -> None:
    grid = meshed()
    factors, flow = outage_factors(grid), grid.flows()
    for k in range(len(grid.lines)):
        kept = [l for l in range(len(grid.lines)) if l != k]
        if np.isnan(factors[:, k]).any():
            continue
        without = FlowGrid.from_arrays(
            np.stack([grid.source, grid.target], axis=1)[kept],
            1 / grid.susceptance[kept],
            grid.demand,
            grid.generation,
        )
        assert without.flows() == pytest.approx((flow + factors[:, k] * flow[k])[kept], abs=1e-8)


def test_screening_leaves_out_only_outages_that_lose_nothing() -> None:
    grid = meshed().with_capacity(0.5, 1.0)
    report = assess_flow(grid, theta=0.0, trials=1, demand_spread=0.0, settings=Settings(spread=0.0))
    lost = [play_outage(grid, k).lost_mw / grid.demand.sum() for k in range(len(grid.lines))]
    assert report.expected_share is not None
    assert report.expected_share.tolist() == pytest.approx(lost, abs=1e-9)


def test_a_report_repeats_itself_and_has_intervals() -> None:
    grid = meshed().with_capacity(0.3, 1.0)
    one, two = (assess_flow(grid, trials=20, seed=3) for _ in range(2))
    assert one.hits.tobytes() == two.hits.tobytes()
    assert ((one.low <= one.probability) & (one.probability <= one.high)).all()
    assert one.hits.sum() > 0


def test_lines_make_a_risk_graph_that_explains_itself() -> None:
    grid = meshed().with_capacity(0.3, 1.0)
    graph = flow_graph(grid)
    assert set(graph.channels) == {"overload"}
    report = assess(graph, theta=0.2, trials=500)
    assert 0 < report.probability.max() <= 1


def test_a_matpower_case_is_read() -> None:
    case = {
        "bus": np.array([[1, 3, 0, 0, 0], [2, 1, 50, 0, 0], [3, 1, 30, 0, 0]], float),
        "gen": np.array([[1, 80, 0, 0, 0, 1, 100, 1]], float),
        "branch": np.array(
            [
                [1, 2, 0, 0.1, 0, 100, 0, 0, 0, 0, 1],
                [2, 3, 0, 0.1, 0, 0, 0, 0, 0, 0, 1],
                [1, 3, 0, 0.1, 0, 60, 0, 0, 1, 0, 0],
            ],
            float,
        ),
    }
    grid = FlowGrid.from_matpower(case)
    assert grid.lines == (0, 1)
    assert grid.flows().tolist() == pytest.approx([80, 30])
    assert grid.capacity.tolist() == [100, np.inf]
    assert play_outage(grid, 0).lost_mw == pytest.approx(80)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("case", ["case118", "GBreducednetwork"])  # the second has phase shifters
def test_flows_are_those_of_pandapower(case: str) -> None:
    networks = pytest.importorskip("pandapower.networks", reason="pandapower: `make oracles`")
    import pandapower

    net = getattr(networks, case)()
    pandapower.rundcpp(net)
    grid = FlowGrid.from_matpower(net._ppc)
    assert np.abs(grid.flows() - net._ppc["branch"][:, 13].real).max() < 1e-6


def test_grids_that_make_no_sense_are_refused() -> None:
    ends, two = [[0, 1]], [1.0, 1.0]
    for call in (
        lambda: FlowGrid.from_arrays([[0, 5]], [0.1], two, two),
        lambda: FlowGrid.from_arrays([0, 1], [0.1], two, two),
        lambda: FlowGrid.from_arrays(ends, [0.0], two, two),
        lambda: FlowGrid.from_arrays(ends, [np.nan], two, two),
        lambda: FlowGrid.from_arrays(ends, ["x"], two, two),
        lambda: FlowGrid.from_arrays(ends, [0.1], [-1.0, 1.0], two),
        lambda: FlowGrid.from_arrays(ends, [0.1], two, [1.0]),
        lambda: FlowGrid.from_arrays(ends, [0.1], two, two, pushed=[1.0, 2.0]),
        lambda: FlowGrid.from_arrays(ends, [0.1], two, two, pushed=[np.nan]),
        lambda: FlowGrid.from_matpower({}),
        lambda: assess_flow(FlowGrid.from_arrays(ends, [0.1], [0.0, 0.0], two)),
        lambda: assess_flow(FlowGrid.from_arrays(ends, [0.1], two, two), demand_spread=-1),
    ):
        with pytest.raises(RiskInputError) as caught:
            call()
        assert caught.value.code == "C0741"


def test_spreads_powers_and_places_beyond_all_sense_are_refused() -> None:
    grid = meshed()
    asked: list[dict[str, Any]] = [
        {"demand_spread": 1e3},
        {"settings": Settings(spread=1e9)},
    ]
    for question in asked:
        with pytest.raises(RiskInputError, match="expected at most 10") as caught:
            assess_flow(grid, trials=8, **question)
        assert caught.value.code == "C0741"
    for play in (play_outage, play_bus):
        for place in (-1, 99, 0.5):
            with pytest.raises(RiskInputError) as caught:
                play(grid, place)  # type: ignore[arg-type]
            assert caught.value.code == "C0702"
    with pytest.raises(RiskInputError, match="beyond 1e\\+15 MW"):
        FlowGrid.from_arrays([[0, 1]], [0.1], [0.0, 1e300], [1e300, 0.0])
