"""Virtual time: calls ordered by (time, sequence number), with no thread and no event loop."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import TypeAlias

_Entry: TypeAlias = tuple[int, int, Callable[..., None], tuple[object, ...]]


class Timeline:
    """A heap of calls to come; running it is what makes its time pass.

    Calls due at the same microsecond run in the order in which they were asked for, so a run depends on
    nothing but its inputs.
    """

    __slots__ = ("_heap", "_sequence", "now_us")

    def __init__(self, start_us: int = 0) -> None:
        self.now_us = start_us
        self._heap: list[_Entry] = []
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._heap)

    def at(self, at_us: int, call: Callable[..., None], *args: object) -> None:
        """Ask for `call(*args)` at `at_us` (now, where that has passed)."""
        self._sequence = sequence = self._sequence + 1
        now_us = self.now_us
        heappush(self._heap, (at_us if at_us > now_us else now_us, sequence, call, args))

    def after(self, delay_us: int, call: Callable[..., None], *args: object) -> None:
        """Ask for `call(*args)` in `delay_us` from now."""
        self.at(self.now_us + delay_us, call, *args)

    def next_us(self) -> int | None:
        """Tell when the next call is due, None where there is none."""
        return self._heap[0][0] if self._heap else None

    def step(self) -> bool:
        """Run the next call, moving time to it; False where there is none."""
        if not self._heap:
            return False
        self.now_us, _, call, args = heappop(self._heap)
        call(*args)
        return True

    def run_until(self, until_us: int) -> None:
        """Run every call due up to and including `until_us`, and leave the time there."""
        heap = self._heap
        while heap and heap[0][0] <= until_us:
            self.now_us, _, call, args = heappop(heap)
            call(*args)
        self.now_us = max(self.now_us, until_us)
