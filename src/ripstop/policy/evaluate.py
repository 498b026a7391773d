"""Plain JSON-Logic: an evaluator over JSON values, and the machine that the reference semantics extend.

Theory of operation. `Machine.run` looks an expression's operator up in three tables: operators that see only
values (`eager.EAGER`), operators that look at the data (`READS`), and operators that choose what to evaluate
(`LAZY`). Data is a chain of scopes: an iterator pushes its element, `val` may climb. Recursion is bounded by
`MAX_DEPTH`, which an iterative walk checks before the first step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

from ripstop.core.canonical import Json
from ripstop.core.value import dataclass
from ripstop.policy.chance import weigh
from ripstop.policy.eager import EAGER, UNARY
from ripstop.policy.ir import TEMPORAL
from ripstop.policy.values import (
    TOO_DEEP,
    UNKNOWN_OPERATOR,
    JsonLogicError,
    compare,
    invalid_arguments,
    is_truthy,
    loosely_equal,
    strictly_equal,
    to_number,
    to_text,
)

MAX_DEPTH = 128
_LONGEST_INDEX = 16  # digits


@dataclass(frozen=True, slots=True)
class Absent:
    """The value of what is not there; unlike null it cannot be written."""


ABSENT = Absent()


@dataclass(frozen=True, slots=True)
class Scope:
    """The data that `var` and `val` see, and what lies above it: the iterator, then the outer data."""

    data: Json
    iterator: Json = None
    outer: Scope | None = None


Lazy: TypeAlias = "Callable[[Machine, Json, Scope], Json]"


def apply(rule: Json, data: Json = None) -> Json:
    """Evaluate plain JSON-Logic, with JavaScript's coercions and truthiness.

    Args:
        rule: the rule, as JSON; not more than 128 levels deep.
        data: what `var` and `val` read.

    Returns:
        The rule's value.

    Raises:
        JsonLogicError: with its `type`: `NaN`, `Invalid Arguments`, `Unknown Operator`, `Too Deep`, or what
            the rule threw.
    """
    refuse_depth(rule)
    try:
        return Machine().run(rule, Scope(data))
    except RecursionError:
        raise JsonLogicError(TOO_DEEP, "the rule or its data is nested too deep") from None


def refuse_depth(rule: Json) -> None:
    """Raise `Too Deep` for a rule of more than `MAX_DEPTH` levels, without recursion."""
    level: list[Json] = [rule]
    for _ in range(MAX_DEPTH):
        level = [child for item in level for child in _children(item)]
        if not level:
            return
    raise JsonLogicError(TOO_DEEP, f"the rule is nested more than {MAX_DEPTH} deep")


def _children(item: Json) -> Iterator[Json]:
    nested = item.values() if isinstance(item, Mapping) else item if isinstance(item, list | tuple) else ()
    return (child for child in nested if isinstance(child, Mapping | list | tuple))


def split_path(name: Json) -> tuple[Json, ...]:
    """Split what `var` names into its steps: `a.b.0` has three, `""` and null none."""
    if name is None or name == "":
        return ()
    return tuple(to_text(name).split("."))


def step_into(value: Json, step: Json) -> Json | Absent:
    """Go one step down: a key of an object, an index of an array (or of a text)."""
    if isinstance(value, Mapping):
        return value.get(to_text(step), ABSENT)
    if isinstance(value, list | tuple | str):
        index = _index(to_text(step))
        if index is None:
            return len(value) if step == "length" else ABSENT
        return value[index] if index < len(value) else ABSENT
    return ABSENT


def _index(text: str) -> int | None:
    """Give the index that a text spells, as JavaScript has it: `1`, but neither `01`, `1.5` nor ` 1`."""
    is_index = text.isascii() and text.isdigit() and len(text) < _LONGEST_INDEX
    return int(text) if is_index and (text == "0" or text[0] != "0") else None


def follow(value: Json | Absent, path: Sequence[Json]) -> Json | Absent:
    """Go down a whole path."""
    for step in path:
        if isinstance(value, Absent):
            return value
        value = step_into(value, step)
    return value


class Machine:
    """Evaluates JSON-Logic. A subclass changes what a read means by overriding `look` and `read`."""

    def run(self, rule: Json, scope: Scope) -> Json:
        """Evaluate one expression: an array item by item, an object of one key as an operator."""
        if isinstance(rule, list | tuple):
            return [self.run(item, scope) for item in rule]
        if not isinstance(rule, Mapping) or len(rule) != 1:
            return rule
        ((name, raw),) = rule.items()
        lazy = LAZY.get(name)
        if lazy is not None:
            return lazy(self, raw, scope)
        unary = UNARY.get(name)
        if unary is not None:
            return unary(self.items(raw, scope))
        eager = EAGER.get(name)
        if eager is None:
            raise JsonLogicError(UNKNOWN_OPERATOR, f"unknown operator `{name}`")
        return eager(self.arguments(raw, scope))

    def items(self, raw: Json, scope: Scope) -> list[Json]:
        """Evaluate arguments as they are written: anything but an array is one argument."""
        return [self.run(item, scope) for item in (raw if isinstance(raw, list | tuple) else (raw,))]

    def arguments(self, raw: Json, scope: Scope) -> Sequence[Json]:
        """Evaluate arguments; a lone expression that gives an array gives all of them."""
        if isinstance(raw, list | tuple):
            return [self.run(item, scope) for item in raw]
        value = self.run(raw, scope)
        return value if isinstance(value, list | tuple) else [value]

    def truth(self, rule: Json, scope: Scope) -> bool:
        """Evaluate an expression where only its truth matters."""
        return is_truthy(self.run(rule, scope))

    def look(self, scope: Scope, path: Sequence[Json]) -> Json | Absent:
        """Give what stands at a path below the scope's data, or ABSENT; never poisons on absence."""
        return follow(scope.data, path)

    def read(self, scope: Scope, path: Sequence[Json]) -> Json:
        """Give what stands at a path; what is absent reads as null."""
        value = self.look(scope, path)
        return None if isinstance(value, Absent) else value

    def is_wanting(self, value: Json | Absent) -> bool:
        """Whether the default of a `var` stands in for what a look has found: a null that is there is one."""
        return isinstance(value, Absent)

    def recall(self, rule: Mapping[str, Json]) -> Json:
        """Give the value of a temporal operator.

        Raises:
            JsonLogicError: always, for plain JSON-Logic has one moment only.
        """
        raise invalid_arguments(f"`{next(iter(rule))}` needs the history that a policy's state keeps")


def _var(machine: Machine, raw: Json, scope: Scope) -> Json:
    args = machine.arguments(raw, scope)
    path = split_path(args[0]) if args else ()
    if len(args) < 2:
        return machine.read(scope, path)
    return args[1] if machine.is_wanting(machine.look(scope, path)) else machine.read(scope, path)


def _climb(args: Sequence[Json], scope: Scope) -> tuple[Scope | None, Sequence[Json]]:
    """Follow `[[n], ...]`: level 1 is the iterator, 2 the data around it, 3 the next iterator, and so on."""
    if not args or not isinstance(args[0], list | tuple) or len(args[0]) != 1:
        return scope, args
    try:
        level = int(min(abs(to_number(args[0][0])), 2 * MAX_DEPTH))  # nothing lies higher
    except JsonLogicError:
        return None, args[1:]  # what is no number is no level: nothing is there
    target: Scope | None = scope
    while level >= 2 and target is not None:
        target = target.outer
        level -= 2
    if level and target is not None:
        target = Scope(target.iterator, None, target) if target.outer is not None else None
    return target, args[1:]


def _val_path(machine: Machine, raw: Json, scope: Scope) -> tuple[Scope | None, tuple[Json, ...]]:
    if isinstance(raw, list | tuple):
        args: Sequence[Json] = [machine.run(item, scope) for item in raw]
        if len(args) == 1 and isinstance(args[0], list | tuple) and isinstance(raw[0], Mapping):
            args = args[0]
    else:
        value = machine.run(raw, scope)
        args = value if isinstance(value, list | tuple) else [value]
    target, rest = _climb(args, scope)
    return target, tuple(rest)


def _val(machine: Machine, raw: Json, scope: Scope) -> Json:
    target, path = _val_path(machine, raw, scope)
    return None if target is None else machine.read(target, () if path == (None,) else path)


def _exists(machine: Machine, raw: Json, scope: Scope) -> Json:
    target, path = _val_path(machine, raw, scope)
    return target is not None and None not in path and not isinstance(machine.look(target, path), Absent)


def _missing_of(machine: Machine, names: Sequence[Json], scope: Scope) -> list[Json]:
    absent = []
    for name in names:
        value = machine.look(scope, split_path(name))
        if value is None or value == "" or isinstance(value, Absent):
            absent.append(name)
    return absent


def _missing(machine: Machine, raw: Json, scope: Scope) -> Json:
    args = machine.arguments(raw, scope)
    if args and isinstance(args[0], list | tuple):
        args = args[0]
    return _missing_of(machine, args, scope)


def _missing_some(machine: Machine, raw: Json, scope: Scope) -> Json:
    args = machine.arguments(raw, scope)
    if len(args) < 2 or not isinstance(args[1], list | tuple):
        raise invalid_arguments("`missing_some` needs a number and an array of names")
    absent = _missing_of(machine, args[1], scope)
    return [] if len(args[1]) - len(absent) >= to_number(args[0]) else absent


def _listed(name: str, raw: Json) -> Sequence[Json]:
    if not isinstance(raw, list | tuple):
        raise invalid_arguments(f"`{name}` needs an array of arguments")
    return raw


def _if(machine: Machine, raw: Json, scope: Scope) -> Json:
    args = _listed("if", raw)
    for index in range(0, len(args) - 1, 2):
        if machine.truth(args[index], scope):
            return machine.run(args[index + 1], scope)
    return machine.run(args[-1], scope) if len(args) % 2 else None


def _and(machine: Machine, raw: Json, scope: Scope) -> Json:
    value: Json = True
    for item in _listed("and", raw):
        value = machine.run(item, scope)
        if not is_truthy(value):
            break
    return value


def _or(machine: Machine, raw: Json, scope: Scope) -> Json:
    value: Json = False
    for item in _listed("or", raw):
        value = machine.run(item, scope)
        if is_truthy(value):
            break
    return value


def _is_absent(machine: Machine, rule: Json, scope: Scope) -> bool:
    """Whether the expression is a bare `var` or `val` whose value is not there."""
    if not isinstance(rule, Mapping) or len(rule) != 1:
        return False
    ((name, raw),) = rule.items()
    target: Scope | None = scope
    if name == "var":
        args = machine.arguments(raw, scope)
        if len(args) > 1:
            return False
        path = split_path(args[0] if args else None)
    elif name == "val":
        target, path = _val_path(machine, raw, scope)
        path = () if path == (None,) else path
    else:
        return False
    value = ABSENT if target is None else machine.look(target, path)
    return value is None or isinstance(value, Absent)


def _coalesce(machine: Machine, raw: Json, scope: Scope) -> Json:
    for item in raw if isinstance(raw, list | tuple) else (raw,):
        value = None if _is_absent(machine, item, scope) else machine.run(item, scope)
        if value is not None:
            return value
    return None


def _try(machine: Machine, raw: Json, scope: Scope) -> Json:
    inner = scope
    error: JsonLogicError | None = None
    for item in raw if isinstance(raw, list | tuple) else (raw,):
        try:
            return machine.run(item, inner)
        except JsonLogicError as caught:
            error = caught
            inner = Scope(caught.thrown, None, scope)
    if error is not None:
        raise error
    return None


def _comparison(name: str, holds: Callable[[Json, Json], bool]) -> Lazy:
    def chain(machine: Machine, raw: Json, scope: Scope) -> Json:
        args = _listed(name, raw)
        if len(args) < 2:
            raise invalid_arguments(f"`{name}` needs two arguments")
        left = machine.run(args[0], scope)
        for item in args[1:]:
            right = machine.run(item, scope)
            if not holds(left, right):
                return False
            left = right
        return True

    return chain


def _elements(machine: Machine, name: str, args: Sequence[Json], scope: Scope) -> Sequence[Json]:
    """Evaluate the list of an iterator: null stands for none, unless it is written out."""
    value = machine.run(args[0], scope) if args else None
    if isinstance(value, list | tuple):
        return value
    if value is None and args and args[0] is not None:
        return ()
    raise invalid_arguments(f"`{name}` needs an array")


def _each(machine: Machine, name: str, raw: Json, scope: Scope) -> Iterator[tuple[Json, Scope]]:
    args = _listed(name, raw)
    elements = _elements(machine, name, args, scope)
    for index, element in enumerate(elements):
        yield element, Scope(element, {"iterator": elements, "index": index}, scope)


def _body(raw: Json) -> Json:
    return raw[1] if isinstance(raw, list | tuple) and len(raw) > 1 else None


def _map(machine: Machine, raw: Json, scope: Scope) -> Json:
    return [machine.run(_body(raw), inner) for _, inner in _each(machine, "map", raw, scope)]


def _filter(machine: Machine, raw: Json, scope: Scope) -> Json:
    if _body(raw) is None:
        raise invalid_arguments("`filter` needs a condition")
    return [
        element for element, inner in _each(machine, "filter", raw, scope) if machine.truth(_body(raw), inner)
    ]


def _reduce(machine: Machine, raw: Json, scope: Scope) -> Json:
    args = _listed("reduce", raw)
    elements = _elements(machine, "reduce", args, scope)
    result = machine.run(args[2], scope) if len(args) > 2 else None
    for index, element in enumerate(elements):
        data: Json = {"current": element, "accumulator": result}
        result = machine.run(_body(raw), Scope(data, {"iterator": elements, "index": index}, scope))
    return result


def _outcomes(machine: Machine, name: str, raw: Json, scope: Scope) -> Iterator[bool]:
    args = _listed(name, raw)
    elements = machine.run(args[0], scope) if args else None
    if not isinstance(elements, list | tuple):
        raise invalid_arguments(f"`{name}` needs an array")
    for index, element in enumerate(elements):
        yield machine.truth(_body(raw), Scope(element, {"iterator": elements, "index": index}, scope))


def _all(machine: Machine, raw: Json, scope: Scope) -> Json:
    seen = False
    for outcome in _outcomes(machine, "all", raw, scope):
        if not outcome:
            return False
        seen = True
    return seen


def _some(machine: Machine, raw: Json, scope: Scope) -> Json:
    return any(_outcomes(machine, "some", raw, scope))


def _none(machine: Machine, raw: Json, scope: Scope) -> Json:
    return not any(_outcomes(machine, "none", raw, scope))


def _recalled(name: str) -> Lazy:
    return lambda machine, raw, scope: machine.recall({name: raw})


LAZY: Mapping[str, Lazy] = {
    "var": _var,
    "val": _val,
    "exists": _exists,
    "missing": _missing,
    "missing_some": _missing_some,
    "if": _if,
    "?:": _if,
    "and": _and,
    "or": _or,
    "??": _coalesce,
    "try": _try,
    "preserve": lambda machine, raw, scope: raw,
    "<": _comparison("<", lambda left, right: compare(left, right) < 0),
    "<=": _comparison("<=", lambda left, right: compare(left, right) <= 0),
    ">": _comparison(">", lambda left, right: compare(left, right) > 0),
    ">=": _comparison(">=", lambda left, right: compare(left, right) >= 0),
    "==": _comparison("==", loosely_equal),
    "!=": _comparison("!=", lambda left, right: not loosely_equal(left, right)),
    "===": _comparison("===", strictly_equal),
    "!==": _comparison("!==", lambda left, right: not strictly_equal(left, right)),
    "map": _map,
    "filter": _filter,
    "reduce": _reduce,
    "all": _all,
    "some": _some,
    "none": _none,
    "chance": weigh,
    **{name: _recalled(name) for name in TEMPORAL},
}
