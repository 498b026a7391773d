"""The wire to a NATS server: one connection that comes back by itself, its subjects, and durable keys.

It connects again for ever, each time anew and after a jittered delay, so that nothing is buffered over a
break: what is sent while the link is down is dropped, and a command written before a pause cannot arrive
after it. Durable keys are read by direct get and written by an acknowledged publish: no watch, no consumer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import cycle
from typing import TypeAlias

from ..core.chance import stream
from ..core.errors import ConfigurationError, WireError
from ..core.messages import Admission
from ..core.node import Connected, Disconnected, Event, Message
from ..core.wire.record import unpack
from .backoff import Backoff
from .connection import Connection, client_class
from .connection import LinkSettings as LinkSettings
from .connection import Login as Login
from .errors import LinkDownError
from .tasks import end

log = logging.getLogger(__name__)
OnEvent: TypeAlias = Callable[[Event], None]
_LEARN_S, _LEARN_AGAIN_S = 2.0, 3600.0
Handler: TypeAlias = Callable[[bytes], Awaitable[bytes]]


class NatsLink:
    """A lasting link to NATS; `address` is one URL or several of a cluster, separated by commas."""

    def __init__(self, address: str, login: Login, settings: LinkSettings | None = None) -> None:
        self._new_client = client_class()
        self.address = address
        self.login = login
        self.settings = settings or LinkSettings()
        self.on_refusal: Callable[[str], None] | None = None
        self.last_error = ""
        self.dropped = 0
        chance = stream(int.from_bytes(os.urandom(8), "little"), login.name, "link")
        self.backoff = Backoff(self.settings.retry_s, self.settings.retry_max_s, chance)
        self._on_event: OnEvent | None = None
        self._subjects: list[str] = []
        self._handlers: dict[str, Handler] = {}
        self._connection: Connection | None = None
        self._up = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._answering: set[asyncio.Task[None]] = set()

    # ---- life -----------------------------------------------------------------------------------------

    @property
    def is_connected(self) -> bool:
        """Whether the connection is up now."""
        return self._connection is not None

    def start(self, subjects: Sequence[str], on_event: OnEvent) -> None:
        """Connect in the background and stay connected; events come by `on_event`, within the loop."""
        self._subjects = list(subjects)
        self._on_event = on_event
        self._keeper = asyncio.create_task(self._stay_connected(), name=f"link {self.login.name}")

    def serve(self, subject: str, handler: Handler) -> None:
        """Answer requests on a subject; call before `start`."""
        self._handlers[subject] = handler

    async def up(self) -> None:
        """Wait until the link is up, however long that takes."""
        await self._up.wait()

    async def connected(self, timeout_s: float = 10.0) -> None:
        """Wait until the link is up.

        Raises:
            ConfigurationError: C0501 where the server cannot be reached in time or refuses the key.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._up.wait()
        except TimeoutError as error:
            raise ConfigurationError(
                f"no connection to `{self.address}` as `{self.login.name}`: {self.last_error or 'no answer'}",
                code="C0501",
                hint="is `ripstop up` running there, and is this agent enrolled",
            ) from error

    async def close(self, timeout_s: float = 1.0) -> None:
        """Send what was published, then let go of the connection and of every task."""
        if self._connection is not None:
            with contextlib.suppress(WireError):
                await self._connection.round_trip(timeout_s)
        if self._keeper is not None:
            await end(self._keeper)
            await asyncio.gather(*self._answering, return_exceptions=True)
            self._keeper = None

    async def _stay_connected(self) -> None:
        for address in cycle(self.address.split(",")):
            connection = Connection(self._new_client(), self.login, self._paced(), self._refused)
            try:
                await self._open(connection, address.strip())
                self.backoff.opened()
                await self._be_connected(connection)
            except LinkDownError as error:
                self.backoff.failed()
                self._note(error.message)
            finally:
                await connection.close()
            await asyncio.sleep(self.backoff.wait_s())

    def _paced(self) -> LinkSettings:
        """Draw this connection's own ping: a fleet that connected at once would ping at once for ever."""
        return replace(self.settings, ping_s=self.settings.ping_s * self.backoff.chance.uniform(0.8, 1.0))

    async def _open(self, connection: Connection, address: str) -> None:
        heard = {subject: partial(self._take, connection) for subject in self._subjects}
        asked = {subject: partial(self._serve, handler) for subject, handler in self._handlers.items()}
        await connection.open(address, heard | asked)

    async def _be_connected(self, connection: Connection) -> None:
        self._connection = connection
        self.last_error = ""
        self._up.set()
        learning = asyncio.create_task(self._learn(connection), name=f"admission {self.login.name}")
        try:
            self._emit(Connected())
            self._note(await connection.lost())
        finally:
            await end(learning)
            self._connection = None
            self._up.clear()
            self.dropped += connection.dropped
        self._emit(Disconnected())

    async def _learn(self, connection: Connection) -> None:
        """Read now and then how large the fleet is; what cannot be read leaves what was known."""
        key, after_s = self.settings.admission_key, _LEARN_S
        while key:
            await asyncio.sleep(self.backoff.chance.uniform(0.0, after_s))
            after_s = _LEARN_AGAIN_S
            with contextlib.suppress(WireError):
                data, _ = await connection.fetch(key)
                if data is not None:
                    self.backoff.admit(unpack(Admission, data))

    def _note(self, error: str) -> None:
        """Keep why we are out; a refusal is worth more than the reset that may cut its answer off."""
        if "Authorization" not in self.last_error or "reset" not in error:
            self.last_error = error

    def _refused(self, subject: str) -> None:
        log.warning("link.refused", extra={"link": self.login.name, "subject": subject})
        if self.on_refusal is not None:
            self.on_refusal(subject)

    def _emit(self, event: Event) -> None:
        if self._on_event is not None:
            self._on_event(event)

    # ---- messages -------------------------------------------------------------------------------------

    def send(self, subject: str, data: bytes, reply: str = "") -> None:
        """Publish, at most once and in order; dropped (and counted) while the link is down."""
        if self._connection is None:
            self.dropped += 1
        else:
            self._connection.publish(subject, data, reply)

    def _take(self, connection: Connection, subject: str, data: bytes, _reply: str) -> None:
        # INVARIANT: a node hears messages between `Connected` and `Disconnected` only.
        if connection is self._connection:
            self._emit(Message(subject, data))

    def _serve(self, handler: Handler, _subject: str, data: bytes, reply: str) -> None:
        # INVARIANT: an answer goes to an inbox; who asks names where to, and may publish on less than we may
        if reply.startswith("_INBOX."):
            task = asyncio.create_task(self._answer(handler, data, reply))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    async def _answer(self, handler: Handler, data: bytes, reply: str) -> None:
        try:
            self.send(reply, await handler(data))
        except Exception:
            log.exception("request.failed", extra={"link": self.login.name})

    # ---- questions ------------------------------------------------------------------------------------

    def _up_now(self) -> Connection:
        if self._connection is None:
            raise LinkDownError("not connected", code="W0801")
        return self._connection

    async def request(self, subject: str, data: bytes) -> bytes:
        """Ask and wait for one answer.

        Raises:
            LinkDownError: W0801 not connected or lost meanwhile, W0802 no answer in time or nobody to answer.
            LinkRefusedError: W0803 where the key may not publish there.
        """
        return await self._up_now().request(subject, data)

    async def fetch(self, key: str) -> tuple[bytes | None, int]:
        """Read a durable key; (None, 0) where it holds nothing. Raises as `request` does."""
        return await self._up_now().fetch(key)

    async def store(
        self, key: str, data: bytes, expected: int | None = None, *, is_repeat: bool = False
    ) -> int:
        """Write a durable key if its revision is `expected` (None: whatever it is; 0: it must not exist).

        The answer comes when the write is on the server's disk. A repeat of a write whose answer was lost
        finds its own bytes under a later revision: that write won. Raises as `request` does.

        Returns:
            The new revision, 0 where the comparison failed.
        """
        written = await self._up_now().store(key, data, expected)
        if not written and is_repeat:
            held, revision = await self.fetch(key)
            if held == data and revision > (expected or 0):
                return revision
        return written

    async def provision(self, replicas: int = 1) -> None:
        """Make sure that the bucket for durable keys exists (needs a key that may); raises as `request`."""
        await self._up_now().provision(replicas)
