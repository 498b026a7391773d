"""Deterministic CBOR (RFC 8949, section 4.2.1), strict both ways: one value has one encoding.

Known types: None, bool, int (64 bit), float (shortest form that keeps the value), str, bytes, list or tuple,
dict with str or int keys (sorted bytewise by encoding). Anything else, duplicate or unsorted keys, indefinite
lengths, longer forms than needed, trailing bytes or nesting over `MAX_DEPTH` is a `WireError`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from ..errors import WireError

Value: TypeAlias = (
    "bool | int | float | str | bytes | Sequence[Value] | Mapping[str, Value] | Mapping[int, Value] | None"
)
MAX_DEPTH = 32
_HALF, _SINGLE, _DOUBLE = struct.Struct(">Be"), struct.Struct(">Bf"), struct.Struct(">Bd")
_RAW_DOUBLE = struct.Struct(">d")
_NAN = b"\xf9\x7e\x00"


def _bad(message: str) -> WireError:
    return WireError(message, code="W0101")


def _head(major: int, n: int) -> bytes:
    if n < 24:
        return bytes((major << 5 | n,))
    if n < 1 << 8:
        return bytes((major << 5 | 24, n))
    if n < 1 << 16:
        return struct.pack(">BH", major << 5 | 25, n)
    if n < 1 << 32:
        return struct.pack(">BI", major << 5 | 26, n)
    if n < 1 << 64:
        return struct.pack(">BQ", major << 5 | 27, n)
    raise _bad("integer does not fit in 64 bits")


def _float(value: float) -> bytes:
    if value != value:
        return _NAN
    double = _DOUBLE.pack(0xFB, value)
    # A single has 23 bits of mantissa, a double 52: with one of the last 29 set it is none.
    if double[8] or double[7] or double[6] or double[5] & 31:
        return double
    try:
        single = _SINGLE.pack(0xFA, value)
    except OverflowError:
        return double
    if _SINGLE.unpack(single)[1] != value:
        return double
    try:
        half = _HALF.pack(0xF9, value)
    except OverflowError:
        return single
    return half if _HALF.unpack(half)[1] == value else single


def encode(value: Value) -> bytes:
    """Encode a value; the same value always gives the same bytes.

    Raises:
        WireError: W0101 for a type that is not known, an integer over 64 bits, or nesting over `MAX_DEPTH`.
    """
    out = bytearray()
    _encode(value, out, 0)
    return bytes(out)


def _text(value: str) -> bytes:
    try:
        data = value.encode()
    except UnicodeEncodeError as error:
        raise _bad("text holds half a surrogate pair") from error
    return _head(3, len(data)) + data


def _encode(value: Value, out: bytearray, depth: int) -> None:
    kind = type(value)
    if kind is str:
        out += _text(value)  # type: ignore[arg-type]
    elif kind is float:
        out += _float(value)  # type: ignore[arg-type]
    elif kind is int:
        out += _head(0, value) if value >= 0 else _head(1, -1 - value)  # type: ignore[operator, arg-type]
    elif kind is bytes:
        out += _head(2, len(value)) + value  # type: ignore[arg-type, operator]
    elif value is None:
        out.append(0xF6)
    elif kind is bool:
        out.append(0xF5 if value else 0xF4)
    elif depth >= MAX_DEPTH:
        raise _bad(f"nesting deeper than {MAX_DEPTH}")
    elif isinstance(value, list | tuple):
        out += _head(4, len(value))
        for item in value:
            _encode(item, out, depth + 1)
    elif isinstance(value, Mapping):
        out += _head(5, len(value))
        for key, item in sorted((_key(key), item) for key, item in value.items()):
            out += key
            _encode(item, out, depth + 1)
    else:
        raise _bad(f"cannot encode `{kind.__name__}`")


def _key(key: str | int) -> bytes:
    if type(key) is str:
        return _text(key)
    if type(key) is int:
        return _head(0, key) if key >= 0 else _head(1, -1 - key)
    raise _bad("map key is neither text nor integer")


def decode(data: bytes) -> Value:
    """Decode one value that fills `data` exactly.

    Raises:
        WireError: W0101 where the bytes are not the deterministic encoding of a known value.
    """
    try:
        value, at = _decode(data, 0, 0)
    except (IndexError, struct.error) as error:
        raise _bad("truncated") from error
    except UnicodeDecodeError as error:
        raise _bad("text is not UTF-8") from error
    if at != len(data):
        raise _bad("trailing bytes")
    return value


def _decode(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    """Decode the value at an offset; gives it and the offset behind it. IndexError: truncated."""
    first = data[at]
    if first < 0x18:
        return first, at + 1
    if first >= 0xC0:
        return _simple(data, at, first)
    info, at = first & 31, at + 1
    if info < 24:
        n = info
    else:
        n, at = _argument(data, at, info)
    if first < 0x40:
        return (n if first < 0x20 else -1 - n), at
    if n > len(data) - at:
        raise _bad("truncated")
    if first < 0x60:
        return data[at : at + n], at + n
    if first < 0x80:
        return data[at : at + n].decode(), at + n
    if depth >= MAX_DEPTH:
        raise _bad(f"nesting deeper than {MAX_DEPTH}")
    if first < 0xA0:
        return _array(data, at, n, depth)
    return _mapping(data, at, n, depth)


def _argument(data: bytes, at: int, info: int) -> tuple[int, int]:
    """Read a number that does not fit into the first byte; gives it and the offset behind it."""
    if info > 27:
        raise _bad("indefinite length or reserved form")
    width = 1 << (info - 24)
    end = at + width
    if end > len(data):
        raise _bad("truncated")
    n = int.from_bytes(data[at:end], "big")
    if n < 24 or (width > 1 and n < 1 << (4 * width)):
        raise _bad("longer form than needed")
    return n, end


_FLOATS = {0xF9: (_HALF, 3), 0xFA: (_SINGLE, 5), 0xFB: (_DOUBLE, 9)}
_WORDS: dict[int, Value] = {0xF4: False, 0xF5: True, 0xF6: None}


def _simple(data: bytes, at: int, first: int) -> tuple[Value, int]:
    if first in _FLOATS:
        form, width = _FLOATS[first]
        value: float = form.unpack_from(data, at)[1]
        if _float(value) != data[at : at + width]:
            raise _bad("longer form than needed")
        return value, at + width
    if first in _WORDS:
        return _WORDS[first], at + 1
    raise _bad("tag not expected" if first < 0xE0 else "unknown simple value")


def _array(data: bytes, at: int, n: int, depth: int) -> tuple[Value, int]:
    """Decode `n` items; the scalars that fill most arrays are read without a call."""
    items: list[Value] = []
    add = items.append
    for _ in range(n):
        first = data[at]
        if first == 0xFB and data[at + 8]:
            # A double that no shorter form can hold (see `_float`); NaN has one.
            (number,) = _RAW_DOUBLE.unpack_from(data, at + 1)
            if number != number:
                raise _bad("longer form than needed")
            add(number)
            at += 9
        elif first < 0x18:
            add(first)
            at += 1
        elif 0x60 <= first < 0x78:
            end = at + first - 0x5F
            if end > len(data):
                raise _bad("truncated")
            add(data[at + 1 : end].decode())
            at = end
        else:
            item, at = _decode(data, at, depth + 1)
            add(item)
    return items, at


def _mapping(data: bytes, at: int, n: int, depth: int) -> tuple[Value, int]:
    result: dict[str | int, Value] = {}
    last = b""
    for _ in range(n):
        key, end = _decode(data, at, depth + 1)
        if type(key) is not str and type(key) is not int:
            raise _bad("map key is neither text nor integer")
        raw = data[at:end]
        if raw <= last:
            raise _bad("map keys repeated or out of order")
        last = raw
        result[key], at = _decode(data, end, depth + 1)
    return result, at  # type: ignore[return-value]
