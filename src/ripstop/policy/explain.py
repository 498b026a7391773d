"""Why a decision came out as it did, in plain words, and the smallest change of inputs that would allow it.

The reasons come from the evidence: which conditions were reached, and which of them held. The changes come
from `explain_search`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from ripstop.core.canonical import Json
from ripstop.core.decision import Decision, Evidence, Verdict
from ripstop.core.value import dataclass
from ripstop.policy.document import Policy
from ripstop.policy.explain_search import Change, Question, Search
from ripstop.policy.ir import LOGIC, Expr
from ripstop.policy.text_printer import text_of


@dataclass(frozen=True, slots=True)
class Why:
    """What one policy said: `conditions` are those that settled it, in words."""

    policy: str
    code: str
    text: str
    conditions: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """Give the fields for `--json` output."""
        conditions: list[Json] = list(self.conditions)
        return {"policy": self.policy, "code": self.code, "text": self.text, "conditions": conditions}


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision with its reasons in words, and the smallest changes that would allow it, best first."""

    decision: Decision
    reasons: tuple[Why, ...]
    proposals: tuple[tuple[Change, ...], ...]

    @property
    def is_beyond_inputs(self) -> bool:
        """Whether no input has a say: the action is undeclared, or nobody guards it."""
        return any(why.code in ("undeclared", "unguarded") for why in self.reasons)


def explain(question: Question) -> Explanation:
    """Explain the decision about an action."""
    decision = question.decide(question.context)
    evidence = dict(zip((policy.id for policy in question.guarding), decision.evidence, strict=False))
    policies = {policy.id: policy for policy in question.guarding}
    reasons = []
    for reason in decision.reasons:
        policy = policies.get(reason.policy)
        conditions: tuple[str, ...] = ()
        if policy is not None and reason.code == "denied":
            conditions = tuple(_conditions(question, policy, evidence[reason.policy]))
        reasons.append(Why(reason.policy, reason.code, reason.text, conditions))
    proposals = () if decision.verdict is Verdict.ALLOW else Search(question).proposals()
    return Explanation(decision, tuple(reasons), proposals)


def _conditions(question: Question, policy: Policy, evidence: Evidence) -> Iterator[str]:
    """Say of each condition that settled a denial whether it held, and what its inputs were."""
    bits = {id(atom): 1 << number for number, atom in enumerate(policy.program.atoms)}

    def truth(expr: Expr) -> bool | None:
        return _truth(expr, bits, evidence)

    for atom in dict.fromkeys(_settling(policy.program.rule, truth)):
        held = bool(evidence.true & bits[id(atom)])
        names = dict.fromkeys(str(part.path[0]) for part in atom.walk() if part.op in ("read", "estimate"))
        inputs = [f"{name} is {question.shown(name, question.values.get(name))}" for name in names]
        because = f": {', '.join(inputs)}" if inputs else ""
        yield f"{text_of(atom, units=True)} is {'true' if held else 'false'}{because}"


def _truth(expr: Expr, bits: Mapping[int, int], evidence: Evidence) -> bool | None:
    """Give what the evidence says of an expression; None where it was not reached."""
    if expr.op == "const":
        return bool(expr.value)
    if expr.op not in LOGIC:
        bit = bits[id(expr)]
        return bool(evidence.true & bit) if evidence.read & bit else None
    truths = [_truth(arg, bits, evidence) for arg in expr.args]
    if expr.op in ("!", "!!"):
        return None if truths[0] is None else truths[0] is (expr.op == "!!")
    if expr.op == "if":
        for index in range(0, len(truths) - 1, 2):
            if truths[index]:
                return truths[index + 1]
        return truths[-1] if len(truths) % 2 else False
    stops = expr.op == "or"
    return next((truth for truth in truths if truth is stops or truth is None), not stops)


def _settling(expr: Expr, truth: Callable[[Expr], bool | None]) -> Iterator[Expr]:
    """Give the atoms that made an expression what it is: of a false `and` the clause that was false."""
    if expr.op == "const" or truth(expr) is None:
        return
    if expr.op not in LOGIC:
        yield expr
    elif expr.op == "if":
        for index in range(0, len(expr.args) - 1, 2):
            yield from _settling(expr.args[index], truth)
            if truth(expr.args[index]):
                yield from _settling(expr.args[index + 1], truth)
                return
        if len(expr.args) % 2:
            yield from _settling(expr.args[-1], truth)
    else:
        settled = [arg for arg in expr.args if truth(arg) is truth(expr)]
        stopped = expr.op in ("and", "or") and truth(expr) is (expr.op == "or")
        for arg in settled[:1] if stopped else expr.args:
            yield from _settling(arg, truth)
