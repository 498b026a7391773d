"""Steps over the memory as WebAssembly: the local `m` is the address of the state.

The arrays of `policy.layout` lie one behind the other. A variable is an i64 local, a number an f64 local.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import assert_never

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
    Says,
    Set,
    SetNumber,
    Statement,
    Test,
    Whole,
    WholeExpr,
)
from ripstop.backends.wasm.emit import EXTEND, I32_AND, I32_OR, Emitter
from ripstop.backends.wasm.encoding import F64, I32, I64, unsigned
from ripstop.policy.layout import Part

RELATIONS: Mapping[str, int] = {"==": 0x51, "!=": 0x52, "<": 0x53, ">": 0x55, "<=": 0x57, ">=": 0x59}
I64_ADD, I64_SUB, I64_SHR_S, I64_SHR_U, I32_ADD, I32_SHL, I32_WRAP = 0x7C, 0x7D, 0x87, 0x88, 0x6A, 0x74, 0xA7
LOAD_I64, LOAD_F64, LOAD_U8, LOAD_U16 = 0x29, 0x2B, 0x31, 0x33
STORE_I64, STORE_F64, STORE_8, STORE_16 = 0x37, 0x39, 0x3C, 0x3D
CONVERT = 0xB9  # f64.convert_i64_s
NOTHING = b"\0\0\0\0\0\0\xf8\x7f"


@dataclass(frozen=True, slots=True)
class Built:
    """A function of the module: its number, and the most instructions that a call of it takes."""

    number: int
    instructions: int


@dataclass(slots=True)
class WasmSteps:
    """Emits steps into a function.

    `m` is the local that holds the state's address, `built` the routines that can be called, `copy` the
    address of the area for a copy of the state.
    """

    emitter: Emitter
    whole: Part
    m: int
    built: Mapping[str, Built]
    copy: int = 0
    names: dict[str, int] = field(default_factory=dict)
    loads: dict[int, int] = field(default_factory=dict)
    _leave: list[int] = field(default_factory=list)

    def all(self, statements: Sequence[Statement]) -> None:
        """Emit statements."""
        for each in statements:
            self.one(each)

    def one(self, statement: Statement) -> None:
        """Emit a statement."""
        code = self.emitter.code
        match statement:
            case Set(name, value):
                self._push(value)
                code.set(self._local(name))
            case SetNumber(load, number):
                self._number(number)
                code.set(self._load(load))
            case Put(cell, value):
                self._put(cell, value)
            case PutNumber(index, number):
                code.get(self.m)
                self._number(number)
                code.load(STORE_F64, 8 * (self.whole.moments + index))
            case Judge(name, _):
                self._judge(name, statement)
            case If(test, then, other):
                self._if(test, then, other)
            case Repeat(most, body):
                code.repeat(most, lambda target: self._repeated(target, body))
            case Leave():
                code.br(self._leave[-1])
            case Call(routine, args, name):
                self._call(routine, args, name)
            case Fork():
                self._fork()
            case Return(value):
                if value is not None:
                    self._push(value)
                code.op(0x0F)
            case _:
                assert_never(statement)

    def _repeated(self, target: int, body: Sequence[Statement]) -> None:
        self._leave.append(target)
        self.all(body)
        self._leave.pop()

    def _if(self, test: Test, then: Sequence[Statement], other: Sequence[Statement]) -> None:
        code = self.emitter.code
        self._test(test)
        if not then:
            code.op(0x45)  # i32.eqz
        code.if_()
        self.all(then or other)
        if then and other:
            code.else_()
            self.all(other)
        code.end()

    def _judge(self, name: str, judged: Judge) -> None:
        code, place = self.emitter.code, self._local(name)
        end = code.block()
        self.emitter.unknown = code.block()
        self.emitter.truth(judged.node)
        code.op(EXTEND)
        code.set(place)
        code.br(end)
        code.end()
        code.i64(2)
        code.set(place)
        code.end()

    def _call(self, routine: str, args: Sequence[WholeExpr], name: str) -> None:
        code, built = self.emitter.code, self.built[routine]
        code.get(self.m)
        for each in args:
            self._push(each)
        code.op(0x10, unsigned(built.number))
        code.instructions += built.instructions
        if name:
            code.set(self._local(name))

    def _fork(self) -> None:
        """Copy the state, word by word, and go on with the copy."""
        code = self.emitter.code
        words = self.whole.size_bytes // 8
        at = code.local(I32)
        code.i32(0)
        code.set(at)

        def word(target: int) -> None:
            code.get(at)
            code.get(at)
            code.get(self.m)
            code.op(I32_ADD)
            code.load(LOAD_I64, 0)
            code.load(STORE_I64, self.copy)
            code.get(at)
            code.i32(8)
            code.op(I32_ADD)
            code.set(at)

        code.repeat(words, word)
        code.i32(self.copy)
        code.set(self.m)

    def _push(self, value: WholeExpr) -> None:
        """Push a whole number."""
        code = self.emitter.code
        match value:
            case Whole(number):
                code.i64(number)
            case Local(name):
                code.get(self._local(name))
            case Moment(index):
                code.load(LOAD_I64, self._address(index))
            case Index(place):
                code.get(self.m)
                code.load(LOAD_U16, self._offset(indices=place))
            case Mark(place):
                code.get(self.m)
                code.load(LOAD_U8, self._offset(truths=place))
            case Binary(op, left, right):
                self._push(left)
                self._push(right)
                code.op(I64_ADD if op == "+" else I64_SUB)
            case Half(of):
                self._push(of)
                code.i64(1)
                code.op(I64_SHR_S)
            case _:
                assert_never(value)

    def _put(self, cell: Moment | Index | Mark, value: WholeExpr) -> None:
        code = self.emitter.code
        if isinstance(cell, Moment):
            offset, opcode = self._address(cell.index), STORE_I64
        else:
            code.get(self.m)
            is_index = isinstance(cell, Index)
            opcode = STORE_16 if is_index else STORE_8
            offset = self._offset(indices=cell.index) if is_index else self._offset(truths=cell.index)
        self._push(value)
        code.load(opcode, offset)

    def _address(self, index: WholeExpr) -> int:
        """Push the address of a moment, less the offset that comes back."""
        code = self.emitter.code
        code.get(self.m)
        if isinstance(index, Whole):
            return 8 * index.value
        base = 0
        if isinstance(index, Binary) and index.op == "+" and isinstance(index.left, Whole):
            base, index = index.left.value, index.right
        self._push(index)
        code.op(I32_WRAP)
        code.i32(3)
        code.op(I32_SHL)
        code.op(I32_ADD)
        return 8 * base

    def _offset(self, *, indices: int = -1, truths: int = -1) -> int:
        first = 8 * (self.whole.moments + self.whole.numbers)
        return first + 2 * indices if indices >= 0 else first + 2 * self.whole.indices + truths

    def _test(self, test: Test) -> None:
        """Push whether a test holds."""
        code = self.emitter.code
        match test:
            case Rel(op, left, right):
                self._push(left)
                self._push(right)
                code.op(RELATIONS[op])
            case Both(parts) | Either(parts):
                self._test(parts[0])
                for part in parts[1:]:
                    self._test(part)
                    code.op(I32_AND if isinstance(test, Both) else I32_OR)
            case Asked():
                code.get(self.names[test.word])
                code.i64(test.bit)
                code.op(I64_SHR_U)
                code.op(I32_WRAP)
                code.i32(1)
                code.op(I32_AND)
            case Says(node):
                self.emitter.truth(node)
            case _:
                assert_never(test)

    def _number(self, number: NumberExpr) -> None:
        code = self.emitter.code
        match number:
            case Kept(index):
                code.get(self.m)
                code.load(LOAD_F64, 8 * (self.whole.moments + index))
            case Converted(of):
                self._push(of)
                code.op(CONVERT)
            case Nothing():
                code.op(0x44, NOTHING)
            case _:
                self.emitter.number(number)

    def _local(self, name: str) -> int:
        if name not in self.names:
            self.names[name] = self.emitter.code.local(I64)
        return self.names[name]

    def _load(self, load: int) -> int:
        if load not in self.loads:
            self.loads[load] = self.emitter.code.local(F64)
        return self.loads[load]
