"""The typing rules of the temporal operators and of `chance`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ripstop.policy.checker import Application, Checker
from ripstop.policy.ir import Expr
from ripstop.policy.kinds import BOOLEAN, Kind, Type, number
from ripstop.policy.source import Node
from ripstop.policy.units import DIMENSIONLESS

LONGEST_WINDOW_S = 366 * 86_400.0
MOST_COUNTED = 256

_NO_CONDITION = (Kind.STRING, Kind.TIMESTAMP, Kind.OBJECT, Kind.ESTIMATE)
_COMPARISONS = ("<", "<=", ">", ">=")


def _literal(checker: Checker, node: Node, what: str, hint: str = "") -> float | None:
    """Read a number that has to be written out."""
    value = node.scalar
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    checker.findings.error("E0208", f"{what} must be written out as a number", node, hint)
    return None


def _stands_alone(checker: Checker, application: Application) -> bool:
    """Refuse a temporal operator inside an iterator: its elements have no history."""
    if checker.frames:
        checker.findings.error(
            "E0210",
            f"`{application.operator.name}` stands inside an iterator",
            application,
            "write it outside; what follows `all ... :` belongs to it unless it stands in parentheses",
        )
    return not checker.frames


def _inside(checker: Checker, node: Node) -> Expr:
    """Elaborate a condition whose history is kept."""
    before = checker.is_inside_window
    checker.is_inside_window = True
    try:
        expr = checker.expression(node)
    finally:
        checker.is_inside_window = before
    if checker.names.known is not None and expr.type.kind in _NO_CONDITION:
        checker.findings.error("E0203", f"a condition is true or false, got `{expr.type.kind.value}`", node)
    return expr


def _seconds(checker: Checker, node: Node) -> Expr:
    value = _literal(checker, node, "the window", "in seconds, as `300`")
    if value is not None and not 1e-6 <= value <= LONGEST_WINDOW_S:
        checker.findings.error(
            "E0211",
            f"a window is a number of seconds above 0 and up to {LONGEST_WINDOW_S:.0f}, got `{value}`",
            node,
            "the longest is 366 days" if value > LONGEST_WINDOW_S else "it looks back from now",
        )
    return checker.builder.constant(value, number(), node.place)


def _make(checker: Checker, application: Application, args: tuple[Expr, ...], kind: Type) -> Expr:
    return checker.builder.make(application.operator.name, args, kind, place=application.node.place)


def _window(checker: Checker, application: Application) -> Expr:
    if not _stands_alone(checker, application):
        return checker.nothing(application.node)
    *conditions, seconds = application.nodes
    args = (*(_inside(checker, node) for node in conditions), _seconds(checker, seconds))
    return _make(checker, application, args, BOOLEAN)


def _count(checker: Checker, application: Application) -> Expr:
    if not _stands_alone(checker, application):
        return checker.nothing(application.node)
    condition, seconds, most = application.nodes
    value = _literal(checker, most, "how many to count")
    if value is not None and not (isinstance(value, int) and 1 <= value <= MOST_COUNTED):
        checker.findings.error("E0211", f"counts go from 1 to {MOST_COUNTED}, got `{value}`", most)
    args = (
        _inside(checker, condition),
        _seconds(checker, seconds),
        checker.builder.constant(value, number(), most.place),
    )
    high = float(value) if value is not None else None
    return _make(checker, application, args, Type(Kind.NUMBER, DIMENSIONLESS, low=0.0, high=high))


def _previous(checker: Checker, application: Application) -> Expr:
    if not _stands_alone(checker, application):
        return checker.nothing(application.node)
    before = checker.is_inside_window
    checker.is_inside_window = True
    try:
        read = checker.expression(application.nodes[0])
    finally:
        checker.is_inside_window = before
    if read.op != "read" or len(read.path) != 1 or read.args:
        if read.type.kind is not Kind.ANY or read.op != "const":
            checker.findings.error(
                "E0208", "`previous` needs one signal", application, 'like `{"previous": {"var": "speed"}}`'
            )
        return checker.nothing(application.node)
    return _make(checker, application, (read,), read.type)


def _chance(checker: Checker, application: Application) -> Expr:
    written, share = application.nodes
    probability = _literal(checker, share, "a probability")
    if probability is not None and not 0 < probability < 1:
        hint = f"{probability:g} % is written `{probability / 100:g}`" if 1 < probability < 100 else ""
        checker.findings.error(
            "E0211", f"a probability lies between 0 and 1, got `{probability}`", share, hint
        )
    checker.is_inside_chance = True
    try:
        comparison = checker.expression(written)
    finally:
        checker.is_inside_chance = False
    if comparison.op not in _COMPARISONS or len(comparison.args) != 2:
        if comparison.op != "const" or comparison.type.kind is not Kind.ANY:
            checker.findings.error("E0212", "`chance` needs one comparison of two sides", written)
    else:
        degrees = [_degree(checker, side) for side in comparison.args]
        if not any(degrees) and all(part.type.kind is not Kind.ANY for part in comparison.walk()):
            hint = "leave `chance` out, or declare what is uncertain with `type: estimate`"
            checker.findings.lint("L0509", "`chance` compares no estimate", written, hint)
    args = (comparison, checker.builder.constant(probability, number(), share.place))
    return _make(checker, application, args, BOOLEAN)


def _degree(checker: Checker, expr: Expr) -> int:
    """Give 1 where an estimate takes part, else 0; note what is not linear."""
    if expr.op == "estimate":
        return 1
    degrees = [_degree(checker, arg) for arg in expr.args]
    if expr.op == "*" and sum(degrees) > 1:
        checker.findings.error("E0212", "a product of two estimates is not linear", expr)
    elif expr.op == "/" and (any(degrees[1:]) or (len(degrees) == 1 and degrees[0])):
        checker.findings.error("E0212", "a division by an estimate is not linear", expr)
    elif any(degrees) and expr.op not in ("+", "-", "*", "/"):
        checker.findings.error("E0212", f"`{expr.op}` of an estimate is not linear", expr)
    return max(degrees, default=0)


TIME_RULES: Mapping[str, Callable[[Checker, Application], Expr]] = {
    "window": _window,
    "count_within": _count,
    "previous": _previous,
    "chance": _chance,
}
