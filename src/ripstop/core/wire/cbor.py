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
    for form in (">Be", ">Bf"):
        try:
            short = struct.pack(form, 0xF9 if form == ">Be" else 0xFA, value)
        except OverflowError:
            continue
        if struct.unpack(form, short)[1] == value:
            return short
    return struct.pack(">Bd", 0xFB, value)


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


class _Reader:
    __slots__ = ("at", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, n: int) -> bytes:
        end = self.at + n
        if end > len(self.data):
            raise _bad("truncated")
        piece = self.data[self.at : end]
        self.at = end
        return piece

    def head(self) -> tuple[int, int, int]:
        """Read (major type, additional information, argument)."""
        first = self.take(1)[0]
        major, info = first >> 5, first & 31
        if info < 24:
            return major, info, info
        if info > 27:
            raise _bad("indefinite length or reserved form")
        width = 1 << (info - 24)
        n = int.from_bytes(self.take(width), "big")
        if major != 7 and (n < 24 or (width > 1 and n < 1 << (4 * width))):
            raise _bad("longer form than needed")
        return major, info, n


def decode(data: bytes) -> Value:
    """Decode one value that fills `data` exactly.

    Raises:
        WireError: W0101 where the bytes are not the deterministic encoding of a known value.
    """
    reader = _Reader(data)
    value = _decode(reader, 0)
    if reader.at != len(data):
        raise _bad("trailing bytes")
    return value


def _simple(info: int, n: int) -> Value:
    if info < 24:
        if info in (20, 21):
            return info == 21
        if info == 22:
            return None
        raise _bad("unknown simple value")
    if info == 24:
        raise _bad("unknown simple value")
    form, width = {25: (">e", 2), 26: (">f", 4), 27: (">d", 8)}[info]
    raw = n.to_bytes(width, "big")
    value: float = struct.unpack(form, raw)[0]
    if _float(value) != bytes((7 << 5 | info,)) + raw:
        raise _bad("longer form than needed")
    return value


def _decode(reader: _Reader, depth: int) -> Value:
    major, info, n = reader.head()
    if major == 0:
        return n
    if major == 1:
        return -1 - n
    if major == 2:
        return reader.take(n)
    if major == 3:
        try:
            return reader.take(n).decode()
        except UnicodeDecodeError as error:
            raise _bad("text is not UTF-8") from error
    if major == 7:
        return _simple(info, n)
    if major == 6:
        raise _bad("tag not expected")
    if depth >= MAX_DEPTH:
        raise _bad(f"nesting deeper than {MAX_DEPTH}")
    if n > len(reader.data) - reader.at:
        raise _bad("truncated")
    if major == 4:
        return [_decode(reader, depth + 1) for _ in range(n)]
    return _mapping(reader, n, depth)


def _mapping(reader: _Reader, n: int, depth: int) -> Value:
    result: dict[str | int, Value] = {}
    last = b""
    for _ in range(n):
        start = reader.at
        key = _decode(reader, depth + 1)
        raw = reader.data[start : reader.at]
        if type(key) is not str and type(key) is not int:
            raise _bad("map key is neither text nor integer")
        if raw <= last:
            raise _bad("map keys repeated or out of order")
        last = raw
        result[key] = _decode(reader, depth + 1)
    return result  # type: ignore[return-value]
