"""The shell that runs a node live: events in from the link, the clock and the disk, effects out to them.

A node's step is called within the event loop, at once when its event is there; the driver keeps no task of
its own while nothing is under way, so that a thousand of them fit in one process.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import TypeAlias, assert_never

from ..core.chance import stream
from ..core.clock import Clock, Instant, SystemClock
from ..core.node import (
    Append,
    Compute,
    Computed,
    Deliver,
    Drop,
    Effect,
    Effects,
    Event,
    Extend,
    Fetch,
    Fetched,
    Node,
    Report,
    Send,
    SetTimer,
    Started,
    Store,
    Stored,
    Sync,
    Synced,
    Timer,
)
from .durable import Disk, MemoryDisk, is_asked
from .errors import LinkDownError
from .nats import NatsLink
from .tasks import end

log = logging.getLogger(__name__)
OnDeliver: TypeAlias = Callable[[object, Instant], None]
OnReport: TypeAlias = Callable[[Report, Instant], None]
OnFailure: TypeAlias = Callable[[str, BaseException], None]
# The loop's clock may stand still while the machine sleeps; the node's does not. So a long wait is looked at
# again this often.
_LONGEST_WAIT_S = 5.0
_RETRY_S, _RETRY_MAX_S = 0.1, 2.0
_CLOSE_S = 1.0


class NodeDriver:
    """Runs one node over one NATS link.

    `on_deliver` and `on_report` are the application's; `on_failure(what, error)` hears of everything that
    failed here (a callback, a computation's machinery, the disk, the node itself): nothing of it ends the
    loop. All methods belong to the loop's thread.
    """

    def __init__(
        self,
        node: Node,
        link: NatsLink,
        *,
        clock: Clock | None = None,
        disk: Disk | None = None,
        executor: Executor | None = None,
    ) -> None:
        self.node = node
        self.link = link
        self.clock = clock or SystemClock()
        self.disk: Disk = disk or MemoryDisk()
        self.on_deliver: OnDeliver | None = None
        self.on_report: OnReport | None = None
        self.on_failure: OnFailure | None = None
        self.failures = 0
        self._told: dict[str, str] = {}
        self._executor = executor
        self._rng = stream(int.from_bytes(os.urandom(8), "little"), "driver")
        self._timers: dict[str, tuple[int, asyncio.TimerHandle]] = {}
        self._requests: list[Fetch | Store] = []
        self._worker: asyncio.Task[None] | None = None
        self._under_way: set[asyncio.Future[object]] = set()
        self._is_open = False

    # ---- life -----------------------------------------------------------------------------------------

    def start(self, *, incarnation: int = 0, timers: Mapping[str, int] | None = None) -> None:
        """Start the node and its link.

        With `timers` (by name, in the node's monotonic time) the node was already running elsewhere: it goes
        on with these and gets no `Started`.
        """
        self._is_open = True
        if timers is None:
            self.post(Started(incarnation))
        else:
            for name, at_us in timers.items():
                self._set_timer(name, at_us)
        self.link.start(self.node.subjects, self.post)

    async def close(self) -> None:
        """Stop the node: no more events; what was sent and stored goes out, the disk is synced and closed."""
        self._is_open = False
        for _, handle in self._timers.values():
            handle.cancel()
        self._timers.clear()
        if self._worker is not None:
            if self.link.is_connected:
                await asyncio.wait({self._worker}, timeout=_CLOSE_S)
            await end(self._worker)
        if self._under_way:
            await asyncio.wait(set(self._under_way))
        await self.link.close()
        await asyncio.get_running_loop().run_in_executor(self._executor, self._close_disk)

    def _close_disk(self) -> None:
        try:
            self.disk.sync()
            self.disk.close()
        except OSError as error:
            self._fail("disk", error)

    def now(self) -> Instant:
        """Read the node's clocks."""
        return self.clock.now()

    # ---- events in ------------------------------------------------------------------------------------

    def post(self, event: Event) -> None:
        """Give the node an event and carry out what it answers."""
        if not self._is_open:
            return
        try:
            effects = self.node.step(event, self.clock.now())
        except Exception as error:  # noqa: BLE001 - one event must not end a node that guards others
            self._fail("node", error)
            return
        self.perform(effects)

    def perform(self, effects: Effects) -> None:
        """Carry out effects, also those that the node returned to its application outside of `step`."""
        for effect in effects:
            try:
                self._carry_out(effect)
            except Exception as error:  # noqa: BLE001 - the other effects are still due
                self._fail(type(effect).__name__.lower(), error)

    def _fail(self, what: str, error: BaseException) -> None:
        self.failures += 1
        fields = {"what": what, "link": self.link.login.name, "reason": str(error)}
        if not isinstance(error, OSError):
            log.error("driver.failed", exc_info=error, extra=fields)
        elif self._told.get(what) != str(error):  # a full disk is no fault of the program, and lasts
            self._told[what] = str(error)
            log.error("driver.failed", extra=fields)
        if self.on_failure is not None:
            self.on_failure(what, error)

    # ---- effects out ----------------------------------------------------------------------------------

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Send():
                self.link.send(effect.subject, effect.data)
            case SetTimer():
                self._set_timer(effect.name, effect.at_us)
            case Append():
                self.disk.append(effect.stream, effect.data)
            case Extend():
                for data in effect.records:
                    self.disk.append(effect.stream, data)
            case Deliver():
                if self.on_deliver is not None:
                    self.on_deliver(effect.value, self.clock.now())
            case Report():
                if self.on_report is not None:
                    self.on_report(effect, self.clock.now())
            case Sync():
                self._sync(effect.sequence)
            case Drop():
                self.disk.drop(effect.stream, effect.sequence)
            case Compute():
                self._compute(effect)
            case Fetch() | Store():
                self._request(effect)
            case _:
                assert_never(effect)

    def _set_timer(self, name: str, at_us: int) -> None:
        earlier = self._timers.get(name)
        if earlier is not None:
            earlier[1].cancel()
        wait_s = max(0.0, (at_us - self.clock.now().mono_us) * 1e-6)
        loop = asyncio.get_running_loop()
        handle = loop.call_later(min(wait_s, _LONGEST_WAIT_S), self._ring, name, at_us)
        self._timers[name] = (at_us, handle)

    def _ring(self, name: str, at_us: int) -> None:
        if self.clock.now().mono_us < at_us:
            self._set_timer(name, at_us)
            return
        del self._timers[name]
        self.post(Timer(name))

    def _off_loop(self, job: Callable[[], object], done: Callable[[asyncio.Future[object]], None]) -> None:
        """Run a job in the pool; `done` is called within the loop, whatever became of it."""
        running = asyncio.get_running_loop().run_in_executor(self._executor, job)
        self._under_way.add(running)
        running.add_done_callback(self._under_way.discard)
        running.add_done_callback(done)

    def _sync(self, sequence: int) -> None:
        def done(running: asyncio.Future[object]) -> None:
            error = running.exception()
            if error is not None:
                self._fail("sync", error)
            else:
                self.post(Synced(sequence))

        self._off_loop(self.disk.sync, done)

    def _compute(self, effect: Compute) -> None:
        def done(running: asyncio.Future[object]) -> None:
            error = running.exception()
            if error is not None:
                self._fail("computation", error)
                self.post(Computed(effect.name, None, f"{type(error).__name__}: {error}"))
            else:
                self.post(Computed(effect.name, running.result()))

        self._off_loop(effect.job, done)

    # ---- durable keys ---------------------------------------------------------------------------------

    def _request(self, effect: Fetch | Store) -> None:
        if is_asked(self._requests, effect):
            return
        self._requests.append(effect)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work_off(), name=f"keys {self.link.login.name}")

    async def _work_off(self) -> None:
        """Ask the store one thing after the other, each until it is answered or refused."""
        while self._requests:
            effect = self._requests[0]
            event = await self._until_answered(effect)
            self._requests.pop(0)
            if event is not None:
                self.post(event)

    async def _until_answered(self, effect: Fetch | Store) -> Event | None:
        attempt = 0
        while True:
            try:
                if isinstance(effect, Fetch):
                    return Fetched(effect.key, *await self.link.fetch(effect.key))
                revision = await self.link.store(
                    effect.key, effect.data, effect.expected, is_repeat=attempt > 0
                )
                return Stored(effect.key, revision)
            except LinkDownError:
                ceiling_s = min(_RETRY_MAX_S, _RETRY_S * 2.0 ** min(attempt, 10))
                attempt += 1
                await self.link.up()
                await asyncio.sleep(self._rng.uniform(0.0, ceiling_s))
            except Exception as error:  # noqa: BLE001 - refused or malformed: asking again does not help
                self._fail("store", error)
                return None
