"""NATS's user keys (nkeys), by the package of that name: made here and never sent.

References:
    NATS ADR-14; github.com/nats-io/nkeys: two prefix bytes (kind and role), the key, CRC-16/XMODEM in
    little-endian, all in base32 without padding.
"""

from __future__ import annotations

import base64
import os
from types import ModuleType

from ..core.errors import ConfigurationError, missing_extra


def _nkeys() -> ModuleType:
    try:
        import nkeys
    except ImportError as error:
        raise missing_extra("nkeys", "nats") from error
    module: ModuleType = nkeys
    return module


def new_seed(entropy: bytes | None = None) -> str:
    """Make the seed (`SU...`) of a user key; `entropy` (32 bytes) fixes it, for repeatable runs."""
    nkeys = _nkeys()
    return str(nkeys.encode_seed(entropy or os.urandom(32), nkeys.PREFIX_BYTE_USER), "ascii")


def public_key(seed: str) -> str:
    """Give the public key (`U...`) of a seed.

    Raises:
        ConfigurationError: C0505 where the text is not a user's seed.
    """
    nkeys = _nkeys()
    try:
        prefix, _ = nkeys.decode_seed(seed.encode())
        key = str(nkeys.from_seed(seed.encode()).public_key, "ascii")
    except (nkeys.NkeysError, ValueError) as error:
        raise _not_a_seed() from error
    if prefix != nkeys.PREFIX_BYTE_USER:
        raise _not_a_seed()
    return key


def _not_a_seed() -> ConfigurationError:
    return ConfigurationError("this is not the seed of a user's nkey", code="C0505")


def is_public_key(text: str) -> bool:
    """Tell whether a text is a user's public key."""
    nkeys = _nkeys()
    try:
        raw = base64.b32decode(text)
    except ValueError:
        return False
    is_user = len(raw) == 35 and raw[0] == nkeys.PREFIX_BYTE_USER
    return is_user and bytes(nkeys.crc16_checksum(raw[:-2])) == raw[-2:]
