"""NATS through nats-py: breaks, stalls and refusals of every kind, clients by others, keys."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripstop.core.errors import ConfigurationError
from ripstop.core.node import Connected, Disconnected, Event, Message
from ripstop.core.subjects import Subjects
from ripstop.core.wire.envelope import Ed25519Signer, Role
from ripstop.links.connection import LinkSettings, Login
from ripstop.links.errors import LinkDownError
from ripstop.links.nats import NatsLink
from ripstop.links.nkey import is_public_key, new_seed, public_key
from ripstop.links.server import NatsServer

NAMES = Subjects("test")
SEED = new_seed(b"a" * 32)
QUICK = LinkSettings(ping_s=0.1, retry_s=0.02, retry_max_s=0.1)


class Ear:
    """Keeps the events of a link and wakes whoever waits for them."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.changed = asyncio.Event()

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        self.changed.set()

    def data(self) -> list[bytes]:
        return [event.data for event in self.events if isinstance(event, Message)]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


@asynccontextmanager
async def joined(server: NatsServer, login: Login, *subjects: str, settings: LinkSettings = QUICK) -> Any:
    link, ear = NatsLink(server.address, login, settings), Ear()
    link.start(subjects, ear)
    await link.connected()
    yield link, ear
    await link.close()


def on_server(folder: Path, body: Callable[[NatsServer], Awaitable[None]]) -> None:
    async def run() -> None:
        server = NatsServer(folder, "test", agents={"a0": public_key(SEED)})
        await server.start()
        try:
            await body(server)
        finally:
            await server.stop()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"tasks left behind: {left}"

    asyncio.run(run())


# ---- breaks and stalls --------------------------------------------------------------------------------


@pytest.mark.nats
def test_a_line_that_breaks_while_it_is_being_closed_leaves_nothing_behind(tmp_path: Path) -> None:
    async def body(server: NatsServer) -> None:
        complaints: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
        async with joined(server, server.login("control"), "ripstop.test.>") as (link, ear):
            client = link._connection._client

            async def broken() -> None:
                raise ConnectionResetError(104, "Connection reset by peer")

            client._transport.drain = broken
            client._pending, client._pending_data_size = [b"PING\r\n"], 6
            server.kill()
            await ear.until(lambda: ear.events == [Connected(), Disconnected(), Connected()])
        del client
        gc.collect()
        assert complaints == []

    on_server(tmp_path, body)


@pytest.mark.nats
def test_a_server_that_stalls_is_left_and_found_again(tmp_path: Path) -> None:
    async def body(server: NatsServer) -> None:
        assert server._process is not None
        async with joined(server, server.login("control")) as (link, ear):
            server._process.send_signal(signal.SIGSTOP)
            await ear.until(lambda: ear.events == [Connected(), Disconnected()])
            assert link.last_error == "stale connection"
            server._process.send_signal(signal.SIGCONT)
            await ear.until(lambda: ear.events == [Connected(), Disconnected(), Connected()])

    on_server(tmp_path, body)


@pytest.mark.nats
@pytest.mark.skipif(
    (3, 12) <= sys.version_info < (3, 12, 9) or (3, 13) <= sys.version_info < (3, 13, 2),
    reason="asyncio's own loop takes any amount here (CVE-2024-12254); uvloop does not",
)
def test_what_a_stalled_server_does_not_read_is_dropped_and_the_link_comes_back(tmp_path: Path) -> None:
    # 48 MB: more than the kernel and the client take together.
    async def body(server: NatsServer) -> None:
        assert server._process is not None
        async with (
            joined(server, server.login("control")) as (link, ear),
            joined(server, Login("a0", seed=SEED), NAMES.tick) as (_, other),
        ):
            server._process.send_signal(signal.SIGSTOP)
            for _ in range(48):
                link.send(NAMES.bundle, bytes(1 << 20))
                await asyncio.sleep(0)
            await ear.until(lambda: isinstance(ear.events[-1], Disconnected))
            assert link.dropped > 10
            server._process.send_signal(signal.SIGCONT)
            await ear.until(lambda: isinstance(ear.events[-1], Connected))
            await other.until(lambda: isinstance(other.events[-1], Connected))
            link.send(NAMES.tick, b"fresh")
            await other.until(lambda: other.data() == [b"fresh"])

    on_server(tmp_path, body)


@pytest.mark.nats
def test_a_question_ends_with_the_connection_and_not_with_its_patience(tmp_path: Path) -> None:
    patient = LinkSettings(answer_s=60.0, retry_s=0.02)

    async def body(server: NatsServer) -> None:
        async def never(data: bytes) -> bytes:
            server.kill()
            return await asyncio.Event().wait() and b""

        ground = NatsLink(server.address, server.login("control"), QUICK)
        ground.serve("ripstop.test.enrol", never)
        ground.start((), Ear())
        await ground.connected()
        door = server.login("enrol")
        async with joined(server, door, settings=patient) as (link, _):
            async with asyncio.timeout(5):
                with pytest.raises(LinkDownError) as caught:
                    await link.request("ripstop.test.enrol", b"let me in")
            assert caught.value.code == "W0801"
        for task in ground._answering:
            task.cancel()
        await ground.close()

    on_server(tmp_path, body)


@pytest.mark.nats
def test_a_question_that_nobody_answers_is_told_from_a_lost_connection(tmp_path: Path) -> None:
    async def body(server: NatsServer) -> None:
        async with joined(server, server.login("enrol")) as (link, _):
            with pytest.raises(LinkDownError, match=r"no answer on `ripstop\.test\.enrol`") as caught:
                await link.request("ripstop.test.enrol", b"anybody")
            assert caught.value.code == "W0802"
            assert link.is_connected
        with pytest.raises(LinkDownError, match="not connected"):
            await link.request("ripstop.test.enrol", b"anybody")

    on_server(tmp_path, body)


@pytest.mark.nats
def test_a_message_too_large_or_without_a_subject_is_dropped_and_the_others_go_in_order(
    tmp_path: Path,
) -> None:
    async def body(server: NatsServer) -> None:
        async with (
            joined(server, Login("a0", seed=SEED), NAMES.tick) as (_, ear),
            joined(server, server.login("control")) as (link, _),
        ):
            link.send(NAMES.tick, b"1")
            link.send(NAMES.tick, bytes(5 << 20))
            link.send("a b", b"")
            link.send(NAMES.tick, b"2")
            await ear.until(lambda: len(ear.data()) == 2)
            assert ear.data() == [b"1", b"2"]
            assert link._connection.dropped == 2

    on_server(tmp_path, body)


@pytest.mark.nats
def test_a_listener_that_raises_hears_the_next_message(tmp_path: Path) -> None:
    async def body(server: NatsServer) -> None:
        ear = Ear()

        def on_event(event: Event) -> None:
            ear(event)
            if isinstance(event, Message) and event.data == b"bad":
                raise ZeroDivisionError("in the application")

        link = NatsLink(server.address, Login("a0", seed=SEED), QUICK)
        link.start((NAMES.tick,), on_event)
        await link.connected()
        async with joined(server, server.login("control")) as (ground, _):
            for data in (b"bad", b"good"):
                ground.send(NAMES.tick, data)
            await ear.until(lambda: ear.data() == [b"bad", b"good"])
        assert link.is_connected
        await link.close()

    on_server(tmp_path, body)


@pytest.mark.nats
def test_messages_come_between_connected_and_disconnected_only(tmp_path: Path) -> None:
    async def body(server: NatsServer) -> None:
        stop = asyncio.Event()
        async with (
            joined(server, server.login("control")) as (ground, _),
            joined(server, Login("a0", seed=SEED), NAMES.tick) as (_, ear),
        ):

            async def talk() -> None:
                while not stop.is_set():
                    ground.send(NAMES.tick, b"tick")
                    await asyncio.sleep(0)

            talking = asyncio.create_task(talk())
            for lives in (1, 2, 3):
                await ear.until(lambda lives=lives: ear.events.count(Connected()) == lives)  # type: ignore[misc]
                heard = len(ear.data())
                await ear.until(lambda heard=heard: len(ear.data()) > heard + 10)  # type: ignore[misc]
                server.kill()
            stop.set()
            await talking
            await ear.until(lambda: isinstance(ear.events[-1], Disconnected))
        is_up = False
        for event in ear.events:
            if isinstance(event, Message):
                assert is_up
            else:
                is_up = isinstance(event, Connected)

    on_server(tmp_path, body)


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # of lines that nats-py forgets: see below
@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"INFO {\r\n",
        b"INFO {}\r\n",
        b"INFO {}\r\nPONG\r\nMSG a.b x 5\r\nhello\r\nPONG\r\nPONG\r\n",
        b'INFO {"headers":true}\r\nPONG\r\nMSG a \xff 3\r\nabc\r\n',
        b"x" * 70_000,
    ],
)
def test_what_is_not_a_nats_server_keeps_nobody_and_ends_cleanly(first: bytes) -> None:
    async def run() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(first)
            try:
                await reader.read()
            finally:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        settings = LinkSettings(ping_s=0.05, connect_s=0.2, retry_s=0.01, retry_max_s=0.02)
        link, ear = NatsLink(f"nats://127.0.0.1:{port}", Login("a0", seed=SEED), settings), Ear()
        link.start((NAMES.tick,), ear)
        with pytest.raises(ConfigurationError, match="no connection"):
            await link.connected(timeout_s=0.5)
        await link.close()
        gc.collect()  # nats-py forgets a line of which nothing came before it tries again; this closes it
        server.close()
        await server.wait_closed()
        assert not ear.events

    asyncio.run(run())


@pytest.mark.nats
def test_closing_ends_a_link_whose_cancellation_got_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        link = NatsLink("nats://127.0.0.1:1", Login("a0", seed=SEED), QUICK)
        begun, lost = asyncio.Event(), []

        async def connect(*_: object, **__: object) -> None:
            begun.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if lost:
                    raise
                lost.append(True)

        monkeypatch.setattr("nats.aio.client.Client.connect", connect)
        link.start([], Ear())
        await begun.wait()
        async with asyncio.timeout(10):
            await link.close()
        assert lost
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())


def test_a_cluster_is_tried_address_by_address(tmp_path: Path) -> None:
    async def body(server: NatsServer) -> None:
        link = NatsLink(f"nats://127.0.0.1:9, {server.address}", Login("a0", seed=SEED), QUICK)
        link.start((), Ear())
        await link.connected()
        await link.close()

    on_server(tmp_path, body)


@pytest.mark.parametrize(
    ("package", "use"), [("nats.aio.client", lambda: NatsLink("", Login("a"))), ("nkeys", new_seed)]
)
def test_a_package_that_is_missing_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, package: str, use: Callable[[], object]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigurationError, match=r"ripstop\[nats\]") as caught:
        use()
    assert caught.value.code == "C0001"


# ---- nkeys --------------------------------------------------------------------------------------------


@given(st.binary(min_size=32, max_size=32))
def test_a_public_key_holds_the_ed25519_key_of_its_seed(entropy: bytes) -> None:
    key = public_key(new_seed(entropy))
    assert is_public_key(key)
    assert base64.b32decode(key)[1:33] == Ed25519Signer(entropy, Role.AGENT).public


def test_seeds_are_made_anew() -> None:
    assert new_seed() != new_seed()


@given(st.integers(0, 55), st.characters(whitelist_categories=("Lu", "Nd"), max_codepoint=90))
def test_a_mistyped_public_key_is_noticed(at: int, letter: str) -> None:
    key = public_key(new_seed(b"k" * 32))
    mistyped = key[:at] + letter + key[at + 1 :]
    assert is_public_key(key)
    assert is_public_key(mistyped) is (mistyped == key)


ACCOUNT_SEED = "SAANDLKMXL6CUS3CP52WIXBEDN6YJ545GDKC65U5JZPPV6WH6ESWUA6YAI"


@pytest.mark.parametrize(
    "text", ["", "SU", "nonsense", "ü", "S" * 58, public_key(new_seed(b"k" * 32)), ACCOUNT_SEED, SEED[:-8]]
)
def test_what_is_not_a_users_seed_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="not the seed"):
        public_key(text)


@pytest.mark.parametrize("text", ["", "U", "ü", SEED, "A" * 56, "U" * 56])
def test_what_is_not_a_users_public_key_is_told(text: str) -> None:
    assert not is_public_key(text)


# ---- clients and servers by others --------------------------------------------------------------------


@pytest.mark.nats
def test_a_client_by_others_talks_with_ours(tmp_path: Path) -> None:
    async def body(server: NatsServer) -> None:
        async with joined(server, server.login("control"), NAMES.every("beat")) as (link, ear):
            theirs = await nats.connect(server.address, nkeys_seed_str=SEED, inbox_prefix="_INBOX.a0")
            ticks = await theirs.subscribe(NAMES.tick)
            await theirs.flush()
            await theirs.publish(NAMES.of("beat", "a0"), b"beat", headers={"Any": "header"})
            await ear.until(lambda: ear.data() == [b"beat"])
            observer = await nats.connect(server.observer_url)
            everything = await observer.subscribe(">")
            await observer.flush()
            for _ in range(10):  # at most once: on a machine that stalls the link may be down just then
                link.send(NAMES.tick, b"tick")
                with contextlib.suppress(nats.errors.TimeoutError):
                    assert (await everything.next_msg(timeout=2)).subject == NAMES.tick
                    break
            assert (await ticks.next_msg(timeout=5)).data == b"tick"
            await observer.close()
            await theirs.close()

    on_server(tmp_path, body)
