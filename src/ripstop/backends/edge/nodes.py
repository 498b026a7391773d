"""What the edge engines run: numbers and truths, everything dynamic gone.

    (all near (< (element load) 0.5))   becomes   length > 0 and (length <= 0 or near[0].load < 0.5) and ...

Quantifiers are unrolled, texts are codes, chains are pairs. Every number is binary64. Two nodes can end an
evaluation as UNKNOWN: `Guarded`, when an input cannot be used, and `Checked`, when a result is not finite.
`Every` and `Some` stop at the first part that settles them, `Choice` and `Select` evaluate one side.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Const:
    """A number written out."""

    value: float


@dataclass(frozen=True, slots=True)
class Load:
    """The value of an input."""

    input: int


@dataclass(frozen=True, slots=True)
class Arith:
    """Arithmetic on one argument (`neg`, `abs`) or two (`+ - * / % min max`)."""

    op: str
    args: tuple[Num, ...]


@dataclass(frozen=True, slots=True)
class Checked:
    """A number that has to be finite, else the evaluation is UNKNOWN."""

    value: Num


@dataclass(frozen=True, slots=True)
class Select:
    """One of two numbers."""

    condition: Bool
    then: Num
    other: Num


@dataclass(frozen=True, slots=True)
class GuardedNumber:
    """A number that may be evaluated once some inputs have been found usable."""

    inputs: tuple[int, ...]
    body: Num


@dataclass(frozen=True, slots=True)
class Truth:
    """A truth written out."""

    value: bool


@dataclass(frozen=True, slots=True)
class Compare:
    """A comparison of two numbers: `< <= > >= == !=`."""

    op: str
    left: Num
    right: Num


@dataclass(frozen=True, slots=True)
class Every:
    """True when all parts are; stops at the first that is not."""

    parts: tuple[Bool, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """True when a part is; stops at the first that is."""

    parts: tuple[Bool, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    part: Bool


@dataclass(frozen=True, slots=True)
class Choice:
    """One of two truths."""

    condition: Bool
    then: Bool
    other: Bool


@dataclass(frozen=True, slots=True)
class Atom:
    """An atom: evidence is taken of whether it is reached, and whether it holds."""

    index: int
    test: Bool


@dataclass(frozen=True, slots=True)
class Guarded:
    """A truth that may be evaluated once some inputs have been found usable."""

    inputs: tuple[int, ...]
    body: Bool


Num: TypeAlias = "Const | Load | Arith | Checked | Select | GuardedNumber"
Bool: TypeAlias = "Truth | Compare | Every | Some | Not | Choice | Atom | Guarded"
Node: TypeAlias = "Num | Bool"


def children(node: Node) -> tuple[Node, ...]:
    """Give the parts of a node, in the order of evaluation."""
    match node:
        case Arith(_, args):
            return args
        case Checked(value):
            return (value,)
        case Select(condition, yes, no):
            return (condition, yes, no)
        case Choice(condition, first, second):
            return (condition, first, second)
        case Compare(_, left, right):
            return (left, right)
        case Every(parts) | Some(parts):
            return parts
        case Not(part):
            return (part,)
        case Atom(_, test):
            return (test,)
        case Guarded(_, truth):
            return (truth,)
        case GuardedNumber(_, number):
            return (number,)
        case _:
            return ()


def walk(node: Node) -> Iterator[Node]:
    """Give every node, one that stands in two places twice."""
    pending = [node]
    while pending:
        each = pending.pop()
        yield each
        pending.extend(reversed(children(each)))


def depth_of(node: Node) -> int:
    """Give how many nodes stand in one another."""
    level, depth = [node], 0
    while level:
        level, depth = [part for each in level for part in children(each)], depth + 1
    return depth


def may_end(node: Node) -> bool:
    """Whether evaluating the node may end as UNKNOWN."""
    return any(isinstance(each, Guarded | GuardedNumber | Checked) for each in walk(node))


def is_plain(node: Node, most: int = 12) -> bool:
    """Whether the node is small and has no effect: it may be evaluated where it need not be."""
    for count, each in enumerate(walk(node)):
        if count >= most or isinstance(each, Guarded | GuardedNumber | Checked | Atom | Select | Choice):
            return False
    return True
