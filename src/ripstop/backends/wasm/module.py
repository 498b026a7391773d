"""A WebAssembly module of policies: one function for the verdict, or one for each decision.

    verdict(f64...) -> i32                                  -1 unknown, 0 deny, 2 allow
    decide_<action>(f64...) -> i32, status..., word..., low and high...

The parameters of a function are its inputs, in the order of `EdgeProgram.layout`. A decision gives the
verdict (0 deny, 1 limit, 2 allow), then for each policy its status (i64, see `EdgePolicy`) followed by the
words of its evidence (i64), then for each parameter that can be limited the bounds in force (f64, infinite
where open).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from ripstop.backends.edge.nodes import Checked, Guarded, GuardedNumber, walk
from ripstop.backends.edge.program import UNKNOWN_BIT, EdgePolicy, EdgeProgram
from ripstop.backends.wasm.emit import (
    COMPARISONS,
    EXTEND,
    I32_AND,
    I32_EQZ,
    I64_AND,
    I64_OR,
    I64_SHL,
    Emitter,
    not_finite,
)
from ripstop.backends.wasm.encoding import (
    F64,
    I32,
    I64,
    Code,
    function_type,
    name_bytes,
    section,
    sized,
    unsigned,
    vector,
)
from ripstop.core.canonical import canonical_json

HEADER = b"\0asm\x01\0\0\0"
_WORTH_A_FUNCTION = 4
_WRAP, _SELECT = 0xA7, 0x1B


@dataclass(frozen=True, slots=True)
class WasmFunction:
    """One exported function: the most instructions that a call executes, its results' types."""

    name: str
    program: EdgeProgram
    instructions: int
    results: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class WasmModule:
    """A module's bytes, and its functions by name."""

    code: bytes
    functions: tuple[WasmFunction, ...]


def build_module(programs: Sequence[EdgeProgram], *, described: bool = False) -> WasmModule:
    """Build a module.

    Args:
        programs: what it exports; the same code under two names is written once.
        described: whether a custom section `ripstop` holds the layout of each function as canonical JSON.
    """
    checks = sum(map(_checks, programs))
    checker = 0 if checks >= _WORTH_A_FUNCTION else None
    bodies: list[bytes] = [] if checker is None else [not_finite()]
    types: list[bytes] = [] if checker is None else [function_type([F64], [I32])]
    kinds = [0] * len(bodies)
    made: list[WasmFunction] = []
    exports: list[bytes] = []
    known: dict[tuple[bytes, bytes], int] = {}
    for program in programs:
        code, results = _function(program, checker)
        kind = function_type([F64] * len(program.inputs), results)
        body = code.body()
        index = known.get((kind, body))
        if index is None:
            if kind not in types:
                types.append(kind)
            index = known[kind, body] = len(bodies)
            bodies.append(body)
            kinds.append(types.index(kind))
        name = export_name(program.action)
        exports.append(name_bytes(name) + b"\0" + unsigned(index))
        made.append(WasmFunction(name, program, code.instructions, tuple(results)))
    sections = [
        section(1, vector(types)),
        section(3, vector(unsigned(kind) for kind in kinds)),
        section(7, vector(exports)),
        section(10, vector(bodies)),
    ]
    if described:
        layout = canonical_json({each.name: {**each.program.layout} for each in made})
        sections.append(section(0, sized(b"ripstop") + layout))
    return WasmModule(HEADER + b"".join(sections), tuple(made))


def export_name(action: str | None) -> str:
    """Give the name of the function for an action; `decide` is for any that has no function of its own."""
    if action is None:
        return "verdict"
    return f"decide_{action}" if action else "decide"


def _checks(program: EdgeProgram) -> int:
    """Count the checks that the function `not_finite` could make."""
    count = 0
    for policy in program.policies:
        for root in (policy.rule, *policy.whens):
            for node in walk(root):
                if isinstance(node, Guarded | GuardedNumber):
                    count += sum(_is_loose(program, index) for index in node.inputs)
                count += isinstance(node, Checked)
    return count


def _is_loose(program: EdgeProgram, index: int) -> bool:
    each = program.inputs[index]
    return each.low is None or each.high is None


def _function(program: EdgeProgram, checker: int | None) -> tuple[Code, list[int]]:
    code = Code(len(program.inputs))
    emitter = Emitter(code, program.inputs, checker)
    if program.action is None:
        _verdict(emitter, program)
        return code, [I32]
    return code, _decision(emitter, program)


def _verdict(emitter: Emitter, program: EdgeProgram) -> None:
    """Leave the least of the verdicts: 0 or 2, -1 where a rule is unknown."""
    code = emitter.code
    least: int | None = None
    for number, policy in enumerate(program.policies):
        end = code.block(I32)
        emitter.unknown = code.block()
        emitter.truth(policy.rule)
        if policy.policy.effect == "forbid":
            code.op(I32_EQZ)
        code.i32(1)
        code.op(0x74)  # i32.shl
        code.br(end)
        code.end()
        code.i32(-1)
        code.end()
        if len(program.policies) > 1:
            least = code.local(I32) if least is None else least
            if number:
                _least(code, least)
            else:
                code.set(least)
    if least is not None:
        code.get(least)
    elif not program.policies:
        code.i32(0)


def _least(code: Code, least: int) -> None:
    """Replace a local by the top where that is less."""
    other = code.local(I32)
    code.tee(other)
    code.get(least)
    code.get(other)
    code.get(least)
    code.op(0x48)  # i32.lt_s
    code.op(_SELECT)
    code.set(least)


def _decision(emitter: Emitter, program: EdgeProgram) -> list[int]:
    """Evaluate every policy, then the limits; leave verdict, statuses, evidence and bounds."""
    code = emitter.code
    verdict = code.local(I32)
    code.i32(2 if program.settled is None else int(program.settled))
    code.set(verdict)
    bounds = {name: (code.local(F64), code.local(F64)) for name, _ in program.bounded}
    for low, high in bounds.values():
        code.f64(-inf)
        code.set(low)
        code.f64(inf)
        code.set(high)
    results: list[tuple[int, int]] = []
    for policy in program.policies:
        status = code.local(I64)
        words = [code.local(I64) for _ in range(policy.words)]
        _policy(emitter, policy, status, words)
        if not program.is_failsafe:
            code.get(verdict)
            code.get(status)
            code.op(_WRAP)
            code.i32(1)
            code.op(I32_AND)
            code.i32(1)
            code.op(0x74)  # i32.shl
            code.op(I32_AND)
            code.set(verdict)
        _tighten(code, policy, status, bounds)
        results.extend((local, I64) for local in (status, *words))
    for name, given in program.bounded:
        _judge(code, verdict, given, bounds[name], is_failsafe=program.is_failsafe)
        results.extend((local, F64) for local in bounds[name])
    for local, _ in ((verdict, I32), *results):
        code.get(local)
    return [I32, *(kind for _, kind in results)]


def _policy(emitter: Emitter, policy: EdgePolicy, status: int, words: Sequence[int]) -> None:
    """Leave the status of a policy in a local."""
    code = emitter.code
    emitter.words = words
    end = code.block()
    emitter.unknown = code.block()
    emitter.truth(policy.rule)
    if policy.policy.effect == "forbid":
        code.op(I32_EQZ)
    code.op(EXTEND)
    code.set(status)
    code.br(end)
    code.end()
    code.i64(UNKNOWN_BIT | policy.permits_unknown)
    code.set(status)
    code.end()
    if not policy.whens:
        return
    _permits(code, status)
    code.if_()
    for index, when in enumerate(policy.whens):
        end = code.block()
        emitter.unknown = code.block()
        emitter.truth(when)
        code.op(EXTEND)
        code.i64(2 + 2 * index)
        code.op(I64_SHL)
        code.get(status)
        code.op(I64_OR)
        code.set(status)
        code.br(end)
        code.end()
        code.get(status)
        code.i64(12 << 2 * index)
        code.op(I64_OR)
        code.set(status)
        code.end()
    code.end()


def _permits(code: Code, status: int) -> None:
    code.get(status)
    code.op(_WRAP)
    code.i32(1)
    code.op(I32_AND)


def _tighten(code: Code, policy: EdgePolicy, status: int, bounds: dict[str, tuple[int, int]]) -> None:
    """Intersect the bounds with those of the limits that are active."""
    for index, rule in enumerate(policy.policy.limits):
        code.get(status)
        code.i64(4 << 2 * index)
        code.op(I64_AND)
        code.op(0x50)  # i64.eqz
        code.op(I32_EQZ)
        code.if_()
        for limit in rule.limits:
            low, high = bounds[limit.parameter]
            for local, bound, op in ((low, limit.low, 0xA5), (high, limit.high, 0xA4)):
                if bound is not None:
                    code.get(local)
                    code.f64(float(bound))
                    code.op(op)
                    code.set(local)
        code.end()


def _judge(code: Code, verdict: int, given: int, bounds: tuple[int, int], *, is_failsafe: bool) -> None:
    """Lower the verdict where the parameter is not inside its bounds; to deny where nothing is."""
    low, high = bounds
    code.get(low)
    code.f64(-inf)
    code.op(COMPARISONS[">"])
    code.get(high)
    code.f64(inf)
    code.op(COMPARISONS["<"])
    code.op(0x72)  # i32.or: a limit is active
    code.get(given)
    code.get(low)
    code.op(COMPARISONS[">="])
    code.get(given)
    code.get(high)
    code.op(COMPARISONS["<="])
    code.op(I32_AND)
    code.op(I32_EQZ)
    code.op(I32_AND)
    code.if_()
    # from 2 to 1, and 1 and 0 stay
    code.get(verdict)
    code.i32(1)
    code.get(verdict)
    code.i32(1)
    code.op(0x48)  # i32.lt_s
    code.op(_SELECT)
    code.set(verdict)
    code.end()
    if not is_failsafe:
        code.get(low)
        code.get(high)
        code.op(COMPARISONS[">"])
        code.if_()
        code.i32(0)
        code.set(verdict)
        code.end()
