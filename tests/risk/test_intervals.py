from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from ripstop.risk import Graph, Settings, assess, clopper_pearson, confidence_sequence, decide
from ripstop.risk.intervals import bounded_mean, share_confidence, standings


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.999])
def test_the_exact_interval_agrees_with_scipys(confidence: float) -> None:
    hits = np.array([0, 1, 7, 40, 99, 100, 7])
    low, high = clopper_pearson(hits, 100, confidence)
    for k, a, b in zip(hits, low, high, strict=True):
        reference = binomtest(int(k), 100).proportion_ci(confidence, method="exact")
        assert (a, b) == pytest.approx((reference.low, reference.high), abs=1e-9)


def test_without_trials_nothing_is_known() -> None:
    low, high = clopper_pearson([0, 3], [0, 10])
    assert (low[0], high[0]) == (0.0, 1.0)
    assert [s.value for s in standings(decide([0], [0], 0.3))] == ["undecided"]


def test_the_confidence_sequence_is_wider_and_holds_the_estimate() -> None:
    hits, trials = np.array([0, 30, 100]), 100
    fixed, always = clopper_pearson(hits, trials), confidence_sequence(hits, trials)
    assert (always[0] <= fixed[0]).all()
    assert (always[1] >= fixed[1]).all()
    assert (always[0][0], always[1][2]) == (0.0, 1.0)


def test_a_threshold_is_decided_exactly_when_the_sequence_excludes_it() -> None:
    hits, trials = np.arange(0, 201), 200
    low, high = confidence_sequence(hits, trials)
    sides = decide(hits, trials, 0.3)
    assert (sides == np.where(low > 0.3, 1, np.where(high < 0.3, -1, 0))).all()


@pytest.mark.parametrize("truth", [0.3, 0.28])
def test_looking_after_every_trial_is_wrong_at_most_as_often_as_promised(truth: float) -> None:
    repeats, trials, alpha = 2000, 1000, 0.05
    draws = np.random.default_rng(1).uniform(size=(repeats, trials)) < truth
    looks = np.arange(1, trials + 1)
    wrong = (decide(draws.cumsum(axis=1), looks, 0.3, 1 - alpha) > 0).any(axis=1)
    # At the boundary itself both sides would be wrong; alpha + 4 sqrt(alpha / repeats) allows for chance.
    assert wrong.mean() <= alpha + 4 * (alpha / repeats) ** 0.5


def test_a_fleet_wide_confidence_shares_the_error() -> None:
    assert share_confidence(0.95, 150) == pytest.approx(1 - 0.05 / 150)
    assert share_confidence(0.95, 0) == 0.95


def test_the_interval_of_a_bounded_mean_covers_and_is_no_narrower_than_for_a_coin() -> None:
    rng = np.random.default_rng(5)
    for a, b in ((0.5, 0.5), (1.0, 9.0), (0.02, 0.02)):  # the last is nearly a coin
        means = rng.beta(a, b, (2000, 40)).mean(axis=1)
        low, high = bounded_mean(means, 40)
        # 2000 repeats at 95 %: 93.5 % is three standard deviations down.
        assert ((low <= a / (a + b)) & (a / (a + b) <= high)).mean() >= 0.935
    low, high = bounded_mean(np.arange(41) / 40, 40)
    exact_low, exact_high = clopper_pearson(np.arange(41), 40)
    assert (low <= exact_low + 1e-9).all()
    assert (high >= exact_high - 1e-9).all()
    # Closed form where nothing ever failed: (1 - high) ** n = (1 - confidence) / 2.
    assert high[0] == pytest.approx(1.0 - 0.025 ** (1 / 40))
    assert low[0] == 0.0
    assert [float(end) for end in bounded_mean(0.3, 0)] == [0.0, 1.0]


def test_a_report_has_intervals_on_the_expected_share() -> None:
    graph = Graph.from_edges("abc", [("a", "b"), ("b", "c")], [0.5, 0.5], directed=True)
    exact = {"a": (1 + 0.5 + 0.25) / 3, "b": 0.5, "c": 1 / 3}
    for settings in (Settings(expected=True), Settings(expected=True, threshold=0.4)):
        report = assess(graph, theta=0.5, trials=2000, seed=3, settings=settings)
        for line in report.ranking():
            assert line.share_low is not None
            assert line.share_high is not None
            assert line.share_low < exact[str(line.node)] < line.share_high < line.share_low + 0.2
        rows = report.to_json()["nodes"]
        assert isinstance(rows, list)
        assert {"share_low", "share_high"} <= rows[0].keys()
    assert assess(graph, trials=10).ranking()[0].share_low is None


@pytest.mark.parametrize("hits", [[], [0, 0], [3], [[1, 2], [2, 5]], [0.5, 1, 1], [7, 900, 7], 4])
def test_counts_that_many_share_have_the_interval_of_each(hits: list[float]) -> None:
    low, high = clopper_pearson(hits, 1000)
    alone = [clopper_pearson(hit, 1000) for hit in np.ravel(hits)]
    assert low.shape == high.shape == np.shape(hits)
    assert [(float(a), float(b)) for a, b in zip(low.ravel(), high.ravel(), strict=True)] == alone
