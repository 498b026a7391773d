"""Which agents a policy is for: `applies_to`, a rule over an agent's capabilities alone.

It is settled once, when a bundle is put together for an agent; what is unknown applies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from ripstop.core.canonical import Json
from ripstop.core.vocabulary import Vocabulary
from ripstop.policy.checker import Checker, Names
from ripstop.policy.diagnostics import Findings, nearest
from ripstop.policy.evaluate import apply
from ripstop.policy.ir import TEMPORAL, Builder, Expr, rule_of
from ripstop.policy.kinds import Kind, Type
from ripstop.policy.source import Node, shown
from ripstop.policy.typing_rules import RULES
from ripstop.policy.values import JsonLogicError, is_truthy

_MOST_CAPABILITIES = 8  # of which every set is tried
_MOST_PARTS = 200  # of a rule that is tried
_NO_TIME = "it is settled once, when a bundle is loaded: what depends on time belongs into the rule"


def applies(applies_to: Json, capabilities: Sequence[str] | None) -> bool:
    """Tell whether a policy is for an agent; `None` capabilities are unknown, a missing rule is for all."""
    if applies_to is None or capabilities is None:
        return True
    try:
        return is_truthy(apply(applies_to, {"capabilities": list(capabilities)}))
    except JsonLogicError:
        return True


def read_applies_to(node: Node | None, vocabulary: Vocabulary, findings: Findings) -> Json:
    """Read and check `applies_to`; None where a document has none."""
    if node is None:
        return None
    known: Mapping[str, Type] = {"capabilities": Type(Kind.LIST, item=Kind.STRING)}
    expr = Checker(Names(known, "`applies_to`"), findings, RULES, Builder()).expression(node)
    parts = tuple(expr.walk())
    for part in parts:
        if part.op == "now" or part.op in TEMPORAL:
            findings.error("E0210", f"`applies_to` knows no time, so no `{part.op}`", part, _NO_TIME)
        if not vocabulary.is_open:
            _check_word(part, vocabulary.capabilities, findings)
    rule = rule_of(expr)
    is_tried = not findings.errors and not vocabulary.is_open and len(parts) <= _MOST_PARTS
    if is_tried and _is_for_nobody(rule, vocabulary.capabilities):
        hint = f"no set of the capabilities that `{vocabulary.name}` declares makes it true"
        findings.lint("L0506", "`applies_to` is always false: the policy governs nobody", node, hint)
    return rule


def _check_word(part: Expr, declared: Sequence[str], findings: Findings) -> None:
    if part.op != "in" or part.args[0].op != "const" or part.args[1].op != "read":
        return
    word = part.args[0].value
    if word not in declared:
        hint = nearest(str(word), declared)
        findings.error("E0304", f"unknown capability `{shown(str(word))}`", part, hint)


def _is_for_nobody(rule: Json, declared: Sequence[str]) -> bool:
    """Tell whether no set of the declared capabilities makes a rule true."""
    if len(declared) > _MOST_CAPABILITIES:
        return False
    sets = (each for size in range(len(declared) + 1) for each in combinations(declared, size))
    return not any(applies(rule, each) for each in sets)
