"""Ten thousand agents lose one embedded server and come back: how fast, how steeply, and what is lost.

    python benchmarks/bench_storm.py [--agents 10000] [--rate 2000] [--workers 2] [--links 100]

Every agent is a TCP connection with a key and permissions of its own. `--links` of them are `NatsLink`s; the
others, in worker processes, are light clients that speak NATS by hand (ten thousand full clients would
measure the machine, not the server) and wait by the same `Backoff`. The server is killed with SIGKILL and
started again by its watchman. At the moment of its death each agent has a record to hand in, which it offers
until a receipt comes; when all are back, one broadcast must reach them all.

The same is then done with the waits of common NATS clients (2 s and up to 100 ms of jitter), in the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import resource
import sys
import tempfile
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from ripstop.core.chance import SplitMix64, stream
from ripstop.core.clock import SystemClock
from ripstop.core.messages import Admission
from ripstop.core.node import Event, Message
from ripstop.core.subjects import Subjects
from ripstop.core.wire.envelope import Ed25519Signer, Role
from ripstop.core.wire.record import pack
from ripstop.links.backoff import Backoff, spread_s
from ripstop.links.connection import LinkSettings, Login
from ripstop.links.loop import run as run_loop
from ripstop.links.nats import NatsLink
from ripstop.links.nkey import new_seed, public_key
from ripstop.links.server import NatsServer
from ripstop.links.tasks import end

FLEET = "bench"
NAMES = Subjects(FLEET)
CLOCK = SystemClock()
BAR_S = 30.0
_AGAIN_S = 2.0


def entropy(number: int) -> bytes:
    return stream(1, "agent", number).octets(32)


def now_us() -> int:
    return CLOCK.now().mono_us


@dataclass
class ClientDefaults:
    """The waits of nats.go, nats.js and others: `ReconnectWait` 2 s, `ReconnectJitter` 100 ms."""

    chance: SplitMix64

    def opened(self) -> None: ...
    def failed(self) -> None: ...

    def wait_s(self) -> float:
        return 2.0 + self.chance.uniform(0.0, 0.1)


class LightAgent(asyncio.Protocol):
    """One agent's connection: connects, proves its key, subscribes, hands its record in."""

    def __init__(self, crew: Crew, number: int) -> None:
        self.crew, self.name = crew, f"a{number}"
        self.signer = Ed25519Signer(entropy(number), Role.AGENT)
        self.key = public_key(new_seed(entropy(number)))
        self.backoff = crew.backoff(self.name)
        self.transport: asyncio.Transport | None = None
        self.buffer = b""
        self.is_up = self.is_owing = False
        self.heard = 0

    async def stay_connected(self, first_s: float) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(first_s)
        while True:
            self.crew.attempts.append(now_us())
            self.closed = loop.create_future()
            try:
                async with asyncio.timeout(5.0):
                    await loop.create_connection(lambda: self, *self.crew.address)
                await self.closed
            except (OSError, TimeoutError) as error:
                self.crew.failures[type(error).__name__] += 1
                self.backoff.failed()
                self.give_up()
            await asyncio.sleep(self.backoff.wait_s())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.buffer = transport, b""  # type: ignore[assignment]
        self.has_said = False

    def connection_lost(self, exc: Exception | None) -> None:
        if self.is_up:
            self.is_up = False
            self.is_owing = True
            self.crew.lost(self)
        else:
            self.crew.failures["cut off by the server"] += 1
            self.backoff.failed()
        if not self.closed.done():
            self.closed.set_result(None)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while b"\r\n" in self.buffer:
            line, _, rest = self.buffer.partition(b"\r\n")
            if line.startswith(b"MSG "):
                size = int(line.rpartition(b" ")[2])
                if len(rest) < size + 2:
                    return
                self.buffer = rest[size + 2 :]
                self.message(line.split(b" ")[1].decode())
                continue
            self.buffer = rest
            if line.startswith(b"INFO ") and not self.has_said:
                self.login(json.loads(line[5:])["nonce"])
            elif line == b"PING":
                self.say(b"PONG\r\n")
            elif line == b"PONG" and not self.is_up:
                self.is_up = True
                self.backoff.opened()
                self.crew.back(self)
                self.hand_in()

    def give_up(self) -> None:
        """Let go of a connection that was made while nobody waited for it any more."""
        if self.transport is not None:
            self.transport.abort()
            self.transport = None
        if self.is_up:
            self.is_up = False
            self.crew.up.pop(self.name, None)

    def say(self, data: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def login(self, nonce: str) -> None:
        signature = base64.urlsafe_b64encode(self.signer.sign(nonce.encode())).rstrip(b"=").decode()
        told = {"verbose": False, "pedantic": False, "name": self.name, "lang": "light", "version": "1",
                "protocol": 1, "nkey": self.key, "sig": signature}  # fmt: skip
        subjects = (NAMES.tick, NAMES.of("receipt", self.name))
        subscriptions = "".join(f"SUB {subject} {sid}\r\n" for sid, subject in enumerate(subjects, 1))
        self.has_said = True
        self.say(f"CONNECT {json.dumps(told)}\r\n{subscriptions}PING\r\n".encode())

    def hand_in(self) -> None:
        if self.is_owing and self.is_up:
            asyncio.get_running_loop().call_later(_AGAIN_S, self.hand_in)
            record = self.name.encode()
            subject = NAMES.of("segment", self.name)
            self.say(f"PUB {subject} {len(record)}\r\n".encode() + record + b"\r\n")

    def message(self, subject: str) -> None:
        if subject == NAMES.tick:
            self.heard += 1
        else:
            self.is_owing = False
            self.crew.owing.discard(self.name)


class Crew:
    """The light agents of one process."""

    def __init__(self, address: tuple[str, int], numbers: range, admission: Admission) -> None:
        self.address, self.admission = address, admission
        self.is_naive = False
        self.attempts: list[int] = []
        self.failures: Counter[str] = Counter()
        self.up: dict[str, int] = {}
        self.owing: set[str] = set()
        self.losses = 0
        self.agents = [LightAgent(self, number) for number in numbers]

    def backoff(self, name: str) -> Backoff:
        settings = LinkSettings()
        made = Backoff(settings.retry_s, settings.retry_max_s, stream(2, name))
        made.admit(self.admission)
        return made

    def lost(self, agent: LightAgent) -> None:
        self.up.pop(agent.name, None)
        self.losses += 1
        self.owing.add(agent.name)

    def back(self, agent: LightAgent) -> None:
        self.up[agent.name] = now_us()


async def work(host: str, port: int, first: int, last: int, admission: Admission) -> None:
    """Run a worker: it answers each line on its standard input with one on its output."""
    crew = Crew((host, port), range(first, last), admission)
    spread = len(crew.agents) / (admission.per_s / 2)
    tasks = [
        asyncio.create_task(agent.stay_connected(spread * number / len(crew.agents)))
        for number, agent in enumerate(crew.agents)
    ]
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async for line in lines:
        order = line.decode().strip()
        if order == "naive":
            for agent in crew.agents:
                agent.backoff = ClientDefaults(stream(3, agent.name))  # type: ignore[assignment]
        elif order == "clear":
            crew.attempts.clear()
            crew.failures.clear()
            crew.losses = 0
            for agent in crew.agents:
                agent.heard = 0
        state = {
            "up": len(crew.up),
            "losses": crew.losses,
            "failures": dict(crew.failures),
            "owing": len(crew.owing),
            "heard": sum(agent.heard for agent in crew.agents),
            "attempts": crew.attempts if order == "report" else len(crew.attempts),
            "returns": sorted(crew.up.values()) if order == "report" else [],
        }
        print(json.dumps(state), flush=True)
    for task in tasks:
        await end(task)


class Worker:
    """A worker process as its parent sees it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def ask(self, order: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(order.encode() + b"\n")
        answer: dict[str, Any] = json.loads(await self.process.stdout.readline())
        return answer


class Ground:
    """Takes records in and receipts them."""

    def __init__(self, server: NatsServer) -> None:
        self.link = NatsLink(server.address, server.login("control"))
        self.records: list[str] = []

    def on_event(self, event: Event) -> None:
        if isinstance(event, Message):
            name = event.data.decode()
            self.records.append(name)
            self.link.send(NAMES.of("receipt", name), b"")


class RealLinks:
    """Some agents by `NatsLink`, as they are used."""

    def __init__(self, server: NatsServer, numbers: range) -> None:
        settings = LinkSettings(admission_key=NAMES.admission_key)
        self.links = []
        for number in numbers:
            login = Login(f"a{number}", seed=new_seed(entropy(number)))
            link = NatsLink(server.address, login, settings)
            link.start((NAMES.tick,), lambda event: None)
            self.links.append(link)

    def up(self) -> int:
        return sum(link.is_connected for link in self.links)


def busiest(times: list[int], window_us: int) -> int:
    return max((bisect_left(times, at + window_us) - index for index, at in enumerate(times)), default=0)


async def until_all(workers: list[Worker], light: int, links: RealLinks, *, losses: int = 0) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(4 * BAR_S):
            while True:
                states = [await worker.ask("state") for worker in workers]
                up, lost, owing = (sum(state[key] for state in states) for key in ("up", "losses", "owing"))
                if up == light and links.up() == len(links.links) and lost >= losses and not owing:
                    return True
                await asyncio.sleep(0.1)
    return False


async def storm(
    server: NatsServer, workers: list[Worker], ground: Ground, links: RealLinks, light: int
) -> dict[str, Any]:
    """Kill the server, wait for all to be back, and measure."""
    for worker in workers:
        await worker.ask("clear")
    ground.records.clear()
    back_us: list[int] = []
    server.on_restart = lambda count: back_us.append(now_us())
    killed_us = now_us()
    server.kill()
    is_complete = await until_all(workers, light, links, losses=light)
    ground.link.send(NAMES.tick, b"tick")
    for _ in range(100):
        states = [await worker.ask("state") for worker in workers]
        if sum(int(state["heard"]) for state in states) >= light:
            break
        await asyncio.sleep(0.1)
    reports = [await worker.ask("report") for worker in workers]
    attempts = sorted(at for report in reports for at in report["attempts"])
    returns = sorted(at for report in reports for at in report["returns"])
    failures: Counter[str] = Counter()
    for report in reports:
        failures.update(report["failures"])
    return {
        "failures": dict(failures),
        "down_s": (back_us[0] - killed_us) / 1e6,
        "back_s": (returns[-1] - killed_us) / 1e6 if is_complete else float("inf"),
        "half_s": (returns[len(returns) // 2] - killed_us) / 1e6,
        "busiest_1s": busiest(attempts, 1_000_000),
        "busiest_100ms": busiest(attempts, 100_000),
        "attempts": len(attempts),
        "records": len(set(ground.records)),
        "heard": sum(int(report["heard"]) for report in reports),
    }


def show(title: str, found: dict[str, Any], light: int, rate: float) -> None:
    records, heard, attempts = (round(found[key]) for key in ("records", "heard", "attempts"))
    in_vain = ", ".join(f"{count} {kind}" for kind, count in found["failures"].items()) or "none"
    in_time = "met" if found["back_s"] <= BAR_S else "MISSED"
    in_order = "met" if found["busiest_1s"] <= rate else "OVER"
    print(f"{title}:")
    print(f"  server down for {found['down_s']:.2f} s; half are back after {found['half_s']:.1f} s")
    print(f"  all {light} are back {found['back_s']:.1f} s after the kill (bar {BAR_S:g} s: {in_time})")
    print(f"  {attempts} attempts, of these in vain: {in_vain}")
    busiest = f"second {found['busiest_1s']} (admission {rate:g}: {in_order})"
    print(f"  the busiest {busiest}, the busiest tenth of a second {found['busiest_100ms']}")
    print(f"  records handed in {records} of {light} ({light - records} lost), broadcast heard by {heard}")


async def run(args: argparse.Namespace) -> None:
    light = args.agents - args.links
    admission = Admission(args.agents, args.rate)
    agents = {f"a{n}": public_key(new_seed(entropy(n))) for n in range(args.agents)}
    print(
        f"{args.agents} agents, {args.rate:g} a second admitted: waits from 0 to {spread_s(admission):.1f} s"
    )
    with tempfile.TemporaryDirectory() as folder:
        server = NatsServer(Path(folder), FLEET, agents=agents)
        await server.start()
        ground = Ground(server)
        ground.link.start((NAMES.every("segment"),), ground.on_event)
        await ground.link.connected()
        await ground.link.provision()
        await ground.link.store(NAMES.admission_key, pack(admission))
        links = RealLinks(server, range(light, args.agents))
        port = server.address.rpartition(":")[2]
        bounds = [light * n // args.workers for n in range(args.workers + 1)]
        workers = [
            Worker(
                await asyncio.create_subprocess_exec(
                    sys.executable,
                    __file__,
                    "--worker",
                    port,
                    str(first),
                    str(last),
                    str(args.agents),
                    str(args.rate),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    limit=1 << 24,
                )
            )
            for first, last in pairwise(bounds)
        ]
        try:
            assert await until_all(workers, light, links), "the fleet does not connect"
            await asyncio.sleep(3.0)  # the links have read how large the fleet is
            show(
                "with the admission rate",
                await storm(server, workers, ground, links, light),
                light,
                args.rate,
            )
            for worker in workers:
                await worker.ask("naive")
            show(
                "with clients' defaults (2 s + 0.1 s)",
                await storm(server, workers, ground, links, light),
                light,
                args.rate,
            )
        finally:
            for worker in workers:
                if worker.process.stdin is not None:
                    worker.process.stdin.close()
                await worker.process.wait()
            await asyncio.gather(*(link.close() for link in links.links), ground.link.close())
            await server.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--agents", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=2_000.0, help="connections a second")
    parser.add_argument("--workers", type=int, default=2, help="processes of light agents")
    parser.add_argument("--links", type=int, default=100, help="agents that are real links")
    parser.add_argument(
        "--worker", nargs=5, metavar=("PORT", "FIRST", "LAST", "AGENTS", "RATE"), help="internal"
    )
    args = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if args.worker:
        port, first, last, count = map(int, args.worker[:4])
        run_loop(work("127.0.0.1", port, first, last, Admission(count, float(args.worker[4]))))
    else:
        run_loop(run(args))


if __name__ == "__main__":
    main()
