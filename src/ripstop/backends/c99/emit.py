"""From nodes to C: expressions where nothing can go wrong, statements with jumps where something can.

An expression that can end as UNKNOWN, or that takes evidence, becomes statements: `goto unknown_0` leaves a
policy. No loop, no heap, no recursion, no static data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, assert_never

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
    Node,
    Not,
    Num,
    Select,
    Some,
    Truth,
    walk,
)

ATOMS_A_WORD = 16  # a word has 32 bits, which is what small processors like

ARITHMETIC: Mapping[str, Callable[..., str]] = {
    "+": "({} + {})".format,
    "-": "({} - {})".format,
    "*": "({} * {})".format,
    "/": "({} / {})".format,
    "%": "fmod({}, {})".format,
    "min": "ripstop_min({}, {})".format,
    "max": "ripstop_max({}, {})".format,
    "neg": "(-{})".format,
    "abs": "ripstop_abs({})".format,
}
COMPARISONS = ("==", "!=", "<", ">", "<=", ">=")
_Emit: TypeAlias = "Callable[[], str]"


def literal(value: float) -> str:
    """Write a number so that C reads the same one."""
    text = repr(value)
    return f"({text})" if value < 0 else text


def bare(text: str) -> str:
    """Take away parentheses around the whole of an expression: compilers wonder about them."""
    depth = 0
    for index, each in enumerate(text):
        depth += (each == "(") - (each == ")")
        if depth == 0:
            return bare(text[1:-1]) if index == len(text) - 1 and text[0] == "(" else text
    return text


def is_expression(node: Node) -> bool:
    """Whether C can say it as an expression: it cannot end as UNKNOWN and takes no evidence."""
    return not any(isinstance(each, Guarded | GuardedNumber | Checked | Atom) for each in walk(node))


@dataclass(slots=True)
class CEmitter:
    """Emits the statements of one function.

    `fields` are the C expressions of the inputs, `words` the evidence words of the policy under way,
    `unknown` the label that ends its evaluation (it is `used` once something jumps there).
    """

    inputs: Sequence[Input]
    fields: Sequence[str]
    words: Sequence[str] = ()
    unknown: str = "unknown"
    used: set[str] = field(default_factory=set)
    lines: list[str] = field(default_factory=list)
    depth: int = 1
    numbers: int = 0
    truths: int = 0

    def line(self, text: str) -> None:
        """Add a line."""
        self.lines.append("    " * self.depth + text)

    def truth(self, node: Bool) -> str:
        """Give the C expression of a truth, after the statements that it needs."""
        match node:
            case Truth(value):
                return str(int(value))
            case Compare(op, left, right):
                first = self.number(left)
                return f"({first} {op} {self.number(right)})"
            case Not(part):
                return f"!{self.truth(part)}"
            case Every(parts) | Some(parts):
                return self._chain(parts, is_and=isinstance(node, Every))
            case Choice(condition, first, second):
                if is_expression(first) and is_expression(second):
                    return f"({self.truth(condition)} ? {self.truth(first)} : {self.truth(second)})"
                return self._either(
                    condition, lambda: self.truth(first), lambda: self.truth(second), self._new_truth()
                )
            case Atom(index, test):
                return self._atom(index, test)
            case Guarded(inputs, body):
                self._guard(inputs)
                return self.truth(body)
            case _:
                assert_never(node)

    def number(self, node: Num) -> str:
        """Give the C expression of a number, after the statements that it needs."""
        match node:
            case Const(value):
                return literal(value)
            case Load(index):
                return self.fields[index]
            case Arith(op, args):
                return ARITHMETIC[op](*[self.number(arg) for arg in args])
            case Checked(value):
                made = self._new_number()
                self.line(f"{made} = {self.number(value)};")
                self._leave_unless(f"ripstop_is_finite({made})")
                return made
            case Select(condition, first, second):
                if is_expression(first) and is_expression(second):
                    return f"({self.truth(condition)} ? {self.number(first)} : {self.number(second)})"
                return self._either(
                    condition, lambda: self.number(first), lambda: self.number(second), self._new_number()
                )
            case GuardedNumber(inputs, body):
                self._guard(inputs)
                return self.number(body)
            case _:
                assert_never(node)

    def _chain(self, parts: Sequence[Bool], *, is_and: bool) -> str:
        if all(map(is_expression, parts)):
            return f"({(' && ' if is_and else ' || ').join(map(self.truth, parts))})"
        made = self._new_truth()
        self.line(f"{made} = {self.truth(parts[0])};")
        for part in parts[1:]:
            self.line(f"if ({made if is_and else '!' + made}) {{")
            self.depth += 1
            self.line(f"{made} = {self.truth(part)};")
            self.depth -= 1
            self.line("}")
        return made

    def _either(self, condition: Bool, first: _Emit, second: _Emit, made: str) -> str:
        self.line(f"if ({bare(self.truth(condition))}) {{")
        self.depth += 1
        self.line(f"{made} = {first()};")
        self.depth -= 1
        self.line("} else {")
        self.depth += 1
        self.line(f"{made} = {second()};")
        self.depth -= 1
        self.line("}")
        return made

    def _atom(self, index: int, test: Bool) -> str:
        word, bit = self.words[index // ATOMS_A_WORD], 2 * (index % ATOMS_A_WORD)
        self.line(f"{word} |= 0x{1 << bit:x}u;")
        made = self._new_truth()
        self.line(f"{made} = {self.truth(test)};")
        self.line(f"if ({made}) {{ {word} |= 0x{2 << bit:x}u; }}")
        return made

    def _guard(self, inputs: Sequence[int]) -> None:
        for index in inputs:
            low, high, value = self.inputs[index].low, self.inputs[index].high, self.fields[index]
            if low is None or high is None:
                self._leave_unless(f"ripstop_is_finite({value})")
            # a comparison with NaN is false
            bounds = [f"{value} >= {literal(low)}"] if low is not None else []
            bounds += [f"{value} <= {literal(high)}"] if high is not None else []
            if bounds:
                self._leave_unless(" && ".join(bounds))

    def _leave_unless(self, test: str) -> None:
        self.used.add(self.unknown)
        self.line(f"if (!({test})) {{ goto {self.unknown}; }}")

    def _new_truth(self) -> str:
        self.truths += 1
        return f"b{self.truths}"

    def _new_number(self) -> str:
        self.numbers += 1
        return f"d{self.numbers}"

    def declarations(self) -> list[str]:
        """Declare the variables."""
        lines = [f"    int b{number} = 0;" for number in range(1, self.truths + 1)]
        return lines + [f"    double d{number} = 0.0;" for number in range(1, self.numbers + 1)]
