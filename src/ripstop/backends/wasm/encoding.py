"""The bytes of a WebAssembly module: numbers, sections, and code that counts its instructions.

References:
    WebAssembly Core Specification 2.0, chapter 5 (binary format).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

I32, I64, F64 = 0x7F, 0x7E, 0x7C
VOID = 0x40
_FREE = frozenset((0x02, 0x05, 0x0B))  # block, else, end: no engine charges for them


def unsigned(value: int) -> bytes:
    """Encode an unsigned LEB128 number."""
    out = bytearray()
    while True:
        low, value = value & 0x7F, value >> 7
        out.append(low | 0x80 if value else low)
        if not value:
            return bytes(out)


def signed(value: int) -> bytes:
    """Encode a signed LEB128 number."""
    out = bytearray()
    while True:
        low, value = value & 0x7F, value >> 7
        is_last = (value == 0 and not low & 0x40) or (value == -1 and low & 0x40)
        out.append(low if is_last else low | 0x80)
        if is_last:
            return bytes(out)


def vector(items: Iterable[bytes]) -> bytes:
    """Encode a vector."""
    made = list(items)
    return unsigned(len(made)) + b"".join(made)


def sized(content: bytes) -> bytes:
    """Put the size before some bytes."""
    return unsigned(len(content)) + content


def name_bytes(text: str) -> bytes:
    """Encode a name."""
    return sized(text.encode("utf-8", "replace"))


def section(number: int, content: bytes) -> bytes:
    """Encode a section."""
    return bytes((number,)) + sized(content)


def function_type(parameters: Sequence[int], results: Sequence[int]) -> bytes:
    """Encode the type of a function."""
    return b"\x60" + sized(bytes(parameters)) + sized(bytes(results))


@dataclass(slots=True)
class Code:
    """A function's body in the making.

    `instructions` counts every instruction that an engine may charge for, those of called functions with
    them, those of a loop as often as it may run: the count bounds any run.
    """

    parameters: int
    out: bytearray = field(default_factory=bytearray)
    instructions: int = 0
    depth: int = 0
    locals: list[int] = field(default_factory=list)

    def op(self, opcode: int, operand: bytes = b"") -> None:
        """Add an instruction."""
        self.out.append(opcode)
        self.out += operand
        self.instructions += opcode not in _FREE

    def local(self, kind: int) -> int:
        """Make a local variable; it starts as zero."""
        self.locals.append(kind)
        return self.parameters + len(self.locals) - 1

    def get(self, local: int) -> None:
        """Push a local."""
        self.op(0x20, unsigned(local))

    def set(self, local: int) -> None:
        """Pop into a local."""
        self.op(0x21, unsigned(local))

    def tee(self, local: int) -> None:
        """Copy the top into a local."""
        self.op(0x22, unsigned(local))

    def i32(self, value: int) -> None:
        """Push an i32."""
        self.op(0x41, signed(value))

    def i64(self, value: int) -> None:
        """Push an i64, signed or as 64 bits; one bit far up is written as a shift, which is shorter."""
        value -= (value >= 2**63) << 64
        written = signed(value)
        top = (value & (2**64 - 1)).bit_length() - 1
        if len(written) > 4 and value & (2**64 - 1) == 1 << top:
            self.op(0x42, b"\x01")
            self.op(0x42, signed(top))
            self.op(0x86)
        else:
            self.op(0x42, written)

    def f64(self, value: float) -> None:
        """Push an f64, in the shortest way that gives it exactly."""
        if value.is_integer() and abs(value) < 2**27:
            self.i32(int(value))
            self.op(0xB7)  # f64.convert_i32_s
        elif _fits_single(value):
            self.op(0x43, struct.pack("<f", value))
            self.op(0xBB)  # f64.promote_f32
        else:
            self.op(0x44, struct.pack("<d", value))

    def block(self, kind: int = VOID) -> int:
        """Open a block and give its depth, for `br`."""
        self.op(0x02, bytes((kind,)))
        self.depth += 1
        return self.depth

    def repeat(self, most: int, body: Callable[[int], None]) -> None:
        """Run a body `most` times; it is handed the block to leave before.

        block   counter = most   loop   <body>   counter - 1   tee counter   br_if   end   end
        """
        counter = self.local(I32)
        target = self.block()
        self.i32(most)
        self.set(counter)
        before = self.instructions
        self.op(0x03, bytes((VOID,)))
        self.depth += 1
        again = self.depth
        body(target)
        self.get(counter)
        self.i32(1)
        self.op(0x6B)  # i32.sub
        self.tee(counter)
        self.br_if(again)
        self.end()
        self.end()
        self.instructions += (most - 1) * (self.instructions - before)

    def load(self, opcode: int, offset: int) -> None:
        """Load from the address on the stack, which may be anything."""
        self.op(opcode, b"\0" + unsigned(offset))

    def if_(self, kind: int = VOID) -> None:
        """Open an `if`."""
        self.op(0x04, bytes((kind,)))
        self.depth += 1

    def else_(self) -> None:
        """Go on with the other side."""
        self.op(0x05)

    def end(self) -> None:
        """Close a block or an `if`."""
        self.op(0x0B)
        self.depth -= 1

    def br(self, target: int) -> None:
        """Leave the block of that depth."""
        self.op(0x0C, unsigned(self.depth - target))

    def br_if(self, target: int) -> None:
        """Leave the block of that depth if the top is not zero."""
        self.op(0x0D, unsigned(self.depth - target))

    def body(self) -> bytes:
        """Give the finished body, as the code section wants it."""
        groups: list[tuple[int, int]] = []
        for kind in self.locals:
            if groups and groups[-1][1] == kind:
                groups[-1] = (groups[-1][0] + 1, kind)
            else:
                groups.append((1, kind))
        written = vector(unsigned(count) + bytes((kind,)) for count, kind in groups)
        return sized(written + bytes(self.out) + b"\x0b")


def _fits_single(value: float) -> bool:
    try:
        return bool(struct.unpack("<f", struct.pack("<f", value))[0] == value)
    except OverflowError:
        return False
