"""The ground in a process of its own, as in the field: control plane, server, a recorder of the wire.

Agents and ground share nothing but the wire. What the lab wants to know besides comes over a pipe: the
ground's reports as they are made, in batches, and the answers to a few questions.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import logging
import multiprocessing
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Final, TypeAlias

import structlog

from ripstop.control.audit.files import AuditFiles
from ripstop.control.mitigation.assessment import assess_fleet, plan_measures
from ripstop.control.service import ControlService, ServiceOptions
from ripstop.core.clock import Clock, Instant
from ripstop.core.errors import ConfigurationError, RipstopError
from ripstop.core.node import Event, Message, Report
from ripstop.core.wire.cbor import encode
from ripstop.lab.maps import Restriction
from ripstop.links.loop import run as run_loop
from ripstop.links.nats import NatsLink
from ripstop.links.tasks import end

_BATCH_S: Final = 0.05
_WRITE_S: Final = 0.5
_START_S: Final = 60.0
_STOP_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Told:
    """A report of the ground, when it was made, and with an issued restriction what is restricted."""

    report: Report
    at: Instant
    restriction: Restriction | None = None


Listener: TypeAlias = Callable[[Told], None]


class Ground:
    """Runs the control plane elsewhere; use it as a context manager.

    Args:
        options: what the control plane is started with; the wire is recorded in its folder, in `wire`.
        clock: the run's; both processes read the same monotonic clock of the machine.
        listener: hears the ground's reports, in their order, a moment after they were made.

    Raises:
        ConfigurationError: what the control plane refuses to start with; C0414 where its process ends.
    """

    def __init__(self, options: ServiceOptions, clock: Clock, listener: Listener) -> None:
        self.address = ""
        self._listener = listener
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[object]] = {}
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(theirs, options, clock), daemon=False)
        self._theirs = theirs

    async def __aenter__(self) -> Ground:
        """Start the process and wait until the control plane commands its fleet."""
        self._process.start()
        self._theirs.close()  # ours only: so the end of the process is the end of the pipe
        asyncio.get_running_loop().add_reader(self._pipe.fileno(), self._read)
        try:
            self.address = str(await self._ask("start", _START_S))
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop the control plane; its last reports are heard before."""
        with contextlib.suppress(ConfigurationError, TimeoutError):
            await self._ask("stop", _STOP_S)
        await self._end()

    async def _end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pipe.fileno())
        self._pipe.close()  # whoever still runs there ends at this
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._process.join, _STOP_S)
        if self._process.is_alive():
            self._process.kill()
            await loop.run_in_executor(None, self._process.join)
        self._process.close()

    # ---- questions ------------------------------------------------------------------------------------

    async def rehearse(self) -> None:
        """Have the ground compile and load all that an assessment needs, on the fleet as it is."""
        await self._ask("rehearse", _START_S)

    async def known(self) -> int:
        """Count the agents whose workload the ground has heard."""
        return int(str(await self._ask("known", _STOP_S)))

    async def receipted(self) -> dict[str, int]:
        """Give the number of the last ledger record that the ground has receipted, by agent."""
        heads = await self._ask("receipted", _STOP_S)
        return heads if isinstance(heads, dict) else {}

    async def _ask(self, question: str, patience_s: float) -> object:
        number = next(self._numbers)
        self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            self._pipe.send((number, question))
            async with asyncio.timeout(patience_s):
                return await self._asked[number]
        except OSError as error:
            raise _gone() from error
        finally:
            del self._asked[number]

    def _read(self) -> None:
        try:
            while self._pipe.poll():
                self._take(self._pipe.recv())
        except (EOFError, OSError):
            asyncio.get_running_loop().remove_reader(self._pipe.fileno())
            for waiting in self._asked.values():
                if not waiting.done():
                    waiting.set_exception(_gone())

    def _take(self, message: object) -> None:
        match message:
            case list() as batch:
                for told in batch:
                    self._listener(told)
            case (int() as number, answer) if number in self._asked and not self._asked[number].done():
                if isinstance(answer, _Failure):
                    self._asked[number].set_exception(
                        ConfigurationError(answer.message, code=answer.code, hint=answer.hint)
                    )
                else:
                    self._asked[number].set_result(answer)


def _gone() -> ConfigurationError:
    return ConfigurationError("the ground's process has ended by itself", code="C0414")


# ---- the other process -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Failure:
    message: str
    code: str
    hint: str


def _run(pipe: Connection, options: ServiceOptions, clock: Clock) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started us says when to end
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    logging.getLogger("ripstop").addHandler(logging.NullHandler())
    run_loop(_Office(pipe, options, clock).run())


class _Office:
    """Answers the lab's questions about the control plane that it runs."""

    def __init__(self, pipe: Connection, options: ServiceOptions, clock: Clock) -> None:
        self._pipe = pipe
        self._options = options
        self._clock = clock
        self._told: list[Told] = []
        self._questions: asyncio.Queue[tuple[int, str]] = asyncio.Queue()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(self._pipe.fileno(), self._read)
        number, _ = await self._questions.get()
        try:
            async with contextlib.AsyncExitStack() as stack:
                service = ControlService(self._options, clock=self._clock)
                service.on_report = lambda report, now: self._reported(service, report, now)
                await stack.enter_async_context(service)
                await _record_wire(service, self._clock, stack)
                gc.collect()
                gc.freeze()  # what the warm ground holds stays: no collection may stall it
                self._send((number, service.server.address))
                number = await self._answer_all(service)
        except RipstopError as error:
            self._send((number, _Failure(error.message, error.code, error.hint or "")))
            return
        self._flush()
        self._send((number, None))

    def _read(self) -> None:
        try:
            while self._pipe.poll():
                self._questions.put_nowait(self._pipe.recv())
        except (EOFError, OSError):
            asyncio.get_running_loop().remove_reader(self._pipe.fileno())
            self._questions.put_nowait((0, "stop"))

    async def _answer_all(self, service: ControlService) -> int:
        """Answer until somebody says stop; gives the number of that order."""
        answers: dict[str, Callable[[ControlService], Awaitable[object]]] = {
            "known": _known, "receipted": _receipted, "rehearse": _rehearse,
        }  # fmt: skip
        while True:
            number, question = await self._questions.get()
            if question == "stop":
                return number
            self._send((number, await answers[question](service)))

    def _send(self, message: object) -> None:
        with contextlib.suppress(OSError):  # nobody listens any more
            self._pipe.send(message)

    def _reported(self, service: ControlService, report: Report, now: Instant) -> None:
        is_restriction = report.name == "intent.issued" and report.fields["purpose"] != "release"
        self._told.append(Told(report, now, _restriction(service) if is_restriction else None))
        if len(self._told) == 1:
            asyncio.get_running_loop().call_later(_BATCH_S, self._flush)

    def _flush(self) -> None:
        if self._told:
            batch, self._told = self._told, []
            self._send(batch)


def _restriction(service: ControlService) -> Restriction | None:
    desk, star = service.node.desk, service.options.playbook.ladder.star
    if desk.area is None:
        return None
    circles = tuple((x, y, desk.area.radius_m) for x, y in desk.area.centres)
    return Restriction(circles, desk.members, star.hub if star else "")


async def _known(service: ControlService) -> int:
    return len(service.node.workloads)


async def _receipted(service: ControlService) -> dict[str, int]:
    return {agent: head.last for agent, head in service.node.intake.heads.items()}


async def _rehearse(service: ControlService) -> None:
    first = next(iter(service.agents), "")
    asked = service.node.question({first: 1.0}, 0)
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, assess_fleet, asked)
    await loop.run_in_executor(None, plan_measures, asked)


async def _record_wire(service: ControlService, clock: Clock, stack: contextlib.AsyncExitStack) -> None:
    """Put every message of the fleet on file as `[t_us, subject, data]`, through a read-only connection."""
    files = AuditFiles(service.options.data / "wire")
    heard: list[tuple[int, Message]] = []

    def take(event: Event) -> None:
        if isinstance(event, Message):
            heard.append((clock.now().wall_us, event))

    def write() -> None:
        nonlocal heard
        batch, heard = heard, []
        for t_us, message in batch:
            files.append("wire", encode([t_us, message.subject, message.data]))

    async def write_on() -> None:
        while True:
            await asyncio.sleep(_WRITE_S)
            await asyncio.get_running_loop().run_in_executor(None, write)

    async def close() -> None:
        await end(writer)
        write()
        files.sync()
        files.close()

    link = NatsLink(service.server.address, service.server.login("observer"))
    link.start((f"ripstop.{service.options.settings.fleet}.>",), take)
    writer = asyncio.create_task(write_on(), name="wire")
    stack.push_async_callback(close)
    stack.push_async_callback(link.close)
    await link.connected()
