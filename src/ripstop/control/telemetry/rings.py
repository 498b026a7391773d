"""The last readings of every agent and signal, in fixed memory: NumPy rings with one row for each pair.

Readings come one by one, and a write to a NumPy array costs as much as all the rest about one. So they wait
in a list, and are put into the rings many at a time, at the latest when somebody looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_NEVER = -(1 << 63)
_MOST_WAITING = 4096
Reading = tuple[int, int, float, int]  # ring, t_us, value, flags


@dataclass(frozen=True, slots=True)
class Window:
    """Readings of one signal of one agent, oldest first."""

    t_us: NDArray[np.int64]
    value: NDArray[np.float64]
    flags: NDArray[np.uint32]


class SampleRings:
    """Rings of `depth` readings; a ring is (agent's row) x `signals` + signal, the rows grow by doubling.

    INVARIANT: within a ring time strictly increases; what does not fit into that order is not given.
    """

    def __init__(self, signals: int, depth: int = 64, agents: int = 16) -> None:
        self.signals = signals
        self._depth = depth
        self._rows = 0
        self._t = np.zeros((agents * signals, depth), dtype=np.int64)
        self._value = np.zeros((agents * signals, depth))
        self._flags = np.zeros((agents * signals, depth), dtype=np.uint32)
        self._count = np.zeros(agents * signals, dtype=np.int64)
        self._last: dict[int, tuple[int, float]] = {}
        self._waiting: list[Reading] = []

    def add_agent(self) -> int:
        """Give the next agent its row."""
        if self._rows * self.signals == len(self._t):
            for name in ("_t", "_value", "_flags", "_count"):
                old = getattr(self, name)
                setattr(self, name, np.concatenate([old, np.zeros_like(old)]))
        self._rows += 1
        return self._rows - 1

    def put(self, ring: int, t_us: int, value: float, flags: int) -> None:
        """Store one reading that is newer than the last of its ring."""
        self._last[ring] = (t_us, value)
        self._waiting.append((ring, t_us, value, flags))
        if len(self._waiting) >= _MOST_WAITING:
            self._settle()

    def put_run(self, ring: int, run: Sequence[tuple[int, float, int]]) -> None:
        """Store a run of strictly newer readings (t_us, value, flags) of one ring."""
        if run:
            self._last[ring] = run[-1][:2]
            self._waiting.extend((ring, *reading) for reading in run)
            if len(self._waiting) >= _MOST_WAITING:
                self._settle()

    def _settle(self) -> None:
        """Put what waits into the rings; of a run longer than a ring only the end is kept."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        ring = np.array([reading[0] for reading in waiting], dtype=np.int64)
        order = np.argsort(ring, kind="stable")
        ring = ring[order]
        rings, first, counts = np.unique(ring, return_index=True, return_counts=True)
        rank = np.arange(len(ring)) - np.repeat(first, counts)
        kept = rank >= np.repeat(counts, counts) - self._depth
        at = (self._count[ring] + rank) % self._depth
        for store, column in ((self._t, 1), (self._value, 2), (self._flags, 3)):
            values = np.array([reading[column] for reading in waiting], dtype=store.dtype)[order]
            store[ring[kept], at[kept]] = values[kept]
        self._count[rings] += counts

    def last_time(self, ring: int) -> int:
        """Give the time of the last reading; the smallest integer where there is none."""
        last = self._last.get(ring)
        return last[0] if last is not None else _NEVER

    def last(self, ring: int) -> tuple[int, float] | None:
        """Give the last reading as (t_us, value)."""
        return self._last.get(ring)

    def window(self, ring: int, since_us: int) -> Window:
        """Give the readings at or after `since_us` that the ring still holds."""
        self._settle()
        count = int(self._count[ring])
        at = np.arange(max(0, count - self._depth), count) % self._depth
        t_us = self._t[ring, at]
        first = int(np.searchsorted(t_us, since_us))
        at = at[first:]
        return Window(t_us[first:], self._value[ring, at], self._flags[ring, at])
