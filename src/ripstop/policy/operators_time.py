"""Operators that remember (temporal), and the one that weighs uncertainty (`chance`)."""

from __future__ import annotations

from ripstop.policy.operators_row import Operator

TIME_ROWS: tuple[Operator, ...] = (
    Operator(
        "historically",
        2,
        2,
        "window",
        "condition, seconds -> boolean",
        "Whether the condition held at every moment of the window.",
        "False if false anywhere, else UNKNOWN if unknown anywhere. `historically x` is `! (once (! x))`.",
        (
            {"historically": [{"<": [{"var": "a"}, 9]}, 2]},
            [[0, {"a": 1}], [1, {"a": 8}], [3, {"a": 2}]],
            True,
        ),
        is_temporal=True,
    ),
    Operator(
        "once",
        2,
        2,
        "window",
        "condition, seconds -> boolean",
        "Whether the condition held at some moment of the window.",
        "True if true anywhere, else UNKNOWN if unknown anywhere. `once x` is `! (historically (! x))`.",
        ({"once": [{">": [{"var": "a"}, 7]}, 2]}, [[0, {"a": 1}], [1, {"a": 8}], [3, {"a": 2}]], True),
        is_temporal=True,
    ),
    Operator(
        "since",
        3,
        3,
        "window",
        "condition, start, seconds -> boolean",
        "Whether `start` held at some moment of the window, and the condition at every moment after it.",
        "`since(true, x, w)` is `once(x, w)`.",
        (
            {"since": [{"<": [{"var": "a"}, 9]}, {"var": "b"}, 5]},
            [[0, {"a": 1, "b": False}], [1, {"b": True}], [3, {"a": 2, "b": False}]],
            True,
        ),
        is_temporal=True,
    ),
    Operator(
        "previous",
        1,
        1,
        "previous",
        "signal -> the signal's type",
        "Gives the sample of a signal before its latest one.",
        "Samples of one moment are one, the last. UNKNOWN until there are two, or where it was not valid.",
        ({"previous": {"var": "a"}}, [[0, {"a": 1}], [1, {"a": 8}], [3, {"a": 2}]], 8),
        is_temporal=True,
    ),
    Operator(
        "count_within",
        3,
        3,
        "count_within",
        "condition, seconds, most -> number",
        "Counts how often the condition became true in the window, up to a constant.",
        "Never more than `most`; UNKNOWN if unknown anywhere and fewer than `most` were counted.",
        (
            {"count_within": [{">": [{"var": "a"}, 7]}, 2, 5]},
            [[0, {"a": 1}], [1, {"a": 8}], [2, {"a": 1}], [3, {"a": 9}]],
            2,
        ),
        is_temporal=True,
    ),
    Operator(
        "chance",
        2,
        2,
        "chance",
        "comparison, probability -> boolean",
        "Whether a linear comparison of independent estimates holds with at least this probability.",
        "Without deviation it is the comparison itself. An estimate is `{mean, sd}`, normally distributed.",
        ({"chance": [{"<": [{"var": "a"}, 10]}, 0.95]}, {"a": {"mean": 6, "sd": 2}}, True),
    ),
)
