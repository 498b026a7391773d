"""The temporal operators of a bundle, watched: which there are, and what evaluates their conditions.

def condition(s, t, r):               # readings, microseconds, what recalls inner operators
    try:
        x = s["load"]
        if x[1] < t: return None      # too old: the exact evaluator decides what follows
        v0 = x[0]
        return v0 > 0.9
    except _surprises: return None
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence

from ripstop.backends.python.lowering import Emitter
from ripstop.backends.python.plan import build_any, fetch_recalled, observed
from ripstop.backends.python.slots import Unsupported, assign_slots
from ripstop.core.canonical import Json
from ripstop.core.vocabulary import Vocabulary
from ripstop.policy.bundle import Bundle
from ripstop.policy.document import Policy
from ripstop.policy.ir import TEMPORAL, Expr, rule_of
from ripstop.policy.reference_time import conditions_of
from ripstop.policy.state import NO_WATCH
from ripstop.policy.temporal import Condition, Readings, Recalled, Truth, Watch, key_of, watched


def watch_of(bundle: Bundle) -> Watch:
    """Give the watch over a bundle's temporal operators."""
    programs = [policy.program for policy in bundle.policies if policy.program.windows]
    if not programs:
        return NO_WATCH
    entries = watched(programs, bundle.vocabulary)
    conditions = []
    for entry in entries:
        exact = conditions_of(entry, bundle.vocabulary)
        pairs = zip(entry.exprs, exact, strict=True)
        conditions.append(tuple(compile_condition(expr, bundle.vocabulary, slow) for expr, slow in pairs))
    return Watch(entries, tuple(conditions))


def recalls_of(policies: Sequence[Policy], vocabulary: Vocabulary) -> list[str]:
    """Give the keys of the temporal operators that policies recall."""
    keys = (key_of(rule_of(expr), vocabulary) for policy in policies for expr in policy.program.recalls)
    return list(dict.fromkeys(keys))


def known_keys(policies: Sequence[Policy], vocabulary: Vocabulary) -> Callable[[Json], str]:
    """Give what tells a temporal operator's key; those of the policies' own operators are worked out once."""
    known: dict[tuple[str, int], tuple[str, Json]] = {}  # by the identity of the arguments, which are held
    pending: list[Json] = [
        rule for policy in policies for rule in (policy.rule, *(limit.when for limit in policy.limits))
    ]
    while pending:
        rule = pending.pop()
        if isinstance(rule, Mapping):
            for name, args in rule.items():
                if name in TEMPORAL and isinstance(args, Mapping | list | tuple):
                    known[name, id(args)] = key_of(rule, vocabulary), args
                pending.append(args)
        elif isinstance(rule, list | tuple):
            pending.extend(rule)

    def key(rule: Json) -> str:
        name, args = next(iter(rule.items())) if isinstance(rule, Mapping) else ("", None)
        found = known.get((name, id(args)))
        return key_of(rule, vocabulary) if found is None else found[0]

    return key


def compile_condition(expr: Expr, vocabulary: Vocabulary, exact: Condition) -> Condition:
    """Generate what evaluates a condition; `exact` takes over on a surprise."""
    try:
        slots = assign_slots([expr], vocabulary.signals, {})
        if any(slot.is_optional for slot in slots.values()):
            return exact
        emitter = Emitter(slots, ranged=True)
        test = emitter.test(expr)
        body = [statement for slot in slots.values() for statement in observed(slot)]
        for inner, variable in emitter.recalled.values():
            body += fetch_recalled(key_of(rule_of(inner), vocabulary), variable)
        body.append(ast.Return(ast.IfExp(test, ast.Constant(True), ast.Constant(False))))
        fast = build_any(["s", "t", "r"], body, ast.Return(ast.Constant(None)))
    except Unsupported:
        return exact

    def condition(readings: Readings, t_us: int, recalled: Recalled) -> Truth:
        truth = fast(readings, t_us, recalled.get)
        return exact(readings, t_us, recalled) if truth is None else bool(truth)

    return condition
