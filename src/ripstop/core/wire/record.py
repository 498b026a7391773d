"""Frozen dataclasses to deterministic CBOR and back, strictly: a missing, extra or mistyped field is refused.

A value is written as an array of its fields in the order of the class; its type and version travel in what
carries it (subject or envelope). Enums are written by value, tuples as arrays, nested dataclasses as arrays.
The converters are built once for each class from its annotations.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from operator import attrgetter
from typing import TypeVar, Union, get_args, get_origin, get_type_hints

from ..errors import WireError
from .cbor import Value, decode, encode

T = TypeVar("T")
_Reader = Callable[[Value], object]
_Writer = Callable[[object], Value]


def pack(record: object) -> bytes:
    """Encode a frozen dataclass; the same value always gives the same bytes."""
    return encode(to_value(record))


def unpack(kind: type[T], data: bytes) -> T:
    """Decode a `kind` from bytes.

    Raises:
        WireError: W0101 for bytes that are not deterministic CBOR, W0102 for fields that do not fit.
    """
    return from_value(kind, decode(data))


def to_value(record: object) -> Value:
    """Give the CBOR value (an array) of a frozen dataclass."""
    return _writer(type(record))(record)  # type: ignore[arg-type]  # classes are hashable


def from_value(kind: type[T], value: Value) -> T:
    """Build a `kind` from a decoded CBOR value."""
    result = _reader(kind)(value)  # type: ignore[arg-type]  # classes are hashable
    assert isinstance(result, kind)  # noqa: S101 - the reader of a class builds that class
    return result


def _same(value: object) -> Value:
    return value  # type: ignore[return-value]  # a scalar by its annotation


@cache
def _writer(kind: object) -> _Writer:
    if isinstance(kind, type) and issubclass(kind, Enum):
        return lambda item: item.value  # type: ignore[attr-defined]
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _fields_writer(kind)
    origin, args = get_origin(kind), get_args(kind)
    if origin is tuple:
        inner = _writer(args[0])
        return _same if inner is _same else lambda item: [inner(x) for x in item]  # type: ignore[attr-defined]
    return _same


def _fields_writer(kind: type) -> _Writer:
    """Write a record's fields: all at once, then again those that are not written as they are."""
    hints = get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]
    # The first name twice: `attrgetter` gives a tuple for two names and more.
    values_of = attrgetter(names[0], *names)
    changes = [(at, _writer(hints[name])) for at, name in enumerate(names)]
    changes = [(at, write) for at, write in changes if write is not _same]

    def write_fields(item: object) -> Value:
        values = list(values_of(item)[1:])
        for at, write in changes:
            values[at] = write(values[at])
        return values

    return write_fields


def _scalar(kind: type) -> _Reader:
    def read(value: Value) -> object:
        if type(value) is kind:
            return value
        if kind is float and type(value) is int:
            return float(value)
        raise WireError(f"expected `{kind.__name__}`, got `{type(value).__name__}`", code="W0102")

    return read


def _enum(kind: type[Enum]) -> _Reader:
    def read(value: Value) -> object:
        try:
            return kind(value)
        except ValueError as error:
            raise WireError(f"unknown value `{value!r}` of `{kind.__name__}`", code="W0102") from error

    return read


def _record(kind: type) -> _Reader:
    """Read a record; a scalar that has its field's very type is taken as it is."""
    hints = get_type_hints(kind)
    plan = [(hints[f.name], _reader(hints[f.name])) for f in dataclasses.fields(kind)]

    def read(value: Value) -> object:
        if type(value) is not list or len(value) != len(plan):
            raise WireError(f"fields do not fit `{kind.__name__}`", code="W0102")
        return kind(
            *[
                item if type(item) is expected else reader(item)
                for (expected, reader), item in zip(plan, value, strict=True)
            ]
        )

    return read


def _sequence(expected: object, inner: _Reader) -> _Reader:
    def read(value: Value) -> object:
        if type(value) is not list:
            raise WireError("expected an array", code="W0102")
        return tuple([item if type(item) is expected else inner(item) for item in value])

    return read


def _map(key: _Reader, inner: _Reader) -> _Reader:
    def read(value: Value) -> object:
        if not isinstance(value, Mapping):
            raise WireError("expected a map", code="W0102")
        return {key(name): inner(item) for name, item in value.items()}

    return read


def _either(kinds: tuple[type, ...]) -> _Reader:
    def read(value: Value) -> object:
        if type(value) in kinds:
            return value
        raise WireError(f"type `{type(value).__name__}` not expected here", code="W0102")

    return read


@cache
def _reader(kind: object) -> _Reader:
    origin, args = get_origin(kind), get_args(kind)
    if origin is tuple:
        return _sequence(args[0], _reader(args[0]))
    if origin is dict:
        return _map(_reader(args[0]), _reader(args[1]))
    if origin in (Union, types.UnionType):
        return _either(args)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _enum(kind)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _record(kind)
    assert isinstance(kind, type)  # noqa: S101 - annotations of messages hold nothing else
    return _scalar(kind)
