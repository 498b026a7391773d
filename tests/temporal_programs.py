"""Random temporal policies and traces, with windows of a few microseconds: for hypothesis."""

from __future__ import annotations

import math

from hypothesis import strategies as st

from ripstop.policy import load, load_vocabulary

US = 1e-6  # windows of a few microseconds: few enough moments to look at every one
VOCABULARY = load_vocabulary(
    {
        "name": "test",
        "signals": {
            "a": {"range": [0, 10], "max_age_s": 3 * US},
            "b": {},
            "up": {"type": "boolean", "max_age_s": 5 * US},
        },
        "actions": {"go": {"parameters": {"p": {}}}, "land": {}},
        "failsafe": ["land"],
    }
)
A, B, UP = {"var": "a"}, {"var": "b"}, {"var": "up"}

plain = st.sampled_from(
    [
        {"<": [A, 5]},
        {"<": [B, 5]},
        UP,
        {"and": [UP, {"<": [A, 5]}]},
        {"or": [{"<": [A, 5]}, {">": [B, 5]}]},
        {"exists": "a"},
        {">": [{"/": [1, B]}, 0]},
        {">": [B, {"previous": B}]},
    ]
)
windows = st.integers(1, 7).map(lambda us: us * US)


def temporal(conditions):
    return (
        st.builds(
            lambda op, x, w: {op: [x, w]}, st.sampled_from(["once", "historically"]), conditions, windows
        )
        | st.builds(lambda x, y, w: {"since": [x, y, w]}, conditions, conditions, windows)
        | st.builds(
            lambda x, w, most, limit: {">=": [{"count_within": [x, w, most]}, limit]},
            conditions,
            windows,
            st.integers(1, 3),
            st.integers(1, 2),
        )
    )


rules = temporal(plain | temporal(plain).flatmap(lambda inner: st.sampled_from([inner, {"!": [inner]}])))
values = {
    "a": st.sampled_from([1, 9, 1.5, 99, math.nan, None, "x"]),
    "b": st.sampled_from([1, 9, 0, math.inf, True, None]),
    "up": st.sampled_from([True, False, 1]),
    "other": st.just(1),
}
traces = st.lists(
    st.tuples(st.fixed_dictionaries({}, optional=values), st.sampled_from([0, 1, 1, 2, 3, 6, -2])), max_size=8
)


def loaded(rule):
    document = {"ripstop": 1, "id": "x", "vocabulary": VOCABULARY.to_json(), "guards": ["go"], "rule": rule}
    return load(document)


def moments(trace):
    t_us = 100
    for signals, step in trace:
        t_us += step
        yield signals, t_us
