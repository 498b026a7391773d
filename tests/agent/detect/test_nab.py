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
    for values, _ in bench_monitor.proxy_series(seed=11, count=6):
        clock = np.arange(len(values)) * bench_monitor.MIN_US
        assert np.allclose(
            bench_monitor.monitor_scores(values, clock), kernel_scores(values, SHIPPED), rtol=1e-6, atol=0.05
        )


def test_on_made_up_faults_it_finds_more_than_an_ewma_at_the_same_false_positives():
    made = bench_monitor.proxy_series(seed=7, count=40)
    labels = [label for _, label in made]
    ours = [kernel_scores(values, SHIPPED) for values, _ in made]
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
    assert nab.best([one], [first_row])[0] == pytest.approx(100.0)
    assert nab.best([one], [np.zeros(100)])[0] == 0.0
    before = first_row.copy()
    before[30] = 1.0
    assert nab.at([one], [before], 1.0) == pytest.approx(100.0 - 100 * 0.11 / 2)


def test_the_scorer_earns_less_for_a_later_alarm():
    one = made_series([0.0] * 100, [(60, 69)])
    late = np.zeros(100)
    late[69] = 1.0
    assert 50.0 < nab.best([one], [late])[0] < 80.0


@needs_data
def test_the_scorer_comes_to_the_figure_known_of_an_ewma():
    series = nab.load(DATA / "nab")
    score, _ = nab.best(series, [ewma_scores(one.values, 0.002) for one in series])
    assert score == pytest.approx(40.5, abs=0.1)


@needs_data
def test_the_monitor_as_it_comes_reaches_sixty_at_a_score_of_one():
    series = nab.load(DATA / "nab")
    scores = [bench_monitor.monitor_scores(one.values, one.t_us) for one in series]
    assert nab.at(series, scores, 1.0) >= 60.0
