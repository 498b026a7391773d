"""Where an answer goes is named by who asks: it leads nowhere where the asker may not publish itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ripstop.core.subjects import Subjects
from ripstop.links.nats import LinkSettings, Login, NatsLink
from ripstop.links.nkey import new_seed, public_key
from ripstop.links.permissions import enrol_subject, writing_subject
from ripstop.links.server import NatsServer

pytestmark = pytest.mark.nats
NAMES = Subjects("test")
SEED = new_seed(b"a" * 32)
QUICK = LinkSettings(retry_s=0.02, retry_max_s=0.2)


async def connect(server: NatsServer, login: Login) -> NatsLink:
    link = NatsLink(server.address, login, QUICK)
    link.start((), lambda event: None)
    await link.connected()
    return link


async def answer(data: bytes) -> bytes:
    return b"an answer"


def test_neither_the_server_nor_the_ground_writes_a_durable_key_for_somebody_else(tmp_path: Path) -> None:
    keys = (NAMES.epoch_key, NAMES.bundle_key, NAMES.admission_key, NAMES.intent_key("fleet"))

    async def run() -> None:
        server = NatsServer(tmp_path, "test", agents={"a0": public_key(SEED)})
        await server.start()
        control = NatsLink(server.address, server.login("control"), QUICK)
        control.serve(enrol_subject("test"), answer)
        control.start((), lambda event: None)
        await control.connected()
        await control.provision()
        for key in keys:
            await control.store(key, f"true {key}".encode())
        agent = await connect(server, Login("a0", seed=SEED))
        door = await connect(server, server.login("enrol"))
        get = f"$JS.API.DIRECT.GET.KV_ripstop.$KV.ripstop.{NAMES.bundle_key}"
        guessed = writing_subject("ripstop", SEED)
        for key in keys:
            for reply in (f"$KV.ripstop.{key}", f"{guessed}.{key}", f"$STORE.{key}"):
                agent.send(get, b"", reply)
                door.send(enrol_subject("test"), b"", reply)
        assert await agent.fetch(NAMES.bundle_key) == (f"true {NAMES.bundle_key}".encode(), 2)
        assert await door.request(enrol_subject("test"), b"") == b"an answer"
        for revision, key in enumerate(keys, 1):
            assert await control.fetch(key) == (f"true {key}".encode(), revision)
        for link in (agent, door, control):
            await link.close()
        await server.stop()

    asyncio.run(run())


def test_a_bucket_that_was_made_otherwise_is_brought_into_form(tmp_path: Path) -> None:
    async def run() -> None:
        server = NatsServer(tmp_path, "test")
        await server.start()
        control = await connect(server, server.login("control"))
        await control.provision()
        await control.store(NAMES.epoch_key, b"7")
        await server.stop()
        await control.close()
        (tmp_path / "nats" / "secrets.json").unlink()  # another key of the ground, another subject
        again = NatsServer(tmp_path, "test")
        await again.start()
        other = await connect(again, again.login("control"))
        await other.provision()
        assert await other.fetch(NAMES.epoch_key) == (b"7", 1)
        assert await other.store(NAMES.epoch_key, b"8", expected=1) == 2
        await other.close()
        await again.stop()

    asyncio.run(run())
