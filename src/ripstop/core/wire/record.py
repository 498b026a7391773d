"""Frozen dataclasses to deterministic CBOR and back, strictly: a missing, extra or mistyped field is refused.

A value is written as an array of its fields in the order of the class; its type and version travel in what
carries it (subject or envelope). Enums are written by value, tuples as arrays, nested dataclasses as arrays.
A class's codec is built once, from its annotations; it goes from fields to bytes without a value in between.

Lists of records change seldom and travel often (an agent's pending work), so both ways remember them: the
same tuple object gives its bytes again, the same bytes at the end of a record give the same tuple again.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache, lru_cache
from operator import attrgetter
from typing import TypeVar, Union, get_args, get_origin, get_type_hints

from ..errors import WireError
from .cbor import READERS, SCALARS, Value, encode, join_array, open_array, read_whole

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
        return _tuple_writer(_writer(inner), is_remembered=dataclasses.is_dataclass(inner))
    return encode  # type: ignore[return-value]  # a scalar or a map, by its annotation


def _fields_writer(kind: type) -> _Writer:
    """Write a record; a field that is annotated as a scalar or a map is written by what it holds."""
    hints = get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]
    # The first name twice: `attrgetter` gives a tuple for two names and more.
    values_of = attrgetter(names[0], *names)
    writers = [_writer(hints[name]) for name in names]
    plan = [None if write is encode else write for write in writers]

    def write_fields(item: object) -> bytes:
        return join_array(
            [
                (SCALARS.get(type(value)) or encode)(value) if write is None else write(value)
                for write, value in zip(plan, values_of(item)[1:], strict=True)
            ]
        )

    return write_fields


class _Same:
    """A tuple as a key that equals itself only: an equal one may hold 1 where it holds 1.0."""

    __slots__ = ("held",)

    def __init__(self, held: tuple[object, ...]) -> None:
        self.held = held

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.held is self.held

    def __hash__(self) -> int:
        return id(self.held)


def _tuple_writer(write: _Writer, *, is_remembered: bool) -> _Writer:
    def write_items(items: object) -> bytes:
        return join_array([write(item) for item in items])  # type: ignore[attr-defined]  # by annotation

    # INVARIANT: records in tuples are frozen all through, so a tuple never changes its bytes.
    recall = lru_cache(maxsize=_REMEMBERED)(lambda same: write_items(same.held))

    def write_records(items: object) -> bytes:
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


def _record(kind: type) -> _Reader:
    """Read a record; a scalar that has its field's very type is taken as it is."""
    hints = get_type_hints(kind)
    kinds = [hints[field.name] for field in dataclasses.fields(kind)]
    plan: list[tuple[object, _Fit | None, _Reader]] = [
        (hint, _fit(hint) if _is_scalar(hint) else None, _reader(hint)) for hint in kinds
    ]
    if get_origin(kinds[-1]) is tuple and dataclasses.is_dataclass(get_args(kinds[-1])[0]):
        plan[-1] = (kinds[-1], None, _remembered(_reader(kinds[-1])))

    def read(data: bytes, at: int) -> tuple[object, int]:
        n, at = open_array(data, at)
        if n != len(plan):
            raise _bad(f"fields do not fit `{kind.__name__}`")
        values = []
        for expected, fit, read_field in plan:
            if fit is None:
                value, at = read_field(data, at)
            else:
                value, at = READERS[data[at]](data, at, 0)
                if type(value) is not expected:
                    value = fit(value)
            values.append(value)
        return kind(*values), at

    return read
