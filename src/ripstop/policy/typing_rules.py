"""The typing rule of every operator, by the name that the operator table gives it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from ripstop.policy.checker import Application, Checker, Frame, frame_of
from ripstop.policy.diagnostics import meant_otherwise, one_of
from ripstop.policy.ir import Expr
from ripstop.policy.kinds import ANY, BOOLEAN, NEVER, NULL, STRING, Kind, Type, number, type_of_value
from ripstop.policy.source import Node
from ripstop.policy.typing_rules_time import TIME_RULES
from ripstop.policy.units import DIMENSIONLESS, SECONDS, Unit

Rule: TypeAlias = Callable[[Checker, Application], Expr]

_FREE = (Kind.ANY, Kind.NEVER)


def _make(checker: Checker, application: Application, args: tuple[Expr, ...], kind: Type) -> Expr:
    return checker.builder.make(application.operator.name, args, kind, place=application.node.place)


def _mismatch(checker: Checker, application: Application, wanted: str, args: Sequence[Expr]) -> None:
    got = " and ".join(f"`{arg.type.kind.value}`" for arg in args)
    hints = (_declared(checker, arg) for arg in args if arg.type.kind not in (Kind.NUMBER, *_FREE))
    checker.findings.error(
        "E0203",
        f"`{application.operator.name}` needs {wanted}, got {got}",
        application,
        next(filter(None, hints), ""),
    )


def _declared(checker: Checker, arg: Expr) -> str:
    if arg.type.kind is Kind.ESTIMATE:
        return "an estimate is compared inside `chance`"
    if arg.type.kind is Kind.NULL:
        return "`missing`, `exists`, `??` and a default of `var` look at absence"
    if arg.op == "read":
        return f"`{arg.path[0]}` is declared as a {arg.type.kind.value} in the vocabulary"
    if arg.type.kind is Kind.BOOLEAN:
        return "`if` turns a truth into a number"
    if isinstance(arg.value, str):
        is_name = arg.value in (checker.names.known or ())
        return f'a name is read by `{{"var": "{arg.value}"}}`' if is_name else meant_otherwise(arg.value)
    return ""


def _count(args: Sequence[Expr], noun: str) -> str:
    return f"{('no', 'one', 'two', 'three')[len(args)]} {noun}" if len(args) < 4 else noun


def _common_unit(checker: Checker, application: Application, args: Sequence[Expr]) -> Unit | None:
    """Give the unit that the arguments share; literals take it."""
    units = {arg.type.unit: arg for arg in args if arg.type.unit is not None and arg.type.kind is Kind.NUMBER}
    if len(units) > 1:
        names = " and ".join(f"`{unit}`" for unit in units)
        checker.findings.error(
            "E0204",
            f"`{application.operator.name}` needs one unit, got {names}",
            application,
            "no unit is converted: multiply by the factor, or declare one unit for both",
        )
        return None
    return next(iter(units), None)


def _are_numbers(args: Sequence[Expr]) -> bool:
    return all(arg.type.kind in (Kind.NUMBER, *_FREE) for arg in args)


def _are_times(args: Sequence[Expr]) -> bool:
    """Timestamps among each other, or with literals."""
    kinds = {arg.type.kind for arg in args}
    return Kind.TIMESTAMP in kinds and all(
        arg.type.kind in (Kind.TIMESTAMP, *_FREE) or (arg.type.kind is Kind.NUMBER and arg.type.unit is None)
        for arg in args
    )


def _sum(checker: Checker, application: Application) -> Expr:
    args = checker.arguments(application)
    times = [arg for arg in args if arg.type.kind is Kind.TIMESTAMP]
    rest = [arg for arg in args if arg.type.kind is not Kind.TIMESTAMP]
    if not _are_numbers(rest):
        _mismatch(checker, application, _count(args, "numbers"), args)
        return _make(checker, application, args, number())
    unit = _common_unit(checker, application, rest)
    if not times:
        return _make(checker, application, args, number(unit))
    if unit not in (None, SECONDS):
        checker.findings.error("E0204", f"a timestamp moves by seconds, got `{unit}`", application)
    if application.operator.name == "-" and args[0] is times[0] and len(times) <= 2:
        kind = number(SECONDS) if len(times) == 2 else Type(Kind.TIMESTAMP)
        return _make(checker, application, args, kind)
    if application.operator.name == "+" and len(times) == 1:
        return _make(checker, application, args, Type(Kind.TIMESTAMP))
    _mismatch(checker, application, "at most two timestamps, subtracted", args)
    return _make(checker, application, args, ANY)


def _extreme(checker: Checker, application: Application) -> Expr:
    args = checker.arguments(application)
    if _are_times(args):
        return _make(checker, application, args, Type(Kind.TIMESTAMP))
    if not _are_numbers(args):
        _mismatch(checker, application, _count(args, "numbers"), args)
    return _make(checker, application, args, number(_common_unit(checker, application, args)))


def _power(args: Sequence[Expr], signs: Sequence[int]) -> Unit | None:
    """Multiply units; a literal is dimensionless, an undeclared value makes the result unknown."""
    unit = DIMENSIONLESS
    for arg, sign in zip(args, signs, strict=True):
        if arg.type.kind in _FREE or (arg.type.unit is None and arg.op != "const"):
            return None
        unit = unit.times(arg.type.unit or DIMENSIONLESS, sign)
    return unit if any(arg.op != "const" for arg in args) else None


def _product(checker: Checker, application: Application) -> Expr:
    args = checker.arguments(application)
    if not _are_numbers(args):
        _mismatch(checker, application, _count(args, "numbers"), args)
    return _make(checker, application, args, number(_power(args, [1] * len(args))))


def _quotient(checker: Checker, application: Application) -> Expr:
    args = checker.arguments(application)
    if not _are_numbers(args):
        _mismatch(checker, application, _count(args, "numbers"), args)
    signs = [-1] if len(args) == 1 else [1, *[-1] * (len(args) - 1)]
    divisors = args if len(args) == 1 else args[1:]
    if any(arg.op == "const" and arg.value == 0 for arg in divisors):
        checker.findings.error("E0209", "a division by zero is never a number", application)
    return _make(checker, application, args, number(_power(args, signs)))


def _remainder(checker: Checker, application: Application) -> Expr:
    args = checker.arguments(application)
    if not _are_numbers(args):
        _mismatch(checker, application, _count(args, "numbers"), args)
    return _make(checker, application, args, number(_common_unit(checker, application, args)))


def _order(checker: Checker, application: Application) -> Expr:
    args = checker.arguments(application)
    if _are_numbers(args):
        _common_unit(checker, application, args)
        _note_constant_order(checker, application, args)
    elif not _are_times(args) and not all(arg.type.kind in (Kind.STRING, *_FREE) for arg in args):
        _mismatch(checker, application, _count(args, "numbers"), args)
    return _make(checker, application, args, BOOLEAN)


def _note_constant_order(checker: Checker, application: Application, args: Sequence[Expr]) -> None:
    """Lint a comparison that the declared range decides beforehand."""
    if len(args) != 2 or any(arg.type.low is None or arg.type.high is None for arg in args):
        return
    left, right = args[0].type, args[1].type
    if left.low is None or left.high is None or right.low is None or right.high is None:
        return
    outcomes = {
        "<": (left.high < right.low, left.low >= right.high),
        "<=": (left.high <= right.low, left.low > right.high),
        ">": (left.low > right.high, left.high <= right.low),
        ">=": (left.low >= right.high, left.high < right.low),
    }[application.operator.name]
    if any(outcomes):
        word = "true" if outcomes[0] else "false"
        ranges = [
            f"`{arg.path[0]}` lies between {arg.type.low:g} and {arg.type.high:g}"
            for arg in args
            if arg.op == "read" and len(arg.path) == 1
        ]
        checker.findings.lint(
            "L0502",
            f"`{application.operator.name}` is always {word} here",
            application,
            ", ".join(ranges) or "see the declared ranges",
        )


def _equality(checker: Checker, application: Application) -> Expr:
    args = checker.arguments(application)
    kinds = {arg.type.kind for arg in args} - set(_FREE)
    if len(kinds) > 1 and not _are_times(args) and not (Kind.NULL in kinds and checker.names.known is None):
        _mismatch(checker, application, "values of one type", args)
    elif kinds <= {Kind.NUMBER}:
        _common_unit(checker, application, args)
    elif kinds & {Kind.LIST, Kind.OBJECT, Kind.ESTIMATE} and application.operator.name in ("==", "!="):
        _mismatch(checker, application, "numbers, texts or truths", args)
    for arg in args:
        _refuse_foreign_value(checker, application, arg, args)
    return _make(checker, application, args, BOOLEAN)


def _refuse_foreign_value(
    checker: Checker, application: Application, literal: Expr, others: Sequence[Expr]
) -> None:
    """A text that the enumeration on the other side does not have can never be equal to it."""
    if literal.op != "const" or literal.type.kind is not Kind.STRING:
        return
    for other in others:
        values = other.type.values
        if other.op != "const" and values and literal.value not in values:
            checker.findings.error(
                "E0209",
                f"`{literal.value}` is never a value here",
                application,
                f"declared are {one_of(values)}",
            )


def _membership(checker: Checker, application: Application) -> Expr:
    args = checker.arguments(application)
    if len(args) == 2:
        item, container = args
        if container.type.kind not in (Kind.LIST, Kind.STRING, *_FREE):
            _mismatch(checker, application, "an item and a list or a text", args)
        elif container.op == "const" and isinstance(container.value, list):
            for value in container.value:
                kind = type_of_value(value)
                if (
                    kind.kind is not item.type.kind
                    and item.type.kind not in _FREE
                    and not _is_clock(item, kind)
                ):
                    _mismatch(checker, application, "items of the list's type", args)
                    break
                literal = checker.builder.constant(value, kind, container.place)
                _refuse_foreign_value(checker, application, literal, [item])
    return _make(checker, application, args, BOOLEAN)


def _is_clock(item: Expr, kind: Type) -> bool:
    return item.type.kind is Kind.TIMESTAMP and kind.kind is Kind.NUMBER


def _within(checker: Checker, application: Application) -> Expr:
    args = checker.arguments(application)
    good = (Kind.NUMBER, Kind.TIMESTAMP, *_FREE)
    if any(arg.type.kind not in good for arg in args) or args[-1].type.kind is Kind.TIMESTAMP:
        _mismatch(checker, application, "two times and a number of seconds", args)
    for arg in args:
        if arg.type.kind is Kind.NUMBER and arg.type.unit not in (None, SECONDS):
            checker.findings.error("E0204", f"`within` needs seconds, got `{arg.type.unit}`", arg)
    return _make(checker, application, args, BOOLEAN)


def joined(checker: Checker, application: Application, args: Sequence[Expr]) -> Type:
    """Give the type of a value that is one of several."""
    parts = [arg for arg in args if arg.type.kind not in (Kind.NULL, Kind.NEVER)]
    kinds = {arg.type.kind for arg in parts}
    if not parts:
        return args[0].type if args else NULL
    if len(kinds) > 1:
        return ANY
    if kinds == {Kind.NUMBER}:
        return number(_common_unit(checker, application, parts))
    return parts[0].type if len(parts) == 1 else Type(parts[0].type.kind)


def _logic(checker: Checker, application: Application) -> Expr:
    args = checker.arguments(application)
    kinds = {arg.type.kind for arg in args}
    return _make(
        checker,
        application,
        args,
        args[0].type if len(kinds) == 1 and len(args) == 1 else (BOOLEAN if kinds == {Kind.BOOLEAN} else ANY),
    )


def _choice(checker: Checker, application: Application) -> Expr:
    args = checker.arguments(application)
    conditions = args[: len(args) // 2 * 2 : 2]
    for condition in conditions:
        if condition.op == "const":
            checker.findings.lint("L0502", "a condition is always the same", condition)
    values = [*args[1::2], *(args[-1:] if len(args) % 2 else ())]
    return _make(checker, application, args, joined(checker, application, values))


def _same(checker: Checker, application: Application) -> Expr:
    return checker.expression(application.nodes[0])


def _variable(checker: Checker, application: Application) -> Expr:
    steps = checker.literal_steps(application.nodes[0])
    if steps is None:
        return checker.nothing(application.node)
    read = checker.read(application.node, 0, steps)
    if len(application.nodes) == 1 or read.op == "const":
        return read
    default = checker.expression(application.nodes[1])
    if read.op == "now":
        checker.findings.lint("L0503", "a default of `now` is never used", default, "`now` is always known")
        return read
    kind = joined(checker, application, (read, default))
    return checker.builder.make(read.op, (default,), kind, path=read.path, place=application.node.place)


def _climb(checker: Checker, nodes: Sequence[Node]) -> tuple[int, Sequence[Node]]:
    first = nodes[0].items if nodes else None
    if first is None or len(first) != 1 or not isinstance(first[0].scalar, int):
        return 0, nodes
    return abs(first[0].scalar), nodes[1:]


def _steps(checker: Checker, application: Application) -> Expr:
    level, nodes = _climb(checker, application.nodes)
    steps: list[str | int] = []
    for node in nodes:
        if node.kind == "null":
            continue
        if not isinstance(node.scalar, str | int) or isinstance(node.scalar, bool):
            checker.findings.error(
                "E0208", "a name must be written out", node, "a policy's reads are known before it runs"
            )
            return checker.nothing(application.node)
        steps.append(node.scalar)
    return checker.read(application.node, level, tuple(steps))


def _exists(checker: Checker, application: Application) -> Expr:
    place = _steps(checker, application)
    return place if place.op == "const" else _make(checker, application, (place,), BOOLEAN)


def _names(checker: Checker, nodes: Sequence[Node]) -> tuple[Expr, ...]:
    reads = []
    for node in nodes:
        steps = checker.literal_steps(node)
        if steps is not None:
            reads.append(checker.read(node, 0, steps))
    return tuple(read for read in reads if read.op != "const")


def _missing(checker: Checker, application: Application) -> Expr:
    return _make(checker, application, _names(checker, application.nodes), Type(Kind.LIST, item=Kind.STRING))


def _missing_some(checker: Checker, application: Application) -> Expr:
    needed = checker.expression(application.nodes[0])
    names = application.nodes[1].items
    if needed.type.kind is not Kind.NUMBER or needed.op != "const" or names is None:
        checker.findings.error("E0208", "`missing_some` needs a number and an array of names", application)
        return checker.nothing(application.node)
    return _make(checker, application, (needed, *_names(checker, names)), Type(Kind.LIST, item=Kind.STRING))


def _text(checker: Checker, application: Application) -> Expr:
    return _make(checker, application, checker.arguments(application), STRING)


def _merge(checker: Checker, application: Application) -> Expr:
    return _make(checker, application, checker.arguments(application), Type(Kind.LIST))


def _elements(checker: Checker, application: Application) -> tuple[Expr, Frame]:
    elements = checker.expression(application.nodes[0])
    if elements.type.kind not in (Kind.LIST, *_FREE):
        _mismatch(checker, application, "a list", [elements])
    return elements, frame_of(elements.type)


def _quantifier(checker: Checker, application: Application) -> Expr:
    elements, frame = _elements(checker, application)
    return _make(checker, application, (elements, checker.body(application.nodes[1], frame)), BOOLEAN)


def _map(checker: Checker, application: Application) -> Expr:
    elements, frame = _elements(checker, application)
    body = checker.body(application.nodes[1], frame)
    return _make(checker, application, (elements, body), Type(Kind.LIST, item=body.type.kind))


def _filter(checker: Checker, application: Application) -> Expr:
    elements, frame = _elements(checker, application)
    return _make(checker, application, (elements, checker.body(application.nodes[1], frame)), elements.type)


def _reduce(checker: Checker, application: Application) -> Expr:
    elements, frame = _elements(checker, application)
    body = checker.body(
        application.nodes[1], Frame(Type(Kind.OBJECT), {"current": frame.item, "accumulator": ANY})
    )
    start = tuple(checker.expression(node) for node in application.nodes[2:])
    return _make(checker, application, (elements, body, *start), body.type)


def _coalesce(checker: Checker, application: Application) -> Expr:
    args = tuple(checker.expression(node) for node in application.nodes)
    return _make(checker, application, args, joined(checker, application, args))


def _attempt(checker: Checker, application: Application) -> Expr:
    first, *rest = application.nodes
    args = (checker.expression(first), *(checker.body(node, Frame(ANY)) for node in rest))
    return _make(checker, application, args, joined(checker, application, args))


def _throw(checker: Checker, application: Application) -> Expr:
    return _make(checker, application, checker.arguments(application), NEVER)


def _preserve(checker: Checker, application: Application) -> Expr:
    entries = application.node.entries or {}
    value = next(iter(entries.values())).plain()
    return checker.builder.constant(value, type_of_value(value), application.node.place)


def _negation(checker: Checker, application: Application) -> Expr:
    return _make(checker, application, checker.arguments(application), BOOLEAN)


RULES: Mapping[str, Rule] = {
    "var": _variable,
    "val": _steps,
    "exists": _exists,
    "missing": _missing,
    "missing_some": _missing_some,
    "choice": _choice,
    "logic": _logic,
    "negation": _negation,
    "equality": _equality,
    "order": _order,
    "sum": _sum,
    "product": _product,
    "quotient": _quotient,
    "remainder": _remainder,
    "extreme": _extreme,
    "within": _within,
    "membership": _membership,
    "text": _text,
    "merge": _merge,
    "map": _map,
    "filter": _filter,
    "reduce": _reduce,
    "quantifier": _quantifier,
    "coalesce": _coalesce,
    "attempt": _attempt,
    "throw": _throw,
    "preserve": _preserve,
    "same": _same,
    **TIME_RULES,
}
