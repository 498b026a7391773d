"""`ripstop up` as others meet it: what it prints is enough to listen, and Ctrl-C ends it."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats
import pytest
from dulwich import porcelain

from ripstop.cli.output import words
from ripstop.core.messages import Tick
from ripstop.core.wire.cbor import decode
from ripstop.core.wire.record import unpack

pytestmark = pytest.mark.nats


@asynccontextmanager
async def up(folder: Path, *options: str) -> Any:
    command = ("-m", "ripstop", "up", "--data", str(folder), "--beat", "0.2", *options)
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(20):
            await process.communicate()
    assert process.returncode == 0


async def ticks_heard(url: str) -> list[Tick]:
    """Listen as any NATS client would, and try to speak."""
    refused = asyncio.Event()

    async def on_error(error: Exception) -> None:
        if "permissions violation" in str(error).lower():
            refused.set()

    listener = await nats.connect(url, error_cb=on_error)
    heard = await listener.subscribe("ripstop.>")
    ticks = []
    while len(ticks) < 2:
        message = await heard.next_msg(timeout=10)
        if message.subject == "ripstop.city.tick":
            _, _, payload, _ = decode(message.data[1:])  # COSE_Sign1, see docs/reference/wire.md
            ticks.append(unpack(Tick, decode(payload)[8]))
    await listener.publish("ripstop.city.tick", b"forged")
    async with asyncio.timeout(5):
        await refused.wait()
    await listener.close()
    return ticks


def test_no_name_that_an_agent_chose_reaches_the_terminal_as_it_is() -> None:
    assert words({"a\n\x1b[2J": "b\n\x1b[2J"}) == r"'a\n\x1b[2J'='b\n\x1b[2J'"


def test_in_a_checkout_it_releases_its_own_policies_and_a_client_by_others_listens(
    tmp_path: Path,
) -> None:
    outer = porcelain.init(str(tmp_path))
    porcelain.commit(outer, b"outer", author=b"A <a@b.c>", committer=b"A <a@b.c>")
    outer.close()

    async def run() -> None:
        async with up(tmp_path / "data", "--fleet", "city", "--json") as process:
            told = {"event": ""}
            events = []
            while told["event"] != "up":
                async with asyncio.timeout(30):
                    told = json.loads(await process.stdout.readline())
                events.append(told["event"])
            assert "release.published" in events
            assert "commit.refused" not in events
            first, second = await ticks_heard(told["observer"])
            assert second.number == first.number + 1

    asyncio.run(run())


def test_people_read_the_same_url(tmp_path: Path) -> None:
    async def run() -> None:
        async with up(tmp_path / "data") as process:
            async with asyncio.timeout(30):
                async for line in process.stdout:
                    if b"listen on the wire" in line:
                        break
            url = line.split()[4].decode()
            assert url.startswith("nats://observer:")
            listener = await nats.connect(url)
            await listener.close()

    asyncio.run(run())


def test_a_risk_s_level_is_told_as_such_beside_how_grave_its_event_is() -> None:
    from ripstop.cli.up import _line, _severity

    event = {"timestamp": "now", "level": "info", "event": "risk.assessed", "level_": "act", "low": 0.5}
    told = dict(_severity(None, "info", event))
    assert told == {
        "timestamp": "now",
        "severity": "info",
        "event": "risk.assessed",
        "level": "act",
        "low": 0.5,
    }
    line = _line(None, "info", told)
    assert line.startswith("now info ")
    assert "level=act" in line
