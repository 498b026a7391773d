"""What the ground wants of a scope as one value: mitigations, topology and release under one number."""

from __future__ import annotations

from enum import Enum

from ripstop.core.value import dataclass


class OnSilence(Enum):
    """What becomes of a mitigation when its lease ends and nobody renewed it."""

    REVERT = "revert"
    HOLD = "hold"
    TIGHTEN = "tighten"


class MitigationKind(Enum):
    """The ladder of graded actions, mildest first."""

    WARN = "warn"
    LIMIT = "limit"
    SHED = "shed"
    REROUTE = "reroute"
    REASSIGN = "reassign"
    ISOLATE = "isolate"


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where an authority stands in time: the higher (epoch, generation) wins, by whichever road it came."""

    epoch: int = 0
    generation: int = 0


@dataclass(frozen=True, slots=True)
class Mitigation:
    """One restriction on named agents.

    `policy` is a policy document in canonical JSON (empty where the kind needs none, as ISOLATE): like every
    policy it can only tighten. `lease_s` runs from when the agent sent the beat that the intent cites.
    `hold_s` bounds how long HOLD and TIGHTEN last after that (0: until an intent lifts it).
    `token` is the isolation token's number, bound to (agent, epoch); 0 for every other kind.
    """

    id: str
    incident: str
    kind: MitigationKind
    targets: tuple[str, ...]
    policy: str
    lease_s: float
    on_silence: OnSilence
    hold_s: float = 0.0
    token: int = 0


class TopologyKind(Enum):
    """Which edges peers may use: any (MESH), or only those to and from the hub (STAR)."""

    MESH = "mesh"
    STAR = "star"


@dataclass(frozen=True, slots=True)
class Topology:
    """The allowed peer edges of a region; members of no region are in MESH.

    A star ends with its lease, like a mitigation: `on_silence` says whether the members go back to mesh.
    """

    region: str
    kind: TopologyKind
    members: tuple[str, ...]
    hub: str = ""
    successor: str = ""
    lease_s: float = 0.0
    on_silence: OnSilence = OnSilence.REVERT


@dataclass(frozen=True, slots=True)
class Release:
    """A policy release: the counter only rises; `digest` names the bundle, `commit` its Git source."""

    counter: int = 0
    digest: str = ""
    commit: str = ""


@dataclass(frozen=True, slots=True)
class Intent:
    """The complete will of the control plane for one scope; it replaces the scope's earlier intent whole."""

    scope: str
    position: Position
    tick: int
    release: Release
    mitigations: tuple[Mitigation, ...] = ()
    topologies: tuple[Topology, ...] = ()

    def leases_on(self, agent: str) -> bool:
        """Whether anything in it holds an agent for as long as a lease."""
        return any(agent in mitigation.targets for mitigation in self.mitigations) or any(
            agent in topology.members for topology in self.topologies
        )
