"""Keys as files: 32 bytes in hexadecimal; a private one is its owner's alone."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..errors import ConfigurationError
from .envelope import Ed25519Signer, Keyring, Role, TrustedKey


def read_key(path: Path) -> bytes:
    """Read a key's 32 bytes.

    Raises:
        ConfigurationError: C0231 where the file does not hold them or cannot be read.
    """
    try:
        key = bytes.fromhex(path.read_text().strip())
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigurationError(f"key file `{path}` cannot be read: {reason}", code="C0231") from error
    except ValueError:
        key = b""
    if len(key) != 32:
        raise ConfigurationError(f"key file `{path}` does not hold 32 bytes in hexadecimal", code="C0231")
    return key


def read_signer(path: Path, role: Role) -> Ed25519Signer:
    """Read a private key.

    Raises:
        ConfigurationError: C0231, as above, and where others may read it.
    """
    key = read_key(path)
    if path.stat().st_mode & 0o077:
        raise ConfigurationError(
            f"key file `{path}` can be read by others", code="C0231", hint=f"chmod 600 {path}"
        )
    return Ed25519Signer(key, role)


def read_keyring(folder: Path, roles: Iterable[Role]) -> Keyring:
    """Read the public keys of a folder: `ROLE.pub`, and those of others, `ROLE-NAME.pub`.

    Raises:
        ConfigurationError: C0231, as above, and where there are none.
    """
    keys = [
        TrustedKey(read_key(path), role)
        for role in roles
        for path in sorted((*folder.glob(f"{role.value}.pub"), *folder.glob(f"{role.value}-*.pub")))
    ]
    if not keys:
        raise ConfigurationError(
            f"`{folder}` holds no public keys", code="C0231",
            hint="`ripstop up` writes its own into `keys/`, as `stop.pub` and `release.pub`",
        )  # fmt: skip
    return Keyring.of(keys)
