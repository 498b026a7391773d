"""The units that literals carry in the readable form, checked against those that they stand beside."""

from __future__ import annotations

from collections.abc import Sequence

from ripstop.policy.diagnostics import Findings
from ripstop.policy.ir import Expr
from ripstop.policy.kinds import Kind
from ripstop.policy.source import Node, shown
from ripstop.policy.units import DIMENSIONLESS, SECONDS, Unit, parse_unit

_ALIGNED = ("sum", "order", "equality", "extreme", "remainder", "membership", "choice")
_WINDOWS = ("within", "window", "count_within")


def check_written_units(typing: str, nodes: Sequence[Node], args: Sequence[Expr], findings: Findings) -> None:
    """Check the units that literals carry in the readable form against those that they stand beside.

    Args:
        typing: the operator's typing rule: what its literals take their unit from.
        nodes: its arguments as written.
        args: the same, elaborated.
        findings: where what does not match goes.
    """
    written = [
        (part, parse_unit(part.unit)) for node in nodes for part in (node, *(node.items or ())) if part.unit
    ]
    if not written:
        return
    expected = _expected_unit(typing, args)
    for node, unit in written:
        if unit is None:
            findings.error("E0204", f"`{shown(node.unit)}` is not a unit", node)
        elif expected is None:
            expected = unit if typing in _ALIGNED else None
        elif unit != expected:
            findings.error(
                "E0204",
                f"expected {_named(expected)} here, got `{shown(node.unit)}`",
                node,
                "no unit is converted: write the number in the unit of the other side",
            )


def _expected_unit(typing: str, args: Sequence[Expr]) -> Unit | None:
    if typing in _WINDOWS:
        return SECONDS
    if typing in ("product", "quotient"):
        return DIMENSIONLESS
    if typing not in _ALIGNED:
        return None
    if any(arg.type.kind is Kind.TIMESTAMP for arg in args):
        return SECONDS
    known = [arg.type.unit for arg in args if arg.op != "const" and arg.type.kind is Kind.NUMBER]
    return next((unit for unit in known if unit is not None), None)


def _named(unit: Unit) -> str:
    return f"`{unit}`" if unit.powers else "no unit"
