"""The fleet's private keys: one for each role, made once and kept in the data folder for its owner only."""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ripstop.core.chance import stream
from ripstop.core.errors import ConfigurationError
from ripstop.core.files import PRIVATE, write_once
from ripstop.core.wire.envelope import Ed25519Signer, Role, TrustedKey

_ROLES = (Role.COMMAND, Role.RELEASE, Role.STOP)


@dataclass(frozen=True, slots=True)
class FleetKeys:
    """The signers of the ground's three roles.

    `others` are public keys whose private halves are held by somebody else: a second person who may sign
    releases, without whom nothing lifts a stop.
    """

    command: Ed25519Signer
    release: Ed25519Signer
    stop: Ed25519Signer
    others: tuple[TrustedKey, ...] = ()

    def trusted(self) -> tuple[TrustedKey, ...]:
        """Give the public halves: what agents and auditors are told."""
        own = tuple(TrustedKey(s.public, s.role) for s in (self.command, self.release, self.stop))
        return own + self.others

    @classmethod
    def from_seed(cls, seed: int, fleet: str) -> FleetKeys:
        """Give keys drawn from a seed: for runs that must repeat byte for byte, never for a real fleet."""
        command, release, stop = (
            Ed25519Signer(stream(seed, fleet, "key", role.value).octets(32), role) for role in _ROLES
        )
        return cls(command, release, stop)

    @classmethod
    def load(cls, folder: Path) -> FleetKeys:
        """Read the keys of a folder; what is missing is made. Those of others are in `<role>-<name>.pub`.

        Raises:
            ConfigurationError: C0231 where a key file is not 32 bytes in hexadecimal, or a private one is
                open to others.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        command, release, stop = (Ed25519Signer(_seed(folder / f"{role.value}.key"), role) for role in _ROLES)
        others = (
            TrustedKey(_key(path), role)
            for role in _ROLES
            for path in sorted(folder.glob(f"{role.value}-*.pub"))
        )
        return cls(command, release, stop, tuple(others))


def _seed(path: Path) -> bytes:
    if not path.exists():
        with suppress(FileExistsError):  # somebody else made it just now
            write_once(path, f"{secrets.token_hex(32)}\n".encode(), PRIVATE)
    if path.stat().st_mode & 0o077:
        raise ConfigurationError(
            f"key file `{path}` can be read by others", code="C0231", hint=f"chmod 600 {path}"
        )
    return _key(path)


def _key(path: Path) -> bytes:
    try:
        key = bytes.fromhex(path.read_text().strip())
    except ValueError:
        key = b""
    if len(key) != 32:
        raise ConfigurationError(f"key file `{path}` does not hold 32 bytes in hexadecimal", code="C0231")
    return key
