"""The connections of the sidecar: bounded in number, in size and in time, kept alive, ended gracefully.

Every error has an answer, and what cannot be understood ends its connection. Whoever sends or reads too
slowly is let go; nobody waits for anybody.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from dataclasses import field
from hmac import compare_digest
from typing import TypeAlias

from ripstop.core.value import dataclass

from .message import Head, RequestError, Response, error_response, read_head

log = logging.getLogger("ripstop.sidecar")
Answer: TypeAlias = "Callable[[Head, bytes], Response | asyncio.Future[Response]]"
_MAX_HEAD = 1 << 14
_LINGER_S = 1.0
_BACKLOG = 256


@dataclass(frozen=True, slots=True)
class Bounds:
    """What connections may take: so many at each socket, `idle_s` between requests, `request_s` for one.

    A request must come in whole within `request_s`, and whoever has not made one yet is not idle longer:
    those without a token cannot keep others out for long, and never those at the other socket.
    """

    connections: int = 256
    idle_s: float = 60.0
    request_s: float = 10.0
    write_s: float = 10.0


@dataclass(slots=True, eq=False)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    token: str
    is_known: bool = False
    is_busy: bool = False
    task: asyncio.Task[None] | None = field(default_factory=asyncio.current_task)


class HttpServer:
    """Serves `answer` on the sockets that it is given.

    Args:
        answer: turns a request into a response, or into the future of one; what it raises as a
            `RequestError` is answered, anything else is a 500.
        bounds: what a connection may take.
    """

    def __init__(self, answer: Answer, bounds: Bounds) -> None:
        self._answer = answer
        self._bounds = bounds
        self._open: set[_Connection] = set()
        self._servers: list[asyncio.Server] = []
        self._is_stopping = False
        self.refused = 0

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._open)

    async def listen(self, on: socket.socket, token: str = "") -> None:
        """Serve on a bound socket; with a token every request must bear it."""

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._own(_Connection(reader, writer, token))

        if on.family == socket.AF_UNIX:
            made = await asyncio.start_unix_server(connected, sock=on, limit=_MAX_HEAD, backlog=_BACKLOG)
        else:
            made = await asyncio.start_server(connected, sock=on, limit=_MAX_HEAD, backlog=_BACKLOG)
        self._servers.append(made)

    async def stop(self, grace_s: float = 2.0) -> None:
        """Take no more, answer what has come in, let go of everybody."""
        self._is_stopping = True
        for server in self._servers:
            server.close()
        tasks = {one.task: one for one in self._open if one.task is not None}
        for task, one in tasks.items():
            if not one.is_busy:
                task.cancel()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace_s)
            for task in late:
                task.cancel()
            await asyncio.wait(tasks, timeout=grace_s)

    # ---- one connection ---------------------------------------------------------------------------------

    async def _own(self, one: _Connection) -> None:
        """Serve a connection to its end, and close it whatever happens."""
        self._open.add(one)
        try:
            beside = sum(other.token == one.token for other in self._open)
            if beside > self._bounds.connections:
                self._deny(one, beside)
                return
            while not self._is_stopping and await self._serve(one):
                one.is_busy = False
        except RequestError as error:
            await self._refuse(one, error)
        except (OSError, EOFError, TimeoutError, asyncio.CancelledError):
            pass  # gone, or let go; a task that ends cancelled would be reported by asyncio as a failure
        finally:
            await self._close(one)
            self._open.discard(one)

    def _deny(self, one: _Connection, beside: int) -> None:
        """Turn one away; with a word as long as there are not too many of them, either."""
        self.refused += 1
        if beside > 2 * self._bounds.connections:
            one.writer.transport.abort()
            return
        error = RequestError("too many connections are open", status=429, code="W0709")
        one.writer.write(error_response(error).to_bytes(is_last=True))

    async def _close(self, one: _Connection) -> None:
        """Close, and do not wait long for a peer that reads nothing."""
        one.writer.close()
        with contextlib.suppress(OSError, TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(_LINGER_S):
                await one.writer.wait_closed()
                return
        one.writer.transport.abort()

    async def _serve(self, one: _Connection) -> bool:
        """Serve one request; False where the connection ends.

        Raises:
            RequestError: what follows on the connection cannot be understood.
        """
        loop = asyncio.get_running_loop()
        first = b""
        idle_s = self._bounds.idle_s if one.is_known else self._bounds.request_s
        try:
            async with asyncio.timeout(idle_s) as deadline:
                first = await one.reader.read(1)
                if not first:
                    return False
                one.is_busy = True
                deadline.reschedule(loop.time() + self._bounds.request_s)
                head = read_head(first + await one.reader.readuntil(b"\r\n\r\n"))
                self._check_token(one, head)
                one.is_known = True
                body = await self._body(one, head)
        except asyncio.LimitOverrunError:
            raise RequestError(
                f"the header is longer than {_MAX_HEAD} bytes", status=431, code="W0707"
            ) from None
        except asyncio.IncompleteReadError:
            raise RequestError("the request ends in the middle", status=400, code="W0701") from None
        except TimeoutError:
            if not first:
                return False
            raise RequestError("the request came in too slowly", status=408, code="W0705") from None
        response = await self._respond(head, body)
        is_last = head.is_last or self._is_stopping
        await self._send(one, response.to_bytes(is_last=is_last, is_head=head.method == "HEAD"))
        return not is_last

    @staticmethod
    def _check_token(one: _Connection, head: Head) -> None:
        scheme, _, borne = head.fields.get("authorization", "").partition(" ")  # RFC 9110, 11.1: in any case
        is_borne = compare_digest(borne.lstrip(" ").encode("latin-1"), one.token.encode())
        if one.token and not (scheme.lower() == "bearer" and is_borne):
            raise RequestError(
                "the request bears no token, or a wrong one",
                status=401,
                code="W0710",
                hint="send `Authorization: Bearer TOKEN`, with what stands in the token file",
            )

    @staticmethod
    async def _body(one: _Connection, head: Head) -> bytes:
        if head.length and head.fields.get("expect", "").lower() == "100-continue":
            one.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return await one.reader.readexactly(head.length) if head.length else b""

    async def _respond(self, head: Head, body: bytes) -> Response:
        try:
            found = self._answer(head, body)
            return found if isinstance(found, Response) else await found
        except RequestError as error:
            return error_response(error)
        except Exception as error:  # one request must not end a process that guards others
            log.exception("request.failed", extra={"path": head.path, "reason": str(error)})
            return error_response(
                RequestError("the request failed for a reason of ours", status=500, code="X0701")
            )

    async def _send(self, one: _Connection, raw: bytes) -> None:
        one.writer.write(raw)
        async with asyncio.timeout(self._bounds.write_s):
            await one.writer.drain()

    async def _refuse(self, one: _Connection, error: RequestError) -> None:
        """Answer and hang up; what is still coming is read away, or the answer would be lost with it."""
        self.refused += 1
        one.is_busy = False
        with contextlib.suppress(OSError, TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(_LINGER_S):
                one.writer.write(error_response(error).to_bytes(is_last=True))
                await one.writer.drain()
                if one.writer.can_write_eof():
                    one.writer.write_eof()
                while await one.reader.read(_MAX_HEAD):
                    pass
