"""The shell of an agent that works alone: it keeps the ledger and the timers; nobody is there to send to.

Timers run when the agent is called. Only the ledger does not wait for a call: with files, a worker thread
records what was decided, and syncs it, within the time that the settings give. It stays for as long as there
is something to record in each such time, so that who decides often never has to wake it; it writes decisions
a few at a time and without the lock, so that who decides meanwhile waits for little. The worker belongs to a
pool, so that an interpreter that ends lets it finish.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Event as Flag
from threading import RLock
from typing import TYPE_CHECKING
from weakref import WeakSet

from ripstop.core.clock import Clock, Instant
from ripstop.core.node import (
    Append,
    Deliver,
    Drop,
    Effect,
    Effects,
    Event,
    Extend,
    Report,
    Scalar,
    SetTimer,
    Sync,
    Synced,
    Timer,
)

from .disk import Ledger
from .ledger import FileLedger
from .memory import MemoryLedger
from .node import AgentNode
from .settings import STATE, Restored

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

log = logging.getLogger("ripstop.agent")
_NEVER_US = sys.maxsize
_AT_ONCE = 16  # decisions that the worker writes before it lets others have the interpreter
_BREATH_S = 1e-5


# Those with files, which a child that is forked off may not write. To ask for the process at each decision
# would be a system call.
_ON_FILE: WeakSet[Solo] = WeakSet()


def _forked() -> None:
    for solo in _ON_FILE:
        solo.due_us = 0  # the next call asks its ledger, which refuses


os.register_at_fork(after_in_child=_forked)


class Solo:
    """Carries out what a node asks for, as far as one can alone; used under its owner's lock."""

    def __init__(
        self,
        node: AgentNode,
        disk: Ledger,
        deliver: Callable[[object], None],
        clock: Clock,
        lock: RLock,
    ) -> None:
        self.is_failing = False
        self._timers: dict[str, int] = {}
        self.due_us = _NEVER_US  # the earliest of them
        self._sync_s: float | None = None  # after how long the worker is to record what was put off
        self._node = node
        self._disk = disk
        self._deliver = deliver
        self._clock = clock
        self._lock = lock
        self._name = node.settings.agent
        self._unsynced = 0
        self._is_tended = False
        self._closing = Flag()
        self._pool: ThreadPoolExecutor | None = None
        if isinstance(disk, FileLedger):
            _ON_FILE.add(self)
            if not node.settings.durable:
                node.defer_records()

    def run_due(self, now: Instant) -> None:
        """Run the timers that have come due; to be called from `due_us` on.

        Raises:
            LedgerError: C0406, this process was forked from the agent's.
        """
        self._disk.check_process()
        timers, self._timers, self.due_us = self._timers, {}, _NEVER_US
        for name, at_us in sorted(timers.items(), key=lambda item: item[1]):
            if now.mono_us >= at_us:
                self.perform(self._node.step(Timer(name), now), now)
            elif name not in self._timers:
                self._set(name, at_us)

    def take_timers(self, now: Instant) -> dict[str, int]:
        """Give the timers that are pending to a shell that runs them from now on."""
        timers, self._timers, self.due_us = self._timers, {}, _NEVER_US
        if self._sync_s is not None:
            timers["sync"] = now.mono_us + round(self._sync_s * 1e6)
            self._sync_s = None
        return timers

    def _set(self, name: str, at_us: int) -> None:
        self._timers[name] = at_us
        self.due_us = min(self.due_us, at_us)

    def perform(self, effects: Effects, now: Instant) -> None:
        """Carry out effects; what is appended one behind the other is one write."""
        kept: list[bytes] = []
        stream = ""
        for effect in effects:
            if isinstance(effect, Append):
                if effect.stream != stream:
                    self._keep(stream, kept, (), now)
                    stream, kept = effect.stream, []
                kept.append(effect.data)
            else:
                self._keep(stream, kept, (), now)
                stream, kept = "", []
                self._carry_out(effect, now)
        self._keep(stream, kept, (), now)

    def _carry_out(self, effect: Effect, now: Instant) -> None:
        match effect:
            case SetTimer():
                wait_s = (effect.at_us - now.mono_us) / 1e6
                if effect.name == "sync" and self._is_tended_by_worker(wait_s):
                    self._sync_s = wait_s
                else:
                    self._set(effect.name, effect.at_us)
            case Extend():
                self._keep(effect.stream, effect.records, effect.links, now)
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

    def _keep(self, stream: str, records: Sequence[bytes], links: Sequence[bytes], now: Instant) -> None:
        if not records:
            return
        try:
            self._disk.extend(stream, records, links)
        except OSError as error:
            if not self._makes_room():
                self.failed(error, now)
                return
        if self.is_failing:
            self._works(now)

    def _makes_room(self) -> bool:
        """Forget the oldest records, which nobody will fetch, to write what waits; False if that fails."""
        if not isinstance(self._disk, FileLedger):
            return False
        try:
            while self._disk.trim():
                with suppress(OSError):
                    self._disk.sync()
                    return True
        except OSError:  # what is kept cannot be written anew
            return False
        return False

    def _writes_after_all(self) -> bool:
        """Try once more: who decides may have made room since, or room can be made."""
        try:
            self._disk.sync()
        except OSError:
            return self._makes_room()
        return True

    def _works(self, now: Instant) -> None:
        if self.is_failing:
            self.is_failing = False
            self.perform(self._node.ledger_recovered(now), now)

    def _begin_sync(self, sequence: int, now: Instant) -> None:
        """Sync without keeping the caller: a disk may take its time."""
        if isinstance(self._disk, MemoryLedger):
            self.perform(self._node.step(Synced(sequence), now), now)
            return
        self._unsynced = sequence
        self._is_tended_by_worker(0.0)

    # ---- the worker -------------------------------------------------------------------------------------

    def _is_tended_by_worker(self, wait_s: float) -> bool:
        """Whether there is a worker; it is called where it has gone."""
        if self._is_tended or isinstance(self._disk, MemoryLedger):
            return self._is_tended
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"ledger {self._name}")
        try:
            self._pool.submit(self._tend, wait_s).add_done_callback(self._tended)
        except RuntimeError:  # the interpreter ends
            return False
        self._is_tended = True
        return True

    def _tend(self, wait_s: float | None) -> None:
        """Record what was put off and sync it, as it falls due, until nothing was put off for a while."""
        while wait_s is not None:
            self._closing.wait(wait_s)
            wait_s = self._work(wait_s)

    def _work(self, waited_s: float) -> float | None:
        """Do what has fallen due; give how long to wait then, None to go."""
        usual_s = self._node.settings.sync_s
        asked_s = self._sync_s
        is_due = asked_s is not None and (asked_s <= max(waited_s, usual_s) or self._closing.is_set())
        while is_due and self._node.write_ahead(_AT_ONCE):
            self._closing.wait(_BREATH_S)
        with self._lock:
            if is_due and self._sync_s is not None:
                self._sync_s = None
                now = self._clock.now()
                self.perform(self._node.step(Timer("sync"), now), now)
            sequence, self._unsynced = self._unsynced, 0
        if sequence:
            self._sync_up_to(sequence)
        with self._lock:
            wait_s = 0.0 if self._unsynced else self._sync_s
            if wait_s is None and (is_due or sequence):
                wait_s = usual_s
            if wait_s is None or self.is_failing:
                self._is_tended = False
            if wait_s is not None and self.is_failing:
                # The pool takes nothing more once the agent closes or the interpreter ends: nobody waits
                # until the disk works again.
                self._is_tended_by_worker(wait_s)
                return None
            return wait_s

    def _sync_up_to(self, sequence: int) -> None:
        with suppress(OSError):  # the node knows
            self.sync()
            with self._lock:
                now = self._clock.now()
                self.perform(self._node.step(Synced(sequence), now), now)

    def _tended(self, running: Future[None]) -> None:
        error = running.exception()
        if error is not None:
            with self._lock:
                self._is_tended = False
            log.error("ledger.failed", exc_info=error, extra={"agent": self._name, "reason": str(error)})

    def sync(self) -> None:
        """Sync; and as nobody will fetch what an agent alone has on file, keep that within half its share.

        Not to be called under the lock: a disk may take its time.

        Raises:
            OSError: not all of it could be brought to stable storage; the node knows.
        """
        try:
            self._disk.sync()
        except OSError as error:
            with self._lock:
                if not self._writes_after_all():
                    self.failed(error, self._clock.now())
                    raise
        if self.is_failing:
            with self._lock:
                self._works(self._clock.now())
            self._disk.sync()
        if isinstance(self._disk, FileLedger):
            with suppress(OSError):  # what cannot be written anew stays as it is
                self._disk.trim()

    def failed(self, error: OSError, now: Instant) -> None:
        """Take note that the disk fails, and let the node know."""
        if not self.is_failing:
            log.error("ledger.failed", extra={"agent": self._name, "reason": str(error)})
            self.is_failing = True
            self.perform(self._node.ledger_failed(error.strerror or "cannot be written", now), now)

    def close(self) -> None:
        """Sync and close the ledger; not to be called under the lock, which the worker may need.

        Raises:
            OSError: the disk does not take what was recorded.
        """
        self._closing.set()
        if self._pool is not None:
            self._pool.shutdown()
        try:
            self._disk.sync()
        finally:
            self._disk.close()


def found_damage(disk: Ledger) -> list[dict[str, Scalar]]:
    """Give what opening a ledger had to mend, as fields to be told."""
    return [
        {
            "stream": found.stream,
            "records": found.records,
            "torn": found.torn,
            "damaged": found.damaged,
            "missing": found.missing,
            "let_go": found.let_go,
        }
        for found in disk.recoveries
        if found.torn or found.damaged or found.missing
    ]


def next_incarnation(disk: Ledger, restored: Restored, clock: Clock) -> int:
    """Number this life after the last one, of which the disk tells what was restored.

    Where the disk is memory, or has lost states, the time in seconds takes part: that never repeats.
    """
    seconds = clock.now().wall_us // 1_000_000
    if isinstance(disk, MemoryLedger):
        return seconds
    last = restored.incarnation
    has_lost = any(found.stream == STATE and (found.damaged or found.missing) for found in disk.recoveries)
    return max(last + 1, seconds) if has_lost else last + 1


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
