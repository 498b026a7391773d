"""The shape of every node: `step(event, now) -> effects`, with no I/O inside.

A node is a state machine. Shells (links, the agent's runtime, the control service, the lab's heap) turn the
outside world into events and carry out effects; they decide nothing. So what runs in virtual time is what
runs live.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Protocol, TypeAlias

from ripstop.core.value import dataclass

from .clock import Instant

Scalar: TypeAlias = str | int | float | bool | None


# ---- events -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Started:
    """The node begins; `incarnation` counts its starts on this device."""

    incarnation: int = 0


@dataclass(frozen=True, slots=True)
class Connected:
    """The link is up (again)."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The link is down."""


@dataclass(frozen=True, slots=True)
class Message:
    """Bytes that arrived on a subject."""

    subject: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Timer:
    """A timer that the node set has come due."""

    name: str


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a durable key holds, with its revision; `data` is None where it holds nothing."""

    key: str
    data: bytes | None
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Stored:
    """A durable write was answered; `revision` is 0 where the compare-and-set lost."""

    key: str
    revision: int


@dataclass(frozen=True, slots=True)
class Synced:
    """Everything appended up to and including `sequence` is on stable storage."""

    sequence: int


@dataclass(frozen=True, slots=True)
class Computed:
    """The answer of a `Compute`; `error` is empty where it succeeded."""

    name: str
    result: object
    error: str = ""


Event: TypeAlias = Started | Connected | Disconnected | Message | Timer | Fetched | Stored | Synced | Computed


# ---- effects ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Send:
    """Publish bytes on a subject, at most once."""

    subject: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Fetch:
    """Read a durable key; answered by `Fetched`."""

    key: str


@dataclass(frozen=True, slots=True)
class Store:
    """Write a durable key; answered by `Stored`. `expected` is the revision it must have (None: any)."""

    key: str
    data: bytes
    expected: int | None = None


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Wake the node by `Timer(name)` at this monotonic time; setting it again moves it."""

    name: str
    at_us: int


@dataclass(frozen=True, slots=True)
class Append:
    """Append bytes to the node's own append-only log `stream`."""

    stream: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Extend:
    """Append several records to the log `stream`, in order.

    `links` are theirs in the log's hash chain, which the node keeps, so that a disk need not hash again.
    """

    stream: str
    records: Sequence[bytes]
    links: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Sync:
    """Bring what was appended to stable storage; answered by `Synced(sequence)`."""

    sequence: int


@dataclass(frozen=True, slots=True)
class Drop:
    """Forget what was appended to `stream` up to and including `sequence`: a receipt covers it."""

    stream: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Compute:
    """Run `job()` off the loop; answered by `Computed(name, result)`.

    `cost_s` is the delay that virtual time charges for it, so that repeats do not depend on the machine.
    """

    name: str
    job: Callable[[], object] = field(compare=False)
    cost_s: float = 0.05


@dataclass(frozen=True, slots=True)
class Deliver:
    """Hand a value to the application that the node rides with: a peer's offer, a changed restriction."""

    value: object


@dataclass(frozen=True, slots=True)
class Report:
    """Tell people: an event name (`noun.past_participle`) and its fields."""

    name: str
    fields: Mapping[str, Scalar]


Effect: TypeAlias = (
    Send | Fetch | Store | SetTimer | Append | Extend | Sync | Drop | Compute | Deliver | Report
)
Effects: TypeAlias = tuple[Effect, ...]


class Node(Protocol):
    """A state machine that a shell can drive."""

    @property
    def subjects(self) -> tuple[str, ...]:
        """The subjects that the shell subscribes for it; constant over its life."""
        ...

    def step(self, event: Event, now: Instant) -> Effects:
        """Take one event and give what is to be done about it."""
        ...
