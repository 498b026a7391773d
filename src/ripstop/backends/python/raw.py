"""The raw verdict of one rule: near a function written by hand, and safe against NaN.

    def verdict(c, t=0):                         # battery < 30 implies payload <= 1
        try:
            v0 = c["battery_percent"]
            if v0 < 30:
                if v0 >= -2.0**53:
                    v1 = c["payload_kg"]
                    if v1 <= 1.0:
                        if v1 >= -2.0**53: return ALLOW
                    elif v1 <= 2.0**53: return DENY
            elif v0 <= 2.0**53: return ALLOW
        except _surprises: pass
        return _slow(c, t)

It returns only through comparisons that came out true: a NaN, an infinity, a missing key or a text makes
none true, and the reference semantics decide. A name is read once on each path.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ripstop.backends.python.branches import Brancher, Leaf, assign, either, leaves
from ripstop.backends.python.lowering import Emitter
from ripstop.backends.python.plan import SURPRISES
from ripstop.backends.python.slots import SAFE, Held, Slot, Unsupported, assign_slots, name
from ripstop.backends.python.surprises import HELPERS
from ripstop.core.canonical import Json
from ripstop.core.decision import Verdict
from ripstop.policy.document import Policy
from ripstop.policy.ir import Expr
from ripstop.policy.values import is_truthy


class RawVerdict(Protocol):
    """A function that gives a rule's raw verdict."""

    def __call__(self, context: Mapping[str, Json], t_us: int = 0, /) -> Verdict:
        """Give the verdict for a context, at a moment."""
        ...


MOST_LEAVES = 128

_ORDERS: Mapping[str, ast.cmpop] = {"<": ast.Lt(), "<=": ast.LtE(), ">": ast.Gt(), ">=": ast.GtE()}


def compile_raw(policy: Policy, slow: RawVerdict) -> RawVerdict:
    """Generate the function for one policy's rule; `slow` itself where that cannot be done."""
    program = policy.program
    if program.recalls:
        return slow  # a raw verdict has no history: the exact evaluator knows where that matters
    yes, no = (Verdict.ALLOW, Verdict.DENY) if policy.effect == "require" else (Verdict.DENY, Verdict.ALLOW)
    returns = {True: ast.Return(name("_yes")), False: ast.Return(name("_no"))}
    try:
        slots = assign_slots([program.rule], policy.vocabulary.signals, {})
        if any(slot.is_optional for slot in slots.values()):
            return slow
        emitter = Emitter(slots, ranged=False)
        if sum(leaves(program.rule)) <= MOST_LEAVES:
            raw = _RawTree(emitter, program.atoms, slots=slots)
            body = raw.tree(program.rule, lambda _: [returns[True]], lambda _: [returns[False]], 0)
        else:
            test, _, _ = _Raw(emitter, slots).expression(program.rule, frozenset())
            body = [ast.Return(ast.IfExp(test, name("_yes"), name("_no")))]
    except Unsupported:
        return slow
    if emitter.uses_now:
        body.insert(0, assign("now", ast.BinOp(name("t"), ast.Div(), ast.Constant(1e6))))
    return _build(body, {"_yes": yes, "_no": no, "_slow": slow})


def _build(body: list[ast.stmt], extra: Mapping[str, object]) -> RawVerdict:
    fallback = ast.Return(ast.Call(name("_slow"), [name("c"), name("t")], []))
    guarded = ast.Try(body, [ast.ExceptHandler(name("_surprises"), None, [ast.Pass()])], [], [])
    parameters = ast.arguments([], [ast.arg("c"), ast.arg("t")], None, [], [], None, [ast.Constant(0)])
    function = ast.FunctionDef("verdict", parameters, [guarded, fallback], [], lineno=0)
    module = ast.fix_missing_locations(ast.Module([function], []))
    space: dict[str, object] = {**HELPERS, "_surprises": SURPRISES, "_leave": _leave, **extra}
    exec(compile(module, "<ripstop rule>", "exec"), space)  # noqa: S102 (a tree that this package built)
    made: RawVerdict = space["verdict"]  # type: ignore[assignment]  # exec gives no type
    return made


def _leave() -> bool:
    raise LookupError


def _load(slot: Slot) -> ast.expr:
    return ast.Subscript(name("c"), ast.Constant(slot.name), ast.Load())


def _bound(slot: Slot) -> ast.expr:
    return ast.NamedExpr(ast.Name(slot.variable, ast.Store()), _load(slot))


def _or_leave(test: ast.expr) -> ast.expr:
    return ast.BoolOp(ast.Or(), [test, ast.Call(name("_leave"), [], [])])


def _split(expr: Expr, fresh: Sequence[Slot]) -> tuple[ast.cmpop, float, ast.expr, ast.expr] | None:
    """Take `read op const` apart, for the first read of a number.

    Gives the comparison's operator and constant, and what then settles it as true, and as false.
    """
    if expr.op not in _ORDERS or len(expr.args) != 2 or len(fresh) != 1 or fresh[0].held is not Held.NUMBER:
        return None
    read, literal = expr.args
    limit = literal.value
    if read.op != "read" or literal.op != "const" or not isinstance(limit, int | float):
        return None
    if not -SAFE < limit < SAFE:
        return None
    value = name(fresh[0].variable)
    above = ast.Compare(value, [ast.GtE()], [ast.Constant(-SAFE)])
    below = ast.Compare(value, [ast.LtE()], [ast.Constant(SAFE)])
    true, false = (above, below) if expr.op[0] == "<" else (below, above)
    return _ORDERS[expr.op], limit, true, false


@dataclass(slots=True)
class _RawTree(Brancher):
    """A tree whose leaves return; a slot is read and checked where a path first needs it.

    The evidence code of the tree tells which atoms are settled; above the atoms' bits, it tells which slots
    have been read.
    """

    slots: Mapping[str, Slot] = field(default_factory=dict)

    def tree(self, expr: Expr, then: Leaf, other: Leaf, code: int) -> list[ast.stmt]:
        if expr.op in ("const", "and", "or", "!", "!!", "if"):
            return Brancher.tree(self, expr, then, other, code)
        bit = self.bit(expr)
        if code & bit:
            return then(code) if code & (bit << 1) else other(code)
        fresh = [slot for slot in self._slots_of(expr) if not code & self._read_bit(slot)]
        known = code
        for slot in fresh:
            known |= self._read_bit(slot)
        statements: list[ast.stmt] = [assign(slot.variable, _load(slot)) for slot in fresh]
        split = _split(expr, fresh)
        if split is not None:
            order, limit, true, false = split
            first = ast.Compare(name(fresh[0].variable), [order], [ast.Constant(limit)])
            settled = ast.If(false, other(known | bit), [])
            return [*statements, ast.If(first, [ast.If(true, then(known | bit * 3), [])], [settled])]
        slow = ast.Return(ast.Call(name("_slow"), [name("c"), name("t")], []))
        wrong = (ast.UnaryOp(ast.Not(), slot.check(ranged=False)) for slot in fresh)
        statements.extend(ast.If(each, [slow], []) for each in wrong)
        test, before = self.test(expr)
        return [*statements, *before, *either(test, then(known | bit * 3), other(known | bit))]

    def _slots_of(self, expr: Expr) -> list[Slot]:
        return [self.slots[str(part.path[0])] for part in expr.walk() if part.op == "read"]

    def _read_bit(self, slot: Slot) -> int:
        return 1 << 2 * len(self.atoms) + list(self.slots).index(slot.name)


@dataclass(slots=True)
class _Raw:
    """A rule as one Python expression, for rules whose tree would be too large.

    A slot is read where it may not have been read yet; which slots have certainly been read after a true and
    after a false outcome is followed as a compiler follows definite assignment.
    """

    emitter: Emitter
    slots: Mapping[str, Slot]

    def expression(
        self, expr: Expr, known: frozenset[str]
    ) -> tuple[ast.expr, frozenset[str], frozenset[str]]:
        """Give the code, and the slots known after it came out true, and after false."""
        if expr.op == "const":
            return ast.Constant(is_truthy(expr.value)), known, known
        if expr.op in ("!", "!!"):
            code, true, false = self.expression(expr.args[0], known)
            return (ast.UnaryOp(ast.Not(), code), false, true) if expr.op == "!" else (code, true, false)
        if expr.op in ("and", "or"):
            return self._chain(expr, known)
        if expr.op == "if":
            return self._choice(expr.args, known)
        if expr.op in ("all", "some", "none"):
            raise Unsupported("a quantifier stands in a large rule")
        fresh = [
            self.slots[str(part.path[0])]
            for part in expr.walk()
            if part.op == "read" and str(part.path[0]) not in known
        ]
        after = known | {slot.name for slot in fresh}
        split = _split(expr, fresh)
        if split is not None:
            order, limit, settles_true, settles_false = split
            first = ast.Compare(_bound(fresh[0]), [order], [ast.Constant(limit)])
            code = ast.IfExp(first, _or_leave(settles_true), ast.UnaryOp(ast.Not(), _or_leave(settles_false)))
            return code, after, after
        tests = [*map(self._checked, fresh), self.emitter.test(expr)]
        return (tests[0] if len(tests) == 1 else ast.BoolOp(ast.And(), tests)), after, after

    def _checked(self, slot: Slot) -> ast.expr:
        """Read, check, and leave when the check fails: true otherwise."""
        if slot.held is not Held.NUMBER:
            raise Unsupported("a large rule reads something else than numbers")
        bounds: list[ast.expr] = [_bound(slot), ast.Constant(SAFE)]
        return _or_leave(ast.Compare(ast.Constant(-SAFE), [ast.LtE(), ast.LtE()], bounds))

    def _chain(self, expr: Expr, known: frozenset[str]) -> tuple[ast.expr, frozenset[str], frozenset[str]]:
        is_and = expr.op == "and"
        codes: list[ast.expr] = []
        stopped: frozenset[str] | None = None
        going = known
        for arg in expr.args:
            code, true, false = self.expression(arg, going)
            codes.append(code)
            going, stop = (true, false) if is_and else (false, true)
            stopped = stop if stopped is None else stopped & stop
        ended = going if stopped is None else stopped
        code = codes[0] if len(codes) == 1 else ast.BoolOp(ast.And() if is_and else ast.Or(), codes)
        return (code, going, ended) if is_and else (code, ended, going)

    def _choice(
        self, args: tuple[Expr, ...], known: frozenset[str]
    ) -> tuple[ast.expr, frozenset[str], frozenset[str]]:
        if not args:
            return ast.Constant(False), known, known
        if len(args) == 1:
            return self.expression(args[0], known)
        if len(args) > 64:
            raise Unsupported("an `if` has too many branches")
        condition, true, false = self.expression(args[0], known)
        then, then_true, then_false = self.expression(args[1], true)
        other, other_true, other_false = self._choice(args[2:], false)
        return ast.IfExp(condition, then, other), then_true & other_true, then_false & other_false
