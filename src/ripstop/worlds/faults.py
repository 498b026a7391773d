"""Sensor faults: small, composable, seeded; each turns a true value into what the sensor says.

A fault is pure: `apply(value, t_s, memory, rng=...)` gives the reading and the memory for the next call.
Faults in a chain are applied in order, so `(Drift(...), Noise(...))` drifts and then trembles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ripstop.core.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Scale:
    """The reading is the value times `factor` from `start_s` on: a false low (or high) gauge."""

    start_s: float
    factor: float

    def apply(
        self, value: float, t_s: float, memory: float, *, rng: np.random.Generator
    ) -> tuple[float, float]:
        """Give (reading, memory)."""
        return (value * self.factor if t_s >= self.start_s else value), memory


@dataclass(frozen=True, slots=True)
class Stuck:
    """The reading stays at the first value seen at or after `start_s`."""

    start_s: float

    def apply(
        self, value: float, t_s: float, memory: float, *, rng: np.random.Generator
    ) -> tuple[float, float]:
        """Give (reading, memory); the memory is the value it is stuck at, NaN before."""
        if t_s < self.start_s:
            return value, memory
        held = value if math.isnan(memory) else memory
        return held, held


@dataclass(frozen=True, slots=True)
class Dropout:
    """Each reading from `start_s` on is missing (NaN) with `probability`."""

    start_s: float
    probability: float = 1.0

    def apply(
        self, value: float, t_s: float, memory: float, *, rng: np.random.Generator
    ) -> tuple[float, float]:
        """Give (reading, memory)."""
        if t_s < self.start_s:
            return value, memory
        return (math.nan if rng.random() < self.probability else value), memory


@dataclass(frozen=True, slots=True)
class Drift:
    """The reading moves away by `per_s` a second from `start_s` on."""

    start_s: float
    per_s: float

    def apply(
        self, value: float, t_s: float, memory: float, *, rng: np.random.Generator
    ) -> tuple[float, float]:
        """Give (reading, memory)."""
        return value + self.per_s * max(0.0, t_s - self.start_s), memory


@dataclass(frozen=True, slots=True)
class Noise:
    """Gaussian noise of standard deviation `sd` is added from `start_s` on."""

    start_s: float
    sd: float

    def apply(
        self, value: float, t_s: float, memory: float, *, rng: np.random.Generator
    ) -> tuple[float, float]:
        """Give (reading, memory)."""
        if t_s < self.start_s:
            return value, memory
        return value + self.sd * float(rng.standard_normal()), memory


Fault = Scale | Stuck | Dropout | Drift | Noise

_KINDS: Final[dict[str, tuple[type[Fault], tuple[str, ...]]]] = {
    "scale": (Scale, ("factor",)),
    "stuck": (Stuck, ()),
    "dropout": (Dropout, ("probability",)),
    "drift": (Drift, ("per_s",)),
    "noise": (Noise, ("sd",)),
}


def make_fault(kind: str, start_s: float, **settings: float) -> Fault:
    """Build a fault from its name and numbers, as a scenario file gives them.

    Raises:
        ConfigurationError: unknown kind, a setting that the kind lacks or needs, a value out of range.
    """
    if kind not in _KINDS:
        raise ConfigurationError(
            f"expected a kind of fault, got `{kind}`", code="C0301", hint="one of " + ", ".join(_KINDS)
        )
    build, names = _KINDS[kind]
    odd = sorted(set(settings) ^ set(names))
    if odd:
        raise ConfigurationError(
            f"fault `{kind}` takes {_listed(names)}, got {_listed(tuple(settings))}",
            code="C0302",
            hint=f"look at `{odd[0]}`",
        )
    for name, value in settings.items():
        if not math.isfinite(value) or (name == "probability" and not 0 <= value <= 1):
            raise ConfigurationError(
                f"fault `{kind}` needs a number in range for `{name}`, got `{value}`", code="C0303"
            )
    return build(start_s, **settings)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "no settings"


class FaultySensor:
    """One sensor's chain of faults with its memory: feed it true values, get readings."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        self._memory = [math.nan] * len(self.faults)

    def read(self, value: float, t_s: float, *, rng: np.random.Generator) -> float:
        """Give what the sensor says for a true `value` at `t_s` (NaN: nothing)."""
        for k, fault in enumerate(self.faults):
            value, self._memory[k] = fault.apply(value, t_s, self._memory[k], rng=rng)
        return value
