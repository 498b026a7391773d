"""A translated value: what it holds, its number or its truth, and a bound on its magnitude."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from ripstop.backends.edge.inputs import Held, Input
from ripstop.backends.edge.nodes import Bool, Compare, Const, Every, Num, Select, Some, Truth

_ZERO = Const(0.0)
_FALSE = Truth(False)


@dataclass(frozen=True, slots=True)
class Value:
    """A translated value: a truth where it holds one, else a number within `bound`.

    `is_open` marks a text that may be one outside the table, `origin` the input of a list.
    """

    held: Held
    number: Num = _ZERO
    truth: Bool = _FALSE
    bound: float = inf
    is_open: bool = False
    origin: Input | None = None

    def as_truth(self) -> Bool:
        """Give its truth: 0 and the empty text and list are false."""
        return self.truth if self.held is Held.BOOLEAN else Compare("!=", self.number, Const(0.0))

    def as_number(self) -> Num:
        """Give its number: a truth is 0 or 1."""
        return Select(self.truth, Const(1.0), Const(0.0)) if self.held is Held.BOOLEAN else self.number


def joined(is_and: bool, parts: Sequence[Bool]) -> Bool:
    """Join truths, nested ones of the same kind flattened."""
    kind = Every if is_and else Some
    flat: list[Bool] = []
    for part in parts:
        flat.extend(part.parts if isinstance(part, Every | Some) and type(part) is kind else (part,))
    return flat[0] if len(flat) == 1 else kind(tuple(flat))
