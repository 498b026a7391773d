"""The dependency graph against a slow, obvious twin, and the forecasts that are made from it."""

import math
from dataclasses import replace

import numpy as np
import pytest

from control.scripted_fleet import drone, playbook
from ripstop.control.mitigation.forecast import (
    Draw,
    fault_probability,
    forecast,
    mitigated,
    no_measures,
    ranking,
)
from ripstop.control.mitigation.isolation import TokenBook
from ripstop.control.mitigation.plan import Situation, make_plan
from ripstop.control.mitigation.playbook import Handover, IsolateRung, Ladder, Model
from ripstop.control.mitigation.relay import insertion_cost
from ripstop.control.telemetry.dependency import dependency_edges, fleet_load
from ripstop.core.messages import Item, Workload

HANDOVER = Handover(3000.0, candidates=6, sigma=1.0, load_factor=0.3)


def random_fleet(seed, count=25):
    rng = np.random.default_rng(seed)
    works = []
    for row in range(count):
        x, y = (float(v) for v in rng.uniform(0, 8000, 2))
        items = tuple(
            Item(f"t{row}-{k}", int(rng.integers(1, 6)), float(rng.uniform(0.2, 1.5)),
                 *(float(v) for v in np.add(rng.uniform(-2000, 2000, 4), (x, y, x, y))))
            for k in range(int(rng.integers(0, 6)))
        )  # fmt: skip
        active = bool(rng.uniform() < 0.9)
        available = bool(rng.uniform() < 0.8)
        works.append(
            Workload(f"d{row:03}", 1, 0, available, active, x, y, float(rng.uniform(0, 12)), 0.004,
                     int(rng.integers(0, 4)), items)
        )  # fmt: skip
    return works


@pytest.mark.parametrize("seed", range(4))
def test_candidates_are_the_nearest_that_may_take_work_in_order(seed):
    works = random_fleet(seed)
    load = fleet_load(works, HANDOVER)
    for item, owner in enumerate(load.owner):
        giver = works[owner]
        near = sorted(
            (math.dist((w.x_m, w.y_m), (giver.x_m, giver.y_m)), row)
            for row, w in enumerate(works)
            if row != owner and w.available and w.active and w.slots > 0
        )
        expected = [row for distance, row in near if distance <= HANDOVER.range_m][: HANDOVER.candidates]
        found = [int(t) for t in load.targets[item] if t >= 0]
        assert found == expected


@pytest.mark.parametrize("seed", range(4))
def test_costs_are_the_cheapest_insertion_as_the_hub_computes_it_one_by_one(seed):
    works = random_fleet(seed)
    load = fleet_load(works, HANDOVER)
    items = [item for work in works for item in work.items]
    for number, item in enumerate(items):
        for place, target in enumerate(load.targets[number]):
            if target >= 0:
                expected = insertion_cost(works[target], item, HANDOVER)
                assert load.cost[number, place] == pytest.approx(expected, rel=1e-12)


def test_an_owner_saves_what_the_insertion_would_cost_it_at_that_place():
    work = drone(0, items=3)
    load = fleet_load([work, drone(1)], HANDOVER)
    for index, item in enumerate(work.items):
        rest = replace(work, items=tuple(i for i in work.items if i is not item))
        again = insertion_cost(rest, item, HANDOVER)
        assert load.own_cost[index] >= again - 1e-9


def test_an_edge_is_one_minus_the_product_over_items():
    works = random_fleet(7)
    load = fleet_load(works, HANDOVER)
    edges = dependency_edges(load, HANDOVER)
    expected = {}
    for item, owner in enumerate(load.owner):
        for rank, target in enumerate(load.targets[item]):
            if target >= 0:
                chosen = HANDOVER.spread * (1 - HANDOVER.spread) ** rank
                z = (load.cost[item, rank] - load.spare[target]) / HANDOVER.sigma
                fails = 0.5 * math.erfc(-z / math.sqrt(2.0))
                key = (int(owner), int(target))
                expected[key] = expected.get(key, 1.0) * (1.0 - chosen * fails)
    found = dict(
        zip(zip(edges.source.tolist(), edges.target.tolist(), strict=True), edges.weight, strict=True)
    )
    for key, survives in expected.items():
        assert found.get(key, 0.0) == pytest.approx(1.0 - survives, abs=2e-9)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_tiny_fleets_have_an_answer(count):
    works = [drone(row, count) for row in range(count)]
    load = fleet_load(works, HANDOVER)
    assert load.cost.shape == load.targets.shape
    for model in Model:
        suspects = {works[0].agent: 1.0} if works else {"ghost": 1.0}
        risk = forecast(load, suspects, no_measures(load), playbook(), Draw(model, 50, 1))
        assert 0.0 <= risk.low <= risk.probability <= risk.high <= 1.0


def test_a_fleet_without_any_work_is_safe_by_both_models():
    load = fleet_load([drone(row, items=0) for row in range(20)], HANDOVER)
    for model in Model:
        risk = forecast(load, {"d003": 1.0}, no_measures(load), playbook(), Draw(model, 100, 1))
        assert risk.probability == 0.0


def test_the_risk_is_the_product_of_fault_and_cascade():
    load = fleet_load([drone(row) for row in range(30)], playbook().handover)
    draw = Draw(Model.LOAD, 200, 1)
    sure = forecast(load, {"d015": 1.0}, no_measures(load), playbook(), draw)
    half = forecast(load, {"d015": 0.5}, no_measures(load), playbook(), draw)
    assert sure.probability > 0.9
    assert half.probability == pytest.approx(sure.probability / 2)
    assert fault_probability({"a": 0.5, "b": 0.5}) == 0.75
    percolation = Draw(Model.PERCOLATION, 2000, 1)
    whole = forecast(load, {"d015": 1.0}, no_measures(load), playbook(), percolation)
    part = forecast(load, {"d015": 0.5}, no_measures(load), playbook(), percolation)
    # Two independent binomial shares of 2000: four standard deviations are 0.045.
    assert part.probability == pytest.approx(whole.probability / 2, abs=0.045)


def test_measures_only_ever_lower_the_risk_on_the_same_numbers():
    load = fleet_load([drone(row) for row in range(30)], playbook().handover)
    none = no_measures(load)
    paused = replace(none, paused=load.priority > 2)
    checked = replace(none, checked=np.ones(len(load.agents), np.bool_))
    isolated = replace(none, isolated=np.isin(load.agents, ["d015"]))
    for model in Model:
        draw = Draw(model, 200, 3)
        base = forecast(load, {"d015": 1.0}, none, playbook(), draw).probability
        for measures in (paused, checked, isolated):
            assert forecast(load, {"d015": 1.0}, measures, playbook(), draw).probability <= base
        assert forecast(load, {"d015": 1.0}, isolated, playbook(), draw).probability == 0.0


def test_measures_leave_the_arrays_that_they_were_given_alone():
    load = fleet_load([drone(row) for row in range(10)], HANDOVER)
    before = load.spare.copy(), load.targets.copy()
    changed = mitigated(load, replace(no_measures(load), paused=load.priority > 1))
    assert (load.spare == before[0]).all()
    assert (load.targets == before[1]).all()
    assert (changed.spare >= load.spare).all()


def test_the_ranking_names_the_agent_whose_failure_would_be_worst():
    works = [drone(row, items=0, spare=60.0) for row in range(20)]
    works[5] = drone(5, items=9, spare=60.0)
    works[6:12] = [drone(row, items=3, spare=0.01) for row in range(6, 12)]
    agent, probability = ranking(fleet_load(works, playbook().handover), playbook(), trials=300, seed=1)
    assert agent in {work.agent for work in works[5:12]}
    assert 0.0 < probability <= 1.0


def test_when_nothing_is_enough_the_best_is_taken_and_said_to_be_too_little():
    book = playbook()
    hopeless = replace(book, ladder=Ladder(shed=replace(book.ladder.shed, keep=(5,))))
    load = fleet_load([drone(row) for row in range(30)], book.handover)
    present = load.agents
    plan = make_plan(Situation(load, {"d015": 1.0}, present, 30), hopeless, seed=1)
    assert not plan.is_enough
    assert plan.keep == 5


def test_a_star_alone_may_do_where_the_playbook_relies_on_it():
    book = playbook()
    star = replace(book.ladder.star, relied_on=True)
    relying = replace(book, ladder=replace(book.ladder, star=star))
    load = fleet_load([drone(row) for row in range(30)], book.handover)
    plan = make_plan(Situation(load, {"d015": 1.0}, load.agents, 30), relying, seed=1)
    assert plan.is_enough
    assert plan.keep is None


# ---- isolation tokens -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("registered", "budget"), [(1, 0), (2, 0), (3, 0), (9, 0), (10, 1), (30, 3), (150, 15)]
)
def test_the_cap_is_the_floor_of_its_share(registered, budget):
    book = TokenBook(IsolateRung(cap=0.1, least_capacity=0.0))
    assert book.budget(registered) == budget
    granted = [book.grant(f"a{n}", registered, registered) for n in range(registered)]
    assert sum(1 for token in granted if token) <= budget


def test_enough_capacity_must_remain():
    book = TokenBook(IsolateRung(cap=0.5, least_capacity=0.8))
    assert book.grant("a", 10, 4) == 0
    assert book.grant("a", 10, 5) == 1
    assert book.grant("b", 10, 1) == 0


def test_a_token_comes_back_by_acknowledgement_or_by_lapse_and_is_never_given_twice():
    book = TokenBook(IsolateRung(cap=0.1, least_capacity=0.0))
    first = book.grant("a", 10, 10)
    assert book.grant("a", 10, 10) == first
    assert book.grant("b", 10, 10) == 0
    book.lapse("a", 100)
    book.sweep(99)
    assert book.grant("b", 10, 10) == 0
    book.sweep(100)
    second = book.grant("b", 10, 10)
    assert second > first
    book.give_back("b")
    assert book.held == {}


def test_a_token_of_an_earlier_control_plane_stays_spent():
    book = TokenBook(IsolateRung(cap=0.1, least_capacity=0.0))
    book.restore("old", 7)
    assert book.grant("new", 10, 10) == 0
    assert book.held == {"old": 7}


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_fault_alone_is_no_cascade_however_small_the_fleet(count):
    load = fleet_load([drone(row, count, spare=60.0) for row in range(count)], playbook().handover)
    for model in Model:
        risk = forecast(load, {"d000": 1.0}, no_measures(load), playbook(), Draw(model, 100, 1))
        assert risk.probability == 0.0


def test_a_plan_is_never_loosened_while_its_incident_lasts():
    book = playbook()
    load = fleet_load([drone(row) for row in range(30)], book.handover)
    first = make_plan(Situation(load, {"d015": 1.0}, load.agents, 30), book, seed=1)
    easy = fleet_load([drone(row, spare=60.0) for row in range(30)], book.handover)
    later = Situation(easy, {"d015": 1.0}, load.agents, 30, first.area, first.keep)
    again = make_plan(later, book, seed=1)
    assert again.keep <= first.keep
    assert set(first.area.centres) <= set(again.area.centres)
    assert make_plan(replace(later, earlier_keep=None), book, seed=1).keep == book.ladder.shed.keep[0]
