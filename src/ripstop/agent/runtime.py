"""The agent joined to its fleet: its node over NATS, its façade for the application.

Needs the extras `nats` and `signed`.

The node runs in the event loop's thread; the façade may be used from any thread. When the link is down, or
the control plane is gone, the agent decides as before.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import get_ident
from types import TracebackType

from ripstop.core.clock import Clock, Instant, SystemClock
from ripstop.core.errors import ConfigurationError
from ripstop.core.messages import LEAVE, PeerMessage
from ripstop.core.node import Effects, Report, Scalar
from ripstop.core.subjects import Subjects
from ripstop.core.wire.envelope import open_envelope
from ripstop.links import Identity, LinkSettings, NatsLink, NodeDriver

from .agent import Agent
from .disk import Ledger, Store
from .node import AgentNode
from .settings import NodeSettings, Restored
from .solo import found_damage
from .vm import Policies

log = logging.getLogger("ripstop.agent")


class _WatchedDisk:
    """A disk that tells when it begins to fail or to be short, and when it no longer does."""

    def __init__(
        self,
        disk: Ledger,
        on_failed: Callable[[str], None],
        on_works: Callable[[], None],
        on_short: Callable[[bool], None],
    ) -> None:
        self._disk = disk
        self._on_failed = on_failed
        self._on_works = on_works
        self._on_short = on_short
        self._is_failing = self._is_short = False

    def append(self, stream: str, data: bytes) -> None:
        """Append, and tell."""
        try:
            self._disk.append(stream, data)
        except OSError as error:
            self._failed(error)
            raise
        self._works()

    def sync(self) -> None:
        """Sync, and tell."""
        try:
            self._disk.sync()
        except OSError as error:
            self._failed(error)
            raise
        self._works()

    def _works(self) -> None:
        if self._is_failing:
            self._is_failing = False
            self._on_works()
        self._look()

    def _look(self) -> None:
        if self._disk.is_short != self._is_short:
            self._is_short = not self._is_short
            self._on_short(self._is_short)

    def _failed(self, error: OSError) -> None:
        if not self._is_failing:
            self._is_failing = True
            self._on_failed(error.strerror or "cannot be written")

    def drop(self, stream: str, sequence: int) -> None:
        """Forget records."""
        self._disk.drop(stream, sequence)
        self._look()

    def close(self) -> None:
        """Close."""
        self._disk.close()


class AgentRuntime:
    """One agent, live.

    Args:
        identity: who it is and whom it trusts; see `ripstop.links.enrol`.
        policies: what it begins with, until the first release arrives or the disk's last one is read.
        settings: cadences and what is watched; agent and fleet must be the identity's.
        ledger: folder of its ledger; without one the ledger is in memory.
        clock: for tests.

    A `seed` of 0 in the settings draws one from the machine.

    Set `on_report` (everything that happens) and `on_offer` (a peer's message) before `start`.
    """

    def __init__(
        self,
        identity: Identity,
        policies: Policies = (),
        *,
        settings: NodeSettings | None = None,
        ledger: Path | None = None,
        clock: Clock | None = None,
    ) -> None:
        settings = settings or NodeSettings(identity.agent, identity.fleet)
        if not settings.seed:  # nobody may foretell the nonces of a live agent
            settings = replace(settings, seed=int.from_bytes(os.urandom(8), "big"))
        if settings.personal and not settings.salt_key:
            settings = replace(settings, salt_key=os.urandom(32))
        if (settings.agent, settings.fleet) != (identity.agent, identity.fleet):
            raise ConfigurationError(
                f"the settings are for `{settings.agent}` in fleet `{settings.fleet}`, "
                f"the identity is `{identity.agent}` in fleet `{identity.fleet}`",
                code="C0304",
            )
        clock = clock or SystemClock()
        disk = Store(ledger).open(identity.agent)
        restored = Restored.read(disk)
        node = AgentNode(
            settings,
            policies,
            opener=partial(open_envelope, identity.keyring(), identity.fleet),
            signer=identity.signer(),
            restored=restored,
        )
        self.agent = Agent.over(node, disk, restored, clock)
        admission_key = Subjects(identity.fleet).admission_key
        self.link = NatsLink(identity.address, identity.login(), LinkSettings(admission_key=admission_key))
        self._disk = _WatchedDisk(disk, self._ledger_failed, self._ledger_works, self._ledger_short)
        self._driver = NodeDriver(
            self.agent.guarded_node(self._stepped), self.link, clock=clock, disk=self._disk
        )
        self.on_report: Callable[[Report, Instant], None] | None = None
        self.on_offer: Callable[[PeerMessage, Instant], None] | None = None
        self._driver.on_report = self._report
        self._driver.on_deliver = self._deliver
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._is_said: asyncio.Event | None = None

    async def start(self) -> None:
        """Start the node and connect in the background."""
        self._loop = asyncio.get_running_loop()
        self._thread = get_ident()
        self.agent.join(self._perform, self._disk.sync)
        self._driver.start(incarnation=self.agent.incarnation)
        for fields in found_damage(self.agent.disk):
            self.tell("ledger.recovered", fields)

    async def stop(self, timeout_s: float = 1.0) -> None:
        """Take leave, send what was said and sealed, sync and close the ledger, let go of the connection."""
        self.tell(LEAVE, {})
        self._perform(self.agent.node.seal(self._driver.now()))
        self._is_said = asyncio.Event()
        self._stepped()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s if self.link.is_connected else 0.0):
                await self._is_said.wait()
        await self._driver.close()

    def _stepped(self) -> None:
        if self._is_said is not None and not self.agent.node.unsent:
            self._is_said.set()

    async def __aenter__(self) -> AgentRuntime:
        """Start."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        await self.stop()

    def tell(self, name: str, fields: dict[str, Scalar]) -> None:
        """Record something that the application wants on file, and tell the ground."""
        self._perform(self.agent.node.tell(name, fields, self._driver.now()))

    def answer(self, message: PeerMessage, accepted: bool, reason: str = "") -> None:
        """Answer a peer's offer."""
        self._perform(self.agent.node.answer(message, accepted, reason, self._driver.now()))

    def _perform(self, effects: Effects) -> None:
        if not effects or self._loop is None:
            return
        if get_ident() == self._thread:
            self._driver.perform(effects)
        else:
            self._loop.call_soon_threadsafe(self._driver.perform, effects)

    def _report(self, report: Report, now: Instant) -> None:
        log.info(report.name, extra={"agent": self.agent.name, "fields": dict(report.fields)})
        if self.on_report is not None:
            self.on_report(report, now)

    def _deliver(self, value: object, now: Instant) -> None:
        if isinstance(value, PeerMessage) and self.on_offer is not None:
            self.on_offer(value, now)
        else:
            self.agent.deliver(value)

    # A disk fails in the middle of carrying out effects, perhaps on another thread: the node hears it next.
    def _ledger_failed(self, reason: str) -> None:
        self._soon(lambda: self._perform(self.agent.node.ledger_failed(reason, self._driver.now())))
        self._soon(lambda: self._report(Report("ledger.failed", {"reason": reason}), self._driver.now()))

    def _ledger_works(self) -> None:
        self._soon(lambda: self._perform(self.agent.node.ledger_recovered(self._driver.now())))
        self._soon(lambda: self._report(Report("ledger.restored", {}), self._driver.now()))

    def _ledger_short(self, is_short: bool) -> None:
        self._soon(lambda: self._perform(self.agent.node.ledger_short(is_short, self._driver.now())))

    def _soon(self, call: Callable[[], None]) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call)
