"""An agent in a process of its own, for tests that hurt it: it decides all the time and tells what came out.

Orders come as lines on its standard input: `jump S` moves its wall clock, `fill` leaves its files no room,
`free` gives it back. Each decision is a line `decision <t_us> <accept_task> <land>` on its standard output,
written after the decision is on stable storage; each report a line `report <name>`.
"""

from __future__ import annotations

import asyncio
import resource
import signal
import sys
from itertools import count
from pathlib import Path

from ripstop.agent.runtime import AgentRuntime
from ripstop.agent.settings import NodeSettings
from ripstop.core.clock import Instant, SystemClock
from ripstop.links import Identity

ASKED = {
    "payload_kg": 0.5, "task_priority": 1, "margin_after_wh": 9.0, "reserve_wh": 5.0,
    "pickup_x_m": 0.0, "pickup_y_m": 0.0, "drop_x_m": 9.0, "drop_y_m": 9.0,
}  # fmt: skip


class JumpingClock:
    """The machine's clocks, with a wall clock that somebody sets."""

    def __init__(self) -> None:
        self._inner = SystemClock()
        self.jumped_us = 0

    def now(self) -> Instant:
        now = self._inner.now()
        return Instant(now.wall_us + self.jumped_us, now.mono_us, now.boot)


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def obey(clock: JumpingClock, ledger: Path) -> None:
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    async for line in lines:
        order, *rest = line.decode().split()
        if order == "jump":
            clock.jumped_us += round(float(rest[0]) * 1e6)
        elif order == "fill":
            resource.setrlimit(resource.RLIMIT_FSIZE, ((ledger / "ledger.log").stat().st_size + 10, hard))
        elif order == "free":
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


async def fly(folder: Path, beat_s: float) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    identity, ledger = Identity.load(folder / "identity.json"), folder / "ledger"
    clock = JumpingClock()
    settings = NodeSettings(
        identity.agent,
        identity.fleet,
        beat_s=beat_s,
        segment_s=beat_s,
        watch=("battery_percent",),
        durable=True,
    )
    runtime = AgentRuntime(identity, settings=settings, ledger=ledger, clock=clock)
    runtime.on_report = lambda report, now: say("report", report.name)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    orders = asyncio.create_task(obey(clock, ledger))
    async with runtime:
        for step in count():
            if stop.is_set():
                break
            if not runtime.agent.node.release.counter:  # nothing to decide by yet
                await asyncio.sleep(0.02)
                continue
            runtime.agent.observe(battery_percent=80.0 + 0.1 * (step * 7919 % 11 - 5) / 5)  # alive, not stuck
            accept, _ = runtime.agent.request("accept_task", ASKED)
            land, _ = runtime.agent.request("land", {})
            say("decision", accept.t_us, accept.verdict.word, land.verdict.word)
            await asyncio.sleep(0.02)
    orders.cancel()


if __name__ == "__main__":
    asyncio.run(fly(Path(sys.argv[1]), float(sys.argv[2])))
