"""What a policy may speak of: signals, actions with their parameters, capabilities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from ripstop.core.canonical import Json, digest
from ripstop.core.value import dataclass

SIGNAL_TYPES = ("number", "boolean", "string", "timestamp", "estimate", "list")


@dataclass(frozen=True, slots=True)
class SignalSpec:
    """One signal, or one parameter of an action.

    `unit` is `""` where none is declared; `low` and `high` are inclusive, in that unit; a sample older than
    `max_age_s` is unknown; `live` says that a real sensor never reads exactly the same for long (stuck-at
    alarms). `values` closes a string to an enumeration. `size` and `fields` describe a list of records.
    """

    name: str
    type: str = "number"
    unit: str = ""
    low: float | None = None
    high: float | None = None
    max_age_s: float | None = None
    live: bool = False
    values: tuple[str, ...] = ()
    size: int = 0
    fields: Mapping[str, SignalSpec] = field(default_factory=dict)

    def to_json(self) -> dict[str, Json]:
        """Give the declaration as a vocabulary writes it, without the name and without defaults."""
        full: dict[str, Json] = {
            "type": self.type,
            "unit": self.unit or None,
            "range": None if self.low is None and self.high is None else [self.low, self.high],
            "max_age_s": self.max_age_s,
            "live": self.live or None,
            "values": list(self.values) or None,
            "size": self.size or None,
            "fields": {name: spec.to_json() for name, spec in self.fields.items()} or None,
        }
        return {key: value for key, value in full.items() if value is not None}


@dataclass(frozen=True, slots=True)
class ActionSpec:
    """One action: its parameters by name, its place in the failsafe order, and whether `act` may clamp.

    `failsafe` is None for an ordinary action, else its 0-based place in the order; the last is the one that
    must always be permitted.
    """

    name: str
    parameters: Mapping[str, SignalSpec] = field(default_factory=dict)
    failsafe: int | None = None
    clamp: bool = False

    @property
    def is_failsafe(self) -> bool:
        """Whether no policy can deny this action."""
        return self.failsafe is not None

    def to_json(self) -> dict[str, Json]:
        """Give the declaration as a vocabulary writes it, without the name and without defaults."""
        full: dict[str, Json] = {
            "parameters": {name: spec.to_json() for name, spec in self.parameters.items()},
            "clamp": self.clamp or None,
        }
        return {key: value for key, value in full.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A flattened vocabulary: what it inherits is already in it, `parent` names where that came from.

    `lineage` lists the names from itself to the root. `unguarded` ("deny" or "allow") rules the actions that
    no policy guards; `on_ledger_full` ("deny" or "allow") what happens when nothing can be recorded any more.
    An `is_open` vocabulary (that of a bare rule) knows any signal and any action.
    """

    name: str
    parent: str = ""
    signals: Mapping[str, SignalSpec] = field(default_factory=dict)
    actions: Mapping[str, ActionSpec] = field(default_factory=dict)
    capabilities: tuple[str, ...] = ()
    unguarded: str = "deny"
    on_ledger_full: str = "deny"
    is_open: bool = False
    lineage: tuple[str, ...] = ()
    digest: str = field(default="", init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "lineage", self.lineage or (self.name,))
        object.__setattr__(self, "digest", digest(self.to_json()))

    @property
    def failsafes(self) -> tuple[str, ...]:
        """The failsafe actions in their order; the last one is always permitted."""
        ordered = sorted(
            (spec.failsafe, name) for name, spec in self.actions.items() if spec.failsafe is not None
        )
        return tuple(name for _, name in ordered)

    def descends_from(self, name: str) -> bool:
        """Whether a policy written for vocabulary `name` fits an agent that has this one."""
        return name in self.lineage

    def to_json(self) -> dict[str, Json]:
        """Give the flattened vocabulary as a document writes it; its digest is taken of this."""
        return {
            "name": self.name,
            "lineage": list(self.lineage),
            "signals": {name: spec.to_json() for name, spec in self.signals.items()},
            "actions": {name: spec.to_json() for name, spec in self.actions.items()},
            "failsafe": list(self.failsafes),
            "capabilities": list(self.capabilities),
            "unguarded": self.unguarded,
            "on_ledger_full": self.on_ledger_full,
            "open": self.is_open,
        }


OPEN = Vocabulary(name="", is_open=True)
