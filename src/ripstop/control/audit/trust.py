"""Whose signatures a run's evidence is checked with: the fleet's public keys, as a file beside the logs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ripstop.core.errors import ConfigurationError
from ripstop.core.files import write_whole
from ripstop.core.subjects import check_id
from ripstop.core.wire.envelope import Keyring, Role, TrustedKey

FILE = "trust.json"


@dataclass(frozen=True, slots=True)
class Trust:
    """The fleet, the ground's public keys by role, and each agent's public key.

    What was signed before a key was exchanged is checked with the key of then: `ground` holds the earlier
    ones behind those of now. An agent's key never changes. `run` names the record, as its checkpoints do; it
    is empty in those from before there were any.
    """

    fleet: str
    ground: tuple[TrustedKey, ...]
    agents: Mapping[str, bytes] = field(default_factory=dict)
    run: str = ""

    def behind(self, before: Trust) -> Trust:
        """Give this trust, of the same run, with the ground's keys of an earlier one behind its own."""
        ground = tuple(dict.fromkeys((*self.ground, *before.ground)))
        return replace(self, ground=ground, run=before.run)

    def ground_keys(self) -> Keyring:
        """Give the keyring for what the ground signed."""
        return Keyring.of(self.ground)

    def agent_keys(self, agent: str) -> Keyring:
        """Give the keyring for what one agent signed; it trusts nobody where the agent is not known."""
        public = self.agents.get(agent)
        return Keyring.of([TrustedKey(public, Role.AGENT)] if public else [])

    def save(self, folder: Path) -> bytes:
        """Write the file, and give what it holds."""
        ground: dict[str, list[str]] = {}
        for key in self.ground:
            ground.setdefault(key.role.value, []).append(key.public.hex())
        content = {
            "fleet": self.fleet,
            **({"run": self.run} if self.run else {}),
            "ground": ground,
            "agents": {agent: self.agents[agent].hex() for agent in sorted(self.agents)},
        }
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        raw = f"{json.dumps(content, indent=1)}\n".encode()
        write_whole(folder / FILE, raw)
        return raw

    @classmethod
    def load(cls, folder: Path) -> Trust:
        """Read the file.

        Raises:
            ConfigurationError: C0223 where it is missing or not what `save` writes.
        """
        path = folder / FILE
        try:
            content = json.loads(path.read_text())
            ground = tuple(
                TrustedKey(bytes.fromhex(public), Role(role))
                for role, keys in content["ground"].items()
                for public in ([keys] if isinstance(keys, str) else keys)  # once there was one of a role
            )
            agents = {check_id(agent): bytes.fromhex(key) for agent, key in content["agents"].items()}
            return cls(check_id(content["fleet"]), ground, agents, str(content.get("run", "")))
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise ConfigurationError(f"cannot read `{path}`: {reason}", code="C0223") from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ConfigurationError(f"`{path}` does not hold a fleet's public keys", code="C0223") from error
