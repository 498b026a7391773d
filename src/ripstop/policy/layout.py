"""How what a policy remembers lies in bytes: four arrays, as an engine without a heap keeps them.

    moments (8 bytes)   numbers (8, binary64)   indices (2)   truths (1: 0 false, 1 true, 2 unknown)

The first moment is the latest one observed. A signal that is watched takes the moment of its latest sample
and its numbers; a temporal operator and a budget take what `of_operator` and `of_budget` say. The whole is
filled up to a multiple of 8 bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ripstop.core.vocabulary import SignalSpec
from ripstop.policy.budgets import Budget, Quota
from ripstop.policy.ir import ITERATORS, Expr


class Part(NamedTuple):
    """So many of each array; or a place, which says where in each array something begins."""

    moments: int = 0
    numbers: int = 0
    indices: int = 0
    truths: int = 0

    def plus(self, other: Part) -> Part:
        """Add."""
        return Part(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))

    @property
    def size_bytes(self) -> int:
        """How many bytes it takes, filled up."""
        return -(-(8 * self.moments + 8 * self.numbers + 2 * self.indices + self.truths) // 8) * 8


LATEST = Part(moments=1)


def of_signal(numbers: int) -> Part:
    """Give what a watched signal takes that comes as so many numbers."""
    return Part(moments=1, numbers=numbers)


def of_operator(op: str, most: int) -> Part:
    """Give what a temporal operator takes; `most` is how many edges `count_within` counts."""
    return {
        "once": Part(moments=3, truths=1),  # last true, last false, last unknown; now
        "historically": Part(moments=3, truths=1),
        "since": Part(moments=2, truths=2),  # witness, possible witness; condition now, start now
        "previous": Part(numbers=1),  # the value before; the latest is the signal's own
        "count_within": Part(1 + most, 0, 1, 2),  # last unknown, edges; the next edge's place; now, before
    }[op]


def of_budget(budget: Budget) -> Part:
    """Give what a budget takes: the moments of its actions, or a bucket's level and when that was."""
    if isinstance(budget, Quota):
        return Part(moments=budget.at_most, indices=2)  # the next one's place, how many are held
    return Part(moments=1, numbers=1)


def places_of(parts: Iterable[Part]) -> tuple[list[Part], Part]:
    """Give each part its place behind those before it, and the whole."""
    places, whole = [], Part()
    for part in parts:
        places.append(whole)
        whole = whole.plus(part)
    return places, whole


def is_ageing_text(spec: SignalSpec | None) -> bool:
    """Whether a signal is a text that grows old: an empty one is missing until then, null always."""
    return spec is not None and spec.type == "string" and spec.max_age_s is not None


def numbers_of(exprs: Iterable[Expr], signals: Mapping[str, SignalSpec]) -> dict[str, int]:
    """Give how many numbers each signal comes as that conditions read: what a list and a record are, too."""
    found: dict[str, set[object]] = {}
    for expr in exprs:
        for name, what in _looks(expr, ()):
            found.setdefault(name, set()).add(what)
            if what == "missing" and is_ageing_text(signals.get(name)):
                found[name].add("given")
    return {name: len(looks) for name, looks in found.items()}


def _looks(expr: Expr, frames: Sequence[Expr]) -> Iterator[tuple[str, object]]:
    """Give what an expression looks at: a value, an element's field, whether something is there."""
    if expr.op == "read":
        yield str(expr.path[0]), "value"
        if expr.args:
            yield str(expr.path[0]), "given"
    elif expr.op == "estimate":
        yield from ((str(expr.path[0]), part) for part in ("mean", "deviation"))
    elif expr.op == "element" and isinstance(expr.path[0], int):
        level = expr.path[0]
        if level % 2 == 0 and level // 2 < len(frames):
            source = frames[-1 - level // 2]
            for index in range(source.type.size):
                yield str(source.path[0]) if source.path else "", (index, *expr.path[1:])
    if expr.op in ("exists", "missing"):
        yield from ((str(arg.path[0]), expr.op) for arg in expr.args if arg.op == "read" and arg.path)
        return
    for index, arg in enumerate(expr.args):
        part = arg.args[0] if arg.op == "spread" else arg
        if expr.op == "??" and part.op == "read" and index < len(expr.args) - 1:
            yield str(part.path[0]), "given"
        inside = expr.op in ITERATORS and index == 1
        yield from _looks(part, (*frames, expr.args[0]) if inside else frames)
