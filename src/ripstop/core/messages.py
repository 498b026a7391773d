"""The bodies that travel: beats, ticks, acknowledgements, notices, workloads, peer messages, segments.

Each is a frozen value; `core.wire.record` turns it into deterministic CBOR and back, strictly.
"""

from __future__ import annotations

from enum import Enum

from ripstop.core.value import dataclass

from .intent import Position

LEAVE = "agent.left"  # the notice by which an agent that is ended in order takes leave


class AckStatus(Enum):
    """What an agent did with an intent."""

    APPLIED = "applied"
    REFUSED = "refused"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class Beat:
    """An agent's sign of life, with the nonce that a tick must echo and the authority that it obeys."""

    agent: str
    boot: str
    incarnation: int
    sequence: int
    nonce: bytes
    position: Position
    release: int
    breaker: str
    ledger_sequence: int
    ledger_head: bytes


@dataclass(frozen=True, slots=True)
class Tick:
    """The control plane's sign of life: its number, and for each agent the last nonce that it heard.

    An intent cites a tick; the agent knows when it sent the beat whose nonce that tick echoes.
    """

    number: int
    position: Position
    wall_us: int
    nonces: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Ack:
    """An agent's answer to an intent."""

    agent: str
    scope: str
    position: Position
    status: AckStatus
    reason: str
    mono_us: int


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that happened on an agent: an anomaly, a breaker's transition, a refused command, a veto."""

    agent: str
    sequence: int
    t_us: int
    name: str
    fields: dict[str, str | int | float | bool | None]


@dataclass(frozen=True, slots=True)
class Item:
    """A piece of pending work: a delivery with where it is picked up and dropped (metres, east and north)."""

    id: str
    priority: int
    load: float
    pickup_x_m: float
    pickup_y_m: float
    drop_x_m: float
    drop_y_m: float


@dataclass(frozen=True, slots=True)
class Workload:
    """What an agent carries and could still carry: the dependency graph is built from these.

    `spare` is capacity over what the pending work needs, reserve already taken off (Wh for drones);
    `cost_per_m` is what a metre more costs in the same unit. `available` tells whether it takes work at all.
    """

    agent: str
    sequence: int
    t_us: int
    available: bool
    active: bool
    x_m: float
    y_m: float
    spare: float
    cost_per_m: float
    slots: int
    items: tuple[Item, ...]


class PeerKind(Enum):
    """What peers say to each other."""

    OFFER = "offer"
    ACCEPT = "accept"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class PeerMessage:
    """A message between peers; `via` lists the relays that it went through, so hops are countable.

    In a mesh `via` is empty; in a star it names the hub.
    """

    origin: str
    target: str
    kind: PeerKind
    number: int
    item: Item
    via: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Segment:
    """A sealed run of an agent's ledger: `records` in order, chained from `previous` to `head`."""

    agent: str
    incarnation: int
    index: int
    first: int
    last: int
    previous: bytes
    head: bytes
    records: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Receipt:
    """The ground's promise that it holds an agent's records up to `last`; signed in its envelope.

    `checkpoint` is the link of the last `Checkpoint` before it, empty where there was none.
    """

    agent: str
    incarnation: int
    first: int
    last: int
    head: bytes
    checkpoint: bytes


@dataclass(frozen=True, slots=True)
class StreamHead:
    """How far a log of the ground's record is: its number of records, and the link of the last one."""

    stream: str
    count: int
    head: bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What of the ground's record is on stable storage; signed in its envelope, it binds all files together.

    `run` names the record. `streams` are its logs, the earlier checkpoints among them; `files` are SHA-256
    digests of what lies beside the logs, by file name.
    """

    run: str
    t_us: int
    streams: tuple[StreamHead, ...]
    files: dict[str, bytes]


class SafeMode(Enum):
    """What holds once policies have become too old: they go on (KEEP), deny what they guard, or bring home.

    FAILSAFE denies as DENY does, and orders the failsafe actions.
    """

    KEEP = "keep"
    DENY = "deny"
    FAILSAFE = "failsafe"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A release's content: the policy documents in canonical JSON, vocabularies resolved, safety first.

    `expires_us` (wall time, 0: never) begins `safe_mode`. `minimum` is the least counter that a device may
    accept from now on. `stop_keys` are the public keys whose tokens stop an agent while this release is in
    force; where none is named, those that the agent was enrolled with do. It travels as a signed manifest
    beside its documents: see `core.wire.bundle`.
    """

    fleet: str
    counter: int
    commit: str
    issued_us: int
    expires_us: int
    minimum: int
    policies: tuple[str, ...]
    safe_mode: SafeMode = SafeMode.DENY
    stop_keys: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Admission:
    """How many agents a fleet has, and how many a second may connect when all come back at once."""

    agents: int
    per_s: float


@dataclass(frozen=True, slots=True)
class StopOrder:
    """A stop token: whoever of the scope gets it stops until its name has been lifted."""

    id: str
    scope: str
    reason: str
    issued_us: int


LIFT_SIGNATURES = 2


@dataclass(frozen=True, slots=True)
class StopLift:
    """One signature for lifting a latch; it takes those of `LIFT_SIGNATURES` different release keys."""

    id: str
    reason: str
