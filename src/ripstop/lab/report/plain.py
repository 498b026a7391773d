"""Frozen dataclasses to and from plain JSON values, by their annotations and strictly."""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import (
    TYPE_CHECKING,
    Literal,
    Protocol,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    runtime_checkable,
)

from ripstop.core.errors import ConfigurationError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
T = TypeVar("T", bound="DataclassInstance")

# What a JSON value may be where the annotation names a plain type; a number that is not finite is null.
_PLAIN: Mapping[object, tuple[type, ...]] = {
    str: (str,),
    bool: (bool,),
    int: (int,),
    float: (int, float, types.NoneType),
}


@runtime_checkable
class SupportsItem(Protocol):
    """What every NumPy scalar can: give itself as a Python value."""

    def item(self) -> bool | int | float:
        """Give the Python value."""
        ...


def unbuild(value: DataclassInstance) -> dict[str, Json]:
    """Give a dataclass as a dictionary of plain values, fields in their order."""
    return {field.name: _lower(getattr(value, field.name)) for field in fields(value)}


def _lower(value: object) -> Json:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, tuple | list):
        return [_lower(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _lower(item) for key, item in value.items()}
    if isinstance(value, SupportsItem):  # a NumPy scalar
        return _lower(value.item())
    if is_dataclass(value) and not isinstance(value, type):
        return unbuild(value)
    raise ConfigurationError(f"a report cannot hold a `{type(value).__name__}`", code="C0401")


def build(cls: type[T], value: Json, where: str = "") -> T:
    """Build a dataclass from plain values.

    Raises:
        ConfigurationError: C0401 for a missing, unknown or ill-typed field, with where it stands.
    """
    if not isinstance(value, dict):
        raise _misfit(where, "an object", value)
    known = {field.name: field for field in fields(cls)}
    if unknown := value.keys() - known.keys():
        raise ConfigurationError(f"unknown field `{where}/{min(unknown)}` in the report", code="C0401")
    arguments: dict[str, object] = {}
    for name, kind in _kinds(cls).items():
        if name in value:
            arguments[name] = _lift(kind, value[name], f"{where}/{name}")
        elif known[name].default is MISSING and known[name].default_factory is MISSING:
            raise ConfigurationError(f"field `{where}/{name}` is missing in the report", code="C0401")
    return cls(**arguments)


@cache
def _kinds(cls: type[object]) -> dict[str, object]:
    hints = get_type_hints(cls)
    return {field.name: hints[field.name] for field in fields(cast("type[DataclassInstance]", cls))}


def _lift(kind: object, value: Json, where: str) -> object:
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Union or origin is types.UnionType:
        inner = next(part for part in parts if part is not types.NoneType)
        return None if value is None else _lift(inner, value, where)
    if origin is tuple:
        return _lift_tuple(parts, value, where)
    if origin is dict:
        if not isinstance(value, dict):
            raise _misfit(where, "an object", value)
        return {key: _lift(parts[1], item, f"{where}/{key}") for key, item in value.items()}
    if origin is Literal:
        if value not in parts:
            raise _misfit(where, f"one of {', '.join(map(str, parts))}", value)
        return value
    if isinstance(kind, type) and is_dataclass(kind):
        return build(kind, value, where)
    return _lift_plain(kind, value, where)


def _lift_tuple(parts: tuple[object, ...], value: Json, where: str) -> object:
    if not isinstance(value, list):
        raise _misfit(where, "a list", value)
    kinds = [parts[0]] * len(value) if len(parts) == 2 and parts[1] is Ellipsis else list(parts)
    if len(kinds) != len(value):
        raise _misfit(where, f"a list of {len(kinds)}", value)
    return tuple(
        _lift(kind, item, f"{where}/{i}") for i, (kind, item) in enumerate(zip(kinds, value, strict=True))
    )


def _lift_plain(kind: object, value: Json, where: str) -> object:
    wanted = _PLAIN.get(kind)
    if wanted is None:
        raise TypeError(f"no reading for {kind!r}")
    if not isinstance(value, wanted) or (isinstance(value, bool) and kind is not bool):
        raise _misfit(where, cast("type", kind).__name__, value)
    if kind is not float:
        return value
    try:
        return math.nan if value is None else float(cast("float", value))
    except OverflowError:
        raise _misfit(where, "float", value) from None


def _misfit(where: str, wanted: str, got: object) -> ConfigurationError:
    shown = (
        repr(got) if not isinstance(got, list | dict) else "a list" if isinstance(got, list) else "an object"
    )
    return ConfigurationError(
        f"field `{where or '/'}` of the report: expected {wanted}, got `{shown[:60]}`", code="C0401"
    )
