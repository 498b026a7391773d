"""Deterministic CBOR (RFC 8949, section 4.2.1), strict both ways: one value has one encoding.

Known types: None, bool, int (64 bit), float (shortest form that keeps the value), str, bytes, list or tuple,
dict with str or int keys (sorted bytewise by encoding). Anything else, duplicate or unsorted keys, indefinite
lengths, longer forms than needed, trailing bytes or nesting over `MAX_DEPTH` is a `WireError`.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from ..errors import WireError

Value: TypeAlias = (
    "bool | int | float | str | bytes | Sequence[Value] | Mapping[str, Value] | Mapping[int, Value] | None"
)
MAX_DEPTH = 32
_HALF, _SINGLE, _DOUBLE = struct.Struct(">Be"), struct.Struct(">Bf"), struct.Struct(">Bd")
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
    if math.isnan(value):
        return _NAN
    try:
        single = _SINGLE.pack(0xFA, value)
    except OverflowError:
        return _DOUBLE.pack(0xFB, value)
    if _SINGLE.unpack(single)[1] != value:
        return _DOUBLE.pack(0xFB, value)
    try:
        half = _HALF.pack(0xF9, value)
    except OverflowError:
        return single
    return half if _HALF.unpack(half)[1] == value else single


def encode(value: Value) -> bytes:
    """Encode a value; the same value always gives the same bytes."""
    out = bytearray()
    _encode(value, out, 0)
    return bytes(out)


def _encode(value: Value, out: bytearray, depth: int) -> None:
    kind = type(value)
    if kind is str:
        data = value.encode()  # type: ignore[union-attr]
        out += _head(3, len(data)) + data
    elif kind is int:
        out += _head(0, value) if value >= 0 else _head(1, -1 - value)  # type: ignore[operator, arg-type]
    elif kind is float:
        out += _float(value)  # type: ignore[arg-type]
    elif kind is bytes:
        out += _head(2, len(value)) + value  # type: ignore[arg-type, operator]
    elif value is None:
        out.append(0xF6)
    elif kind is bool:
        out.append(0xF5 if value else 0xF4)
    elif depth >= MAX_DEPTH:
        raise _bad(f"nesting deeper than {MAX_DEPTH}")
    elif isinstance(value, Mapping):
        out += _head(5, len(value))
        pairs = sorted((encode(key), item) for key, item in value.items())
        for key, item in pairs:
            out += key
            _encode(item, out, depth + 1)
    elif isinstance(value, list | tuple):
        out += _head(4, len(value))
        for item in value:
            _encode(item, out, depth + 1)
    else:
        raise _bad(f"cannot encode `{kind.__name__}`")


def _argument(data: bytes, at: int) -> tuple[int, int, int, int]:
    """Read (major type, additional information, argument, offset behind it)."""
    if at >= len(data):
        raise _bad("truncated")
    first = data[at]
    info = first & 31
    if info < 24:
        return first >> 5, info, info, at + 1
    if info > 27:
        raise _bad("indefinite length or reserved form")
    width = 1 << (info - 24)
    end = at + 1 + width
    if end > len(data):
        raise _bad("truncated")
    n = int.from_bytes(data[at + 1 : end], "big")
    if first < 0xE0 and (n < 24 or (width > 1 and n < 1 << (4 * width))):
        raise _bad("longer form than needed")
    return first >> 5, info, n, end


def decode(data: bytes) -> Value:
    """Decode one value that fills `data` exactly.

    Raises:
        WireError: W0101 where the bytes are not the deterministic encoding of a known value.
    """
    value, at = _decode(data, 0, 0)
    if at != len(data):
        raise _bad("trailing bytes")
    return value


_FLOATS = {25: ">e", 26: ">f", 27: ">d"}


def _simple(info: int, n: int) -> Value:
    if info in _FLOATS:
        raw = n.to_bytes(1 << (info - 24), "big")
        value: float = struct.unpack(_FLOATS[info], raw)[0]
        if (info != 25 or value != value) and _float(value) != bytes((7 << 5 | info,)) + raw:
            raise _bad("longer form than needed")
        return value
    if info in (20, 21):
        return info == 21
    if info == 22:
        return None
    raise _bad("unknown simple value")


def _decode(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    major, info, n, at = _argument(data, at)
    if major == 0:
        return n, at
    if major == 7:
        return _simple(info, n), at
    if major == 1:
        return -1 - n, at
    if major == 6:
        raise _bad("tag not expected")
    if n > len(data) - at:
        raise _bad("truncated")
    if major == 2:
        return data[at : at + n], at + n
    if major == 3:
        try:
            return data[at : at + n].decode(), at + n
        except UnicodeDecodeError as error:
            raise _bad("text is not UTF-8") from error
    if depth >= MAX_DEPTH:
        raise _bad(f"nesting deeper than {MAX_DEPTH}")
    if major == 4:
        items = []
        for _ in range(n):
            item, at = _decode(data, at, depth + 1)
            items.append(item)
        return items, at
    return _mapping(data, at, n, depth)


def _mapping(data: bytes, at: int, n: int, depth: int) -> tuple[Value, int]:
    result: dict[str | int, Value] = {}
    last = b""
    for _ in range(n):
        key, end = _decode(data, at, depth + 1)
        if type(key) is not str and type(key) is not int:
            raise _bad("map key is neither text nor integer")
        if data[at:end] <= last:
            raise _bad("map keys repeated or out of order")
        last = data[at:end]
        result[key], at = _decode(data, end, depth + 1)
    return result, at  # type: ignore[return-value]
