from __future__ import annotations

from dataclasses import dataclass

import networkx as nx
import numpy as np
import pytest

from ripstop.core.clock import Instant, SystemClock
from ripstop.risk import (
    Budget,
    Graph,
    RiskInputError,
    Shock,
    assess,
    assess_within,
    fleet_risk,
    shocks_by,
    with_shocks,
)


def ring(n: int = 10, weight: float = 0.8) -> Graph:
    source = nx.cycle_graph(n)
    nx.set_edge_attributes(source, weight, "weight")
    return Graph.from_networkx(source)


def test_risk_is_failure_times_cascade_ranked() -> None:
    report = fleet_risk(ring(), {3: 0.5, 4: 0.1}, budget=Budget(trials=2000))
    assert [line.node for line in report.agents[:2]] == [3, 4]
    first = report.agents[0]
    assert first.risk == pytest.approx(0.5 * first.cascade)
    assert first.low <= first.risk <= first.high
    assert report.any_cascade == pytest.approx(1 - (1 - first.risk) * (1 - report.agents[1].risk))
    assert report.of(7).risk == 0.0


def test_the_trend_says_who_got_worse() -> None:
    before = fleet_risk(ring(), {3: 0.1, 4: 0.5}, budget=Budget(trials=2000))
    after = fleet_risk(ring(), {3: 0.6, 4: 0.5}, budget=Budget(trials=2000), before=before)
    assert after.of(3).is_rising
    assert after.of(3).trend == pytest.approx(after.of(3).risk - before.of(3).risk)
    assert after.of(4).trend == 0.0
    grown = fleet_risk(ring(12), {3: 0.6, 11: 0.5}, budget=Budget(trials=256), before=after)
    assert grown.of(11).trend is None
    assert grown.of(3).trend is not None
    assert grown.ranking(1) == grown.agents[:1]
    assert not after.of(4).is_rising


def test_within_a_budget_of_trials_the_answer_is_that_of_assess() -> None:
    whole = assess(ring(), theta=0.4, trials=700, seed=3)
    budgeted = assess_within(ring(), Budget(trials=700), theta=0.4, seed=3)
    assert budgeted.hits.tolist() == whole.hits.tolist()
    assert budgeted.notes == ()


def test_when_the_time_is_up_the_best_answer_so_far_is_given() -> None:
    report = assess_within(ring(), Budget(trials=1 << 30, seconds=1e-9), clock=SystemClock())
    assert report.trials == 8
    assert "budget" in report.notes[0]
    assert (report.high - report.low).max() > 0.05


@dataclass
class SteppingClock:
    """Passes so many seconds from each reading to the next."""

    steps_s: list[float]
    at_s: float = 0.0

    def now(self) -> Instant:
        self.at_s += self.steps_s.pop(0)
        return Instant(wall_us=0, mono_us=round(self.at_s * 1e6), boot="boot")


@pytest.mark.parametrize(
    ("steps_s", "worlds"),
    [
        # From the start: laid out; then a reading before and after each look, each look as slow as told.
        ([0, 0.001, 0.0, 0.010, 0.0, 0.010, 0.0, 0.030], 256),  # 64, 128, 256: another 60 ms would be over
        ([0, 0.001, 0.0, 0.060], 64),
        ([0, 0.020, 0.001, 0.0, 0.010, 0.0, 0.045], 128),  # probed: there is time
        ([0, 0.020, 0.040], 8),  # probed: a whole block would take longer than is left
        ([0, 0.200, 0.040], 8),
    ],
)
def test_no_more_worlds_are_begun_than_fit_the_budget(steps_s: list[float], worlds: int) -> None:
    clock = SteppingClock(steps_s)
    report = assess_within(ring(), Budget(trials=1 << 30, seconds=0.1), clock=clock)
    assert report.trials == worlds
    whole = assess(ring(), trials=worlds)
    assert report.hits.tolist() == whole.hits.tolist()


def test_a_shock_fells_its_members_together() -> None:
    quiet = Graph.from_edges("abcd", [], [])
    graph = with_shocks(quiet, [Shock("storm", ("a", "b", "c"), severity=1.0, attribution=0.5)])
    report = assess(graph, theta=0.5, trials=4096, seed=1)
    assert report.of("storm").probability == 1.0
    # An agent's own failure is the storm's first sign half of the time.
    assert report.of("a").probability == pytest.approx(0.5, abs=0.05)
    assert report.of("d").probability == 0.0


def test_groups_become_shocks() -> None:
    shocks = shocks_by("abcd", ["v1", "v1", "v2", "v1"])
    assert [(s.name, s.members) for s in shocks] == [("v1", ("a", "b", "d"))]


def test_what_makes_no_sense_is_refused() -> None:
    for call, code in (
        (lambda: fleet_risk(ring(), {99: 0.5}), "C0702"),
        (lambda: fleet_risk(ring(), {1: 1.5}), "C0715"),
        (lambda: fleet_risk(ring(), {1: np.nan}), "C0715"),
        (lambda: Budget(trials=0), "C0712"),
        (lambda: Budget(seconds=0), "C0715"),
        (lambda: assess_within(ring(), Budget(seconds=1.0)), "C0715"),
        (lambda: assess_within(ring(), Budget(), model="voodoo"), "C0714"),
        (lambda: Shock("s", ()), "C0715"),
        (lambda: Shock("s", ("a",), severity=2.0), "C0715"),
        (lambda: with_shocks(ring(), [Shock("s", ("z",))]), "C0702"),
        (lambda: with_shocks(ring(), [Shock(1, (2,))]), "C0702"),
        (lambda: fleet_risk(ring(), {}).of(99), "C0702"),
    ):
        with pytest.raises(RiskInputError) as caught:
            call()
        assert caught.value.code == code
