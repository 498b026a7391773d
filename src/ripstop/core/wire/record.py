"""Frozen dataclasses to deterministic CBOR and back, strictly: a missing, extra or mistyped field is refused.

A value is written as an array of its fields in the order of the class; its type and version travel in what
carries it (subject or envelope). Enums are written by value, tuples as arrays, nested dataclasses as arrays.
A class's codec is generated once, from its annotations; it goes from fields to bytes without a value between.

Lists of records change seldom and travel often (an agent's pending work), so both ways remember them: the
same tuple object gives its bytes again, the same bytes at the end of a record give the same tuple again.
"""

from __future__ import annotations

import dataclasses
import re
import types
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache, lru_cache
from typing import TypeVar, Union, cast, get_args, get_origin, get_type_hints

from ..errors import WireError
from .cbor import READERS, SCALARS, Value, array_head, encode, join_array, open_array, read_whole

T = TypeVar("T")
_Writer = Callable[[object], bytes]
_Reader = Callable[[bytes, int], tuple[object, int]]
_Fit = Callable[[Value], object]
_REMEMBERED = 1024
_REMEMBERED_BYTES = 4096


def pack(record: object) -> bytes:
    """Encode a frozen dataclass; the same value always gives the same bytes."""
    return _writer(type(record))(record)  # type: ignore[arg-type]  # classes are hashable


def unpack(kind: type[T], data: bytes) -> T:
    """Decode a `kind` from bytes.

    Raises:
        WireError: W0101 for bytes that are not deterministic CBOR, W0102 for fields that do not fit.
    """
    result = read_whole(_reader(kind), data)  # type: ignore[arg-type]  # classes are hashable
    assert isinstance(result, kind)  # noqa: S101 - the reader of a class builds that class
    return result


def _bad(message: str) -> WireError:
    return WireError(message, code="W0102")


# ---- writing ------------------------------------------------------------------------------------------


@cache
def _writer(kind: object) -> _Writer:
    if isinstance(kind, type) and issubclass(kind, Enum):
        return lambda item: encode(item.value)  # type: ignore[attr-defined]  # an item of the enum
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _fields_writer(kind)
    if get_origin(kind) is tuple:
        inner = get_args(kind)[0]
        return _tuple_writer(_writer(inner), is_remembered=_is_repeated(inner))
    return encode  # type: ignore[return-value]  # a scalar or a map, by its annotation


def _fields_writer(kind: type) -> _Writer:
    """Generate a record's writer; a field that is annotated as a scalar or a map is written by what it holds.

    def write(item):
        v0 = item.epoch
        v1 = item.generation
        return b"".join((head, w0(v0) if type(v0) is k0 else encode(v0), w1(v1) if ...))
    """
    hints = get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]
    space: dict[str, object] = {"head": array_head(len(names)), "encode": encode}
    parts = ["head"]
    for n, name in enumerate(names):
        write = SCALARS.get(hints[name]) or _writer(hints[name])
        if write is encode:
            parts.append(f"encode(v{n})")
            continue
        space[f"w{n}"], space[f"k{n}"] = write, hints[name]
        is_scalar = hints[name] in SCALARS
        parts.append(f"w{n}(v{n}) if type(v{n}) is k{n} else encode(v{n})" if is_scalar else f"w{n}(v{n})")
    lines = [f"v{n} = item.{name}" for n, name in enumerate(names)]
    lines.append(f"return b''.join(({', '.join(parts)},))")
    return cast(_Writer, _define("write(item)", lines, space))


def _define(signature: str, lines: list[str], space: dict[str, object]) -> object:
    """Define a function from its lines; they hold numbers and the names of a class's fields, nothing else."""
    source = "\n    ".join([f"def {signature}:", *lines])
    exec(source, space)  # noqa: S102 (text that this module built)
    return space[signature.partition("(")[0]]


class _Same:
    """A tuple as a key that equals itself only: an equal one may hold 1 where it holds 1.0."""

    __slots__ = ("held",)

    def __init__(self, held: tuple[object, ...]) -> None:
        self.held = held

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.held is self.held

    def __hash__(self) -> int:
        return id(self.held)


def _is_repeated(inner: object) -> bool:
    """Whether tuples of these are likely to be written again: not where they hold bytes, as an envelope."""
    return dataclasses.is_dataclass(inner) and bytes not in get_type_hints(inner).values()


def _tuple_writer(write: _Writer, *, is_remembered: bool) -> _Writer:
    def write_items(items: object) -> bytes:
        return join_array([write(item) for item in items])  # type: ignore[attr-defined]  # by annotation

    nothing = array_head(0)
    # INVARIANT: records in tuples are frozen all through, so a tuple never changes its bytes.
    recall = lru_cache(maxsize=_REMEMBERED)(lambda same: write_items(same.held))

    def write_records(items: object) -> bytes:
        if not items:
            return nothing
        return recall(_Same(items)) if type(items) is tuple else write_items(items)

    return write_records if is_remembered else write_items


# ---- reading ------------------------------------------------------------------------------------------


@cache
def _reader(kind: object) -> _Reader:
    args = get_args(kind)
    if get_origin(kind) is tuple:
        return _sequence(_reader(args[0]))
    if get_origin(kind) is dict:
        return _map(_fit(args[0]), _fit(args[1]))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _enum(kind)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _record(kind)
    return _scalar(_fit(kind))


def _is_scalar(kind: object) -> bool:
    return kind in SCALARS or get_origin(kind) in (Union, types.UnionType)


def _fit(kind: object) -> _Fit:
    """Give what checks the value of a scalar or of a union of scalars; a whole number stands for a float."""
    kinds = (kind,) if kind in SCALARS else get_args(kind)
    names = " or ".join(f"`{each.__name__}`" for each in kinds)

    def fit(value: Value) -> object:
        if type(value) in kinds:
            return value
        if float in kinds and type(value) is int:
            return float(value)
        raise _bad(f"expected {names}, got `{type(value).__name__}`")

    return fit


def _scalar(fit: _Fit) -> _Reader:
    def read(data: bytes, at: int) -> tuple[object, int]:
        value, at = READERS[data[at]](data, at, 0)
        return fit(value), at

    return read


def _enum(kind: type[Enum]) -> _Reader:
    def read(data: bytes, at: int) -> tuple[object, int]:
        value, at = READERS[data[at]](data, at, 0)
        try:
            return kind(value), at
        except ValueError as error:
            raise _bad(f"unknown value `{value!r}` of `{kind.__name__}`") from error

    return read


def _map(fit_key: _Fit, fit: _Fit) -> _Reader:
    def read(data: bytes, at: int) -> tuple[object, int]:
        value, at = READERS[data[at]](data, at, 0)
        if not isinstance(value, Mapping):
            raise _bad("expected a map")
        return {fit_key(name): fit(item) for name, item in value.items()}, at

    return read


def _sequence(read_one: _Reader) -> _Reader:
    def read(data: bytes, at: int) -> tuple[object, int]:
        n, at = open_array(data, at)
        if n < 0:
            raise _bad("expected an array")
        items = []
        for _ in range(n):
            item, at = read_one(data, at)
            items.append(item)
        return tuple(items), at

    return read


def _remembered(read: _Reader) -> _Reader:
    """Read the last field of a record, which is all that is left: the same rest gives the same value."""
    recall = lru_cache(maxsize=_REMEMBERED)(lambda rest: read(rest, 0))

    def read_rest(data: bytes, at: int) -> tuple[object, int]:
        if len(data) - at > _REMEMBERED_BYTES:
            return read(data, at)
        value, length = recall(data[at:])
        return value, at + length

    return read_rest


# Most fields are short texts and small numbers: these are read in place. What is neither, and what is wrong,
# goes by the table. Here v is the field's variable.
_IN_PLACE: Mapping[object, tuple[str, ...]] = {
    int: ("v = data[at]", "if v < 24: at += 1", "else:"),
    str: (
        "end = at + data[at] - 0x5F",
        "if at < end < at + 25 and end <= size: v, at = data[at + 1 : end].decode(), end",
        "else:",
    ),
    bytes: (
        "end = at + data[at] - 0x3F",
        "if at < end < at + 25 and end <= size: v, at = data[at + 1 : end], end",
        "else:",
    ),
}
_BY_TABLE = ("v, at = READERS[data[at]](data, at, 0)", "if type(v) is not k: v = f(v)")


def _record(kind: type) -> _Reader:
    """Generate a record's reader; a scalar that has its field's very type is taken as it is.

    def read(data, at):
        size = len(data)
        if data[at] != head: refuse(data, at)
        at += 1
        v0, at = READERS[data[at]](data, at, 0)
        if type(v0) is not k0: v0 = f0(v0)
        v1, at = r1(data, at)
        return kind(v0, v1), at
    """
    hints = get_type_hints(kind)
    kinds = [hints[field.name] for field in dataclasses.fields(kind)]
    head = array_head(len(kinds))
    assert len(head) == 1, "a record has fewer than 24 fields"  # noqa: S101 - a fact about our own classes

    def refuse(data: bytes, at: int) -> None:
        open_array(data, at)
        raise _bad(f"fields do not fit `{kind.__name__}`")

    space: dict[str, object] = {"READERS": READERS, "kind": kind, "head": head[0], "refuse": refuse}
    lines = ["size = len(data)", "if data[at] != head: refuse(data, at)", "at += 1"]
    for n, hint in enumerate(kinds):
        if _is_scalar(hint):
            space[f"k{n}"], space[f"f{n}"] = hint, _fit(hint)
            lines += [re.sub(r"\b([vkf])\b", rf"\g<1>{n}", line) for line in _scalar_lines(hint)]
        else:
            read = _reader(hint)
            space[f"r{n}"] = _remembered(read) if n == len(kinds) - 1 and _holds_records(hint) else read
            lines.append(f"v{n}, at = r{n}(data, at)")
    lines.append(f"return kind({', '.join(f'v{n}' for n in range(len(kinds)))}), at")
    return cast(_Reader, _define("read(data, at)", lines, space))


def _scalar_lines(hint: object) -> list[str]:
    in_place = _IN_PLACE.get(hint, ())
    return [*in_place, *(("    " if in_place else "") + line for line in _BY_TABLE)]


def _holds_records(hint: object) -> bool:
    return get_origin(hint) is tuple and dataclasses.is_dataclass(get_args(hint)[0])
