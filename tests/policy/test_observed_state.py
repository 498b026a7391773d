"""What is observed: validity, order, snapshots."""

import math

from ripstop.core.sample import Sample
from ripstop.policy import State, load_vocabulary

VOCABULARY = load_vocabulary(
    {"name": "v", "signals": {"x": {"range": [0, 10], "max_age_s": 5}, "up": {"type": "boolean"}}}
)


def test_observing_changes_no_earlier_state():
    first = State(VOCABULARY).observe({"x": 1}, 10)
    second = first.observe({"x": 2}, 20)
    assert (first.sample("x"), second.sample("x")) == (Sample("x", 1, 10), Sample("x", 2, 20))


def test_a_bad_value_keeps_the_last_valid_one():
    state = State(VOCABULARY).observe({"x": 1}, 10).observe({"x": math.nan}, 20)
    assert state.readings["x"].valid == Sample("x", 1, 10)
    assert state.readings["x"].until_us < 0


def test_older_and_undeclared_samples_are_dropped_and_counted():
    state = State(VOCABULARY).observe({"x": 1}, 10).observe({"x": 2, "other": 3}, 5)
    assert (state.sample("x"), state.sample("other"), state.dropped) == (Sample("x", 1, 10), None, 2)


def test_a_boolean_is_a_number_but_no_number_is_a_boolean():
    state = State(VOCABULARY).observe({"x": True, "up": 1}, 10)
    assert state.readings["x"].value == 1
    assert state.readings["up"].valid is None


def test_a_snapshot_gives_the_samples_back():
    state = State(VOCABULARY).observe({"x": 1}, 10).observe({"x": 99, "up": True}, 20)
    record = state.to_json()
    again = State.of_samples(
        VOCABULARY, map(Sample.from_json, record["samples"]), map(Sample.from_json, record["last_valid"])
    )
    assert again.readings == state.readings
