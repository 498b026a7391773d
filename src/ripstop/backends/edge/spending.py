"""Decisions over a memory: what operators say at a moment, what room budgets leave, what is consumed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from sys import float_info

from ripstop.backends.edge.inputs import Look
from ripstop.backends.edge.memory import Memory, Remembered, memory_of
from ripstop.backends.edge.nodes import Arith, Compare, Const, Every, Load, Num, Select
from ripstop.backends.edge.program import EdgeProgram, Engine, actions_of, costs_of
from ripstop.backends.edge.remembered import (
    NEVER,
    at_least,
    clamped,
    held,
    into_ring,
    minus,
    plus,
    value_of,
)
from ripstop.backends.edge.steps import (
    FALSE,
    TRUE,
    UNKNOWN,
    Call,
    Converted,
    Fork,
    If,
    Index,
    Kept,
    Local,
    Moment,
    Put,
    PutNumber,
    Rel,
    Return,
    Routine,
    Says,
    Set,
    SetNumber,
    Statement,
    Test,
    Whole,
)
from ripstop.backends.edge.tracking import LATEST, routines_of
from ripstop.policy.budgets import Bucket, Budget, Quota
from ripstop.policy.bundle import Bundle
from ripstop.policy.document import Policy
from ripstop.policy.layout import Part

_T = Local("t_us")


def prologue(memory: Memory, program: EdgeProgram) -> list[Statement]:
    """Give the steps before a decision at `t`: they set the program's inputs that are remembered.

    Whether the budget number n of the program leaves room is the truth `room<n>`.
    """
    body: list[Statement] = []
    for load, each in enumerate(program.inputs):
        if each.look is Look.NOW:
            body.append(SetNumber(load, Converted(_T)))
            body.append(SetNumber(load, Arith("/", (Load(load), Const(1e6)))))
    recalled = memory.recalled(program)
    body += [*clamped("t_us"), at_least("t_us", LATEST)]
    for number, (key, budget) in enumerate(budgets_of(program)):
        cost = cost_of(
            budget, {each.name: i for i, each in enumerate(program.inputs) if each.look is Look.COST}
        )
        body += _room(f"room{number}", budget, memory.budgets[key][1], cost, len(program.inputs))
    body += [Set("since", LATEST)] if _asks_since(memory, recalled.values()) else []
    if recalled and memory.most_changes:
        later: list[Statement] = [Fork(), Call("advance", (Local("since"), _T), "since")]
        body += [Call("change", (Local("since"),), "next"), If(Rel("<=", Local("next"), _T), later)]
    for load, operator in recalled.items():
        body += value_of(operator, load, Local("since"), _T)
    return body


def _asks_since(memory: Memory, recalled: Iterable[Remembered]) -> bool:
    """Whether it matters since when the present lasts: what can change by itself, and a present edge."""
    return any(memory.most_changes > 0 or each.entry.op == "count_within" for each in recalled)


def budgets_of(program: EdgeProgram) -> list[tuple[str, Budget]]:
    """Give the budgets that a decision looks at, with their keys; a raw verdict looks at none."""
    return [each for policy in program.policies for each in policy.budgets if program.action is not None]


def remembers(program: EdgeProgram) -> bool:
    """Whether a program looks at the memory."""
    return bool(budgets_of(program)) or any(each.look is Look.RECALLED for each in program.inputs)


def given(program: EdgeProgram, *, has_memory: bool) -> tuple[int, ...]:
    """Give the inputs that the caller has to know; the memory, and the time, say the others."""
    known = (Look.RECALLED, Look.NOW) if has_memory and remembers(program) else ()
    return tuple(load for load, each in enumerate(program.inputs) if each.look not in known)


@dataclass(frozen=True)
class Remembering:
    """What makes a module or a header remember: its memory, and what moves that on."""

    memory: Memory
    internal: tuple[Routine, ...]
    public: tuple[Routine, ...]


def remembering(bundle: Bundle, engine: Engine) -> Remembering | None:
    """Give what makes a bundle's programs remember; None where there is nothing to remember.

    Raises:
        PolicyError: E0315 where a condition is outside the engine's profile.
    """
    memory = memory_of(bundle, engine)
    if memory is None:
        return None
    commits = []
    for action in actions_of(bundle):
        guarding = bundle.guarding(action)
        spec = bundle.vocabulary.actions.get(action)
        is_failsafe = spec is not None and spec.is_failsafe
        if any(policy.budgets for policy in guarding):
            name = f"commit_{action}" if action else "commit"
            commits.append(commitment(memory, name, guarding, is_failsafe=is_failsafe))
    made = routines_of(memory)
    return Remembering(memory, tuple(made[:-2]), (*made[-2:], *commits))


def commitment(memory: Memory, name: str, guarding: Sequence[Policy], *, is_failsafe: bool) -> Routine:
    """Give the routine that consumes what an action takes, just before it is done.

    It returns 1; or 0, with nothing consumed, where a budget leaves no room by now.
    """
    costs = costs_of(guarding)
    loads = {cost: load for load, cost in enumerate(costs)}
    keyed = [
        (budget, memory.budgets[key][1], cost_of(budget, loads))
        for policy in guarding
        for key, budget in zip(policy.budget_keys, policy.budgets, strict=True)
    ]
    body: list[Statement] = [*clamped("t_us"), at_least("t_us", LATEST)]
    for budget, place, cost in () if is_failsafe else keyed:
        body += _room("room", budget, place, cost, len(costs))
        body.append(If(Rel("!=", Local("room"), Whole(TRUE)), [Return(Whole(0))]))
    for budget, place, cost in keyed:
        body += _consumed(budget, place, cost, len(costs))
    return Routine(name, ("t_us",), [*body, Return(Whole(1))], returns=True, costs=costs)


def cost_of(budget: Budget, loads: Mapping[str, int]) -> Num:
    """Give what an action costs."""
    if isinstance(budget, Bucket) and isinstance(budget.cost, str):
        return Load(loads[budget.cost])
    return Const(float(budget.cost)) if isinstance(budget, Bucket) else Const(1.0)


def _room(name: str, budget: Budget, place: Part, cost: Num, free: int) -> list[Statement]:
    """Set a variable to whether there is room; `free` is the first load that nothing else uses."""
    if isinstance(budget, Quota):
        fits: Test = Rel("<", Local("kept"), Whole(budget.at_most))
        return [*_kept(budget, place), If(fits, [Set(name, Whole(TRUE))], [Set(name, Whole(FALSE))])]
    fits = Says(Compare("<=", cost, Load(free)))
    return [
        *_level(budget, place, free),
        If(
            _is_cost(cost),
            [If(fits, [Set(name, Whole(TRUE))], [Set(name, Whole(FALSE))])],
            [Set(name, Whole(UNKNOWN))],
        ),
    ]


def _is_cost(cost: Num) -> Says:
    return Says(Every((Compare(">=", cost, Const(0.0)), Compare("<=", cost, Const(float_info.max)))))


def _kept(budget: Quota, place: Part) -> list[Statement]:
    """Count the actions in the window that have not been let go before."""
    begin = minus(_T, round(budget.within_s * 1e6))
    count = Index(place.indices + 1)
    return [
        held("kept", place.moments, place.indices, budget.at_most, begin),
        If(Rel("<", count, Local("kept")), [Set("kept", count)]),
    ]


def _level(budget: Bucket, place: Part, free: int) -> list[Statement]:
    """Let `Load(free)` read what is in the bucket at `t`."""
    at = Moment(Whole(place.moments))
    seconds = Arith("/", (Load(free + 1), Const(1e6)))
    refilled = Arith("+", (Load(free), Arith("*", (Const(float(budget.refill_per_s)), seconds))))
    full = Const(float(budget.tokens))
    return [
        SetNumber(free, Kept(place.numbers)),
        If(
            Rel("!=", at, NEVER),
            [
                Set("elapsed", minus(_T, at)),
                at_least("elapsed", Whole(0)),
                SetNumber(free + 1, Converted(Local("elapsed"))),
                SetNumber(free, refilled),
                SetNumber(free, Select(Compare("<", Load(free), full), Load(free), full)),
            ],
        ),
    ]


def _consumed(budget: Budget, place: Part, cost: Num, free: int) -> list[Statement]:
    if isinstance(budget, Bucket):
        at = Moment(Whole(place.moments))
        left = Arith("-", (Load(free), cost))
        return [
            *_level(budget, place, free),
            If(_is_cost(cost), [PutNumber(place.numbers, left)], [PutNumber(place.numbers, Load(free))]),
            If(Rel("<", at, _T), [Put(at, _T)]),
        ]
    most, index, count = budget.at_most, place.indices, Index(place.indices + 1)
    return [
        *_kept(budget, place),
        Set("newest", Index(index)),
        If(Rel("==", Local("newest"), Whole(0)), [Set("newest", Whole(most))]),
        Set("newest", Moment(plus(Whole(place.moments - 1), Local("newest")))),
        at_least("newest", _T),
        If(Rel("<", Local("kept"), Whole(most)), [Set("kept", plus(Local("kept"), 1))]),
        Put(count, Local("kept")),
        *into_ring(place.moments, index, most, Local("newest")),
    ]
