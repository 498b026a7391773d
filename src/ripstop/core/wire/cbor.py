"""Deterministic CBOR (RFC 8949, section 4.2.1), strict both ways: one value has one encoding.

Known types: None, bool, int (64 bit), float (shortest form that keeps the value), str, bytes, list or tuple,
dict with str or int keys (sorted bytewise by encoding). Anything else, duplicate or unsorted keys, indefinite
lengths, longer forms than needed, trailing bytes or nesting over `MAX_DEPTH` is a `WireError`.

Both directions are tables: a value's type names its writer, an item's first byte its reader. `record` builds
the codecs of the messages from the same entries.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias, TypeVar

from ..errors import WireError
from ..recall import Recall, characters

Value: TypeAlias = (
    "bool | int | float | str | bytes | Sequence[Value] | Mapping[str, Value] | Mapping[int, Value] | None"
)
T = TypeVar("T")
_Reader: TypeAlias = Callable[[bytes, int, int], tuple[Value, int]]
MAX_DEPTH = 32
_HALF, _SINGLE, _DOUBLE = struct.Struct(">Be"), struct.Struct(">Bf"), struct.Struct(">Bd")
_LONG_2, _LONG_4, _LONG_8 = struct.Struct(">BH"), struct.Struct(">BI"), struct.Struct(">BQ")
_RAW_DOUBLE = struct.Struct(">d")
_NAN = b"\xf9\x7e\x00"
_TEXT_ONLY = {str}
_SEQUENCES = (list, tuple)


def _bad(message: str) -> WireError:
    return WireError(message, code="W0101")


# ---- writing ------------------------------------------------------------------------------------------


def encode(value: Value, depth: int = 0) -> bytes:
    """Encode a value; the same value always gives the same bytes.

    Args:
        value: of the known types.
        depth: how many containers it will stand in.

    Raises:
        WireError: W0101 for a type that is not known, an integer over 64 bits, or nesting over `MAX_DEPTH`.
    """
    write = SCALARS.get(type(value))
    return _container(value, depth) if write is None else write(value)


def _long_head(major: int, n: int) -> bytes:
    if n < 24:
        return bytes((major << 5 | n,))
    if n < 1 << 8:
        return bytes((major << 5 | 24, n))
    if n < 1 << 16:
        return _LONG_2.pack(major << 5 | 25, n)
    if n < 1 << 32:
        return _LONG_4.pack(major << 5 | 26, n)
    if n < 1 << 64:
        return _LONG_8.pack(major << 5 | 27, n)
    raise _bad("integer does not fit in 64 bits")


_HEADS = tuple(tuple(_long_head(major, n) for n in range(256)) for major in range(6))
_NATURALS, _NEGATIVES, _OCTETS, _TEXTS, _ARRAYS, _MAPS = _HEADS


def _integer(value: int) -> bytes:
    if 0 <= value < 256:
        return _NATURALS[value]
    if 1 << 32 <= value < 1 << 64:  # moments are that long
        return _LONG_8.pack(27, value)
    return _long_head(0, value) if value >= 0 else _long_head(1, -1 - value)


def _octets(value: bytes) -> bytes:
    n = len(value)
    return (_OCTETS[n] if n < 256 else _long_head(2, n)) + value


def _text(value: str) -> bytes:
    try:
        data = value.encode()
    except UnicodeEncodeError as error:
        raise _bad("text holds half a surrogate pair") from error
    n = len(data)
    return (_TEXTS[n] if n < 256 else _long_head(3, n)) + data


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


SCALARS: Mapping[object, Callable[..., bytes]] = {
    str: _text,
    float: _float,
    int: _integer,
    bytes: _octets,
    bool: (b"\xf4", b"\xf5").__getitem__,
    type(None): lambda _: b"\xf6",
}
"""How a value is written that is no container, by its very type."""


def array_head(n: int) -> bytes:
    """Give the head of an array of n items."""
    return _ARRAYS[n] if n < 256 else _long_head(4, n)


def join_array(items: Sequence[bytes]) -> bytes:
    """Give the array of items that are encoded already."""
    return array_head(len(items)) + b"".join(items)


def _container(value: Value, depth: int) -> bytes:
    if depth >= MAX_DEPTH:
        raise _bad(f"nesting deeper than {MAX_DEPTH}")
    if isinstance(value, _SEQUENCES):
        return join_array(_items(value, depth + 1))
    if isinstance(value, Mapping):
        return _map_of(value, depth + 1)
    raise _bad(f"cannot encode `{type(value).__name__}`")


def _map_of(value: Mapping[str, Value] | Mapping[int, Value], depth: int) -> bytes:
    names = tuple(value)
    if set(map(type, names)) != _TEXT_ONLY:
        pairs = sorted(zip(map(_key, names), _items(value.values(), depth), strict=True))
        return _map_head(len(names)) + b"".join([part for pair in pairs for part in pair])
    head, keys = _LAYOUTS[names]  # type: ignore[index]  # its keys are texts
    parts = [head]
    for key, name in keys:
        item = value[name]  # type: ignore[index]  # its keys are texts
        write = SCALARS.get(type(item))
        parts += (key, _container(item, depth) if write is None else write(item))
    return b"".join(parts)


def _map_head(n: int) -> bytes:
    return _MAPS[n] if n < 256 else _long_head(5, n)


def _layout(names: tuple[str, ...]) -> tuple[bytes, tuple[tuple[bytes, str], ...]]:
    """Give a map's head, and its keys, encoded and as they are, in order: the same keys come often."""
    return _map_head(len(names)), tuple(sorted((_text(name), name) for name in names))


_LAYOUTS = Recall(_layout, characters)


def _items(values: Iterable[Value], depth: int) -> list[bytes]:
    items = []
    for value in values:
        write = SCALARS.get(type(value))
        items.append(_container(value, depth) if write is None else write(value))
    return items


def _key(key: object) -> bytes:
    if type(key) is str:
        return _text(key)
    if type(key) is int:
        return _integer(key)
    raise _bad("map key is neither text nor integer")


# ---- reading ------------------------------------------------------------------------------------------


def decode(data: bytes) -> Value:
    """Decode one value that fills `data` exactly.

    Raises:
        WireError: W0101 where the bytes are not the deterministic encoding of a known value.
    """
    return read_whole(lambda data, at: READERS[data[at]](data, at, 0), data)


def read_whole(read: Callable[[bytes, int], tuple[T, int]], data: bytes) -> T:
    """Read `data` from its first byte to its last.

    Args:
        read: takes the bytes and an offset, gives what stands there and the offset behind it; it may raise
            IndexError or struct.error where the bytes end too early, and UnicodeDecodeError.
        data: the bytes.

    Raises:
        WireError: W0101, and what `read` raises.
    """
    try:
        value, at = read(data, 0)
    except (IndexError, struct.error) as error:
        raise _bad("truncated") from error
    except UnicodeDecodeError as error:
        raise _bad("text is not UTF-8") from error
    if at != len(data):
        raise _bad("trailing bytes")
    return value


def open_array(data: bytes, at: int) -> tuple[int, int]:
    """Read an array's head; gives how many items follow (-1 where no array begins here), and where."""
    first = data[at]
    if 0x80 <= first < 0x98:
        return first - 0x80, at + 1
    return _count(data, at) if 0x98 <= first < 0xA0 else (-1, at)


def _argument(data: bytes, at: int) -> tuple[int, int]:
    """Read the number in an item's head; gives it and the offset behind it."""
    info, at = data[at] & 31, at + 1
    if info < 24:
        return info, at
    if info == 25:  # lengths and counters of two bytes come often
        n = data[at] << 8 | data[at + 1]
        if n < 256:
            raise _bad("longer form than needed")
        return n, at + 2
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


def _count(data: bytes, at: int) -> tuple[int, int]:
    """Read a head that says how many bytes or items follow; each takes a byte at least."""
    n, at = _argument(data, at)
    if n > len(data) - at:
        raise _bad("truncated")
    return n, at


def _small(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    return data[at], at + 1


def _natural(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    return _argument(data, at)


def _negative(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    n, at = _argument(data, at)
    return -1 - n, at


def _short_octets(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    end = at + data[at] - 0x3F
    if end > len(data):
        raise _bad("truncated")
    return data[at + 1 : end], end


def _long_octets(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    n, at = _count(data, at)
    return data[at : at + n], at + n


def _short_text(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    end = at + data[at] - 0x5F
    if end > len(data):
        raise _bad("truncated")
    return data[at + 1 : end].decode(), end


def _long_text(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    n, at = _count(data, at)
    return data[at : at + n].decode(), at + n


def _array(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    if depth >= MAX_DEPTH:
        raise _bad(f"nesting deeper than {MAX_DEPTH}")
    n, at = _count(data, at)
    items: list[Value] = []
    for _ in range(n):
        item, at = READERS[data[at]](data, at, depth + 1)
        items.append(item)
    return items, at


def _map(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    if depth >= MAX_DEPTH:
        raise _bad(f"nesting deeper than {MAX_DEPTH}")
    n, at = _count(data, at)
    result: dict[str | int, Value] = {}
    last = b""
    for _ in range(n):
        key, end = READERS[data[at]](data, at, depth + 1)
        if type(key) is not str and type(key) is not int:
            raise _bad("map key is neither text nor integer")
        raw = data[at:end]
        if raw <= last:
            raise _bad("map keys repeated or out of order")
        last = raw
        result[key], at = READERS[data[end]](data, end, depth + 1)
    return result, at  # type: ignore[return-value]  # keys of one map may be of both types


def _false(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    return False, at + 1


def _true(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    return True, at + 1


def _null(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    return None, at + 1


def _double(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    end = at + 9
    (value,) = _RAW_DOUBLE.unpack_from(data, at + 1)
    # With its last byte set no shorter form can hold it (see `_float`); NaN has one.
    if (not data[end - 1] or value != value) and _float(value) != data[at:end]:
        raise _bad("longer form than needed")
    return value, end


def _shorter(form: struct.Struct) -> _Reader:
    def read(data: bytes, at: int, depth: int) -> tuple[Value, int]:
        value: float = form.unpack_from(data, at)[1]
        if _float(value) != data[at : at + form.size]:
            raise _bad("longer form than needed")
        return value, at + form.size

    return read


def _refused(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    first = data[at]
    if first < 0xC0:
        raise _bad("indefinite length or reserved form")
    raise _bad("tag not expected" if first < 0xE0 else "unknown simple value")


def _readers() -> tuple[_Reader, ...]:
    """Make the table from an item's first byte (major type, additional information) to its reader."""
    table: list[_Reader] = [_refused] * 256
    majors = (
        (_small, _natural), (_negative, _negative), (_short_octets, _long_octets), (_short_text, _long_text),
        (_array, _array), (_map, _map),
    )  # fmt: skip
    for major, (short, long) in enumerate(majors):
        table[major << 5 : major << 5 | 24] = [short] * 24
        table[major << 5 | 24 : major << 5 | 28] = [long] * 4
    table[0xF4:0xF7] = [_false, _true, _null]
    table[0xF9:0xFC] = [_shorter(_HALF), _shorter(_SINGLE), _double]
    return tuple(table)


READERS = _readers()
"""What reads an item, by its first byte: takes the bytes, the offset and the depth around it."""
