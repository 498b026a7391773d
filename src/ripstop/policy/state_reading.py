"""What one signal last said, and whether policies may use it."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Final, NamedTuple

from ripstop.core.canonical import Json
from ripstop.core.sample import Sample
from ripstop.core.value import dataclass
from ripstop.core.vocabulary import SignalSpec

NEVER_US: Final = -(2**63)
FOREVER_US: Final = 2**63


@dataclass(frozen=True, slots=True)
class Invalid:
    """The value of a signal that is there but cannot be used; `why` completes "the signal is ..."."""

    why: str


NOT_FINITE = Invalid("not a finite number")
WRONG_TYPE = Invalid("of the wrong type")
OUT_OF_RANGE = Invalid("outside its declared range")
STALE = Invalid("older than its max age")
NEGATIVE = Invalid("an estimate of negative deviation")


class Reading(NamedTuple):
    """The latest sample of one signal.

    `until_us` is the last moment at which it is still valid (`NEVER_US` for a bad value); `last` is the
    newest valid sample before a bad one.
    """

    value: Json
    until_us: int
    t_us: int
    signal: str
    last: Sample | None = None

    @property
    def valid(self) -> Sample | None:
        """The newest sample whose value was valid."""
        return self.last if self.until_us == NEVER_US else Sample(self.signal, self.value, self.t_us)


class Spent(NamedTuple):
    """What a budget has consumed: when, and what a bucket held then."""

    times: tuple[int, ...] = ()
    tokens: float = 0.0


def usable_value(spec: SignalSpec | None, value: Json, *, ranged: bool = True) -> Json | Invalid:
    """Give the value as policies see it, or say why it cannot be used; null stays null.

    A boolean where a number is declared reads as 0 or 1, an integer beyond 2^53 is rounded to binary64.
    """
    if value is None:
        return None
    if spec is None:
        return _undeclared(value)
    if spec.type in ("number", "timestamp"):
        number = _number(value)
        if not ranged or isinstance(number, Invalid):
            return number
        return number if _is_inside(spec, number) else OUT_OF_RANGE
    if spec.type == "string":
        if not isinstance(value, str):
            return WRONG_TYPE
        return value if not spec.values or value in spec.values else OUT_OF_RANGE
    if spec.type == "boolean":
        return value if isinstance(value, bool) else WRONG_TYPE
    if spec.type == "estimate":
        return _estimate(spec, value, ranged=ranged)
    if spec.type == "list" and isinstance(value, list | tuple):
        return value if not spec.size or len(value) <= spec.size else OUT_OF_RANGE
    return WRONG_TYPE


def _estimate(spec: SignalSpec, value: Json, *, ranged: bool) -> Json | Invalid:
    """Check `{mean, sd}`: both finite, no negative deviation, the mean inside the declared range."""
    if not isinstance(value, Mapping) or value.keys() != {"mean", "sd"}:
        return WRONG_TYPE
    mean, deviation = _number(value["mean"]), _number(value["sd"])
    if isinstance(mean, Invalid):
        return mean
    if isinstance(deviation, Invalid):
        return deviation
    if deviation < 0:
        return NEGATIVE
    if ranged and not _is_inside(spec, mean):
        return OUT_OF_RANGE
    return {"mean": mean, "sd": deviation}


def _is_inside(spec: SignalSpec, number: float) -> bool:
    return (spec.low is None or number >= spec.low) and (spec.high is None or number <= spec.high)


def _undeclared(value: Json) -> Json | Invalid:
    if isinstance(value, str | bool | list | tuple | Mapping):
        return value
    return _number(value)


def _number(value: object) -> float | Invalid:
    if isinstance(value, float):
        return float(value) if isfinite(value) else NOT_FINITE
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        if -(2**53) <= value <= 2**53:
            return value
        return float(value) if value.bit_length() < 1024 else NOT_FINITE
    return WRONG_TYPE
