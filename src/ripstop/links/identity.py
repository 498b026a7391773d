"""Who a device is and whom it trusts: the two keys that it made itself, and the fleet's public keys."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import ConfigurationError
from ..core.files import PRIVATE, write_whole
from ..core.subjects import check_id
from ..core.wire.envelope import Ed25519Signer, Keyring, Role, TrustedKey
from .nats import Login
from .nkey import new_seed, public_key


@dataclass(frozen=True, slots=True)
class Identity:
    """A device's own keys (an nkey to connect, Ed25519 to sign its ledger) and the keys that command it.

    `trusted` is empty until the fleet has enrolled the device.
    """

    agent: str
    fleet: str
    address: str
    nkey_seed: str
    signing_seed: bytes
    trusted: tuple[TrustedKey, ...] = ()

    @classmethod
    def make(cls, agent: str, address: str) -> Identity:
        """Make a device's keys; nobody else has them."""
        return cls(check_id(agent), "", address, new_seed(), os.urandom(32))

    @property
    def is_enrolled(self) -> bool:
        """Whether a fleet has taken this device in."""
        return bool(self.trusted)

    def login(self) -> Login:
        """Give what connects to the server."""
        return Login(self.agent, seed=self.nkey_seed)

    def public_nkey(self) -> str:
        """Give the key by which the server knows the device."""
        return public_key(self.nkey_seed)

    def signer(self) -> Ed25519Signer:
        """Give what signs the device's ledger segments."""
        return Ed25519Signer(self.signing_seed, Role.AGENT)

    def keyring(self) -> Keyring:
        """Give the keys that may command the device."""
        return Keyring.of(self.trusted)

    def save(self, path: Path) -> None:
        """Write the identity to a file that only its owner can read."""
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "agent": self.agent,
            "fleet": self.fleet,
            "address": self.address,
            "nkey_seed": self.nkey_seed,
            "signing_seed": self.signing_seed.hex(),
            "trusted": [{"public": key.public.hex(), "role": key.role.value} for key in self.trusted],
        }
        write_private(path, json.dumps(content, indent=1))

    @classmethod
    def load(cls, path: Path) -> Identity:
        """Read an identity.

        Raises:
            ConfigurationError: C0507 where the file is not an identity.
        """
        try:
            held = json.loads(path.read_text())
            trusted = tuple(
                TrustedKey(bytes.fromhex(key["public"]), Role(key["role"])) for key in held["trusted"]
            )
            return cls(
                check_id(held["agent"]),
                str(held["fleet"]),
                str(held["address"]),
                str(held["nkey_seed"]),
                bytes.fromhex(held["signing_seed"]),
                trusted,
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(f"`{path}` is not a device's identity", code="C0507") from error


def write_private(path: Path, text: str) -> None:
    """Replace a file whole, readable by its owner only."""
    write_whole(path, text.encode(), PRIVATE)
