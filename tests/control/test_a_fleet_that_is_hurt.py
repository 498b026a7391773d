"""A small fleet runs live, one process an agent: killed, stopped, starved of disk, its clocks set."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from itertools import pairwise
from pathlib import Path

import pytest

from ripstop.agent.inspection import inspect_ledger
from ripstop.control import ControlSettings, load_playbook
from ripstop.control.audit.files import read_log
from ripstop.control.audit.segments import segment_of
from ripstop.control.audit.verify import verify_run
from ripstop.control.registry import Presence
from ripstop.control.service import ControlService, ServiceOptions
from ripstop.core.journal import Entry, RecordKind, read_entry
from ripstop.links import enrol
from ripstop.policy.loader import load_vocabulary

pytestmark = pytest.mark.nats
ROOT = Path(__file__).parents[2]
NAMES = ("d0", "d1", "d2")
BEAT_S = 0.4


class Flying:
    """An agent's process, and what it has said."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name, self.folder = name, folder / name
        self.decisions: list[tuple[int, str, str]] = []
        self.heard_s: list[float] = []
        self.reports: list[str] = []
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        command = [sys.executable, ROOT / "tests" / "control" / "flying_agent.py", self.folder, str(BEAT_S)]
        with (self.folder / "stderr").open("a") as errors:
            self.process = await asyncio.create_subprocess_exec(
                *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
            )
        self.reader = asyncio.create_task(self.listen(self.process))

    async def listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            kind, *words = line.decode().split()
            if kind == "decision":
                self.decisions.append((int(words[0]), words[1], words[2]))
                self.heard_s.append(time.monotonic())
            else:
                self.reports.append(words[0])

    def order(self, text: str) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode() + b"\n")

    def send(self, what: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(what)

    async def end(self, what: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(what)
            await self.process.wait()
            await self.reader


class Fleet:
    def __init__(self, service: ControlService, folder: Path) -> None:
        self.service, self.told = service, []
        service.on_report = lambda report, now: self.told.append(report)
        self.agents = {name: Flying(folder, name) for name in NAMES}

    def presence(self, name: str) -> Presence:
        member = self.service.node.registry.get(name)
        assert member is not None
        return member.presence

    def named(self, name: str) -> list[str]:
        return [str(report.fields.get("agent")) for report in self.told if report.name == name]


async def until(claim: Callable[[], bool], timeout_s: float = 20.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not claim():  # noqa: ASYNC110 - what is waited for happens in many places
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def flying(folder: Path) -> AsyncIterator[Fleet]:
    policies = folder / "policies"
    shutil.copytree(ROOT / "policies" / "drones", policies / "drones")
    shutil.copytree(ROOT / "vocabularies", policies / "vocabularies")
    settings = ControlSettings("city", beat_s=BEAT_S, tick_s=BEAT_S, survey_s=0.0)
    book = load_playbook(ROOT / "playbooks" / "drones.yaml")
    vocabulary = load_vocabulary(ROOT / "vocabularies" / "drone.yaml")
    async with ControlService(
        ServiceOptions(folder / "data", policies, book, vocabulary, settings)
    ) as service:
        fleet = Fleet(service, folder)
        try:
            for name, agent in fleet.agents.items():
                await enrol(service.server.address, service.token(), name, agent.folder / "identity.json")
                await agent.start()
            await until(lambda: all(fleet.presence(name) is Presence.PRESENT for name in NAMES))
            await until(lambda: all("release.applied" in agent.reports for agent in fleet.agents.values()))
            for agent in fleet.agents.values():
                agent.decisions.clear()  # those before the first release
                agent.heard_s.clear()
            yield fleet
        finally:
            for agent in fleet.agents.values():
                with contextlib.suppress(ProcessLookupError):
                    agent.send(signal.SIGCONT)
                await agent.end()


def on_file(folder: Path) -> dict[str, set[int]]:
    """Give the times of the decisions that the ground holds, by agent."""
    found: dict[str, set[int]] = {name: set() for name in NAMES}
    for record in read_log(folder / "data" / "audit", "segments").records:
        agent, segment = segment_of(record)
        found[agent] |= decided(map(read_entry, segment.records))
    return found


def decided(entries: Iterable[Entry]) -> set[int]:
    return {int(str(e.body["t_us"])) for e in entries if e.kind is RecordKind.DECISION}


def scene(folder: Path, body: Callable[[Fleet], Awaitable[None]], *, may_complain: bool = False) -> None:
    """Run a scene; afterwards nothing that an agent has acknowledged may be missing."""

    async def run() -> None:
        async with flying(folder) as fleet:
            await body(fleet)
            for agent in fleet.agents.values():
                await agent.end()
                assert may_complain or "Traceback" not in (agent.folder / "stderr").read_text()
            assert fleet.named("ledger.forked") == fleet.named("ledger.lost") == []
            assert not fleet.service.node.authority.will.mitigations, "nobody was isolated"
        held = on_file(folder)
        for name, agent in fleet.agents.items():
            own = inspect_ledger(agent.folder / "ledger").ledger
            assert own is not None
            kept = held[name] | decided(entry for _, entry in own.entries)
            assert {t_us for t_us, accept, _ in agent.decisions if accept == "allow"} - kept == set()
            assert {land for *_, land in agent.decisions} == {"allow"}, "a failsafe is always permitted"

    asyncio.run(run())


def longest_gap_s(agent: Flying, since_s: float) -> float:
    heard = [at for at in agent.heard_s if at >= since_s]
    return max((after - before for before, after in pairwise(heard)), default=0.0)


def test_agents_that_are_killed_start_again_and_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    async def body(fleet: Fleet) -> None:
        for round_ in range(3):
            agent = fleet.agents[NAMES[round_]]
            await asyncio.sleep(0.3 + 0.11 * round_)
            before = len(agent.decisions)
            await agent.end(signal.SIGKILL)
            await until(lambda name=agent.name: fleet.presence(name) is Presence.GONE)  # type: ignore[misc]
            await agent.start()
            await until(lambda name=agent.name: fleet.presence(name) is Presence.PRESENT)  # type: ignore[misc]
            await until(lambda agent=agent, least=before + 20: len(agent.decisions) > least)  # type: ignore[misc]
        assert fleet.named("agent.vanished") == list(NAMES)
        assert fleet.named("agent.duplicated") == []

    scene(tmp_path, body)
    assert verify_run(tmp_path / "data").findings == []


def test_a_server_that_is_stopped_or_killed_keeps_no_agent_from_deciding(tmp_path: Path) -> None:
    async def body(fleet: Fleet) -> None:
        server = fleet.service.server
        assert server._process is not None
        began_s = time.monotonic()
        server._process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(3.0)
        server._process.send_signal(signal.SIGCONT)
        await until(lambda: all(fleet.presence(name) is Presence.PRESENT for name in NAMES))
        server.kill()
        await until(lambda: server.restarts == 1)
        await until(lambda: all(fleet.presence(name) is Presence.PRESENT for name in NAMES))
        for agent in fleet.agents.values():
            assert longest_gap_s(agent, began_s) < 2.0, "a decision waited for the link"
            assert {accept for _, accept, _ in agent.decisions} == {"allow"}

    scene(tmp_path, body)


def test_an_agent_that_stands_still_is_quiet_and_comes_back_as_itself(tmp_path: Path) -> None:
    async def body(fleet: Fleet) -> None:
        agent = fleet.agents["d1"]
        agent.send(signal.SIGSTOP)
        await until(lambda: fleet.presence("d1") in (Presence.QUIET, Presence.GONE))
        await asyncio.sleep(1.0)
        agent.send(signal.SIGCONT)
        await until(lambda: fleet.presence("d1") is Presence.PRESENT)
        assert fleet.named("agent.quieted") == ["d1"]
        assert fleet.named("agent.returned") == ["d1"]
        assert fleet.named("agent.duplicated") == []

    scene(tmp_path, body)


def test_a_wall_clock_that_is_set_changes_no_verdict_and_is_told(tmp_path: Path) -> None:
    async def body(fleet: Fleet) -> None:
        agent = fleet.agents["d2"]
        for seconds in (86_400, -172_800):
            count, told = len(agent.decisions), agent.reports.count("clock.jumped")
            agent.order(f"jump {seconds}")
            await until(lambda told=told: agent.reports.count("clock.jumped") > told)  # type: ignore[misc]
            await until(lambda count=count: len(agent.decisions) > count + 30)  # type: ignore[misc]
        assert {accept for _, accept, _ in agent.decisions} == {"allow"}
        assert fleet.presence("d2") is Presence.PRESENT
        assert fleet.named("agent.quieted") == []

    scene(tmp_path, body)


def test_a_disk_that_is_full_denies_all_but_failsafes_until_there_is_room(tmp_path: Path) -> None:
    async def body(fleet: Fleet) -> None:
        agent = fleet.agents["d0"]
        await until(lambda: len(agent.decisions) > 10)
        agent.order("fill")
        await until(lambda: agent.decisions[-1][1:] == ("deny", "allow"))
        await until(lambda: fleet.presence("d0") is Presence.PRESENT)
        agent.order("free")
        await until(lambda: agent.decisions[-1][1:] == ("allow", "allow"))

    scene(tmp_path, body, may_complain=True)
