"""The last readings of every agent and signal, in fixed memory: NumPy rings with one row for each pair."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Window:
    """Readings of one signal of one agent, oldest first."""

    t_us: NDArray[np.int64]
    value: NDArray[np.float64]
    flags: NDArray[np.uint32]


class SampleRings:
    """Rings of `depth` readings; the rows grow with the fleet by doubling.

    INVARIANT: within a ring time strictly increases; what does not fit into that order is not stored.
    """

    def __init__(self, signals: int, depth: int = 64, agents: int = 16) -> None:
        self._signals = signals
        self._depth = depth
        self._rows = 0
        self._t = np.zeros((agents, signals, depth), dtype=np.int64)
        self._value = np.zeros((agents, signals, depth))
        self._flags = np.zeros((agents, signals, depth), dtype=np.uint32)
        self._count = np.zeros((agents, signals), dtype=np.int64)
        self._last_t = np.full((agents, signals), np.iinfo(np.int64).min)
        self._last = np.full((agents, signals), np.nan)

    def add_agent(self) -> int:
        """Give the next agent its row."""
        if self._rows == len(self._t):
            for name in ("_t", "_value", "_flags", "_count", "_last_t", "_last"):
                old = getattr(self, name)
                fill = np.nan if name == "_last" else np.iinfo(np.int64).min if name == "_last_t" else 0
                grown = np.full((2 * len(old), *old.shape[1:]), fill, dtype=old.dtype)
                grown[: len(old)] = old
                setattr(self, name, grown)
        self._rows += 1
        return self._rows - 1

    def put(self, row: int, signal: int, t_us: int, value: float, flags: int) -> None:
        """Store one reading that is newer than the last of its ring."""
        at = self._count[row, signal] % self._depth
        self._t[row, signal, at] = t_us
        self._value[row, signal, at] = value
        self._flags[row, signal, at] = flags
        self._count[row, signal] += 1
        self._last_t[row, signal] = t_us
        self._last[row, signal] = value

    def put_run(
        self, row: int, signal: int, t_us: NDArray[np.int64], value: NDArray[np.float64],
        flags: NDArray[np.uint32],
    ) -> None:  # fmt: skip
        """Store a run of strictly newer readings of one ring at once; of a long run only the end is kept."""
        total = len(t_us)
        if not total:
            return
        kept = min(total, self._depth)
        start = self._count[row, signal] + total - kept
        at = (start + np.arange(kept)) % self._depth
        self._t[row, signal, at] = t_us[-kept:]
        self._value[row, signal, at] = value[-kept:]
        self._flags[row, signal, at] = flags[-kept:]
        self._count[row, signal] += total
        self._last_t[row, signal] = t_us[-1]
        self._last[row, signal] = value[-1]

    def last_time(self, row: int, signal: int) -> int:
        """Give the time of the last reading; the smallest integer where there is none."""
        return int(self._last_t[row, signal])

    def last(self, row: int, signal: int) -> tuple[int, float] | None:
        """Give the last reading as (t_us, value)."""
        if not self._count[row, signal]:
            return None
        return int(self._last_t[row, signal]), float(self._last[row, signal])

    def lasts(self, signal: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Give every agent's last time and value of a signal, shape (agents,); NaN where there is none."""
        return self._last_t[: self._rows, signal], self._last[: self._rows, signal]

    def window(self, row: int, signal: int, since_us: int) -> Window:
        """Give the readings at or after `since_us` that the ring still holds."""
        count = int(self._count[row, signal])
        at = np.arange(max(0, count - self._depth), count) % self._depth
        t_us = self._t[row, signal, at]
        first = int(np.searchsorted(t_us, since_us))
        at = at[first:]
        return Window(t_us[first:], self._value[row, signal, at], self._flags[row, signal, at])
