"""A policy for people: its rule as an infix formula with units, what it guards, what its limits are."""

from __future__ import annotations

from collections.abc import Iterable

from ripstop.core.decision import Limit
from ripstop.policy.bundle import shown_range
from ripstop.policy.checker import Checker, Names
from ripstop.policy.diagnostics import Findings
from ripstop.policy.document import Policy
from ripstop.policy.ir import Expr
from ripstop.policy.source import read_value
from ripstop.policy.text_printer import text_of
from ripstop.policy.typing_rules import RULES

WIDTH = 100


def show(policy: Policy) -> str:
    """Write a policy out, several lines."""
    guards = "every action but the failsafes" if policy.guards is None else ", ".join(policy.guards)
    kind = "a bare rule" if policy.is_bare else policy.tier
    lines = [f"{policy.id} ({kind}), over {guards}"]
    if policy.description:
        lines.append(f"  {policy.description}")
    if policy.applies_to is not None:
        lines += _entry("applies to agents where", _capabilities(policy))
    if policy.program.rule.op != "const" or not (policy.limits or policy.budgets):
        lines += _entry("requires" if policy.effect == "require" else "forbids", policy.program.rule)
    for rule, when in zip(policy.limits, policy.program.whens, strict=True):
        is_always = when.op == "const" and when.value is True
        text = "; ".join(_limit(policy, limit) for limit in rule.limits)
        lines += [f"  limits {text}"] if is_always else _entry(f"limits {text} when", when)
    lines += [f"  spends {budget}" for budget in policy.budgets]
    return "\n".join([*lines, f"  unknown means {_unknown(policy)}"])


def formula(expr: Expr, width: int = WIDTH) -> list[str]:
    """Write an expression as lines of an infix formula with units, broken between its clauses.

    Joined by spaces, the lines are the rule in the readable form.
    """
    text = text_of(expr, units=True)
    if len(text) <= width:
        return [text]
    if expr.op in ("and", "or") and len(expr.args) > 1:
        parts = [_clause(arg, width - len(expr.op) - 1) for arg in expr.args]
        return [*parts[0], *_joined(f"{expr.op} ", parts[1:])]
    if expr.op == "if" and len(expr.args) == 3 and expr.args[2].op == "const" and expr.args[2].value is True:
        return [*_clause(expr.args[0], width), *_joined("implies ", [_clause(expr.args[1], width - 8)])]
    if expr.op == "if" and len(expr.args) > 1:
        return _choice(expr, width)
    return [text]


def _choice(expr: Expr, width: int) -> list[str]:
    lines: list[str] = []
    for index in range(0, len(expr.args) - 1, 2):
        lines += _joined("elif " if index else "if ", [_clause(expr.args[index], width - 5)])
        lines += _joined("  then ", [_clause(expr.args[index + 1], width - 7)])
    if len(expr.args) % 2:
        lines += _joined("else ", [_clause(expr.args[-1], width - 5)])
    return lines


def _clause(expr: Expr, width: int) -> list[str]:
    """Write a clause; one that is not a single comparison or call is in parentheses."""
    lines = formula(expr, width - 2)
    if expr.op not in ("and", "or", "if", "all", "some", "none", "map", "filter", "reduce", "try"):
        return lines
    lines[0], lines[1:] = f"({lines[0]}", [f" {line}" for line in lines[1:]]
    lines[-1] += ")"
    return lines


def _joined(word: str, parts: Iterable[list[str]]) -> list[str]:
    """Put a word before each part, and indent what follows."""
    return [
        f"{word if index == 0 else ' ' * len(word)}{line}"
        for part in parts
        for index, line in enumerate(part)
    ]


def _entry(word: str, expr: Expr) -> list[str]:
    lines = formula(expr)
    if len(lines) == 1 and len(lines[0]) + len(word) < WIDTH:
        return [f"  {word} {lines[0]}"]
    return [f"  {word}", *_indented(lines)]


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _capabilities(policy: Policy) -> Expr:
    """Elaborate `applies_to` again: a policy keeps it as JSON."""
    findings = Findings()
    node = read_value(policy.applies_to, "", findings)
    if node is None:
        raise TypeError("a policy that loaded has a readable `applies_to`")
    return Checker(Names(), findings, RULES).expression(node)


def _limit(policy: Policy, limit: Limit) -> str:
    """Say what a parameter is kept between, in its unit."""
    actions = policy.vocabulary.actions.values()
    units = [spec.parameters[limit.parameter].unit for spec in actions if limit.parameter in spec.parameters]
    unit = f" {units[0]}" if units and units[0] else ""
    return f"{limit.parameter} to {shown_range(limit)}{unit}"


def _unknown(policy: Policy) -> str:
    if policy.on_unknown.mode == "last_valid":
        return f"the last valid values of at most {policy.on_unknown.max_age_s:g} s, else deny"
    return policy.on_unknown.mode
