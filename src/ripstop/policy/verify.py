"""The IR's verifier: what must hold of a lowered program before an engine takes it."""

from __future__ import annotations

from ripstop.core.errors import InternalError
from ripstop.policy.ir import LEAVES, LOGIC, TEMPORAL, Expr, opens_scope
from ripstop.policy.lower import Lowered
from ripstop.policy.operators import OPERATORS

_WRITTEN_OTHERWISE = ("list", "spread")
MOST_NODES = 100_000


class IrError(InternalError):
    """A program that no engine may take (X0401)."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="X0401")


def verify(lowered: Lowered) -> None:
    """Check a lowered program.

    Raises:
        IrError: an unknown operator, a wrong number of arguments, a read without a name, an element outside
            an iterator, a window that is not constant, logic that is not in normal form, or an atom that the
            table of atoms lacks.
    """
    atoms = {id(atom) for atom in lowered.atoms}
    if len(atoms) != len(lowered.atoms):
        raise IrError("an atom stands twice in the table of atoms")
    for root in (lowered.rule, *lowered.whens):
        _verify_logic(root, atoms)
    for atom in lowered.atoms:
        if atom.op == "const":
            raise IrError("a constant is no atom")
        _verify_value(atom)


def _verify_logic(expr: Expr, atoms: set[int]) -> None:
    """Logic in normal form: `!` only before atoms, constants only as truths."""
    pending = [expr]
    seen = 0
    while pending:
        part = pending.pop()
        seen += 1
        if seen > MOST_NODES:
            raise IrError("the logic is too large")
        if part.op == "const":
            if not isinstance(part.value, bool):
                raise IrError("a constant in boolean position is a truth")
        elif id(part) in atoms:
            continue
        elif part.op == "!":
            if len(part.args) != 1 or id(part.args[0]) not in atoms:
                raise IrError("`!` stands before something else than an atom")
        elif part.op in ("and", "or"):
            if len(part.args) < 2 or any(arg.op == part.op for arg in part.args):
                raise IrError(f"`{part.op}` is not flat")
            pending.extend(part.args)
        elif part.op == "if" and len(part.args) % 2:
            pending.extend(part.args)
        else:
            raise IrError(f"`{part.op}` is neither logic in normal form nor an atom of the table")


def _verify_value(atom: Expr) -> None:
    """Check every node of an atom once for each number of scopes around it."""
    pending = [(atom, 0)]
    seen: set[tuple[int, int]] = set()
    while pending:
        expr, depth = pending.pop()
        if (id(expr), depth) in seen:
            continue
        seen.add((id(expr), depth))
        _verify_node(expr, depth)
        pending.extend((arg, depth + opens_scope(expr.op, index)) for index, arg in enumerate(expr.args))


def _verify_node(expr: Expr, depth: int) -> None:
    if expr.op in LEAVES:
        if expr.op in ("read", "estimate") and not (expr.path and isinstance(expr.path[0], str)):
            raise IrError("a read has no name")
        if expr.op == "element" and not (expr.path and isinstance(expr.path[0], int)):
            raise IrError("an element has no level")
        if expr.op == "element" and int(expr.path[0]) // 2 >= depth:
            raise IrError("an element is read outside its iterator")
        return
    if expr.op in _WRITTEN_OTHERWISE or expr.op in LOGIC:
        return
    operator = OPERATORS.get(expr.op)
    if operator is None:
        raise IrError(f"there is no operator `{expr.op}`")
    is_spread = len(expr.args) == 1 and expr.args[0].op == "spread"
    is_listed = is_spread or expr.op in ("exists", "missing", "missing_some")
    most = len(expr.args) if operator.most is None else operator.most
    if not is_listed and not operator.least <= len(expr.args) <= most:
        raise IrError(f"`{expr.op}` has {len(expr.args)} arguments")
    if expr.op in TEMPORAL and expr.op != "previous" and any(arg.op != "const" for arg in _constants(expr)):
        raise IrError(f"the window of `{expr.op}` is not constant")


def _constants(expr: Expr) -> tuple[Expr, ...]:
    return expr.args[2:] if expr.op == "since" else expr.args[1:]
