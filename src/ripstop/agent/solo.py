"""The shell of an agent that works alone: it keeps the ledger and the timers; nobody is there to send to.

It has no thread of its own but one for syncing files, started when first needed: timers run when the agent is
called, and what a sync came to is seen then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import RLock
from typing import TYPE_CHECKING

from ripstop.core.clock import Clock, Instant
from ripstop.core.node import (
    Append,
    Deliver,
    Drop,
    Effect,
    Effects,
    Event,
    Report,
    Scalar,
    SetTimer,
    Sync,
    Synced,
    Timer,
)

from .disk import Ledger
from .ledger import FileLedger, MemoryLedger
from .node import AgentNode
from .settings import Restored

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

log = logging.getLogger("ripstop.agent")


class Solo:
    """Carries out what a node asks for, as far as one can alone; used under its owner's lock."""

    def __init__(self, node: AgentNode, disk: Ledger, deliver: Callable[[object], None]) -> None:
        self.is_failing = False
        self.timers: dict[str, int] = {}
        self._node = node
        self._disk = disk
        self._deliver = deliver
        self._name = node.settings.agent
        self._syncing: tuple[int, Future[None]] | None = None
        self._pool: ThreadPoolExecutor | None = None

    def run_due(self, now: Instant) -> None:
        """Take in a sync that has ended, and run the timers that have come due."""
        if self._syncing is not None and self._syncing[1].done():
            self._synced(now)
        if not self.timers or now.mono_us < min(self.timers.values()):
            return
        for name, at_us in sorted(self.timers.items(), key=lambda item: item[1]):
            if now.mono_us >= at_us:
                del self.timers[name]
                self.perform(self._node.step(Timer(name), now), now)

    def perform(self, effects: Effects, now: Instant) -> None:
        """Carry out effects."""
        for effect in effects:
            self._carry_out(effect, now)

    def _carry_out(self, effect: Effect, now: Instant) -> None:
        match effect:
            case SetTimer():
                self.timers[effect.name] = effect.at_us
            case Append():
                self._keep(effect, now)
            case Sync():
                self._begin_sync(effect.sequence, now)
            case Drop():
                self._disk.drop(effect.stream, effect.sequence)
            case Deliver():
                self._deliver(effect.value)
            case Report():
                log.info(effect.name, extra={"agent": self._name, "fields": dict(effect.fields)})
            case _:
                pass

    # ---- the ledger -------------------------------------------------------------------------------------

    def _keep(self, effect: Append, now: Instant) -> None:
        try:
            self._append(effect)
        except OSError as error:
            self._fail(error, now)
            return
        if self.is_failing:
            self.is_failing = False
            self.perform(self._node.ledger_recovered(now), now)

    def _append(self, effect: Append) -> None:
        try:
            self._disk.append(effect.stream, effect.data)
        except OSError:
            if not isinstance(self._disk, FileLedger) or not self._disk.trim():
                raise
            self._disk.append(effect.stream, effect.data)

    def _begin_sync(self, sequence: int, now: Instant) -> None:
        """Sync without keeping the caller: a disk may take its time."""
        if isinstance(self._disk, MemoryLedger):
            self.perform(self._node.step(Synced(sequence), now), now)
            return
        if self._syncing is not None:
            self.timers["sync"] = now.mono_us + round(self._node.settings.sync_s * 1e6)
            return
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"ledger {self._name}")
        self._syncing = (sequence, self._pool.submit(self._sync))

    def _sync(self) -> None:
        """Sync; and as nobody will fetch what an agent alone has on file, keep that within half its share."""
        self._disk.sync()
        if isinstance(self._disk, FileLedger):
            self._disk.trim()

    def _synced(self, now: Instant) -> None:
        if self._syncing is None:
            return
        (sequence, running), self._syncing = self._syncing, None
        error = running.exception()
        if isinstance(error, OSError):
            self._fail(error, now)
        elif error is not None:
            raise error
        else:
            self.perform(self._node.step(Synced(sequence), now), now)

    def sync_now(self, now: Instant) -> bool:
        """Sync, and keep the caller until it is done; False where that fails."""
        try:
            self._sync()
        except OSError as error:
            self._fail(error, now)
        return not self.is_failing

    def _fail(self, error: OSError, now: Instant) -> None:
        log.error("ledger.failed", extra={"agent": self._name, "reason": str(error)})
        if not self.is_failing:
            self.is_failing = True
            self.perform(self._node.ledger_failed(error.strerror or "cannot be written", now), now)

    def close(self) -> None:
        """Sync and close the ledger."""
        if self._pool is not None:
            self._pool.shutdown()
        try:
            self._disk.sync()
        finally:
            self._disk.close()


def found_damage(disk: Ledger) -> list[dict[str, Scalar]]:
    """Give what opening a ledger had to mend, as fields to be told."""
    return [
        {"stream": found.stream, "records": found.records, "torn": found.torn, "damaged": found.damaged}
        for found in disk.recoveries
        if found.torn or found.damaged
    ]


def next_incarnation(disk: Ledger, clock: Clock) -> int:
    """Number this life: the disk counts; without one the time in seconds never repeats."""
    if isinstance(disk, MemoryLedger):
        return clock.now().wall_us // 1_000_000
    return Restored.read(disk).incarnation + 1


class GuardedNode:
    """A node whose steps hold a lock."""

    def __init__(self, node: AgentNode, lock: RLock, after: Callable[[], None]) -> None:
        self._node = node
        self._lock = lock
        self._after = after

    @property
    def subjects(self) -> tuple[str, ...]:
        """The subjects that it hears."""
        return self._node.subjects

    def step(self, event: Event, now: Instant) -> Effects:
        """Step under the lock."""
        with self._lock:
            effects = self._node.step(event, now)
        self._after()
        return effects
