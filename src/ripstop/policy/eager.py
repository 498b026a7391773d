"""The operators that see only the values of their arguments: arithmetic, text, lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from ripstop.core.canonical import Json
from ripstop.policy.values import (
    JsonLogicError,
    invalid_arguments,
    is_truthy,
    not_a_number,
    remainder,
    strictly_equal,
    tidy,
    to_number,
    to_text,
)

Eager: TypeAlias = Callable[[Sequence[Json]], Json]


def _add(args: Sequence[Json]) -> Json:
    total: float = 0
    for item in args:
        total = tidy(total + to_number(item))
    return total


def _multiply(args: Sequence[Json]) -> Json:
    product: float = 1
    for item in args:
        product = tidy(product * to_number(item))
    return product


def _subtract(args: Sequence[Json]) -> Json:
    if not args:
        raise invalid_arguments("`-` needs an argument")
    first = to_number(args[0])
    if len(args) == 1:
        return tidy(-first)
    for item in args[1:]:
        first = tidy(first - to_number(item))
    return first


def _divide(args: Sequence[Json]) -> Json:
    if not args:
        raise invalid_arguments("`/` needs an argument")
    result: float = 1 if len(args) == 1 else to_number(args[0])
    for item in args if len(args) == 1 else args[1:]:
        divisor = to_number(item)
        if divisor == 0:
            raise not_a_number("a division by zero")
        result = tidy(result / divisor)
    return result


def _modulo(args: Sequence[Json]) -> Json:
    if len(args) < 2:
        raise invalid_arguments("`%` needs two arguments")
    result = to_number(args[0])
    for item in args[1:]:
        result = remainder(result, to_number(item))
    return result


def _numbers(name: str, args: Sequence[Json]) -> list[float]:
    if not args:
        raise invalid_arguments(f"`{name}` needs an argument")
    numbers = [item for item in args if isinstance(item, int | float) and not isinstance(item, bool)]
    if len(numbers) != len(args):
        raise invalid_arguments(f"`{name}` needs numbers")
    if any(item != item for item in numbers):
        raise not_a_number("an operand")
    return numbers


def _maximum(args: Sequence[Json]) -> Json:
    return max(_numbers("max", args))


def _minimum(args: Sequence[Json]) -> Json:
    return min(_numbers("min", args))


def _contains(args: Sequence[Json]) -> Json:
    if len(args) < 2 or not args[1]:
        return False
    needle, hay = args[0], args[1]
    if isinstance(hay, str):
        return to_text(needle) in hay
    if isinstance(hay, list | tuple):
        return any(strictly_equal(needle, item) for item in hay)
    return False


def _concatenate(args: Sequence[Json]) -> Json:
    return "".join("" if item is None else to_text(item) for item in args)


def _substring(args: Sequence[Json]) -> Json:
    if not args:
        raise invalid_arguments("`substr` needs a text")
    text = to_text(args[0])
    start = _whole(args[1]) if len(args) > 1 else 0
    tail = text[start:] if start >= 0 else text[max(len(text) + start, 0) :]
    if len(args) < 3 or args[2] is None:
        return tail
    length = _whole(args[2])
    return tail[:length]


def _whole(value: Json) -> int:
    number = to_number(value)
    return int(max(min(number, 2**53), -(2**53)))


def _merge(args: Sequence[Json]) -> Json:
    merged: list[Json] = []
    for item in args:
        if isinstance(item, list | tuple):
            merged.extend(item)
        else:
            merged.append(item)
    return merged


def _within(args: Sequence[Json]) -> Json:
    if len(args) != 3:
        raise invalid_arguments("`within` needs two times and a number of seconds")
    earlier, later, seconds = (to_number(item) for item in args)
    return abs(tidy(later - earlier)) <= seconds


def _throw(args: Sequence[Json]) -> Json:
    thrown = args[0] if args else None
    if isinstance(thrown, Mapping):
        kind = thrown.get("type")
        raise JsonLogicError(kind if isinstance(kind, str) else to_text(kind), thrown=thrown)
    raise JsonLogicError(to_text(thrown))


def _first(args: Sequence[Json]) -> Json:
    return args[0] if args else None


EAGER: Mapping[str, Eager] = {
    "+": _add,
    "*": _multiply,
    "-": _subtract,
    "/": _divide,
    "%": _modulo,
    "max": _maximum,
    "min": _minimum,
    "in": _contains,
    "cat": _concatenate,
    "substr": _substring,
    "merge": _merge,
    "within": _within,
    "throw": _throw,
    "log": _first,
}

UNARY: Mapping[str, Eager] = {
    "!": lambda args: not is_truthy(_first(args)),
    "!!": lambda args: is_truthy(_first(args)),
}
