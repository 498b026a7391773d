"""What an edge engine is called with: one binary64 number for each thing that the policies look at.

A number, a timestamp, a length stand for themselves, a truth is 0 or 1, a text is its place in the table of
texts that the policies name (-1 for any other). NaN is what cannot be used: absent, null, invalid, stale.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from math import nan

from ripstop.core.canonical import Json
from ripstop.core.vocabulary import SignalSpec
from ripstop.policy.evaluate import Absent, step_into
from ripstop.policy.state import Invalid, usable_value

_SAFE = 2**53
OTHER_TEXT = -1.0


class Held(Enum):
    """What a value is."""

    NUMBER = "number"
    STRICT_NUMBER = "number, not a boolean"
    BOOLEAN = "boolean"
    TEXT = "text"
    LIST = "list"


class Look(Enum):
    """What an input tells about a name: its value, whether it is there, is not null, not empty."""

    VALUE = "value"
    PRESENT = "present"
    GIVEN = "given"
    FILLED = "filled"
    NOW = "now"
    RECALLED = "recalled"  # a temporal operator, by its rule
    BOUNDED = "bounded"  # a parameter as the action gives it, for the limits
    COST = "cost"  # a parameter as the action gives it, for a budget


class Surprise(Exception):  # noqa: N818 (a jump, not an error)
    """An undeclared name holds something else than its use suggests: the reference has to decide."""


@dataclass(frozen=True, slots=True)
class Input:
    """One number that an engine is given.

    `index` and `part` (a field) lead to a value in a list. `max_age_s` asks for the last valid value in place
    of a bad one. `low` and `high` are what the number has to lie in, else it cannot be used.
    """

    name: str
    look: Look = Look.VALUE
    held: Held = Held.NUMBER
    spec: SignalSpec | None = field(default=None, compare=False)
    index: int | None = None
    part: str = ""
    max_age_s: float | None = None
    low: float | None = None
    high: float | None = None
    rule: Json = field(default=None, compare=False)
    is_plain_number: bool = field(init=False, compare=False)  # the value of a signal that is one number
    is_free: bool = field(init=False, compare=False)  # without a range
    declared: str = field(init=False)  # the declaration, as what two inputs are compared by

    def __post_init__(self) -> None:
        object.__setattr__(self, "declared", repr(self.spec))
        is_number = self.held in (Held.NUMBER, Held.STRICT_NUMBER)
        is_whole = self.look is Look.VALUE and self.index is None and not self.part
        object.__setattr__(self, "is_plain_number", is_number and is_whole)
        object.__setattr__(self, "is_free", self.low is None and self.high is None)

    @property
    def is_guarded(self) -> bool:
        """Whether it may turn out not to be usable."""
        return self.look in (Look.VALUE, Look.RECALLED)

    @property
    def label(self) -> str:
        """Its name for people, unique among the inputs of an engine."""
        text = self.name if self.index is None else f"{self.name}[{self.index}]"
        text += f".{self.part}" if self.part else ""
        if self.held is Held.LIST and self.look is Look.VALUE:
            text += ".length"
        if self.look in (Look.PRESENT, Look.GIVEN, Look.FILLED, Look.BOUNDED, Look.COST):
            text += f".{self.look.value}"
        return text + (f".last_valid_{self.max_age_s:g}s" if self.max_age_s is not None else "")

    def encode(self, value: Json | Absent | Invalid, texts: Mapping[str, int]) -> float:
        """Give the number for what a read of the name gives.

        Raises:
            Surprise: when an undeclared name holds what the engine was not built for.
        """
        if self.look is Look.PRESENT:
            return float(not isinstance(value, Absent))
        if self.look is Look.GIVEN:
            return float(not isinstance(value, Absent) and value is not None)
        if self.look is Look.FILLED:
            return float(not isinstance(value, Absent) and value is not None and value != "")
        if value is None or isinstance(value, Absent | Invalid):
            return nan
        if self.held is Held.LIST:
            if not isinstance(value, list | tuple):
                raise Surprise
            return float(len(value))
        if self.index is not None:
            return self._element(value, texts)
        if self.part:
            return self._of_record(value, texts)
        return self._scalar(value, texts)

    def _of_record(self, value: Json, texts: Mapping[str, int]) -> float:
        """Give the mean or the deviation of an estimate."""
        part = step_into(value, self.part)
        if isinstance(part, Absent) or not isinstance(part, int | float):
            raise Surprise
        return self._scalar(part, texts)

    def _element(self, value: Json, texts: Mapping[str, int]) -> float:
        if not isinstance(value, list | tuple):
            raise Surprise
        if self.index is None or self.index >= len(value):
            return nan
        element = value[self.index]
        item: Json | Absent | Invalid = step_into(element, self.part) if self.part else element
        if item is None or isinstance(item, Absent | Invalid):
            return nan
        usable = usable_value(self.spec, item)
        return nan if usable is None or isinstance(usable, Invalid) else self._scalar(usable, texts)

    def _scalar(self, value: Json, texts: Mapping[str, int]) -> float:
        if self.held is Held.TEXT:
            if not isinstance(value, str):
                raise Surprise
            return float(texts.get(value, OTHER_TEXT))
        if self.held is Held.BOOLEAN:
            if not isinstance(value, bool):
                raise Surprise
            return float(value)
        if isinstance(value, bool) and self.held is Held.STRICT_NUMBER and self.spec is None:
            raise Surprise
        if not isinstance(value, int | float):
            raise Surprise
        return float(value)


def bounded_value(value: Json) -> float:
    """Give the number for a limited parameter: NaN for what no limit can hold.

    Raises:
        Surprise: for an integer that binary64 does not hold.
    """
    if not isinstance(value, int | float):
        return nan
    if isinstance(value, int) and not -_SAFE <= value <= _SAFE:
        raise Surprise
    return float(value)


def table_of_texts(texts: Iterable[str]) -> dict[str, int]:
    """Number texts in the order in which `<` has them; the empty one, which alone is false, is 0."""
    ordered = sorted({"", *texts}, key=lambda text: text.encode("utf-16-be", "surrogatepass"))
    return {text: number for number, text in enumerate(ordered)}


def bounds_of(held: Held, spec: SignalSpec | None, *, ranged: bool) -> tuple[float | None, float | None]:
    """Give the range that an engine itself checks."""
    if held is Held.LIST:
        return 0.0, float(spec.size) if spec is not None else None
    if spec is None or not ranged or spec.type not in ("number", "timestamp"):
        return None, None
    return spread_of(spec)


def spread_of(spec: SignalSpec) -> tuple[float | None, float | None]:
    """Give the declared range."""
    return (
        None if spec.low is None else float(spec.low),
        None if spec.high is None else float(spec.high),
    )


def agree(first: Sequence[Held]) -> Held | None:
    """Give what uses of an undeclared name agree on; None when they do not."""
    held = set(first) or {Held.NUMBER}
    if held <= {Held.NUMBER, Held.STRICT_NUMBER}:
        return Held.STRICT_NUMBER if Held.STRICT_NUMBER in held else Held.NUMBER
    return held.pop() if len(held) == 1 else None
