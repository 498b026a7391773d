"""Reads a plain mapping into frozen dataclasses, strictly, and lists every finding with its JSON pointer."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from enum import Enum
from types import UnionType
from typing import TypeVar, Union, get_args, get_origin, get_type_hints

from ripstop.core.errors import ConfigurationError, Place
from ripstop.policy.diagnostics import nearest

T = TypeVar("T")
_KINDS = {float: "a number", int: "a whole number", str: "a string", bool: "true or false"}
_ABSENT = object()


def _named(message: str, document: Mapping[object, object]) -> str:
    """Give the pointer of the first value that a message names, as `a` or `a.b`; "" if none stands there."""
    for name in message.split("`")[1::2]:
        at: object = document
        for step in name.split("."):
            at = at.get(step, _ABSENT) if isinstance(at, Mapping) else _ABSENT
        if at is not _ABSENT:
            return "/" + name.replace(".", "/")
    return ""


def _shown(value: object) -> str:
    text = "null" if value is None else str(value)
    return f"`{text[:40]}`"


class DocumentReader:
    """Reads one document; `findings` holds what does not fit, `places` tells where each pointer stands."""

    def __init__(self, places: Mapping[str, Place] | None = None) -> None:
        self._places = places or {}
        self.findings: list[ConfigurationError] = []

    def find(self, message: str, pointer: str, hint: str = "") -> None:
        """Note one finding (code C0201)."""
        place = self._places.get(pointer) or Place(pointer=pointer or "/")
        self.findings.append(ConfigurationError(message, code="C0201", hint=hint, place=place))

    def record(self, kind: type[T], value: object, pointer: str = "") -> T | None:
        """Read a mapping into `kind`; None where a finding was noted."""
        if not isinstance(value, Mapping):
            self.find(f"expected an object, got {_shown(value)}", pointer)
            return None
        hints = get_type_hints(kind)
        fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]  # kinds are dataclasses
        before = len(self.findings)
        for key in value:
            if key not in fields:
                hint = nearest(str(key), fields) or "known: " + ", ".join(fields)
                self.find(f"unknown key `{key}`", f"{pointer}/{key}", hint)
        arguments: dict[str, object] = {}
        for name, field in fields.items():
            if name in value:
                arguments[name] = self._value(hints[name], value[name], f"{pointer}/{name}")
            elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
                self.find(f"`{name}` is missing", pointer)
        if len(self.findings) > before:
            return None
        try:
            return kind(**arguments)
        except ValueError as error:
            self.find(str(error), pointer + _named(str(error), value))
            return None

    def _value(self, hint: object, value: object, pointer: str) -> object:
        origin, args = get_origin(hint), get_args(hint)
        if origin in (Union, UnionType):
            if value is None and type(None) in args:
                return None
            return self._value(next(a for a in args if a is not type(None)), value, pointer)
        if origin is tuple:
            return self._sequence(args[0], value, pointer)
        if origin is Mapping:
            return self._mapping(args[1], value, pointer)
        if isinstance(hint, type) and issubclass(hint, Enum):
            return self._enum(hint, value, pointer)
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            return self.record(hint, value, pointer)
        return value if hint is object else self._scalar(hint, value, pointer)

    def _scalar(self, hint: object, value: object, pointer: str) -> object:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if hint is float and is_number:
            number = float(value)  # type: ignore[arg-type]  # a number, as just tested
            if math.isfinite(number):
                return number
        elif type(value) is hint:
            return value
        expected = _KINDS[hint]  # type: ignore[index]  # schemas hold no other scalars
        self.find(f"expected {expected}, got {_shown(value)}", pointer)
        return None

    def _sequence(self, inner: object, value: object, pointer: str) -> object:
        if not isinstance(value, list | tuple):
            self.find(f"expected a list, got {_shown(value)}", pointer)
            return None
        return tuple(self._value(inner, item, f"{pointer}/{i}") for i, item in enumerate(value))

    def _mapping(self, inner: object, value: object, pointer: str) -> object:
        if not isinstance(value, Mapping):
            self.find(f"expected an object, got {_shown(value)}", pointer)
            return None
        return {str(key): self._value(inner, item, f"{pointer}/{key}") for key, item in value.items()}

    def _enum(self, hint: type[Enum], value: object, pointer: str) -> object:
        words = [str(member.value) for member in hint]
        if isinstance(value, str) and value in words:
            return hint(value)
        self.find(f"expected one of {', '.join(words)}, got {_shown(value)}", pointer)
        return None
