"""From an expression in boolean position to `if` statements that know, on every path, what was read.

    {"if": [a, b, true]}      becomes      if a:
                                               if b: <then, read a and b, both true>
                                               else: <other, read a and b, a true>
                                           else:     <then, read a>

Each path through the tree ends in a leaf, and the evidence of a leaf is a constant. A rule whose tree would
have more than `MOST_LEAVES` leaves is built flat instead: one variable for the truth, one that collects the
evidence.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import field

from ripstop.backends.python.lowering import Emitter
from ripstop.backends.python.slots import Held, Unsupported, element_slots, name
from ripstop.core.value import dataclass
from ripstop.policy.ir import LOGIC, Expr
from ripstop.policy.values import is_truthy

MOST_LEAVES = 64
_LONGEST_CHOICE = 64  # each branch nests one deeper

Leaf = Callable[[int], list[ast.stmt]]


def leaves(expr: Expr) -> tuple[int, int]:
    """Count the true and the false leaves of the tree for an expression."""
    if expr.op == "const":
        return (1, 0) if is_truthy(expr.value) else (0, 1)
    if expr.op not in LOGIC:
        return 1, 1
    parts = [leaves(arg) for arg in expr.args]
    if expr.op == "!":
        return parts[0][1], parts[0][0]
    if expr.op == "!!":
        return parts[0]
    if expr.op == "if":
        true, false = parts[-1] if len(parts) % 2 else (0, 1)
        for index in range(len(parts) // 2 * 2 - 2, -1, -2):
            (yes, no), (value_true, value_false) = parts[index], parts[index + 1]
            true, false = yes * value_true + no * true, yes * value_false + no * false
        return true, false
    stop, going = (1, 0) if expr.op == "and" else (0, 1)
    stopped, reached = 0, 1
    for part in parts:
        stopped += reached * part[stop]
        reached *= part[going]
    return (reached, stopped) if expr.op == "and" else (stopped, reached)


def assign(variable: str, value: ast.expr) -> ast.stmt:
    """Assign to a variable."""
    return ast.Assign([ast.Name(variable, ast.Store())], value, lineno=0)


def collect(variable: str, bits: int) -> ast.stmt:
    """Add bits to a variable."""
    return ast.AugAssign(ast.Name(variable, ast.Store()), ast.BitOr(), ast.Constant(bits))


def either(test: ast.expr, then: list[ast.stmt], other: list[ast.stmt]) -> list[ast.stmt]:
    """Build an `if`, without a branch that holds nothing."""
    if not then and not other:
        return []
    if not then:
        return [ast.If(ast.UnaryOp(ast.Not(), test), other, [])]
    return [ast.If(test, then, other)]


@dataclass(slots=True)
class Brancher:
    """Builds the statements of one policy."""

    emitter: Emitter
    atoms: tuple[Expr, ...]
    truth: str = "b"
    collected: str = "e"
    bits: dict[int, int] = field(init=False)

    def __post_init__(self) -> None:
        self.bits = {id(atom): 1 << 2 * index for index, atom in enumerate(self.atoms)}

    def bit(self, atom: Expr) -> int:
        """Give the bit that says an atom was read; the next one says that it held."""
        return self.bits[id(atom)]

    def tree(self, expr: Expr, then: Leaf, other: Leaf, code: int) -> list[ast.stmt]:
        """Build a tree: `then` and `other` give what stands at a leaf, for the evidence that it has."""
        if expr.op == "const":
            return then(code) if is_truthy(expr.value) else other(code)
        if expr.op == "!":
            return self.tree(expr.args[0], other, then, code)
        if expr.op == "!!":
            return self.tree(expr.args[0], then, other, code)
        if expr.op == "if":
            return self._choice(expr.args, then, other, code)
        if expr.op in ("and", "or"):
            return self._chain(expr.op == "and", expr.args, (then, other), code)
        bit = self.bit(expr)
        if code & bit:
            return then(code) if code & (bit << 1) else other(code)
        test, before = self.test(expr)
        return [*before, *either(test, then(code | bit * 3), other(code | bit))]

    def _chain(
        self, is_and: bool, args: Sequence[Expr], ends: tuple[Leaf, Leaf], code: int
    ) -> list[ast.stmt]:
        then, other = ends
        if len(args) == 1:
            return self.tree(args[0], then, other, code)

        def go_on(code: int) -> list[ast.stmt]:
            return self._chain(is_and, args[1:], ends, code)

        return self.tree(args[0], go_on if is_and else then, other if is_and else go_on, code)

    def _choice(self, args: Sequence[Expr], then: Leaf, other: Leaf, code: int) -> list[ast.stmt]:
        if not args:
            return other(code)
        if len(args) == 1:
            return self.tree(args[0], then, other, code)
        return self.tree(
            args[0],
            lambda code: self.tree(args[1], then, other, code),
            lambda code: self._choice(args[2:], then, other, code),
            code,
        )

    def flat(self, expr: Expr) -> list[ast.stmt]:
        """Build statements that leave the truth in one variable and collect the evidence in another."""
        if expr.op == "const":
            return [assign(self.truth, ast.Constant(is_truthy(expr.value)))]
        if expr.op == "!":
            return [*self.flat(expr.args[0]), assign(self.truth, ast.UnaryOp(ast.Not(), name(self.truth)))]
        if expr.op == "!!":
            return self.flat(expr.args[0])
        if expr.op == "if":
            return self._flat_choice(expr.args)
        if expr.op in ("and", "or"):
            return self._flat_chain(expr.op == "and", expr.args)
        bit = self.bit(expr)
        test, before = self.test(expr)
        held = [collect(self.collected, bit * 3), assign(self.truth, ast.Constant(True))]
        failed = [collect(self.collected, bit), assign(self.truth, ast.Constant(False))]
        return [*before, ast.If(test, held, failed)]

    def _flat_chain(self, is_and: bool, args: Sequence[Expr]) -> list[ast.stmt]:
        statements = self.flat(args[0])
        for arg in args[1:]:
            goes_on: ast.expr = name(self.truth) if is_and else ast.UnaryOp(ast.Not(), name(self.truth))
            statements.append(ast.If(goes_on, self.flat(arg), []))
        return statements

    def _flat_choice(self, args: Sequence[Expr]) -> list[ast.stmt]:
        if len(args) > _LONGEST_CHOICE:
            raise Unsupported("an `if` has too many branches")
        if not args:
            return [assign(self.truth, ast.Constant(False))]
        if len(args) == 1:
            return self.flat(args[0])
        return [
            *self.flat(args[0]),
            ast.If(name(self.truth), self.flat(args[1]), self._flat_choice(args[2:])),
        ]

    def test(self, atom: Expr) -> tuple[ast.expr, list[ast.stmt]]:
        """Lower an atom: its test, and what has to run before."""
        if atom.op in ("all", "some", "none"):
            return self._quantifier(atom)
        return self.emitter.test(atom), []

    def _quantifier(self, atom: Expr) -> tuple[ast.expr, list[ast.stmt]]:
        """Lower `all`, `some`, `none` to a loop that stops where JSON-Logic's does.

        all: b = len(v) > 0                 some, none: b = False (True for none)
             for e in v:                                for e in v:
                 <fields, checked>                          <fields, checked>
                 if not <body>: b = False; break            if <body>: b = not b; break
        """
        elements, body = atom.args
        source = self.emitter.lower(elements)
        if source.held is not Held.LIST or self.emitter.elements is not None:
            raise Unsupported("a quantifier runs over something else than a list that is read")
        loop = self.emitter.loop_variable()
        found = f"{loop}_found"
        slots = element_slots(body, elements, loop)
        self.emitter.elements = slots
        try:
            test = self.emitter.test(body)
        finally:
            self.emitter.elements = None
        inner: list[ast.stmt] = []
        for path, slot in slots.items():
            value = ast.Subscript(name(loop), ast.Constant(path[0]), ast.Load()) if path else name(loop)
            inner.append(assign(slot.variable, value))
            inner.append(
                ast.If(ast.UnaryOp(ast.Not(), slot.check(ranged=True)), [ast.Raise(name("_Deopt"))], [])
            )
        start: ast.expr = ast.Constant(atom.op == "none")
        if atom.op == "all":
            start = ast.Call(name("bool"), [source.code], [])
            test = ast.UnaryOp(ast.Not(), test)
        inner.append(ast.If(test, [assign(found, ast.Constant(atom.op == "some")), ast.Break()], []))
        each = ast.For(ast.Name(loop, ast.Store()), source.code, inner, [], lineno=0)
        return name(found), [assign(found, start), each]
