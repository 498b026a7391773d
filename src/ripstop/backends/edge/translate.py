"""From typed expressions to nodes: the table of the edge profile, and what is left out, with reasons.

An operator stands in `TRANSLATIONS` or in `OUTSIDE`; a test holds both to the operator table. A value is
translated together with what it holds and a bound on its magnitude: where the bound rules overflow out, no
check is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from ripstop.backends.edge.arithmetic import (
    Translation,
    arithmetic,
    divide,
    equality,
    extreme,
    modulo,
    order,
    product_bound,
    subtract,
    within,
)
from ripstop.backends.edge.inputs import Held, Input, Look, bounds_of, spread_of
from ripstop.backends.edge.nodes import (
    Atom,
    Bool,
    Choice,
    Compare,
    Const,
    Load,
    Not,
    Num,
    Select,
    Truth,
    depth_of,
)
from ripstop.backends.edge.uses import HELD_BY_KIND, QUANTIFIERS, Outside, Uses, declared, through
from ripstop.backends.edge.values import Value, joined
from ripstop.backends.edge.weighing import Weighing
from ripstop.core.canonical import Json, canonical_json
from ripstop.core.vocabulary import SignalSpec
from ripstop.policy.ir import LOGIC, TEMPORAL, Expr, Step, rule_of
from ripstop.policy.kinds import Kind
from ripstop.policy.values import is_truthy

_MOST_NODES, _MOST_ELEMENTS = 50_000, 512
_MOST_DEPTH = 240  # a compiler of C may end at 256 brackets in one another, as clang does

OUTSIDE: Mapping[str, str] = {
    "val": "translated as the read that it resolves to",
    "var": "translated as the read that it resolves to",
    "preserve": "translated as a constant",
    "log": "translated as its argument",
    "missing": "gives a list: translated where only its truth matters",
    "missing_some": "gives a list, outside the edge profile",
    "cat": "makes text, outside the edge profile",
    "substr": "makes text, outside the edge profile",
    "merge": "makes lists, outside the edge profile",
    "map": "makes lists, outside the edge profile",
    "filter": "makes lists, outside the edge profile",
    "reduce": "folds values, outside the edge profile",
    "try": "catches errors, outside the edge profile",
    "throw": "raises errors, outside the edge profile",
}


@dataclass(slots=True)
class Frame:
    """One element of a list, while a quantifier's body is translated for it."""

    source: Input
    index: int


@dataclass(slots=True)
class Translator:
    """Translates the expressions of one engine; `inputs` are what it has to be given, in order."""

    signals: Mapping[str, SignalSpec]
    parameters: Mapping[str, SignalSpec]
    uses: Uses
    texts: Mapping[str, int]
    ranged: bool = True
    max_age_s: float | None = None
    inputs: dict[Input, int] = field(default_factory=dict)
    frames: list[Frame] = field(default_factory=list)
    made: int = 0

    def input(self, wanted: Input) -> Load:
        """Give the number of an input, made now or before."""
        return Load(self.inputs.setdefault(wanted, len(self.inputs)))

    def root(self, expr: Expr, atoms: Mapping[int, int] | None) -> Bool:
        """Translate a whole condition.

        Args:
            expr: the expression.
            atoms: the number of each atom, by identity; None where no evidence is taken.

        Raises:
            Outside: when it has no place in the edge profile.
        """
        node = self.rule(expr, atoms)
        if depth_of(node) > _MOST_DEPTH:
            raise Outside(f"written out, a condition nests more than {_MOST_DEPTH} deep", expr)
        return node

    def rule(self, expr: Expr, atoms: Mapping[int, int] | None) -> Bool:
        """Translate an expression in boolean position."""
        if expr.op == "const":
            return Truth(is_truthy(expr.value))
        if expr.op in LOGIC:
            return self._logic(expr, atoms)
        test = _is_missing(self, expr) if expr.op == "missing" else self.value(expr).as_truth()
        return test if atoms is None else Atom(atoms[id(expr)], test)

    def condition(self, expr: Expr) -> Bool:
        """Translate an expression of which only the truth matters, inside an atom."""
        return self.rule(through(expr), None)

    def _logic(self, expr: Expr, atoms: Mapping[int, int] | None) -> Bool:
        self.made += 1
        parts = tuple(self.rule(arg, atoms) for arg in expr.args)
        if expr.op in ("and", "or"):
            return joined(expr.op == "and", parts)
        if expr.op in ("!", "!!"):
            return Not(parts[0]) if expr.op == "!" else parts[0]
        return _chosen(parts)

    def value(self, expr: Expr) -> Value:
        """Translate an expression that stands as a value."""
        self.made += 1
        if self.made > _MOST_NODES:
            raise Outside(f"unrolled, the policies have more than {_MOST_NODES} nodes", expr)
        expr = through(expr)
        translate = TRANSLATIONS.get(expr.op)
        if translate is None:
            raise Outside(OUTSIDE.get(expr.op, f"`{expr.op}` is not in the edge profile"), expr)
        return translate(self, expr)

    def number(self, expr: Expr, *, strict: bool = False) -> Value:
        """Translate what has to be a number; where `strict`, nothing that might be a boolean."""
        value = self.value(expr)
        if value.held is Held.STRICT_NUMBER or (value.held is Held.NUMBER and not strict):
            return value
        if value.held is Held.BOOLEAN and not strict:
            return Value(Held.STRICT_NUMBER, value.as_number(), bound=1.0)
        raise Outside(f"a {value.held.value} stands where a number is needed", expr)


def _chosen(parts: Sequence[Bool]) -> Bool:
    result: Bool = parts[-1] if len(parts) % 2 else Truth(False)
    for index in range(len(parts) // 2 * 2 - 2, -1, -2):
        result = Choice(parts[index], parts[index + 1], result)
    return result


def _constant(translator: Translator, expr: Expr) -> Value:
    value = expr.value
    if isinstance(value, bool):
        return Value(Held.BOOLEAN, truth=Truth(value))
    if isinstance(value, int | float):
        return Value(Held.STRICT_NUMBER, Const(float(value)), bound=abs(float(value)))
    if isinstance(value, str):
        return Value(Held.TEXT, Const(float(translator.texts[value])))
    raise Outside("null, a list or an object stands as a value", expr)


def _now(translator: Translator, expr: Expr) -> Value:
    wanted = Input("now", Look.NOW, Held.STRICT_NUMBER)
    return Value(Held.STRICT_NUMBER, translator.input(wanted), bound=1e13)


def _loaded(translator: Translator, wanted: Input) -> Value:
    load = translator.input(wanted)
    if wanted.held is Held.BOOLEAN:
        return Value(Held.BOOLEAN, truth=Compare("!=", load, Const(0.0)))
    bound = inf if wanted.low is None or wanted.high is None else max(abs(wanted.low), abs(wanted.high))
    is_open = wanted.held is Held.TEXT and not (wanted.spec is not None and wanted.spec.values)
    return Value(
        wanted.held,
        load,
        bound=bound,
        is_open=is_open,
        origin=wanted if wanted.held is Held.LIST else None,
    )


def _named(translator: Translator, expr: Expr) -> Input:
    if len(expr.path) != 1:
        raise Outside("a read goes into a value", expr)
    name = str(expr.path[0])
    spec = translator.parameters.get(name) or translator.signals.get(name)
    held = declared(spec) if spec is not None else translator.uses.held((name,), expr)
    if held is None:
        raise Outside(f"`{name}` is an {spec.type if spec else 'unknown'}", expr)
    if held is Held.LIST and (spec is None or not spec.size):
        raise Outside(f"the list `{name}` has no declared size", expr)
    if held is Held.LIST and spec is not None and spec.size > _MOST_ELEMENTS:
        raise Outside(f"the list `{name}` may have more than {_MOST_ELEMENTS} items", expr)
    low, high = bounds_of(held, spec, ranged=translator.ranged)
    return Input(name, Look.VALUE, held, spec, max_age_s=_age(translator, name), low=low, high=high)


def _age(translator: Translator, name: str) -> float | None:
    """Parameters have no last valid value."""
    return None if name in translator.parameters else translator.max_age_s


def _presence(translator: Translator, expr: Expr, look: Look) -> Bool:
    if expr.op != "read" or len(expr.path) != 1:
        raise Outside("absence is looked at below a signal", expr)
    name = str(expr.path[0])
    wanted = Input(name, look, Held.BOOLEAN, max_age_s=_age(translator, name))
    return Compare("!=", translator.input(wanted), Const(0.0))


def _read(translator: Translator, expr: Expr) -> Value:
    value = _loaded(translator, _named(translator, expr))
    if not expr.args:
        return value
    given = _presence(translator, expr, Look.GIVEN)
    return _either(given, value, translator.value(expr.args[0]), expr)


def _either(condition: Bool, then: Value, other: Value, expr: Expr) -> Value:
    """Give one of two values of one type."""
    bound = max(then.bound, other.bound)
    is_open = then.is_open or other.is_open
    if then.held is Held.LIST or other.held is Held.LIST:
        raise Outside("a list is one of several", expr)
    if then.held is Held.BOOLEAN and other.held is Held.BOOLEAN:
        return Value(Held.BOOLEAN, truth=Choice(condition, then.truth, other.truth))
    both = {then.held, other.held}
    if len(both) > 1 and both != {Held.NUMBER, Held.STRICT_NUMBER}:
        raise Outside("a value may have several types", expr)
    held = then.held if len(both) == 1 else Held.NUMBER
    return Value(held, Select(condition, then.number, other.number), bound=bound, is_open=is_open)


def _is_missing(translator: Translator, expr: Expr) -> Bool:
    """Tell whether `missing` gives anything: whether a name is absent, null or the empty text."""
    if not expr.args:
        return Truth(False)
    return joined(False, [Not(_presence(translator, arg, Look.FILLED)) for arg in expr.args])


def _exists(translator: Translator, expr: Expr) -> Value:
    return Value(Held.BOOLEAN, truth=_presence(translator, expr.args[0], Look.PRESENT))


def _coalesce(translator: Translator, expr: Expr) -> Value:
    last = through(expr.args[-1])
    if last.op in ("read", "element") and not last.args:
        raise Outside("`??` may give null", expr)
    result = translator.value(last)
    for arg in reversed(expr.args[:-1]):
        part = through(arg)
        if part.op == "read" and not part.args:
            result = _either(_presence(translator, part, Look.GIVEN), translator.value(part), result, expr)
        elif part.op == "element":
            raise Outside("absence is looked at below a signal", expr)
        else:
            result = translator.value(part)
    return result


def _element(translator: Translator, expr: Expr) -> Value:
    level, *steps = expr.path
    if not isinstance(level, int) or expr.args:
        raise Outside("an element is read otherwise than by one field", expr)
    if level // 2 >= len(translator.frames):
        raise Outside("an element is read outside its iterator", expr)
    frame = translator.frames[-1 - level // 2]
    if level % 2:
        if steps != ["index"]:
            raise Outside("only the index of an iterator is known", expr)
        return Value(Held.STRICT_NUMBER, Const(float(frame.index)), bound=float(frame.index))
    return _field(translator, expr, frame, steps)


def _field(translator: Translator, expr: Expr, frame: Frame, steps: Sequence[Step]) -> Value:
    source = frame.source
    fields = source.spec.fields if source.spec is not None else {}
    if len(steps) > 1 or (fields and not steps):
        raise Outside("an element is read otherwise than by one field", expr)
    key = str(steps[0]) if steps else ""
    spec = fields.get(key)
    held = declared(spec) if spec is not None else translator.uses.held((source.name, "[]", *steps), expr)
    if held is None or held is Held.LIST:
        raise Outside(f"the field `{key}` is no plain value", expr)
    low, high = bounds_of(held, spec, ranged=True)
    return _loaded(
        translator,
        Input(source.name, Look.VALUE, held, spec, frame.index, key, source.max_age_s, low, high),
    )


def _quantifier(translator: Translator, expr: Expr) -> Value:
    """Unroll: `all` is `length > 0` and, for each i, `length <= i` or the body; the others alike."""
    elements, body = expr.args
    source = translator.value(elements)
    if source.origin is None or source.origin.spec is None:
        raise Outside("a quantifier runs over something else than a signal", expr)
    parts: list[Bool] = []
    for index in range(source.origin.spec.size):
        translator.frames.append(Frame(source.origin, index))
        try:
            test = translator.condition(body)
        finally:
            translator.frames.pop()
        at = Const(float(index))
        if expr.op == "all":
            parts.append(joined(False, (Compare("<=", source.number, at), test)))
        else:
            parts.append(joined(True, (Compare(">", source.number, at), test)))
    if expr.op == "all":
        return Value(Held.BOOLEAN, truth=joined(True, (Compare(">", source.number, Const(0.0)), *parts)))
    found = joined(False, parts)
    return Value(Held.BOOLEAN, truth=Not(found) if expr.op == "none" else found)


def _recalled(translator: Translator, expr: Expr) -> Value:
    """Take a temporal operator's value as an input: what remembers is the state that observes."""
    kind = expr.args[0].type.kind if expr.op == "previous" else Kind.BOOLEAN
    if expr.op == "count_within":
        kind = Kind.NUMBER
    held = HELD_BY_KIND.get(kind)
    if held is None or held is Held.LIST:
        raise Outside(f"`previous` of a {kind.value} is no plain value", expr)
    rule = rule_of(expr)
    wanted = Input(canonical_json(rule).decode(), Look.RECALLED, held, rule=rule)
    return _loaded(translator, wanted)


def _chance(translator: Translator, expr: Expr) -> Value:
    """Weigh estimates: each comes as its mean and its deviation."""

    def estimate(read: Expr) -> tuple[str, Num, Num]:
        name = str(read.path[0])
        spec = translator.parameters.get(name) or translator.signals.get(name)
        if spec is None or spec.type != "estimate" or len(read.path) != 1:
            raise Outside(f"`{name}` is not declared as an estimate", read)
        age = _age(translator, name)
        low, high = spread_of(spec) if translator.ranged else (None, None)
        mean = Input(name, Look.VALUE, Held.STRICT_NUMBER, spec, None, "mean", age, low, high)
        deviation = Input(name, Look.VALUE, Held.STRICT_NUMBER, spec, None, "sd", age, 0.0)
        return name, translator.input(mean), translator.input(deviation)

    def number(part: Expr) -> Num:
        return translator.number(part).number

    return Value(Held.BOOLEAN, truth=Weighing(number, estimate).holds(expr))


def _membership(translator: Translator, expr: Expr) -> Value:
    item, container = expr.args
    if container.op != "const" or not isinstance(container.value, list):
        raise Outside("membership in what is not a list written out", expr)
    needle = translator.value(item)
    if needle.held in (Held.LIST, Held.NUMBER):
        raise Outside(f"a {needle.held.value} is looked for", expr)
    number = needle.as_number()
    members = [
        Compare("==", number, Const(_member(translator, value)))
        for value in container.value
        if _is_alike(needle.held, value)
    ]
    # an item that nothing can equal is looked at all the same
    return Value(Held.BOOLEAN, truth=joined(False, members or [Compare("!=", number, number)]))


def _member(translator: Translator, value: Json) -> float:
    if isinstance(value, str):
        return float(translator.texts[value])
    return float(value) if isinstance(value, int | float) else 0.0


def _is_alike(held: Held, value: Json) -> bool:
    if isinstance(value, bool):
        return held is Held.BOOLEAN
    return held is (Held.TEXT if isinstance(value, str) else Held.STRICT_NUMBER) and isinstance(
        value, str | int | float
    )


def _logic(translator: Translator, expr: Expr) -> Value:
    """Join truths; of values of another type give the first that settles the matter, else the last."""
    args = [translator.value(arg) for arg in expr.args]
    is_and = expr.op == "and"
    if all(arg.held is Held.BOOLEAN for arg in args):
        return Value(Held.BOOLEAN, truth=joined(is_and, [arg.truth for arg in args]))
    result = args[-1]
    for arg in reversed(args[:-1]):
        then, other = (result, arg) if is_and else (arg, result)
        result = _either(arg.as_truth(), then, other, expr)
    return result


def _not(translator: Translator, expr: Expr) -> Value:
    return Value(Held.BOOLEAN, truth=Not(translator.condition(expr.args[0])))


def _truth(translator: Translator, expr: Expr) -> Value:
    return Value(Held.BOOLEAN, truth=translator.condition(expr.args[0]))


def _choice(translator: Translator, expr: Expr) -> Value:
    if len(expr.args) % 2 == 0:
        raise Outside("an `if` without an else gives null", expr)
    result = translator.value(expr.args[-1])
    for index in range(len(expr.args) - 3, -1, -2):
        condition = translator.condition(expr.args[index])
        result = _either(condition, translator.value(expr.args[index + 1]), result, expr)
    return result


TRANSLATIONS: Mapping[str, Translation] = {
    "const": _constant,
    "read": _read,
    "now": _now,
    "element": _element,
    "exists": _exists,
    "??": _coalesce,
    "+": arithmetic("+", lambda left, right: left + right),
    "-": subtract,
    "*": arithmetic("*", product_bound),
    "/": divide,
    "%": modulo,
    "min": extreme("min"),
    "max": extreme("max"),
    **{op: order(op) for op in ("<", "<=", ">", ">=")},
    "==": equality("==", strict=False),
    "!=": equality("!=", strict=False),
    "===": equality("==", strict=True),
    "!==": equality("!=", strict=True),
    "within": within,
    "in": _membership,
    "and": _logic,
    "or": _logic,
    "!": _not,
    "!!": _truth,
    "if": _choice,
    **dict.fromkeys(QUANTIFIERS, _quantifier),
    **dict.fromkeys(TEMPORAL, _recalled),
    "chance": _chance,
}
