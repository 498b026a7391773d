"""Passes over expressions in boolean position. None changes what is read, or any evidence bit.

    (! (and a (or b false)))        normal       (or (! a) (! b))
    (and a (! a) b)                 known        (and a false)
    (< x (+ 1 2))                   folded       (< x 3)

Common sub-expressions need no pass: the builder makes equal expressions one object. An atom keeps its head,
even where its value is known beforehand, for evidence says that it was read.
"""

from __future__ import annotations

from collections.abc import Sequence

from ripstop.policy.evaluate import Machine, Scope
from ripstop.policy.ir import LOGIC, TEMPORAL, Builder, Expr, rule_of
from ripstop.policy.kinds import BOOLEAN, type_of_value
from ripstop.policy.values import JsonLogicError, is_truthy

_FOLDED = ("+", "-", "*", "/", "%", "min", "max")


def folded(expr: Expr, builder: Builder) -> Expr:
    """Compute arithmetic over constants inside an expression; the head of the expression itself stays."""
    if not expr.args or expr.op in TEMPORAL or expr.op == "chance":
        return interned(expr, builder)
    args = tuple(computed(folded(arg, builder), builder) for arg in expr.args)
    return builder.make(expr.op, args, expr.type, path=expr.path, place=expr.place)


def interned(expr: Expr, builder: Builder) -> Expr:
    """Give the same expression, made by another builder."""
    args = tuple(interned(arg, builder) for arg in expr.args)
    return builder.make(expr.op, args, expr.type, value=expr.value, path=expr.path, place=expr.place)


def computed(expr: Expr, builder: Builder) -> Expr:
    """Compute arithmetic over constants; anything else stays."""
    if expr.op not in _FOLDED or any(arg.op != "const" for arg in expr.args):
        return expr
    try:
        value = Machine().run(rule_of(expr), Scope(None))
    except JsonLogicError:
        return expr  # an error is UNKNOWN when it is reached
    return builder.constant(value, type_of_value(value), expr.place)


def normal(expr: Expr, builder: Builder, *, negated: bool = False) -> Expr:
    """Push negation down to the atoms, flatten `and` and `or`, and drop branches that literals decide."""
    if expr.op == "const":
        return builder.constant(is_truthy(expr.value) is not negated, BOOLEAN, expr.place)
    if expr.op in ("!", "!!"):
        return normal(expr.args[0], builder, negated=negated is (expr.op == "!!"))
    if expr.op in ("and", "or"):
        op = "or" if (expr.op == "and") is negated else "and"
        return chain(op, [normal(arg, builder, negated=negated) for arg in expr.args], builder)
    if expr.op == "if":
        return _choice(expr.args, builder, negated)
    return builder.make("!", (expr,), BOOLEAN, place=expr.place) if negated else expr


def chain(op: str, args: Sequence[Expr], builder: Builder) -> Expr:
    """Make `and` or `or`: flat, without what changes nothing, ending where a literal decides."""
    decisive = op == "or"
    kept: list[Expr] = []
    for arg in args:
        for part in arg.args if arg.op == op else (arg,):
            if part.op == "const" and part.value is not decisive:
                continue
            kept.append(part)
            if part.op == "const":
                return _made(op, kept, builder)
    return _made(op, kept, builder)


def _made(op: str, args: Sequence[Expr], builder: Builder) -> Expr:
    if not args:
        return builder.constant(op == "and", BOOLEAN)
    return args[0] if len(args) == 1 else builder.make(op, tuple(args), BOOLEAN, place=args[0].place)


def _choice(args: Sequence[Expr], builder: Builder, negated: bool) -> Expr:
    """Normalise `if`; one without an else gives null, which is false."""
    otherwise = builder.constant(negated, BOOLEAN)
    if len(args) % 2:
        otherwise = normal(args[-1], builder, negated=negated)
    parts: list[Expr] = [otherwise]
    for index in range(len(args) // 2 * 2 - 2, -1, -2):
        condition = normal(args[index], builder)
        value = normal(args[index + 1], builder, negated=negated)
        if condition.op != "const":
            parts = [condition, value, *parts]
        elif condition.value:
            parts = [value]
    if len(parts) == 1:
        return parts[0]
    return builder.make("if", tuple(parts), BOOLEAN, place=args[0].place)


def known(expr: Expr, builder: Builder, facts: dict[int, bool] | None = None) -> Expr:
    """Replace an atom whose truth has been found out on the way by that truth.

    Args:
        expr: an expression in normal form, in boolean position.
        builder: makes the result.
        facts: the truth of each atom, by identity, that is known where the expression is reached; what is
            found out on every way through it is added.
    """
    facts = {} if facts is None else facts
    if expr.op == "const":
        return expr
    if expr.op == "!":
        return normal(known(expr.args[0], builder, facts), builder, negated=True)
    if expr.op in ("and", "or"):
        goes_on = expr.op == "and"
        here = dict(facts)
        kept: list[Expr] = []
        for arg in expr.args:
            part = known(arg, builder, here)
            kept.append(part)
            if part.op == "const" and part.value is not goes_on:
                break
            _learn(part, goes_on, here)
        return chain(expr.op, kept, builder)
    if expr.op == "if":
        return _known_choice(expr, builder, facts)
    if id(expr) in facts:
        return builder.constant(facts[id(expr)], BOOLEAN, expr.place)
    return expr


def _known_choice(expr: Expr, builder: Builder, facts: dict[int, bool]) -> Expr:
    here = dict(facts)
    parts: list[Expr] = []
    for index in range(0, len(expr.args) - 1, 2):
        condition = known(expr.args[index], builder, here)
        inside = dict(here)
        _learn(condition, True, inside)
        parts += [condition, known(expr.args[index + 1], builder, inside)]
        _learn(condition, False, here)
    parts.append(known(expr.args[-1], builder, here))
    return _choice(parts, builder, negated=False)


def _learn(expr: Expr, truth: bool, facts: dict[int, bool]) -> None:
    """Note what follows from an expression having come out true, or false."""
    if expr.op == "!":
        _learn(expr.args[0], not truth, facts)
    elif (expr.op == "and" and truth) or (expr.op == "or" and not truth):
        for arg in expr.args:
            _learn(arg, truth, facts)
    elif expr.op not in LOGIC and expr.op != "const":
        facts[id(expr)] = truth
