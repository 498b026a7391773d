"""The wire to a NATS server: one connection, its subjects, and durable keys in JetStream.

Theory of operation. nats-py speaks the protocol; this link owns everything around it that a safety system
must be sure of. It connects again by itself, for ever, after a jittered delay, each time with a fresh client,
so that nothing is buffered over a break: what is sent while the link is down is dropped, and a command
written before a pause cannot arrive after it. Messages are taken where the client builds them, in the order
of the wire, over all subscriptions; nats-py's own queue and task for each subscription would lose the order
between a tick and the intent that cites it. Durable keys are read by direct get and written by an
acknowledged publish: no watch, no consumer, no stream information.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from ..core.chance import stream
from ..core.errors import ConfigurationError, missing_extra
from ..core.node import Connected, Disconnected, Event, Message
from .errors import LinkDownError, LinkRefusedError

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

log = logging.getLogger(__name__)
OnEvent: TypeAlias = Callable[[Event], None]
Handler: TypeAlias = Callable[[bytes], Awaitable[bytes]]
_REFUSED = re.compile(r"permissions violation.*\"([^\"]+)\"", re.IGNORECASE)
_WRONG_LAST_SEQUENCE = (10071, 10164)  # nats-server, server/errors.json
_MAX_QUEUED = 1 << 16


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

    `ping_s`: two unanswered pings break the connection (NATS's default of 120 s hides a stalled server).
    `retry_s` doubles up to `retry_max_s` while the server stays away; each wait is drawn from 0 up to it.
    """

    bucket: str = "ripstop"
    ping_s: float = 1.0
    connect_s: float = 5.0
    answer_s: float = 2.0
    retry_s: float = 0.1
    retry_max_s: float = 5.0


@dataclass(eq=False, slots=True)
class _Question:
    """A request under way, and why it was given up."""

    subject: str
    asking: asyncio.Task[Msg]
    error: LinkDownError | LinkRefusedError | None = None

    def give_up(self, error: LinkDownError | LinkRefusedError) -> None:
        if not self.asking.done():
            self.error = error
            self.asking.cancel()


class NatsLink:
    """One connection to NATS that comes back by itself; see the module for what it promises."""

    def __init__(self, address: str, login: Login, settings: LinkSettings | None = None) -> None:
        try:
            import nats.aio.client
        except ImportError as error:
            raise missing_extra("nats-py", "nats") from error
        self._make_client = nats.aio.client.Client
        self.address = address
        self.login = login
        self.settings = settings or LinkSettings()
        self.on_refusal: Callable[[str], None] | None = None
        self.last_error = self._heard_error = ""
        self.dropped = 0
        self._rng = stream(int.from_bytes(os.urandom(8), "little"), login.name, "link")
        self._on_event: OnEvent | None = None
        self._subjects: list[str] = []
        self._handlers: dict[str, Handler] = {}
        self._client: Client | None = None
        self._by_sid: dict[int, Handler | None] = {}
        self._queue: deque[tuple[str, bytes, str]] = deque()
        self._wake = asyncio.Event()
        self._up = asyncio.Event()
        self._idle = asyncio.Event()
        self._questions: set[_Question] = set()
        self._keeper: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # ---- life -----------------------------------------------------------------------------------------

    @property
    def is_connected(self) -> bool:
        """Whether the connection is up now."""
        return self._client is not None

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
        """Send what is queued, then let go of the connection and of every task."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._queue and self._client is not None:
                    self._idle.clear()
                    await self._idle.wait()
        client = self._client
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, *self._tasks, return_exceptions=True)
            self._keeper = None
        if client is not None:
            await _quietly_close(client)

    async def _stay_connected(self) -> None:
        settings, failures = self.settings, 0
        while True:
            lost = asyncio.Event()
            client = self._make_client()
            try:
                async with asyncio.timeout(settings.connect_s):
                    await self._open(client, lost)
            except Exception as error:  # noqa: BLE001 - whatever kept us out, trying again is all there is
                self._note(self._heard_error or str(error) or type(error).__name__)
                failures += 1
                await _quietly_close(client)
            else:
                failures = 0
                await self._be_connected(client, lost)
            ceiling_s = min(settings.retry_max_s, settings.retry_s * 2.0 ** min(failures, 16))
            await asyncio.sleep(self._rng.uniform(0.0, ceiling_s))

    async def _open(self, client: Client, lost: asyncio.Event) -> None:
        async def on_closed() -> None:
            lost.set()

        login = self.login
        self._by_sid = {}
        self._heard_error = ""
        await client.connect(
            self.address,
            name=login.name,
            nkeys_seed_str=login.seed or None,
            user=login.user or None,
            password=login.password or None,
            inbox_prefix=f"_INBOX.{login.name}",
            no_echo=True,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            ping_interval=self.settings.ping_s,  # type: ignore[arg-type]  # it only ever sleeps for it
            max_outstanding_pings=2,
            error_cb=self._on_error,
            closed_cb=on_closed,
        )
        client.msg_class = self._take  # type: ignore[assignment]  # builds every message, in the wire's order
        for subject in self._subjects:
            self._by_sid[(await client.subscribe(subject))._id] = None
        for subject, handler in self._handlers.items():
            self._by_sid[(await client.subscribe(subject))._id] = handler
        # nats-py writes a PING past subscriptions that it still holds; only the second is behind them.
        for _ in range(2):
            await client.flush(timeout=self.settings.connect_s)  # type: ignore[arg-type]  # any number

    async def _be_connected(self, client: Client, lost: asyncio.Event) -> None:
        pump = asyncio.create_task(self._pump(client), name=f"pump {self.login.name}")
        self._client = client
        self.last_error = ""
        self._up.set()
        try:
            self._emit(Connected())
            await lost.wait()
        finally:
            self._client = None
            self._up.clear()
            pump.cancel()
            self.dropped += len(self._queue)
            self._queue.clear()
            self._idle.set()
            for question in self._questions:
                question.give_up(LinkDownError("connection lost", code="W0501"))
        self._emit(Disconnected())
        await asyncio.gather(pump, return_exceptions=True)

    def _note(self, error: str) -> None:
        """Keep why we are out; a refusal is worth more than the reset that may cut its answer off."""
        if "Authorization" not in self.last_error or "reset" not in error:
            self.last_error = error

    def _emit(self, event: Event) -> None:
        if self._on_event is not None:
            self._on_event(event)

    async def _on_error(self, error: Exception) -> None:
        self._heard_error = str(error).removeprefix("nats: ").strip("'\" ")
        self._note(self._heard_error)
        refused = _REFUSED.search(str(error))
        if refused is None:
            return
        log.warning("link.refused", extra={"link": self.login.name, "error": str(error)})
        for question in self._questions:
            if question.subject.lower() == refused[1].lower():  # nats-py gives the error in lower case
                message = f"`{self.login.name}` may not use `{question.subject}`"
                question.give_up(LinkRefusedError(message, code="W0503"))
        if self.on_refusal is not None:
            self.on_refusal(refused[1])

    # ---- messages -------------------------------------------------------------------------------------

    def send(self, subject: str, data: bytes, reply: str = "") -> None:
        """Publish, at most once and in order; dropped (and counted) while the link is down."""
        if self._client is None or len(self._queue) >= _MAX_QUEUED:
            self.dropped += 1
            return
        self._queue.append((subject, data, reply))
        self._wake.set()

    async def _pump(self, client: Client) -> None:
        while True:
            while self._queue:
                subject, data, reply = self._queue.popleft()
                try:
                    await client.publish(subject, data, reply=reply)
                except Exception as error:  # noqa: BLE001 - too large, or the link just broke: one message
                    self.dropped += 1
                    self.last_error = str(error)
                    log.warning("message.dropped", extra={"link": self.login.name, "subject": subject})
            self._idle.set()
            self._wake.clear()
            await self._wake.wait()

    def _take(
        self,
        _client: Client,
        subject: str,
        reply: str,
        data: bytes,
        headers: dict[str, str] | None,
        _sid: int,
    ) -> Msg | None:
        """Build a message; one for the node is handed over here and nothing is left to queue."""
        if _sid not in self._by_sid:
            from nats.aio.msg import Msg

            return Msg(_client=_client, subject=subject, reply=reply, data=data, headers=headers, _sid=_sid)
        handler = self._by_sid[_sid]
        if handler is None:
            self._emit(Message(subject, bytes(data)))
        elif reply:
            task = asyncio.create_task(self._answer(handler, bytes(data), reply))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return None

    async def _answer(self, handler: Handler, data: bytes, reply: str) -> None:
        try:
            self.send(reply, await handler(data))
        except Exception:
            log.exception("request.failed", extra={"link": self.login.name})

    # ---- questions ------------------------------------------------------------------------------------

    async def request(
        self, subject: str, data: bytes, headers: dict[str, str] | None = None
    ) -> tuple[bytes, dict[str, str]]:
        """Ask and wait for one answer.

        Returns:
            The answer's bytes and headers.

        Raises:
            LinkDownError: W0501 not connected or lost meanwhile, W0502 no answer in time or nobody to answer.
            LinkRefusedError: W0503 where the key may not publish there.
        """
        client = self._client
        if client is None:
            raise LinkDownError("not connected", code="W0501")
        asking = asyncio.create_task(
            client.request(subject, data, timeout=self.settings.answer_s, headers=headers)
        )
        question = _Question(subject, asking)
        self._questions.add(question)
        try:
            answer = await asking
        except asyncio.CancelledError:
            if question.error is None:
                raise
            raise question.error from None
        except Exception as error:
            raise LinkDownError(f"no answer on `{subject}`", code="W0502") from error
        finally:
            self._questions.discard(question)
        return bytes(answer.data), dict(answer.headers or {})

    async def fetch(self, key: str) -> tuple[bytes | None, int]:
        """Read a durable key; (None, 0) where it holds nothing. Raises as `request` does."""
        bucket = self.settings.bucket
        data, headers = await self.request(f"$JS.API.DIRECT.GET.KV_{bucket}.$KV.{bucket}.{key}", b"")
        status = headers.get("Status", "")
        if status == "404":
            return None, 0
        if "Nats-Sequence" not in headers:
            raise LinkDownError(f"the store cannot read `{key}`: {status}", code="W0502")
        return data, int(headers["Nats-Sequence"])

    async def store(
        self, key: str, data: bytes, expected: int | None = None, *, is_repeat: bool = False
    ) -> int:
        """Write a durable key if its revision is `expected` (None: whatever it is; 0: it must not exist).

        The answer comes when the write is on the server's disk. A repeat of a write whose answer was lost
        finds its own bytes under a later revision: that write won. Raises as `request` does.

        Returns:
            The new revision, 0 where the comparison failed.
        """
        headers = None if expected is None else {"Nats-Expected-Last-Subject-Sequence": str(expected)}
        answer, _ = await self.request(f"$KV.{self.settings.bucket}.{key}", data, headers)
        result = json.loads(answer)
        if "error" not in result:
            return int(result["seq"])
        if result["error"].get("err_code") not in _WRONG_LAST_SEQUENCE:
            raise LinkDownError(f"the store cannot write `{key}`: {result['error']}", code="W0502")
        if is_repeat:
            held, revision = await self.fetch(key)
            if held == data and revision > (expected or 0):
                return revision
        return 0

    async def provision(self, replicas: int = 1) -> None:
        """Make sure that the bucket for durable keys exists (needs a key that may); raises as `request`."""
        bucket = self.settings.bucket
        config = {
            "name": f"KV_{bucket}",
            "subjects": [f"$KV.{bucket}.>"],
            "max_msgs_per_subject": 1,
            "storage": "file",
            "num_replicas": replicas,
            "allow_direct": True,
            "allow_rollup_hdrs": True,
            "deny_delete": True,
            "discard": "new",
        }
        answer, _ = await self.request(f"$JS.API.STREAM.CREATE.KV_{bucket}", json.dumps(config).encode())
        error = json.loads(answer).get("error")
        if error and error.get("err_code") != 10058:  # the stream exists with another configuration
            raise LinkDownError(f"the store cannot be made: {error.get('description')}", code="W0502")


async def _quietly_close(client: Client) -> None:
    with contextlib.suppress(Exception):
        await client.close()
