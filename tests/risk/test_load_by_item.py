from __future__ import annotations

import numpy as np
import pytest

from oracles import play_load
from ripstop.risk import (
    ItemLoad,
    LoadMitigation,
    RiskInputError,
    Settings,
    assess_load,
    compare_load,
    simulate_load,
)
from ripstop.risk.load import margin_noise


def random_load(seed: int, *, n: int = 12, m: int = 40, k: int = 4, **given: object) -> ItemLoad:
    rng = np.random.default_rng(seed)
    targets = rng.integers(-1, n, (m, k))
    fields: dict[str, object] = {
        "nodes": tuple(f"drone-{i}" for i in range(n)),
        "item_owner": rng.integers(0, n, m),
        "targets": targets,
        "cost": rng.uniform(0, 4, (m, k)),
        "margin": rng.uniform(0, 6, n),
        "sigma": rng.uniform(0, 2, n),
        "slots": rng.integers(0, 6, n),
        "own_cost": rng.uniform(0, 3, m),
        "eligible": rng.uniform(size=n) < 0.9,
        "per_cycle": int(rng.integers(1, 4)),
        "cycles": int(rng.choice([0, 0, 1, 3])),
    }
    return ItemLoad(**(fields | given))


def chain(n: int) -> ItemLoad:
    """Each node holds one item that only the next one can take, and that overloads it."""
    return ItemLoad(
        nodes=tuple(range(n)),
        item_owner=np.arange(n),
        targets=[[i + 1 if i + 1 < n else -1] for i in range(n)],
        cost=np.full((n, 1), 2.0),
        margin=np.full(n, 1.0),
        own_cost=1.5,
    )


@pytest.mark.parametrize("seed", range(40))
def test_each_world_agrees_with_the_slow_twin(seed: int) -> None:
    load = random_load(seed)
    trials = 6
    noise = margin_noise(load, trials, seed)
    report = simulate_load(load, ["drone-0", "drone-3"], theta=0.3, trials=trials, seed=seed)
    worlds = [play_load(load, [0, 3], list(row)) for row in noise]
    assert report.shares.tolist() == [len(w["failed"]) / 12 for w in worlds]
    assert report.moved == np.mean([w["moved"] for w in worlds])
    assert report.dropped == np.mean([w["dropped"] for w in worlds])
    assert report.cycles == np.mean([w["cycles"] for w in worlds])
    failures = np.bincount(np.concatenate([w["failed"] for w in worlds]), minlength=12)
    assert report.node_probability.tolist() == (failures / trials).tolist()


def test_a_chain_without_noise_falls_to_its_end_one_cycle_a_node() -> None:
    report = simulate_load(chain(6), 0, theta=0.99, trials=3)
    assert report.probability == 1.0
    # Node 1 ends with two items: its own, then the first one; the last node has nobody to give to.
    assert report.cycles == 6.0
    assert simulate_load(chain(6), 3, theta=0.4, trials=3).expected_share == 0.5


def test_load_accumulates_until_the_item_that_is_too_much() -> None:
    load = ItemLoad(
        nodes=("giver", "taker"),
        item_owner=[0] * 4,
        targets=[[1]] * 4,
        cost=[[1.0]] * 4,
        margin=[0.0, 3.5],
        per_cycle=1,
    )
    assert simulate_load(load, "giver", theta=0.5, trials=1).probability == 1.0
    assert simulate_load(load, "giver", theta=0.5, trials=1).cycles == 5.0
    three = ItemLoad(
        nodes=("giver", "taker"), item_owner=[0] * 3, targets=[[1]] * 3, cost=[[1.0]] * 3, margin=[0.0, 3.5]
    )
    assert simulate_load(three, "giver", theta=0.5, trials=1).probability == 0.0


def test_a_checked_taker_refuses_what_its_reserve_forbids() -> None:
    everywhere = LoadMitigation(name="star", checked=True)
    report = simulate_load(chain(6), 0, theta=0.2, trials=5, mitigation=everywhere)
    assert (report.probability, report.moved, report.dropped) == (0.0, 0.0, 1.0)
    one = np.zeros(6, bool)
    one[2] = True
    report = simulate_load(chain(6), 0, theta=0.2, trials=5, mitigation=LoadMitigation(checked=one))
    assert report.expected_share == pytest.approx(2 / 6)


def test_a_paused_item_stays_and_gives_its_cost_back() -> None:
    paused = np.zeros(6, bool)
    paused[1] = True
    report = simulate_load(chain(6), 0, theta=0.2, trials=5, mitigation=LoadMitigation(paused=paused))
    # Node 1 has 1.0 + 1.5 to spare, so the item of cost 2.0 does not ground it.
    assert report.expected_share == pytest.approx(1 / 6)
    assert report.paused == 1


def test_an_isolated_node_neither_gives_nor_takes() -> None:
    isolated = np.zeros(6, bool)
    isolated[2] = True
    cut = LoadMitigation(isolated=isolated)
    assert simulate_load(chain(6), 0, trials=5, mitigation=cut).expected_share == pytest.approx(2 / 6)
    assert simulate_load(chain(6), 2, trials=5, mitigation=cut).moved == 0.0


def test_all_seeds_agree_with_one_at_a_time_screened_or_not() -> None:
    screened = 0
    for seed in range(6):
        load = random_load(seed, n=15, sigma=0.3, cycles=0)
        report = assess_load(load, theta=0.2, trials=64, seed=seed)
        for node in load.nodes:
            alone = simulate_load(load, node, theta=0.2, trials=64, seed=seed)
            line = report.of(node)
            assert (line.probability, line.low, line.high) == (alone.probability, alone.low, alone.high)
            assert line.expected_share == pytest.approx(alone.expected_share)
            screened += alone.expected_share == 1 / 15
    assert 0 < screened < 6 * 15


def test_a_threshold_stops_each_node_as_soon_as_it_is_settled() -> None:
    report = assess_load(chain(10), theta=0.3, trials=4000, settings=Settings(threshold=0.3))
    assert report.sampled is not None
    assert report.sampled.min() == 32
    assert [s.value for s in report.standing or ()] == ["above"] * 7 + ["below"] * 3


def test_mitigations_are_compared_in_the_same_worlds() -> None:
    load = random_load(3, sigma=1.0, cycles=0)
    nothing, same, star = compare_load(
        load, "drone-1", [LoadMitigation(name="same"), LoadMitigation(name="star", checked=True)], theta=0.1
    )
    assert nothing.report.shares.tobytes() == same.report.shares.tobytes()
    assert same.change.reduction == 0.0
    assert star.change.low <= star.change.reduction <= star.change.high
    assert star.report.probability == pytest.approx(nothing.report.probability - star.change.reduction)


def test_the_same_seed_gives_the_same_bytes() -> None:
    load = random_load(1)
    first, again = (simulate_load(load, "drone-1", trials=50, seed=9) for _ in range(2))
    other = simulate_load(load, "drone-1", trials=50, seed=10)
    assert first.shares.tobytes() == again.shares.tobytes()
    assert first.to_json() == again.to_json()
    assert margin_noise(load, 5, 9).tobytes() != margin_noise(load, 5, 10).tobytes()
    assert other.seed == 10


def test_a_fleet_without_items_keeps_its_failures_to_themselves() -> None:
    load = ItemLoad(nodes=("a", "b"), item_owner=[], targets=[], cost=[], margin=[1.0, 1.0])
    assert simulate_load(load, "a", theta=0.5).probability == 0.0
    assert assess_load(load, theta=0.4).probability.tolist() == [1.0, 1.0]
    empty = ItemLoad(nodes=(), item_owner=[], targets=[], cost=[], margin=[])
    assert len(assess_load(empty)) == 0


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"margin": np.full(12, np.nan)}, "C0721"),
        ({"cost": np.full((40, 4), -1.0)}, "C0721"),
        ({"cost": np.zeros((40, 3))}, "C0721"),
        ({"targets": np.full((40, 4), 12)}, "C0721"),
        ({"targets": np.full((40, 4), 0.5)}, "C0721"),
        ({"item_owner": np.full(40, -1)}, "C0721"),
        ({"sigma": "loud"}, "C0721"),
        ({"per_cycle": 0}, "C0721"),
        ({"nodes": ("a",) * 12}, "C0702"),
    ],
)
def test_a_state_that_makes_no_sense_is_refused_with_a_code(given: dict[str, object], code: str) -> None:
    with pytest.raises(RiskInputError) as caught:
        random_load(0, **given)
    assert caught.value.code == code
    assert "\n" not in str(caught.value)


def test_an_unknown_failing_node_or_a_mask_of_the_wrong_shape_is_refused() -> None:
    load = random_load(0)
    for failing, mitigation, code in (
        ("drone-99", LoadMitigation(), "C0702"),
        ([], LoadMitigation(), "C0721"),
        ("drone-1", LoadMitigation(paused=np.zeros(3, bool)), "C0721"),
    ):
        with pytest.raises(RiskInputError) as caught:
            simulate_load(load, failing, mitigation=mitigation)
        assert caught.value.code == code
