"""From typed expressions to Python expressions: the table of lowerings, and what is left out, with reasons.

A lowered expression stands behind the slots' checks: its numbers are finite and not beyond 2^53, its texts
are `str`, its truths `bool`. What could still go wrong (a division by zero, an overflow) raises `Deopt`, and
the exact evaluator decides.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace

from ripstop.backends.python.slots import SAFE, Held, Slot, Unsupported, name
from ripstop.core.canonical import Json
from ripstop.core.value import dataclass
from ripstop.policy.ir import TEMPORAL, Builder, Expr, Step
from ripstop.policy.kinds import Kind
from ripstop.policy.lower import spelled_out

_LARGEST = 1e300  # well below the largest binary64: what is bounded by it cannot overflow


NOT_LOWERED: Mapping[str, str] = {
    "val": "lowered as the read that it resolves to",
    "var": "lowered as the read that it resolves to",
    "missing_some": "makes a list of names, outside the edge profile",
    "cat": "makes text, outside the edge profile",
    "substr": "makes text, outside the edge profile",
    "merge": "makes lists, outside the edge profile",
    "map": "makes lists, outside the edge profile",
    "filter": "makes lists, outside the edge profile",
    "reduce": "folds untyped values, outside the edge profile",
    "try": "catches errors, outside the edge profile",
    "throw": "raises errors, outside the edge profile",
    "preserve": "lowered as a constant",
    "log": "lowered as its argument",
}


@dataclass(slots=True)
class Lowered:
    """A Python expression, what it holds, a bound on a number's magnitude, and whether it may be an `int`."""

    code: ast.expr
    held: Held
    bound: float = SAFE
    may_be_int: bool = False


@dataclass(slots=True)
class Emitter:
    """Lowers the expressions of one function.

    `elements` maps the fields of the innermost iterator's element to variables, while its body is lowered;
    `recalled` names the variable of each temporal operator.
    """

    slots: Mapping[str, Slot]
    ranged: bool
    uses_now: bool = False
    recalled: dict[int, tuple[Expr, str]] = field(default_factory=dict)
    elements: dict[tuple[str | int, ...], Slot] | None = None
    loops: int = 0

    def lower(self, expr: Expr) -> Lowered:
        """Lower one expression.

        Raises:
            Unsupported: when it has to be left to the exact evaluator.
        """
        lowering = LOWERINGS.get(expr.op)
        if lowering is None:
            raise Unsupported(NOT_LOWERED.get(expr.op, f"`{expr.op}` is not lowered"))
        return lowering(self, expr)

    def test(self, expr: Expr) -> ast.expr:
        """Lower an expression of which only the truth matters."""
        lowered = self.lower(expr)
        if lowered.held is Held.BOOLEAN:
            return lowered.code
        if lowered.held in (Held.NUMBER, Held.STRICT_NUMBER):
            return ast.Compare(lowered.code, [ast.NotEq()], [ast.Constant(0.0)])
        return lowered.code

    def number(self, expr: Expr, *, strict: bool = False) -> Lowered:
        """Lower a number. Where `strict`, a boolean is none."""
        lowered = self.lower(expr)
        if lowered.held is Held.STRICT_NUMBER or (lowered.held is Held.NUMBER and not strict):
            return lowered
        if lowered.held is Held.NUMBER and not self.may_be_boolean(expr):
            return lowered
        raise Unsupported(f"a {lowered.held.value} stands where a number is needed")

    def may_be_boolean(self, expr: Expr) -> bool:
        """Whether an undeclared name might hold a boolean; a declared number has been converted."""
        return expr.op in ("read", "element") and expr.type.kind is Kind.ANY

    def loop_variable(self) -> str:
        """Give a fresh name for a loop."""
        self.loops += 1
        return f"each{self.loops}"


def _call(helper: str, *args: ast.expr) -> ast.Call:
    return ast.Call(name(helper), list(args), [])


def _recalled(emitter: Emitter, expr: Expr) -> Lowered:
    """Take a temporal operator's value from a variable; the function's head has fetched it."""
    kind = expr.args[0].type.kind if expr.op == "previous" else Kind.BOOLEAN
    held = {Kind.NUMBER: Held.NUMBER, Kind.TIMESTAMP: Held.NUMBER, Kind.BOOLEAN: Held.BOOLEAN}.get(kind)
    if held is None:
        raise Unsupported("`previous` of something else than a number or a truth")
    variable = emitter.recalled.setdefault(id(expr), (expr, f"w{len(emitter.recalled)}"))[1]
    if expr.op == "count_within":
        return Lowered(name(variable), Held.STRICT_NUMBER, 1e3, may_be_int=True)
    return Lowered(name(variable), held, may_be_int=held is Held.NUMBER)


def _constant(emitter: Emitter, expr: Expr) -> Lowered:
    value = expr.value
    if isinstance(value, bool):
        return Lowered(ast.Constant(value), Held.BOOLEAN)
    if isinstance(value, int | float):
        return Lowered(ast.Constant(float(value)), Held.STRICT_NUMBER, abs(float(value)))
    if isinstance(value, str):
        return Lowered(ast.Constant(value), Held.TEXT)
    if value is None:
        raise Unsupported("null has no type")
    raise Unsupported("a list or an object stands as a value")


def _read(emitter: Emitter, expr: Expr) -> Lowered:
    if expr.args:
        return _first_present(emitter, [replace(expr, args=()), *expr.args])
    slot = emitter.slots[str(expr.path[0])]
    if slot.held is Held.ESTIMATE:
        return _part(emitter, slot, expr.path[1:])
    if len(expr.path) != 1:
        raise Unsupported("a read goes into a value")
    return _slot(emitter, slot)


def _part(emitter: Emitter, slot: Slot, path: tuple[Step, ...]) -> Lowered:
    """Read an estimate's mean or deviation; its check has taken it apart."""
    if path not in (("mean",), ("sd",)):
        raise Unsupported("an estimate stands as a value")
    bound = max(map(abs, slot.bounds(ranged=emitter.ranged))) if path == ("mean",) else SAFE
    return Lowered(name(slot.part(str(path[0]))), Held.STRICT_NUMBER, bound, may_be_int=True)


def _chance(emitter: Emitter, expr: Expr) -> Lowered:
    return emitter.lower(spelled_out(expr, Builder()))


def _is_absent(emitter: Emitter, expr: Expr) -> ast.expr | None:
    """Test whether a bare read is absent; None where generated code has ruled that out."""
    if expr.op != "read" or expr.args or len(expr.path) != 1:
        raise Unsupported("absence is asked of something else than a signal")
    slot = emitter.slots[str(expr.path[0])]
    if not slot.is_optional:
        return None
    return ast.Compare(name(slot.variable), [ast.Is()], [name("_absent")])


def _first_present(emitter: Emitter, choices: Sequence[Expr]) -> Lowered:
    """Lower `??`, or a read with a default: the first choice that is not absent."""
    *reads, last = choices
    result = emitter.lower(last)
    for read in reversed(reads):
        absent, value = _is_absent(emitter, read), emitter.lower(read)
        if value.held is not result.held and {value.held, result.held} != {Held.NUMBER, Held.STRICT_NUMBER}:
            raise Unsupported("the choices have several types")
        code = value.code if absent is None else ast.IfExp(absent, result.code, value.code)
        result = Lowered(
            code, value.held, max(value.bound, result.bound), value.may_be_int or result.may_be_int
        )
    if result.held is Held.NUMBER and any(emitter.may_be_boolean(read) for read in reads):
        raise Unsupported("the choice might be a boolean")
    return result


def _coalesce(emitter: Emitter, expr: Expr) -> Lowered:
    if expr.args[-1].op == "read" and emitter.slots[str(expr.args[-1].path[0])].is_optional:
        raise Unsupported("every choice may be absent, which gives null")
    return _first_present(emitter, expr.args)


def _exists(emitter: Emitter, expr: Expr) -> Lowered:
    absent = _is_absent(emitter, expr.args[0])
    code = ast.Constant(True) if absent is None else ast.UnaryOp(ast.Not(), absent)
    return Lowered(code, Held.BOOLEAN)


def _missing(emitter: Emitter, expr: Expr) -> Lowered:
    """Lower `missing` where its truth matters: whether any name is absent or an empty text."""
    tests: list[ast.expr] = []
    for read in expr.args:
        absent, slot = _is_absent(emitter, read), emitter.slots[str(read.path[0])]
        tests += [absent] if absent is not None else []
        if slot.held is Held.TEXT:
            tests.append(ast.Compare(name(slot.variable), [ast.Eq()], [ast.Constant("")]))
    return Lowered(_any_of(tests), Held.LIST)


def _any_of(tests: list[ast.expr]) -> ast.expr:
    if not tests:
        return ast.Constant(False)
    return tests[0] if len(tests) == 1 else ast.BoolOp(ast.Or(), tests)


def _slot(emitter: Emitter, slot: Slot) -> Lowered:
    low, high = slot.bounds(ranged=emitter.ranged)
    return Lowered(name(slot.variable), slot.held, max(abs(low), abs(high)), may_be_int=True)


def _now(emitter: Emitter, expr: Expr) -> Lowered:
    emitter.uses_now = True
    return Lowered(name("now"), Held.STRICT_NUMBER, 1e13)


def _element(emitter: Emitter, expr: Expr) -> Lowered:
    if emitter.elements is None or expr.args or expr.path[0] != 0 or len(expr.path) > 2:
        raise Unsupported("an element is read otherwise than by one field")
    slot = emitter.elements.get(expr.path[1:])
    if slot is None:
        raise Unsupported("an element's field has no slot")
    return _slot(emitter, slot)


def _exact(lowered: Lowered, bound: float) -> ast.expr:
    """Make an operand binary64 where the result could leave the integers that binary64 holds exactly."""
    if bound <= SAFE or not lowered.may_be_int:
        return lowered.code
    return ast.BinOp(lowered.code, ast.Mult(), ast.Constant(1.0))


def _bounded(code: ast.expr, bound: float) -> Lowered:
    if bound <= _LARGEST:
        return Lowered(code, Held.STRICT_NUMBER, bound)
    return Lowered(_call("_finite", code), Held.STRICT_NUMBER, 1.8e308)


def _arithmetic(operator: ast.operator, combine: Callable[[float, float], float]) -> Lowering:
    def lower(emitter: Emitter, expr: Expr) -> Lowered:
        args = [emitter.number(arg) for arg in expr.args]
        result = args[0]
        for arg in args[1:]:
            bound = combine(result.bound, arg.bound)
            integers = bound <= SAFE and result.may_be_int and arg.may_be_int
            result = _bounded(ast.BinOp(_exact(result, bound), operator, _exact(arg, bound)), bound)
            result.may_be_int = integers
        return replace(result, held=Held.STRICT_NUMBER)

    return lower


def _subtract(emitter: Emitter, expr: Expr) -> Lowered:
    if len(expr.args) == 1:
        arg = emitter.number(expr.args[0])
        return Lowered(ast.UnaryOp(ast.USub(), arg.code), Held.STRICT_NUMBER, arg.bound, arg.may_be_int)
    return _DIFFERENCE(emitter, expr)


def _divide(emitter: Emitter, expr: Expr) -> Lowered:
    args = [emitter.number(arg) for arg in expr.args]
    result = Lowered(ast.Constant(1.0), Held.STRICT_NUMBER, 1.0) if len(args) == 1 else args[0]
    for arg in args if len(args) == 1 else args[1:]:
        if isinstance(arg.code, ast.Constant) and arg.bound:
            result = _bounded(ast.BinOp(result.code, ast.Div(), arg.code), result.bound / arg.bound)
        else:
            result = Lowered(_call("_divide", result.code, arg.code), Held.STRICT_NUMBER, 1.8e308)
    return result


def _modulo(emitter: Emitter, expr: Expr) -> Lowered:
    args = [emitter.number(arg) for arg in expr.args]
    result = args[0]
    for arg in args[1:]:
        result = Lowered(_call("_remainder", result.code, arg.code), Held.STRICT_NUMBER, result.bound)
    return result


def _extreme(helper: str) -> Lowering:
    def lower(emitter: Emitter, expr: Expr) -> Lowered:
        args = [emitter.number(arg, strict=True) for arg in expr.args]
        bound = max(arg.bound for arg in args)
        code = args[0].code if len(args) == 1 else _call(helper, *(arg.code for arg in args))
        return Lowered(code, Held.STRICT_NUMBER, bound, any(arg.may_be_int for arg in args))

    return lower


def _ordered(text: Lowered) -> ast.expr:
    """Give a text that Python orders as JavaScript does, by UTF-16: in plain ASCII they agree."""
    if isinstance(text.code, ast.Constant) and str(text.code.value).isascii():
        return text.code
    return _call("_ascii", text.code)


def _order(operator: ast.cmpop) -> Lowering:
    def lower(emitter: Emitter, expr: Expr) -> Lowered:
        args = [emitter.lower(arg) for arg in expr.args]
        if all(arg.held is Held.TEXT for arg in args):
            codes = [_ordered(arg) for arg in args]
        else:
            codes = [emitter.number(arg).code for arg in expr.args]
        return Lowered(ast.Compare(codes[0], [operator] * (len(codes) - 1), codes[1:]), Held.BOOLEAN)

    return lower


def _equality(operator: ast.cmpop, *, strict: bool) -> Lowering:
    def lower(emitter: Emitter, expr: Expr) -> Lowered:
        args = [emitter.lower(arg) for arg in expr.args]
        if any(arg.held in (Held.NUMBER, Held.STRICT_NUMBER) for arg in args):
            args = [emitter.number(arg, strict=strict) for arg in expr.args]
        elif len({arg.held for arg in args}) > 1 or args[0].held is Held.LIST:
            raise Unsupported("values of several types are compared")
        codes = [arg.code for arg in args]
        return Lowered(ast.Compare(codes[0], [operator] * (len(codes) - 1), codes[1:]), Held.BOOLEAN)

    return lower


def _within(emitter: Emitter, expr: Expr) -> Lowered:
    first, second, seconds = (emitter.number(arg) for arg in expr.args)
    bound = first.bound + second.bound
    difference = ast.BinOp(_exact(second, bound), ast.Sub(), _exact(first, bound))
    return Lowered(
        ast.Compare(_call("abs", _bounded(difference, bound).code), [ast.LtE()], [seconds.code]), Held.BOOLEAN
    )


def _membership(emitter: Emitter, expr: Expr) -> Lowered:
    item, container = expr.args
    if container.op == "const" and isinstance(container.value, list):
        needle = emitter.lower(item)
        kinds = (
            (str,) if needle.held is Held.TEXT else (bool,) if needle.held is Held.BOOLEAN else (int, float)
        )
        if kinds == (int, float):
            needle = emitter.number(item, strict=True)
        members = _members(container.value, kinds)
        members_code = ast.Tuple([ast.Constant(member) for member in members], ast.Load())
        return Lowered(ast.Compare(needle.code, [ast.In()], [members_code]), Held.BOOLEAN)
    needle, hay = emitter.lower(item), emitter.lower(container)
    if hay.held is Held.TEXT and needle.held is Held.TEXT:
        both = [hay.code, ast.Compare(needle.code, [ast.In()], [hay.code])]
        return Lowered(_call("bool", ast.BoolOp(ast.And(), both)), Held.BOOLEAN)
    if container.op == "missing":
        raise Unsupported("a list of names stands as a value")
    if hay.held is Held.LIST and needle.held is not Held.LIST and not emitter.may_be_boolean(item):
        is_number = needle.held in (Held.NUMBER, Held.STRICT_NUMBER)
        code = ast.BinOp(needle.code, ast.Mult(), ast.Constant(1.0)) if is_number else needle.code
        return Lowered(_call("_contains", ast.Tuple([code, hay.code], ast.Load())), Held.BOOLEAN)
    raise Unsupported("membership in something of unknown type")


def _members(values: Sequence[Json], kinds: tuple[type, ...]) -> list[str | bool | float]:
    """Keep the members of a list that a needle of some kind could strictly equal."""
    texts: list[str | bool | float] = [value for value in values if str in kinds and isinstance(value, str)]
    truths = [value for value in values if bool in kinds and isinstance(value, bool)]
    numbers = [
        float(value)
        for value in values
        if float in kinds and isinstance(value, int | float) and not isinstance(value, bool)
    ]
    return [*texts, *truths, *numbers]


def _logic(operator: ast.boolop) -> Lowering:
    def lower(emitter: Emitter, expr: Expr) -> Lowered:
        args = [emitter.lower(arg) for arg in expr.args]
        if any(arg.held is not Held.BOOLEAN for arg in args):
            raise Unsupported("`and` or `or` gives a value that is not a truth")
        code = args[0].code if len(args) == 1 else ast.BoolOp(operator, [arg.code for arg in args])
        return Lowered(code, Held.BOOLEAN)

    return lower


def _not(emitter: Emitter, expr: Expr) -> Lowered:
    return Lowered(ast.UnaryOp(ast.Not(), emitter.test(expr.args[0])), Held.BOOLEAN)


def _truth(emitter: Emitter, expr: Expr) -> Lowered:
    return Lowered(_call("bool", emitter.test(expr.args[0])), Held.BOOLEAN)


def _choice(emitter: Emitter, expr: Expr) -> Lowered:
    if len(expr.args) % 2 == 0:
        raise Unsupported("an `if` without an else gives null")
    result = emitter.lower(expr.args[-1])
    for index in range(len(expr.args) - 3, -1, -2):
        value = emitter.lower(expr.args[index + 1])
        if value.held is not result.held:
            both = {value.held, result.held}
            if both != {Held.NUMBER, Held.STRICT_NUMBER}:
                raise Unsupported("the values of an `if` have several types")
        held = value.held if value.held is result.held else Held.NUMBER
        code = ast.IfExp(emitter.test(expr.args[index]), value.code, result.code)
        result = Lowered(
            code, held, max(value.bound, result.bound), may_be_int=value.may_be_int or result.may_be_int
        )
    if result.held is Held.NUMBER and expr.type.kind is Kind.ANY:
        raise Unsupported("an `if` gives an undeclared value")
    return result


Lowering = Callable[[Emitter, Expr], Lowered]
_DIFFERENCE = _arithmetic(ast.Sub(), lambda left, right: left + right)

LOWERINGS: Mapping[str, Lowering] = {
    "const": _constant,
    "read": _read,
    "now": _now,
    "element": _element,
    "+": _arithmetic(ast.Add(), lambda left, right: left + right),
    "-": _subtract,
    "*": _arithmetic(ast.Mult(), lambda left, right: left * right),
    "/": _divide,
    "%": _modulo,
    "min": _extreme("min"),
    "max": _extreme("max"),
    "<": _order(ast.Lt()),
    "<=": _order(ast.LtE()),
    ">": _order(ast.Gt()),
    ">=": _order(ast.GtE()),
    "==": _equality(ast.Eq(), strict=False),
    "!=": _equality(ast.NotEq(), strict=False),
    "===": _equality(ast.Eq(), strict=True),
    "!==": _equality(ast.NotEq(), strict=True),
    "within": _within,
    "chance": _chance,
    "exists": _exists,
    "missing": _missing,
    "??": _coalesce,
    "in": _membership,
    "and": _logic(ast.And()),
    "or": _logic(ast.Or()),
    "!": _not,
    "!!": _truth,
    "if": _choice,
    **dict.fromkeys(TEMPORAL, _recalled),
}
