"""What an agent's node is told at its start, and what it finds on its disk from before."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Protocol, TypeAlias

from ripstop.core.errors import ConfigurationError, WireError
from ripstop.core.journal import RecordKind, read_entry
from ripstop.core.subjects import check_id
from ripstop.core.value import dataclass
from ripstop.core.wire.envelope import Envelope, EnvelopeType
from ripstop.core.wire.record import unpack

from .breaker import BreakerSettings
from .given import check_kinds, impossible, refusing
from .ladder import LadderSettings
from .memory import Tail
from .sampler import SamplerSettings

Opener: TypeAlias = Callable[[EnvelopeType, bytes], Envelope]
STATE, BUNDLE, LEDGER, LEARNED = "state", "bundle", "ledger", "learned"


def _anomaly_breaker() -> BreakerSettings:
    return BreakerSettings(
        minimum_number_of_calls=1, permitted_calls_in_half_open=3, wait_s=1.0, wait_max_s=60.0
    )


_PARTS: Mapping[str, tuple[type, str]] = {
    "breaker": (BreakerSettings, "`BreakerSettings`"),
    "call_breaker": (BreakerSettings, "`BreakerSettings`"),
    "sampler": (SamplerSettings, "`SamplerSettings`"),
    "ladder": (LadderSettings, "`LadderSettings`"),
    "salt_key": (bytes, "bytes"),
    "thresholds": (Mapping, "numbers by signal"),
}


def _check_names(name: str, given: object) -> None:
    """Refuse a lone name above all: its letters would be taken for names, and protect nothing."""
    if given is None or (isinstance(given, tuple | list | set | frozenset) and all(map(_is_text, given))):
        return
    hint = f'`{name}=("{given}",)`' if isinstance(given, str) else f'`{name}=("battery_v",)`'
    raise ConfigurationError(f"`{name}` is a tuple of names, got `{given}`", code="C0303", hint=hint)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """Who the agent is and its cadences, in seconds.

    `watch` names the signals that the monitor watches; None: every number that the vocabulary declares, and
    with an open vocabulary every number that comes. `breaker_actions` names the actions that an open breaker
    denies; None: all but the failsafes. With `enforce` off the breaker only counts (metrics-only).
    With `durable` a decision is on stable storage before its action runs; without it up to `sync_s` of
    records may be lost in a power cut. `call_breaker` is for the breakers around actions' own calls.
    `personal` names the signals and parameters that the ledger holds commitments to instead of values;
    `salt_key` is the secret that these are salted by (a shell draws one from the machine).
    `capabilities` None is unknown, and a policy whose `applies_to` is unknown applies.
    """

    agent: str
    fleet: str = "fleet"
    beat_s: float = 5.0
    work_s: float = 10.0
    segment_s: float = 10.0
    segment_records: int = 256
    sync_s: float = 0.05
    watch: tuple[str, ...] | None = None
    breaker_actions: tuple[str, ...] | None = None
    breaker: BreakerSettings = field(default_factory=_anomaly_breaker)
    enforce: bool = True
    durable: bool = False
    call_breaker: BreakerSettings = field(default_factory=BreakerSettings)
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
    thresholds: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    capabilities: tuple[str, ...] | None = None
    ladder: LadderSettings = field(default_factory=LadderSettings)
    personal: tuple[str, ...] = ()
    salt_key: bytes = field(default=b"", repr=False)
    seed: int = 0

    __refuse__ = refusing("an agent", "C0303")

    def __post_init__(self) -> None:
        check_id(self.agent)
        check_id(self.fleet)
        check_kinds("an agent", self, "C0303")
        for name in ("beat_s", "work_s", "segment_s", "sync_s", "segment_records"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ConfigurationError(f"`{name}` must be above 0, got `{value}`", code="C0303")
        for name, (kind, word) in _PARTS.items():
            if not isinstance(getattr(self, name), kind):
                raise impossible("an agent", name, getattr(self, name), "C0303", f"expected {word}")
        if abs(self.seed) >= 1 << 64:
            raise impossible("an agent", "seed", self.seed, "C0303", "expected less than 2^64")
        for name in ("watch", "breaker_actions", "capabilities", "personal"):
            _check_names(name, getattr(self, name))

    @property
    def salt(self) -> bytes:
        """What commitments are salted by: the secret, or where there is none (in virtual time) the seed."""
        return self.salt_key or self.seed.to_bytes(32, "big", signed=True)


class ReadableDisk(Protocol):
    """A disk whose streams can be read back: both ledgers."""

    def tail(self, stream: str) -> Tail:
        """Give what a stream still holds."""
        ...


@dataclass(frozen=True, slots=True)
class SavedScope:
    """An accepted intent as the disk keeps it."""

    envelope: bytes
    since_us: int
    is_proven: bool


@dataclass(frozen=True, slots=True)
class Latch:
    """One hold on the stop switch: its name, when it was pulled (wall time), who has signed to lift it."""

    id: str
    reason: str
    issued_us: int
    is_local: bool
    lifts: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Lifted:
    """A latch that is gone and must not come back."""

    id: str
    issued_us: int


@dataclass(frozen=True, slots=True)
class SwitchState:
    """What the stop switch must not forget: latches, those lifted, and until when others count as lifted."""

    latches: tuple[Latch, ...] = ()
    lifted: tuple[Lifted, ...] = ()
    old_us: int = 0


@dataclass(frozen=True, slots=True)
class SavedState:
    """What an agent must not forget: which life this is, its intents, the boot of their lease starts.

    `floor` is the least counter of a release that it may still accept. `heard_mono_us` and `heard_wall_us`
    are when the ground last confirmed the release in force (0: never).
    """

    version: int
    incarnation: int
    boot: str
    scopes: tuple[SavedScope, ...]
    floor: int = 0
    heard_mono_us: int = 0
    heard_wall_us: int = 0
    switch: SwitchState = SwitchState()


@dataclass(frozen=True, slots=True)
class Restored:
    """What the disk holds from before: the last state and bundles, and the ledger's records still held.

    `bundles` are those still held, the newest first; `bundle_count` is how many there ever were. `learned` is
    what the monitors had learned.
    """

    state: bytes = b""
    states: int = 0
    bundles: tuple[bytes, ...] = ()
    bundle_count: int = 0
    ledger: Tail | None = None
    learned: bytes = b""
    learned_count: int = 0

    @property
    def saved(self) -> SavedState | None:
        """The last state; None where there is none, or it cannot be read."""
        try:
            return unpack(SavedState, self.state) if self.state else None
        except WireError:
            return None

    @property
    def incarnation(self) -> int:
        """The number of the last life that state or ledger tells of; 0 before the first.

        The state may be an older one, where its stream was damaged.
        """
        saved = self.saved
        return max(saved.incarnation if saved else 0, _last_life(self.ledger))

    @classmethod
    def read(cls, disk: ReadableDisk) -> Restored:
        """Read an agent's disk."""
        state, bundle, learned = disk.tail(STATE), disk.tail(BUNDLE), disk.tail(LEARNED)
        return cls(
            state.records[-1] if state.records else b"",
            state.last,
            bundle.records[::-1],
            bundle.last,
            disk.tail(LEDGER),
            learned.records[-1] if learned.records else b"",
            learned.last,
        )


def _last_life(ledger: Tail | None) -> int:
    """Read which life began the last segment; lives only rise."""
    for record in reversed(ledger.records if ledger else ()):
        try:
            entry = read_entry(record)
        except WireError:
            continue
        life = entry.body.get("incarnation")
        if entry.kind is RecordKind.SEGMENT and isinstance(life, int):
            return life
    return 0
