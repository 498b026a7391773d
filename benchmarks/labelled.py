"""Made-up series with labelled faults: every base signal with every kind of fault, at a real clock's pace.

The faults are those that sensors and the parts behind them have; what is labelled is when an attentive person
could say so: a spike whole, a shift or a new unrest for its first readings (later it is the usual), a drift
from where it is a deviation away, a drop-out and a stuck sensor from beginning to end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

MINUTE_US = 60_000_000
FRESH = 20  # readings of a shift or of a new unrest that are labelled
FIRST = 600  # readings before the first that counts


@dataclass(frozen=True)
class Made:
    """One series: `label` is true where a reading is part of a fault of the kind `fault`."""

    base: str
    fault: str
    t_us: np.ndarray
    values: np.ndarray
    label: np.ndarray

    def faults(self) -> list[tuple[int, int]]:
        """Give the first row of each fault, and the first row after it."""
        edges = np.flatnonzero(np.diff(np.concatenate(([False], self.label, [False]))))
        return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _memory(rng: np.random.Generator, n: int, keep: float) -> np.ndarray:
    noise = rng.standard_normal(n)
    for i in range(1, n):
        noise[i] = keep * noise[i - 1] + noise[i] * np.sqrt(1 - keep * keep)
    return noise


def _day(rng: np.random.Generator, n: int) -> np.ndarray:
    turn = 2 * np.pi * np.arange(n) / 288
    return 3 * np.sin(turn + rng.uniform(0, 6)) + np.sin(2 * turn + rng.uniform(0, 6))


def _duty(rng: np.random.Generator, n: int) -> np.ndarray:
    on, off = int(rng.integers(5, 40)), int(rng.integers(20, 100))
    return 4.0 * (np.arange(n) % (on + off) < on)


# each has a noise of deviation 1 or so
BASES: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "noise": lambda rng, n: 20 + rng.standard_normal(n),
    "memory": lambda rng, n: 20 + _memory(rng, n, rng.uniform(0.5, 0.97)),
    "day": lambda rng, n: 20 + _day(rng, n) + 0.5 * rng.standard_normal(n),
    "ramp": lambda rng, n: 60 - 50 * (np.arange(n) % 1500) / 1500 + 0.5 * rng.standard_normal(n),
    "rounded": lambda rng, n: np.round(20 + _memory(rng, n, 0.8)),
    "tails": lambda rng, n: 10 + np.exp(0.8 * rng.standard_normal(n)),
    "student": lambda rng, n: 20 + rng.standard_t(3, n) / 1.7,
    "bursts": lambda rng, n: 3.0 * rng.exponential(1.0, n) * (rng.uniform(size=n) < 0.1),
    "duty": lambda rng, n: 10 + _duty(rng, n) + 0.3 * rng.standard_normal(n),
    "walk": lambda rng, n: 50 + np.cumsum(0.1 * rng.standard_normal(n)) + 0.3 * rng.standard_normal(n),
}


def _spike(rng: np.random.Generator, x: np.ndarray, at: int, size: float) -> int:
    length = int(rng.integers(1, 4))
    x[at : at + length] += size * rng.choice([-1, 1])
    return length


def _shift(rng: np.random.Generator, x: np.ndarray, at: int, size: float) -> int:
    x[at : at + 400] += 0.7 * size * rng.choice([-1, 1])
    return FRESH


def _drift(rng: np.random.Generator, x: np.ndarray, at: int, size: float) -> int:
    x[at : at + 300] += np.linspace(0, 1.5 * size, 300) * rng.choice([-1, 1])
    return 300


def _stuck(rng: np.random.Generator, x: np.ndarray, at: int, size: float) -> int:
    length = int(rng.integers(60, 200))
    x[at : at + length] = x[at]
    return length


def _drop(rng: np.random.Generator, x: np.ndarray, at: int, size: float) -> int:
    length = int(rng.integers(2, 30))
    x[at : at + length] = 0.0
    return length


def _unrest(rng: np.random.Generator, x: np.ndarray, at: int, size: float) -> int:
    x[at : at + 200] += 0.6 * size * rng.standard_normal(200)
    return FRESH


FAULTS = {
    "spike": _spike,
    "shift": _shift,
    "drift": _drift,
    "stuck": _stuck,
    "drop-out": _drop,
    "unrest": _unrest,
}


def make(seed: int, each: int, *, irregular: bool = False) -> Iterator[Made]:
    """Make `each` series of every base with every fault, two to a series; the first readings are sound."""
    rng = np.random.default_rng(seed)
    for base, draw in BASES.items():
        for fault, put in FAULTS.items():
            for _ in range(each):
                n = int(rng.integers(2500, 4000))
                x = draw(rng, n)
                label = np.zeros(n, bool)
                deviation = float(np.std(np.diff(x))) / np.sqrt(2)
                for at in (int(rng.integers(900, n // 2 - 100)), int(rng.integers(n // 2 + 350, n - 420))):
                    length = put(rng, x, at, rng.uniform(4, 10) * max(deviation, 0.3))
                    first = at + (100 if fault == "drift" else 0)
                    label[first : at + length] = True
                step = 5.0 * np.ones(n)
                if irregular:
                    step = rng.exponential(5.0, n) + 0.05
                    step[rng.integers(0, n, 5)] += 120.0
                t_us = (np.cumsum(step) * MINUTE_US).astype(np.int64)
                yield Made(base, fault, t_us, x * 10.0 ** rng.integers(-1, 3), label)
