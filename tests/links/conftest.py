"""One face for both links: nodes are attached, effects carried out, outcomes waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ripstop.core.clock import Instant
from ripstop.core.node import Connected, Effects, Event, Message
from ripstop.links.conditions import Conditions
from ripstop.links.driver import NodeDriver
from ripstop.links.memory import MemoryNetwork
from ripstop.links.nats import LinkSettings, Login, NatsLink
from ripstop.links.nkey import new_seed, public_key
from ripstop.links.server import NatsServer
from ripstop.links.timeline import Timeline

FLEET = "test"
AGENTS = [f"a{number}" for number in range(20)]
SEEDS = {agent: new_seed(bytes([number]) * 32) for number, agent in enumerate(AGENTS)}
QUICK = LinkSettings(retry_s=0.02, retry_max_s=0.2)


class Probe:
    """A node that keeps what it gets and answers by a table."""

    def __init__(self, *subjects: str, answer: Callable[[Event], Effects] = lambda event: ()) -> None:
        self.subjects = tuple(f"ripstop.{FLEET}.{subject}" for subject in subjects)
        self.got: list[Event] = []
        self.answer = answer
        self.on_step: Callable[[], None] = lambda: None

    def step(self, event: Event, now: Instant) -> Effects:
        self.got.append(event)
        self.on_step()
        return self.answer(event)

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.got if isinstance(event, kind)]

    def data(self) -> list[bytes]:
        return [event.data for event in self.got if isinstance(event, Message)]


class Harness:
    """What the two have in common: joining with a probe."""

    def join(
        self,
        name: str,
        *subjects: str,
        answer: Callable[[Event], Effects] = lambda event: (),
        login: str = "",
    ) -> Probe:
        node = Probe(*subjects, answer=answer)
        self.attach(name, node, login)
        self.until(lambda: bool(node.of(Connected)))
        return node

    def attach(self, name: str, node: Probe, login: str = "") -> None:
        raise NotImplementedError

    def until(self, condition: Callable[[], bool]) -> None:
        raise NotImplementedError


class MemoryHarness(Harness):
    """The network in virtual time; waiting is running it."""

    def __init__(self) -> None:
        self.network = MemoryNetwork(Timeline(), 1, Conditions(jitter_s=0.002))

    def attach(self, name: str, node: Probe, login: str = "") -> None:
        self.network.attach(name, node)

    def perform(self, name: str, effects: Effects) -> None:
        self.network.perform(name, effects)

    def now(self, name: str) -> Instant:
        return self.network.now(name)

    def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            assert self.network.timeline.step(), "nothing is left to happen"

    def kill_server(self) -> None:
        self.network.stop_server()
        self.network.timeline.after(50_000, self.network.start_server)


class NatsHarness(Harness):
    """A real server and a driver for each node; waiting is running the loop until a node took a step."""

    def __init__(self, folder: Path) -> None:
        self.runner = asyncio.Runner()
        self.changed = asyncio.Event()
        self.drivers: dict[str, NodeDriver] = {}
        keys = {agent: public_key(seed) for agent, seed in SEEDS.items()}
        self.server = NatsServer(folder, FLEET, agents=keys)
        self.runner.run(self._open())

    async def _open(self) -> None:
        await self.server.start()
        link = NatsLink(self.server.address, self.server.login("control"), QUICK)
        link.start([], lambda event: None)
        await link.connected()
        await link.provision()
        await link.close()

    def login(self, name: str) -> Login:
        return Login(name, seed=SEEDS[name]) if name in SEEDS else self.server.login(name)

    def attach(self, name: str, node: Probe, login: str = "") -> None:
        async def start() -> None:
            driver = NodeDriver(node, NatsLink(self.server.address, self.login(login or name), QUICK))
            self.drivers[name] = driver
            driver.start()
            await driver.link.connected()

        node.on_step = self.changed.set
        self.runner.run(start())

    def perform(self, name: str, effects: Effects) -> None:
        async def call() -> None:
            self.drivers[name].perform(effects)

        self.runner.run(call())

    def now(self, name: str) -> Instant:
        return self.drivers[name].now()

    def until(self, condition: Callable[[], bool]) -> None:
        async def wait() -> None:
            async with asyncio.timeout(10):
                while not condition():
                    self.changed.clear()
                    await self.changed.wait()

        self.runner.run(wait())

    def kill_server(self) -> None:
        self.server.kill()

    def close(self) -> None:
        async def end() -> None:
            for driver in self.drivers.values():
                await driver.close()
            await self.server.stop()
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, f"tasks left behind: {left}"

        self.runner.run(end())
        self.runner.close()


@pytest.fixture(params=["memory", pytest.param("nats", marks=pytest.mark.nats)])
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MemoryHarness | NatsHarness]:
    if request.param == "memory":
        yield MemoryHarness()
        return
    real = NatsHarness(tmp_path)
    yield real
    real.close()


@pytest.fixture
def nats_harness(tmp_path: Path) -> Iterator[NatsHarness]:
    real = NatsHarness(tmp_path)
    yield real
    real.close()
