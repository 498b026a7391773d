"""The eight steps are read off reports; what has no report is not reached, with a reason."""

from ripstop.lab.crew import Veto
from ripstop.lab.journal import Journal
from ripstop.lab.report.schema import Record
from ripstop.lab.rig import CONTROL
from ripstop.lab.steps import Evidence, eight_steps, last_acknowledgement_s

FAULT = 900_000_000


def evidence(*entries: tuple[float, str, str, dict], **more) -> Evidence:
    journal = Journal()
    for after_s, node, name, fields in entries:
        journal.note(FAULT + round(after_s * 1e6), node, name, fields)
    return Evidence(journal, "drone-1", FAULT, **more)


def reached(found: Evidence) -> list[int]:
    return [step.number for step in eight_steps(found) if step.reached]


def test_nothing_is_reached_where_nothing_was_reported():
    steps = eight_steps(evidence())
    assert [step.number for step in steps] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert not any(step.reached for step in steps)
    assert all(step.reason and step.wall_s is None for step in steps)


def test_what_was_reported_before_the_fault_does_not_count():
    assert reached(evidence((-1.0, "drone-1", "breaker.opened", {}))) == []


def test_a_breaker_that_opened_is_local_detection():
    found = eight_steps(evidence((0.4, "drone-1", "breaker.opened", {})))[0]
    assert (found.reached, found.wall_s) == (True, 0.4)


def test_another_drones_breaker_is_not():
    assert reached(evidence((0.4, "drone-2", "breaker.opened", {}))) == []


def test_the_payload_rule_must_have_denied_the_faulty_drone():
    other = Veto(FAULT + 1, "drone-2", "accept_task", ("drone/payload-limit",), "")
    own = Veto(FAULT + 400_000, "drone-1", "accept_task", ("drone/payload-limit", "x"), "")
    assert reached(evidence(vetoes=[other])) == []
    assert reached(evidence(vetoes=[other, own])) == [2]


def test_telemetry_is_frequent_only_against_what_it_was_before():
    alarm = (0.0, "drone-1", "anomaly.detected", {"text": "dip"})
    every_second = [FAULT - 60_000_000 + i * 1_000_000 for i in range(66)]
    assert reached(evidence(alarm, frames_us=every_second)) == []
    assert reached(evidence(alarm, frames_us=[FAULT + i * 500_000 for i in range(10)])) == [3]


def test_a_risk_that_stays_below_is_told_with_both_models_figures():
    fields = {"model": "load", "suspects": 1, "probability": 0.12, "low": 0.1, "high": 0.15}
    said = eight_steps(evidence((0.5, CONTROL, "risk.assessed", fields)))[3]
    assert not said.reached
    assert "stayed below" in said.reason
    assert "0.12" in said.reason


def test_a_plan_that_not_everybody_acknowledged_is_no_mitigation():
    planned = (0.6, CONTROL, "mitigation.planned", {"keep": 1, "radius_m": 2000.0})
    missed = (5.0, CONTROL, "mitigation.incomplete", {"agent": "drone-7"})
    step = eight_steps(evidence(planned, missed))[4]
    assert not step.reached
    assert "drone-7" in step.reason


def test_the_last_acknowledgement_is_that_of_the_last_target():
    found = evidence((0.8, CONTROL, "mitigation.complete", {"targets": 9}))
    assert last_acknowledgement_s(found) == 0.8
    assert last_acknowledgement_s(evidence()) is None


def test_recovery_needs_sensor_breaker_and_lift():
    opened = (0.5, CONTROL, "incident.opened", {})
    replaced = (8.0, "drone-1", "sensor.replaced", {"rejoins": True})
    closed = (9.5, "drone-1", "breaker.closed", {})
    lifted = (12.0, CONTROL, "incident.closed", {})
    assert 7 not in reached(evidence(opened, replaced))
    assert 7 not in reached(evidence(opened, replaced, closed))
    found = eight_steps(evidence(opened, replaced, closed, lifted))[6]
    assert (found.reached, found.wall_s) == (True, 12.0)


def test_recovery_is_reached_where_the_restrictions_had_lifted_before_the_sensor_was_replaced():
    opened = (0.5, CONTROL, "incident.opened", {})
    lifted = (6.0, CONTROL, "incident.closed", {})
    replaced = (8.0, "drone-1", "sensor.replaced", {"rejoins": True})
    closed = (9.5, "drone-1", "breaker.closed", {})
    found = eight_steps(evidence(opened, lifted, replaced, closed))[6]
    assert (found.reached, found.wall_s) == (True, 9.5)
    again = (7.0, CONTROL, "incident.opened", {})
    assert 7 not in reached(evidence(opened, lifted, again, replaced, closed))


def test_a_record_with_findings_is_not_reached():
    bad = Record(5, 2, False, ("drone-1:3: chain.broken",))
    step = eight_steps(evidence(record=bad, recorded_us=FAULT))[7]
    assert not step.reached
    assert "chain.broken" in step.reason
