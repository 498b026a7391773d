"""The functions of a module that its others call: whether a number is finite, and the remainder.

Theory of operation of the remainder. Let x = m 2^e and y = n 2^f with whole m, n below 2^53, where e and f
are at least as small numbers have them. Where e < f, |x| < |y| and x is left. Else m is brought below n, then
multiplied by at most 2^11, which fits a word, and brought below n again, until e has come down to f: 186
times at most. What is left is m 2^f, exactly, with the sign of x.

References:
    ISO C (1999), 7.12.10.1: the remainder that `fmod` gives is exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ripstop.backends.edge.inputs import Input
from ripstop.backends.edge.nodes import Arith, Bool, Checked, Guarded, GuardedNumber, walk
from ripstop.backends.wasm.encoding import F64, I32, I64, Code, function_type

WORTH_A_FUNCTION = 4
NOT_FINITE_COST = 9  # instructions of the function, with its call
_SHIFT, _STEPS = 11, 186  # 186 * 11 is more than 2046 - 1, the greatest difference of exponents


@dataclass(frozen=True, slots=True)
class Shared:
    """The numbers of the functions that others call; None where a module has none."""

    not_finite: int | None = None
    remainder: int | None = None


def not_finite() -> tuple[bytes, Code]:
    """Write the function that tells whether its argument is NaN or infinite."""
    code = Code(1)
    for _ in range(2):
        code.get(0)
        code.get(0)
        code.op(0xA1)  # f64.sub
    code.op(0x62)  # f64.ne
    return function_type([F64], [I32]), code


def remainder() -> tuple[bytes, Code]:
    """Write the function that gives the remainder of finite numbers; NaN by zero."""
    code = Code(2)
    (e, m), (f, n) = (_taken_apart(code, number) for number in (0, 1))
    code.get(n)
    code.op(0x50)  # i64.eqz
    code.if_()
    for _ in range(2):
        code.get(1)
    code.op(0xA3)  # f64.div
    code.op(0x0F)  # return
    code.end()
    code.get(e)
    code.get(f)
    code.op(0x53)  # i64.lt_s
    code.if_()
    code.get(0)
    code.op(0x0F)
    code.end()
    _below(code, m, n)
    shift = code.local(I64)

    def step(done: int) -> None:
        code.get(e)
        code.get(f)
        code.op(0x51)  # i64.eq
        code.br_if(done)
        code.get(e)
        code.get(f)
        code.op(0x7D)  # i64.sub
        code.tee(shift)
        code.i64(_SHIFT)
        code.get(shift)
        code.i64(_SHIFT)
        code.op(0x53)
        code.op(0x1B)  # select
        code.set(shift)
        code.get(e)
        code.get(shift)
        code.op(0x7D)
        code.set(e)
        code.get(m)
        code.get(shift)
        code.op(0x86)  # i64.shl
        code.set(m)
        _below(code, m, n)

    code.repeat(_STEPS, step)
    code.get(m)
    code.op(0xB9)  # f64.convert_i64_s
    code.get(1)
    code.op(0x99)  # f64.abs
    code.get(n)
    code.op(0xB9)
    code.op(0xA3)  # 2^f: all three are exact
    code.op(0xA2)  # f64.mul
    code.get(0)
    code.op(0xA6)  # f64.copysign
    return function_type([F64, F64], [F64]), code


def _taken_apart(code: Code, number: int) -> tuple[int, int]:
    """Set locals to a number's exponent, one at least, and to its whole part."""
    exponent, whole, bits = code.local(I64), code.local(I64), code.local(I64)
    code.get(number)
    code.op(0xBD)  # i64.reinterpret_f64
    code.tee(bits)
    code.i64(52)
    code.op(0x88)  # i64.shr_u
    code.i64(0x7FF)
    code.op(0x83)  # i64.and
    code.set(exponent)
    code.get(bits)
    code.i64(2**52 - 1)
    code.op(0x83)
    code.get(exponent)
    code.op(0x50)
    code.op(0x45)  # i32.eqz
    code.op(0xAD)  # i64.extend_i32_u
    code.i64(52)
    code.op(0x86)
    code.op(0x84)  # i64.or
    code.set(whole)
    code.get(exponent)
    code.get(exponent)
    code.op(0x50)
    code.op(0xAD)
    code.op(0x7C)  # i64.add
    code.set(exponent)
    return exponent, whole


def _below(code: Code, m: int, n: int) -> None:
    code.get(m)
    code.get(n)
    code.op(0x82)  # i64.rem_u
    code.set(m)


REMAINDER_COST = remainder()[1].instructions + 1


def checks_in(conditions: Iterable[tuple[Sequence[Bool], Sequence[Input]]]) -> int:
    """Count the checks that `not_finite` could make in conditions over inputs."""
    count = 0
    for roots, inputs in conditions:
        for node in (node for root in roots for node in walk(root)):
            if isinstance(node, Guarded | GuardedNumber):
                count += sum(inputs[index].low is None or inputs[index].high is None for index in node.inputs)
            count += isinstance(node, Checked)
    return count


def has_remainder(conditions: Iterable[tuple[Sequence[Bool], Sequence[Input]]]) -> bool:
    """Whether conditions need the remainder."""
    nodes = (node for roots, _ in conditions for root in roots for node in walk(root))
    return any(isinstance(node, Arith) and node.op == "%" for node in nodes)
