"""The fleet's private keys: one for each role, made once and kept in the data folder for its owner only."""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ripstop.core.chance import stream
from ripstop.core.files import PRIVATE, write_once, write_whole
from ripstop.core.wire.envelope import Ed25519Signer, Role, TrustedKey
from ripstop.core.wire.keyfile import read_key, read_signer

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

        The public halves of its own stand beside them, in `<role>.pub`.

        Raises:
            ConfigurationError: C0231 where a key file is not 32 bytes in hexadecimal, or a private one is
                open to others.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        command, release, stop = (_made(folder / f"{role.value}.key", role) for role in _ROLES)
        others = (
            TrustedKey(read_key(path), role)
            for role in _ROLES
            for path in sorted(folder.glob(f"{role.value}-*.pub"))
        )
        return cls(command, release, stop, tuple(others))


def _made(path: Path, role: Role) -> Ed25519Signer:
    if not path.exists():
        with suppress(FileExistsError):  # somebody else made it just now
            write_once(path, f"{secrets.token_hex(32)}\n".encode(), PRIVATE)
    signer = read_signer(path, role)
    public, raw = path.with_suffix(".pub"), f"{signer.public.hex()}\n".encode()
    if not public.exists() or public.read_bytes() != raw:
        write_whole(public, raw)
    return signer
