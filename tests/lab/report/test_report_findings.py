import math
from dataclasses import replace

import pytest

from ripstop.lab.report import findings, wording
from ripstop.lab.report.findings import State
from ripstop.lab.report.schema import CalibrationPair, Interval


def figure(report, label):
    return next(figure for figure in findings.key_figures(report) if figure.label.startswith(label))


@pytest.mark.parametrize(
    ("value", "state"),
    [(2.0, State.MET), (2.0001, State.MISSED), (None, State.UNREACHED), (math.nan, State.OPEN)],
)
def test_the_last_acknowledgement_is_held_against_its_bar(report, value, state):
    changed = replace(report, live=replace(report.live, fault_to_last_ack_s=value))
    assert figure(changed, "Fault to last").state is state


def test_the_slowest_dispatch_to_the_most_targets_counts(report):
    one = report.live.dispatches[0]
    live = replace(
        report.live,
        dispatches=(one, replace(one, total_p95_ms=61.0), replace(one, targets=3, total_p95_ms=400.0)),
    )
    shown = figure(replace(report, live=live), "One signed")
    assert (shown.value, shown.state) == ("61 ms", State.MISSED)


def test_a_fleet_larger_than_the_bar_is_made_for_gets_no_verdict(report):
    one = replace(report.live.dispatches[0], targets=1000, total_p95_ms=273.0)
    large = replace(report, live=replace(report.live, dispatches=(one,)))
    large = replace(large, scenario=replace(report.scenario, agents=1000))
    assert figure(large, "One signed").state is State.OPEN
    assert figure(large, "Virtual time").state is State.OPEN


def test_one_cascade_with_both_layers_misses_the_bar(report):
    both = report.outcome.arm("both")
    runs = (replace(both.runs[0], collapse=True), *both.runs[1:])
    arms = tuple(replace(arm, runs=runs) if arm.arm == "both" else arm for arm in report.outcome.arms)
    bad = replace(report, outcome=replace(report.outcome, arms=arms))
    assert figure(report, "Grounded with").state is State.MET
    assert figure(bad, "Grounded with").state is State.MISSED


def test_a_record_that_does_not_verify_is_missed(report):
    record = replace(report.live.record, verified=False, findings=("segment 3 has another hash",))
    shown = figure(replace(report, live=replace(report.live, record=record)), "Record")
    assert (shown.value, shown.state) == ("fails", State.MISSED)
    assert "1 finding" in shown.note


def test_the_headline_is_computed_and_not_assumed(report, variants):
    ungoverned = wording.percent(report.outcome.arm("ungoverned").grounded_share.mean)
    assert f"left {ungoverned} of the fleet grounded when nobody governed it" in findings.headline(report)
    assert findings.headline(variants["nothing"]()) == "Nothing was run."
    assert "0 of 8 steps were reached" in findings.headline(variants["no step reached"]())
    worse = replace(report.outcome.arm("both"), grounded_share=Interval(0.99, 0.98, 1.0))
    arms = tuple(worse if arm.arm == "both" else arm for arm in report.outcome.arms)
    assert "99 % with both layers" in findings.headline(
        replace(report, outcome=replace(report.outcome, arms=arms))
    )


def test_calibration_counts_the_misses_and_the_false_alarms():
    pairs = (
        CalibrationPair(1, 0.1, 0.9, 0.7, True),
        CalibrationPair(2, 0.3, 0.8, 0.6, True),
        CalibrationPair(3, 0.2, 0.4, 0.0, False),
    )
    assert "before 1 of 2 cascades, and in 0 of 1 seed" in findings.calibration_sentence(
        pairs, "percolation", 0.3
    )
    assert "before 2 of 2 cascades, and in 1 of 1 seed" in findings.calibration_sentence(pairs, "load", 0.3)


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.0, "0 %"), (0.0003, "<0.1 %"), (0.007, "0.7 %"), (0.0996, "10 %"), (1.0, "100 %"), (math.nan, "–")],
)
def test_shares_are_read_as_percent(value, words):
    assert wording.percent(value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "–"),
        (0.043, "43 ms"),
        (0.0004, "0.4 ms"),
        (0.43, "0.43 s"),
        (14.2, "14.2 s"),
        (1500.0, "25 min"),
    ],
)
def test_durations_are_read_in_their_unit(value, words):
    assert wording.seconds(value) == words


def test_a_moment_rounds_up_into_the_next_minute():
    assert wording.clock(59.96) == "01:00.0"
    assert wording.clock(900.0) == "15:00.0"
    assert wording.moment(10**30) == "–"
