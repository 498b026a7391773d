"""A NATS server that asks for TLS: a link that trusts it joins, one that does not says why it cannot."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ripstop.core.errors import ConfigurationError
from ripstop.links.connection import LinkSettings, Login
from ripstop.links.nats import NatsLink
from ripstop.links.server import server_binary


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


@asynccontextmanager
async def tls_server(config: Path) -> AsyncIterator[str]:
    """Run a server from its configuration; gives its address and stops it whatever happens."""
    process = await asyncio.create_subprocess_exec(
        str(server_binary()), "-c", str(config), stderr=asyncio.subprocess.PIPE
    )
    try:
        assert process.stderr is not None
        port = 0
        async for line in process.stderr:
            if b"Listening for client connections" in line:
                port = int(line.rsplit(b":", 1)[1])
            if b"Server is ready" in line:
                break
        yield f"nats://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.communicate()


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
    login = Login("u", user="u", password="p")

    async def run() -> None:
        async with tls_server(config) as address:
            trusting = ssl.create_default_context(cafile=str(cert))
            link = NatsLink(address, login, LinkSettings(tls=trusting))
            link.start((), lambda event: None)
            await link.connected()
            await link.close()
            stranger = NatsLink(address, login)
            stranger.start((), lambda event: None)
            with pytest.raises(ConfigurationError, match="certificate"):
                await stranger.connected(timeout_s=3.0)
            await stranger.close()

    asyncio.run(run())
