"""From nodes to WebAssembly instructions: no loop but that of `%`, no call of anything outside, no memory.

Theory of operation. A truth is left on the stack as 0 or 1, a number as an f64. What ends an evaluation as
UNKNOWN jumps out of the block that stands around it. Evidence is collected in 64-bit locals: an atom adds its
read bit when it is reached and its true bit when it holds. Cheap parts of `and` and `or` that cannot go wrong
are evaluated without a branch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from ripstop.backends.edge.inputs import Input
from ripstop.backends.edge.nodes import (
    Arith,
    Atom,
    Bool,
    Checked,
    Choice,
    Compare,
    Const,
    Every,
    Guarded,
    GuardedNumber,
    Load,
    Not,
    Num,
    Select,
    Some,
    Truth,
    is_plain,
    may_end,
)
from ripstop.backends.edge.program import ATOMS_A_WORD
from ripstop.backends.wasm.encoding import F64, I32, Code, unsigned
from ripstop.backends.wasm.shared import NOT_FINITE_COST, REMAINDER_COST, Shared

COMPARISONS: Mapping[str, int] = {"==": 0x61, "!=": 0x62, "<": 0x63, ">": 0x64, "<=": 0x65, ">=": 0x66}
ARITHMETIC: Mapping[str, int] = {
    "abs": 0x99,
    "neg": 0x9A,
    "+": 0xA0,
    "-": 0xA1,
    "*": 0xA2,
    "/": 0xA3,
    "min": 0xA4,
    "max": 0xA5,
}
I32_EQZ, I32_AND, I32_OR = 0x45, 0x71, 0x72
I64_AND, I64_OR, I64_SHL, EXTEND = 0x83, 0x84, 0x86, 0xAD


@dataclass(slots=True)
class Emitter:
    """Emits the code of one function.

    `shared` are the functions that it may call. `unknown` is the block
    that ends the evaluation under way; `words` are the locals of its evidence. `places` are the locals of the
    inputs; without it they are the first parameters.
    """

    code: Code
    inputs: Sequence[Input]
    shared: Shared
    unknown: int = 0
    words: Sequence[int] = ()
    places: Mapping[int, int] | None = None
    _number: int | None = None
    _truth: int | None = None

    def truth(self, node: Bool) -> None:
        """Leave a truth on the stack."""
        code = self.code
        match node:
            case Truth(value):
                code.i32(int(value))
            case Compare(op, left, right):
                self.number(left)
                self.number(right)
                code.op(COMPARISONS[op])
            case Not(part):
                self.truth(part)
                code.op(I32_EQZ)
            case Every(parts):
                self._chain(parts, is_and=True)
            case Some(parts):
                self._chain(parts, is_and=False)
            case Choice(condition, first, second):
                self.truth(condition)
                code.if_(I32)
                self.truth(first)
                code.else_()
                self.truth(second)
                code.end()
            case Atom(index, test):
                self._atom(index, test)
            case Guarded(inputs, body):
                self._guard(inputs)
                self.truth(body)
            case _:
                assert_never(node)

    def number(self, node: Num) -> None:
        """Leave a number on the stack."""
        code = self.code
        match node:
            case Const(value):
                code.f64(value)
            case Load(index):
                code.get(self.place(index))
            case Arith(op, args):
                for arg in args:
                    self.number(arg)
                if op == "%" and self.shared.remainder is not None:
                    code.op(0x10, unsigned(self.shared.remainder))
                    code.instructions += REMAINDER_COST - 1
                else:
                    code.op(ARITHMETIC[op])
            case Checked(value):
                self._checked(value)
            case Select(condition, first, second):
                self.truth(condition)
                code.if_(F64)
                self.number(first)
                code.else_()
                self.number(second)
                code.end()
            case GuardedNumber(inputs, body):
                self._guard(inputs)
                self.number(body)
            case _:
                assert_never(node)

    def _chain(self, parts: Sequence[Bool], *, is_and: bool) -> None:
        """Evaluate parts until one settles the matter.

        block (result i32)   <part> <part> and   i32.const 0   <part> eqz br_if   ... drop <part>   end
        """
        code = self.code
        groups = _grouped(parts)
        if len(groups) == 1:
            self._eager(groups[0], is_and=is_and)
        elif len(groups) == 2:
            self._eager(groups[0], is_and=is_and)
            code.if_(I32)
            if is_and:
                self._eager(groups[1], is_and=True)
                code.else_()
                code.i32(0)
            else:
                code.i32(1)
                code.else_()
                self._eager(groups[1], is_and=False)
            code.end()
        else:
            target = code.block(I32)
            code.i32(int(not is_and))
            for group in groups[:-1]:
                self._eager(group, is_and=is_and)
                if is_and:
                    code.op(I32_EQZ)
                code.br_if(target)
            code.op(0x1A)  # drop
            self._eager(groups[-1], is_and=is_and)
            code.end()

    def _eager(self, parts: Sequence[Bool], *, is_and: bool) -> None:
        self.truth(parts[0])
        for part in parts[1:]:
            self.truth(part)
            self.code.op(I32_AND if is_and else I32_OR)

    def _atom(self, index: int, test: Bool) -> None:
        """Evaluate an atom; where it may end as UNKNOWN its read bit is set before."""
        code = self.code
        word, bit = self.words[index // ATOMS_A_WORD], 2 * (index % ATOMS_A_WORD)
        is_early = may_end(test)
        if is_early:
            self._collect(word, 1 << bit)
        self.truth(test)
        if self._truth is None:
            self._truth = code.local(I32)
        code.tee(self._truth)
        code.op(EXTEND)
        code.i64(bit + 1)
        code.op(I64_SHL)
        code.get(word)
        code.op(I64_OR)
        if not is_early:
            code.i64(1 << bit)
            code.op(I64_OR)
        code.set(word)
        code.get(self._truth)

    def _collect(self, word: int, bits: int) -> None:
        self.code.get(word)
        self.code.i64(bits)
        self.code.op(I64_OR)
        self.code.set(word)

    def _guard(self, inputs: Sequence[int]) -> None:
        """Leave as UNKNOWN unless the inputs are finite and in their ranges."""
        for index in inputs:
            self._test_input(index)
            self.code.br_if(self.unknown)

    def _test_input(self, index: int) -> None:
        """Push 1 where the input cannot be used. A comparison with NaN is false, so two bounds are enough."""
        code, low, high = self.code, self.inputs[index].low, self.inputs[index].high
        place = self.place(index)
        if low is not None and high is not None:
            code.get(place)
            code.f64(low)
            code.op(COMPARISONS[">="])
            code.get(place)
            code.f64(high)
            code.op(COMPARISONS["<="])
            code.op(I32_AND)
            code.op(I32_EQZ)
            return
        self._test_finite(place)
        for bound, op in ((low, "<"), (high, ">")):
            if bound is not None:
                code.get(place)
                code.f64(bound)
                code.op(COMPARISONS[op])
                code.op(I32_OR)

    def place(self, index: int) -> int:
        """Give the local of an input."""
        return index if self.places is None else self.places[index]

    def _test_finite(self, local: int) -> None:
        """Push 1 where a local is NaN or infinite."""
        code = self.code
        if self.shared.not_finite is not None:
            code.get(local)
            code.op(0x10, unsigned(self.shared.not_finite))
            code.instructions += NOT_FINITE_COST - 1
            return
        for _ in range(2):
            code.get(local)
            code.get(local)
            code.op(ARITHMETIC["-"])
        code.op(COMPARISONS["!="])

    def _checked(self, value: Num) -> None:
        code = self.code
        self.number(value)
        if self._number is None:
            self._number = code.local(F64)
        code.set(self._number)
        self._test_finite(self._number)
        code.br_if(self.unknown)
        code.get(self._number)


def _grouped(parts: Sequence[Bool]) -> list[list[Bool]]:
    """Put a plain part to the part before it: it costs less than a branch."""
    groups: list[list[Bool]] = []
    for part in parts:
        if groups and len(groups[-1]) < 4 and is_plain(part):
            groups[-1].append(part)
        else:
            groups.append([part])
    return groups
