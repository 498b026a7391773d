"""A device joins with a one-time token and keys of its own; nobody else gets in with it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ripstop.core.clock import ManualClock
from ripstop.core.errors import ConfigurationError
from ripstop.core.node import Connected, Event
from ripstop.core.wire.envelope import Role, TrustedKey
from ripstop.links.enrolment import EnrolmentDesk, FleetKey, enrol
from ripstop.links.identity import Identity
from ripstop.links.nats import NatsLink
from ripstop.links.permissions import enrol_subject
from ripstop.links.server import NatsServer

pytestmark = pytest.mark.nats
KEYS = (TrustedKey(b"c" * 32, Role.COMMAND), TrustedKey(b"r" * 32, Role.RELEASE))
Body = Callable[[NatsServer, EnrolmentDesk, ManualClock], Awaitable[None]]


def with_desk(folder: Path, body: Body) -> None:
    async def run() -> None:
        server = NatsServer(folder, "test")
        await server.start()
        clock = ManualClock()
        desk = EnrolmentDesk(server, KEYS, clock=clock)
        link = NatsLink(server.address, server.login("control"))
        link.serve(enrol_subject("test"), desk.answer)
        link.start((), lambda event: None)
        await link.connected()
        try:
            await body(server, desk, clock)
        finally:
            await link.close()
            await server.stop()

    asyncio.run(run())


def test_an_enrolled_device_connects_with_the_key_that_it_made(tmp_path: Path) -> None:
    async def body(server: NatsServer, desk: EnrolmentDesk, clock: ManualClock) -> None:
        path = tmp_path / "device" / "identity.json"
        identity = await enrol(server.address, desk.issue(), "drone-7", path)
        assert identity == Identity.load(path)
        assert (identity.fleet, identity.trusted) == ("test", KEYS)
        assert desk.signing_keys == {"drone-7": identity.signer().public}
        assert path.stat().st_mode & 0o777 == 0o600
        assert identity.nkey_seed not in (server.folder / "agents.json").read_text()
        events: list[Event] = []
        link = NatsLink(server.address, identity.login())
        link.start(("ripstop.test.tick",), events.append)
        await link.connected()
        await link.close()
        assert Connected() in events
        # The registry outlives the desk.
        assert EnrolmentDesk(server, KEYS).signing_keys == desk.signing_keys

    with_desk(tmp_path, body)


def test_an_enrolled_device_takes_the_keys_of_now_when_it_asks_again(tmp_path: Path) -> None:
    async def body(server: NatsServer, desk: EnrolmentDesk, clock: ManualClock) -> None:
        token, path = desk.issue(), tmp_path / "a.json"
        identity = await enrol(server.address, token, "a", path)
        desk._keys = (FleetKey(b"n" * 32, Role.COMMAND),)
        assert await enrol(server.address, token, "a", path) == identity
        for again in (token, desk.issue()):
            renewed = await enrol(server.address, again, "a", path, renews=True)
            assert renewed == Identity.load(path)
            assert renewed.trusted == (TrustedKey(b"n" * 32, Role.COMMAND),)
            assert renewed.nkey_seed == identity.nkey_seed
        clock.advance(2 * 86_400)
        late = desk.issue(valid_s=-1.0)
        assert await enrol(server.address, late, "a", path, renews=True) == renewed
        assert await enrol(server.address, "no.such.token", "a", path, renews=True) == renewed
        await server.stop()
        assert await enrol(server.address, desk.issue(), "a", path, renews=True) == renewed

    with_desk(tmp_path, body)


def test_a_device_may_repeat_its_request_and_another_may_not_use_its_token(tmp_path: Path) -> None:
    async def body(server: NatsServer, desk: EnrolmentDesk, clock: ManualClock) -> None:
        token, path = desk.issue(), tmp_path / "a.json"
        identity = await enrol(server.address, token, "a", path)
        # As if the answer had been lost: the file holds the keys, and no trust yet.
        Identity(identity.agent, "", identity.address, identity.nkey_seed, identity.signing_seed).save(path)
        assert await enrol(server.address, token, "a", path) == identity
        with pytest.raises(ConfigurationError, match="used by another device"):
            await enrol(server.address, token, "b", tmp_path / "b.json")
        with pytest.raises(ConfigurationError, match=r"enrolled with another key.*choose another name"):
            await enrol(server.address, desk.issue(), "a", tmp_path / "false.json")
        assert set(server.agents) == {"a"}

    with_desk(tmp_path, body)


def test_of_devices_that_come_at_once_with_one_token_one_is_let_in(tmp_path: Path) -> None:
    async def body(server: NatsServer, desk: EnrolmentDesk, clock: ManualClock) -> None:
        token = desk.issue()
        names = [f"d{number}" for number in range(5)]
        asked = (enrol(server.address, token, name, tmp_path / f"{name}.json") for name in names)
        found = await asyncio.gather(*asked, return_exceptions=True)
        refused = [error for error in found if isinstance(error, ConfigurationError)]
        assert len(refused) == 4
        assert all("used by another device" in error.message for error in refused)
        assert len(desk.signing_keys) == 1

    with_desk(tmp_path, body)


def test_a_device_that_asks_twice_at_once_is_let_in_once(tmp_path: Path) -> None:
    async def body(server: NatsServer, desk: EnrolmentDesk, clock: ManualClock) -> None:
        token, other = desk.issue(), desk.issue()
        asked = (
            enrol(server.address, each, "d", tmp_path / f"{number}.json")
            for number, each in enumerate((token, other))
        )
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(isinstance(each, Identity) for each in found) == 1
        assert sum(isinstance(each, ConfigurationError) for each in found) == 1

    with_desk(tmp_path, body)


def test_a_token_expires_and_a_wrong_one_opens_nothing(tmp_path: Path) -> None:
    async def body(server: NatsServer, desk: EnrolmentDesk, clock: ManualClock) -> None:
        token = desk.issue(valid_s=60)
        clock.advance(61)
        with pytest.raises(ConfigurationError, match="expired"):
            await enrol(server.address, token, "a", tmp_path / "a.json")
        with pytest.raises(ConfigurationError, match="does not answer"):
            await enrol(server.address, token + "x", "b", tmp_path / "b.json")
        with pytest.raises(ConfigurationError, match="not an enrolment token"):
            await enrol(server.address, "nonsense", "c", tmp_path / "c.json")
        with pytest.raises(ConfigurationError, match="reserved"):
            await enrol(server.address, desk.issue(), "control", tmp_path / "d.json")
        assert not server.agents

    with_desk(tmp_path, body)


def test_the_desk_says_nothing_to_garbage(tmp_path: Path) -> None:
    async def body(server: NatsServer, desk: EnrolmentDesk, clock: ManualClock) -> None:
        for data in (b"", b"\x00", os.urandom(200), b"\x82\x40\x40"):
            assert await desk.answer(data) == b""

    with_desk(tmp_path, body)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"tokens": 1, "signing": {}}', "[" * 100_000])
def test_a_broken_list_of_tokens_is_named(tmp_path: Path, text: str) -> None:
    server = NatsServer(tmp_path, "test")
    server.folder.mkdir()
    (server.folder / "enrolment.json").write_text(text)
    with pytest.raises(ConfigurationError, match="does not hold tokens and devices") as caught:
        EnrolmentDesk(server, KEYS)
    assert caught.value.code == "C0507"


def test_an_identity_file_that_is_broken_or_another_agents_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "identity.json"
    path.write_text("{")
    with pytest.raises(ConfigurationError, match="not a device's identity"):
        Identity.load(path)
    Identity.make("a", "nats://127.0.0.1:1").save(path)
    with pytest.raises(ConfigurationError, match="belongs to agent `a`"):
        asyncio.run(enrol("nats://127.0.0.1:1", "f.d.s", "b", path))
