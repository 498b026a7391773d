"""The ground in a process of its own, as in the field: control plane, server, a recorder of the wire.

Agents and ground share nothing but the wire. What the lab wants to know besides comes over a pipe: the
ground's reports as they are made, in batches, and the answers to a few questions.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import multiprocessing
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Final, TypeAlias

import structlog

from ripstop.control.audit.files import AuditFiles
from ripstop.control.mitigation.assessment import assess_fleet, plan_measures
from ripstop.control.service import ControlService, ServiceOptions
from ripstop.control.telemetry.insertion import warmup
from ripstop.core.clock import Clock, Instant, ShiftedClock
from ripstop.core.errors import ConfigurationError, RipstopError
from ripstop.core.node import Event, Message, Report
from ripstop.core.wire.cbor import encode
from ripstop.lab.machine import deaf, leave_a_core
from ripstop.lab.maps import Restriction
from ripstop.links.loop import run as run_loop
from ripstop.links.loop import settled
from ripstop.links.nats import NatsLink
from ripstop.links.tasks import end

_BATCH_S: Final = 0.05
_WRITE_S: Final = 0.5
_START_S: Final = 60.0
_STARTS: Final = 4
_STOP_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Told:
    """A report of the ground, when it was made, and with an issued restriction what is restricted."""

    report: Report
    at: Instant
    restriction: Restriction | None = None


Listener: TypeAlias = Callable[[Told], None]
Begin: TypeAlias = Callable[[], ShiftedClock]


class Ground:
    """Runs the control plane elsewhere; use it as a context manager.

    A process that ends by itself, or is killed, is started again on the same folder, as a supervisor would.

    Args:
        options: what the control plane is started with; the wire is recorded in its folder, in `wire`.
        begin: gives the run's clock as soon as the process is ready, so that what it took is not of the run;
            both processes read the same clocks of the machine.
        listener: hears the ground's reports, in their order, a moment after they were made.

    Raises:
        ConfigurationError: what the control plane refuses to start with; C0414 where it does not stay up.
    """

    def __init__(self, options: ServiceOptions, begin: Begin, listener: Listener) -> None:
        self.address = ""
        self._options = options
        self._begin = begin
        self._listener = listener
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[object]] = {}
        self._is_up = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None
        self._is_stopping = False

    async def __aenter__(self) -> Ground:
        """Start the process and wait until the control plane commands its fleet."""
        self._supervisor = asyncio.create_task(self._stay_up(), name="ground")
        up = asyncio.create_task(self._is_up.wait())
        await asyncio.wait({up, self._supervisor}, return_when=asyncio.FIRST_COMPLETED)
        if not self._is_up.is_set():
            await end(up)
            await self._supervisor  # it says why
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop the control plane; its last reports are heard before."""
        self._is_stopping = True
        with contextlib.suppress(ConfigurationError, TimeoutError):
            await self._ask("stop", _STOP_S)
        if self._supervisor is not None:
            await end(self._supervisor)

    async def _stay_up(self) -> None:
        for _ in range(_STARTS):
            over = asyncio.Event()
            context = multiprocessing.get_context("spawn")
            self._pipe, theirs = context.Pipe()
            process = context.Process(target=_run, args=(theirs, self._options))
            with deaf():
                process.start()
            theirs.close()  # ours only: so the end of the process is the end of the pipe
            loop = asyncio.get_running_loop()
            loop.add_reader(self._pipe.fileno(), self._read, over)
            try:
                await self._answer("ready", _START_S)
                self.address = str(await self._answer("start", _START_S, self._begin()))
                self._is_up.set()
                await over.wait()
            except _LostError:
                pass  # once more
            finally:
                self._is_up.clear()
                loop.remove_reader(self._pipe.fileno())
                self._pipe.close()  # whoever still runs there ends at this
                await loop.run_in_executor(None, _reap, process)
            if self._is_stopping:
                return
        raise _gone()

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
        """Ask, and once more where the process ends meanwhile."""
        for _ in range(_STARTS):
            if self._supervisor is not None and self._supervisor.done():
                break
            async with asyncio.timeout(patience_s):
                await self._is_up.wait()
            with contextlib.suppress(_LostError):
                return await self._answer(question, patience_s)
        raise _gone()

    async def _answer(self, question: str, patience_s: float, given: object = None) -> object:
        number = next(self._numbers)
        self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            self._pipe.send((number, question, given))
            async with asyncio.timeout(patience_s):
                return await self._asked[number]
        except OSError as error:
            raise _gone() from error
        finally:
            del self._asked[number]

    def _read(self, over: asyncio.Event) -> None:
        try:
            while self._pipe.poll():
                self._take(self._pipe.recv())
        except (EOFError, OSError):
            asyncio.get_running_loop().remove_reader(self._pipe.fileno())
            self._is_up.clear()
            over.set()
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


class _LostError(ConfigurationError):
    """The process ended before it answered."""


def _gone() -> _LostError:
    return _LostError("the ground's process ends by itself", code="C0414")


def _reap(process: BaseProcess) -> None:
    process.join(_STOP_S)
    if process.is_alive():
        process.kill()
        process.join()
    process.close()


# ---- the other process -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Failure:
    message: str
    code: str
    hint: str


def _run(pipe: Connection, options: ServiceOptions) -> None:
    leave_a_core()  # to the agents
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    logging.getLogger("ripstop").addHandler(logging.NullHandler())
    run_loop(_Office(pipe, options).run())


class _Office:
    """Answers the lab's questions about the control plane that it runs."""

    def __init__(self, pipe: Connection, options: ServiceOptions) -> None:
        self._pipe = pipe
        self._options = options
        self._told: list[Told] = []
        self._questions: asyncio.Queue[tuple[int, str, object]] = asyncio.Queue()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(self._pipe.fileno(), self._read)
        number, _, _ = await self._questions.get()
        await loop.run_in_executor(None, warmup)
        self._send((number, None))
        number, _, clock = await self._questions.get()
        if not isinstance(clock, ShiftedClock):
            return
        try:
            async with contextlib.AsyncExitStack() as stack:
                service = ControlService(self._options, clock=clock)
                service.on_report = lambda report, now: self._reported(service, report, now)
                await stack.enter_async_context(service)
                await _record_wire(service, clock, stack)
                stack.enter_context(settled())
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
            self._questions.put_nowait((0, "stop", None))

    async def _answer_all(self, service: ControlService) -> int:
        """Answer until somebody says stop; gives the number of that order."""
        answers: dict[str, Callable[[ControlService], Awaitable[object]]] = {
            "known": _known, "receipted": _receipted, "rehearse": _rehearse,
        }  # fmt: skip
        while True:
            number, question, _ = await self._questions.get()
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
    writing = threading.Lock()

    def take(event: Event) -> None:
        if isinstance(event, Message):
            heard.append((clock.now().wall_us, event))

    def write() -> None:
        nonlocal heard
        with writing:  # the last batch may be under way when the end comes
            batch, heard = heard, []
            for t_us, message in batch:
                files.append("wire", encode([t_us, message.subject, message.data]))

    async def write_on() -> None:
        while True:
            await asyncio.sleep(_WRITE_S)
            await asyncio.get_running_loop().run_in_executor(None, write)

    async def close() -> None:
        await end(writer)
        try:
            write()
            files.sync()
        except OSError as error:
            structlog.get_logger("ripstop.lab").error("wire.cut", reason=error.strerror)
        files.close()

    link = NatsLink(service.server.address, service.server.login("observer"))
    link.start((f"ripstop.{service.options.settings.fleet}.>",), take)
    writer = asyncio.create_task(write_on(), name="wire")
    stack.push_async_callback(close)
    stack.push_async_callback(link.close)
    await link.connected()
