"""Canonical JSON (RFC 8785) and SHA-256 digests: the same value gives the same bytes everywhere."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from json.encoder import encode_basestring
from typing import TypeAlias

from ripstop.core.errors import RipstopError
from ripstop.core.recall import Recall, characters

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"

MAX_SAFE_INTEGER = 2**53  # RFC 7493: beyond it two integers may be one binary64
_MAX_DEPTH = 200
_JS_PLAIN_DIGITS = 21  # ECMA-262 Number::toString: an exponent is written from 1e21 on
_JS_LEADING_ZEROS = -6  # ... and below 1e-6
# The usual classes stand first: asking an abstract one takes many times as long.
_OBJECTS, _ARRAYS, _OCTETS = (dict, Mapping), (list, tuple, Sequence), (bytes, bytearray, memoryview)
_WORDS = {True: "true", False: "false", None: "null"}
_quote: Callable[[str], str] = encode_basestring


class CanonicalError(RipstopError):
    """A value that has no canonical JSON: NaN, an unsafe integer, a lone surrogate, a foreign object."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, code="X0101", hint=hint)


def canonical_json(value: Json) -> bytes:
    """Give the RFC 8785 bytes of a JSON value (tuples count as arrays).

    Raises:
        CanonicalError: for non-finite numbers, integers beyond 2^53, lone surrogates, keys that are not
            strings, foreign objects, and values nested more than 200 deep.
    """
    parts: list[str] = []
    _write(value, parts.append, 0)
    try:
        return "".join(parts).encode()
    except UnicodeEncodeError:
        raise CanonicalError("a string holds half of a surrogate pair") from None


def digest(value: Json) -> str:
    """Give the SHA-256 of a value's canonical JSON, in lower-case hexadecimal."""
    return digest_bytes(canonical_json(value))


def digest_bytes(content: bytes) -> str:
    """Give the SHA-256 of bytes, in lower-case hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def number_text(value: float) -> str:
    """Write a finite number as ECMAScript does (ECMA-262 Number::toString, radix 10).

    Raises:
        CanonicalError: when the number is NaN or infinite.
    """
    if value - value != 0.0:
        raise CanonicalError(f"`{value}` is not a JSON number")
    if value == int(value) and abs(value) <= MAX_SAFE_INTEGER:
        return str(int(value))
    shortest = float.__repr__(value) if isinstance(value, float) else repr(value)
    if "e" not in shortest:  # between 1e-4 and 1e16 both write the same digits, plainly
        return shortest.removesuffix(".0")
    sign = "-" if value < 0 else ""
    mantissa, _, exponent_text = shortest.removeprefix("-").partition("e")
    whole, _, fraction = mantissa.partition(".")
    if fraction == "0":
        fraction = ""
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent_text or "0")  # the decimal point stands after this many digits
    if whole == "0":
        point -= len(fraction) - len(fraction.lstrip("0")) + 1
    if _JS_LEADING_ZEROS < point <= _JS_PLAIN_DIGITS:
        if point <= 0:
            return f"{sign}0.{'0' * -point}{digits}"
        if point >= len(digits):
            return sign + digits.ljust(point, "0")
        return f"{sign}{digits[:point]}.{digits[point:]}"
    shown = digits[0] + (f".{digits[1:]}" if len(digits) > 1 else "")
    return f"{sign}{shown}e{point - 1:+d}"


def _write(value: Json, put: Callable[[str], None], depth: int) -> None:
    if isinstance(value, str):
        put(_quote(value))
    elif isinstance(value, float):
        put(number_text(value))
    elif value is True or value is False or value is None:
        put(_WORDS[value])
    elif isinstance(value, int):
        put(_whole_text(value))
    elif depth >= _MAX_DEPTH:
        raise CanonicalError(f"a value is nested more than {_MAX_DEPTH} deep")
    elif isinstance(value, _OBJECTS):
        _write_object(value, put, depth)
    elif isinstance(value, _ARRAYS) and not isinstance(value, _OCTETS):
        _write_array(value, put, depth)
    else:
        raise CanonicalError("a value is neither null, boolean, number, string, array nor object")


def _whole_text(value: int) -> str:
    if not -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER:
        raise CanonicalError(
            f"integer `{value:.3e}` is beyond 2^53" if abs(value) < 10**300 else "an integer is beyond 2^53",
            "write it as a string",
        )
    return str(int(value))


def _write_array(value: Sequence[Json], put: Callable[[str], None], depth: int) -> None:
    put("[")
    for index, item in enumerate(value):
        if index:
            put(",")
        _write(item, put, depth + 1)
    put("]")


def _write_object(value: Mapping[str, Json], put: Callable[[str], None], depth: int) -> None:
    for opening, key in _LAYOUTS[tuple(value)]:
        put(opening)
        _write(value[key], put, depth + 1)
    put("}" if value else "{}")


def _layout(names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Give an object's keys in order, each after what stands before its value: the same keys come often."""
    try:
        keys = sorted(names)
        if not "".join(keys).isascii():
            keys.sort(key=lambda key: key.encode("utf-16-be"))
    except UnicodeEncodeError:
        raise CanonicalError("a key holds half of a surrogate pair") from None
    except TypeError:
        raise CanonicalError("an object has a key that is not a string") from None
    return tuple((f"{',' if index else '{'}{_quote(key)}:", key) for index, key in enumerate(keys))


_LAYOUTS = Recall(_layout, characters)
