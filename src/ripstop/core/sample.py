"""One reading of one signal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Protocol, overload

from ripstop.core.canonical import Json
from ripstop.core.value import dataclass

_NON_FINITE = "$float"


@dataclass(frozen=True, slots=True)
class Sample:
    """What a signal (or an action's parameter) read, and when it was sensed: microseconds UTC."""

    signal: str
    value: Json
    t_us: int

    def to_json(self) -> dict[str, Json]:
        """Give the record form; a NaN or an infinity is written `{"$float": "nan"}`."""
        return {"signal": self.signal, "value": value_to_json(self.value), "t_us": self.t_us}

    @classmethod
    def from_json(cls, record: Mapping[str, Json]) -> Sample:
        """Read the record form back."""
        signal, t_us = record["signal"], record["t_us"]
        if not isinstance(signal, str) or not isinstance(t_us, int):
            raise TypeError("a sample record needs a `signal` string and a `t_us` integer")
        return cls(signal, value_from_json(record["value"]), t_us)


_SCALARS = frozenset((float, int, str, bool, type(None)))


class Sensed(Protocol):
    """A value, and when it was sensed."""

    @property
    def value(self) -> Json:
        """What was read."""
        ...

    @property
    def t_us(self) -> int:
        """When."""
        ...


class SampleTable(Sequence[Sample]):
    """A decision's inputs, held as they came; samples are made only when somebody looks.

    `given` is what was handed in at `t_us`; then come those of `readings` that are named in `reads` and were
    not given. INVARIANT: neither mapping is ever changed.
    """

    __slots__ = ("given", "readings", "reads", "t_us")

    def __init__(
        self, given: Mapping[str, Json], readings: Mapping[str, Sensed], reads: tuple[str, ...], t_us: int
    ) -> None:
        self.given = given
        self.readings = readings
        self.reads = reads
        self.t_us = t_us

    def is_settled(self) -> bool:
        """Whether no value that was handed in can be changed from outside any more."""
        return _SCALARS.issuperset(map(type, self.given.values()))

    def read(self) -> list[tuple[str, Sensed]]:
        """Give the readings that were not overridden by what was given."""
        given, readings = self.given, self.readings
        return [(name, readings[name]) for name in self.reads if name not in given and name in readings]

    def __iter__(self) -> Iterator[Sample]:
        for name, value in self.given.items():
            yield Sample(name, value, self.t_us)
        for name, reading in self.read():
            yield Sample(name, reading.value, reading.t_us)

    def __len__(self) -> int:
        return len(self.given) + len(self.read())

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Sample, ...]: ...
    def __getitem__(self, index: int | slice) -> Sample | tuple[Sample, ...]:
        return tuple(self)[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple((sample.signal, sample.t_us) for sample in self))

    def __repr__(self) -> str:
        return repr(tuple(self))


def value_to_json(value: Json) -> Json:
    """Make a value writable as JSON: non-finite numbers and unsafe integers become tagged strings."""
    if isinstance(value, float):
        return value if isfinite(value) else {_NON_FINITE: str(value)}
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        if -(2**53) <= value <= 2**53:
            return value
        return {_NON_FINITE: "inf" if value.bit_length() > 1023 else str(float(value))}
    if isinstance(value, list | tuple):
        return [value_to_json(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): value_to_json(item) for key, item in value.items()}
    return {_NON_FINITE: "nan"}


def value_from_json(value: Json) -> Json:
    """Undo `value_to_json`."""
    if isinstance(value, Mapping):
        tag = value.get(_NON_FINITE)
        if len(value) == 1 and isinstance(tag, str):
            return float(tag)
        return {key: value_from_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [value_from_json(item) for item in value]
    return value
