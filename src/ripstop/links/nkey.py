"""NATS's user keys (nkeys): Ed25519 keys in a base32 dress, made here and never sent.

References:
    NATS ADR-14; github.com/nats-io/nkeys: two prefix bytes (kind and role), the key, CRC-16/XMODEM in
    little-endian, all in base32 without padding.
"""

from __future__ import annotations

import base64
import binascii
import os

from ..core.errors import ConfigurationError
from ..core.wire.envelope import Ed25519Signer, Role

_SEED, _USER = 18 << 3, 20 << 3


def _dress(raw: bytes) -> str:
    checked = raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")
    return base64.b32encode(checked).decode().rstrip("=")


def _undress(text: str) -> bytes:
    """Give the bytes within, without checksum; empty where the text is not an nkey."""
    try:
        checked = base64.b32decode(text + "=" * (-len(text) % 8))
    except ValueError:
        return b""
    raw, checksum = checked[:-2], checked[-2:]
    return raw if binascii.crc_hqx(raw, 0).to_bytes(2, "little") == checksum else b""


def new_seed(entropy: bytes | None = None) -> str:
    """Make the seed (`SU...`) of a user key; `entropy` (32 bytes) fixes it, for repeatable runs."""
    prefix = bytes((_SEED | _USER >> 5, (_USER & 31) << 3))
    return _dress(prefix + (entropy or os.urandom(32)))


def _signer(seed: str) -> Ed25519Signer:
    raw = _undress(seed)
    if len(raw) != 34 or not seed.startswith("SU"):
        raise ConfigurationError("this is not the seed of a user's nkey", code="C0505")
    return Ed25519Signer(raw[2:], Role.AGENT)


def public_key(seed: str) -> str:
    """Give the public key (`U...`) of a seed.

    Raises:
        ConfigurationError: C0505 where the text is not a user's seed.
    """
    return _dress(bytes((_USER,)) + _signer(seed).public)


def sign(seed: str, nonce: bytes) -> tuple[str, str]:
    """Answer a server's challenge: the public key, and the signature in base64."""
    return public_key(seed), base64.b64encode(_signer(seed).sign(nonce)).decode()


def is_public_key(text: str) -> bool:
    """Tell whether a text is a user's public key."""
    raw = _undress(text)
    return len(raw) == 33 and raw[0] == _USER
