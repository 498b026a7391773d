"""`Sidecar`: agents behind HTTP, one process for one of them or for a whole gateway.

Requests are answered one after the other: a decision takes microseconds. Where decisions are to be durable
each waits for the disk, so that they are answered in a thread of their own, and connections go on meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import socket
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import field
from http import HTTPStatus
from pathlib import Path
from types import TracebackType

import ripstop
from ripstop.agent.agent import Agent
from ripstop.agent.tokens import FOLDER, take_tokens
from ripstop.core.canonical import Json
from ripstop.core.errors import ConfigurationError
from ripstop.core.value import dataclass

from .api import AgentApi
from .message import Head, RequestError, Response, json_response, read_json
from .metrics import CONTENT_TYPE, Metrics
from .openapi import document
from .server import Bounds, HttpServer
from .shapes import DECIDE, OBSERVE, OUTCOME, misfit
from .sockets import bind_loopback, bind_unix, read_token

log = logging.getLogger("ripstop.sidecar")
_IDLE_S = 1.0


@dataclass(frozen=True, slots=True)
class SidecarSettings:
    """Where to listen: `socket`, a path; `port` of 127.0.0.1 (0: a free one) with its `token_file`; or both.

    `call_s` is how long the outcome of an allowed action is waited for, in seconds. `tokens` is a folder in
    which each agent has one of its own, named like it: tokens are taken from `NAME/tokens` there.
    """

    socket: Path | None = None
    port: int | None = None
    token_file: Path | None = None
    call_s: float = 300.0
    tokens: Path | None = None
    bounds: Bounds = field(default_factory=Bounds)

    def __post_init__(self) -> None:
        if self.socket is None and self.port is None:
            raise ConfigurationError("a sidecar needs a socket or a port", code="C0385")
        if self.port is not None and self.token_file is None:
            raise ConfigurationError("a sidecar's port needs a token file", code="C0385")
        if not (isinstance(self.call_s, int | float) and 0 < self.call_s < math.inf):
            raise ConfigurationError(
                f"`call_s` of a sidecar must be above 0, got `{self.call_s}`", code="C0385"
            )


class Sidecar:
    """Serves agents until it is stopped; used as `async with`, within that of the agents.

    Args:
        agents: façades with names of their own; whoever made them closes them, after the sidecar has stopped.
        settings: where to listen, and what a connection may take.
    """

    def __init__(self, agents: Sequence[Agent], settings: SidecarSettings) -> None:
        self.settings = settings
        self.address = ""
        self._apis = {agent.name: AgentApi(agent, settings.call_s) for agent in agents}
        if not agents or len(self._apis) != len(agents):
            raise ConfigurationError("a sidecar needs agents, each name once", code="C0385")
        self._metrics = Metrics()
        self._server = HttpServer(self._answer, settings.bounds)
        is_durable = any(agent.node.settings.durable for agent in agents)
        self._worker = ThreadPoolExecutor(1, "sidecar") if is_durable else None
        self._sync_s = min(agent.node.settings.sync_s for agent in agents)
        self._is_touched = asyncio.Event()
        self._inode = 0
        self._ticking: asyncio.Task[None] | None = None
        self._openapi = json.dumps(document()).encode()
        self._posts: dict[str, Callable[[Json], dict[str, Json]]] = {
            "/v1/decide": self._decide,
            "/v1/observe": self._observe,
            "/v1/outcome": self._outcome,
        }
        self._gets: dict[str, Callable[[], Response]] = {
            "/v1/health": self._health,
            "/v1/openapi.json": lambda: Response(HTTPStatus.OK, self._openapi),
            "/metrics": self._show_metrics,
        }

    # ---- its life ---------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open what the settings name.

        Raises:
            ConfigurationError: C0381 to C0384.
        """
        settings = self.settings
        on: list[tuple[socket.socket, str]] = []
        try:
            if settings.port is not None and settings.token_file is not None:
                token = read_token(settings.token_file)
                on.append((bind_loopback(settings.port), token))
                self.address = f"http://127.0.0.1:{on[-1][0].getsockname()[1]}"
            if settings.socket is not None:
                on.append((bind_unix(settings.socket), ""))
                self._inode = settings.socket.stat().st_ino
        except ConfigurationError:
            for bound, _ in on:
                bound.close()
            raise
        for bound, token in on:
            await self._server.listen(bound, token)
        self._ticking = asyncio.create_task(self._tick())

    async def stop(self) -> None:
        """Answer what has come in, let go of everybody, remove the socket; the agents stay open."""
        await self._server.stop()
        if self._ticking is not None:
            self._ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticking
        self._remove_socket()
        if self._worker is not None:
            self._worker.shutdown()

    def _remove_socket(self) -> None:
        path = self.settings.socket
        if path is not None and self._inode:
            with contextlib.suppress(OSError):
                if path.stat().st_ino == self._inode:  # and not that of a successor
                    path.unlink()

    async def __aenter__(self) -> Sidecar:
        """Start."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        await self.stop()

    async def _tick(self) -> None:
        """Let the agents' time pass: soon after a request, so that its records are synced, else seldom."""
        loop = asyncio.get_running_loop()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_IDLE_S):
                    await self._is_touched.wait()
            self._is_touched.clear()
            await asyncio.sleep(self._sync_s)
            for api in self._apis.values():
                try:
                    if self._worker is None:
                        self._let_pass(api)
                    else:
                        await loop.run_in_executor(self._worker, self._let_pass, api)
                except Exception as error:  # the other agents' time must pass all the same
                    log.exception("tick.failed", extra={"agent": api.agent.name, "reason": str(error)})

    def _let_pass(self, api: AgentApi) -> None:
        api.tick()
        if self.settings.tokens is not None:
            take_tokens(api.agent, self.settings.tokens / api.agent.name / FOLDER)

    # ---- requests ---------------------------------------------------------------------------------------

    def _answer(self, head: Head, body: bytes) -> Response | asyncio.Future[Response]:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        self._is_touched.set()

        def timed() -> Response:
            status = HTTPStatus.INTERNAL_SERVER_ERROR.value
            try:
                response = self._handle(head, body)
                status = response.status
            except RequestError as error:
                status = error.status
                raise
            finally:
                is_known = head.path in self._posts or head.path in self._gets
                self._metrics.requests.add(head.path if is_known else "other", str(status))
                self._metrics.took.add(loop.time() - began_s)
            return response

        return timed() if self._worker is None else loop.run_in_executor(self._worker, timed)

    def _handle(self, head: Head, body: bytes) -> Response:
        post, get = self._posts.get(head.path), self._gets.get(head.path)
        if post is not None and head.method == "POST":
            return json_response(post(read_json(body)))
        if get is not None and head.method in ("GET", "HEAD"):
            return get()
        if post is None and get is None:
            raise RequestError(
                "there is no such path", status=404, code="W0704", hint="GET /v1/openapi.json has them all"
            )
        allow = "POST" if post is not None else "GET, HEAD"
        raise RequestError(
            f"the path takes {allow}, got `{head.method}`", status=405, code="W0711", allow=allow
        )

    def _api(self, request: Mapping[str, Json]) -> AgentApi:
        name = request.get("agent")
        if name is None and len(self._apis) == 1:
            return next(iter(self._apis.values()))
        if name is None:
            raise misfit("`agent` is missing: more than one is served here")
        found = self._apis.get(str(name))
        if found is None:
            raise RequestError(f"no agent `{name}` is served here", status=404, code="W0714")
        return found

    def _decide(self, body: Json) -> dict[str, Json]:
        request = DECIDE.check(body)
        answer = self._api(request).decide(request)
        if request.get("dry_run") is not True:
            self._metrics.decisions.add(str(answer["agent"]), str(answer["verdict"]))
        return answer

    def _observe(self, body: Json) -> dict[str, Json]:
        request = OBSERVE.check(body)
        answer = self._api(request).observe(request)
        alarms = answer["alarms"]
        for _ in range(len(alarms) if isinstance(alarms, Mapping) else 0):
            self._metrics.alarms.add(str(answer["agent"]))
        return answer

    def _outcome(self, body: Json) -> dict[str, Json]:
        request = OUTCOME.check(body)
        answer = self._api(request).outcome(request)
        self._metrics.outcomes.add(str(answer["agent"]), str(request["outcome"]))
        return answer

    def _health(self) -> Response:
        agents = [api.health() for api in self._apis.values()]
        is_ok = all(agent["ledger"] == "ok" for agent in agents)
        status = HTTPStatus.OK if is_ok else HTTPStatus.SERVICE_UNAVAILABLE
        told: dict[str, Json] = {"status": "ok" if is_ok else "failing", "version": ripstop.__version__}
        return json_response({**told, "agents": agents}, status)

    def _show_metrics(self) -> Response:
        shown = self._metrics.text(
            (self._server.connections, self._server.refused), (api.gauges() for api in self._apis.values())
        )
        return Response(HTTPStatus.OK, shown.encode(), CONTENT_TYPE)
