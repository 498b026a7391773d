"""The IR for people: one line for each shared expression, in the order in which they are needed.

%0 = (read battery_percent) : number in %
%1 = (< %0 30) : boolean                      ; atom 0
rule: (or (! %1) %3)
"""

from __future__ import annotations

from ripstop.core.canonical import canonical_json
from ripstop.policy.ir import Expr
from ripstop.policy.lower import Lowered


def printed(lowered: Lowered) -> str:
    """Print a lowered program."""
    names: dict[int, str] = {}
    lines: list[str] = []
    for number, atom in enumerate(lowered.atoms):
        _define(atom, names, lines)
        lines[-1] += f"  ; atom {number}"
    for index, when in enumerate(lowered.whens):
        lines.append(f"limit {index} when: {_inline(when, names)}")
    lines.append(f"rule: {_inline(lowered.rule, names)}")
    return "\n".join(lines) + "\n"


def _define(expr: Expr, names: dict[int, str], lines: list[str]) -> None:
    for arg in expr.args:
        if arg.op != "const" and id(arg) not in names:
            _define(arg, names, lines)
    if id(expr) not in names:
        lines.append(f"%{len(names)} = {_shown(expr, names)} : {expr.type}")
        names[id(expr)] = f"%{len(names)}"


def _shown(expr: Expr, names: dict[int, str]) -> str:
    if expr.op == "const":
        return canonical_json(expr.value).decode()
    path = [".".join(map(str, expr.path))] if expr.path else []
    args = [_shown(arg, names) if arg.op == "const" else names[id(arg)] for arg in expr.args]
    return f"({' '.join([expr.op, *path, *args])})"


def _inline(expr: Expr, names: dict[int, str]) -> str:
    """Print logic around atoms."""
    if id(expr) in names:
        return names[id(expr)]
    if expr.op == "const":
        return canonical_json(expr.value).decode()
    return f"({' '.join([expr.op, *(_inline(arg, names) for arg in expr.args)])})"
