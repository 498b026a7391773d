"""The sampler: sense often, send on error. What the ground can still guess well enough is not sent.

A reading is sent when it has left a dead band around the last one that was sent, when it crossed a threshold
of a policy, or when the heartbeat is due. The band is a share of the signal's declared range (else of the
value). It narrows to the distance from the nearest threshold, which it never reaches across, and widens far
away from all of them. When one signal is due the others that are half due go along, so that signals share
frames. After an alarm every reading is sent for a while.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping

from ripstop.core.canonical import Json
from ripstop.core.value import dataclass
from ripstop.core.vocabulary import SignalSpec
from ripstop.core.wire.frame import FLAG_ALARM, Row

from .given import check_kinds, impossible, refusing
from .reading import finite

_HEARTBEAT_MAX_S = 60.0
_WIDENING = 0.25


@dataclass(frozen=True, slots=True)
class SamplerSettings:
    """How coarse the ground's picture may be.

    `band` is the dead band as a share of the declared range. Where a policy's thresholds are known it
    narrows to the distance from the nearest, but not below `narrow`, and widens to a quarter of it, up to
    `wide`; `urgent_s` is how long every reading is sent after an alarm.
    """

    band: float = 0.02
    narrow: float = 0.015
    wide: float = 0.06
    urgent_s: float = 60.0

    __refuse__ = refusing("a sampler", "C0303")

    def __post_init__(self) -> None:
        check_kinds("a sampler", self, "C0303")
        for name in ("band", "narrow", "wide", "urgent_s"):
            if not 0 <= getattr(self, name) < math.inf:
                raise impossible("a sampler", name, getattr(self, name), "C0303", "expected 0 or more")


class _Track:
    """What was last sent of one signal, and between what nothing new is to be told."""

    __slots__ = (
        "band", "due_us", "heartbeat_us", "high", "index", "low", "narrow", "relative", "thresholds", "wide",
    )  # fmt: skip

    def __init__(
        self, index: int, spec: SignalSpec, settings: SamplerSettings, thresholds: tuple[float, ...]
    ) -> None:
        self.index = index
        self.relative = spec.low is None or spec.high is None
        width = 1.0 if spec.low is None or spec.high is None else spec.high - spec.low
        self.narrow = settings.narrow * width
        self.band = settings.band * width
        self.wide = max(settings.wide, settings.band) * width
        self.thresholds = thresholds
        age_s = _HEARTBEAT_MAX_S if spec.max_age_s is None else spec.max_age_s / 3
        self.heartbeat_us = round(min(_HEARTBEAT_MAX_S, age_s) * 1e6)
        self.low = self.high = 0.0
        self.due_us = -1

    def sent(self, value: float, mono_us: int) -> None:
        """Take note that a value was sent: set the dead band around it, and the next heartbeat."""
        unit = max(abs(value), 1e-9) if self.relative else 1.0
        band = self.band * unit
        if self.thresholds:
            away = min(abs(value - threshold) for threshold in self.thresholds)
            band = max(band, min(away * _WIDENING, self.wide * unit))
        self.low, self.high = value - band, value + band
        for threshold in self.thresholds:
            near = max(abs(value - threshold), self.narrow * unit)
            self.low, self.high = max(self.low, value - near), min(self.high, value + near)
            if threshold <= value:
                self.low = max(self.low, threshold)
            else:
                self.high = min(self.high, threshold)
        self.due_us = mono_us + self.heartbeat_us

    def goes_along(self, value: float, mono_us: int) -> bool:
        """Whether the value may share the frame of another that must go out."""
        if mono_us >= self.due_us - self.heartbeat_us // 2:
            return True
        return abs(2 * value - self.low - self.high) > (self.high - self.low) / 2


class Sampler:
    """Decides which readings leave the agent, in the order of the vocabulary's signal names.

    Args:
        signals: the vocabulary's signals; others are never sent (a frame has no number for them).
        settings: bands.
        thresholds: values of a signal at which a policy changes its mind.
        withheld: signals that are never sent.
    """

    def __init__(
        self,
        signals: Mapping[str, SignalSpec],
        settings: SamplerSettings | None = None,
        thresholds: Mapping[str, Iterable[float]] | None = None,
        withheld: Collection[str] = (),
    ) -> None:
        settings = settings or SamplerSettings()
        marks = thresholds or {}
        self._urgent_us = round(settings.urgent_s * 1e6)
        self._until_us = 0
        self._tracks = {
            name: _Track(index, signals[name], settings, tuple(sorted(marks.get(name, ()))))
            for index, name in enumerate(sorted(signals))
            if name not in withheld and signals[name].type in ("number", "boolean", "timestamp")
        }

    @property
    def urgent_until_us(self) -> int:
        """Until when (monotonic) every reading is sent."""
        return self._until_us

    def alarm(self, mono_us: int) -> None:
        """Send every reading for a while from now."""
        self._until_us = mono_us + self._urgent_us

    def pick(
        self,
        readings: Mapping[str, Json],
        t_us: int,
        mono_us: int,
        alarmed: frozenset[str] = frozenset(),
    ) -> list[Row]:
        """Give the rows to send of readings sensed at `t_us`; what is no finite number is left out."""
        tracks = self._tracks
        everything = mono_us < self._until_us
        if not everything:
            for name, value in readings.items():
                if name not in tracks:
                    continue
                track = tracks[name]
                is_quiet = mono_us < track.due_us
                if is_quiet and type(value) is float and track.low <= value <= track.high:
                    continue
                number = _number(value)
                if number is not None and not (is_quiet and track.low <= number <= track.high):
                    break
            else:
                return []
        rows: list[Row] = []
        for name, value in readings.items():
            if name not in tracks:
                continue
            track, number = tracks[name], _number(value)
            if number is None:
                continue
            if everything or track.goes_along(number, mono_us):
                track.sent(number, mono_us)
                rows.append((t_us, number, 0, track.index, FLAG_ALARM if name in alarmed else 0))
        return rows


def _number(value: Json) -> float | None:
    """Give a reading as a finite number, None where it is none; booleans count as 0 and 1."""
    if type(value) is float:
        return value if value - value == 0.0 else None  # infinity less itself is no number
    return float(value) if isinstance(value, bool) else finite(value)
