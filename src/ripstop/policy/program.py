"""A policy's expressions as a whole, and its atoms: what evidence is told about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ripstop.policy.ir import LOGIC, Expr


@dataclass(frozen=True, slots=True)
class Program:
    """The rule and the limits' conditions of one policy.

    `atoms` are the maximal sub-expressions in boolean position whose head is not `and or ! !! if`, without
    literals, each once, in the order of the canonical document: there `limits` comes before `rule`.
    """

    rule: Expr
    whens: tuple[Expr, ...]
    atoms: tuple[Expr, ...] = field(init=False)
    reads: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        roots = (*self.whens, self.rule)
        atoms = {id(atom): atom for root in roots for atom in atoms_of(root)}
        object.__setattr__(self, "atoms", tuple(atoms.values()))
        names = {str(expr.path[0]): None for root in roots for expr in root.walk() if expr.op == "read"}
        object.__setattr__(self, "reads", tuple(names))


def atoms_of(expr: Expr) -> Iterator[Expr]:
    """Give the atoms of an expression in boolean position, in source order."""
    if expr.op in LOGIC:
        for arg in expr.args:
            yield from atoms_of(arg)
    elif expr.op != "const":
        yield expr
