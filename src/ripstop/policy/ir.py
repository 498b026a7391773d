"""The intermediate representation: a typed, hash-consed DAG of operator applications.

    {"<": [{"var": "battery_percent"}, 30]}   becomes   (< (read battery_percent) (const 30))

Equal sub-expressions are one object (within one `Builder`), so identity is equality, and a pass may key on
it. The operators are those of `operators.OPERATORS`, by canonical name, and some that JSON writes in
other ways: `const`, `read` (a signal or parameter, by path; a default is its argument), `now`, `element` (a
value of an enclosing iterator: how far to climb, then a path), `estimate` (a read inside `chance`), `list`
(an array that is not constant), and `spread` (a lone argument that may give all of them).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import TypeAlias

from ripstop.core.canonical import Json, canonical_json
from ripstop.core.errors import Place
from ripstop.core.value import dataclass
from ripstop.policy.kinds import ANY, Type

Step: TypeAlias = "str | int"

LEAVES = ("const", "read", "now", "element", "estimate")
LOGIC = ("and", "or", "!", "!!", "if")
TEMPORAL = ("historically", "once", "since", "previous", "count_within")


@dataclass(frozen=True, slots=True, eq=False)
class Expr:
    """One operator application. `value` is a constant's value; `path` the steps of a read or an element."""

    op: str
    args: tuple[Expr, ...] = ()
    type: Type = ANY
    value: Json = None
    path: tuple[Step, ...] = ()
    place: Place = field(default_factory=Place)

    def walk(self, *, present: bool = False) -> Iterator[Expr]:
        """Give every distinct node once, parents before children, left before right.

        Args:
            present: do not go into temporal operators: what stands inside is evaluated when it is observed.
        """
        seen: set[int] = set()
        pending = [self]
        while pending:
            expr = pending.pop()
            if id(expr) not in seen:
                seen.add(id(expr))
                yield expr
                if not (present and expr.op in TEMPORAL):
                    pending.extend(reversed(expr.args))


class Builder:
    """Makes expressions so that equal ones are the same object."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, tuple[int, ...], tuple[Step, ...], bytes, Type], Expr] = {}

    def make(
        self,
        op: str,
        args: tuple[Expr, ...] = (),
        type: Type | None = None,  # noqa: A002 (the field's own name)
        *,
        value: Json = None,
        path: tuple[Step, ...] = (),
        place: Place | None = None,
    ) -> Expr:
        """Give the expression, made now or before; the place of the first one stays."""
        written = canonical_json(value) if op == "const" else b""
        key = (op, tuple(map(id, args)), path, written, type or ANY)
        expr = self._made.get(key)
        if expr is None:
            expr = Expr(op, args, type or ANY, value, path, place or Place())
            self._made[key] = expr
        return expr

    def constant(self, value: Json, type: Type, place: Place | None = None) -> Expr:  # noqa: A002 (as above)
        """Give a constant; minus zero becomes zero."""
        return self.make(
            "const", (), type, value=0 if value == 0 and not isinstance(value, bool) else value, place=place
        )


ITERATORS = ("map", "filter", "reduce", "all", "some", "none")


def opens_scope(op: str, index: int) -> bool:
    """Whether an argument is evaluated inside a new scope: an iterator's body, a `try`'s fallback."""
    return (op in ITERATORS and index == 1) or (op == "try" and index > 0)


def rule_of(expr: Expr, depth: int = 0) -> Json:
    """Print an expression back as JSON-Logic, in normal form: canonical names, arguments in arrays.

    Args:
        expr: the expression.
        depth: how many scopes stand around it.
    """
    if expr.op == "const":
        return {"preserve": expr.value} if _holds_object(expr.value) else expr.value
    if expr.op in ("read", "now", "element", "estimate"):
        return _read_of(expr, depth)
    if expr.op == "exists":
        return {"exists": _steps(expr.args[0], depth)}
    if expr.op == "missing":
        return {"missing": [_name(arg) for arg in expr.args]}
    if expr.op == "missing_some":
        return {"missing_some": [rule_of(expr.args[0], depth), [_name(arg) for arg in expr.args[1:]]]}
    if len(expr.args) == 1 and expr.args[0].op == "spread":
        return {expr.op: rule_of(expr.args[0].args[0], depth)}
    args: list[Json] = [
        rule_of(arg, depth + opens_scope(expr.op, index)) for index, arg in enumerate(expr.args)
    ]
    return args if expr.op == "list" else {expr.op: args}


def _holds_object(value: Json) -> bool:
    """Whether something in a value would be read as an expression."""
    if isinstance(value, list | tuple):
        return any(map(_holds_object, value))
    return isinstance(value, Mapping) and bool(value)


def _read_of(expr: Expr, depth: int) -> Json:
    if expr.args:
        return {"var": [_name(expr), rule_of(expr.args[0], depth)]}
    steps = _steps(expr, depth)
    if (
        steps
        and steps != [""]  # `{"var": ""}` is the whole element
        and isinstance(steps[0], str)
        and all(isinstance(step, str) and "." not in step for step in steps)
    ):
        return {"var": ".".join(map(str, steps))}
    return {"val": steps}


def _steps(expr: Expr, depth: int) -> list[Json]:
    """Give the steps as `val` writes them, with the climb in front."""
    if expr.op == "element":
        level, *steps = expr.path
    else:
        level, steps = 2 * depth, [*_path(expr)]
    return [[level], *steps] if level else [*steps]


def _name(expr: Expr) -> str:
    return ".".join(map(str, expr.path[1:] if expr.op == "element" else _path(expr)))


def _path(expr: Expr) -> Sequence[str | int]:
    """Give the path of what is read in the outermost scope; the clock has a name alone."""
    return ("now",) if expr.op == "now" else expr.path
