"""The score against its numba twin, and against the Numenta Anomaly Benchmark where its data is at hand."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))

import bench_monitor
import nab
from monitor_kernel import SHIPPED, ewma_scores, kernel_scores

DATA = Path(os.environ.get("RIPSTOP_DATA", ""))
needs_data = pytest.mark.skipif(
    not os.environ.get("RIPSTOP_DATA"),
    reason="set RIPSTOP_DATA to the folder that holds nab/data and nab/labels",
)


def test_the_class_scores_as_the_kernel_that_its_constants_were_chosen_by():
    for number, (values, _) in enumerate(bench_monitor.proxy_series(seed=11, count=6)):
        clock = np.arange(len(values)) * bench_monitor.MIN_US * (1, 5, 60)[number % 3]
        assert np.allclose(
            bench_monitor.monitor_scores(values, clock), kernel_scores(values, clock, SHIPPED), atol=1e-9
        )


def test_on_made_up_faults_it_finds_more_than_an_ewma_at_the_same_false_positives():
    made = bench_monitor.proxy_series(seed=7, count=40)
    labels = [label for _, label in made]
    clock = np.arange(4000) * bench_monitor.MIN_US
    ours = [kernel_scores(values, clock[: len(values)], SHIPPED) for values, _ in made]
    rival = [ewma_scores(values, 0.002) for values, _ in made]
    for share in (0.001, 0.003):
        assert bench_monitor.recall(ours, labels, share) > bench_monitor.recall(rival, labels, share)


def made_series(values, windows):
    gain, window = nab._weights(len(values), windows)
    t_us = np.arange(len(values))
    return nab.Series("made", t_us, np.array(values), gain, window, len(windows), int(0.15 * len(values)))


def test_the_scorer_gives_a_perfect_alarm_all_and_none_nothing():
    one = made_series([0.0] * 100, [(60, 69)])
    first_row = np.zeros(100)
    first_row[60] = 1.0
    assert nab.Ranking([one], [first_row]).best()[0] == pytest.approx(100.0)
    assert nab.Ranking([one], [np.zeros(100)]).best()[0] == 0.0
    before = first_row.copy()
    before[30] = 1.0
    assert nab.Ranking([one], [before]).at(1.0) == pytest.approx(100.0 - 100 * 0.11 / 2)


def test_the_scorer_earns_less_for_a_later_alarm():
    one = made_series([0.0] * 100, [(60, 69)])
    late = np.zeros(100)
    late[69] = 1.0
    assert 50.0 < nab.Ranking([one], [late]).best()[0] < 80.0


def test_a_threshold_is_chosen_where_those_around_it_earn_too():
    one = made_series([0.0] * 1000, [(500, 599)])
    scores = np.zeros(1000)
    scores[520] = 2.0  # well inside the window: whatever lies below 2 earns it
    scores[400] = 1.9
    ranking = nab.Ranking([one], [scores])
    assert ranking.best()[1] == 2.0
    assert ranking.choose()[1] < 2.0


def test_no_family_of_siblings_is_split():
    names = ["a/speed_1.csv", "a/speed_2.csv", "a/x.csv", "b/y.csv", "b/z.csv"]
    series = [nab.Series(n, np.zeros(1), np.zeros(1), np.zeros(1), np.zeros(1), 0, 0) for n in names]
    for chosen, kept in nab.families(series, 2, 5, seed=1):
        assert sorted(chosen + kept) == [0, 1, 2, 3, 4]
        assert (0 in kept) == (1 in kept)


@needs_data
def test_the_scorer_comes_to_the_figure_known_of_an_ewma():
    series = nab.load(DATA / "nab")
    score, _ = nab.Ranking(series, [ewma_scores(one.values, 0.002) for one in series]).best()
    assert score == pytest.approx(40.5, abs=0.1)


@needs_data
def test_the_monitor_as_it_comes_reaches_sixty_at_a_score_of_one():
    series = nab.load(DATA / "nab")
    scores = [bench_monitor.monitor_scores(one.values, one.t_us) for one in series]
    assert nab.Ranking(series, scores).at(1.0) >= 60.0
