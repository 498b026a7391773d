"""The embedded server: who may do what, what survives, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ripstop.core.errors import ConfigurationError
from ripstop.core.node import Event, Message, Send
from ripstop.core.subjects import Subjects
from ripstop.links.departures import Departures, _user_of
from ripstop.links.nats import LinkSettings, Login, NatsLink
from ripstop.links.nkey import new_seed, public_key
from ripstop.links.server import NatsServer

if TYPE_CHECKING:
    NatsHarness = Any

pytestmark = pytest.mark.nats
NAMES = Subjects("test")
SEED = new_seed(b"a" * 32)
QUICK = LinkSettings(retry_s=0.02, retry_max_s=0.2)


def serve(folder: Path, body: Callable[[NatsServer], Awaitable[None]], **options: Any) -> None:
    async def run() -> None:
        server = NatsServer(folder, "test", **options)
        await server.start()
        try:
            await body(server)
        finally:
            await server.stop()
            assert not server.is_running

    asyncio.run(run())


async def connect(server: NatsServer, login: Login, *subjects: str) -> tuple[NatsLink, asyncio.Queue[Event]]:
    events: asyncio.Queue[Event] = asyncio.Queue()
    link = NatsLink(server.address, login, QUICK)
    link.start(subjects, events.put_nowait)
    await link.connected()
    return link, events


async def next_message(events: asyncio.Queue[Event]) -> Message:
    async with asyncio.timeout(5):
        while True:
            event = await events.get()
            if isinstance(event, Message):
                return event


# ---- who may do what ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "subject",
    [
        NAMES.of("beat", "a1"),
        NAMES.peer("a1", "a2"),
        NAMES.tick,
        NAMES.intent("fleet"),
        NAMES.bundle,
        NAMES.of("receipt", "a0"),
        "$KV.ripstop.test.epoch",
        "$JS.API.STREAM.DELETE.KV_ripstop",
        "ripstop.other.beat.a0",
        "ripstop.test.enrol",
    ],
)
def test_an_agent_may_not_speak_for_others(nats_harness: NatsHarness, subject: str) -> None:
    control = nats_harness.join("control", ">")
    nats_harness.join("a0")
    refused: list[str] = []
    link: NatsLink = nats_harness.drivers["a0"].link

    def on_refusal(what: str) -> None:
        refused.append(what)
        nats_harness.changed.set()

    link.on_refusal = on_refusal
    nats_harness.perform("a0", (Send(subject, b"forged"), Send(NAMES.of("beat", "a0"), b"own")))
    nats_harness.until(lambda: bool(control.data()) and bool(refused))
    assert control.data() == [b"own"]
    assert refused == [subject.lower()]
    assert link.is_connected


def test_an_agent_may_not_listen_to_what_is_meant_for_others(nats_harness: NatsHarness) -> None:
    forbidden = ("peer.a1.*", "beat.*", "intent.agent-a1", "receipt.a1", ">")
    node = nats_harness.join("a0", "tick", *forbidden)
    nats_harness.join("a1")
    nats_harness.join("control")
    for subject in (NAMES.intent("agent-a1"), NAMES.of("receipt", "a1")):
        nats_harness.perform("control", (Send(subject, b"secret"),))
    nats_harness.perform("a1", (Send(NAMES.of("beat", "a1"), b"secret"), Send(NAMES.peer("a1", "a1"), b"x")))
    nats_harness.perform("control", (Send(NAMES.tick, b"end"),))
    nats_harness.until(lambda: b"end" in node.data())
    assert node.data() == [b"end"]


def test_the_observer_hears_everything_and_can_say_nothing(tmp_path: Path) -> None:
    async def body(server: NatsServer) -> None:
        observer, heard = await connect(server, server.login("observer"), "ripstop.test.>")
        control, commands = await connect(server, server.login("control"), "ripstop.test.>")
        observer.send(NAMES.tick, b"forged")
        observer.send(NAMES.of("beat", "a0"), b"forged")
        async with asyncio.timeout(5):
            refused = asyncio.Event()
            observer.on_refusal = lambda subject: refused.set()
            observer.send(NAMES.tick, b"forged")
            await refused.wait()
        control.send(NAMES.tick, b"true")
        assert (await next_message(heard)).data == b"true"
        assert commands.qsize() == 1, "nothing but its own connection"
        await observer.close()
        await control.close()

    serve(tmp_path, body)


@pytest.mark.parametrize(
    "login",
    [
        Login("a0", seed=new_seed(b"x" * 32)),
        Login("observer", user="observer", password="guess"),
        Login("nobody"),
    ],
)
def test_who_is_not_known_does_not_get_in(tmp_path: Path, login: Login) -> None:
    async def body(server: NatsServer) -> None:
        link = NatsLink(server.address, login, QUICK)
        link.start((), lambda event: None)
        with pytest.raises(ConfigurationError, match="Authorization Violation") as caught:
            await link.connected(timeout_s=1.0)
        assert caught.value.code == "C0501"
        await link.close()

    serve(tmp_path, body, agents={"a0": public_key(SEED)})


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    async def run() -> None:
        link = NatsLink("nats://127.0.0.1:9", Login("a0", seed=SEED), QUICK)
        link.start((), lambda event: None)
        with pytest.raises(ConfigurationError, match=r"no connection to `nats://127\.0\.0\.1:9` as `a0`"):
            await link.connected(timeout_s=0.3)
        await link.close()

    asyncio.run(run())


def test_agents_come_and_go_while_the_others_stay_connected(tmp_path: Path) -> None:
    async def body(server: NatsServer) -> None:
        control, heard = await connect(server, server.login("control"), NAMES.every("beat"))
        await server.add_agents({"a0": public_key(SEED)})
        agent, _ = await connect(server, Login("a0", seed=SEED))
        agent.send(NAMES.of("beat", "a0"), b"here")
        assert (await next_message(heard)).data == b"here"
        await server.remove_agent("a0")
        with pytest.raises(ConfigurationError, match="Authorization Violation"):
            while True:  # the removal closes the connection; a link that is down waits and is refused
                await agent.connected(timeout_s=0.5)
                await asyncio.sleep(0)
        assert heard.empty()
        await agent.close()
        await control.close()

    serve(tmp_path, body)


@pytest.mark.parametrize(
    ("agent", "key", "code"),
    [
        ("a.b", public_key(SEED), "C0101"),
        ("control", public_key(SEED), "C0504"),
        ("a0", "nonsense", "C0505"),
        ("a0", SEED, "C0505"),
    ],
)
def test_an_agent_with_a_bad_id_or_key_is_refused(tmp_path: Path, agent: str, key: str, code: str) -> None:
    async def run() -> None:
        with pytest.raises(ConfigurationError) as caught:
            await NatsServer(tmp_path, "test", agents={agent: key}).start()
        assert caught.value.code == code

    asyncio.run(run())


# ---- life ---------------------------------------------------------------------------------------------


def test_a_restart_has_the_same_port_keys_agents_and_records(tmp_path: Path) -> None:
    seen: list[tuple[str, Login, dict[str, str]]] = []

    async def first(server: NatsServer) -> None:
        link, _ = await connect(server, server.login("control"))
        await link.provision()
        assert await link.store("test.epoch", b"7", 0) > 0
        await link.close()
        seen.append((server.address, server.login("control"), dict(server.agents)))

    async def second(server: NatsServer) -> None:
        link, _ = await connect(server, server.login("control"))
        await link.provision()
        assert (await link.fetch("test.epoch"))[0] == b"7"
        await link.close()
        seen.append((server.address, server.login("control"), dict(server.agents)))

    serve(tmp_path, first, agents={"a0": public_key(SEED)})
    serve(tmp_path, second)
    assert seen[0] == seen[1]


def test_a_second_control_plane_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    async def body(server: NatsServer) -> None:
        with pytest.raises(ConfigurationError, match="in use by another control plane") as caught:
            await NatsServer(tmp_path, "test").start()
        assert caught.value.code == "C0502"
        assert server.is_running

    serve(tmp_path, body)


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        async def run() -> None:
            with pytest.raises(ConfigurationError, match=f"does not start on port {port}") as caught:
                await NatsServer(tmp_path, "test", port=port).start()
            assert caught.value.code == "C0503"
            # And nothing holds the folder afterwards.
            server = NatsServer(tmp_path, "test")
            await server.start()
            await server.stop()

        asyncio.run(run())


def test_secrets_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    async def body(server: NatsServer) -> None:
        for name in ("secrets.json", "server.json", "agents.json"):
            assert (server.folder / name).stat().st_mode & 0o077 == 0

    serve(tmp_path, body)


@pytest.mark.parametrize("text", ['{"a0": ', "", "[]", "null", "[" * 100_000])
def test_a_broken_file_in_the_folder_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "nats").mkdir()
    (tmp_path / "nats" / "agents.json").write_text(text)

    async def run() -> None:
        with pytest.raises(ConfigurationError, match=r"agents\.json` is not a JSON object"):
            await NatsServer(tmp_path, "test").start()

    asyncio.run(run())


def test_only_the_loopback_is_listened_on(tmp_path: Path) -> None:
    async def body(server: NatsServer) -> None:
        port = int(server.address.rsplit(":", 1)[1])
        own = f"0100007F:{port:04X}"
        table = await asyncio.to_thread(Path("/proc/net/tcp").read_text)
        listening = [line.split()[1] for line in table.splitlines() if " 0A " in line]
        assert own in listening
        assert f"00000000:{port:04X}" not in listening

    serve(tmp_path, body)


def test_the_mqtt_listener_opens_on_request(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    async def body(server: NatsServer) -> None:
        password = server.login("observer").password.encode()
        # MQTT 3.1.1, CONNECT with user name and password, section 3.1.
        fields = (b"MQTT", b"", b"probe", b"observer", password)
        name, _, client, user, word = (len(field).to_bytes(2, "big") + field for field in fields)
        rest = name + b"\x04\xc2\x00\x0a" + client + user + word
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\x10" + bytes([len(rest)]) + rest)
        async with asyncio.timeout(5):
            assert (await reader.readexactly(4)).hex() == "20020000"  # CONNACK, accepted
        writer.close()
        await writer.wait_closed()

    serve(tmp_path, body, mqtt_port=port)


def test_the_server_says_whose_connection_has_ended(tmp_path: Path) -> None:
    async def body(server: NatsServer) -> None:
        gone: asyncio.Queue[str] = asyncio.Queue()
        departures = Departures(server, gone.put_nowait)
        await departures.start()
        agent, _ = await connect(server, Login("a0", seed=SEED))
        observer, _ = await connect(server, server.login("observer"))
        await observer.close()  # of no agent: not told
        await agent.close()
        async with asyncio.timeout(5):
            assert await gone.get() == "a0"
        assert gone.empty()
        await departures.close()

    serve(tmp_path, body, agents={"a0": public_key(SEED)})


def test_what_is_no_advisory_names_nobody() -> None:
    for data in (b"", b"{", b"[]", b'{"client": 3}', b'{"client": {"user": 3}}', b"\xff"):
        assert _user_of(data) == ""


def test_the_server_ends_with_its_owner_even_if_that_is_killed(tmp_path: Path) -> None:
    script = (
        "import asyncio,sys,pathlib\n"
        "from ripstop.links.server import NatsServer\n"
        "async def main():\n"
        "    server = NatsServer(pathlib.Path(sys.argv[1]), 'test')\n"
        "    await server.start()\n"
        "    print(server._process.pid, flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    with owner.stdout:
        pid = int(owner.stdout.readline())
    handle = os.pidfd_open(pid)
    try:
        owner.send_signal(signal.SIGKILL)
        owner.wait(timeout=5)
        ended, _, _ = select.select([handle], [], [], 5)
        assert ended, "the server outlived its owner"
    finally:
        os.close(handle)
