"""What a module holds beside decisions where its policies remember: a memory, and functions that move it on.

    address   0         16      16 + n     24 + n                         n: how many bytes the state has
              digest    state   checksum   the same again: for `restore`, and to look ahead on a copy

    observe(t_us i64, sampled i64..., f64...) -> i64   samples of one moment; how many of them were late
    commit_<action>(t_us i64, f64...) -> i64           1, or 0 where a budget leaves no room
    save() -> i32                                      the snapshot's bytes lie at 0; how many they are
    restore() -> i32                                   takes the snapshot at 24 + n; 0 where it is none
    start()                                            forgets everything; also done when it is instantiated

INVARIANT: no function of the module grows the memory, and no address depends on what comes in from outside:
the places of rings are checked by `restore`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ripstop.backends.edge.memory import LIMIT_US, Memory
from ripstop.backends.edge.snapshots import (
    DIGEST_BYTES,
    POLYNOMIAL,
    digest_of,
    greatest_indices,
    snapshot_bytes,
)
from ripstop.backends.edge.spending import Remembering
from ripstop.backends.edge.steps import Routine
from ripstop.backends.wasm.emit import I64_AND, Emitter
from ripstop.backends.wasm.encoding import F64, I32, I64, Code, function_type, sized, unsigned, vector
from ripstop.backends.wasm.shared import Shared
from ripstop.backends.wasm.steps import (
    I32_ADD,
    I64_SHR_U,
    LOAD_I64,
    LOAD_U8,
    LOAD_U16,
    RELATIONS,
    STORE_I64,
    Built,
    WasmSteps,
)
from ripstop.policy.state_reading import NEVER_US

STATE = DIGEST_BYTES
_PAGE = 65536
_I64_XOR = 0x85
_TOP, _LIMIT = 0xFFFFFFFF, 2 * LIMIT_US


@dataclass(slots=True)
class Functions:
    """The functions of a module in the making: their types, bodies and names."""

    types: list[bytes] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    exports: dict[str, int] = field(default_factory=dict)

    def add(self, kind: bytes, body: bytes) -> int:
        """Add a function and give its number."""
        if kind not in self.types:
            self.types.append(kind)
        self.kinds.append(self.types.index(kind))
        self.bodies.append(body)
        return len(self.bodies) - 1


def inbox(memory: Memory) -> int:
    """Give the address at which `restore` takes a snapshot."""
    return snapshot_bytes(memory)


def pages(memory: Memory) -> int:
    """Give how many pages of 64 KiB the memory has."""
    return -(-2 * snapshot_bytes(memory) // _PAGE)


def memory_section(memory: Memory) -> bytes:
    """Declare a memory that does not grow."""
    return vector([b"\x01" + unsigned(pages(memory)) * 2])


def data_section(memory: Memory) -> bytes:
    """Put the digest at address 0."""
    return vector([b"\0\x41\0\x0b" + sized(digest_of(memory))])


def add_routines(functions: Functions, remembering: Remembering, shared: Shared) -> dict[str, Built]:
    """Add everything that moves the memory on; give what was built, by name."""
    built: dict[str, Built] = {}
    for made in (*remembering.internal, *remembering.public):
        is_public = made in remembering.public
        code, kind = _routine(made, remembering.memory, built, shared, is_public=is_public)
        number = functions.add(kind, code.body())
        built[made.name] = Built(number, code.instructions + 1)
        if is_public:
            functions.exports[made.name] = number
    for name, code in (("save", _save(remembering.memory)), ("restore", _restore(remembering.memory))):
        functions.exports[name] = functions.add(function_type([], [I32]), code.body())
        built[name] = Built(functions.exports[name], code.instructions + 1)
    return built


def _routine(
    made: Routine, memory: Memory, built: Mapping[str, Built], shared: Shared, *, is_public: bool
) -> tuple[Code, bytes]:
    wholes = [*made.parameters, *(memory.words if made.takes_samples else ())]
    loads = memory.samples if made.takes_samples else tuple(range(len(made.costs)))
    parameters = [*([] if is_public else [I32]), *[I64] * len(wholes), *[F64] * len(loads)]
    first = 0 if is_public else 1
    code = Code(len(parameters))
    places = {load: first + len(wholes) + index for index, load in enumerate(loads)}
    m = code.local(I32) if is_public else 0
    if is_public:
        code.i32(STATE)
        code.set(m)
    emitter = Emitter(code, memory.inputs, shared, places=places)
    names = {name: first + index for index, name in enumerate(wholes)}
    steps = WasmSteps(emitter, memory.whole, m, built, inbox(memory) + STATE, names, places)
    steps.all(made.body)
    return code, function_type(parameters, [I64] if made.returns else [])


# ---- snapshots --------------------------------------------------------------------------------------------


def _checksum(code: Code, first: int, words: int) -> None:
    """Push the CRC-32 of some words, bit by bit: the low half of `x` takes each word in."""
    at, x = code.local(I32), code.local(I64)
    code.i64(_TOP)
    code.set(x)
    code.i32(0)
    code.set(at)

    def bit(_: int) -> None:
        code.get(x)
        code.i64(1)
        code.op(I64_SHR_U)
        code.i64(0)
        code.get(x)
        code.i64(1)
        code.op(I64_AND)
        code.op(0x7D)  # i64.sub: all bits, or none
        code.i64(POLYNOMIAL)
        code.op(I64_AND)
        code.op(_I64_XOR)
        code.set(x)

    def word(_: int) -> None:
        code.get(x)
        code.get(at)
        code.load(LOAD_I64, first)
        code.op(_I64_XOR)
        code.set(x)
        code.repeat(64, bit)
        _step(code, at, 8)

    code.repeat(words, word)
    code.get(x)
    code.i64(_TOP)
    code.op(_I64_XOR)


def _step(code: Code, local: int, by: int) -> None:
    code.get(local)
    code.i32(by)
    code.op(I32_ADD)
    code.set(local)


def _save(memory: Memory) -> Code:
    code, size = Code(0), snapshot_bytes(memory)
    code.i32(size - 8)
    _checksum(code, 0, size // 8 - 1)
    code.load(STORE_I64, 0)
    code.i32(size)
    return code


def _restore(memory: Memory) -> Code:
    """Look at everything, then copy."""
    code, size, box = Code(0), snapshot_bytes(memory), inbox(memory)
    at = code.local(I32)

    for offset in range(0, DIGEST_BYTES, 8):
        code.i32(0)
        code.load(LOAD_I64, offset)
        code.i32(0)
        code.load(LOAD_I64, box + offset)
        code.op(RELATIONS["!="])
        _refuse_if(code)
    _checksum(code, box, size // 8 - 1)
    code.i32(0)
    code.load(LOAD_I64, box + size - 8)
    code.op(RELATIONS["!="])
    _refuse_if(code)

    _refuse_malformed(code, memory, at)

    def word(_: int) -> None:
        code.get(at)
        code.get(at)
        code.load(LOAD_I64, box + STATE)
        code.load(STORE_I64, STATE)
        _step(code, at, 8)

    code.i32(0)
    code.set(at)
    code.repeat(memory.whole.size_bytes // 8, word)
    code.i32(1)
    return code


def _refuse_if(code: Code) -> None:
    """Return 0 if the top says so."""
    code.if_()
    code.i32(0)
    code.op(0x0F)  # return
    code.end()


def _refuse_malformed(code: Code, memory: Memory, at: int) -> None:
    """Look at the moments, the places in rings and the truths of what came in."""
    whole, state = memory.whole, inbox(memory) + STATE

    def moment(_: int) -> None:
        for bound, op in ((-_LIMIT, "<"), (_LIMIT, ">")):
            code.get(at)
            code.load(LOAD_I64, state)
            code.i64(bound)
            code.op(RELATIONS[op])
        code.op(0x72)  # i32.or
        code.get(at)
        code.load(LOAD_I64, state)
        code.i64(NEVER_US)
        code.op(RELATIONS["!="])
        code.op(0x71)  # i32.and
        _refuse_if(code)
        _step(code, at, 8)

    code.repeat(whole.moments, moment)
    indices = state + 8 * (whole.moments + whole.numbers)
    for number, greatest in enumerate(greatest_indices(memory)):
        code.i32(0)
        code.load(LOAD_U16, indices + 2 * number)
        code.i64(greatest)
        code.op(RELATIONS[">"])
        _refuse_if(code)
    for number in range(whole.truths):
        code.i32(0)
        code.load(LOAD_U8, indices + 2 * whole.indices + number)
        code.i64(2)
        code.op(RELATIONS[">"])
        _refuse_if(code)
