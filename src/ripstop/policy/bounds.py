"""What a policy can cost at most: memory, the longest window, operations; known before it runs."""

from __future__ import annotations

from dataclasses import asdict

from ripstop.core.canonical import Json
from ripstop.core.value import dataclass
from ripstop.policy.budgets import Quota
from ripstop.policy.document import Policy
from ripstop.policy.ir import ITERATORS, TEMPORAL, Expr
from ripstop.policy.temporal import window_us

_MOMENT, _TRUTH, _NUMBER = 8, 1, 8  # bytes, as a C structure holds them


@dataclass(frozen=True, slots=True)
class Bounds:
    """A policy's bounds.

    `memory_bytes` is what temporal operators and budgets keep between samples; it does not depend on how many
    samples there are. `operations` counts operator applications of one decision in the worst case, lists
    unrolled to their declared size; None where a list has none. `memory_operations` is the same for one
    observation, without samples that expire.
    """

    memory_bytes: int
    window_s: float
    operations: int | None
    memory_operations: int | None
    atoms: int

    def to_json(self) -> dict[str, Json]:
        """Give the fields."""
        return asdict(self)


def bounds(policy: Policy) -> Bounds:
    """Give a policy's bounds."""
    program = policy.program
    roots = (program.rule, *program.whens)
    windows = [expr for expr in program.windows if expr.op != "previous"]
    longest = max((window_us(_window(expr)) for expr in windows), default=0)
    spans = [budget.within_s for budget in policy.budgets if isinstance(budget, Quota)]
    return Bounds(
        _memory(policy),
        max([longest / 1e6, *spans]),
        _total([_operations(root) for root in roots]),
        _total([_operations(arg) for expr in program.windows for arg in expr.args] + [len(program.windows)]),
        len(program.atoms),
    )


def _window(expr: Expr) -> Json:
    return expr.args[2 if expr.op == "since" else 1].value


def _memory(policy: Policy) -> int:
    total = 0
    watched: set[str] = set()
    for expr in policy.program.windows:
        total += {
            "once": _TRUTH + 3 * _MOMENT,
            "historically": _TRUTH + 3 * _MOMENT,
            "since": 2 * (_TRUTH + _MOMENT),
            "previous": 2 * _NUMBER + _MOMENT,
        }.get(expr.op, 0)
        if expr.op == "count_within":
            total += 2 * _TRUTH + _MOMENT * (1 + int(str(expr.args[2].value)))
        watched.update(str(each.path[0]) for each in expr.walk() if each.op in ("read", "estimate"))
    total += len(watched) * (_NUMBER + _MOMENT)
    for budget in policy.budgets:
        total += budget.at_most * _MOMENT if isinstance(budget, Quota) else _NUMBER + _MOMENT
    return total


def _total(parts: list[int | None]) -> int | None:
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def _operations(expr: Expr) -> int | None:
    """Count the applications of one evaluation, as if nothing were skipped or shared."""
    if not expr.args or expr.op in TEMPORAL:
        return 0 if expr.op == "const" else 1
    if expr.op in ITERATORS:
        outside = _total([_operations(arg) for index, arg in enumerate(expr.args) if index != 1])
        inside, size = _operations(expr.args[1]), _size(expr.args[0])
        return None if outside is None or inside is None or size is None else 1 + outside + size * inside
    own = max(1, len(expr.args) - 1)
    if expr.op == "in":
        own = _size(expr.args[1]) or own
    return _total([own, *map(_operations, expr.args)])


def _size(elements: Expr) -> int | None:
    """Give how many elements a list has at most; None where nothing says it."""
    if elements.op == "const" and isinstance(elements.value, list):
        return len(elements.value)
    if elements.op == "list":
        return len(elements.args)
    if elements.op in ("map", "filter"):
        return _size(elements.args[0])
    return elements.type.size or None
