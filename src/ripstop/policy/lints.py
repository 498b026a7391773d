"""Lints over a whole policy: conditions settled beforehand, branches and limits without use.

A rule is walked as it is evaluated, left to right, with what is known at each point: which conditions have
come out true or false on the way, and between which bounds that leaves each number.

    battery_percent < 20 or battery_percent < 10        the second is always false here
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field, replace
from itertools import pairwise
from math import inf

from ripstop.core.errors import Place
from ripstop.core.value import dataclass
from ripstop.policy.diagnostics import Findings
from ripstop.policy.document import Policy
from ripstop.policy.evaluate import Machine, Scope
from ripstop.policy.ir import LOGIC, Expr, rule_of
from ripstop.policy.source import Node
from ripstop.policy.values import JsonLogicError

MOST_PARTS = 5000  # larger rules are not looked through
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "===": "==", "!=": "!=", "!==": "!="}
_PLAIN = {"===": "==", "!==": "!="}
_CONSTANT = frozenset(("const", "+", "-", "*", "/", "%", "min", "max", *_MIRRORED))
_OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}


def note_lints(policy: Policy, node: Node, findings: Findings) -> None:
    """Note what is allowed but looks wrong about a policy that has been read.

    Args:
        policy: what was read.
        node: what it was read from, for places.
        findings: takes the lints.
    """
    is_whole = "ripstop" not in (node.entries or {})  # nothing stands around the rule
    if is_whole and _reads_like_prohibition(policy.program.rule):
        text = "a bare rule permits when it is true, this one reads like a prohibition"
        findings.lint(
            "L0501", text, node, "negate it (`!`, `not`), or write a document with `effect: forbid`"
        )
    if policy.vocabulary.is_open and not is_whole:
        text = "without a vocabulary no misspelt name is found: it reads as unknown, or guards nothing"
        findings.lint("L0510", text, node, "name the agent's, such as `vocabulary: drone`")
    whens = _whens(policy, node)
    for expr in (policy.program.rule, *(when for when, _ in whens)):
        if sum(1 for _ in expr.walk()) > MOST_PARTS:
            return
    truth = _Walk(findings).truth(policy.program.rule, _Facts())
    if truth is not None and (is_whole or "rule" in (node.entries or {})):
        permits = truth is (policy.effect == "require")
        if not permits or not (policy.limits or policy.budgets):
            what = "permits everything" if permits else "denies always"
            written = node if is_whole else (node.entries or {})["rule"]
            hint = "nothing stands in its place" if written.kind == "null" else ""
            findings.lint("L0506", f"the rule is always {_word(truth)}: the policy {what}", written, hint)
    for when, place in whens:
        if _Walk(findings).truth(when, _Facts()) is False:
            findings.lint("L0505", "this condition never holds, so the limit never applies", place)
    _note_vacuous_limits(policy, node, findings)


def _reads_like_prohibition(rule: Expr) -> bool:
    """A threshold exceeded, and perhaps not something else: the shape of `if overloaded, block`."""
    parts = rule.args if rule.op == "and" else (rule,)
    exceeds = any(
        part.op in (">", ">=") and part.args[0].op == "read" and part.args[-1].op == "const" for part in parts
    )
    return exceeds and (len(parts) == 1 or any(part.op == "!" for part in parts))


def _word(truth: bool) -> str:
    return "true" if truth else "false"


# what is known on the way


@dataclass(frozen=True, slots=True)
class _Range:
    """What a number lies between; an open end is not reached."""

    low: float = -inf
    high: float = inf
    low_open: bool = False
    high_open: bool = False

    def settles(self, op: str, bound: float) -> bool | None:
        """Say whether `x op bound` is true, or false, all over the range."""
        if op in ("<", ">="):
            below = self.high < bound or (self.high == bound and self.high_open)
            above = self.low >= bound
            return None if below is above else below is (op == "<")
        if op in ("<=", ">"):
            below = self.high <= bound
            above = self.low > bound or (self.low == bound and self.low_open)
            return None if below is above else below is (op == "<=")
        outside = self.settles("<", bound) is True or self.settles(">", bound) is True
        only = self.low == self.high == bound
        return (op == "!=" if outside else op == "==") if outside or only else None

    def cut(self, op: str, bound: float) -> _Range:
        """Give what is left of the range where `x op bound` holds."""
        if op in ("<", "<=") and bound <= self.high:
            is_open = op == "<" or (bound == self.high and self.high_open)
            return replace(self, high=bound, high_open=is_open)
        if op in (">", ">=") and bound >= self.low:
            is_open = op == ">" or (bound == self.low and self.low_open)
            return replace(self, low=bound, low_open=is_open)
        return self.cut("<=", bound).cut(">=", bound) if op == "==" else self


@dataclass(slots=True)
class _Facts:
    """The ranges of reads and the truths of atoms, by identity: equal expressions are one object."""

    ranges: dict[int, _Range] = field(default_factory=dict)
    truths: dict[int, bool] = field(default_factory=dict)

    def copy(self) -> _Facts:
        """Give facts that may be added to apart."""
        return _Facts(dict(self.ranges), dict(self.truths))

    def range_of(self, read: Expr) -> _Range:
        """Give what is known of a read: at first its declared range."""
        low, high = read.type.low, read.type.high
        declared = _Range(-inf if low is None else low, inf if high is None else high)
        return self.ranges.get(id(read), declared)

    def settles(self, atom: Expr) -> bool | None:
        """Give an atom's truth where it is known already."""
        if id(atom) in self.truths:
            return self.truths[id(atom)]
        found = [self.range_of(read).settles(op, bound) for read, op, bound in _steps(atom)]
        found += [_Range(one, one).settles(op, other) for one, op, other in _literal_steps(atom)]
        if False in found:
            return False
        return True if found and len(found) == len(atom.args) - 1 and all(found) else None

    def assume(self, expr: Expr, truth: bool) -> None:
        """Add what follows from an expression being true, or false."""
        if expr.op in ("!", "!!"):
            self.assume(expr.args[0], truth is (expr.op == "!!"))
        elif expr.op in ("and", "or"):
            for arg in expr.args if truth is (expr.op == "and") else ():
                self.assume(arg, truth)
        elif expr.op not in LOGIC and expr.op != "const":
            self.truths[id(expr)] = truth
            steps = list(_steps(expr))
            if truth or len(steps) == len(expr.args) - 1 == 1:
                for read, op, bound in steps:
                    cut = op if truth else _OPPOSITE[op]
                    self.ranges[id(read)] = self.range_of(read).cut(cut, bound)


def _steps(atom: Expr) -> Iterator[tuple[Expr, str, float]]:
    """Give the comparisons of a number that is read with a literal: read, operator, bound."""
    if atom.op not in _MIRRORED:
        return
    op = _PLAIN.get(atom.op, atom.op)
    for left, right in pairwise(atom.args):
        if left.op == "read" and not left.args and _is_number(right):
            yield left, op, float(str(right.value))
        elif right.op == "read" and not right.args and _is_number(left):
            yield right, _MIRRORED[op], float(str(left.value))


def _literal_steps(atom: Expr) -> Iterator[tuple[float, str, float]]:
    """Give the comparisons of two literals in a chain: `x <= 1 <= 0`, from a list with `1,0` for 1.0."""
    for left, right in pairwise(atom.args if atom.op in _MIRRORED else ()):
        if _is_number(left) and _is_number(right):
            yield float(str(left.value)), _PLAIN.get(atom.op, atom.op), float(str(right.value))


def _constant(atom: Expr) -> bool | None:
    """Give the truth of an atom that reads nothing; None where it raises, too."""
    if any(part.op not in _CONSTANT for part in atom.walk()):
        return None
    try:
        return Machine().truth(rule_of(atom), Scope(None))
    except JsonLogicError:
        return None


def _is_number(expr: Expr) -> bool:
    return expr.op == "const" and isinstance(expr.value, int | float) and not isinstance(expr.value, bool)


@dataclass(frozen=True, slots=True)
class _Walk:
    """Walks logic in the order of evaluation and notes what is settled before it is reached."""

    findings: Findings

    def truth(self, expr: Expr, facts: _Facts) -> bool | None:
        """Give the truth of an expression where it is the same whatever is read."""
        if expr.op == "const":
            return bool(expr.value)
        if expr.op in ("!", "!!"):
            inner = self.truth(expr.args[0], facts)
            return None if inner is None else inner is (expr.op == "!!")
        if expr.op == "if":
            return self._choice(expr, facts.copy())
        if expr.op in ("and", "or"):
            return self._chain(expr, facts.copy())
        settled = facts.settles(expr)
        settled = _constant(expr) if settled is None else settled
        if settled is not None:
            self._note(expr, settled)
        return settled

    def _note(self, expr: Expr, settled: bool) -> None:
        """Lint an atom, unless the checker has linted it for its declared range."""
        known = f"`{expr.op}` is always {_word(settled)} here"
        inside = (f"{expr.place.pointer}/{expr.op}", expr.place.pointer)
        if not any(each.message == known and each.place.pointer in inside for each in self.findings.found):
            from ripstop.policy.text_printer import text_of  # few rules need it

            message = f"`{text_of(expr, units=True)}` is always {_word(settled)} here"
            hint = "what stands before it, or the declared range, settles it"
            if any(_Range(one, one).settles(op, two) is False for one, op, two in _literal_steps(expr)):
                hint = "two of its numbers settle it; a decimal is written with a point"
            self.findings.lint("L0502", message, expr, hint)

    def _chain(self, expr: Expr, facts: _Facts) -> bool | None:
        goes_on = expr.op == "and"
        result: bool | None = goes_on
        for arg in expr.args:
            found = self.truth(arg, facts)
            if found is (not goes_on):
                return found
            result = None if found is None else result
            facts.assume(arg, goes_on)
        return result

    def _choice(self, expr: Expr, facts: _Facts) -> bool | None:
        outcomes: list[bool | None] = []
        for index in range(0, len(expr.args) - 1, 2):
            condition, value = expr.args[index], expr.args[index + 1]
            found = self.truth(condition, facts)
            if found is False:
                self.findings.lint("L0503", "this branch is never reached", value)
                continue
            branch = facts.copy()
            branch.assume(condition, True)
            outcomes.append(self.truth(value, branch))
            if found:
                break
            facts.assume(condition, False)
        else:
            outcomes.append(self.truth(expr.args[-1], facts) if len(expr.args) % 2 else False)
        return outcomes[0] if len(set(outcomes)) == 1 else None


# limits


def _whens(policy: Policy, node: Node) -> list[tuple[Expr, Place]]:
    """Give the limits' conditions that were written, with their places."""
    items = _items(node)
    return [
        (when, item.entries["when"].place)
        for when, item in zip(policy.program.whens, items, strict=False)
        if item.entries is not None and "when" in item.entries
    ]


def _items(node: Node) -> tuple[Node, ...]:
    limits = (node.entries or {}).get("limits")
    return () if limits is None or limits.items is None else limits.items


def _note_vacuous_limits(policy: Policy, node: Node, findings: Findings) -> None:
    """Lint limits that keep out nothing, or everything, that the declared range of their parameter has."""
    actions = policy.vocabulary.actions.values()
    guarded = [spec for spec in actions if policy.guards_action(spec.name, policy.vocabulary)]
    for rule, item in zip(policy.limits, _items(node), strict=False):
        written: Mapping[str, Node] = (item.entries or {})["limit"].entries or {}
        for limit in rule.limits:
            specs = [
                spec.parameters[limit.parameter] for spec in guarded if limit.parameter in spec.parameters
            ]
            low = -inf if limit.low is None else limit.low
            high = inf if limit.high is None else limit.high
            ranges = [
                (-inf if spec.low is None else spec.low, inf if spec.high is None else spec.high)
                for spec in specs
            ]
            place = written[limit.parameter]
            if ranges and all(low <= least and most <= high for least, most in ranges):
                text = f"the limit of `{limit.parameter}` keeps nothing out that its declared range has"
                findings.lint("L0505", text, place, "narrow it, or leave it out")
            elif ranges and all(high < least or most < low for least, most in ranges):
                text = f"the limit of `{limit.parameter}` leaves nothing that its declared range has"
                findings.lint("L0508", text, place, "correct it: where it applies, it denies everything")
