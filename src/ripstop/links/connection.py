"""One connection to a NATS server: the client's side of the protocol, without a task of its own.

What arrives is parsed and handed over within `data_received`, in the order of the wire over all
subscriptions; what is published within one turn of the loop leaves in one write at its end. Nothing outlives
the connection: no buffer, no subscription. Coming back is the link's business.

References:
    NATS documentation, Client Protocol (INFO, CONNECT, PUB, HPUB, SUB, MSG, HMSG, PING, PONG, -ERR).
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import urlsplit

from ..core.errors import WireError
from .errors import LinkDownError, LinkRefusedError
from .nkey import sign

OnMessage: TypeAlias = Callable[[int, str, str, bytes], None]
_MAX_LINE = 1 << 16
_MAX_PAYLOAD = 64 << 20
_MAX_UNSENT = 8 << 20
_INBOX_SID = 1


@dataclass(frozen=True, slots=True)
class Login:
    """Who connects: an nkey seed, or a user with a password (observer, enrolment)."""

    name: str
    seed: str = ""
    user: str = ""
    password: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back to a request; `status` is the server's own (404, 503), empty for an answer."""

    data: bytes
    status: str
    headers: dict[str, str]


@dataclass(eq=False, slots=True)
class _Question:
    subject: str
    answer: asyncio.Future[Answer]


class Connection(asyncio.Protocol):
    """Speaks NATS over one stream; `on_message(sid, subject, reply, data)` hears what is subscribed."""

    def __init__(self, login: Login, on_message: OnMessage, on_refusal: Callable[[str], None]) -> None:
        loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[str] = loop.create_future()
        self.dropped = 0
        self.max_payload = _MAX_PAYLOAD
        self._login = login
        self._on_message = on_message
        self._on_refusal = on_refusal
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._info: asyncio.Future[dict[str, object]] = loop.create_future()
        self._pongs: deque[asyncio.Future[None] | None] = deque()  # None: nobody waits for it
        self._pings = 0
        self._pinging: asyncio.TimerHandle | None = None
        self._rest = b""
        self._unsent: list[bytes] = []
        self._is_clogged = False
        self._is_upgrading = False
        self._error = ""
        self._sids = _INBOX_SID
        self._inbox = f"_INBOX.{login.name}.{os.urandom(8).hex()}."
        self._asked = 0
        self._questions: dict[str, _Question] = {}

    # ---- opening --------------------------------------------------------------------------------------

    async def open(self, address: str, tls: ssl.SSLContext | None, ping_s: float) -> None:
        """Connect, prove who we are, and wait until the server has taken us in.

        Raises:
            OSError: where nobody listens.
            LinkDownError: W0801 with the server's own reason where it sends us away.
        """
        url = urlsplit(address)
        host, port = url.hostname or "127.0.0.1", url.port or 4222
        transport, _ = await self._loop.create_connection(lambda: self, host, port)
        info = await self._until(self._info)
        if url.scheme == "tls" or info.get("tls_required"):
            context = tls or ssl.create_default_context()
            self._is_upgrading = True
            self._transport = await self._loop.start_tls(transport, self, context, server_hostname=host)
            self._is_upgrading = False
        self.max_payload = int(str(info.get("max_payload", _MAX_PAYLOAD)))
        self._write(b"CONNECT " + json.dumps(self._credentials(info)).encode() + b"\r\n")
        self._write(f"SUB {self._inbox}* {_INBOX_SID}\r\n".encode())
        await self.round_trip()
        self._pinging = self._loop.call_later(ping_s, self._ping, ping_s)

    def _credentials(self, info: dict[str, object]) -> dict[str, object]:
        login = self._login
        options: dict[str, object] = {
            "verbose": False, "pedantic": False, "echo": False, "headers": True, "no_responders": True,
            "protocol": 1, "lang": "python-ripstop", "version": "1", "name": login.name,
        }  # fmt: skip
        if login.seed:
            options["nkey"], options["sig"] = sign(login.seed, str(info.get("nonce", "")).encode())
        elif login.user:
            options["user"], options["pass"] = login.user, login.password
        return options

    async def _until(self, wanted: asyncio.Future[dict[str, object]]) -> dict[str, object]:
        await asyncio.wait({wanted, self.lost}, return_when=asyncio.FIRST_COMPLETED)  # type: ignore[type-var]
        if not wanted.done():
            raise LinkDownError(self.lost.result(), code="W0801")
        return wanted.result()

    def abort(self) -> None:
        """Hang up at once."""
        if self._transport is not None:
            self._transport.abort()
        if self._is_upgrading:
            # A handshake that fails ends the transport without a word to the protocol above it.
            self.connection_lost(None)

    async def gone(self) -> None:
        """Wait until the transport has let go; nothing to wait for where it never was."""
        if self._transport is not None:
            await self.lost

    # ---- speaking -------------------------------------------------------------------------------------

    def subscribe(self, subject: str) -> int:
        """Subscribe; gives the number that messages will carry."""
        self._sids += 1
        self._write(f"SUB {subject} {self._sids}\r\n".encode())
        return self._sids

    def publish(self, subject: str, data: bytes, reply: str = "", headers: bytes = b"") -> bool:
        """Publish at the end of this turn of the loop; False where it is too large or the line is clogged."""
        if self._is_clogged or len(data) > self.max_payload or self._transport is None:
            self.dropped += 1
            return False
        target = f"{subject} {reply} " if reply else f"{subject} "
        if headers:
            line = f"HPUB {target}{len(headers)} {len(headers) + len(data)}\r\n"
        else:
            line = f"PUB {target}{len(data)}\r\n"
        self._write(b"".join((line.encode(), headers, data, b"\r\n")))
        return True

    async def round_trip(self) -> None:
        """Wait until the server has worked off all that was written before.

        Raises:
            LinkDownError: W0801 where the connection ends first.
        """
        pong: asyncio.Future[None] = self._loop.create_future()
        self._pongs.append(pong)
        self._write(b"PING\r\n")
        await pong

    async def request(
        self, subject: str, data: bytes, timeout_s: float, headers: dict[str, str] | None = None
    ) -> Answer:
        """Ask and wait for one answer.

        Raises:
            LinkDownError: W0801 connection lost, W0802 no answer in time or nobody to answer.
            LinkRefusedError: W0803 where we may not publish there.
        """
        self._asked += 1
        token = str(self._asked)
        question = self._questions[token] = _Question(subject, self._loop.create_future())
        lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        head = f"NATS/1.0\r\n{lines}\r\n".encode() if headers else b""
        try:
            if self.publish(subject, data, self._inbox + token, head):
                async with asyncio.timeout(timeout_s):
                    answer = await question.answer
                if answer.status != "503":
                    return answer
        except TimeoutError:
            pass
        finally:
            del self._questions[token]
        raise LinkDownError(f"no answer on `{subject}`", code="W0802")

    def _write(self, data: bytes) -> None:
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(data)

    def _flush(self) -> None:
        if self._unsent and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()

    def _ping(self, ping_s: float) -> None:
        if self._pings >= 2:
            self._error = "the server does not answer"
            self.abort()
            return
        self._pings += 1
        self._pongs.append(None)
        self._write(b"PING\r\n")
        self._pinging = self._loop.call_later(ping_s, self._ping, ping_s)

    # ---- asyncio.Protocol -----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - of a stream
        self._transport = transport
        transport.set_write_buffer_limits(high=_MAX_UNSENT)

    def pause_writing(self) -> None:
        """Called by the loop when too much is unsent: what is published now is dropped, not late."""
        self._is_clogged = True

    def resume_writing(self) -> None:
        """Called by the loop when the server reads again."""
        self._is_clogged = False

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        reason = self._error or (str(exc) if exc else "connection closed")
        if self._pinging is not None:
            self._pinging.cancel()
        error = LinkDownError(reason, code="W0801")
        for question in self._questions.values():
            if not question.answer.done():
                question.answer.set_exception(error)
        for pong in self._pongs:
            if pong is not None and not pong.done():
                pong.set_exception(error)
        self._pongs.clear()
        self._transport = None
        if not self.lost.done():
            self.lost.set_result(reason)

    def data_received(self, data: bytes) -> None:
        """Called by the loop: parse what is complete, keep the rest."""
        if self._rest:
            data = self._rest + data
        at = 0
        try:
            while True:
                end = data.find(b"\r\n", at)
                if end < 0:
                    break
                if data.startswith((b"MSG ", b"HMSG "), at):
                    behind = self._message(data, at, end)
                    if behind < 0:
                        break
                    at = behind
                else:
                    self._control(data[at:end])
                    at = end + 2
            self._rest = data[at:]
            if end < 0 and len(self._rest) > _MAX_LINE:
                raise WireError("line too long", code="W0805")  # noqa: TRY301 - handled with the others
        except (ValueError, IndexError, WireError) as error:
            self._error = f"not the NATS protocol: {error}"
            self.abort()

    # ---- hearing --------------------------------------------------------------------------------------

    def _message(self, data: bytes, at: int, end: int) -> int:
        """Hand over the message that begins at an offset; gives the offset behind it, -1: incomplete."""
        fields = data[at:end].decode().split(" ")
        size = int(fields[-1])
        if not 0 <= size <= _MAX_PAYLOAD:
            raise WireError("message too large", code="W0805")
        start, behind = end + 2, end + 2 + size
        if len(data) < behind + 2:
            return -1
        head_size = int(fields[-2]) if fields[0] == "HMSG" else 0
        counted = 2 if fields[0] == "HMSG" else 1
        reply = fields[3] if len(fields) == 4 + counted else ""
        sid = int(fields[2])
        if sid == _INBOX_SID:
            head = data[start : start + head_size].decode()
            self._answered(fields[1], head, data[start + head_size : behind])
        else:
            self._on_message(sid, fields[1], reply, data[start + head_size : behind])
        return behind + 2

    def _answered(self, subject: str, head: str, data: bytes) -> None:
        question = self._questions.get(subject.removeprefix(self._inbox))
        if question is None or question.answer.done():
            return
        first, *lines = head.split("\r\n")
        pairs = (line.partition(":") for line in lines if ":" in line)
        headers = {name: value.strip() for name, _, value in pairs}
        status = first.removeprefix("NATS/1.0").strip().partition(" ")[0]
        question.answer.set_result(Answer(data, status, headers))

    def _control(self, line: bytes) -> None:
        if line == b"PING":
            self._write(b"PONG\r\n")
        elif line == b"PONG":
            self._pings = 0
            pong = self._pongs.popleft()
            if pong is not None and not pong.done():
                pong.set_result(None)
        elif line.startswith(b"INFO "):
            info = json.loads(line[5:])
            if not self._info.done():
                self._info.set_result(info)
        elif line.startswith(b"-ERR"):
            self._complained(line[4:].decode(errors="replace").strip(" '"))
        elif line != b"+OK":
            raise WireError("unknown line", code="W0805")

    def _complained(self, text: str) -> None:
        if not text.lower().startswith("permissions violation"):
            self._error = text
            return
        subject = text.partition('"')[2].rpartition('"')[0]
        for question in self._questions.values():
            if question.subject == subject and not question.answer.done():
                refused = f"`{self._login.name}` may not use `{subject}`"
                question.answer.set_exception(LinkRefusedError(refused, code="W0803"))
        self._on_refusal(subject)
