"""Prints an expression in the readable form that `text_parser` reads: an infix formula, with units if wanted.

    (if (< (read battery_percent) (const 30)) (<= (read payload_kg) (const 1)) (const true))
    battery_percent < 30 % implies payload_kg <= 1 kg

Reading what was printed gives the same expression. What has no form of its own is printed as a call. An
expression comes from a source of bounded depth, so this may recurse.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ripstop.core.canonical import Json
from ripstop.core.value import dataclass
from ripstop.policy.ir import Expr, opens_scope
from ripstop.policy.kinds import Kind
from ripstop.policy.text_parser import (
    AND,
    COALESCE,
    COMPARISON,
    IMPLIES,
    NOT,
    OPEN,
    OR,
    PRODUCT,
    QUANTIFIERS,
    SIGN,
    SUM,
)
from ripstop.policy.text_tokens import KEYWORDS
from ripstop.policy.units import SECONDS, Unit

# operators whose constants after so many operands stand in brackets: `once[10 s](a)`
BRACKETED: Mapping[str, int] = {
    "historically": 1,
    "once": 1,
    "since": 2,
    "previous": 1,
    "count_within": 1,
    "within": 2,
    "chance": 1,
}
_COMPARISONS = ("<", "<=", ">", ">=", "==", "!=", "===", "!==")
_ALIGNED = (*_COMPARISONS, "+", "-", "min", "max", "%")  # operators whose literals take the others' unit
_INFIX: Mapping[str, tuple[int, str]] = {
    **{name: (COMPARISON, name) for name in _COMPARISONS},
    "or": (OR, "or"),
    "and": (AND, "and"),
    "??": (COALESCE, "??"),
    "+": (SUM, "+"),
    "-": (SUM, "-"),
    "*": (PRODUCT, "*"),
    "/": (PRODUCT, "/"),
    "%": (PRODUCT, "mod"),
}
_WORD = re.compile(r"[A-Za-z_][A-Za-z_0-9]*\Z")
_INDEX = re.compile(r"(?:0|[1-9][0-9]*)\Z")
_ATOM = SIGN + 1


def text_of(expr: Expr, *, units: bool = False) -> str:
    """Print an expression on one line.

    Args:
        expr: the expression.
        units: write behind a literal the unit that it takes from the other side.
    """
    taken = {str(part.path[0]) for part in expr.walk() if part.op in ("read", "estimate")}
    return _Printer(units, frozenset(taken)).print(expr, OPEN)


@dataclass(frozen=True, slots=True)
class _Printer:
    """Prints inside some scopes, innermost last: the words that each binds, by the first step of a path."""

    units: bool
    taken: frozenset[str]
    scopes: tuple[Mapping[str, str], ...] = ()
    unit: Unit | None = None

    def print(self, expr: Expr, floor: int) -> str:
        """Print, in parentheses when it binds less tightly than `floor`."""
        text, power = (replace(self, unit=None) if expr.op != "const" else self)._text(expr)
        return f"({text})" if power < floor else text

    def _text(self, expr: Expr) -> tuple[str, int]:
        """Print, and say how tightly what was printed binds."""
        special = _SPECIAL.get(expr.op)
        made = special(self, expr) if special else None
        if made is not None:
            return made
        if expr.op in _INFIX and len(expr.args) > 1:
            return self._infix(expr)
        return self._call(expr), _ATOM

    def _parts(self, expr: Expr) -> list[tuple[Expr, Unit | None]]:
        """Give the operands, each with the unit that it has if it is a literal."""
        unit = _shared_unit(expr) if self.units and expr.op in _ALIGNED else None
        return [(arg, unit) for arg in expr.args]

    def _infix(self, expr: Expr) -> tuple[str, int]:
        power, word = _INFIX[expr.op]
        texts = []
        for index, (arg, unit) in enumerate(self._parts(expr)):
            is_left = index == 0 and arg.op != expr.op and power in (SUM, PRODUCT)
            texts.append(replace(self, unit=unit).print(arg, power if is_left else power + 1))
        return f" {word} ".join(texts), power

    def _call(self, expr: Expr) -> str:
        name = expr.op if _WORD.match(expr.op) and expr.op not in KEYWORDS else f"`{expr.op}`"
        if len(expr.args) == 1 and expr.args[0].op == "spread":
            return f"{name}(...{self.print(expr.args[0].args[0], OPEN)})"
        count = BRACKETED.get(expr.op, len(expr.args))
        if any(arg.op != "const" for arg in expr.args[count:]):
            count = len(expr.args)
        texts = [
            self._under(expr, index, unit).print(arg, OPEN)
            for index, (arg, unit) in enumerate(self._parts(expr)[:count])
        ]
        settings = [_number(arg.value) for arg in expr.args[count:]]
        if settings and expr.op != "chance":
            settings[0] += " s"
        bracket = f"[{', '.join(settings)}]" if settings else ""
        return f"{name}{bracket}({', '.join(texts)})"

    def _under(self, expr: Expr, index: int, unit: Unit | None = None) -> _Printer:
        """Give the printer of an argument: inside the scope that it is evaluated in."""
        if not opens_scope(expr.op, index):
            return replace(self, unit=unit)
        if expr.op == "reduce":
            total, word = self._fresh(("total", "x", "y", "z"), 2)
            scope = {"accumulator": total, "current": word}
        else:
            (word,) = self._fresh(("error",) if expr.op == "try" else ("x", "y", "z"), 1)
            scope = {"": word}
        return replace(self, scopes=(*self.scopes, scope), unit=None)

    def _fresh(self, words: Sequence[str], count: int) -> list[str]:
        """Give words that no signal and no scope around uses."""
        used = self.taken | {word for scope in self.scopes for word in scope.values()}
        numbered = (f"{words[0]}{number}" for number in itertools.count(2))
        free = (word for word in itertools.chain(words, numbered) if word not in used)
        return list(itertools.islice(free, count))

    # leaves

    def _constant(self, expr: Expr) -> tuple[str, int]:
        value = expr.value
        if isinstance(value, bool) or not isinstance(value, int | float):
            return self._written(value), _ATOM
        unit = f" {_unit(self.unit)}" if self.unit is not None and self.unit.powers else ""
        return _number(value) + unit, SIGN if value < 0 else _ATOM

    def _written(self, value: Json) -> str:
        """Write a constant; a number in a list has its unit, one in an object has none."""
        if isinstance(value, list | tuple):
            return f"[{', '.join(map(self._written, value))}]"
        if isinstance(value, int | float) and not isinstance(value, bool):
            return self._constant(Expr("const", value=value))[0]
        return json.dumps(value, ensure_ascii=False)

    def _signal(self, expr: Expr) -> tuple[str, int]:
        if not expr.path or (isinstance(expr.path[0], int)):
            return f"val({', '.join(json.dumps(step) for step in expr.path)})", _ATOM
        return self._defaulted(expr, _dotted(expr.path))

    def _element(self, expr: Expr) -> tuple[str, int]:
        level, *steps = expr.path
        word = self._element_word(int(level), steps)
        if word is None:
            climb = [f"[{level}]"] if level else []
            return f"val({', '.join([*climb, *(json.dumps(step) for step in steps)])})", _ATOM
        return self._defaulted(expr, word)

    def _element_word(self, level: int, steps: Sequence[str | int]) -> str | None:
        depth, to_iterator = divmod(level, 2)
        if depth >= len(self.scopes):
            return None
        scope = self.scopes[-1 - depth]
        if to_iterator:
            word = scope.get("") or scope.get("current")
            return f"index({word})" if list(steps) == ["index"] else None
        if "" in scope:
            return scope[""] + _dotted(("", *steps))[2:]
        if steps and steps[0] in scope:
            return scope[str(steps[0])] + _dotted(("", *steps[1:]))[2:]
        return None

    def _defaulted(self, expr: Expr, name: str) -> tuple[str, int]:
        if not expr.args:
            return name, _ATOM
        return f"{name} default {replace(self, unit=None).print(expr.args[0], SIGN)}", SIGN

    # constructs

    def _choice(self, expr: Expr) -> tuple[str, int] | None:
        args = expr.args
        if len(args) < 2:
            return None
        if len(args) == 3 and args[2].op == "const" and args[2].value is True:
            return f"{self.print(args[0], OR)} implies {self.print(args[1], IMPLIES)}", IMPLIES
        pairs = [
            f"{self.print(args[index], IMPLIES)} then {self.print(args[index + 1], IMPLIES)}"
            for index in range(0, len(args) - 1, 2)
        ]
        text = "if " + " elif ".join(pairs)
        if len(args) % 2:
            is_chain = args[-1].op == "if"
            text += f" else {self.print(args[-1], OPEN if is_chain else IMPLIES)}"
        return text, OPEN

    def _negation(self, expr: Expr) -> tuple[str, int] | None:
        (arg,) = expr.args
        if arg.op == "spread":
            return None
        if expr.op == "!!":
            return f"!!{self.print(arg, SIGN)}", SIGN
        if arg.op == "in" and len(arg.args) == 2:
            return self._membership(arg, "not in")
        return f"not {self.print(arg, NOT)}", NOT

    def _minus(self, expr: Expr) -> tuple[str, int] | None:
        if len(expr.args) != 1 or expr.args[0].op == "spread":
            return None
        text = self.print(expr.args[0], SIGN)
        return f"-({text})" if expr.args[0].op == "const" else f"-{text}", SIGN

    def _membership(self, expr: Expr, word: str = "in") -> tuple[str, int]:
        item, container = expr.args
        inner = replace(self, unit=item.type.unit if self.units and item.type.kind is Kind.NUMBER else None)
        left = replace(self, unit=None).print(item, COMPARISON + 1)
        return f"{left} {word} {inner.print(container, COMPARISON + 1)}", COMPARISON

    def _member(self, expr: Expr) -> tuple[str, int] | None:
        return self._membership(expr) if len(expr.args) == 2 else None

    def _quantified(self, expr: Expr) -> tuple[str, int]:
        elements, body = expr.args
        inner = self._under(expr, 1)
        word = inner.scopes[-1][""]
        return (
            f"{expr.op} {word} in {self.print(elements, COMPARISON + 1)}: {inner.print(body, IMPLIES)}",
            OPEN,
        )

    def _reduction(self, expr: Expr) -> tuple[str, int]:
        elements, body, *start = expr.args
        inner = self._under(expr, 1)
        words = inner.scopes[-1]
        begin = f" from {self.print(start[0], COMPARISON + 1)}" if start else ""
        over = f"{words['accumulator']}, {words['current']} in {self.print(elements, COMPARISON + 1)}"
        return f"reduce {over}{begin}: {inner.print(body, IMPLIES)}", OPEN

    def _attempt(self, expr: Expr) -> tuple[str, int]:
        text = f"try {self.print(expr.args[0], IMPLIES)}"
        for index, arg in enumerate(expr.args[1:], 1):
            inner = self._under(expr, index)
            text += f" catch {inner.scopes[-1]['']}: {inner.print(arg, IMPLIES)}"
        return text, OPEN

    def _list(self, expr: Expr) -> tuple[str, int]:
        return f"[{', '.join(replace(self, unit=None).print(arg, OPEN) for arg in expr.args)}]", _ATOM

    def _existence(self, expr: Expr) -> tuple[str, int] | None:
        (place,) = expr.args
        if place.op == "element":
            word = self._element_word(int(place.path[0]), place.path[1:])
            return None if word is None or place.path[0] % 2 else (f"exists({word})", _ATOM)
        return f"exists({_dotted(place.path)})", _ATOM

    def _missing(self, expr: Expr) -> tuple[str, int]:
        names = expr.args[1:] if expr.op == "missing_some" else expr.args
        needed = [self.print(expr.args[0], OPEN)] if expr.op == "missing_some" else []
        words = [self.print(name, OPEN) for name in names]
        return f"{expr.op}({', '.join([*needed, *words])})", _ATOM


def _number(value: Json) -> str:
    return json.dumps(value)


def _unit(unit: Unit) -> str:
    """Write a unit so that it may follow a number: `s^-1` where a vocabulary writes `1/s`."""
    text = str(unit)
    if not text.startswith("1/"):
        return text
    return "*".join(f"{symbol}^{power}" for symbol, power in unit.powers)


def _shared_unit(expr: Expr) -> Unit | None:
    """Give the unit that literals beside these operands take."""
    if any(arg.type.kind is Kind.TIMESTAMP for arg in expr.args):
        return SECONDS if expr.op in ("+", "-") else None
    kinds = [arg.type.unit for arg in expr.args if arg.op != "const" and arg.type.kind is Kind.NUMBER]
    return next((unit for unit in kinds if unit is not None), None)


def _dotted(path: Sequence[str | int]) -> str:
    """Write a path: `a.b`, `a[0].b`; a part that is no word stands in backticks."""
    text = ""
    for index, step in enumerate(path):
        if isinstance(step, int):
            text += f"[{step}]"
            continue
        following = str(path[index + 1]) if index + 1 < len(path) else ""
        is_number = index > 0 and bool(_INDEX.match(step)) and not following.isdigit()  # `1.2` is one number
        plain = is_number or (bool(_WORD.match(step)) and (index > 0 or step not in KEYWORDS))
        quoted = step.replace("\\", "\\\\").replace("`", "\\`")
        text += ("." if index else "") + (step if plain else f"`{quoted}`")
    return text


_SPECIAL: Mapping[str, Callable[[_Printer, Expr], tuple[str, int] | None]] = {
    "const": _Printer._constant,
    "read": _Printer._signal,
    "now": lambda printer, expr: ("now", _ATOM),
    "estimate": _Printer._signal,
    "element": _Printer._element,
    "list": _Printer._list,
    "if": _Printer._choice,
    "!": _Printer._negation,
    "!!": _Printer._negation,
    "-": _Printer._minus,
    "in": _Printer._member,
    "reduce": _Printer._reduction,
    "try": _Printer._attempt,
    "exists": _Printer._existence,
    "missing": _Printer._missing,
    "missing_some": _Printer._missing,
    **dict.fromkeys(QUANTIFIERS, _Printer._quantified),
}
