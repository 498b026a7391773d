"""What generated code reads: one local variable for each signal, and the check that makes it trustworthy.

A declared signal has its declared type. An undeclared one is guessed from how the rule uses it, and the guess
is checked on every call: where it is wrong, the exact evaluator takes over. So code behind the checks needs
no guards.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from enum import Enum

from ripstop.core.value import dataclass
from ripstop.core.vocabulary import SignalSpec
from ripstop.policy.ir import ITERATORS, LOGIC, TEMPORAL, Expr, Step
from ripstop.policy.kinds import Kind
from ripstop.policy.operators import OPERATORS

SAFE = float(2**53)  # beyond it Python's exact integers and binary64 part


_MOST_NODES = 10_000
_MOST_ARGUMENTS = 250


class Unsupported(Exception):  # noqa: N818 (a reason to evaluate otherwise, not an error)
    """An expression that this backend leaves to the exact evaluator; the text says why."""


class Held(Enum):
    """What a slot holds once it has been checked."""

    NUMBER = "number"
    STRICT_NUMBER = "number, not a boolean"
    BOOLEAN = "boolean"
    TEXT = "text"
    LIST = "list"
    ESTIMATE = "estimate"


@dataclass(frozen=True, slots=True)
class Slot:
    """One read name: its variable, what it holds, and its declaration if there is one."""

    name: str
    variable: str
    held: Held
    spec: SignalSpec | None = None
    is_parameter: bool = False
    is_optional: bool = False  # only `exists`, `missing`, `??` and defaults look at it: it may be absent

    def bounds(self, *, ranged: bool) -> tuple[float, float]:
        """Give the range that a checked number is in."""
        low, high = -SAFE, SAFE
        if ranged and self.spec is not None:
            low = low if self.spec.low is None else max(low, float(self.spec.low))
            high = high if self.spec.high is None else min(high, float(self.spec.high))
        return low, high

    @property
    def is_checked_when_observed(self) -> bool:
        """Whether a valid reading needs no further check."""
        if self.spec is None or self.held in (Held.LIST, Held.ESTIMATE):
            return False
        is_number = self.held in (Held.NUMBER, Held.STRICT_NUMBER)
        return not is_number or (self.spec.low is not None and self.spec.high is not None)

    def check(self, *, ranged: bool) -> ast.expr:
        """Give the test that the variable passes when it may be trusted.

        A raw verdict (not `ranged`) takes what orders among numbers for one: it is told JSON, and looks at
        no number's class.
        """
        value = name(self.variable)
        if self.held is Held.BOOLEAN:
            return ast.Compare(class_of(value), [ast.Is()], [name("bool")])
        if self.held is Held.TEXT:
            is_text = ast.Compare(class_of(value), [ast.Is()], [name("str")])
            if self.spec is not None and self.spec.values:
                members = ast.Set([ast.Constant(text) for text in self.spec.values])
                return ast.BoolOp(ast.And(), [is_text, ast.Compare(value, [ast.In()], [members])])
            return is_text
        if self.held is Held.LIST:
            return self._list_check(value)
        if self.held is Held.ESTIMATE:
            return self._estimate_check(value, *self.bounds(ranged=ranged))
        inside = _between(value, *self.bounds(ranged=ranged))
        if ranged:
            inside = ast.BoolOp(ast.And(), [_is_number(value), inside])
        if self.held is Held.STRICT_NUMBER and self.spec is None:
            other = ast.Compare(class_of(value), [ast.IsNot()], [name("bool")])
            return ast.BoolOp(ast.And(), [other, inside])
        return inside

    def _list_check(self, value: ast.expr) -> ast.expr:
        kind = ast.Compare(class_of(value), [ast.Is()], [name("list")])
        if self.spec is None or not self.spec.size:
            return kind
        length = ast.Call(name("len"), [value], [])
        return ast.BoolOp(ast.And(), [kind, ast.Compare(length, [ast.LtE()], [ast.Constant(self.spec.size)])])

    def _estimate_check(self, value: ast.expr, low: float, high: float) -> ast.expr:
        """Take an estimate apart: what `part` names is assigned on the way."""

        def taken(part: str) -> ast.expr:
            return ast.NamedExpr(
                ast.Name(self.part(part), ast.Store()), ast.Subscript(value, ast.Constant(part), ast.Load())
            )

        length = ast.Call(name("len"), [value], [])
        return ast.BoolOp(
            ast.And(),
            [
                ast.Compare(class_of(value), [ast.Is()], [name("dict")]),
                ast.Compare(length, [ast.Eq()], [ast.Constant(2)]),
                _is_number(taken("mean")),
                _between(name(self.part("mean")), low, high),
                _is_number(taken("sd")),
                _between(name(self.part("sd")), 0.0, SAFE),
            ],
        )

    def part(self, key: str) -> str:
        """Name the variable of an estimate's `mean` or `sd`."""
        return f"{self.variable}_{key}"


def _is_number(value: ast.expr) -> ast.expr:
    """Tell a number (of `float`, `int`, or a class derived from them) from what merely orders like one."""
    again = name(value.target.id) if isinstance(value, ast.NamedExpr) else value
    usual = ast.Compare(class_of(value), [ast.In()], [name("_numbers")])
    return ast.BoolOp(ast.Or(), [usual, ast.Call(name("isinstance"), [again, name("_number")], [])])


def _between(value: ast.expr, low: float, high: float) -> ast.expr:
    return ast.Compare(ast.Constant(low), [ast.LtE(), ast.LtE()], [value, ast.Constant(high)])


def name(identifier: str) -> ast.Name:
    """Load a variable."""
    return ast.Name(identifier, ast.Load())


def class_of(value: ast.expr) -> ast.expr:
    """Give a value's class: CPython (3.11 to 3.13) takes two thirds of the time that `type(...)` takes."""
    return ast.Attribute(value, "__class__", ast.Load())


_DECLARED: Mapping[str, Held] = {
    "number": Held.NUMBER,
    "timestamp": Held.NUMBER,
    "boolean": Held.BOOLEAN,
    "string": Held.TEXT,
    "list": Held.LIST,
    "estimate": Held.ESTIMATE,
}
_NUMERIC = ("sum", "product", "quotient", "remainder", "within")


def assign_slots(
    roots: Sequence[Expr], signals: Mapping[str, SignalSpec], parameters: Mapping[str, SignalSpec]
) -> dict[str, Slot]:
    """Give each name that the expressions read its slot.

    Raises:
        Unsupported: when the expressions are too large, a read goes into a value, or the uses of an
            undeclared name do not agree.
    """
    refuse_large(roots)
    slots: dict[str, Slot] = {}
    plain = plain_reads(roots)
    for path, held in [*uses_of(roots, "read").items(), *_estimates(roots)]:
        if len(path) != 1:
            raise Unsupported("a read goes into a value")
        key = str(path[0])
        if key in slots:
            continue
        spec = parameters.get(key) or signals.get(key)
        chosen, is_parameter = choose(key, held, spec), key in parameters
        slots[key] = Slot(key, f"v{len(slots)}", chosen, spec, is_parameter, key not in plain)
    return slots


def plain_reads(roots: Sequence[Expr]) -> set[str]:
    """Give the names that are read where absence poisons."""
    plain: set[str] = set()
    for root in roots:
        every = [root, *(arg for expr in root.walk(present=True) for arg in _poisoned(expr))]
        plain.update(
            str(expr.path[0])
            for expr in every
            if expr.op == "estimate" or (expr.op == "read" and not expr.args)
        )
    return plain


def element_slots(body: Expr, elements: Expr, loop: str) -> dict[tuple[str | int, ...], Slot]:
    """Give each field that a quantifier's body reads its slot.

    Raises:
        Unsupported: when the body reads otherwise, or holds another iterator.
    """
    if any(expr.op in (*ITERATORS, "try") for expr in body.walk()):
        raise Unsupported("an iterator stands inside another")
    slots: dict[tuple[str | int, ...], Slot] = {}
    for path, held in uses_of([body], "element").items():
        if len(path) > 2 or path[0] != 0:
            raise Unsupported("an element is read otherwise than by one field")
        key = str(path[-1])
        spec = elements.type.fields.get(key) if len(path) == 2 else None
        slots[path[1:]] = Slot(key, f"{loop}_{len(slots)}", choose(key, held, spec), spec)
    return slots


def _estimates(roots: Sequence[Expr]) -> list[tuple[tuple[Step, ...], set[Held]]]:
    """Give the estimates that chance constraints weigh."""
    return [
        (expr.path, {Held.ESTIMATE})
        for root in roots
        for expr in root.walk(present=True)
        if expr.op == "estimate"
    ]


def _poisoned(expr: Expr) -> Sequence[Expr]:
    """Give the arguments of which a bare read poisons when it is absent."""
    return () if expr.op in ("exists", "missing", "missing_some", "??", *TEMPORAL) else expr.args


def refuse_large(roots: Sequence[Expr]) -> None:
    """Keep generated code small: a hostile policy could cost Python's compiler minutes, or its stack.

    Raises:
        Unsupported: when there are too many expressions, or one has too many arguments.
    """
    count = 0
    for root in roots:
        for expr in root.walk(present=True):
            count += 1
            if count > _MOST_NODES or len(expr.args) > _MOST_ARGUMENTS:
                raise Unsupported("the policies are too large to make code of")


def uses_of(roots: Sequence[Expr], op: str) -> dict[tuple[Step, ...], set[Held]]:
    """Tell what the expressions take each `read` (or `element`) for.

    Raises:
        Unsupported: when an element has a default.
    """
    uses: dict[tuple[Step, ...], set[Held]] = {}

    def note(expr: Expr, held: set[Held]) -> None:
        if expr.op == op:
            if expr.args and op == "element":
                raise Unsupported("an element has a default")
            uses.setdefault(expr.path, set()).update(held)

    for root in roots:
        note(root, {Held.BOOLEAN})
        for expr in root.walk(present=True):
            if expr.op == op and expr.args:
                note(expr, _use(expr, 0))
            for index, arg in enumerate(() if expr.op in TEMPORAL else expr.args):
                note(arg, _use(expr, index))
    return uses


def choose(key: str, held: set[Held], spec: SignalSpec | None) -> Held:
    """Give what a name holds: as it is declared, else as it is used.

    Raises:
        Unsupported: when it is declared as something else, or used in several ways.
    """
    if spec is not None:
        if spec.type not in _DECLARED:
            raise Unsupported(f"`{key}` is an {spec.type}")
        return _DECLARED[spec.type]
    return _guess(key, held)


def _use(expr: Expr, index: int) -> set[Held]:
    """Tell what an operator takes its argument for; nothing when it takes anything."""
    if expr.op in LOGIC:
        return {Held.BOOLEAN}
    typing = OPERATORS[expr.op].typing if expr.op in OPERATORS else ""
    if typing in _NUMERIC:
        return {Held.NUMBER}
    if typing == "extreme":
        return {Held.STRICT_NUMBER}
    if typing == "coalesce" or expr.op == "read":
        return {held for other in (*expr.args, expr) if (held := _sort(other, strict=True)) is not None}
    if typing == "quantifier" and index == 0:
        return {Held.LIST}
    if typing in ("order", "equality", "membership"):
        strict = typing == "membership" or expr.op in ("===", "!==")
        return {held for other in expr.args if (held := _sort(other, strict=strict)) is not None}
    return set()


def _sort(other: Expr, *, strict: bool) -> Held | None:
    """Tell what the other side of a comparison is."""
    kind = other.type.item if other.type.kind is Kind.LIST and other.op == "const" else other.type.kind
    if kind in (Kind.NUMBER, Kind.TIMESTAMP):
        return Held.STRICT_NUMBER if strict else Held.NUMBER
    return {Kind.STRING: Held.TEXT, Kind.BOOLEAN: Held.BOOLEAN}.get(kind)


def _guess(key: str, held: set[Held]) -> Held:
    """Choose what an undeclared name is taken for."""
    wanted = held or {Held.NUMBER}
    if wanted <= {Held.NUMBER, Held.STRICT_NUMBER}:
        return Held.STRICT_NUMBER if Held.STRICT_NUMBER in wanted else Held.NUMBER
    if len(wanted) == 1:
        return next(iter(wanted))
    raise Unsupported(f"`{key}` is used in several ways")
