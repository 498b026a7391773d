"""Numbers to nodes: arithmetic with bounds, order and equality of the edge profile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import inf
from typing import TYPE_CHECKING, TypeAlias

from ripstop.backends.edge.inputs import Held
from ripstop.backends.edge.nodes import Arith, Checked, Compare, Const, Num
from ripstop.backends.edge.uses import Outside
from ripstop.backends.edge.values import Value, joined
from ripstop.policy.ir import Expr

if TYPE_CHECKING:
    from ripstop.backends.edge.translate import Translator

Translation: TypeAlias = "Callable[[Translator, Expr], Value]"
_LARGEST = 1e300  # well below the largest binary64


def bounded(op: str, args: Sequence[Num], bound: float) -> Value:
    """Give an operation's result, checked where it may not be finite.

    That check serves the operands, too: infinities and NaN stay so in `+ - *` and in a numerator. Where a
    bound rules an overflow out, the operands keep theirs: a bounded remainder may still be NaN.
    """
    if bound <= _LARGEST:
        return Value(Held.STRICT_NUMBER, Arith(op, tuple(args)), bound=bound)
    heard = 1 if op == "/" else len(args)  # something finite over an infinity is finite
    bare = (arg.value if isinstance(arg, Checked) else arg for arg in args[:heard])
    return Value(Held.STRICT_NUMBER, Checked(Arith(op, (*bare, *args[heard:]))), bound=inf)


def arithmetic(op: str, combine: Callable[[float, float], float]) -> Translation:
    """Give the translation of `+ - *`; `combine` gives a result's bound from its operands'."""

    def translate(translator: Translator, expr: Expr) -> Value:
        args = [translator.number(arg) for arg in expr.args]
        result = args[0]
        for arg in args[1:]:
            bound = combine(result.bound, arg.bound)
            result = bounded(op, (result.number, arg.number), bound)
        return Value(Held.STRICT_NUMBER, result.number, bound=result.bound)

    return translate


def product_bound(left: float, right: float) -> float:
    """Give the bound of a product."""
    return inf if inf in (left, right) else left * right


def subtract(translator: Translator, expr: Expr) -> Value:
    """Translate a difference, or with one operand its negative."""
    if len(expr.args) == 1:
        arg = translator.number(expr.args[0])
        return Value(Held.STRICT_NUMBER, Arith("neg", (arg.number,)), bound=arg.bound)
    return _DIFFERENCE(translator, expr)


def divide(translator: Translator, expr: Expr) -> Value:
    """Translate `/`; without a known divisor the result is checked."""
    args = [translator.number(arg) for arg in expr.args]
    result = Value(Held.STRICT_NUMBER, Const(1.0), bound=1.0) if len(args) == 1 else args[0]
    for arg in args if len(args) == 1 else args[1:]:
        divisor = arg.number.value if isinstance(arg.number, Const) else 0.0
        bound = result.bound / abs(divisor) if divisor else inf  # 0 divides to what is not finite
        result = bounded("/", (result.number, arg.number), bound)
    return Value(Held.STRICT_NUMBER, result.number, bound=result.bound)


def modulo(translator: Translator, expr: Expr) -> Value:
    """Translate `%`; without a known divisor the result is checked."""
    args = [translator.number(arg) for arg in expr.args]
    result = args[0]
    for arg in args[1:]:
        number: Num = Arith("%", (result.number, arg.number))
        if not (isinstance(arg.number, Const) and arg.number.value):
            number = Checked(number)
        result = Value(Held.STRICT_NUMBER, number, bound=result.bound)
    return result


def extreme(op: str) -> Translation:
    """Give the translation of `min` or `max`."""

    def translate(translator: Translator, expr: Expr) -> Value:
        args = [translator.number(arg, strict=True) for arg in expr.args]
        result = args[0].number
        for arg in args[1:]:
            result = Arith(op, (result, arg.number))
        return Value(Held.STRICT_NUMBER, result, bound=max(arg.bound for arg in args))

    return translate


def _pairs(op: str, numbers: Sequence[Num]) -> Value:
    pairs = [Compare(op, left, right) for left, right in pairwise(numbers)]
    return Value(Held.BOOLEAN, truth=joined(True, pairs))


def order(op: str) -> Translation:
    """Give the translation of a comparison by order."""

    def translate(translator: Translator, expr: Expr) -> Value:
        args = [translator.value(arg) for arg in expr.args]
        if all(arg.held is Held.TEXT for arg in args):
            if any(arg.is_open for arg in args):
                raise Outside("a text that is not one of declared values is put in order", expr)
            return _pairs(op, [arg.number for arg in args])
        return _pairs(op, [translator.number(arg).number for arg in expr.args])

    return translate


def equality(op: str, *, strict: bool) -> Translation:
    """Give the translation of a comparison for equality."""

    def translate(translator: Translator, expr: Expr) -> Value:
        args = [translator.value(arg) for arg in expr.args]
        held = {arg.held for arg in args}
        if held == {Held.TEXT}:
            if sum(arg.is_open for arg in args) > 1:
                raise Outside("texts are compared that are not among declared values", expr)
        elif Held.TEXT in held or Held.LIST in held or (strict and len(held) > 1):
            raise Outside("values of several types are compared", expr)
        return _pairs(op, [arg.as_number() for arg in args])

    return translate


def within(translator: Translator, expr: Expr) -> Value:
    """Translate `within(a, b, s)`: |b - a| <= s."""
    first, second, seconds = (translator.number(arg) for arg in expr.args)
    difference = bounded("-", (second.number, first.number), first.bound + second.bound)
    return Value(Held.BOOLEAN, truth=Compare("<=", Arith("abs", (difference.number,)), seconds.number))


_DIFFERENCE = arithmetic("-", lambda left, right: left + right)
