"""The raw verdict of one rule: near a function written by hand, and safe against NaN.

    def verdict(c, t=0):                         # battery < 30 implies payload <= 1
        try:
            v0 = c["battery"]
            if v0.__class__ is int: ...          # the same again, with bounds and literals that are integers
            elif v0 < 30.0:
                if v0 >= -2.0**53:
                    v1 = c["payload"]
                    if v1 <= 1.0:
                        if v1 >= -2.0**53: return _yes
                    elif v1 <= 2.0**53: return _no
            elif v0 <= 2.0**53: return _yes
        except _surprises: pass
        return _slow(c, t)

It returns only through comparisons that came out true: a NaN, an infinity, a missing key or a text makes
none true, and the reference semantics decide. A name is read once on each path. What does not come true
falls through to the last line; where other statements follow (a part of a large rule, a loop) it jumps.

CPython (3.11 on) compares two floats, or two small integers, several times faster than a float with an
integer, and only where the jump behind the comparison is short. So the first number that meets an integer
literal chooses between two bodies, one for each sort of literal, and no path jumps far.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Protocol, TypeAlias

from ripstop.backends.python.assemble import assemble
from ripstop.backends.python.branches import Brancher, Leaf, assign, either, leaves
from ripstop.backends.python.lowering import Emitter
from ripstop.backends.python.plan import SURPRISES
from ripstop.backends.python.slots import (
    SAFE,
    Held,
    Slot,
    Unsupported,
    assign_slots,
    class_of,
    element_slots,
    name,
)
from ripstop.backends.python.surprises import HELPERS
from ripstop.core.canonical import Json
from ripstop.core.decision import Verdict
from ripstop.core.value import dataclass
from ripstop.policy.document import Policy
from ripstop.policy.ir import LOGIC, Expr


class RawVerdict(Protocol):
    """A function that gives a rule's raw verdict."""

    def __call__(self, context: Mapping[str, Json], t_us: int = 0, /) -> Verdict:
        """Give the verdict for a context, at a moment."""
        ...


MOST_LEAVES = 128
Ends: TypeAlias = tuple[list[ast.stmt], list[ast.stmt]]
_Checked: TypeAlias = Callable[[ast.expr, list[ast.stmt]], list[ast.stmt]]
_MOST_IN_A_ROW = 16  # leaves of a part of a rule that is built part by part

_ORDERS: Mapping[str, ast.cmpop] = {"<": ast.Lt(), "<=": ast.LtE(), ">": ast.Gt(), ">=": ast.GtE()}
_MIRRORED: Mapping[str, str] = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_ENDS: Mapping[bool, bytes] = {True: b"yes", False: b"no"}  # stand for the verdicts: no rule holds bytes
_CLASSES: Mapping[str, type] = {each.__name__: each for each in (int, bool, str, list, dict)}
_SMALL = 2**30 - 1  # CPython compares integers up to here without a call


def compile_raw(policy: Policy, slow: RawVerdict) -> RawVerdict:
    """Generate the function for one policy's rule; `slow` itself where that cannot be done."""
    program = policy.program
    if program.recalls:
        return slow  # a raw verdict has no history: the exact evaluator knows where that matters
    yes, no = (Verdict.ALLOW, Verdict.DENY) if policy.effect == "require" else (Verdict.DENY, Verdict.ALLOW)
    try:
        slots = assign_slots([program.rule], policy.vocabulary.signals, {})
        if any(slot.is_optional for slot in slots.values()):
            return slow
        emitter = Emitter(slots, ranged=False)
        returns = {truth: ast.Return(ast.Constant(_ENDS[truth])) for truth in (True, False)}
        raw = _Raw(emitter, program.atoms, slots=slots)
        body = raw.rule(program.rule, lambda _: [returns[True]], lambda _: [returns[False]])
        if emitter.uses_now:
            body.insert(0, assign("now", ast.BinOp(name("t"), ast.Div(), ast.Constant(1e6))))
        return _build(body, {_ENDS[True]: yes, _ENDS[False]: no}, slow)
    except (Unsupported, RecursionError):  # the latter from Python's compiler, for a rule of many branches
        return slow


def _build(body: list[ast.stmt], ends: Mapping[object, Verdict], slow: RawVerdict) -> RawVerdict:
    fallback = ast.Return(ast.Call(name("_slow"), [name("c"), name("t")], []))
    guarded = ast.Try(body, [ast.ExceptHandler(name("_surprises"), None, [ast.Pass()])], [], [])
    parameters = ast.arguments([], [ast.arg("c"), ast.arg("t")], None, [], [], None, [ast.Constant(0)])
    function = ast.FunctionDef("verdict", parameters, [guarded, fallback], [])
    constants: dict[object, object] = {**ends, ...: _class_as_constant(function)}
    made = assemble(function, {**HELPERS, "_surprises": SURPRISES, "_slow": slow})
    code = made.__code__
    made.__code__ = code.replace(co_consts=tuple(constants.get(each, each) for each in code.co_consts))
    return made


def _class_as_constant(function: ast.FunctionDef) -> type | None:
    """Put `...`, the one constant that `is` may meet, for the first class that is asked for; give the class.

    A constant is loaded in a fraction of the time that a built-in name takes.
    """
    chosen: str | None = None
    for node in ast.walk(function):
        match node:
            case ast.Compare(ast.Attribute(attr="__class__"), [ast.Is() | ast.IsNot()], [ast.Name(id=asked)]):
                chosen = chosen or asked
                if asked == chosen:
                    node.comparators = [ast.Constant(...)]
    return None if chosen is None else _CLASSES[chosen]


def _load(slot: Slot) -> ast.expr:
    return ast.Subscript(name("c"), ast.Constant(slot.name), ast.Load())


def _leave_unless(test: ast.expr, body: list[ast.stmt] | None = None) -> list[ast.stmt]:
    """Jump to the exact evaluator unless a test comes true; then do something, if that is not nothing."""
    if body is None or isinstance(body[0], ast.Pass):
        return [ast.If(ast.UnaryOp(ast.Not(), test), [ast.Raise(name("_Deopt"))], [])]
    return [ast.If(test, body, [ast.Raise(name("_Deopt"))])]


def _fall_unless(test: ast.expr, body: list[ast.stmt]) -> list[ast.stmt]:
    """Do something if a test comes true, else go on behind it: to the exact evaluator, in the end."""
    return [ast.If(test, body, [])]


def _compared(expr: Expr, op: str = "read") -> tuple[str, str, float] | None:
    """Take the comparison of one read with a number apart: what is read, the operator, the number."""
    if expr.op not in _ORDERS or len(expr.args) != 2:
        return None
    (left, right), order = expr.args, expr.op
    if left.op == "const":
        left, right, order = right, left, _MIRRORED[order]
    limit = right.value
    if left.op != op or left.args or right.op != "const" or not isinstance(limit, int | float):
        return None
    if isinstance(limit, bool) or not -SAFE < limit < SAFE:
        return None
    return str(left.path[-1]), order, limit


@dataclass(slots=True)
class _Raw(Brancher):
    """Builds a body whose leaves return; a slot is read and checked where a path first needs it.

    The evidence code of the tree tells which atoms are settled; above the atoms' bits, it tells which slots
    have been read. `is_whole` says whether literals are integers where they can be; None while that is open:
    the first number that is compared with an integer decides it. `loaded` has been read, but not checked.
    `falls` says that nothing follows the tree: what does not come true need not jump.
    """

    slots: Mapping[str, Slot] = field(default_factory=dict)
    is_whole: bool | None = None
    loaded: Slot | None = None
    falls: bool = False
    order: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        Brancher.__post_init__(self)
        self.order = {key: index for index, key in enumerate(self.slots)}

    def rule(self, expr: Expr, then: Leaf, other: Leaf, code: int = 0) -> list[ast.stmt]:
        """Build a tree; where it would be too large, one part after the other, joined where they agree."""
        if sum(leaves(expr)) <= MOST_LEAVES:
            self.falls = True
            return self.tree(expr, then, other, code)
        first = expr
        while first.op in LOGIC:
            first = first.args[0]
        slot = self._chooser(first)
        if slot is None:
            self.is_whole = False
            return self._in_a_row(expr, then, other, code)
        self.loaded = slot
        return [
            assign(slot.variable, _load(slot)),
            *self._either_sort(slot, lambda: self._in_a_row(expr, then, other, code)),
        ]

    def _chooser(self, expr: Expr) -> Slot | None:
        """Give the number that an expression compares with an integer."""
        compared = _compared(expr)
        if compared is None or compared[2] != int(compared[2]):
            return None
        slot = self.slots[compared[0]]
        return slot if slot.held is Held.NUMBER else None

    def _either_sort(self, slot: Slot, build: Callable[[], list[ast.stmt]]) -> list[ast.stmt]:
        """Build twice: for integers, and for floats and everything else."""
        bodies = []
        for self.is_whole in (True, False):
            bodies.append(build())
        self.is_whole = None
        is_int = ast.Compare(class_of(name(slot.variable)), [ast.Is()], [name("int")])
        return either(is_int, *bodies)

    def _in_a_row(self, expr: Expr, then: Leaf, other: Leaf, code: int) -> list[ast.stmt]:
        if expr.op not in ("and", "or"):
            return [*self._flat(expr, code), *either(name(self.truth), then(code), other(code))]
        statements: list[ast.stmt] = []
        for part in expr.args:
            passed, code = self._passing(part, expr.op == "and", other if expr.op == "and" else then, code)
            statements.extend(passed)
        return [*statements, *(then if expr.op == "and" else other)(code)]

    def _passing(self, part: Expr, wanted: bool, stop: Leaf, code: int) -> tuple[list[ast.stmt], int]:
        """Build a part of a chain: it stops, or goes on behind the statements with a common code."""
        if sum(leaves(part)) > _MOST_IN_A_ROW:
            goes_on = name(self.truth) if wanted else ast.UnaryOp(ast.Not(), name(self.truth))
            return [*self._flat(part, code), ast.If(goes_on, [ast.Pass()], stop(code))], code
        codes: list[int] = []

        def go_on(code: int) -> list[ast.stmt]:
            codes.append(code)
            return [ast.Pass()]

        then, other = (go_on, stop) if wanted else (stop, go_on)
        statements = self.tree(part, then, other, code)
        common = codes[0] if codes else code
        for each in codes:
            common &= each
        return statements, common & -(1 << 2 * len(self.atoms))  # what atoms say may differ

    def _flat(self, expr: Expr, code: int) -> list[ast.stmt]:
        """Build statements that leave the truth in a variable."""
        truth = name(self.truth)
        if sum(leaves(expr)) <= _MOST_IN_A_ROW:
            ends = [[assign(self.truth, ast.Constant(value))] for value in (True, False)]
            return self.tree(expr, lambda _: ends[0], lambda _: ends[1], code)
        first, *rest = expr.args
        statements = self._flat(first, code)
        if expr.op == "!":
            return [*statements, assign(self.truth, ast.UnaryOp(ast.Not(), truth))]
        if expr.op == "if" and rest:
            other = self._flat(Expr("if", tuple(rest[1:])), code)
            return [*statements, ast.If(truth, self._flat(rest[0], code), other)]
        for part in rest:
            goes_on = truth if expr.op == "and" else ast.UnaryOp(ast.Not(), truth)
            statements.append(ast.If(goes_on, self._flat(part, code), []))
        return statements

    def tree(self, expr: Expr, then: Leaf, other: Leaf, code: int) -> list[ast.stmt]:
        if expr.op in LOGIC or expr.op == "const":
            return Brancher.tree(self, expr, then, other, code)
        bit = self.bit(expr)
        if code & bit:
            return then(code) if code & (bit << 1) else other(code)
        fresh = [slot for slot in self._slots_of(expr) if not code & self._read_bit(slot)]
        statements: list[ast.stmt] = [
            assign(slot.variable, _load(slot)) for slot in fresh if slot is not self.loaded
        ]
        for slot in fresh:
            code |= self._read_bit(slot)

        def ends() -> Ends:
            return then(code | bit * 3), other(code | bit)

        compared = _compared(expr)
        if compared is not None and self.slots[compared[0]].held is Held.NUMBER:
            slot, checked = self.slots[compared[0]], None
            if fresh:
                checked = _fall_unless if self.falls else _leave_unless
            if self.is_whole is None and fresh and self._chooser(expr) is not None:
                both = self._either_sort(slot, lambda: self._settled(slot, compared, ends(), checked))
                return [*statements, *both]
            return [*statements, *self._settled(slot, compared, ends(), checked)]
        for slot in fresh:
            statements.extend(_leave_unless(slot.check(ranged=False)))
        if expr.op in ("all", "some", "none"):
            return [*statements, *self._quantifier_tree(expr, ends())]
        test, before = self.test(expr)
        return [*statements, *before, *either(test, *ends())]

    def _settled(
        self,
        slot: Slot,
        compared: tuple[str, str, float],
        ends: Ends,
        checked: _Checked | None,
    ) -> list[ast.stmt]:
        """Compare a number with a literal; one that is `checked` has to pass a bound on either side, too."""
        _, order, limit = compared
        value, is_below = name(slot.variable), order[0] == "<"
        literal = int(limit) if self.is_whole and limit == int(limit) else float(limit)
        test = ast.Compare(value, [_ORDERS[order]], [ast.Constant(literal)])
        if checked is None:
            return either(test, *ends)
        sides = [self._bounded(value, is_above=is_below is side) for side in (True, False)]
        return [ast.If(test, *[checked(side, end) for side, end in zip(sides, ends, strict=True)])]

    def _bounded(self, value: ast.expr, *, is_above: bool) -> ast.expr:
        order, sign = (ast.GtE(), -1) if is_above else (ast.LtE(), 1)
        bounds: list[float] = [sign * _SMALL, sign * int(SAFE)] if self.is_whole else [sign * SAFE]
        tests: list[ast.expr] = [ast.Compare(value, [order], [ast.Constant(bound)]) for bound in bounds]
        return tests[0] if len(tests) == 1 else ast.BoolOp(ast.Or(), tests)

    def _quantifier_tree(self, atom: Expr, ends: Ends) -> list[ast.stmt]:
        """Lower a quantifier; where its body compares one field with a literal, to a loop that returns."""
        elements, body = atom.args
        compared, source = _compared(body, "element"), self.emitter.lower(elements)
        slots = element_slots(body, elements, f"each{self.emitter.loops + 1}")
        path, slot = next(iter(slots.items()), ((), None))
        is_number = slot is not None and slot.held is Held.NUMBER and slot.spec is None
        is_simple = is_number and len(slots) == 1 and source.held is Held.LIST
        if slot is None or compared is None or not is_simple:
            test, before = self.test(atom)
            return [*before, *either(test, *ends)]
        items, item = source.code, self.emitter.loop_variable()
        hit, miss = ends if atom.op == "some" else ends[::-1]
        if atom.op == "all":
            miss = either(items, *ends)  # of nothing, nothing is true
        each, key = slot.variable, ast.Constant(path[0]) if path else None
        value = [] if key is None else [assign(each, ast.Subscript(name(each), key, ast.Load()))]

        def loop(on_hit: list[ast.stmt], going: list[ast.stmt], checked: _Checked) -> ast.For:
            inner = (going, on_hit) if atom.op == "all" else (on_hit, going)
            settled = self._settled(slot, compared, inner, checked)
            return ast.For(ast.Name(each, ast.Store()), items, [*value, *settled], [], lineno=0)

        if isinstance(hit[0], ast.Return) and self.falls:
            falling = loop(hit, [ast.Continue()], _fall_unless)
            falling.body.append(ast.Break())
            falling.orelse = miss
            return [falling]
        if isinstance(hit[0], ast.Return):
            return [loop(hit, [ast.Pass()], _leave_unless), *miss]
        found = f"{item}_found"
        noted: list[ast.stmt] = [assign(found, ast.Constant(True)), ast.Break()]
        noting = loop(noted, [ast.Pass()], _leave_unless)
        return [assign(found, ast.Constant(False)), noting, *either(name(found), hit, miss)]

    def _slots_of(self, expr: Expr) -> list[Slot]:
        return [self.slots[str(part.path[0])] for part in expr.walk() if part.op in ("read", "estimate")]

    def _read_bit(self, slot: Slot) -> int:
        return 1 << 2 * len(self.atoms) + self.order[slot.name]
