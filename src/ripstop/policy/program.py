"""A policy's expressions as a whole, and its atoms: what evidence is told about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field

from ripstop.core.value import dataclass
from ripstop.policy.ir import LOGIC, TEMPORAL, Expr

_READS = ("read", "estimate")


@dataclass(frozen=True, slots=True)
class Program:
    """The rule and the limits' conditions of one policy.

    `atoms` are the maximal sub-expressions in boolean position whose head is not `and or ! !! if`, without
    literals, each once, in the order of the canonical document: there `limits` comes before `rule`.
    `reads` are the signals and parameters that are read, `windows` the temporal operators, inner ones
    first, `recalls` those that stand in no other.
    """

    rule: Expr
    whens: tuple[Expr, ...]
    atoms: tuple[Expr, ...] = field(init=False)
    reads: tuple[str, ...] = field(init=False)
    windows: tuple[Expr, ...] = field(init=False)
    recalls: tuple[Expr, ...] = field(init=False)

    def __post_init__(self) -> None:
        roots = (*self.whens, self.rule)
        atoms = {id(atom): atom for root in roots for atom in atoms_of(root)}
        object.__setattr__(self, "atoms", tuple(atoms.values()))
        names = {str(each.path[0]): None for root in roots for each in root.walk() if each.op in _READS}
        object.__setattr__(self, "reads", tuple(names))
        found = {id(each): each for root in roots for each in root.walk() if each.op in TEMPORAL}
        object.__setattr__(self, "windows", tuple(sorted(found.values(), key=_depth)))
        outer = {id(each): each for root in roots for each in root.walk(present=True) if each.op in TEMPORAL}
        object.__setattr__(self, "recalls", tuple(outer.values()))


def atoms_of(expr: Expr) -> Iterator[Expr]:
    """Give the atoms of an expression in boolean position, in source order."""
    if expr.op in LOGIC:
        for arg in expr.args:
            yield from atoms_of(arg)
    elif expr.op != "const":
        yield expr


def _depth(expr: Expr) -> int:
    """Count the temporal operators along the deepest line inside an expression."""
    inner = max(map(_depth, expr.args), default=0)
    return inner + (expr.op in TEMPORAL)
