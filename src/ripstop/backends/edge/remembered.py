"""What each temporal operator does to its memory, as steps: the kinds of `policy.temporal`, one table each.

ABSORB     the present, which held from `first` to `last`, becomes past
CHANGES    the moments at which the operator's value may change by itself
value_of   its value at a moment
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from ripstop.backends.edge.memory import LIMIT_US, Remembered
from ripstop.backends.edge.steps import (
    FALSE,
    TRUE,
    UNKNOWN,
    Binary,
    Both,
    Call,
    Converted,
    Either,
    If,
    Index,
    Kept,
    Local,
    Mark,
    Moment,
    Nothing,
    Put,
    Rel,
    Set,
    SetNumber,
    Statement,
    Test,
    Whole,
    WholeExpr,
)
from ripstop.policy.state_reading import NEVER_US

NEVER = Whole(NEVER_US)
BEGIN = Whole(-2 * LIMIT_US)  # before every sample, and so late that no window reaches "never"
Sooner: TypeAlias = Callable[[WholeExpr, int], "list[Statement]"]
"""Takes a moment and what comes after it into account, where that lies ahead."""


def plus(left: WholeExpr, right: WholeExpr | int) -> WholeExpr:
    """Add."""
    return Binary("+", left, Whole(right) if isinstance(right, int) else right)


def minus(left: WholeExpr, right: WholeExpr | int) -> WholeExpr:
    """Subtract."""
    return Binary("-", left, Whole(right) if isinstance(right, int) else right)


def at_least(name: str, least: WholeExpr) -> If:
    """Raise a variable to a value."""
    return If(Rel("<", Local(name), least), [Set(name, least)])


def clamped(name: str) -> list[Statement]:
    """Keep a moment so close that sums with windows and ages stay inside 64 bits."""
    most = Whole(2 * LIMIT_US - 1)
    return [at_least(name, BEGIN), If(Rel(">", Local(name), most), [Set(name, most)])]


def moment_of(remembered: Remembered, which: int) -> Moment:
    """Give one of an operator's moments."""
    return Moment(Whole(remembered.place.moments + which))


def mark_of(remembered: Remembered, which: int = 0) -> Mark:
    """Give one of an operator's truths."""
    return Mark(remembered.place.truths + which)


def is_truth(value: WholeExpr, truth: int) -> Test:
    """Compare with a truth."""
    return Rel("==", value, Whole(truth))


def held(name: str, first: int, index: int, most: int, begin: WholeExpr) -> Call:
    """Count the moments of a ring that are not before a moment."""
    return Call("held", (Whole(first), Index(index), Whole(most), begin), name)


def into_ring(first: int, index: int, most: int, moment: WholeExpr) -> list[Statement]:
    """Write a moment over the oldest of a ring."""
    after: WholeExpr = plus(Index(index), 1)
    return [
        Put(Moment(plus(Whole(first), Index(index))), moment),
        If(Rel("<", after, Whole(most)), [Put(Index(index), after)], [Put(Index(index), Whole(0))]),
    ]


# ---- the past ---------------------------------------------------------------------------------------------


def _absorb_span(each: Remembered) -> list[Statement]:
    last = Local("last")
    return [
        If(
            is_truth(mark_of(each), TRUE),
            [Put(moment_of(each, 0), last)],
            [
                If(
                    is_truth(mark_of(each), FALSE),
                    [Put(moment_of(each, 1), last)],
                    [Put(moment_of(each, 2), last)],
                )
            ],
        )
    ]


def _absorb_since(each: Remembered) -> list[Statement]:
    held_now, start, last = mark_of(each), mark_of(each, 1), Local("last")
    witness, possible = moment_of(each, 0), moment_of(each, 1)
    return [
        If(
            is_truth(start, TRUE),
            [Put(witness, last)],
            [If(Rel("!=", held_now, Whole(TRUE)), [Put(witness, NEVER)])],
        ),
        If(
            Rel("!=", start, Whole(FALSE)),
            [Put(possible, last)],
            [If(is_truth(held_now, FALSE), [Put(possible, NEVER)])],
        ),
    ]


def _absorb_count(each: Remembered) -> list[Statement]:
    now, before = mark_of(each), mark_of(each, 1)
    first, most = each.place.moments + 1, each.entry.most
    return [
        If(
            Both((is_truth(now, TRUE), is_truth(before, FALSE))),
            into_ring(first, each.place.indices, most, Local("first")),
            [If(is_truth(now, UNKNOWN), [Put(moment_of(each, 0), Local("last"))])],
        ),
        Put(before, now),
    ]


ABSORB: Mapping[str, Callable[[Remembered], list[Statement]]] = {
    "once": _absorb_span,
    "historically": _absorb_span,
    "since": _absorb_since,
    "count_within": _absorb_count,
    "previous": lambda each: [],
}


# ---- the present ------------------------------------------------------------------------------------------


def value_of(each: Remembered, load: int, since: WholeExpr, at: WholeExpr) -> list[Statement]:
    """Set what `load` reads to an operator's value at a moment, when the present has lasted `since`."""
    if each.entry.op == "previous":
        return [SetNumber(load, Kept(each.place.numbers))]
    begin = minus(at, each.entry.window_us)
    if each.entry.op == "count_within":
        return _count(each, load, since, begin)
    return [*_VALUES[each.entry.op](each, begin), *_as_number(load)]


def _as_number(load: int) -> list[Statement]:
    is_known = Rel("!=", Local("value"), Whole(UNKNOWN))
    return [
        If(is_known, [SetNumber(load, Converted(Local("value")))], [SetNumber(load, Nothing())]),
    ]


def _decide(certain: Test, known: int, doubtful: Test, otherwise: int) -> list[Statement]:
    return [
        If(
            certain,
            [Set("value", Whole(known))],
            [If(doubtful, [Set("value", Whole(UNKNOWN))], [Set("value", Whole(otherwise))])],
        )
    ]


def _once(each: Remembered, begin: WholeExpr) -> list[Statement]:
    now = mark_of(each)
    certain = Either((is_truth(now, TRUE), Rel(">=", moment_of(each, 0), begin)))
    return _decide(
        certain, TRUE, Either((is_truth(now, UNKNOWN), Rel(">=", moment_of(each, 2), begin))), FALSE
    )


def _historically(each: Remembered, begin: WholeExpr) -> list[Statement]:
    now = mark_of(each)
    certain = Either((is_truth(now, FALSE), Rel(">=", moment_of(each, 1), begin)))
    return _decide(
        certain, FALSE, Either((is_truth(now, UNKNOWN), Rel(">=", moment_of(each, 2), begin))), TRUE
    )


def _since(each: Remembered, begin: WholeExpr) -> list[Statement]:
    held_now, start = mark_of(each), mark_of(each, 1)
    witnessed = Both((is_truth(held_now, TRUE), Rel(">=", moment_of(each, 0), begin)))
    possible = Both((Rel("!=", held_now, Whole(FALSE)), Rel(">=", moment_of(each, 1), begin)))
    doubtful = Either((is_truth(start, UNKNOWN), possible))
    return _decide(Either((is_truth(start, TRUE), witnessed)), TRUE, doubtful, FALSE)


_VALUES = {"once": _once, "historically": _historically, "since": _since}


def _count(each: Remembered, load: int, since: WholeExpr, begin: WholeExpr) -> list[Statement]:
    now, before, most = mark_of(each), mark_of(each, 1), Whole(each.entry.most)
    is_edge = Both((is_truth(now, TRUE), is_truth(before, FALSE), Rel(">=", since, begin)))
    unknown = Either((is_truth(now, UNKNOWN), Rel(">=", moment_of(each, 0), minus(begin, 1))))
    return [
        held("value", each.place.moments + 1, each.place.indices, each.entry.most, begin),
        If(is_edge, [Set("value", plus(Local("value"), 1))]),
        If(
            Rel(">=", Local("value"), most),
            [SetNumber(load, Converted(most))],
            [If(unknown, [SetNumber(load, Nothing())], [SetNumber(load, Converted(Local("value")))])],
        ),
    ]


# ---- changes by itself ------------------------------------------------------------------------------------


def _once_changes(each: Remembered, sooner: Sooner) -> list[Statement]:
    return _span_changes(each, sooner, TRUE, 0)


def _historically_changes(each: Remembered, sooner: Sooner) -> list[Statement]:
    return _span_changes(each, sooner, FALSE, 1)


def _span_changes(each: Remembered, sooner: Sooner, settled: int, decisive: int) -> list[Statement]:
    """Nothing changes while the present settles the matter; unknown moments matter where it is known."""
    leaves = each.entry.window_us + 1
    unknown = If(Rel("!=", mark_of(each), Whole(UNKNOWN)), sooner(moment_of(each, 2), leaves))
    return [
        If(
            Rel("!=", mark_of(each), Whole(settled)),
            [*sooner(moment_of(each, decisive), leaves), unknown],
        )
    ]


def _since_changes(each: Remembered, sooner: Sooner) -> list[Statement]:
    leaves = each.entry.window_us + 1
    witness = If(is_truth(mark_of(each), TRUE), sooner(moment_of(each, 0), leaves))
    possible = If(is_truth(mark_of(each, 1), FALSE), sooner(moment_of(each, 1), leaves))
    lasts = Either((is_truth(mark_of(each, 1), TRUE), is_truth(mark_of(each), FALSE)))
    return [If(lasts, [], [witness, possible])]


def _count_changes(each: Remembered, sooner: Sooner) -> list[Statement]:
    leaves, most = each.entry.window_us + 1, each.entry.most
    first, index = each.place.moments + 1, each.place.indices
    oldest = minus(plus(Index(index), most), Local("kept"))
    is_edge = Both((is_truth(mark_of(each), TRUE), is_truth(mark_of(each, 1), FALSE)))
    return [
        held("kept", first, index, most, minus(Local("t_us"), each.entry.window_us)),
        If(
            Rel(">", Local("kept"), Whole(0)),
            [
                Set("place", oldest),
                If(Rel(">=", Local("place"), Whole(most)), [Set("place", minus(Local("place"), most))]),
                *sooner(Moment(plus(Whole(first), Local("place"))), leaves),
            ],
        ),
        If(is_edge, sooner(Local("t_us"), leaves)),
        If(Rel("!=", mark_of(each), Whole(UNKNOWN)), sooner(moment_of(each, 0), leaves + 1)),
    ]


CHANGES: Mapping[str, Callable[[Remembered, Sooner], list[Statement]]] = {
    "once": _once_changes,
    "historically": _historically_changes,
    "since": _since_changes,
    "count_within": _count_changes,
    "previous": lambda each, sooner: [],
}
