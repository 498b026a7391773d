"""What a policy can cost at most: memory, the longest window, operations; known before it runs."""

from __future__ import annotations

from dataclasses import asdict

from ripstop.core.canonical import Json
from ripstop.core.value import dataclass
from ripstop.policy.budgets import Quota
from ripstop.policy.document import Policy
from ripstop.policy.ir import ITERATORS, TEMPORAL, Expr
from ripstop.policy.layout import LATEST, numbers_of, of_budget, of_operator, of_signal, places_of
from ripstop.policy.temporal import window_us


@dataclass(frozen=True, slots=True)
class Bounds:
    """A policy's bounds.

    `memory_bytes` is what temporal operators and budgets keep between samples, to the byte what a compiled
    module or header keeps (`layout`); it does not depend on how many samples there are. `operations` counts
    operator applications of one decision in the worst case, lists unrolled to their declared size; None where
    a list has none. `memory_operations` is the same for one observation, without samples that expire.
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
    windows = policy.program.windows
    if not windows and not policy.budgets:
        return 0
    conditions = (arg for expr in windows for arg in expr.args)
    parts = [LATEST, *map(of_signal, numbers_of(conditions, policy.vocabulary.signals).values())]
    parts += [of_operator(expr.op, _most(expr)) for expr in windows]
    parts += map(of_budget, policy.budgets)
    return places_of(parts)[1].size_bytes


def _most(expr: Expr) -> int:
    return int(str(expr.args[2].value)) if expr.op == "count_within" else 0


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
