"""Temporal operators: the incremental memory against the reference, and the reference against counting."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ripstop.backends import compile as compile_policies
from ripstop.core.canonical import canonical_json
from ripstop.core.decision import Decision, Verdict
from ripstop.policy import PolicyRejectedError, State, check, load, make_bundle, reference
from ripstop.policy.reference_time import History, evaluate
from ripstop.policy.temporal import operands, window_us
from temporal_programs import UP, US, VOCABULARY, A, B, loaded, moments, rules, traces


def counted(history, rule, t_us):
    """Evaluate a temporal operator by looking at every single microsecond."""
    name, args = operands(rule)

    def truth(condition, moment):
        index = sum(known <= moment for known in history.moments)
        readings = history.snapshots[index - 1].readings if index else {}
        return evaluate(
            condition, VOCABULARY, readings, moment, lambda inner: counted(history, inner, moment)
        )

    if name == "previous":
        return history.value(rule, t_us)
    begin = t_us - window_us(args[2 if name == "since" else 1])
    every = range(begin, t_us + 1)
    if name == "once":
        seen = {truth(args[0], moment) for moment in every}
        return True if True in seen else None if None in seen else False
    if name == "historically":
        seen = {truth(args[0], moment) for moment in every}
        return False if False in seen else None if None in seen else True
    if name == "count_within":
        seen = [truth(args[0], moment) for moment in range(begin - 1, t_us + 1)]
        edges = sum(seen[i] is False and seen[i + 1] is True for i in range(len(seen) - 1))
        return args[2] if edges >= args[2] else None if None in seen else edges
    outcomes = set()
    for start in every:
        parts = {truth(args[1], start), *(truth(args[0], later) for later in range(start + 1, t_us + 1))}
        outcomes.add(False if False in parts else None if None in parts else True)
    return True if True in outcomes else None if None in outcomes else False


THREE_DEEP = {"historically": [{"historically": [{"once": [{"<": [B, 5]}, 4 * US]}, US]}, 2 * US]}
"""The innermost operator changes by itself, and all around it at the same moment."""


@settings(max_examples=40)
@given(rules, traces, st.integers(0, 12))
@example(THREE_DEEP, [({"b": 9}, 0)], 4)
def test_the_reference_says_what_looking_at_every_microsecond_says(rule, trace, later):
    policy = loaded(rule)
    history = History(VOCABULARY)
    t_us = 100
    for signals, moment in moments(trace):
        history.observe(signals, moment)
        t_us = history.moments[-1]
    for expr in policy.program.recalls:
        written = reference.rule_of(expr)
        assert history.value(written, t_us + later) == counted(history, written, t_us + later)


LATE_TWICE = [({}, 0), ({"a": 1, "b": 1}, -2), ({"b": 1}, 1)]
"""Two samples of `b`, of distinct times, that both count from a later moment on."""


@given(rules, traces, st.lists(st.integers(0, 12), min_size=1, max_size=3), st.booleans())
@example({"once": [{"once": [{">": [B, {"previous": B}]}, US]}, US]}, LATE_TWICE, [2], False)
@example({"once": [{">": [B, {"previous": B}]}, US]}, LATE_TWICE, [0, 1, 2], True)
def test_the_memory_says_what_the_whole_trace_says(rule, trace, waits, restarts):
    policy = loaded(rule)
    compiled = compile_policies(policy)
    bundle = make_bundle([policy])
    state, history = compiled.start(), History(VOCABULARY)
    for signals, t_us in [*moments(trace), ({}, 0)]:
        for wait in waits:
            at_us = max(t_us, state.t_us) + wait
            expected = reference.decide(bundle, "go", {"p": 1}, at_us, history)
            found = reference.decide(bundle, "go", {"p": 1}, at_us, state)
            assert repr(found) == repr(expected)
            assert repr(compiled.decide("go", {"p": 1}, at_us, state)) == repr(expected)
        state = compiled.observe(state, signals, t_us)
        history.observe(signals, t_us)
        if restarts:
            record = canonical_json(state.to_json())
            state = compiled.restore(json.loads(record, parse_constant=float))
            assert canonical_json(state.to_json()) == record


@given(rules | st.just({"<": [{"-": [B, {"previous": [B]}]}, 3]}), traces, st.booleans())
def test_a_tracker_holds_the_state_that_observing_gives(rule, trace, is_usual):
    compiled = compile_policies(loaded(rule))
    state, tracker = compiled.start(), compiled.track()
    for index, (signals, t_us) in enumerate(moments(trace)):
        if is_usual:
            names = compiled.start().watch.signals
            signals = {"a": 1 + index % 9, "b": index % 7, "up": index % 3 > 0}
            signals = {name: signals[name] for name in names}
        state = compiled.observe(state, signals, t_us)
        tracker.observe(signals, t_us)
        if index % 3 == 1 or index == len(trace) - 1:
            assert tracker.state.to_json() == state.to_json()
            assert tracker.state.readings == state.readings


@given(rules, traces)
def test_a_recorded_decision_is_decided_again_without_the_past(rule, trace):
    compiled = compile_policies(loaded(rule))
    state = compiled.start()
    for signals, t_us in moments(trace):
        state = compiled.observe(state, signals, t_us)
    decision = compiled.decide("go", {"p": 1}, max(state.t_us, 0) + 2, state)
    recorded = Decision.from_json(decision.to_json())
    assert canonical_json(compiled.replay(recorded).to_json()) == canonical_json(decision.to_json())


@given(rules, traces, st.integers(-50, 50), st.integers(0, 9))
def test_moving_the_clock_moves_everything(rule, trace, by_us, wait):
    compiled = compile_policies(loaded(rule))
    state = compiled.start()
    for signals, t_us in moments(trace):
        state = compiled.observe(state, signals, t_us)
    if not trace:
        return
    moved = state.shifted(by_us)
    here = compiled.decide("go", {"p": 1}, state.t_us + wait, state)
    there = compiled.decide("go", {"p": 1}, state.t_us + wait + by_us, moved)
    assert (here.verdict, list(here.evidence)) == (there.verdict, list(there.evidence))


def walked(compiled, *samples):
    state = compiled.start()
    for t_us, signals in samples:
        state = compiled.observe(state, signals, t_us)
    return state


def test_without_a_state_a_temporal_policy_is_unknown():
    decision = compile_policies(loaded({"once": [UP, 1]})).decide("go", {"p": 1}, 0)
    assert [reason.code for reason in decision.reasons] == ["unknown"]


def test_the_context_overrides_nothing_inside_a_window():
    compiled = compile_policies(loaded({"once": [{"<": [B, 5]}, 4 * US]}))
    state = walked(compiled, (0, {"b": 9}), (10, {"b": 9}))
    assert not compiled.decide("go", {"p": 1, "b": 1}, 10, state)


def test_a_late_sample_is_dropped_and_counted():
    compiled = compile_policies(loaded({"once": [{"<": [B, 5]}, 4 * US]}))
    state = walked(compiled, (0, {"b": 9}), (10, {"b": 9}), (8, {"b": 1}))
    assert state.dropped == 1
    assert not compiled.decide("go", {"p": 1}, 10, state)


def test_a_sample_of_the_same_moment_replaces():
    compiled = compile_policies(loaded({"once": [{"<": [B, 5]}, 4 * US]}))
    state = walked(compiled, (0, {"b": 9}), (10, {"b": 1}), (10, {"b": 9}))
    assert not compiled.decide("go", {"p": 1}, 10, state)


def test_memory_survives_a_change_of_release_and_a_new_window_starts_unknown():
    known = loaded({"once": [{"<": [B, 5]}, 5 * US]})
    other = load({**loaded({"once": [{">": [B, 5]}, 3 * US]}).to_json(), "id": "y"})
    before = compile_policies(known)
    after = compile_policies([known, other])
    state = walked(before, (0, {"b": 9}), (4, {"b": 1}), (6, {"b": 1}))
    state = after.observe(state, {"b": 1}, 7)
    values = {sample.signal: sample.value for sample in after.decide("go", {"p": 1}, 8, state).remembered}
    assert list(values.values()) == [True, None]  # it was not above 5 since 6, but who knows about before
    state = after.observe(state, {"b": 1}, 12)
    values = after.decide("go", {"p": 1}, 12, state).remembered
    assert [sample.value for sample in values] == [True, False]


def test_an_operator_shared_by_policies_is_kept_once():
    one = loaded({"once": [{"<": [B, 5]}, 5 * US]})
    two = load({**one.to_json(), "id": "y", "rule": {"!": [{"once": [{"<": [B, 5]}, 5 * US]}]}})
    assert len(compile_policies([one, two]).start().memories) == 1


@pytest.mark.parametrize(
    ("rule", "codes"),
    [
        ({"once": [UP, 0]}, ["E0211"]),
        ({"once": [UP, -1]}, ["E0211"]),
        ({"once": [UP, 3.2e9]}, ["E0211"]),
        ({"once": [UP, B]}, ["E0208"]),
        ({"once": [UP]}, ["E0202"]),
        ({"once": [{"<": [{"var": "p"}, 1]}, 5]}, ["E0210"]),
        ({"once": [{"<": [{"var": "now"}, 1]}, 5]}, ["E0210"]),
        ({">": [{"count_within": [UP, 5, 0]}, 1]}, ["E0211"]),
        ({">": [{"count_within": [UP, 5, 1.5]}, 1]}, ["E0211"]),
        ({">": [{"previous": [{"+": [A, 1]}]}, 1]}, ["E0208"]),
        ({"all": [[1, 2], {"once": [UP, 5]}]}, ["E0210"]),
    ],
)
def test_what_has_no_history_or_no_sense_is_refused(rule, codes):
    document = {"ripstop": 1, "id": "x", "vocabulary": VOCABULARY.to_json(), "guards": ["go"], "rule": rule}
    with pytest.raises(PolicyRejectedError) as caught:
        load(document)
    assert [finding.code for finding in caught.value.findings] == codes


def test_checking_says_that_a_new_window_starts_unknown():
    assert [finding.code for finding in check(loaded({"once": [UP, 60]}).to_json()).findings] == ["L0504"]


@pytest.mark.parametrize(
    "inner",
    [
        {"once": [{"<": [B, 5]}, US]},
        {"historically": [{"<": [B, 5]}, US]},
        {"since": [{"<": [B, 5]}, {"<": [B, 5]}, US]},
        {">=": [{"count_within": [{"<": [B, 5]}, US, 3]}, 1]},
    ],
    ids=lambda inner: next(iter(inner)),
)
@pytest.mark.parametrize("value", [3, 7, None])
def test_a_long_silence_takes_no_more_steps_than_a_short_one(inner, value, monkeypatch):
    compiled = compile_policies(loaded({"historically": [{"!": [inner]}, 5]}))
    state = compiled.start().observe({"b": 1}, 0).observe({"b": value}, 10)
    counts = []
    for silence_us in (100, 10**15):
        steps = []
        renewed = type(state.watch)._renewed
        monkeypatch.setattr(
            type(state.watch), "_renewed", lambda *args, f=renewed, n=steps: n.append(1) or f(*args)
        )
        state.observe({"b": 1}, silence_us)
        monkeypatch.undo()
        counts.append(len(steps))
    assert counts[0] == counts[1] <= 5


def test_a_time_beyond_every_other_is_decided_about():
    compiled = compile_policies(loaded({"once": [{"<": [B, 5]}, 5]}))
    state = compiled.start().observe({"b": 9}, 0)
    for at_us in (2**62, 2**63, 2**80):
        assert compiled.decide("go", {"p": 1}, at_us, state).verdict is Verdict.DENY


def test_a_damaged_snapshot_is_refused():
    compiled = compile_policies(loaded({"once": [UP, 60]}))
    record = walked(compiled, (0, {"up": True})).to_json()
    for damaged in (
        {**record, "t_us": "x"},
        {**record, "temporal": {key: [1] for key in record["temporal"]}},
        {**record, "temporal": []},
        {**record, "spent": {"k": {"times": ["x"]}}},
    ):
        with pytest.raises(ValueError, match="snapshot"):
            compiled.restore(damaged)


def test_a_state_of_other_policies_is_unknown_where_it_knows_nothing():
    compiled = compile_policies(loaded({"once": [UP, 60]}))
    state = State(VOCABULARY).observe({"up": True}, 0)
    assert not compiled.decide("go", {"p": 1}, 0, state)
