"""Dataclasses that cost a fraction to define and half to make: what the base install imports is full of them.

`dataclasses.dataclass` compiles six functions for a frozen class, and sets the fields of an instance by name
through `object.__setattr__`. Defining them was most of what `from ripstop import Agent` took. Here `__init__`
alone is compiled, when it is first asked for, and writes each slot directly; where they are many, as a class
of the same layout that is not frozen. A class that has a `__refuse__` is told of unknown names: `(class,
names and values)`, and raises. Comparison, hash, text and pickling are closures over the fields.
`dataclasses.fields`, `replace` and `is_dataclass` take these classes like any other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from operator import attrgetter, ge, gt, le, lt
from reprlib import recursive_repr
from types import MemberDescriptorType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(kind=None, /, *, frozen=False, slots=False, eq=True, order=False):
        """Make a dataclass; the options mean what they mean in the standard library."""

        def make(kind):
            if kind.__doc__ is None:
                kind.__doc__ = kind.__name__  # else it is worked out from the signature, at length
            own = set(vars(kind))
            made = dataclasses.dataclass(kind, init=False, repr=False, eq=False, slots=slots)
            methods = {"__init__": _Unwritten(made), "__repr__": _repr(made)}
            if eq:
                methods |= _comparison(made, frozen)
            if order:
                methods |= _order(made)
            if frozen:
                methods |= _frozen(made)
            for name, method in methods.items():
                if name not in own:
                    setattr(made, name, method)
            return made

        return make if kind is None else make(kind)


_MANY_FIELDS = 6  # from here on it takes less time to change an instance's class twice


class _Unwritten:
    """Stands for a class's `__init__` until somebody asks for it: most classes are defined and never made."""

    def __init__(self, kind: type) -> None:
        self._kind = kind

    def __get__(self, instance: object, owner: type | None = None) -> object:
        written = _init(self._kind)
        self._kind.__init__ = written  # type: ignore[misc]  # that is what it stands for
        return written.__get__(instance, owner)


def _init(kind: type) -> Callable[..., None]:
    """Generate `__init__`.

    def __init__(self, wall_us, mono_us, boot=d2, seen=M):
        s0(self, wall_us)
        s1(self, mono_us)
        s2(self, boot)
        s3(self, f3() if seen is M else seen)
        self.__post_init__()

    A frozen class of many fields begins with

        if self.__class__ is K:
            turn(self, Open)
            self.wall_us = wall_us; self.mono_us = mono_us; ...
            self.__class__ = K
    """
    space: dict[str, object] = {"__name__": kind.__module__, "M": dataclasses.MISSING}
    given: list[str] = ["self"]
    keywords: list[str] = []
    lines: list[tuple[str, str, str]] = []  # what writes a field, its name, its value
    for n, field in enumerate(dataclasses.fields(kind)):
        name, has_default = field.name, field.default is not dataclasses.MISSING
        has_factory = field.default_factory is not dataclasses.MISSING
        space[f"d{n}"], space[f"f{n}"] = field.default, field.default_factory
        space[f"s{n}"] = _setter(kind, name)
        if field.init:
            default = f"={'M' if has_factory else f'd{n}'}" if has_default or has_factory else ""
            (keywords if field.kw_only else given).append(name + default)
            value = f"f{n}() if {name} is M else {name}" if has_factory else name
        elif has_default or has_factory:
            value = f"f{n}()" if has_factory else f"d{n}"
        else:
            continue
        lines.append((f"s{n}", name, value))
    if keywords:
        given += ["*", *keywords]
    refuse = getattr(kind, "__refuse__", None)
    if refuse is not None:
        given.append("**others")
        space |= {"refuse": refuse, "kind": kind}
    body = [f"{setter}(self, {value})" for setter, _, value in lines]
    opened = _opened(kind) if len(lines) >= _MANY_FIELDS else None
    if opened is not None:
        space |= {"K": kind, "Open": opened, "turn": object.__dict__["__class__"].__set__}
        direct = [
            "turn(self, Open)",
            *(f"self.{name} = {value}" for _, name, value in lines),
            "self.__class__ = K",
        ]
        body = [
            "if self.__class__ is K:",
            *(f"    {line}" for line in direct),
            "else:",
            *(f"    {line}" for line in body),
        ]
    if refuse is not None:
        body.insert(0, "if others: refuse(kind, others)")
    if hasattr(kind, "__post_init__"):
        body.append("self.__post_init__()")
    source = "\n    ".join([f"def __init__({', '.join(given)}):", *(body or ["pass"])])
    exec(source, space)  # noqa: S102 (text that holds numbers and the names of a class's fields, nothing else)
    init: Callable[..., None] = space["__init__"]  # type: ignore[assignment]  # that is what was generated
    init.__qualname__ = f"{kind.__qualname__}.__init__"
    init.__annotations__ = {field.name: field.type for field in dataclasses.fields(kind) if field.init}
    init.__annotations__["return"] = None
    return init


def _opened(kind: type) -> type | None:
    """Give a class of a frozen one's layout whose instances can be written to; None where there is none."""
    fields = [getattr(kind, field.name, None) for field in dataclasses.fields(kind)]
    own = {name for base in kind.__mro__[:-1] for name in vars(base)}
    is_plain = type(kind) is type and "__init_subclass__" not in own
    is_slotted = all(isinstance(field, MemberDescriptorType) for field in fields)
    if not (is_plain and is_slotted and "__setattr__" in own):
        return None
    writing = {"__setattr__": object.__setattr__, "__delattr__": object.__delattr__}
    return type(kind.__name__, (kind,), {"__slots__": (), "__module__": kind.__module__, **writing})


def _setter(kind: type, name: str) -> Callable[[object, object], None]:
    """Give what writes a field, frozen or not: that of its slot, where it has one."""
    slot = getattr(kind, name, None)
    if isinstance(slot, MemberDescriptorType):
        return slot.__set__
    return lambda self, value: object.__setattr__(self, name, value)


def _values(names: tuple[str, ...]) -> Callable[[object], tuple[object, ...]]:
    """Give what reads the fields of these names as a tuple."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda self: tuple(getattr(self, name) for name in names)


def _repr(kind: type) -> Callable[[object], str]:
    names = tuple(field.name for field in dataclasses.fields(kind) if field.repr)

    @recursive_repr("...")
    def __repr__(self: object) -> str:  # noqa: N807 - it becomes that method
        told = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"{type(self).__qualname__}({told})"

    return __repr__


def _comparison(kind: type, frozen: bool) -> dict[str, object]:
    fields = dataclasses.fields(kind)
    compared = _values(tuple(field.name for field in fields if field.compare))
    hashed = _values(
        tuple(field.name for field in fields if (field.compare if field.hash is None else field.hash))
    )

    def __eq__(self: object, other: object) -> bool:  # noqa: N807 - it becomes that method
        if other.__class__ is self.__class__:
            return compared(self) == compared(other)
        return NotImplemented

    def __hash__(self: object) -> int:  # noqa: N807 - it becomes that method
        return hash(hashed(self))

    return {"__eq__": __eq__, "__hash__": __hash__ if frozen else None}


def _order(kind: type) -> dict[str, object]:
    compared = _values(tuple(field.name for field in dataclasses.fields(kind) if field.compare))

    def by(relation: Callable[..., object]) -> Callable[[object, object], object]:
        def method(self: object, other: object) -> object:
            if other.__class__ is self.__class__:
                return relation(compared(self), compared(other))
            return NotImplemented

        return method

    return {f"__{relation.__name__}__": by(relation) for relation in (lt, le, gt, ge)}


def _frozen(kind: type) -> dict[str, object]:
    names = tuple(field.name for field in dataclasses.fields(kind))

    def __setattr__(self: object, name: str, value: object) -> None:  # noqa: N807 - it becomes that method
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self: object, name: str) -> None:  # noqa: N807 - it becomes that method
        raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")

    def __getstate__(self: object) -> list[object]:  # noqa: N807 - it becomes that method
        return [getattr(self, name) for name in names]

    def __setstate__(self: object, state: list[object]) -> None:  # noqa: N807 - it becomes that method
        for name, value in zip(names, state, strict=True):
            object.__setattr__(self, name, value)

    methods: dict[str, object] = {"__setattr__": __setattr__, "__delattr__": __delattr__}
    return methods | {"__getstate__": __getstate__, "__setstate__": __setstate__}
