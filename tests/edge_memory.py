"""What an edge engine has to remember after a trace, as bytes, from the state that the reference gives."""

from __future__ import annotations

import math
import struct

from ripstop.backends.edge.inputs import Look, Surprise
from ripstop.backends.edge.memory import Memory
from ripstop.backends.edge.snapshots import sealed
from ripstop.policy import reference
from ripstop.policy.budgets import Quota
from ripstop.policy.bundle import Bundle
from ripstop.policy.state import NEVER_US, Spent, State

NOTHING = struct.unpack("<d", b"\0\0\0\0\0\0\xf8\x7f")[0]


def ring(moments, most, written):
    """Lay moments out as a ring does into which `written` have gone."""
    cells = [NEVER_US] * most
    for back, moment in enumerate(reversed(moments)):
        cells[(written - 1 - back) % most] = moment
    return cells, written % most


class Shadow:
    """Follows a state step by step, and knows where each ring has come to."""

    def __init__(self, memory: Memory, state: State) -> None:
        self.memory = memory
        self.written: dict[str, int] = {}
        self.rings: dict[str, list[int]] = {}
        self.follow(state)

    def follow(self, state: State) -> None:
        """Take the next state; of edges and actions that have gone the ring still has the moments."""
        self.state = state
        for each in self.memory.operators:
            if each.entry.op == "count_within":
                self._ring(each.entry.key, list(state.memories[each.entry.key][3:]), each.entry.most)

    def spend(self, key: str, spent: Spent, at_most: int) -> None:
        """Take a budget's latest action."""
        kept = self.rings.get(key, [])
        self.rings[key] = [*kept, spent.times[-1]][-at_most:]
        self.written[key] = self.written.get(key, 0) + 1

    def _ring(self, key, edges, most):
        before = self.rings.get(key, [])
        if edges != before:
            grown = 1 + next(
                (n for n in range(len(edges)) if [*before, *edges[len(edges) - n - 1 :]][-most:] == edges), 0
            )
            self.written[key] = self.written.get(key, 0) + grown
            self.rings[key] = edges

    def snapshot(self) -> bytes:
        """Give the snapshot that an engine has to give."""
        memory, state = self.memory, self.state
        moments = [NEVER_US] * memory.whole.moments
        numbers = [0.0] * memory.whole.numbers
        indices = [0] * memory.whole.indices
        truths = [0] * memory.whole.truths
        moments[0] = state.t_us
        for signal in memory.signals:
            reading = state.readings.get(signal.name)
            if reading is not None:
                moments[signal.place.moments] = reading.t_us
            for load in signal.loads:
                numbers[memory.number_of(load)] = self._number(load)
        for each in memory.operators:
            self._operator(each, moments, numbers, indices, truths)
        for key, (budget, place) in memory.budgets.items():
            spent = state.spent.get(key, Spent())
            if isinstance(budget, Quota):
                cells, at = ring(self.rings.get(key, []), budget.at_most, self.written.get(key, 0))
                moments[place.moments : place.moments + budget.at_most] = cells
                indices[place.indices : place.indices + 2] = at, len(spent.times)
            else:
                numbers[place.numbers] = float(spent.tokens if spent.times else budget.tokens)
                moments[place.moments] = spent.times[-1] if spent.times else NEVER_US
        packed = struct.pack(f"<{len(moments)}q{len(numbers)}d{len(indices)}H", *moments, *numbers, *indices)
        packed += bytes(truths)
        return sealed(memory, packed.ljust(memory.whole.size_bytes, b"\0"))

    def _number(self, load: int) -> float:
        each, memory = self.memory.inputs[load], self.memory
        reading = self.state.readings.get(each.name)
        context = {} if reading is None else {each.name: reading.value}
        inputs = reference.Inputs(Bundle((), memory.vocabulary), "", context, 0, {})
        try:
            number = each.encode(inputs.look(each.name), memory.texts)
        except Surprise:
            number = math.nan
        if each.look is not Look.VALUE:
            return number
        low, high = each.low, each.high
        inside = (low is None or number >= low) and (high is None or number <= high)
        return number if math.isfinite(number) and inside else NOTHING

    def _operator(self, each, moments, numbers, indices, truths) -> None:
        op, place, kept = each.entry.op, each.place, self.state.memories[each.entry.key]
        marks = {None: 2, False: 0, True: 1}
        if op in ("once", "historically"):
            truths[place.truths] = marks[kept[0]]
            moments[place.moments : place.moments + 3] = kept[1:]
        elif op == "since":
            truths[place.truths : place.truths + 2] = marks[kept[0]], marks[kept[1]]
            moments[place.moments : place.moments + 2] = kept[2:]
        elif op == "count_within":
            truths[place.truths : place.truths + 2] = marks[kept[0]], marks[kept[1]]
            key, most = each.entry.key, each.entry.most
            cells, at = ring(self.rings.get(key, []), most, self.written.get(key, 0))
            moments[place.moments : place.moments + 1 + most] = [kept[2], *cells]
            indices[place.indices] = at
        else:
            earlier = kept[2]
            texts = self.memory.texts
            numbers[place.numbers] = (
                NOTHING
                if earlier is None
                else float(texts.get(earlier, -1))
                if isinstance(earlier, str)
                else float(earlier)
            )
