"""What undeclared names are used for: an edge engine has to know a value's type beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from ripstop.backends.edge.inputs import Held, agree
from ripstop.core.vocabulary import SignalSpec
from ripstop.policy.ir import LOGIC, TEMPORAL, Expr, Step
from ripstop.policy.kinds import Kind
from ripstop.policy.operators import OPERATORS

QUANTIFIERS = ("all", "some", "none")
_DECLARED: Mapping[str, Held] = {
    "number": Held.STRICT_NUMBER,  # a boolean that is read as a number has become one
    "timestamp": Held.STRICT_NUMBER,
    "boolean": Held.BOOLEAN,
    "string": Held.TEXT,
    "list": Held.LIST,
}
HELD_BY_KIND: Mapping[Kind, Held] = {
    Kind.NUMBER: Held.STRICT_NUMBER,
    Kind.TIMESTAMP: Held.STRICT_NUMBER,
    Kind.BOOLEAN: Held.BOOLEAN,
    Kind.STRING: Held.TEXT,
    Kind.LIST: Held.LIST,
}
_NUMERIC = ("sum", "product", "quotient", "remainder", "within")

Key: TypeAlias = "tuple[Step, ...]"  # a signal's name, or a list's name, `[]` and a field


class Outside(Exception):  # noqa: N818 (a reason; what comes of it is the caller's business)
    """An expression that an edge engine does not have; `expr` is where, the text says why."""

    def __init__(self, why: str, expr: Expr | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.expr = expr


def declared(spec: SignalSpec) -> Held | None:
    """Give what a declared name holds; None for what no edge engine is given."""
    return _DECLARED.get(spec.type)


def through(expr: Expr) -> Expr:
    """See through `spread`: what edge engines read gives one value."""
    return expr.args[0] if expr.op == "spread" else expr


@dataclass(slots=True)
class Uses:
    """Collects the uses of each undeclared name over all expressions of an engine."""

    found: dict[Key, list[Held]] = field(default_factory=dict)
    _seen: set[tuple[int, tuple[str, ...]]] = field(default_factory=set)

    def note(self, root: Expr) -> None:
        """Take an expression that stands in boolean position."""
        self._take(root, [Held.BOOLEAN], ())

    def held(self, key: Key, expr: Expr) -> Held:
        """Give what a name is taken for.

        Raises:
            Outside: when its uses do not agree.
        """
        found = agree(self.found.get(key, ()))
        if found is None:
            raise Outside(f"`{key[0]}` is not declared and used as values of several types", expr)
        return found

    def _take(self, expr: Expr, held: Sequence[Held], frames: tuple[str, ...]) -> None:
        known = HELD_BY_KIND.get(expr.type.kind)
        if known is not None and not expr.args:
            held = [known]  # a parameter of one action, looked at without it
        if expr.op == "read" and expr.path:
            self.found.setdefault(expr.path[:1], []).extend(held)
        elif expr.op == "element" and expr.path and isinstance(expr.path[0], int):
            level = expr.path[0]
            if level % 2 == 0 and level // 2 < len(frames):
                key = (frames[-1 - level // 2], "[]", *expr.path[1:])
                self.found.setdefault(key, []).extend(held)
        if (id(expr), frames) in self._seen:
            return
        self._seen.add((id(expr), frames))
        if expr.op in TEMPORAL:
            return  # what stands inside is evaluated when it is observed
        for index, arg in enumerate(expr.args):
            inner = frames
            if expr.op in QUANTIFIERS and index == 1:
                inner = (*frames, str(expr.args[0].path[0]) if expr.args[0].path else "")
            self._take(through(arg), _use(expr, index), inner)


def _use(expr: Expr, index: int) -> list[Held]:
    """Tell what an operator takes its argument for; nothing when it takes anything."""
    if expr.op in LOGIC:
        return [Held.BOOLEAN] if expr.op != "if" or index % 2 == 0 else []
    typing = OPERATORS[expr.op].typing if expr.op in OPERATORS else ""
    if typing in _NUMERIC:
        return [Held.NUMBER]
    if typing == "extreme":
        return [Held.STRICT_NUMBER]
    if typing == "quantifier":
        return [Held.LIST] if index == 0 else [Held.BOOLEAN]
    if typing in ("order", "equality", "membership"):
        strict = typing == "membership" or expr.op in ("===", "!==")
        kinds = (_sort(other, strict=strict) for other in expr.args)
        return [held for held in kinds if held is not None]
    if typing in ("coalesce", "var", "") and expr.op in ("read", "??"):
        held = [_sort(other, strict=False) for other in expr.args]
        return [each for each in held if each is not None]
    return []


def _sort(other: Expr, *, strict: bool) -> Held | None:
    """Tell what the other side of a comparison is."""
    kind = other.type.item if other.type.kind is Kind.LIST and other.op == "const" else other.type.kind
    if kind in (Kind.NUMBER, Kind.TIMESTAMP):
        return Held.STRICT_NUMBER if strict else Held.NUMBER
    return {Kind.STRING: Held.TEXT, Kind.BOOLEAN: Held.BOOLEAN}.get(kind)
