"""The client's side of the NATS protocol: any cut of the bytes, clients by others, TLS."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import json
import ssl
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import nats
import nkeys
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from ripstop.core.errors import ConfigurationError, WireError
from ripstop.links.connection import Connection, Login
from ripstop.links.nats import LinkSettings, NatsLink
from ripstop.links.nkey import is_public_key, new_seed, public_key, sign
from ripstop.links.server import NatsServer, server_binary

Heard = list[tuple[int, str, str, bytes]]


class Line(asyncio.Transport):
    """A transport whose other end is the test."""

    def __init__(self, protocol: Connection) -> None:
        super().__init__()
        self.written = b""
        self.protocol = protocol

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        self.protocol.connection_lost(None)


def on_line(body: Callable[[Connection, Line, Heard], Any]) -> Any:
    async def run() -> Any:
        heard: Heard = []
        connection = Connection(Login("a0"), lambda *message: heard.append(message), lambda subject: None)
        line = Line(connection)
        connection.connection_made(line)
        result = body(connection, line, heard)
        if asyncio.iscoroutine(result):
            result = await result
        await asyncio.sleep(0)
        return result

    return asyncio.run(run())


STREAM = (
    b'INFO {"server_name":"x","nonce":"y"}\r\n'
    b"MSG a.b 2 5\r\nhello\r\n"
    b"+OK\r\n"
    b"MSG a.c 3 re.ply 2\r\n\r\n\r\n"
    b"PING\r\n"
    b"HMSG a.d 2 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"
    b"HMSG a.d 2 re.ply 12 12\r\nNATS/1.0\r\n\r\n\r\n"
    b"MSG a.b 2 0\r\n\r\n"
)
EXPECTED = [
    (2, "a.b", "", b"hello"),
    (3, "a.c", "re.ply", b"\r\n"),
    (2, "a.d", "", b"hi"),
    (2, "a.d", "re.ply", b""),
    (2, "a.b", "", b""),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_messages_are_the_same_however_the_stream_is_cut(cuts: list[int]) -> None:
    def body(connection: Connection, line: Line, heard: Heard) -> Heard:
        edges = [0, *sorted(cuts), len(STREAM)]
        for start, end in pairwise(edges):
            connection.data_received(STREAM[start:end])
        return heard

    assert on_line(body) == EXPECTED


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b"MSG a.b 2 x\r\n",
        b"MSG a.b\r\n",
        b"MSG a.b 2 -5\r\n",
        b"MSG a.b 2 99999999999\r\n",
        b"MSG a.b \xff 3\r\nabc\r\n",
        b"INFO {\r\n",
        b"x" * 70_000,
    ],
)
def test_what_is_not_the_protocol_ends_the_connection_with_a_reason(data: bytes) -> None:
    async def body(connection: Connection, line: Line, heard: Heard) -> str:
        connection.data_received(data)
        return await connection.lost

    assert on_line(body).startswith("not the NATS protocol")


@given(st.binary(max_size=100))
def test_hostile_bytes_raise_nothing(data: bytes) -> None:
    on_line(lambda connection, line, heard: connection.data_received(b"MSG a 2 3\r\nabc\r\n" + data))


def test_what_is_published_in_one_turn_leaves_in_one_write_and_in_order() -> None:
    async def body(connection: Connection, line: Line, heard: Heard) -> bytes:
        connection.publish("a.b", b"1")
        connection.publish("a.c", b"22", "re.ply")
        connection.publish("a.d", b"3", headers=b"NATS/1.0\r\n\r\n")
        assert line.written == b""
        await asyncio.sleep(0)
        return line.written

    assert on_line(body) == (
        b"PUB a.b 1\r\n1\r\nPUB a.c re.ply 2\r\n22\r\nHPUB a.d 12 13\r\nNATS/1.0\r\n\r\n3\r\n"
    )


def test_a_clogged_line_or_too_large_a_message_drops_and_counts() -> None:
    def body(connection: Connection, line: Line, heard: Heard) -> list[bool]:
        connection.pause_writing()
        sent = [connection.publish("a", b"late")]
        connection.resume_writing()
        connection.max_payload = 3
        sent += [connection.publish("a", b"four"), connection.publish("a", b"two")]
        assert connection.dropped == 2
        return sent

    assert on_line(body) == [False, False, True]


def test_a_server_that_stops_answering_pings_is_left() -> None:
    async def body(connection: Connection, line: Line, heard: Heard) -> str:
        connection._ping(0.0)
        async with asyncio.timeout(5):
            return await connection.lost

    assert on_line(body) == "the server does not answer"


def test_a_pong_to_a_ping_of_the_watch_does_not_stand_for_a_round_trip() -> None:
    async def body(connection: Connection, line: Line, heard: Heard) -> None:
        connection._ping(60.0)
        trip = asyncio.ensure_future(connection.round_trip())
        await asyncio.sleep(0)
        connection.data_received(b"PONG\r\n")
        await asyncio.sleep(0)
        assert not trip.done()
        connection.data_received(b"PONG\r\n")
        await trip
        connection.abort()

    on_line(body)


def test_questions_under_way_end_with_the_connection() -> None:
    async def body(connection: Connection, line: Line, heard: Heard) -> None:
        asking = asyncio.ensure_future(connection.request("a", b"", 60.0))
        await asyncio.sleep(0)
        connection.connection_lost(ConnectionResetError("reset"))
        with pytest.raises(WireError, match="reset"):
            await asking

    on_line(body)


# ---- nkeys --------------------------------------------------------------------------------------------


@given(st.binary(min_size=32, max_size=32))
def test_keys_and_signatures_are_those_of_the_nkeys_package(entropy: bytes) -> None:
    seed = new_seed(entropy)
    theirs = nkeys.from_seed(nkeys.encode_seed(entropy, nkeys.PREFIX_BYTE_USER))
    assert seed == theirs.seed.decode()
    assert public_key(seed) == theirs.public_key.decode()
    key, signature = sign(seed, b"nonce")
    assert key == public_key(seed)
    assert nkeys.base64.b64decode(signature) == theirs.sign(b"nonce")


@given(st.integers(0, 55), st.characters(whitelist_categories=("Lu", "Nd"), max_codepoint=90))
def test_a_mistyped_public_key_is_noticed(at: int, letter: str) -> None:
    key = public_key(new_seed(b"k" * 32))
    mistyped = key[:at] + letter + key[at + 1 :]
    assert is_public_key(key)
    assert is_public_key(mistyped) is (mistyped == key)


@pytest.mark.parametrize("text", ["", "SU", "nonsense", "S" * 58, public_key(new_seed(b"k" * 32))])
def test_what_is_not_a_users_seed_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="not the seed"):
        public_key(text)


# ---- clients and servers by others --------------------------------------------------------------------


@pytest.mark.nats
def test_a_client_by_others_talks_with_ours(tmp_path: Path) -> None:
    async def run() -> None:
        seed = new_seed()
        server = NatsServer(tmp_path, "test", agents={"a0": public_key(seed)})
        await server.start()
        heard: asyncio.Queue[Any] = asyncio.Queue()
        link = NatsLink(server.address, server.login("control"))
        link.start(("ripstop.test.beat.*",), heard.put_nowait)
        await link.connected()
        await heard.get()
        theirs = await nats.connect(server.address, nkeys_seed_str=seed, inbox_prefix="_INBOX.a0")
        ticks = await theirs.subscribe("ripstop.test.tick")
        await theirs.flush()
        await theirs.publish("ripstop.test.beat.a0", b"beat", headers={"Any": "header"})
        async with asyncio.timeout(5):
            assert (await heard.get()).data == b"beat"
        observer = await nats.connect(server.observer_url)
        everything = await observer.subscribe(">")
        await observer.flush()
        link.send("ripstop.test.tick", b"tick")
        assert (await everything.next_msg(timeout=5)).subject == "ripstop.test.tick"
        await observer.close()
        assert (await ticks.next_msg(timeout=5)).data == b"tick"
        await theirs.close()
        await link.close()
        await server.stop()

    asyncio.run(run())


def certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1 that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return paths


@pytest.mark.nats
def test_a_server_that_asks_for_tls_gets_it_and_one_that_is_not_trusted_nothing(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    config = tmp_path / "tls.json"
    config.write_text(
        json.dumps(
            {
                "host": "127.0.0.1",
                "port": -1,
                "tls": {"cert_file": str(cert), "key_file": str(key)},
                "authorization": {"users": [{"user": "u", "password": "p"}]},
            }
        )
    )

    async def run() -> None:
        process = await asyncio.create_subprocess_exec(
            str(server_binary()), "-c", str(config), stderr=asyncio.subprocess.PIPE
        )
        assert process.stderr is not None
        port = 0
        async for line in process.stderr:
            if b"Listening for client connections" in line:
                port = int(line.rsplit(b":", 1)[1])
            if b"Server is ready" in line:
                break
        login = Login("u", user="u", password="p")
        address = f"nats://127.0.0.1:{port}"
        trusting = ssl.create_default_context(cafile=str(cert))
        link = NatsLink(address, login, LinkSettings(tls=trusting))
        link.start((), lambda event: None)
        await link.connected()
        await link.close()
        stranger = NatsLink(address, login)
        stranger.start((), lambda event: None)
        with pytest.raises(ConfigurationError, match="certificate"):
            await stranger.connected(timeout_s=0.5)
        await stranger.close()
        process.terminate()
        await process.communicate()

    asyncio.run(run())
