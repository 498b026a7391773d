"""What the edge engines do to their memory: a few statements over whole numbers of 64 bits.

    If(Rel("<", Local("t"), Moment(Whole(0))), [Return(Whole(0))])
    becomes in C        if (t < m->moments[0]) { return 0; }
    and in WebAssembly  local.get 1   local.get 0   i64.load   i64.lt_s   if   i64.const 0   return   end

`policy.layout` says what the memory's arrays are. A truth is 0 (false), 1 (true) or 2 (unknown). Numbers are
those of `nodes`: `Load(n)` reads what `SetNumber(n, ...)` has set, or a number that the routine is given.
There is no recursion, and a `Repeat` says how often at most: so an engine can tell beforehand how many
instructions a call takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ripstop.backends.edge.nodes import Bool, Num

FALSE, TRUE, UNKNOWN = 0, 1, 2
SIGNALS_A_WORD = 64


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number written out."""

    value: int


@dataclass(frozen=True, slots=True)
class Local:
    """A variable of the routine, or one of its parameters."""

    name: str


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment kept in memory."""

    index: WholeExpr


@dataclass(frozen=True, slots=True)
class Index:
    """An index kept in memory."""

    index: int


@dataclass(frozen=True, slots=True)
class Mark:
    """A truth kept in memory."""

    index: int


@dataclass(frozen=True, slots=True)
class Binary:
    """A sum or a difference (`+ -`) that cannot overflow."""

    op: str
    left: WholeExpr
    right: WholeExpr


@dataclass(frozen=True, slots=True)
class Half:
    """Half of a number that is not negative, rounded down."""

    of: WholeExpr


@dataclass(frozen=True, slots=True)
class Rel:
    """A comparison of two whole numbers: `< <= > >= == !=`."""

    op: str
    left: WholeExpr
    right: WholeExpr


@dataclass(frozen=True, slots=True)
class Both:
    """Whether all tests hold; they have no effect, so an engine may look at all of them."""

    parts: tuple[Test, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """Whether a test holds."""

    parts: tuple[Test, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """Whether the samples of a signal are new: a bit of the word `sampled`, or of those after it."""

    signal: int

    @property
    def word(self) -> str:
        """The parameter that has the bit."""
        number = self.signal // SIGNALS_A_WORD
        return f"sampled_{number}" if number else "sampled"

    @property
    def bit(self) -> int:
        """The bit's number in its word."""
        return self.signal % SIGNALS_A_WORD


@dataclass(frozen=True, slots=True)
class Says:
    """Whether a truth of `nodes` holds that cannot end as UNKNOWN."""

    node: Bool


@dataclass(frozen=True, slots=True)
class Kept:
    """A number kept in memory."""

    index: int


@dataclass(frozen=True, slots=True)
class Converted:
    """A whole number as binary64, rounded to nearest."""

    of: WholeExpr


@dataclass(frozen=True, slots=True)
class Nothing:
    """NaN, always the same bits."""


@dataclass(frozen=True, slots=True)
class Set:
    """Set a variable."""

    name: str
    value: WholeExpr


@dataclass(frozen=True, slots=True)
class SetNumber:
    """Set what `Load(load)` reads from here on."""

    load: int
    value: NumberExpr


@dataclass(frozen=True, slots=True)
class Put:
    """Write a cell of memory."""

    cell: Moment | Index | Mark
    value: WholeExpr


@dataclass(frozen=True, slots=True)
class PutNumber:
    """Write a number to memory."""

    index: int
    value: NumberExpr


@dataclass(frozen=True, slots=True)
class Judge:
    """Evaluate a condition and set a variable to its truth."""

    name: str
    node: Bool


@dataclass(frozen=True, slots=True)
class If:
    """Do one thing or another."""

    test: Test
    then: Sequence[Statement]
    other: Sequence[Statement] = ()


@dataclass(frozen=True, slots=True)
class Repeat:
    """Do something again and again, `most` times; `Leave` ends it before."""

    most: int
    body: Sequence[Statement]


@dataclass(frozen=True, slots=True)
class Leave:
    """End the innermost `Repeat`."""


@dataclass(frozen=True, slots=True)
class Call:
    """Call another routine over the same memory; `name` takes its result."""

    routine: str
    args: tuple[WholeExpr, ...]
    name: str = ""


@dataclass(frozen=True, slots=True)
class Fork:
    """From here on work on a copy of the memory, which nobody else sees."""


@dataclass(frozen=True, slots=True)
class Return:
    """End the routine."""

    value: WholeExpr | None = None


WholeExpr: TypeAlias = "Whole | Local | Moment | Index | Mark | Binary | Half"
Test: TypeAlias = "Rel | Both | Either | Asked | Says"
NumberExpr: TypeAlias = "Num | Kept | Converted | Nothing"
Statement: TypeAlias = (
    "Set | SetNumber | Put | PutNumber | Judge | If | Repeat | Leave | Call | Fork | Return"
)


@dataclass(frozen=True, slots=True)
class Routine:
    """A function over the memory.

    `parameters` are whole numbers; `costs` names the binary64 numbers that follow them, `Load(0)` and on.
    Where `takes_samples`, words that say which signals are new (`Asked`) and the signals' numbers follow.
    """

    name: str
    parameters: tuple[str, ...]
    body: Sequence[Statement]
    returns: bool = False
    changes: bool = True
    takes_samples: bool = False
    costs: tuple[str, ...] = ()
