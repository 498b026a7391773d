"""What a governed run is made of: keys, vocabulary, a release, the agents' nodes and the control plane's.

Everything is drawn from the run's seed, so that a run in virtual time repeats byte for byte. The same rig
runs in virtual time over the memory link and live over NATS.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from ripstop.agent.breaker import BreakerSettings
from ripstop.agent.node import AgentNode
from ripstop.agent.settings import NodeSettings, Opener, Restored
from ripstop.control.mitigation.playbook import Playbook
from ripstop.control.mitigation.playbook_file import load_playbook
from ripstop.control.node import ControlNode, Fleet
from ripstop.control.settings import ControlSettings
from ripstop.control.store.check import check_policies
from ripstop.control.store.keys import FleetKeys
from ripstop.control.store.releases import Issued, Terms, bundle_digest, issue
from ripstop.core.chance import stream
from ripstop.core.intent import Release
from ripstop.core.shipped import shipped
from ripstop.core.vocabulary import Vocabulary
from ripstop.core.wire.envelope import Ed25519Signer, Envelope, EnvelopeType, Keyring, Role, open_envelope
from ripstop.lab.arms import Layers
from ripstop.policy import load_vocabulary
from ripstop.policy.loader import SUFFIXES

# The instant at which every virtual shift begins: 2026-01-01T00:00:00Z.
SHIFT_BEGINS_US = 1_767_225_600_000_000
FLEET = "drones"
CONTROL = "control"


@dataclass(frozen=True, slots=True)
class Tempo:
    """Cadences of agents and ground, in seconds; `lease_s` and `dwell_s` stand in for the playbook's."""

    beat_s: float = 5.0
    tick_s: float = 5.0
    work_s: float = 10.0
    back_off_s: float = 60.0
    incident_s: float = 2.0
    survey_s: float = 60.0
    segment_s: float = 30.0
    lease_s: float | None = None
    dwell_s: float | None = None


@dataclass(frozen=True, slots=True)
class Documents:
    """The documents that a run is governed by."""

    policies: Path
    playbook: Path

    @classmethod
    def shipped(cls) -> Documents:
        """Give the drone fleet's documents as they come with Ripstop."""
        return cls(shipped("policies") / "drones", shipped("playbooks") / "drones.yaml")

    def texts(self) -> tuple[str, ...]:
        """Check every policy of the folder, and give them as a release carries them."""
        return check_policies(sorted(p for p in self.policies.iterdir() if p.suffix in SUFFIXES)).documents


@dataclass(slots=True)
class Rig:
    """The nodes of one run; `control` is None where the arm has no control plane."""

    seed: int
    layers: Layers
    vocabulary: Vocabulary
    keys: FleetKeys
    release: Issued
    playbook: Playbook
    agents: list[AgentNode]
    control: ControlNode | None

    @property
    def names(self) -> list[str]:
        """The agents' ids, in the order of the drones' numbers."""
        return [node.settings.agent for node in self.agents]

    def agent_key(self, agent: str) -> Ed25519Signer:
        """Give an agent's signing key."""
        return agent_key(self.seed, agent)


def agent_names(count: int) -> list[str]:
    """Give the ids of a fleet: `drone-000` and so on."""
    width = max(3, len(str(count - 1)))
    return [f"drone-{i:0{width}d}" for i in range(count)]


def agent_key(seed: int, agent: str) -> Ed25519Signer:
    """Give an agent's own key, drawn from the run's seed."""
    return Ed25519Signer(stream(seed, agent, "key").octets(32), Role.AGENT)


@dataclass(frozen=True, slots=True)
class Trust:
    """The ground's keys, how each agent checks what they have signed, and a release if there is one."""

    keys: FleetKeys
    opener: Callable[[str], Opener]
    release: Issued | None = None

    @classmethod
    def from_seed(cls, seed: int) -> Trust:
        """Draw the keys from a seed. One process hands the same bytes to all: they are checked once."""
        keys = FleetKeys.from_seed(seed, FLEET)
        keyring = keyring_of(keys)

        @lru_cache(maxsize=64)
        def check(kind: EnvelopeType, data: bytes) -> Envelope:
            return open_envelope(keyring, FLEET, kind, data)

        return cls(keys, lambda _: check)


def keyring_of(keys: FleetKeys) -> Keyring:
    """Give the keyring that trusts the ground's keys."""
    return Keyring.of(keys.trusted())


def build(
    agents: int,
    seed: int,
    layers: Layers,
    tempo: Tempo,
    documents: Documents | None = None,
    trust: Trust | None = None,
) -> Rig:
    """Build the nodes of a run; none of them has been started.

    `trust` brings the ground's keys and each agent's opener; by default the keys are drawn from the seed and
    all agents share one opener.
    """
    documents = documents or Documents.shipped()
    trust = trust or Trust.from_seed(seed)
    vocabulary = load_vocabulary(shipped("vocabularies") / "drone.yaml")
    if not layers.local:
        vocabulary = replace(vocabulary, unguarded="allow")
    keys = trust.keys
    release = trust.release or _release(keys, documents)
    held = Restored(bundles=(release.sealed,), bundle_count=1) if layers.local else None
    names = agent_names(agents)
    nodes = [
        AgentNode(
            _settings(name, seed, layers, tempo),
            vocabulary=vocabulary,
            opener=trust.opener(name),
            signer=agent_key(seed, name),
            restored=held,
        )
        for name in names
    ]
    playbook = _playbook(documents.playbook, tempo)
    control = _control(names, seed, vocabulary, (tempo, playbook, keys)) if layers.ground else None
    return Rig(seed, layers, vocabulary, keys, release, playbook, nodes, control)


def _release(keys: FleetKeys, documents: Documents) -> Issued:
    texts = documents.texts()
    release = Release(1, bundle_digest(texts), "")
    terms = Terms(SHIFT_BEGINS_US, stop_keys=(keys.stop.public,))
    return issue(keys.release, FLEET, release, texts, terms)


def _settings(name: str, seed: int, layers: Layers, tempo: Tempo) -> NodeSettings:
    return NodeSettings(
        agent=name,
        fleet=FLEET,
        beat_s=tempo.beat_s,
        work_s=tempo.work_s,
        segment_s=tempo.segment_s,
        watch=("battery_percent",),
        breaker_actions=("accept_task", "take_off"),
        breaker=BreakerSettings(
            minimum_number_of_calls=1, permitted_calls_in_half_open=3, wait_s=1.0, wait_max_s=tempo.back_off_s
        ),
        enforce=layers.local,
        capabilities=("rotor",),
        seed=seed,
    )


def _playbook(path: Path, tempo: Tempo) -> Playbook:
    playbook = load_playbook(path)
    return replace(
        playbook,
        lease_s=tempo.lease_s or playbook.lease_s,
        dwell_s=tempo.dwell_s or playbook.dwell_s,
    )


def _control(
    names: Sequence[str], seed: int, vocabulary: Vocabulary, parts: tuple[Tempo, Playbook, FleetKeys]
) -> ControlNode:
    tempo, playbook, keys = parts
    settings = ControlSettings(
        fleet=FLEET,
        beat_s=tempo.beat_s,
        work_s=tempo.work_s,
        tick_s=tempo.tick_s,
        incident_s=tempo.incident_s,
        survey_s=tempo.survey_s,
        seed=seed,
    )
    fleet = Fleet(vocabulary, {name: agent_key(seed, name).public for name in names})
    return ControlNode(settings, playbook, keys.command, fleet)
