"""What has been observed: the latest sample of each signal, its validity, its last valid value.

A state is a value: `observe` gives a new one. Temporal operators will keep theirs here too, keyed by the
digest of (sub-expression, vocabulary).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Final, NamedTuple

from ripstop.core.canonical import Json
from ripstop.core.sample import Sample
from ripstop.core.vocabulary import SignalSpec, Vocabulary

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


@dataclass(frozen=True, slots=True)
class State:
    """Everything observed so far; `dropped` counts samples older than what was known already."""

    vocabulary: Vocabulary
    readings: Mapping[str, Reading] = field(default_factory=dict)
    dropped: int = 0

    def observe(self, signals: Mapping[str, Json], t_us: int) -> State:
        """Take samples of one moment; the same moment replaces, an older one is dropped and counted.

        Signals that a closed vocabulary does not declare are dropped and counted too.
        """
        specs, is_open = self.vocabulary.signals, self.vocabulary.is_open
        readings = dict(self.readings)
        dropped = self.dropped
        for name, value in signals.items():
            spec = specs.get(name)
            before = readings.get(name)
            if (spec is None and not is_open) or (before is not None and t_us < before.t_us):
                dropped += 1
                continue
            usable = usable_value(spec, value)
            if isinstance(usable, Invalid) or usable is None:
                readings[name] = Reading(value, NEVER_US, t_us, name, before.valid if before else None)
            elif spec is None or spec.max_age_s is None:
                readings[name] = Reading(usable, FOREVER_US, t_us, name)
            else:
                readings[name] = Reading(usable, t_us + int(spec.max_age_s * 1e6), t_us, name)
        return State(self.vocabulary, readings, dropped)

    def sample(self, name: str) -> Sample | None:
        """Give the latest sample of a signal, good or bad."""
        reading = self.readings.get(name)
        return None if reading is None else Sample(name, reading.value, reading.t_us)

    def to_json(self) -> dict[str, Json]:
        """Give a snapshot: what a ledger segment begins with."""
        return {
            "samples": [
                Sample(name, item.value, item.t_us).to_json() for name, item in self.readings.items()
            ],
            "last_valid": [item.valid.to_json() for item in self.readings.values() if item.valid is not None],
            "dropped": self.dropped,
        }

    @classmethod
    def of_samples(
        cls, vocabulary: Vocabulary, samples: Iterable[Sample], last_valid: Iterable[Sample] = ()
    ) -> State:
        """Rebuild a state from recorded samples."""
        state = cls(vocabulary)
        for sample in (*last_valid, *samples):
            state = state.observe({sample.signal: sample.value}, sample.t_us)
        return state


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
        too_low = spec.low is not None and number < spec.low
        return OUT_OF_RANGE if too_low or (spec.high is not None and number > spec.high) else number
    if spec.type == "string":
        if not isinstance(value, str):
            return WRONG_TYPE
        return value if not spec.values or value in spec.values else OUT_OF_RANGE
    if spec.type == "boolean":
        return value if isinstance(value, bool) else WRONG_TYPE
    if spec.type == "list" and isinstance(value, list | tuple):
        return value if not spec.size or len(value) <= spec.size else OUT_OF_RANGE
    return WRONG_TYPE


def _undeclared(value: Json) -> Json | Invalid:
    if isinstance(value, str | bool | list | tuple | Mapping):
        return value
    return _number(value)


def _number(value: object) -> float | Invalid:
    if isinstance(value, float):
        return value if isfinite(value) else NOT_FINITE
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        if -(2**53) <= value <= 2**53:
            return value
        return float(value) if value.bit_length() < 1024 else NOT_FINITE
    return WRONG_TYPE
