"""From nodes to Python, for the few rows that a long chain leaves: a NumPy call costs as much as ten of them.

    (or (< #1 0.2) (> #3 5))    becomes    lambda rows, v1, v3: [(v1[i] < 0.2 or v3[i] > 5.0) for i in rows]

Everything that is read has been looked at before, and can be used; so there is no NaN here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TypeAlias

from ripstop.backends.edge.nodes import (
    Atom,
    Bool,
    Choice,
    Compare,
    Const,
    Every,
    Guarded,
    Load,
    Not,
    Num,
    Some,
    Truth,
)

Few: TypeAlias = "Callable[..., list[bool]]"
_MOST_PARTS = 1000  # of which Python is made at all
_LINE = "\n"  # parts stand on lines of their own: CPython 3.11 can lose jumps within one (`python.assemble`)


class _Other(Exception):  # noqa: N818 (a jump, not an error)
    """A node that is left to NumPy."""


@dataclass(frozen=True, slots=True)
class RowByRow:
    """What parts of a chain come to: `test` takes places of rows, then the columns of `inputs`."""

    inputs: tuple[int, ...]
    test: Few


def row_by_row(parts: Sequence[Bool], *, is_and: bool) -> RowByRow | None:
    """Make Python of a chain's parts; nothing where they hold more than logic and comparisons of inputs."""
    reads: dict[int, None] = {}
    try:
        text = _chained("and" if is_and else "or", parts, reads)
        names = "".join(f", v{index}" for index in reads)
        made: Few = eval(f"lambda rows{names}: [{text} for i in rows]")  # noqa: S307 (operators, numbers, indices)
    except (_Other, RecursionError, MemoryError, SyntaxError):  # the last three from Python's compiler
        return None
    return RowByRow(tuple(reads), made)


def _chained(word: str, parts: Sequence[Bool], reads: dict[int, None]) -> str:
    if len(parts) > _MOST_PARTS:
        raise _Other
    return f"({f' {word}{_LINE}'.join(_text(part, reads) for part in parts)})"


def _text(node: Bool, reads: dict[int, None]) -> str:
    match node:
        case Truth(value):
            return str(value)
        case Compare(op, left, right):
            return f"{_number(left, reads)} {op} {_number(right, reads)}"
        case Not(part):
            return f"(not {_text(part, reads)})"
        case Every(parts):
            return _chained("and", parts, reads)
        case Some(parts):
            return _chained("or", parts, reads)
        case Choice(condition, first, second):
            test = _text(condition, reads)
            return f"({_text(first, reads)}{_LINE}if {test}{_LINE}else {_text(second, reads)})"
        case Atom(_, test):
            return _text(test, reads)
        case Guarded(inputs, body):
            reads.update(dict.fromkeys(inputs))
            return _text(body, reads)
    raise _Other


def _number(node: Num, reads: dict[int, None]) -> str:
    match node:
        case Load(index):
            reads[index] = None
            return f"v{index}[i]"
        case Const(value) if isfinite(value):
            return repr(float(value))
    raise _Other
