"""The memory of a bundle moved on: the routines of `policy.temporal` and of `State.observe`, as steps.

    start()                      nothing has been observed
    change(t) -> moment          the first moment after t at which a condition changes by itself
    absorb(first, last)          the present, which held from first to last, becomes past
    renew(t)                     every condition is evaluated at t
    advance(t, until) -> moment  changes up to `until` happen, the last of them at the moment that comes back
    observe(t, sampled) -> n     samples of one moment come in; n of them were late
    held(first, next, most, begin) -> n    moments of a ring that are not before `begin`

INVARIANT: the moments of a ring stand in order from its oldest, at `next`, to its newest; so `held` halves.
Nothing depends on how long a window is: a call takes so many steps as there are operators, ages and edges.
"""

from __future__ import annotations

from ripstop.backends.edge.inputs import Look
from ripstop.backends.edge.memory import LIMIT_US, Memory, Sampled
from ripstop.backends.edge.nodes import Arith, Compare, Const, Every, Guarded, GuardedNumber, Load, walk
from ripstop.backends.edge.remembered import (
    ABSORB,
    BEGIN,
    CHANGES,
    NEVER,
    at_least,
    is_truth,
    mark_of,
    minus,
    plus,
    value_of,
)
from ripstop.backends.edge.steps import (
    UNKNOWN,
    Asked,
    Both,
    Call,
    Either,
    Half,
    If,
    Index,
    Judge,
    Kept,
    Leave,
    Local,
    Moment,
    Nothing,
    Put,
    PutNumber,
    Rel,
    Repeat,
    Return,
    Routine,
    Says,
    Set,
    SetNumber,
    Statement,
    Whole,
    WholeExpr,
)
from ripstop.policy.budgets import Quota
from ripstop.policy.layout import is_ageing_text

READING = ("held", "change")  # the routines that change nothing
FOREVER = Whole(2**63 - 1)
LATEST = Moment(Whole(0))
_T = Local("t_us")


def routines_of(memory: Memory) -> list[Routine]:
    """Give the routines that a memory needs; each calls only those before it."""
    made = []
    has_ring = any(each.entry.op == "count_within" for each in memory.operators)
    if has_ring or any(isinstance(budget, Quota) for budget, _ in memory.budgets.values()):
        made.append(_held(memory))
    made += [_absorb(memory), _renew(memory)] if memory.has_conditions else []
    if memory.most_changes:
        made += [_change(memory), _advance(memory)]
    return [*made, _start(memory), _observe(memory)]


def _start(memory: Memory) -> Routine:
    body: list[Statement] = [
        Set("i", Whole(0)),
        Repeat(memory.whole.moments, [Put(Moment(Local("i")), NEVER), Set("i", plus(Local("i"), 1))]),
    ]
    for each in memory.signals:
        for load in each.loads:
            is_value = memory.inputs[load].look is Look.VALUE
            body.append(PutNumber(memory.number_of(load), Nothing() if is_value else Const(0.0)))
    for operator in memory.operators:
        if operator.entry.op == "previous":
            body.append(PutNumber(operator.place.numbers, Nothing()))
        if operator.entry.op == "count_within":
            body += [Put(Index(operator.place.indices), Whole(0)), Put(mark_of(operator, 1), Whole(UNKNOWN))]
    for budget, place in memory.budgets.values():
        if isinstance(budget, Quota):
            body += [Put(Index(place.indices + which), Whole(0)) for which in range(2)]
        else:
            body.append(PutNumber(place.numbers, Const(float(budget.tokens))))
    if memory.has_conditions:
        body.append(Call("renew", (BEGIN,)))
    return Routine("start", (), body)


def _held(memory: Memory) -> Routine:
    """Find the first moment not before `begin` by halving; as many follow it as there are."""
    rings = [each.entry.most for each in memory.operators if each.entry.op == "count_within"]
    rings += [budget.at_most for budget, _ in memory.budgets.values() if isinstance(budget, Quota)]
    low, size, at = Local("low"), Local("size"), Local("at")
    within: list[Statement] = [
        If(Rel(">=", at, Local("most")), [Set("at", minus(at, Local("most")))]),
    ]
    cell = Moment(plus(Local("first"), at))
    body: list[Statement] = [
        Set("low", Whole(0)),
        Set("size", Local("most")),
        Repeat(
            max(rings).bit_length(),
            [
                If(Rel("<", size, Whole(2)), [Leave()]),
                Set("at", minus(plus(plus(Local("next"), low), Half(size)), 1)),
                *within,
                If(Rel("<", cell, Local("begin")), [Set("low", plus(low, Half(size)))]),
                Set("size", minus(size, Half(size))),
            ],
        ),
        Set("at", plus(Local("next"), low)),
        *within,
        If(Rel("<", cell, Local("begin")), [Set("low", plus(low, 1))]),
        Return(minus(Local("most"), low)),
    ]
    return Routine("held", ("first", "next", "most", "begin"), body, returns=True, changes=False)


def _absorb(memory: Memory) -> Routine:
    body: list[Statement] = []
    for each in memory.operators:
        body += ABSORB[each.entry.op](each)
    return Routine("absorb", ("first", "last"), body)


# ---- the present ------------------------------------------------------------------------------------------


def _renew(memory: Memory) -> Routine:
    body: list[Statement] = []
    used = _used(memory)
    for signal in memory.signals:
        for load in sorted(used.intersection(signal.loads)):
            body += _read(memory, signal, load)
    inner = {each.entry.key for each in memory.inner}
    loads = {each.name: load for load, each in enumerate(memory.inputs) if each.look is Look.RECALLED}
    rules = {id(each): rule for rule, each in memory.by_rule.items()}
    for each in memory.operators:
        for which, condition in enumerate(each.conditions):
            body += [Judge("now", condition), Put(mark_of(each, which), Local("now"))]
        if each.entry.key in inner and rules[id(each)] in loads:
            body += value_of(each, loads[rules[id(each)]], _T, _T)
    return Routine("renew", ("t_us",), body)


def _used(memory: Memory) -> set[int]:
    """Give the loads that conditions use; what `previous` alone looks at is not among them."""
    roots = [root for each in memory.operators for root in each.conditions]
    nodes = [node for root in roots for node in walk(root)]
    checked = [load for node in nodes if isinstance(node, Guarded | GuardedNumber) for load in node.inputs]
    return {*checked, *(node.input for node in nodes if isinstance(node, Load))}


def _read(memory: Memory, signal: Sampled, load: int) -> list[Statement]:
    """Read what was sampled: once it is too old a value is nothing, and a text is not empty."""
    kept = SetNumber(load, Kept(memory.number_of(load)))
    look = memory.inputs[load].look
    is_empty_told = look is Look.FILLED and is_ageing_text(memory.vocabulary.signals.get(signal.name))
    if signal.age_us is None or not (look is Look.VALUE or is_empty_told):
        return [kept]
    old = Nothing() if look is Look.VALUE else Kept(memory.number_of(_given_load(memory, signal)))
    is_old = Rel("<", plus(Moment(Whole(signal.place.moments)), signal.age_us), _T)
    return [kept, If(is_old, [SetNumber(load, old)])]


def _given_load(memory: Memory, signal: Sampled) -> int:
    return next(load for load in signal.loads if memory.inputs[load].look is Look.GIVEN)


# ---- changes by itself ------------------------------------------------------------------------------------


def _change(memory: Memory) -> Routine:
    soonest = Local("soonest")
    body: list[Statement] = [
        If(Rel("==", _T, NEVER), [Return(FOREVER)]),
        Set("soonest", FOREVER),
    ]

    def sooner(moment: WholeExpr, after: int) -> list[Statement]:
        """Take the moment that comes `after` one, where there is one and it lies ahead."""
        ahead = Rel("<", _T, plus(moment, after))
        lies = Both((Rel("!=", moment, NEVER), ahead, Rel("<", plus(moment, after), soonest)))
        return [If(lies, [Set("soonest", plus(moment, after))])]

    for signal in memory.signals:
        if signal.age_us is not None:
            body += sooner(Moment(Whole(signal.place.moments)), signal.age_us + 1)
    for each in memory.inner:
        body += CHANGES[each.entry.op](each, sooner)
    return Routine("change", ("t_us",), [*body, Return(soonest)], returns=True, changes=False)


def _advance(memory: Memory) -> Routine:
    again: list[Statement] = [
        Call("change", (_T,), "next"),
        If(Rel(">", Local("next"), Local("until")), [Leave()]),
        Call("absorb", (_T, minus(Local("next"), 1))),
        Call("renew", (Local("next"),)),
        Set("t_us", Local("next")),
    ]
    body: list[Statement] = [Repeat(memory.most_changes + 1, again), Return(_T)]
    return Routine("advance", ("t_us", "until"), body, returns=True)


# ---- what comes in ----------------------------------------------------------------------------------------


def _observe(memory: Memory) -> Routine:
    now = Local("now")
    body: list[Statement] = [
        Set("dropped", Whole(0)),
        Set("far", Whole(0)),
        If(
            Either((Rel("<", _T, Whole(-LIMIT_US)), Rel(">", _T, Whole(LIMIT_US)))),
            [Set("far", Whole(1))],
        ),
        Set("now", _T),
        If(is_truth(Local("far"), 1), [Set("now", LATEST)]),
        at_least("now", LATEST),
    ]
    if memory.has_conditions:
        past: list[Statement] = [Set("since", LATEST)]
        if memory.most_changes:
            past.append(Call("advance", (Local("since"), minus(now, 1)), "since"))
        past.append(Call("absorb", (Local("since"), minus(now, 1))))
        body.append(If(Rel(">", now, LATEST), past))
    for number, signal in enumerate(memory.signals):
        body.append(If(Asked(number), _taken(memory, signal)))
    body.append(Put(LATEST, now))
    if memory.has_conditions:
        body.append(If(Rel("!=", now, NEVER), [Call("renew", (now,))]))
    return Routine("observe", ("t_us",), [*body, Return(Local("dropped"))], returns=True, takes_samples=True)


def _taken(memory: Memory, signal: Sampled) -> list[Statement]:
    """Take a signal's sample unless it is late; one of the same moment replaces the latest."""
    at = Moment(Whole(signal.place.moments))
    taken: list[Statement] = []
    for each in memory.operators:
        if each.entry.op == "previous" and each.entry.signals[0] == signal.name:
            latest = Kept(memory.number_of(value_load(memory, signal)))
            taken.append(If(Rel("!=", at, _T), [PutNumber(each.place.numbers, latest)]))
    for load in signal.loads:
        taken += _kept(memory, load)
    taken.append(Put(at, _T))
    is_late = Either((is_truth(Local("far"), 1), Rel("<", _T, at)))
    return [If(is_late, [Set("dropped", plus(Local("dropped"), 1))], taken)]


def value_load(memory: Memory, signal: Sampled) -> int:
    """Give the load of a signal's plain value."""
    inputs = memory.inputs
    return next(
        load
        for load in signal.loads
        if inputs[load].look is Look.VALUE and inputs[load].index is None and not inputs[load].part
    )


def _kept(memory: Memory, load: int) -> list[Statement]:
    """Keep a number if it can be used, else nothing: its range is part of that."""
    each, index = memory.inputs[load], memory.number_of(load)
    if each.look is not Look.VALUE:
        return [PutNumber(index, Load(load))]
    finite = Compare("==", Arith("-", (Load(load), Load(load))), Const(0.0))
    tests: list[Compare] = []
    if each.low is not None:
        tests.append(Compare(">=", Load(load), Const(each.low)))
    if each.high is not None:
        tests.append(Compare("<=", Load(load), Const(each.high)))
    if len(tests) < 2:
        tests.append(finite)
    usable = Says(Every(tuple(tests)))
    return [If(usable, [PutNumber(index, Load(load))], [PutNumber(index, Nothing())])]
