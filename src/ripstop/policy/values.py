"""JavaScript's view of JSON values, as JSON-Logic uses it: truth, numbers, text, equality, order.

The community suites tighten JavaScript in one respect: where JavaScript would go on with NaN, JSON-Logic
raises an error of type `NaN`.
"""

from __future__ import annotations

import re
from math import fmod, inf, isfinite, nan
from typing import Final

from ripstop.core.canonical import MAX_SAFE_INTEGER, Json, number_text
from ripstop.core.errors import RipstopError

NAN: Final = "NaN"
INVALID_ARGUMENTS: Final = "Invalid Arguments"
UNKNOWN_OPERATOR: Final = "Unknown Operator"
TOO_DEEP: Final = "Too Deep"

_DECIMAL = re.compile(r"[+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)\Z", re.ASCII)
_RADIX = re.compile(r"0(?:[xX][0-9a-fA-F]+|[oO][0-7]+|[bB][01]+)\Z", re.ASCII)
_JS_SPACE = " \t\n\r\v\f\xa0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff" + "".join(
    map(chr, range(0x2000, 0x200B))
)


class JsonLogicError(RipstopError):
    """An error of JSON-Logic itself: raised by an operator or by `throw`; `try` catches it.

    `type` is `NaN`, `Invalid Arguments`, `Unknown Operator`, `Too Deep`, or what was thrown; `thrown` is the
    whole value that a `throw` threw.
    """

    def __init__(self, type: str, message: str = "", *, thrown: Json = None, hint: str = "") -> None:  # noqa: A002 (JSON-Logic's own word for it)
        super().__init__(message or f"the rule raised `{type}`", code="E0401", hint=hint)
        self.type = type
        self.thrown: Json = {"type": type} if thrown is None else thrown


def not_a_number(what: str) -> JsonLogicError:
    """Build the error for a value that is no number, or a result that is none."""
    return JsonLogicError(NAN, f"{what} is not a number")


def invalid_arguments(what: str) -> JsonLogicError:
    """Build the error for arguments that an operator cannot take."""
    return JsonLogicError(INVALID_ARGUMENTS, what)


def is_truthy(value: Json) -> bool:
    """Whether JSON-Logic takes the value for true: not null, false, 0, NaN, the empty string or array."""
    if isinstance(value, float):
        return value == value and value != 0.0
    return (
        value is not None
        and value is not False
        and value != 0
        and value != ""
        and value != []
        and value != ()
    )


def to_number(value: Json) -> float:
    """Convert as JavaScript's Number() does.

    Raises:
        JsonLogicError: of type `NaN`, for arrays, objects, NaN and text that is no number.
    """
    if value is None:
        return 0
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return value if -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER else _rounded(value)
    if isinstance(value, float):
        if value != value:
            raise not_a_number("an operand")
        return float(value)  # a subclass, as NumPy's, need not compute and compare as it should
    if isinstance(value, str):
        return _number_of_text(value)
    raise not_a_number("an array" if isinstance(value, list | tuple) else "an object")


def _rounded(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return inf if value > 0 else -inf


def _number_of_text(text: str) -> float:
    stripped = text.strip(_JS_SPACE)
    if not stripped:
        return 0
    if _DECIMAL.match(stripped):
        value = float(stripped)
        return int(value) if value.is_integer() and abs(value) <= MAX_SAFE_INTEGER else value
    if _RADIX.match(stripped):
        return _rounded(int(stripped, 0)) if len(stripped) > 15 else int(stripped, 0)
    if stripped in ("Infinity", "+Infinity"):
        return inf
    if stripped == "-Infinity":
        return -inf
    raise not_a_number("a text" if len(text) > 40 else f"`{text}`")


def _is_number(text: str) -> bool:
    try:
        _number_of_text(text)
    except JsonLogicError:
        return False
    return True


def tidy(value: float) -> float:
    """Give an arithmetic result back: whole numbers as integers, nothing beyond binary64.

    Raises:
        JsonLogicError: of type `NaN`, when the result is NaN or infinite.
    """
    if isinstance(value, int):
        return value if -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER else tidy(_rounded(value))
    if not isfinite(value):
        raise not_a_number("the result")
    return int(value) if value.is_integer() and abs(value) <= MAX_SAFE_INTEGER else value


def remainder(left: float, right: float) -> float:
    """Give JavaScript's `%`: the sign of the dividend.

    Raises:
        JsonLogicError: of type `NaN`, when the divisor is zero or the dividend infinite.
    """
    if right == 0 or left in (inf, -inf):
        raise not_a_number("the remainder")
    return tidy(fmod(left, right))


def to_text(value: Json) -> str:
    """Convert as JavaScript's String() does; an array joins its items with commas."""
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number_text(tidy(value))
    if isinstance(value, list | tuple):
        return ",".join("" if item is None else to_text(item) for item in value)
    return "[object Object]"


def loosely_equal(left: Json, right: Json) -> bool:
    """Compare two strings as text, everything else as numbers; null is 0 to a number, and no text.

    JavaScript's null equals no number either; JSON-Logic's community suites let it.
    """
    if isinstance(left, str) and isinstance(right, str):
        return left == right
    if (left is None and isinstance(right, str)) or (right is None and isinstance(left, str)):
        return False
    return to_number(left) == to_number(right)


def strictly_equal(left: Json, right: Json) -> bool:
    """Compare kind and value; arrays and objects are equal to nothing but themselves, as in JavaScript."""
    if isinstance(left, bool) or isinstance(right, bool) or left is None or right is None:
        return left is right
    if isinstance(left, int | float) and isinstance(right, int | float):
        return bool(left == right)
    if isinstance(left, str) and isinstance(right, str):
        return left == right
    return left is right and isinstance(left, list | tuple | dict)


def compare(left: Json, right: Json) -> float:
    """Give -1, 0 or 1: two strings by their UTF-16 code units, everything else as numbers.

    NaN, so that no order holds, where null meets a text that is no number, as in JavaScript.
    """
    if isinstance(left, str) and isinstance(right, str):
        low, high = _units(left), _units(right)
        return (low > high) - (low < high)
    if left is None or right is None:
        text = right if left is None else left
        if isinstance(text, str) and not _is_number(text):
            return nan
    first, second = to_number(left), to_number(right)
    return (first > second) - (first < second)


def _units(text: str) -> bytes:
    return text.encode("utf-16-be", "surrogatepass")
