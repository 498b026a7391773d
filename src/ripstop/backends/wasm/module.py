"""A WebAssembly module of policies: one function for the verdict, or one for each decision.

    verdict(f64...) -> i32                                  -1 unknown, 0 deny, 2 allow
    decide_<action>(f64...) -> i32, status..., word..., low and high...

The parameters of a function are its inputs, in the order of `EdgeProgram.layout`. A decision gives the
verdict (0 deny, 1 limit, 2 allow), then for each policy its status (i64, see `EdgePolicy`) followed by the
words of its evidence (i64), then for each parameter that can be limited the bounds in force (f64, infinite
where open). Where policies remember, `memory.py` adds what they remember in, and the functions that look at
it take the time first (`t_us`, i64) and neither what is remembered nor the clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from ripstop.backends.edge.inputs import Input
from ripstop.backends.edge.nodes import Bool
from ripstop.backends.edge.program import UNKNOWN_BIT, EdgePolicy, EdgeProgram
from ripstop.backends.edge.snapshots import snapshot_bytes
from ripstop.backends.edge.spending import Remembering, budgets_of, given, prologue, remembers
from ripstop.backends.wasm.emit import (
    COMPARISONS,
    EXTEND,
    I32_AND,
    I32_EQZ,
    I64_AND,
    I64_OR,
    I64_SHL,
    Emitter,
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
from ripstop.backends.wasm.memory import (
    STATE,
    Functions,
    add_routines,
    data_section,
    inbox,
    memory_section,
)
from ripstop.backends.wasm.shared import (
    WORTH_A_FUNCTION,
    Shared,
    checks_in,
    has_remainder,
    not_finite,
    remainder,
)
from ripstop.backends.wasm.steps import RELATIONS, Built, WasmSteps
from ripstop.core.canonical import Json, canonical_json

HEADER = b"\0asm\x01\0\0\0"
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
    """A module's bytes, its decisions, and the most instructions of what moves its memory on, by name."""

    code: bytes
    functions: tuple[WasmFunction, ...]
    bounds: Mapping[str, int] = field(default_factory=dict)


def build_module(
    programs: Sequence[EdgeProgram], *, described: bool = False, remembering: Remembering | None = None
) -> WasmModule:
    """Build a module.

    Args:
        programs: what it exports; the same code under two names is written once.
        described: whether a custom section `ripstop` holds the layout of each function as canonical JSON.
        remembering: the memory of the programs' policies; without it the values of temporal operators are
            inputs, and budgets are not looked at.
    """
    functions = Functions()
    shared = _shared(functions, [*map(_conditions, programs), *_conditions_of_memory(remembering)])
    built = {} if remembering is None else add_routines(functions, remembering, shared)
    made: list[WasmFunction] = []
    known: dict[tuple[bytes, bytes], int] = {}
    for program in programs:
        code, kind, results = _function(program, shared, remembering, built)
        body = code.body()
        index = known.get((kind, body))
        if index is None:
            index = known[kind, body] = functions.add(kind, body)
        name = export_name(program.action)
        functions.exports[name] = index
        made.append(WasmFunction(name, program, code.instructions, tuple(results)))
    exports = [name_bytes(name) + b"\0" + unsigned(index) for name, index in functions.exports.items()]
    memory = [] if remembering is None else [section(5, memory_section(remembering.memory))]
    exports += [] if remembering is None else [name_bytes("memory") + b"\2\0"]
    start = [] if remembering is None else [section(8, unsigned(functions.exports["start"]))]
    sections = [
        section(1, vector(functions.types)),
        section(3, vector(unsigned(kind) for kind in functions.kinds)),
        *memory,
        section(7, vector(exports)),
        *start,
        section(10, vector(functions.bodies)),
        *([] if remembering is None else [section(11, data_section(remembering.memory))]),
    ]
    if described:
        layout = canonical_json(_layout(made, remembering))
        sections.append(section(0, sized(b"ripstop") + layout))
    bounds = {name: each.instructions for name, each in built.items()}
    return WasmModule(HEADER + b"".join(sections), tuple(made), bounds)


def _layout(made: Sequence[WasmFunction], remembering: Remembering | None) -> dict[str, Json]:
    """Describe every function to a caller."""
    layout: dict[str, Json] = {}
    for each in made:
        described = each.program.layout
        if remembering is not None and remembers(each.program):
            loads = given(each.program, has_memory=True)
            inputs: list[Json] = [each.program.inputs[load].label for load in loads]
            described = {**described, "inputs": inputs, "takes_t_us": True}
        layout[each.name] = described
    if remembering is not None:
        memory = remembering.memory
        layout["observe"] = {
            "inputs": [memory.inputs[load].label for load in memory.samples],
            "signals": [each.name for each in memory.signals],
            "texts": dict(memory.texts),
            "state_bytes": memory.whole.size_bytes,
            "snapshot_bytes": snapshot_bytes(memory),
            "inbox": inbox(memory),
        }
        layout.update({each.name: {"inputs": list(each.costs)} for each in remembering.public if each.costs})
    return layout


def export_name(action: str | None) -> str:
    """Give the name of the function for an action; `decide` is for any that has no function of its own."""
    if action is None:
        return "verdict"
    return f"decide_{action}" if action else "decide"


def _conditions(program: EdgeProgram) -> tuple[Sequence[Bool], Sequence[Input]]:
    """Give what a program evaluates, with its inputs."""
    return [root for policy in program.policies for root in (policy.rule, *policy.whens)], program.inputs


def _conditions_of_memory(remembering: Remembering | None) -> list[tuple[Sequence[Bool], Sequence[Input]]]:
    if remembering is None:
        return []
    memory = remembering.memory
    return [([root for each in memory.operators for root in each.conditions], memory.inputs)]


def _shared(functions: Functions, conditions: Sequence[tuple[Sequence[Bool], Sequence[Input]]]) -> Shared:
    """Add the functions that others will call."""

    def added(made: tuple[bytes, Code]) -> int:
        return functions.add(made[0], made[1].body())

    return Shared(
        added(not_finite()) if checks_in(conditions) >= WORTH_A_FUNCTION else None,
        added(remainder()) if has_remainder(conditions) else None,
    )


def _function(
    program: EdgeProgram,
    shared: Shared,
    remembering: Remembering | None,
    built: Mapping[str, Built],
) -> tuple[Code, bytes, list[int]]:
    """Build a program's function; give its code, its type, its results."""
    takes_time = remembering is not None and remembers(program)
    loads = given(program, has_memory=remembering is not None)
    parameters = [*([I64] if takes_time else []), *[F64] * len(loads)]
    code = Code(len(parameters))
    emitter = Emitter(code, program.inputs, shared)
    rooms: list[int] = []
    if remembering is not None and takes_time:
        emitter.places = places = {load: 1 + index for index, load in enumerate(loads)}
        memory = remembering.memory
        m = code.local(I32)
        code.i32(STATE)
        code.set(m)
        steps = WasmSteps(emitter, memory.whole, m, built, inbox(memory) + STATE, {"t_us": 0}, places)
        steps.all(prologue(memory, program))
        rooms = [steps.names[f"room{number}"] for number in range(len(budgets_of(program)))]
    if program.action is None:
        _verdict(emitter, program)
        results = [I32]
    else:
        results = _decision(emitter, program, rooms)
    return code, function_type(parameters, results), results


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


def _decision(emitter: Emitter, program: EdgeProgram, rooms: Sequence[int]) -> list[int]:
    """Evaluate every policy, then the limits; leave verdict, statuses, evidence and bounds."""
    code, left = emitter.code, list(rooms)
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
        own = [left.pop(0) for _ in policy.budgets] if left else []
        _policy(emitter, policy, status, words, own)
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
    for name, load in program.bounded:
        _judge(code, verdict, emitter.place(load), bounds[name], is_failsafe=program.is_failsafe)
        results.extend((local, F64) for local in bounds[name])
    for local, _ in ((verdict, I32), *results):
        code.get(local)
    return [I32, *(kind for _, kind in results)]


def _policy(
    emitter: Emitter, policy: EdgePolicy, status: int, words: Sequence[int], rooms: Sequence[int]
) -> None:
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
    if rooms:
        _spend(code, policy, status, rooms)
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


def _spend(code: Code, policy: EdgePolicy, status: int, rooms: Sequence[int]) -> None:
    """Deny where a budget leaves no room; the first that does not settles the matter."""
    _permits(code, status)
    code.if_()
    target = code.block()
    for room in rooms:
        code.get(room)
        code.i64(1)
        code.op(RELATIONS["!="])
        code.if_()
        code.i64(UNKNOWN_BIT | policy.permits_unknown)
        code.get(status)
        code.i64(~1)
        code.op(I64_AND)
        code.get(room)
        code.i64(2)
        code.op(RELATIONS["=="])
        code.op(_SELECT)
        code.set(status)
        code.br(target)
        code.end()
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
