"""Temporal operators with bounded memory: what is kept between samples, and how it moves on.

Theory of operation. Time is whole microseconds, and between two samples everything is constant except where a
sample grows too old. So the past of an operator is summed up in a few moments: when its condition was last
true, last false, last unknown. That is all that `once` and `historically` need, whatever the window; `since`
needs its two latest witnesses, `count_within` the last `most` rising edges. The present value (`now`) is kept
apart from the past, because a second sample of the same moment replaces it.

    past (moments before `t`)       present                 as if advanced to u
    ...................|            t ============ u        the present value holds from t to u, cut up where
                                                            a sample expires or an inner operator changes

`Watch` holds the operators of a bundle, inner ones first, and moves their memories on together. Conditions
are three-valued: True, False, and None for UNKNOWN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import TypeAlias

from ripstop.core.canonical import Json, digest
from ripstop.core.value import dataclass
from ripstop.core.vocabulary import Vocabulary
from ripstop.policy.ir import TEMPORAL, Expr, rule_of
from ripstop.policy.program import Program
from ripstop.policy.state_reading import FOREVER_US, NEVER_US, Reading

Truth: TypeAlias = "bool | None"
Moments: TypeAlias = "tuple[Json, ...]"  # an operator's memory, laid out as its class says
Readings: TypeAlias = Mapping[str, Reading]
Recalled: TypeAlias = Mapping[str, Json]
Condition: TypeAlias = Callable[[Readings, int, Recalled], Truth]
"""Evaluates a condition over readings at a moment; the last argument gives the inner operators' values."""


@dataclass(frozen=True, slots=True)
class Watched:
    """One temporal operator: its name, conditions, window, and what it reads.

    `key` is the digest of (sub-expression, vocabulary); `inner` are the keys of operators inside it; `exprs`
    are the conditions as typed expressions.
    """

    key: str
    op: str
    rule: Json
    conditions: tuple[Json, ...]
    window_us: int
    most: int
    signals: tuple[str, ...]
    inner: tuple[str, ...]
    exprs: tuple[Expr, ...]


def operands(rule: Json) -> tuple[str, Sequence[Json]]:
    """Take a temporal operator in normal form apart: its name and its arguments."""
    if not isinstance(rule, Mapping):
        raise TypeError("an operator")
    ((name, args),) = rule.items()
    return name, args if isinstance(args, list | tuple) else (args,)


def window_us(seconds: Json) -> int:
    """Give a window in microseconds."""
    return round(float(seconds) * 1e6) if isinstance(seconds, int | float) else 0


def key_of(rule: Json, vocabulary: Vocabulary) -> str:
    """Give the key under which an operator's memory is kept."""
    return digest([rule, vocabulary.digest])


def watched(programs: Sequence[Program], vocabulary: Vocabulary) -> tuple[Watched, ...]:
    """Give the temporal operators of programs, each once, inner ones first."""
    found: dict[str, tuple[int, Watched]] = {}
    for program in programs:
        for rank, expr in enumerate(program.windows):
            rule = rule_of(expr)
            key = key_of(rule, vocabulary)
            if key in found:
                continue
            name, args = operands(rule)
            inner = [each for each in expr.walk() if each.op in TEMPORAL and each is not expr]
            conditions = () if name == "previous" else tuple(args[: 2 if name == "since" else 1])
            entry = Watched(
                key,
                name,
                rule,
                conditions,
                0 if name == "previous" else window_us(args[len(conditions)]),
                int(str(args[2])) if name == "count_within" else 0,
                tuple(
                    dict.fromkeys(
                        str(each.path[0]) for each in expr.walk() if each.op in ("read", "estimate")
                    )
                ),
                tuple(key_of(rule_of(each), vocabulary) for each in inner),
                expr.args[: len(conditions)],
            )
            found[key] = len(inner) * 100_000 + rank, entry
    return tuple(entry for _, entry in sorted(found.values(), key=lambda pair: pair[0]))


# What is kept of each operator, as tuples. `N` is "never".
#   once, historically   (now, last true, last false, last unknown)
#   since                (condition now, start now, witness, possible witness): the latest moment at which
#                        `start` held (may have held) with the condition true (not false) ever after
#   count_within         (now, truth just before now, last unknown, rising edge, rising edge, ...)
#   previous             (latest value, its moment, the value before): None for what was not valid
N = NEVER_US
_BEGIN_US = -(2**62)  # before every sample, and so late that no window reaches "never"


def _as_int(moment: Json) -> int:
    return moment if isinstance(moment, int) else N


@dataclass(frozen=True, slots=True)
class Kind:
    """How one operator remembers. Every function takes the memory first.

    `renewed` sets the present truths; `absorbed` moves the present, which held from `first` to `last`, into
    the past; `value` is the operator's own value at `t_us`, when the present has lasted since `since_us`;
    `changes` gives the moments at which that value may change by itself; `unknown_before` begins at a moment,
    with everything earlier unknown.

    INVARIANT: a moment that moves on while the present lasts gives no change; else a gap between two samples
    would take as many steps as it has windows.
    """

    renewed: Callable[[Moments, tuple[Truth, ...]], Moments]
    absorbed: Callable[[Moments, int, int, Watched], Moments]
    value: Callable[[Moments, int, int, Watched], Json]
    changes: Callable[[Moments, int, Watched], tuple[int, ...]]
    unknown_before: Callable[[int], Moments]
    truths: int  # how many parts of the memory are truths; the rest are moments (none of `previous` is told)

    def fits(self, memory: Moments) -> bool:
        """Whether something that was read back has the form of a memory."""
        least = len(self.unknown_before(0))
        if len(memory) < least or not self.truths:
            return len(memory) == least
        return all(part is None or isinstance(part, bool) for part in memory[: self.truths]) and all(
            isinstance(part, int) for part in memory[self.truths :]
        )


def _renewed(memory: Moments, nows: tuple[Truth, ...]) -> Moments:
    return (*nows, *memory[len(nows) :])


def _absorb_span(memory: Moments, first: int, last: int, entry: Watched) -> Moments:
    now, true, false, unknown = memory
    if now is None:
        return now, true, false, last
    return (now, last, false, unknown) if now else (now, true, last, unknown)


def _once(memory: Moments, since_us: int, t_us: int, entry: Watched) -> Truth:
    now, true, _, unknown = memory
    begin = t_us - entry.window_us
    if now or _as_int(true) >= begin:
        return True
    return None if now is None or _as_int(unknown) >= begin else False


def _historically(memory: Moments, since_us: int, t_us: int, entry: Watched) -> Truth:
    now, _, false, unknown = memory
    begin = t_us - entry.window_us
    if now is False or _as_int(false) >= begin:
        return False
    return None if now is None or _as_int(unknown) >= begin else True


def _leavings(moments: Sequence[Json], entry: Watched) -> tuple[int, ...]:
    """Give when moments leave the window."""
    return tuple(_as_int(moment) + entry.window_us + 1 for moment in moments if moment != N)


def _once_changes(memory: Moments, since_us: int, entry: Watched) -> tuple[int, ...]:
    now, true, _, unknown = memory
    return () if now else _leavings([true] if now is None else [true, unknown], entry)


def _historically_changes(memory: Moments, since_us: int, entry: Watched) -> tuple[int, ...]:
    now, _, false, unknown = memory
    return () if now is False else _leavings([false] if now is None else [false, unknown], entry)


def _absorb_since(memory: Moments, first: int, last: int, entry: Watched) -> Moments:
    held, start, witness, possible = memory
    if start:
        witness = last
    elif held is not True:
        witness = N
    if start is not False:
        possible = last
    elif held is False:
        possible = N
    return held, start, witness, possible


def _since(memory: Moments, since_us: int, t_us: int, entry: Watched) -> Truth:
    held, start, witness, possible = memory
    begin = t_us - entry.window_us
    if start or (held and _as_int(witness) >= begin):
        return True
    return None if start is None or (held is not False and _as_int(possible) >= begin) else False


def _since_changes(memory: Moments, since_us: int, entry: Watched) -> tuple[int, ...]:
    held, start, witness, possible = memory
    if start or held is False:
        return ()
    moments = [witness] if held else []
    return _leavings(moments if start is None else [*moments, possible], entry)


def _absorb_count(memory: Moments, first: int, last: int, entry: Watched) -> Moments:
    now, before, unknown, *edges = memory
    if now and before is False:
        edges = [*edges, first][-entry.most :]
    return now, now, last if now is None else unknown, *edges


def _count(memory: Moments, since_us: int, t_us: int, entry: Watched) -> int | None:
    now, before, unknown, *edges = memory
    begin = t_us - entry.window_us
    present = bool(now and before is False and since_us >= begin)
    count = present + sum(1 for edge in edges if _as_int(edge) >= begin)
    if count >= entry.most:
        return entry.most
    return None if now is None or _as_int(unknown) >= begin - 1 else count


def _count_changes(memory: Moments, since_us: int, entry: Watched) -> tuple[int, ...]:
    now, before, unknown, *edges = memory
    present = [since_us] if now and before is False else []
    known = [] if now is None else [unknown]
    return *_leavings([*edges, *present], entry), *(moment + 1 for moment in _leavings(known, entry))


KINDS: Mapping[str, Kind] = {
    "once": Kind(
        _renewed,
        _absorb_span,
        _once,
        _once_changes,
        lambda t_us: (None, N, N, t_us - 1),
        1,
    ),
    "historically": Kind(
        _renewed,
        _absorb_span,
        _historically,
        _historically_changes,
        lambda t_us: (None, N, N, t_us - 1),
        1,
    ),
    "since": Kind(
        _renewed,
        _absorb_since,
        _since,
        _since_changes,
        lambda t_us: (None, None, N, t_us - 1),
        2,
    ),
    "count_within": Kind(
        _renewed,
        _absorb_count,
        _count,
        _count_changes,
        lambda t_us: (None, None, t_us - 1),
        2,
    ),
    "previous": Kind(
        lambda memory, nows: memory,
        lambda memory, first, last, entry: memory,
        lambda memory, since_us, t_us, entry: memory[2],
        lambda memory, since_us, entry: (),
        lambda t_us: (None, N, None),
        0,
    ),
}


@dataclass(frozen=True, slots=True, eq=False)
class Watch:
    """The temporal operators of a bundle, with what evaluates their conditions."""

    entries: tuple[Watched, ...]
    conditions: tuple[tuple[Condition, ...], ...]
    by_key: Mapping[str, Watched] = field(init=False)
    signals: tuple[str, ...] = field(init=False)
    inner: tuple[Watched, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Derive the operators by key, the signals whose history matters, and the operators inside others."""
        by_key = {entry.key: entry for entry in self.entries}
        object.__setattr__(self, "by_key", by_key)
        signals = dict.fromkeys(name for entry in self.entries for name in entry.signals)
        object.__setattr__(self, "signals", tuple(signals))
        inside = dict.fromkeys(key for entry in self.entries for key in entry.inner)
        object.__setattr__(self, "inner", tuple(by_key[key] for key in inside))

    def begun(self, t_us: int, readings: Readings, kept: Mapping[str, Moments]) -> dict[str, Moments]:
        """Give memories at a moment: those kept from before, new ones with everything earlier unknown.

        At the moment `NEVER_US` nothing is earlier: what holds without any sample has always held.
        """
        memories: dict[str, Moments] = {}
        for entry in self.entries:
            memory = kept.get(entry.key)
            if memory is None:
                memory = KINDS[entry.op].unknown_before(t_us)
                if t_us == N:
                    memory = tuple(N if isinstance(part, int) else part for part in memory)
                if entry.op == "previous" and entry.signals[0] in readings:
                    reading = readings[entry.signals[0]]
                    memory = (None if reading.until_us == N else reading.value), reading.t_us, None
            memories[entry.key] = memory
        return self._renewed(memories, readings, max(t_us, _BEGIN_US))

    def _renewed(self, memories: Mapping[str, Moments], readings: Readings, t_us: int) -> dict[str, Moments]:
        """Evaluate every condition at a moment."""
        renewed: dict[str, Moments] = {}
        recalled: dict[str, Json] = {}
        for entry, conditions in zip(self.entries, self.conditions, strict=True):
            kind = KINDS[entry.op]
            nows = tuple(condition(readings, t_us, recalled) for condition in conditions)
            memory = renewed[entry.key] = kind.renewed(memories[entry.key], nows)
            recalled[entry.key] = kind.value(memory, t_us, t_us, entry)
        return renewed

    def advanced(
        self, memories: Mapping[str, Moments], readings: Readings, t_us: int, until_us: int
    ) -> tuple[Mapping[str, Moments], int]:
        """Move on from `t_us` to the last change before or at `until_us`, without a new sample."""
        while True:
            change = self.next_change(memories, readings, t_us)
            if change > until_us or change == FOREVER_US:
                return memories, t_us
            memories = self._renewed(self._absorbed(memories, t_us, change - 1), readings, change)
            t_us = change

    def next_change(self, memories: Mapping[str, Moments], readings: Readings, t_us: int) -> int:
        """Give the first moment after `t_us` at which a condition may change by itself."""
        soonest = FOREVER_US
        for name in self.signals:
            reading = readings.get(name)
            if reading is not None and t_us <= reading.until_us < soonest:
                soonest = reading.until_us + 1
        for entry in self.inner:
            for change in KINDS[entry.op].changes(memories[entry.key], t_us, entry):
                if t_us < change < soonest:
                    soonest = change
        return soonest

    def _absorbed(self, memories: Mapping[str, Moments], first: int, last: int) -> dict[str, Moments]:
        return {
            entry.key: KINDS[entry.op].absorbed(memories[entry.key], first, last, entry)
            for entry in self.entries
        }

    def observed(
        self, memories: Mapping[str, Moments], t_us: int, moment: int, before: Readings, after: Readings
    ) -> dict[str, Moments]:
        """Take what was observed at a moment (not before `t_us`): readings before it and after it."""
        if moment > t_us:
            memories, t_us = self.advanced(memories, before, t_us, moment - 1)
            memories = self._absorbed(memories, t_us, moment - 1)
        return self._renewed(self._sampled(memories, before, after), after, moment)

    def _sampled(
        self, memories: Mapping[str, Moments], before: Readings, after: Readings
    ) -> Mapping[str, Moments]:
        """Tell `previous` of new samples: one of the same moment replaces the latest."""
        told = dict(memories)
        for entry in self.entries:
            if entry.op != "previous":
                continue
            reading = after.get(entry.signals[0])
            if reading is None or reading is before.get(entry.signals[0]):
                continue
            latest, moment, earlier = told[entry.key]
            value = None if reading.until_us == N else reading.value
            told[entry.key] = (value, reading.t_us, earlier if moment == reading.t_us else latest)
        return told

    def recall(
        self, memories: Mapping[str, Moments], readings: Readings, t_us: int, at_us: int
    ) -> Callable[[str], Json]:
        """Give what tells each operator's value as if advanced to `at_us`, by key; None for UNKNOWN."""
        at_us = max(at_us, t_us)
        memories, t_us = self.advanced(memories, readings, t_us, at_us)
        entries = self.by_key

        def value(key: str) -> Json:
            entry = entries.get(key)
            return None if entry is None else KINDS[entry.op].value(memories[key], t_us, at_us, entry)

        return value
