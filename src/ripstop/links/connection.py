"""One connection to a NATS server through nats-py; nothing outlives it.

Theory of operation. A client of nats-py is used once: it may neither connect again (`allow_reconnect`) nor
keep what is published while it is not connected (`pending_size`), so that nothing is buffered over a break.
Coming back is the link's business. What nats-py leaves to its callers is done here:

- `publish` is a plain function. What is published within a message's callback leaves with that callback, all
  else in batches, so that no task waits for each connection.
- nats-py writes in a task of its own, whose turn comes after every callback that waits in the loop: so a few
  of them work in each of the loop's rounds (`links.turns`), and answers leave in between.
- A line that the server does not read drops what is published now, rather than delivering it late.
- Whoever waits for an answer is woken when the connection ends or the server refuses the question.
- Where its last write meets a broken line, nats-py raises in the middle of closing, in a task that nobody
  waits for: what it had not come to is done here.
- nats-py says `closed_cb` after it has written what it still holds, which a stalled server never reads; so
  `is_closed` is looked at, too.

Messages come in order for each sender and subscription: nats-py has a queue and a task for each subscription.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import ceil
from typing import TYPE_CHECKING, TypeAlias

from ..core.errors import missing_extra
from .errors import LinkDownError, LinkRefusedError
from .permissions import writing_subject
from .tasks import end
from .turns import Turns

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.js import JetStreamContext

log = logging.getLogger(__name__)
Hear: TypeAlias = Callable[[str, bytes, str], None]
_REFUSED = re.compile(r"permissions violation.*\"([^\"]+)\"", re.IGNORECASE)
_MAX_UNSENT = 8 << 20
_CLOSE_S = 1.0
_WRONG_LAST_SEQUENCE = (10071, 10164)  # nats-server, server/errors.json
_STREAM_EXISTS = 10058  # with another configuration


@dataclass(frozen=True, slots=True)
class Login:
    """Who connects: an nkey seed, or a user with a password (observer, enrolment)."""

    name: str
    seed: str = ""
    user: str = ""
    password: str = ""


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """How patient a link is; times in seconds.

    `ping_s`: two unanswered pings break the connection (clients' usual 120 s hide a stalled server).
    `retry_s` doubles up to `retry_max_s` while the server stays away; each wait is drawn from 0 up to it, and
    up to more where the durable key `admission_key` tells of a large fleet (see `links.backoff`).
    `tls` replaces the system's certificates where the server asks for TLS.
    """

    bucket: str = "ripstop"
    ping_s: float = 1.0
    connect_s: float = 5.0
    answer_s: float = 2.0
    retry_s: float = 0.1
    retry_max_s: float = 5.0
    admission_key: str = ""
    tls: ssl.SSLContext | None = None


@dataclass(eq=False, slots=True)
class _Wait:
    """Something that is waited for, and why it was given up before its time."""

    subject: str
    patience: asyncio.Timeout
    error: LinkDownError | LinkRefusedError | None = field(default=None, init=False)

    def give_up(self, error: LinkDownError | LinkRefusedError) -> None:
        if self.error is None and not self.patience.expired():
            self.error = error
            self.patience.reschedule(0.0)


def client_class() -> type[Client]:
    """Give nats-py's client.

    Raises:
        ConfigurationError: C0001 without the extra `nats`.
    """
    try:
        from nats.aio.client import Client
    except ImportError as error:
        raise missing_extra("nats-py", "nats") from error
    return Client


@lru_cache(maxsize=4)
def _turns(loop: asyncio.AbstractEventLoop) -> Turns:
    return Turns(loop)


class Connection:
    """Speaks NATS for one login, through a fresh client, until the line breaks.

    `on_refusal` hears of subjects that it may not use, in lower case: so nats-py reads the server's errors.
    """

    def __init__(
        self, client: Client, login: Login, settings: LinkSettings, on_refusal: Callable[[str], None]
    ) -> None:
        from nats.errors import Error

        self.dropped = 0
        self._login = login
        self._settings = settings
        self._on_refusal = on_refusal
        self._client = client
        self._error: type[Exception] = Error
        self._store: JetStreamContext = client.jetstream(timeout=settings.answer_s)
        self._is_over = asyncio.Event()
        self._trouble = ""
        self._waits: set[_Wait] = set()
        self._outbox: deque[tuple[str, bytes, str]] = deque()
        self._is_sending = False
        self._sender: asyncio.Task[None] | None = None

    # ---- life -----------------------------------------------------------------------------------------

    async def open(self, address: str, subscriptions: Mapping[str, Hear]) -> None:
        """Connect, prove who we are, subscribe, and wait until the server has taken it all in.

        Raises:
            LinkDownError: W0801 with the reason of the server, or of the system.
        """
        try:
            async with self._waiting("", self._settings.connect_s):
                await self._connect(address)
                for subject, hear in subscriptions.items():
                    await self._client.subscribe(subject, cb=self._callback(hear))
                await self._settle()
        except Exception as error:  # whatever kept us out, trying again is all there is
            reason = self._trouble or getattr(error, "message", str(error)) or type(error).__name__
            raise LinkDownError(reason, code="W0801") from error

    async def _connect(self, address: str) -> None:
        login, settings = self._login, self._settings
        await self._client.connect(
            address,
            name=login.name,
            nkeys_seed_str=login.seed or None,
            user=login.user or None,
            password=login.password or None,
            tls=settings.tls,
            inbox_prefix=f"_INBOX.{login.name}",
            no_echo=True,
            allow_reconnect=False,
            max_reconnect_attempts=1,  # 0 would try for ever
            reconnect_time_wait=0,
            pending_size=0,
            connect_timeout=ceil(settings.connect_s),
            ping_interval=settings.ping_s,  # type: ignore[arg-type]  # it only ever sleeps for it
            max_outstanding_pings=2,
            error_cb=self._on_error,
            closed_cb=self._on_closed,
        )
        for name in ("_reading_task", "_ping_interval_task", "_flusher_task"):
            task: asyncio.Task[None] | None = getattr(self._client, name, None)
            if task is not None:
                task.add_done_callback(self._ended)

    async def lost(self) -> str:
        """Wait until the connection is over; gives why."""
        while not self._client.is_closed:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.ping_s):
                    await self._is_over.wait()
        last = self._client.last_error
        return self._trouble or (_plain(last) if last else "connection closed")

    async def close(self) -> None:
        """Let go of the line, of who waits and of every task; what a clogged line still holds is lost."""
        self._give_up()
        if self._sender is not None:
            await end(self._sender)
        with contextlib.suppress(Exception):  # it may be half open, or break now
            async with asyncio.timeout(_CLOSE_S):
                await self._client.close()
                await self._is_over.wait()  # it may have begun to close by itself
        for subscription in getattr(self._client, "_subs", {}).values():
            listener: asyncio.Task[None] | None = getattr(subscription, "_wait_for_msgs_task", None)
            if listener is not None and not listener.done():
                await end(listener)
        transport = getattr(self._client, "_transport", None)
        if transport is not None:
            with contextlib.suppress(Exception):
                transport.close()
                async with asyncio.timeout(_CLOSE_S):
                    await transport.wait_closed()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Take note that a task of nats-py ended; by an error only where it broke off in closing."""
        if not task.cancelled() and task.exception() is not None:
            self._is_over.set()
            self._give_up()

    async def _on_closed(self) -> None:
        self._is_over.set()
        self._give_up()

    def _give_up(self) -> None:
        for wait in self._waits:
            wait.give_up(LinkDownError(self._trouble or "connection lost", code="W0801"))

    async def _on_error(self, error: Exception) -> None:
        text = _plain(error)
        refused = _REFUSED.search(str(error))
        if refused is None:
            self._trouble = text
            return
        for wait in self._waits:
            if wait.subject.lower() == refused[1].lower():
                message = f"`{self._login.name}` may not use `{wait.subject}`"
                wait.give_up(LinkRefusedError(message, code="W0803"))
        self._on_refusal(refused[1])

    # ---- messages -------------------------------------------------------------------------------------

    def publish(self, subject: str, data: bytes, reply: str = "") -> None:
        """Publish, in order and at most once; what is too large or meets a clogged line is dropped."""
        self._outbox.append((subject, data, reply))
        if not self._is_sending:
            self._is_sending = True
            self._sender = asyncio.create_task(self._send_all(), name=f"send {self._login.name}")

    def _callback(self, hear: Hear) -> Callable[[Msg], Awaitable[None]]:
        turns = _turns(asyncio.get_running_loop())

        async def on_message(message: Msg) -> None:
            turn = turns.take()
            if turn is not None:
                await turn
            is_sender = not self._is_sending
            self._is_sending = True
            try:
                hear(message.subject, message.data, message.reply)
            finally:
                if is_sender:
                    await self._send_all()

        return on_message

    async def _send_all(self) -> None:
        """Hand what was published to nats-py."""
        try:
            while self._outbox:
                await self._send(*self._outbox.popleft())
        finally:
            self._is_sending = False

    async def _send(self, subject: str, data: bytes, reply: str) -> None:
        if self._client.pending_data_size > _MAX_UNSENT:
            self._drop(subject, "the line is clogged")
            return
        try:
            await self._client.publish(subject, data, reply)
        except self._error as error:
            self._drop(subject, _plain(error))

    def _drop(self, subject: str, reason: str) -> None:
        self.dropped += 1
        log.warning("message.dropped", extra={"link": self._login.name, "subject": subject, "reason": reason})

    # ---- questions ------------------------------------------------------------------------------------

    async def round_trip(self, timeout_s: float) -> None:
        """Wait until the server has worked off all that was published before.

        Raises:
            LinkDownError: W0801 where the connection ends first, W0802 where it takes too long.
        """
        async with self._waiting("", timeout_s):
            await self._send_all()
            await self._settle()

    async def _settle(self) -> None:
        # nats-py writes a ping past the commands that it still holds; only the second is behind them.
        for _ in range(2):
            await self._client.flush()

    async def request(self, subject: str, data: bytes) -> bytes:
        """Ask and wait for one answer.

        Raises:
            LinkDownError: W0801 connection lost, W0802 no answer in time or nobody to answer.
            LinkRefusedError: W0803 where we may not publish there.
        """
        async with self._waiting(subject, self._settings.answer_s):
            answer = await self._client.request(subject, data, timeout=self._settings.answer_s)
        return bytes(answer.data)

    async def fetch(self, key: str) -> tuple[bytes | None, int]:
        """Read a key of the bucket; (None, 0) where it holds nothing. Raises as `request` does."""
        from nats.js.errors import NotFoundError

        bucket = self._settings.bucket
        subject = f"$KV.{bucket}.{key}"
        async with self._waiting(f"$JS.API.DIRECT.GET.KV_{bucket}.{subject}", self._settings.answer_s):
            try:
                held = await self._store.get_last_msg(f"KV_{bucket}", subject, direct=True)
            except NotFoundError:
                return None, 0
        return bytes(held.data or b""), held.seq or 0

    async def store(self, key: str, data: bytes, expected: int | None) -> int:
        """Write a key of the bucket if its revision is `expected` (None: whatever it is).

        Returns:
            The new revision, 0 where the comparison failed. Raises as `request` does.
        """
        from nats.js.api import Header
        from nats.js.errors import APIError

        subject = f"{writing_subject(self._settings.bucket, self._login.seed)}.{key}"
        condition = None if expected is None else {Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: str(expected)}
        async with self._waiting(subject, self._settings.answer_s):
            try:
                written = await self._store.publish(subject, data, headers=condition)
            except APIError as error:
                if error.err_code in _WRONG_LAST_SEQUENCE:
                    return 0
                raise
        return written.seq

    async def provision(self, replicas: int) -> None:
        """Make the bucket as it must be. Raises as `request` does."""
        from nats.js.api import DiscardPolicy, StorageType, StreamConfig, SubjectTransform
        from nats.js.errors import APIError

        bucket = self._settings.bucket
        written = f"{writing_subject(bucket, self._login.seed)}.>"
        stream = StreamConfig(
            name=f"KV_{bucket}",
            subjects=[written],
            subject_transform=SubjectTransform(written, f"$KV.{bucket}.>"),
            max_msgs_per_subject=1,
            storage=StorageType.FILE,
            num_replicas=replicas,
            allow_direct=True,
            allow_rollup_hdrs=True,
            deny_delete=True,
            discard=DiscardPolicy.NEW,
        )
        async with self._waiting(f"$JS.API.STREAM.CREATE.KV_{bucket}", self._settings.answer_s):
            try:
                await self._store.add_stream(stream)
            except APIError as error:
                if error.err_code != _STREAM_EXISTS:
                    raise
                await self._store.update_stream(stream)

    @contextlib.asynccontextmanager
    async def _waiting(self, subject: str, timeout_s: float) -> AsyncIterator[None]:
        """Wait within, until the time is up, the connection ends or the server refuses the subject."""
        wait = _Wait(subject, asyncio.timeout(timeout_s))
        self._waits.add(wait)
        try:
            async with wait.patience:
                yield
        except (self._error, TimeoutError) as error:
            what = f" on `{subject}`" if subject else ""
            reason = _plain(error) or "timeout"
            raise wait.error or LinkDownError(f"no answer{what}: {reason}", code="W0802") from error
        finally:
            self._waits.discard(wait)


def _plain(error: Exception) -> str:
    return str(error).removeprefix("nats: ").strip("'\" ")
