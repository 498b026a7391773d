"""The subjects of a fleet: who publishes what where. An agent may publish and hear on its own only."""

from __future__ import annotations

import re

from ripstop.core.value import dataclass

from .errors import ConfigurationError

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def is_id(name: object) -> bool:
    """Whether this can stand in a subject: letters, digits, `-` and `_`, at most 64."""
    return isinstance(name, str) and _ID.fullmatch(name) is not None


def check_id(name: str) -> str:
    """Give the id back if it can stand in a subject.

    Raises:
        ConfigurationError: C0101 for an empty id, or one with dots, blanks or wildcards.
    """
    if not is_id(name):
        raise ConfigurationError(
            f"`{str(name)[:64]}` is not an id", code="C0101", hint="letters, digits, `-` and `_`, at most 64"
        )
    return name


@dataclass(frozen=True, slots=True)
class Subjects:
    """The subject names of one fleet."""

    fleet: str

    def of(self, topic: str, agent: str) -> str:
        """An agent's own subject: topic is beat, frame, work, notice, ack, segment, gone (up) or receipt."""
        return f"ripstop.{self.fleet}.{topic}.{agent}"

    def every(self, topic: str) -> str:
        """The same topic of all agents, as the ground subscribes it."""
        return f"ripstop.{self.fleet}.{topic}.*"

    def peer(self, target: str, origin: str) -> str:
        """What `origin` says to `target`: `peer.<to>.<from>`."""
        return f"ripstop.{self.fleet}.peer.{target}.{origin}"

    def peers_of(self, target: str) -> str:
        """All that peers say to `target`."""
        return f"ripstop.{self.fleet}.peer.{target}.*"

    @property
    def tick(self) -> str:
        """The control plane's ticks."""
        return f"ripstop.{self.fleet}.tick"

    def intent(self, scope: str) -> str:
        """Signed intents for a scope: `fleet`, `region-<r>` or `agent-<id>`."""
        return f"ripstop.{self.fleet}.intent.{scope}"

    def intent_key(self, scope: str) -> str:
        """The durable key that holds the same bytes."""
        return f"{self.fleet}.intent.{scope}"

    @property
    def bundle(self) -> str:
        """Signed bundles."""
        return f"ripstop.{self.fleet}.bundle"

    @property
    def bundle_key(self) -> str:
        """The durable key of the release in force."""
        return f"{self.fleet}.bundle"

    @property
    def stop(self) -> str:
        """Stop tokens, and what lifts them."""
        return f"ripstop.{self.fleet}.stop"

    @property
    def operator(self) -> str:
        """Where an operator hands tokens to the ground, and is answered."""
        return f"ripstop.{self.fleet}.operator"

    @property
    def epoch_key(self) -> str:
        """The durable key by which epochs are issued (compare-and-set)."""
        return f"{self.fleet}.epoch"

    @property
    def admission_key(self) -> str:
        """The durable key that tells how many agents may come back how fast."""
        return f"{self.fleet}.admission"
