from dataclasses import replace

import pytest

from ripstop.lab.report import charts, lanes, risks
from ripstop.lab.report.schema import Dispatch


def test_a_thinned_line_keeps_every_change():
    line = [(0.0, 0.0), (1.0, 0.0), (2.0, 0.0), (3.0, 0.5), (4.0, 0.5), (5.0, 0.5), (6.0, 0.5)]
    assert charts.thin(line) == [(0.0, 0.0), (2.0, 0.0), (3.0, 0.5), (6.0, 0.5)]
    assert charts.thin([]) == []


def test_the_mean_line_is_taken_where_all_seeds_have_a_value():
    runs = [[(0.0, 0.0), (1.0, 1.0), (2.0, 1.0)], [(0.0, 0.0), (1.0, 0.0)]]
    assert charts.mean_series(runs) == [(0.0, 0.0), (1.0, 0.5)]
    assert charts.mean_series([]) == []


def test_labels_on_charts_are_plain_and_short():
    assert charts.label("drone-\u202e7\x1b" + "x" * 40) == "drone-?7?" + "x" * 16 + "..."


def test_the_faulty_agent_is_the_one_that_is_watched(report):
    assert risks.watched(report.live) == "drone-042"
    assert risks.models(report.live) == ("percolation", "load")
    other = replace(report.live, faulty="nobody")
    assert risks.watched(other) == "drone-042"


def test_a_model_is_above_the_threshold_only_with_its_low_end(report):
    percolation, load = risks.sentences(report.live, 0.3)
    assert "never surely above 0.3" in percolation
    assert "surely above 0.3 from 0.50 s after the fault" in load
    high = max(point.probability for point in report.live.risks)
    assert all("never surely" in said for said in risks.sentences(report.live, high))


def test_other_agents_above_the_threshold_are_counted(report):
    point = replace(report.live.risks[0], agent="drone-001", low=0.4, without_mitigation=True)
    live = replace(report.live, risks=(*report.live.risks, point, replace(point, agent="drone-002", low=0.1)))
    assert risks.others_above(live, 0.3) == 1


def test_the_log_axis_holds_every_step_and_the_bar(report):
    axis = lanes.steps_axis(report.live)
    assert [tick.text for tick in axis.ticks] == ["10 ms", "100 ms", "1 s", "10 s", "100 s"]
    assert axis.at(0.01) == 0
    assert axis.at(1.0) == pytest.approx(50.0)
    assert axis.at(-3.0) == 0
    assert axis.at(float("nan")) == 0
    assert axis.at(1e9) == 100


def test_a_step_of_microseconds_or_hours_stays_on_the_axis(report):
    steps = (replace(report.live.steps[0], wall_s=2e-4), replace(report.live.steps[1], wall_s=9_000.0))
    axis = lanes.steps_axis(replace(report.live, steps=steps))
    assert axis.low_s <= 2e-4
    assert axis.high_s >= 9_000


def test_the_stages_of_a_dispatch_are_on_one_scale_with_the_bar():
    stages, ticks, bar = lanes.dispatch_stages(
        Dispatch(0.0, 150, 0.2, 4.0, 10.0, 0.3, 1.0, 11.0, 21.0, 30.0, 120.0)
    )
    assert bar == pytest.approx(stages[-1].late_at / 2, abs=0.1)
    assert [stage.name for stage in stages] == ["sign", "fan-out", "verify", "answer", "all of it"]
    assert ticks[0].at == 0
    assert len(ticks) <= 9
    assert ticks[-1].at <= 100
