"""The types that the checker gives to expressions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import Enum

from ripstop.core.canonical import Json
from ripstop.core.value import dataclass
from ripstop.core.vocabulary import SignalSpec
from ripstop.policy.units import DIMENSIONLESS, Unit, parse_unit


class Kind(Enum):
    """What an expression gives. ANY is what no vocabulary declares; NEVER is what `throw` gives."""

    NUMBER = "number"
    BOOLEAN = "boolean"
    STRING = "string"
    TIMESTAMP = "timestamp"
    ESTIMATE = "estimate"
    LIST = "list"
    OBJECT = "object"
    NULL = "null"
    ANY = "any"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Type:
    """A kind, and what is known besides.

    `unit` is None for a number that takes any unit: a literal, or a value of unknown origin. `values` closes
    a string to an enumeration, `fields` describes the records of a list, `item` the kind of its plain items,
    `size` how many there are at most (0: nobody knows).
    """

    kind: Kind
    unit: Unit | None = None
    values: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    item: Kind = Kind.ANY
    fields: Mapping[str, SignalSpec] = field(default_factory=dict, hash=False, compare=False)
    size: int = 0

    @property
    def is_numeric(self) -> bool:
        """Whether arithmetic may take it."""
        return self.kind in (Kind.NUMBER, Kind.TIMESTAMP, Kind.ANY, Kind.NEVER)

    def __str__(self) -> str:
        if self.kind is Kind.NUMBER and self.unit:
            return f"number in {self.unit}" if self.unit.powers else "number without unit"
        return self.kind.value


ANY = Type(Kind.ANY)
BOOLEAN = Type(Kind.BOOLEAN)
STRING = Type(Kind.STRING)
TIMESTAMP = Type(Kind.TIMESTAMP)
NULL = Type(Kind.NULL)
NEVER = Type(Kind.NEVER)
LITERAL_NUMBER = Type(Kind.NUMBER)


def number(unit: Unit | None = None) -> Type:
    """Give the type of a number in a unit, or in any unit."""
    return Type(Kind.NUMBER, unit)


def type_of_signal(spec: SignalSpec) -> Type:
    """Give the type that a declaration gives to what it declares."""
    kind = Kind(spec.type)
    unit = (parse_unit(spec.unit) or DIMENSIONLESS) if kind in (Kind.NUMBER, Kind.ESTIMATE) else None
    return Type(kind, unit, spec.values, spec.low, spec.high, fields=spec.fields, size=spec.size)


def type_of_value(value: Json) -> Type:
    """Give the type of a literal."""
    if value is None:
        return NULL
    if isinstance(value, bool):
        return BOOLEAN
    if isinstance(value, int | float):
        return Type(Kind.NUMBER, None, low=value, high=value)
    if isinstance(value, str):
        return Type(Kind.STRING, values=(value,))
    if isinstance(value, Mapping):
        return Type(Kind.OBJECT)
    kinds = {type_of_value(item).kind for item in value}
    return Type(Kind.LIST, item=kinds.pop() if len(kinds) == 1 else Kind.ANY)
