"""One generated function for each action: all the policies that guard it, with evidence.

    def decide(c, s, t, r):             # context, readings, microseconds, what recalls temporal operators
        try:
            v0 = c["payload_kg"]        # a parameter: from the context alone
            if not 0.0 <= v0 <= 50.0: return None
            v1 = c.get("battery_percent", _absent)
            if v1 is _absent:           # a signal: else the latest reading, if still valid
                x = s["battery_percent"]
                if x[1] < t: return None
                v1 = x[0]
            elif not 0.0 <= v1 <= 100.0: return None
            m = 0
            if v1 < 30.0: e0 = 3 ...    # one policy after the other
            return m, e0, e1
        except _surprises: return None

`m` has a bit for each policy that denies and for each limit rule that is active. None means that something
was absent, invalid or unexpected: the reference semantics decide then.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from ripstop.backends.python.assemble import assemble
from ripstop.backends.python.branches import MOST_LEAVES, Brancher, assign, collect, leaves
from ripstop.backends.python.lowering import Emitter
from ripstop.backends.python.slots import Held, Slot, Unsupported, assign_slots, class_of, name
from ripstop.backends.python.surprises import HELPERS, Deopt
from ripstop.core.canonical import Json
from ripstop.core.decision import Verdict
from ripstop.core.value import dataclass
from ripstop.core.vocabulary import Vocabulary
from ripstop.policy.bundle import Outcome
from ripstop.policy.document import Policy
from ripstop.policy.ir import Expr, rule_of
from ripstop.policy.lower import Lowered, lower
from ripstop.policy.reference import denial
from ripstop.policy.state import Reading
from ripstop.policy.temporal import key_of

Recall: TypeAlias = Callable[[str], Json]
Function: TypeAlias = Callable[
    [Mapping[str, Json], Mapping[str, Reading], int, Recall], "tuple[int, ...] | None"
]

_OFTEN = 3  # comparisons with an integer that take more than making a float of it
SURPRISES = (Deopt, ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Group:
    """Some policies that guard an action, compiled together; `function` is None where that cannot be done."""

    policies: tuple[Policy, ...]
    function: Function | None
    left_out: str = ""

    def outcomes(self, mask: int) -> tuple[Outcome, ...]:
        """Spell out what a mask says of each policy (evidence apart)."""
        spelled = []
        bit = 1
        for policy in self.policies:
            denied = bool(mask & bit)
            active = tuple(index for index in range(len(policy.limits)) if mask & (bit << 1 + index))
            bit <<= 1 + len(policy.limits)
            reasons = (denial(policy),) if denied else ()
            spelled.append(Outcome(Verdict.DENY if denied else Verdict.ALLOW, active, reasons))
        return tuple(spelled)


def compile_group(policies: tuple[Policy, ...], action: str, vocabulary: Vocabulary) -> Group:
    """Generate one function for policies that guard an action."""
    spec = vocabulary.actions.get(action)
    parameters = spec.parameters if spec is not None else {}
    programs = [lower(policy.program) for policy in policies]
    roots = [expr for program in programs for expr in (program.rule, *program.whens)]
    try:
        slots = assign_slots(roots, vocabulary.signals, parameters)
        emitter = Emitter(slots, ranged=True)
        bodies = _bodies(policies, programs, emitter)
    except Unsupported as reason:
        return Group(policies, None, str(reason))
    fetches = [statement for slot in slots.values() for statement in fetch(slot)]
    fetches += [_as_float(slot) for slot in _often_compared(roots, slots)]
    fetches += [
        statement
        for expr, variable in emitter.recalled.values()
        for statement in fetch_recalled(key_of(rule_of(expr), vocabulary), variable)
    ]
    if emitter.uses_now:
        fetches.insert(0, assign("now", ast.BinOp(name("t"), ast.Div(), ast.Constant(1e6))))
    result = ast.Return(
        ast.Tuple([name("m"), *(name(f"e{index}") for index in range(len(policies)))], ast.Load())
    )
    body = [*fetches, assign("m", ast.Constant(0)), *bodies, result]
    try:
        return Group(policies, build(["c", "s", "t", "r"], body, ast.Return(ast.Constant(None))))
    except Unsupported as reason:
        return Group(policies, None, str(reason))


def compile_groups(policies: tuple[Policy, ...], action: str, vocabulary: Vocabulary) -> tuple[Group, ...]:
    """Generate functions for policies that guard an action, as few as can be made, in their order."""
    whole = compile_group(policies, action, vocabulary)
    if whole.function is not None or len(policies) == 1:
        return (whole,)
    half = len(policies) // 2
    return (
        *compile_groups(policies[:half], action, vocabulary),
        *compile_groups(policies[half:], action, vocabulary),
    )


def build_any(arguments: Sequence[str], body: list[ast.stmt], otherwise: ast.stmt) -> Callable[..., object]:
    """Make a function of statements; on a surprise it does something else.

    Raises:
        Unsupported: CPython compiles it wrongly.
    """
    guarded = ast.Try(body, [ast.ExceptHandler(name("_surprises"), None, [otherwise])], [], [])
    parameters = ast.arguments([], [ast.arg(each) for each in arguments], None, [], [], None, [])
    function = ast.FunctionDef("generated", parameters, [guarded], [])
    return assemble(function, {**HELPERS, "_surprises": SURPRISES, "_absent": object()})


def build(arguments: Sequence[str], body: list[ast.stmt], otherwise: ast.stmt) -> Function:
    """Make a function that decides."""
    return build_any(arguments, body, otherwise)  # type: ignore[return-value]  # the statements make it one


def fetch(slot: Slot) -> list[ast.stmt]:
    """Read a slot's value from the context, or a signal's from the readings, and leave when it is bad."""
    leave: list[ast.stmt] = [ast.Return(ast.Constant(None))]
    key = ast.Constant(slot.name)
    wrong = ast.UnaryOp(ast.Not(), slot.check(ranged=True))
    value = name(slot.variable)
    if slot.is_optional:
        return _fetch_optional(slot)
    if slot.is_parameter:
        return [assign(slot.variable, ast.Subscript(name("c"), key, ast.Load())), ast.If(wrong, leave, [])]
    get = ast.Call(ast.Attribute(name("c"), "get", ast.Load()), [key, name("_absent")], [])
    checks: list[ast.stmt] = [ast.If(wrong, leave, [])]
    is_absent = ast.Compare(value, [ast.Is()], [name("_absent")])
    if slot.is_checked_when_observed:
        return [assign(slot.variable, get), ast.If(is_absent, _reading(slot), checks)]
    return [assign(slot.variable, get), ast.If(is_absent, _reading(slot), []), *checks]


def _often_compared(roots: Sequence[Expr], slots: Mapping[str, Slot]) -> list[Slot]:
    """Give the numbers that are read so often that it pays to make floats of integers.

    CPython (3.11 on) compares two floats several times faster than an integer with a float.
    """
    reads = Counter(expr.path[0] for root in roots for expr in root.walk() if expr.op == "read")
    numbers = (Held.NUMBER, Held.STRICT_NUMBER)
    return [slot for slot in slots.values() if slot.held in numbers and reads[slot.name] >= _OFTEN]


def _as_float(slot: Slot) -> ast.stmt:
    """Make a float of a checked number that is an integer: binary64 holds it."""
    value = name(slot.variable)
    is_int = ast.Compare(class_of(value), [ast.Is()], [name("int")])
    return ast.If(is_int, [assign(slot.variable, ast.BinOp(value, ast.Add(), ast.Constant(0.0)))], [])


def _fetch_optional(slot: Slot) -> list[ast.stmt]:
    """Read a slot that may be absent; leave when it is there and bad."""
    key, value = ast.Constant(slot.name), name(slot.variable)
    get = ast.Call(ast.Attribute(name("c"), "get", ast.Load()), [key, name("_absent")], [])
    is_absent = ast.Compare(value, [ast.Is()], [name("_absent")])
    wrong = ast.If(ast.UnaryOp(ast.Not(), slot.check(ranged=True)), [ast.Return(ast.Constant(None))], [])
    is_observed = ast.Compare(key, [ast.In()], [name("s")])
    observed: list[ast.stmt] = (
        [ast.Pass()] if slot.is_parameter else [ast.If(is_observed, [*_reading(slot), wrong], [])]
    )
    return [assign(slot.variable, get), ast.If(is_absent, observed, [wrong])]


def _reading(slot: Slot) -> list[ast.stmt]:
    """Take a signal's value from its reading, and leave when it is too old."""
    stale = ast.Compare(ast.Subscript(name("x"), ast.Constant(1), ast.Load()), [ast.Lt()], [name("t")])
    return [
        assign("x", ast.Subscript(name("s"), ast.Constant(slot.name), ast.Load())),
        ast.If(stale, [ast.Return(ast.Constant(None))], []),
        assign(slot.variable, ast.Subscript(name("x"), ast.Constant(0), ast.Load())),
    ]


def observed(slot: Slot) -> list[ast.stmt]:
    """Read a signal as it was observed, and leave when it is bad."""
    if slot.is_checked_when_observed:
        return _reading(slot)
    wrong = ast.UnaryOp(ast.Not(), slot.check(ranged=True))
    return [*_reading(slot), ast.If(wrong, [ast.Return(ast.Constant(None))], [])]


def fetch_recalled(key: str, variable: str) -> list[ast.stmt]:
    """Recall a temporal operator's value, and leave when it is UNKNOWN."""
    is_unknown = ast.Compare(name(variable), [ast.Is()], [ast.Constant(None)])
    return [
        assign(variable, ast.Call(name("r"), [ast.Constant(key)], [])),
        ast.If(is_unknown, [ast.Return(ast.Constant(None))], []),
    ]


def _bodies(policies: Sequence[Policy], programs: Sequence[Lowered], emitter: Emitter) -> list[ast.stmt]:
    statements: list[ast.stmt] = []
    bit = 1
    for index, (policy, program) in enumerate(zip(policies, programs, strict=True)):
        is_required = policy.effect == "require"
        statements.extend(
            _one(program, is_required, Brancher(emitter, program.atoms, collected=f"e{index}"), bit)
        )
        bit <<= 1 + len(policy.limits)
    return statements


def _one(program: Lowered, is_required: bool, brancher: Brancher, bit: int) -> list[ast.stmt]:
    """Build one policy: the rule, then the limits unless the rule denies."""
    evidence = brancher.collected
    true, false = leaves(program.rule)
    permitted = true if is_required else false
    for when in program.whens:
        permitted *= sum(leaves(when))
    if true + false + permitted > MOST_LEAVES:
        return _flat(program, is_required, brancher, bit)

    def finish(mask: int, code: int) -> list[ast.stmt]:
        return [assign(evidence, ast.Constant(code)), *([collect("m", mask)] if mask else [])]

    def limit(index: int, mask: int, code: int) -> list[ast.stmt]:
        if index == len(program.whens):
            return finish(mask, code)
        active = mask | bit << 1 + index
        return brancher.tree(
            program.whens[index],
            lambda code: limit(index + 1, active, code),
            lambda code: limit(index + 1, mask, code),
            code,
        )

    def permit(code: int) -> list[ast.stmt]:
        return limit(0, 0, code)

    def deny(code: int) -> list[ast.stmt]:
        return finish(bit, code)

    then, other = (permit, deny) if is_required else (deny, permit)
    return brancher.tree(program.rule, then, other, 0)


def _flat(program: Lowered, is_required: bool, brancher: Brancher, bit: int) -> list[ast.stmt]:
    limits: list[ast.stmt] = []
    for index, when in enumerate(program.whens):
        limits.extend(brancher.flat(when))
        limits.append(ast.If(name(brancher.truth), [collect("m", bit << 1 + index)], []))
    denied: list[ast.stmt] = [collect("m", bit)]
    then, other = (limits, denied) if is_required else (denied, limits)
    rule = brancher.flat(program.rule)
    return [
        assign(brancher.collected, ast.Constant(0)),
        *rule,
        ast.If(name(brancher.truth), then or [ast.Pass()], other),
    ]
