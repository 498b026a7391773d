"""NATS's user keys (nkeys): Ed25519 keys in a base32 dress, made here and never sent."""

from __future__ import annotations

import os

from ..core.errors import missing_extra


def new_seed(entropy: bytes | None = None) -> str:
    """Make the seed of a user key; `entropy` (32 bytes) fixes it, for repeatable runs."""
    try:
        import nkeys
    except ImportError as error:
        raise missing_extra("nkeys", "nats") from error
    seed: bytes = nkeys.encode_seed(entropy or os.urandom(32), nkeys.PREFIX_BYTE_USER)
    return seed.decode()


def public_key(seed: str) -> str:
    """Give the public key (`U...`) of a seed."""
    try:
        import nkeys
    except ImportError as error:
        raise missing_extra("nkeys", "nats") from error
    key: bytes = nkeys.from_seed(seed.encode()).public_key
    return key.decode()


def is_public_key(text: str) -> bool:
    """Tell whether a text has the form of a user's public key."""
    return len(text) == 56 and text[0] == "U" and text.isascii() and text.isalnum() and text.isupper()
