"""What the monitors have learned, kept over a restart: 64 bytes a signal, in a stream of its own.

A state is saved every ten minutes in which there were readings, and when the agent ends; the one before the
last may go then. Signals that are personal are left out: what was learned of them could not be erased.
Whatever is wrong with what the disk holds is told, and costs no more than learning anew.
"""

from __future__ import annotations

from ripstop.core.canonical import digest
from ripstop.core.clock import Instant
from ripstop.core.errors import ConfigurationError, RipstopError, WireError
from ripstop.core.node import Append, Drop, Effect
from ripstop.core.value import dataclass
from ripstop.core.vocabulary import SignalSpec
from ripstop.core.wire.record import pack, unpack

from .chronicle import Chronicle
from .detect import Monitor
from .guard import Guard
from .settings import LEARNED, Restored

EVERY_US = 600_000_000
MOST_SAVED = 1024
_VERSION = 2


@dataclass(frozen=True, slots=True)
class SavedMonitor:
    """One signal: how it was declared (a digest; "" where it was not), and its monitor's state."""

    name: str
    declared: str
    state: bytes


@dataclass(frozen=True, slots=True)
class SavedMonitors:
    """The monitors of an agent, on the monotonic clock of a boot."""

    version: int
    boot: str
    monitors: tuple[SavedMonitor, ...]


class Experience:
    """Saves and restores what a guard's monitors have learned.

    Args:
        guard: whose monitors they are.
        chronicle: told what could not be taken over.
        personal: signals that are not to be saved.
    """

    def __init__(self, guard: Guard, chronicle: Chronicle, personal: tuple[str, ...]) -> None:
        self.due_us = EVERY_US
        self._guard = guard
        self._chronicle = chronicle
        self._personal = frozenset(personal)
        self._number = 0
        self._saved: tuple[SavedMonitor, ...] = ()

    def save(self, now: Instant, out: list[Effect]) -> None:
        """Write down what was learned, if that is anything new; it is due again in a while."""
        self.due_us = now.mono_us + EVERY_US
        saved = tuple(
            SavedMonitor(name, _declared(spec), monitor.state())
            for name, spec, monitor in self._guard.watched()
            if monitor.count and name not in self._personal
        )[:MOST_SAVED]
        if saved == self._saved:
            return
        self._saved = saved
        self._number += 1
        out.append(Append(LEARNED, pack(SavedMonitors(_VERSION, now.boot, saved))))
        if self._number > 2:
            out.append(Drop(LEARNED, self._number - 2))

    def restore(self, restored: Restored | None, now: Instant, out: list[Effect]) -> None:
        """Take over what the disk holds, for signals that are still declared as they were."""
        self.due_us = now.mono_us + EVERY_US
        if restored is None or not restored.learned:
            return
        self._number = restored.learned_count
        try:
            saved = _read(restored.learned)
        except WireError as error:
            self._tell("", error, now, out)
            return
        for entry in saved.monitors:
            spec, monitor = self._guard.adopted(entry.name)
            if monitor is None or entry.name in self._personal or _declared(spec) != entry.declared:
                continue
            try:
                monitor.restore(entry.state, None if saved.boot == now.boot else now.mono_us)
                _check_time(monitor, now)
            except ConfigurationError as error:
                self._guard.forget(entry.name)
                self._tell(entry.name, error, now, out)

    def _tell(self, signal: str, error: RipstopError, now: Instant, out: list[Effect]) -> None:
        fields = {"signal": signal, "code": error.code, "reason": error.message}
        self._chronicle.tell("monitor.forgotten", fields, now, out)


def _declared(spec: SignalSpec | None) -> str:
    return "" if spec is None else digest(spec.to_json())


def _read(raw: bytes) -> SavedMonitors:
    saved = unpack(SavedMonitors, raw)
    if saved.version != _VERSION:
        raise WireError(f"saved monitors of version {saved.version}, expected {_VERSION}", code="W0102")
    return saved


def _check_time(monitor: Monitor, now: Instant) -> None:
    if monitor.last_us > now.mono_us:
        raise ConfigurationError("a monitor's state is of a time to come", code="C0371")
