"""What has been observed: the latest sample of each signal, its validity, and what windows remember.

A state is a value: `observe` gives a new one. What a temporal operator remembers is kept under the digest of
(sub-expression, vocabulary), so it is shared by policies and survives a change of release.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field, replace
from typing import TYPE_CHECKING

from ripstop.core.canonical import Json
from ripstop.core.sample import Sample
from ripstop.core.value import dataclass
from ripstop.core.vocabulary import Vocabulary
from ripstop.policy.state_reading import (
    FOREVER_US,
    NEVER_US,
    NOT_FINITE,
    OUT_OF_RANGE,
    STALE,
    WRONG_TYPE,
    Invalid,
    Reading,
    Spent,
    usable_value,
)
from ripstop.policy.temporal import KINDS, Moments, Watch, key_of

if TYPE_CHECKING:
    from ripstop.policy.budgets import Budget

__all__ = [
    "FOREVER_US",
    "NEVER_US",
    "NOT_FINITE",
    "NO_WATCH",
    "OUT_OF_RANGE",
    "STALE",
    "WRONG_TYPE",
    "Invalid",
    "Reading",
    "Spent",
    "State",
    "usable_value",
]

NO_WATCH = Watch((), ())
_NEVER = "never"  # 2^63 is beyond what canonical JSON writes


@dataclass(frozen=True, slots=True)
class State:
    """Everything observed so far; `dropped` counts samples older than what was known already.

    `memories` is what the temporal operators of `watch` remember at the moment `t_us`, the latest observed;
    `spent` is what budgets have consumed, by key.
    """

    vocabulary: Vocabulary
    readings: Mapping[str, Reading] = field(default_factory=dict)
    dropped: int = 0
    watch: Watch = NO_WATCH
    memories: Mapping[str, Moments] = field(default_factory=dict)
    t_us: int = NEVER_US
    spent: Mapping[str, Spent] = field(default_factory=dict)

    @classmethod
    def watching(cls, vocabulary: Vocabulary, watch: Watch) -> State:
        """Give the state in which nothing has been observed, with temporal operators that begin."""
        return cls(vocabulary, watch=watch, memories=watch.begun(NEVER_US, {}, {}) if watch.entries else {})

    def watched_by(self, watch: Watch) -> State:
        """Go on under other policies: known operators keep their memory, new ones begin as UNKNOWN."""
        if watch is self.watch:
            return self
        begins = self.t_us if self.readings or self.memories else NEVER_US
        memories = watch.begun(begins, self.readings, self.memories) if watch.entries else {}
        return replace(self, watch=watch, memories=memories)

    def observe(self, signals: Mapping[str, Json], t_us: int) -> State:
        """Take samples of one moment; the same moment replaces, an older one is dropped and counted.

        Signals that a closed vocabulary does not declare are dropped and counted too. A sample that comes
        after a later one of another signal counts, in temporal operators, from that later moment on: the past
        is not rewritten.
        """
        specs, is_open = self.vocabulary.signals, self.vocabulary.is_open
        readings = dict(self.readings)
        dropped = self.dropped
        for name, value in signals.items():
            spec = specs.get(name)
            before = readings.get(name)
            if (spec is None and not is_open) or (before is not None and t_us < before.t_us):
                dropped += 1
                continue
            usable = usable_value(spec, value)
            if isinstance(usable, Invalid) or usable is None:
                readings[name] = Reading(value, NEVER_US, t_us, name, before.valid if before else None)
            elif spec is None or spec.max_age_s is None:
                readings[name] = Reading(usable, FOREVER_US, t_us, name)
            else:
                readings[name] = Reading(usable, t_us + int(spec.max_age_s * 1e6), t_us, name)
        moment = max(t_us, self.t_us)
        memories = self.memories
        if self.watch.entries:
            memories = self.watch.observed(memories, self.t_us, moment, self.readings, readings)
        return State(self.vocabulary, readings, dropped, self.watch, memories, moment, self.spent)

    def sample(self, name: str) -> Sample | None:
        """Give the latest sample of a signal, good or bad."""
        reading = self.readings.get(name)
        return None if reading is None else Sample(name, reading.value, reading.t_us)

    def recall(self, t_us: int) -> Callable[[Json], Json]:
        """Give what tells a temporal operator's value (in normal form) as if advanced; None for UNKNOWN."""
        value = self.recall_keys(t_us)
        return lambda rule: value(key_of(rule, self.vocabulary))

    def room(self, key: str, budget: Budget, context: Mapping[str, Json], t_us: int) -> bool | None:
        """Whether a budget leaves room for one more action; None where its cost is not known."""
        return budget.has_room(self.spent.get(key, Spent()), context, max(t_us, self.t_us))

    def recall_keys(self, t_us: int) -> Callable[[str], Json]:
        """Give what tells a temporal operator's value by its key."""
        return self.watch.recall(self.memories, self.readings, self.t_us, t_us)

    def shifted(self, by_us: int) -> State:
        """Move everything in time: the clock has jumped, what was observed is as old as before."""

        def moved(moment: Json) -> Json:
            is_moment = isinstance(moment, int) and not isinstance(moment, bool) and moment != NEVER_US
            return moment + by_us if is_moment and isinstance(moment, int) else moment

        readings = {
            name: item._replace(
                until_us=item.until_us if item.until_us in (NEVER_US, FOREVER_US) else item.until_us + by_us,
                t_us=item.t_us + by_us,
                last=None if item.last is None else replace(item.last, t_us=item.last.t_us + by_us),
            )
            for name, item in self.readings.items()
        }
        memories = {
            entry.key: (
                (kept[0], moved(kept[1]), kept[2]) if entry.op == "previous" else tuple(map(moved, kept))
            )
            for entry in self.watch.entries
            for kept in (self.memories[entry.key],)
        }
        spent = {
            key: Spent(tuple(moment + by_us for moment in kept.times), kept.tokens)
            for key, kept in self.spent.items()
        }
        t_us = self.t_us if self.t_us == NEVER_US else self.t_us + by_us
        return State(self.vocabulary, readings, self.dropped, self.watch, memories, t_us, spent)

    def to_json(self) -> dict[str, Json]:
        """Give a snapshot: what a ledger segment begins with. `restored` gives the state back."""
        record: dict[str, Json] = {
            "samples": [
                Sample(name, item.value, item.t_us).to_json() for name, item in self.readings.items()
            ],
            "last_valid": [item.valid.to_json() for item in self.readings.values() if item.valid is not None],
            "dropped": self.dropped,
        }
        if self.memories:
            record["temporal"] = {key: list(map(_written, kept)) for key, kept in self.memories.items()}
        if self.memories or self.spent:
            record["t_us"] = _written(self.t_us)
        if self.spent:
            record["spent"] = {
                key: {"times": list(kept.times), "tokens": kept.tokens} for key, kept in self.spent.items()
            }
        return record

    @classmethod
    def restored(cls, vocabulary: Vocabulary, record: Mapping[str, Json], watch: Watch = NO_WATCH) -> State:
        """Rebuild a state from a snapshot; operators that the snapshot does not know begin as UNKNOWN.

        Raises:
            ValueError: when the record has not that form.
        """
        state = cls.of_samples(
            vocabulary,
            map(Sample.from_json, map(_mapping, _items(record.get("samples", [])))),
            map(Sample.from_json, map(_mapping, _items(record.get("last_valid", [])))),
        )
        kept = {
            key: tuple(map(_read, _items(value)))
            for key, value in _mapping(record.get("temporal", {})).items()
        }
        known = {entry.key: entry for entry in watch.entries}
        for key, memory in kept.items():
            if key in known and not KINDS[known[key].op].fits(memory):
                raise ValueError(f"a snapshot's memory `{key}` has another form")
        t_us = _read(record.get("t_us", state.t_us))
        dropped = record.get("dropped", 0)
        spent = {key: _read_spent(value) for key, value in _mapping(record.get("spent", {})).items()}
        if not isinstance(t_us, int) or not isinstance(dropped, int):
            raise ValueError("a snapshot's moment is a whole number")  # noqa: TRY004 (as documented)
        state = replace(state, dropped=dropped, t_us=t_us, memories=kept, spent=spent)
        return state.watched_by(watch)

    @classmethod
    def of_samples(
        cls, vocabulary: Vocabulary, samples: Iterable[Sample], last_valid: Iterable[Sample] = ()
    ) -> State:
        """Rebuild a state from recorded samples; temporal operators are left out."""
        state = cls(vocabulary)
        latest = tuple(samples)
        for sample in (*last_valid, *latest):
            state = state.observe({sample.signal: sample.value}, sample.t_us)
        names = dict.fromkeys([sample.signal for sample in latest] + list(state.readings))
        return replace(
            state, readings={name: state.readings[name] for name in names if name in state.readings}
        )


def _written(part: Json) -> Json:
    return _NEVER if isinstance(part, int) and part == NEVER_US else part


def _read(part: Json) -> Json:
    return NEVER_US if part == _NEVER else part


def _items(value: Json) -> Sequence[Json]:
    if not isinstance(value, list | tuple):
        raise ValueError("a snapshot lacks a list")  # noqa: TRY004 (as documented)
    return value


def _mapping(value: Json) -> Mapping[str, Json]:
    if not isinstance(value, Mapping):
        raise ValueError("a snapshot lacks an object")  # noqa: TRY004 (as documented)
    return value


def _read_spent(value: Json) -> Spent:
    kept = _mapping(value)
    times, tokens = _items(kept.get("times", [])), kept.get("tokens", 0.0)
    moments = tuple(moment for moment in times if isinstance(moment, int))
    if len(moments) != len(times) or not isinstance(tokens, int | float):
        raise ValueError("a snapshot's budget has another form")
    return Spent(moments, tokens)
