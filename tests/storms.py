"""A server's death and return in virtual time: each agent comes back when its link's own back-off says so."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from ripstop.core.chance import stream
from ripstop.core.messages import Admission
from ripstop.links.backoff import Backoff
from ripstop.links.connection import LinkSettings
from ripstop.links.memory import MemoryNetwork


class Storm:
    """Drives the reconnections of a network's nodes; `attempts` are in virtual microseconds."""

    def __init__(self, network: MemoryNetwork, names: Iterable[str], admission: Admission | None) -> None:
        self.network = network
        self.is_up = True
        self.attempts: list[int] = []
        self.returns: dict[str, int] = {}
        settings = LinkSettings()
        self._backoffs = {
            name: Backoff(settings.retry_s, settings.retry_max_s, stream(1, name, "link")) for name in names
        }
        for backoff in self._backoffs.values():
            if admission is not None:
                backoff.admit(admission)

    def kill(self, down_s: float) -> None:
        """Kill the server; it is there again after `down_s`."""
        self.is_up = False
        timeline = self.network.timeline
        self.network.stop_server()
        timeline.after(round(down_s * 1e6), self._restart)
        for name in self._backoffs:
            self._wait(name)

    def _restart(self) -> None:
        self.is_up = True
        self.network.reconnect("control")

    def _wait(self, name: str) -> None:
        wait_us = round(self._backoffs[name].wait_s() * 1e6)
        self.network.timeline.after(wait_us, self._attempt, name)

    def _attempt(self, name: str) -> None:
        self.attempts.append(self.network.timeline.now_us)
        if self.is_up:
            self._backoffs[name].opened()
            self.returns[name] = self.network.timeline.now_us
            self.network.reconnect(name)
        else:
            self._backoffs[name].failed()
            self._wait(name)


def busiest(times: list[int], window_s: float = 1.0) -> int:
    """Count the most events in any window of a sorted list of microseconds."""
    window_us = round(window_s * 1e6)
    return max((bisect_left(times, at + window_us) - index for index, at in enumerate(times)), default=0)
