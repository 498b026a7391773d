"""Puts the checks of inputs where a path first needs them.

    Every(Compare(<, Load 0, 30), Compare(<, Load 0, Load 1))
    becomes    Every(Guarded((0,), Compare(<, Load 0, 30)), Guarded((1,), Compare(<, Load 0, Load 1)))

Which inputs have certainly been checked after a true and after a false outcome is followed as a compiler
follows definite assignment. Within what is evaluated as a whole the order of checks does not matter: each
ends the evaluation as UNKNOWN, with the same evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias, assert_never

from ripstop.backends.edge.inputs import Input
from ripstop.backends.edge.nodes import (
    Arith,
    Atom,
    Bool,
    Checked,
    Choice,
    Compare,
    Const,
    Every,
    Guarded,
    GuardedNumber,
    Load,
    Not,
    Num,
    Select,
    Some,
    Truth,
)

Known: TypeAlias = "frozenset[int]"
NOTHING: Known = frozenset()


@dataclass(frozen=True, slots=True)
class Guards:
    """Places the checks of the inputs of one engine."""

    inputs: Sequence[Input]

    def place(self, node: Bool, known: Known = NOTHING) -> tuple[Bool, Known, Known]:
        """Give the node with its checks, and what is known to be usable after true, and after false."""
        match node:
            case Truth():
                return node, known, known
            case Not(part):
                inner, true, false = self.place(part, known)
                return Not(inner), false, true
            case Atom(index, test):
                inner, true, false = self.place(test, known)
                return Atom(index, inner), true, false
            case Every(parts):
                placed, going, stopped = self._chain(parts, known, is_and=True)
                return Every(placed), going, stopped
            case Some(parts):
                placed, going, stopped = self._chain(parts, known, is_and=False)
                return Some(placed), stopped, going
            case Choice(condition, first, second):
                test, yes, no = self.place(condition, known)
                one, one_true, one_false = self.place(first, yes)
                two, two_true, two_false = self.place(second, no)
                return Choice(test, one, two), one_true & two_true, one_false & two_false
            case Compare(op, left, right):
                wanted = self._needed(left) | self._needed(right)
                after = known | wanted
                body: Bool = Compare(op, self._number(left, after), self._number(right, after))
                fresh = tuple(sorted(wanted - known))
                return Guarded(fresh, body) if fresh else body, after, after
            case Guarded():
                return node, known, known
            case _:
                assert_never(node)

    def _chain(
        self, parts: Sequence[Bool], known: Known, *, is_and: bool
    ) -> tuple[tuple[Bool, ...], Known, Known]:
        """Place a chain; give what is known when it went on to its end, and wherever it stopped."""
        placed: list[Bool] = []
        stopped: Known | None = None
        for part in parts:
            inner, true, false = self.place(part, known)
            placed.append(inner)
            known, stop = (true, false) if is_and else (false, true)
            stopped = stop if stopped is None else stopped & stop
        return tuple(placed), known, known if stopped is None else stopped

    def _number(self, node: Num, known: Known) -> Num:
        """Place checks inside a number, in the parts that may not be evaluated."""
        match node:
            case Const() | Load() | GuardedNumber():
                return node
            case Arith(op, args):
                return Arith(op, tuple(self._number(arg, known) for arg in args))
            case Checked(value):
                return Checked(self._number(value, known))
            case Select(condition, first, second):
                test, yes, no = self.place(condition, known)
                return Select(test, self._branch(first, yes), self._branch(second, no))
            case _:
                assert_never(node)

    def _branch(self, node: Num, known: Known) -> Num:
        wanted = self._needed(node)
        body = self._number(node, known | wanted)
        fresh = tuple(sorted(wanted - known))
        return GuardedNumber(fresh, body) if fresh else body

    def _needed(self, node: Num) -> Known:
        """Give the inputs that the number reads whatever happens (a condition checks its own)."""
        match node:
            case Load(index):
                return frozenset((index,)) if self.inputs[index].is_guarded else NOTHING
            case Arith(_, args):
                return frozenset().union(*map(self._needed, args))
            case Checked(value):
                return self._needed(value)
            case Const() | Select() | GuardedNumber():
                return NOTHING
            case _:
                assert_never(node)
