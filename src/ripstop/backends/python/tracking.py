"""Temporal operators moved on in place: for a process that owns its state and samples often.

A `Tracker` holds what a `State` holds, spread out in one list `m`, and generated code moves it on:

    def step(m, s, t):                            # once(load > 0.9, w), load at most 5 s old
        try:
            if len(s) != 1 or not m[0] < t <= m[1]: return False
            v0 = s["load"]
            if not 0.0 <= v0 <= 1.0: return False
            b0 = v0 > 0.9
            u = t - 1
            m[m[3]] = u                           # the present ends: m[3] names where its last moment is kept
            m[3] = 5 if b0 else 4                 # 4: last false, 5: last true, 6: last unknown
            m[2] = v0; m[0] = t; m[1] = t + 5000001
            return True
        except _surprises: return False

False means that something is not as usual (a signal is missing, bad, late or has expired): the state is put
together, observes exactly, and is spread out again. Cost does not depend on any window's length.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import replace

from ripstop.backends.python.branches import assign
from ripstop.backends.python.lowering import Emitter
from ripstop.backends.python.plan import build_any
from ripstop.backends.python.slots import Held, Slot, Unsupported, assign_slots, name
from ripstop.core.canonical import Json
from ripstop.core.value import dataclass
from ripstop.core.vocabulary import Vocabulary
from ripstop.policy.state import FOREVER_US, NEVER_US, Invalid, Reading, State, usable_value
from ripstop.policy.temporal import Moments, Watch, Watched

_SIZES = {"once": 4, "historically": 4, "since": 4, "count_within": 4, "previous": 1}
_FIRST = 2  # m[0] is the latest moment, m[1] the first one at which a sample has expired

# In place of N stands "never", of b the operator's first place, of v the place of a signal's value.
_ABSORBED = {
    "once": "m[m[{b}]] = u\nm[{b}] = {b} + 2 if {c0} else {b} + 1",
    "since": (
        "if m[{b} + 1]: m[{b} + 2] = u\n"
        "elif m[{b}] is not True: m[{b} + 2] = {never}\n"
        "if m[{b} + 1] is not False: m[{b} + 3] = u\n"
        "elif m[{b}] is False: m[{b} + 3] = {never}\n"
        "m[{b}] = {c0}\nm[{b} + 1] = {c1}"
    ),
    "count_within": (
        "if m[{b}] and m[{b} + 1] is False: m[{b} + 3] = (*m[{b} + 3], m[0])[-{most}:]\n"
        "elif m[{b}] is None: m[{b} + 2] = u\n"
        "m[{b} + 1] = m[{b}]\nm[{b}] = {c0}"
    ),
    "previous": "m[{b}] = m[{v}]",
}
_ABSORBED["historically"] = _ABSORBED["once"]

Step = Callable[["list[object]", Mapping[str, Json], int], object]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything stands in the list."""

    slots: tuple[Slot, ...]
    places: tuple[int, ...]
    size: int

    def place_of(self, signal: str) -> int:
        """Give the place of a signal's latest value."""
        return _FIRST + [slot.name for slot in self.slots].index(signal)


def _give_up(m: list[object], s: Mapping[str, Json], t: int) -> bool:
    return False


def compile_step(watch: Watch, vocabulary: Vocabulary) -> tuple[Step, Layout | None]:
    """Generate the function that moves operators on; one that always gives up where that cannot be done."""
    try:
        return _compile(watch, vocabulary)
    except Unsupported:
        return _give_up, None


def _compile(watch: Watch, vocabulary: Vocabulary) -> tuple[Step, Layout]:
    if watch.inner or not watch.entries:
        raise Unsupported("an operator inside another changes between samples")
    exprs = [expr for entry in watch.entries for expr in entry.exprs]
    slots = assign_slots(exprs, vocabulary.signals, {})
    for signal in watch.signals:  # of `previous`, whose operand is no condition
        if signal not in slots:
            raise Unsupported("a signal is read by `previous` alone")
    if any(slot.is_optional for slot in slots.values()):
        raise Unsupported("a condition looks at absence")
    if any(slot.held is Held.ESTIMATE for slot in slots.values()):
        raise Unsupported("an estimate is kept as a state has it, not as it came")
    layout = _layout(watch, tuple(slots.values()))
    emitter = Emitter(slots, ranged=True)
    usual = f"if len(s) != {len(slots)} or not m[0] < t <= m[1]: return False"
    body = ast.parse(f"def f():\n {usual}").body[0].body  # type: ignore[attr-defined]  # it is a function
    for slot in layout.slots:
        body.append(assign(slot.variable, ast.Subscript(name("s"), ast.Constant(slot.name), ast.Load())))
        wrong = ast.UnaryOp(ast.Not(), slot.check(ranged=True))
        body.append(ast.If(wrong, [ast.Return(ast.Constant(False))], []))
    lines = ["u = t - 1"]
    count = 0
    for entry, place in zip(watch.entries, layout.places, strict=True):
        for expr in entry.exprs[: len(entry.conditions)]:
            truth = ast.IfExp(emitter.test(expr), ast.Constant(True), ast.Constant(False))
            body.append(assign(f"b{count}", truth))
            count += 1
        words = {"b": place, "never": NEVER_US, "most": entry.most}
        words["v"] = layout.place_of(entry.signals[0]) if entry.op == "previous" else 0
        first = count - len(entry.conditions)
        lines.append(_ABSORBED[entry.op].format(**words, c0=f"b{first}", c1=f"b{first + 1}"))
    lines += [f"m[{layout.place_of(slot.name)}] = {slot.variable}" for slot in layout.slots]
    ages = [slot.spec.max_age_s for slot in layout.slots if slot.spec and slot.spec.max_age_s is not None]
    lines.append(f"m[1] = t + {int(min(ages) * 1e6) + 1}" if ages else f"m[1] = {FOREVER_US}")
    lines += ["m[0] = t"]
    body += ast.parse("\n".join(lines)).body
    body.append(ast.Return(ast.Constant(True)))
    if emitter.uses_now or emitter.recalled:
        raise Unsupported("a condition reads more than signals")
    return build_any(["m", "s", "t"], body, ast.Return(ast.Constant(False))), layout


def _layout(watch: Watch, slots: tuple[Slot, ...]) -> Layout:
    places = []
    free = _FIRST + len(slots)
    for entry in watch.entries:
        places.append(free)
        free += _SIZES[entry.op]
    return Layout(slots, tuple(places), free)


class Tracker:
    """Observes in place. `state` gives the state as a value whenever one is needed.

    Args:
        state: where to begin; its watch says which operators there are.
        step: what `compile_step` generated.
        layout: where everything stands.
    """

    __slots__ = ("_is_ahead", "_layout", "_m", "_state", "_step")

    def __init__(self, state: State, step: Step, layout: Layout | None) -> None:
        self._state = state
        self._step = step
        self._layout = layout
        self._m: list[object] = []
        self._is_ahead = False
        self._spread()

    def observe(self, signals: Mapping[str, Json], t_us: int) -> None:
        """Take samples of one moment."""
        if self._step(self._m, signals, t_us):
            self._is_ahead = True
            return
        self._state = self.state.observe(signals, t_us)
        self._spread()

    @property
    def state(self) -> State:
        """The state as a value."""
        if self._is_ahead:
            self._state = self._together()
            self._is_ahead = False
        return self._state

    def _spread(self) -> None:
        """Lay the state out in the list; where it is not as usual, so that every step gives up."""
        state, layout = self._state, self._layout
        if layout is None:
            return
        m: list[object] = [FOREVER_US, NEVER_US] + [None] * (layout.size - _FIRST)
        self._m = m
        readings = [state.readings.get(slot.name) for slot in layout.slots]
        ends = [FOREVER_US if reading is None else reading.until_us for reading in readings]
        if any(reading is None or reading.until_us == NEVER_US for reading in readings):
            return
        m[0], m[1] = state.t_us, min(ends) + (min(ends) < FOREVER_US)
        for place, reading in enumerate(readings, _FIRST):
            m[place] = None if reading is None else reading.value
        for entry, place in zip(state.watch.entries, layout.places, strict=True):
            _spread_memory(entry, state.memories[entry.key], m, place)

    def _together(self) -> State:
        """Put the state together from the list."""
        layout, m, state = self._layout, self._m, self._state
        if layout is None or not isinstance(m[0], int):
            return state
        t_us = m[0]
        readings = dict(state.readings)
        for place, slot in enumerate(layout.slots, _FIRST):
            value = usable_value(slot.spec, _as_json(m[place]))
            age_s = None if slot.spec is None else slot.spec.max_age_s
            until_us = FOREVER_US if age_s is None else t_us + int(age_s * 1e6)
            if not isinstance(value, Invalid):
                readings[slot.name] = Reading(value, until_us, t_us, slot.name)
        memories = {
            entry.key: _memory(entry, m, place, readings)
            for entry, place in zip(state.watch.entries, layout.places, strict=True)
        }
        return replace(state, readings=readings, memories=memories, t_us=t_us)


def _as_json(value: object) -> Json:
    return value  # type: ignore[return-value]  # it came in as JSON


def _spread_memory(entry: Watched, memory: Moments, m: list[object], place: int) -> None:
    if entry.op == "previous":
        m[place] = memory[2]
    elif entry.op == "since":
        m[place : place + 4] = memory
    elif entry.op == "count_within":
        now, before, unknown, *edges = memory
        m[place : place + 4] = [now, before, unknown, tuple(edges)]
    else:
        now, true, false, unknown = memory
        m[place : place + 4] = [place + (3 if now is None else 2 if now else 1), false, true, unknown]


def _memory(entry: Watched, m: list[object], place: int, readings: Mapping[str, Reading]) -> Moments:
    parts = [_as_json(part) for part in m[place : place + _SIZES[entry.op]]]
    if entry.op == "previous":
        reading = readings[entry.signals[0]]
        return reading.value, reading.t_us, parts[0]
    if entry.op == "since":
        return tuple(parts)
    if entry.op == "count_within":
        now, before, unknown, edges = parts
        return now, before, unknown, *(edges if isinstance(edges, tuple) else ())
    at, false, true, unknown = parts
    now = {place + 1: False, place + 2: True}.get(int(str(at)))
    return now, true, false, unknown
