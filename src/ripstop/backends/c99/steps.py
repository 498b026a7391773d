"""Steps over the memory as C: `m` is the state, a structure of four arrays that the caller owns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import assert_never

from ripstop.backends.c99.emit import CEmitter, bare
from ripstop.backends.edge.memory import Memory
from ripstop.backends.edge.steps import (
    Asked,
    Binary,
    Both,
    Call,
    Converted,
    Either,
    Fork,
    Half,
    If,
    Index,
    Judge,
    Kept,
    Leave,
    Local,
    Mark,
    Moment,
    Nothing,
    NumberExpr,
    Put,
    PutNumber,
    Rel,
    Repeat,
    Return,
    Routine,
    Says,
    Set,
    SetNumber,
    Statement,
    Test,
    Whole,
    WholeExpr,
)
from ripstop.backends.edge.tracking import READING
from ripstop.policy.layout import Part

NARROW_SIGNALS = 32  # so many fit a mask of 32 bits, which is what small processors like


def structure(prefix: str, memory: Memory) -> str:
    """Declare the state."""
    whole = memory.whole
    truths = whole.size_bytes - Part(whole.moments, whole.numbers).size_bytes - 2 * whole.indices
    arrays = [
        ("int64_t moments", whole.moments),
        ("double numbers", whole.numbers),
        ("uint16_t indices", whole.indices),
        ("uint8_t truths", truths),
    ]
    lines = [f"    {name}[{count}];" for name, count in arrays if count]
    size = whole.size_bytes
    about = f"/* What the policies remember: {size} bytes, yours to keep, the functions' to read. */"
    return "\n".join([about, "typedef struct {", *lines, f"}} {prefix}_state;", ""])


def mask_type(memory: Memory) -> str:
    """Give the type of the parameters that say which signals are new."""
    return "uint32_t" if len(memory.signals) <= NARROW_SIGNALS else "uint64_t"


@dataclass(slots=True)
class CSteps:
    """Emits steps into a function; `emitter` has its lines."""

    emitter: CEmitter
    prefix: str
    names: set[str] = field(default_factory=set)
    loads: set[int] = field(default_factory=set)
    loops: int = 0
    judged: int = 0
    is_forked: bool = False

    def all(self, statements: Sequence[Statement]) -> None:
        """Emit statements."""
        for each in statements:
            self.one(each)

    def one(self, statement: Statement) -> None:
        """Emit a statement."""
        line = self.emitter.line
        match statement:
            case Set(name, value):
                self.names.add(name)
                line(f"{name} = {bare(self.whole(value))};")
            case SetNumber(load, number):
                self.loads.add(load)
                line(f"{self.emitter.fields[load]} = {self._number(number)};")
            case Put(Moment() as cell, value):
                line(f"{self.whole(cell)} = {bare(self.whole(value))};")
            case Put(cell, value):
                kind = "uint16_t" if isinstance(cell, Index) else "uint8_t"
                line(f"{self.whole(cell)} = ({kind})({bare(self.whole(value))});")
            case PutNumber(index, number):
                line(f"m->numbers[{index}] = {self._number(number)};")
            case Judge(name, _):
                self._judge(name, statement)
            case If(test, then, other):
                self._if(test, then, other)
            case Repeat(most, body):
                self.loops += 1
                name = f"i{self.loops}"
                line(f"for (int {name} = 0; {name} < {most}; {name}++) {{")
                self._inside(body)
                line("}")
            case Leave():
                line("break;")
            case Call(routine, args, name):
                self._call(routine, args, name)
            case Fork():
                self.is_forked = True
                line("later = *m;")
                line("m = &later;")
            case Return(value):
                line("return;" if value is None else f"return {bare(self.whole(value))};")
            case _:
                assert_never(statement)

    def _inside(self, statements: Sequence[Statement]) -> None:
        self.emitter.depth += 1
        self.all(statements)
        self.emitter.depth -= 1

    def _if(self, test: Test, then: Sequence[Statement], other: Sequence[Statement]) -> None:
        line = self.emitter.line
        line(f"if ({bare(self.test(test)) if then else '!' + self.test(test)}) {{")
        self._inside(then or other)
        if then and other:
            line("} else {")
            self._inside(other)
        line("}")

    def _judge(self, name: str, judged: Judge) -> None:
        """Evaluate a condition; what leaves it as UNKNOWN sets 2."""
        emitter, label = self.emitter, f"unknown_{self.judged}"
        self.judged += 1
        self.names.add(name)
        emitter.unknown = label
        emitter.line(f"{name} = {emitter.truth(judged.node)};")
        if label in emitter.used:
            emitter.line("if (0) {")
            emitter.lines.append(f"{label}:")
            emitter.line(f"    {name} = 2;")
            emitter.line("}")

    def _call(self, routine: str, args: Sequence[WholeExpr], name: str) -> None:
        memory = "&later" if self.is_forked and routine not in READING else "m"  # `m` points to const
        call = f"{self.prefix}_{routine}({', '.join([memory, *(bare(self.whole(arg)) for arg in args)])});"
        if name:
            self.names.add(name)
        self.emitter.line(f"{name} = {call}" if name else call)

    def whole(self, value: WholeExpr) -> str:
        """Give the C expression of a whole number."""
        match value:
            case Whole(number):
                if -(2**31) < number < 2**31:
                    return f"({number})" if number < 0 else str(number)
                return "INT64_MIN" if number == -(2**63) else f"INT64_C({number})"
            case Local(name):
                return name
            case Moment(index):
                return f"m->moments[{bare(self.whole(index))}]"
            case Index(place):
                return f"m->indices[{place}]"
            case Mark(place):
                return f"m->truths[{place}]"
            case Binary(op, left, right):
                return f"({self.whole(left)} {op} {self.whole(right)})"
            case Half(of):
                return f"({self.whole(of)} / 2)"
            case _:
                assert_never(value)

    def test(self, test: Test) -> str:
        """Give the C expression of a test."""
        match test:
            case Rel(op, left, right):
                return f"({self.whole(left)} {op} {self.whole(right)})"
            case Both(parts):
                return f"({' && '.join(map(self.test, parts))})"
            case Either(parts):
                return f"({' || '.join(map(self.test, parts))})"
            case Asked():
                return f"(({test.word} >> {test.bit} & 1u) != 0)"
            case Says(node):
                return f"({bare(self.emitter.truth(node))})"
            case _:
                assert_never(test)

    def _number(self, number: NumberExpr) -> str:
        match number:
            case Kept(index):
                return f"m->numbers[{index}]"
            case Converted(of):
                return f"(double){self.whole(of)}"
            case Nothing():
                return "ripstop_nothing()"
            case _:
                return self.emitter.number(number)

    def declarations(self, parameters: Sequence[str] = ()) -> list[str]:
        """Declare what the steps use."""
        lines = [f"    int64_t {name} = 0;" for name in sorted(self.names - set(parameters))]
        lines += [f"    double {self.emitter.fields[load]} = 0.0;" for load in sorted(self.loads)]
        return lines + ([f"    {self.prefix}_state later;"] if self.is_forked else [])


def routine(made: Routine, memory: Memory, prefix: str, fields: Sequence[str], name: str = "") -> str:
    """Write a routine as a C function.

    Args:
        made: the routine.
        memory: what it works on.
        prefix: what its name begins with.
        fields: the names of the samples, by load; or of the costs.
        name: its own name, where it is not the routine's.
    """
    names = [f"n{load}" for load in range(max(len(memory.inputs), len(made.costs)) + 2)]
    parameters = [f"{'' if made.changes else 'const '}{prefix}_state *m"]
    if made.takes_samples:
        parameters += [
            f"const {prefix}_samples *in",
            *(f"{mask_type(memory)} {word}" for word in memory.words),
        ]
        names = [
            f"in->{fields[load]}" if load in memory.samples else f"n{load}" for load in range(len(names))
        ]
    if made.costs:
        names[: len(made.costs)] = fields
    parameters += [f"int64_t {name}" for name in made.parameters]
    parameters += [f"double {name}" for name in names[: len(made.costs)]]
    steps = CSteps(CEmitter(memory.inputs, names), prefix)
    steps.all(made.body)
    kind = "int64_t" if made.returns else "void"
    given = [
        "m",
        *made.parameters,
        *(("in", *memory.words) if made.takes_samples else ()),
        *names[: len(made.costs)],
    ]
    words = set(re.findall(r"\w+", "\n".join(steps.emitter.lines)))
    unused = [f"    (void){each};" for each in given if each not in words]
    return "\n".join(
        [
            f"static inline {kind} {prefix}_{name or made.name}({', '.join(parameters)})",
            "{",
            *steps.emitter.declarations(),
            *steps.declarations(made.parameters),
            *unused,
            *steps.emitter.lines,
            "}",
            "",
        ]
    )
