"""Reads the readable form of a rule into the same tree as JSON: a Pratt parser on a stack of its own.

    battery_percent < 30 % implies payload_kg <= 1.0 kg
    {"if": [{"<": [{"var": "battery_percent"}, 30]}, {"<=": [{"var": "payload_kg"}, 1.0]}, true]}

Theory of operation. Each construct is a generator that yields the sub-expressions that it wants read and
gets their trees back; `_run` keeps the generators on a list, so depth costs no Python stack and is bounded by
count. What binds how tightly stands in `INFIX`. A word that an enclosing `all x in ...` has bound reads the
element; any other name is a signal, climbed out to by `val` where iterators stand around it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import TypeAlias

from ripstop.core.value import dataclass
from ripstop.policy.diagnostics import Findings, nearest
from ripstop.policy.operators import ALIASES, OPERATORS
from ripstop.policy.source import MAX_DEPTH, Node
from ripstop.policy.text_tokens import KEYWORDS, Cursor, TextError, TextPlaces, Token
from ripstop.policy.text_trees import Made, Trees

MAX_OPEN = 4 * MAX_DEPTH  # constructs that may be open at once; brackets count

OPEN, IMPLIES, OR, AND, NOT, COMPARISON, COALESCE, SUM, PRODUCT, SIGN = range(10)
# operator as written: (how tightly it binds, its JSON-Logic name)
INFIX: Mapping[str, tuple[int, str]] = {
    "implies": (IMPLIES, "if"),
    "or": (OR, "or"),
    "and": (AND, "and"),
    **{word: (COMPARISON, word) for word in ("<", "<=", ">", ">=", "==", "!=", "===", "!==", "in")},
    "not": (COMPARISON, "in"),  # `a not in b`
    "??": (COALESCE, "??"),
    "+": (SUM, "+"),
    "-": (SUM, "-"),
    "*": (PRODUCT, "*"),
    "/": (PRODUCT, "/"),
    "mod": (PRODUCT, "%"),
}
_STRAY: Mapping[str, str] = {  # what stands where an operator should, and what was perhaps meant
    "is": "equality is written `==`",
    "equals": "equality is written `==`",
    "then": "like `if a then b`, or `a implies b`",
    "else": "like `if a then b else c`",
    "not": "like `a and not b`, or `a not in b`",
    "(": "only operators are called, like `max(a, b)`",
    "of": "a remainder is written `a mod b`, an element `x in list`",
}
QUANTIFIERS = ("all", "some", "none", "map", "filter")


Reading: TypeAlias = "Generator[Reading, Made, Made]"


@dataclass(frozen=True, slots=True)
class Scope:
    """What an iterator or a `catch` binds: each word with the steps from the scope's data to it."""

    words: Mapping[str, tuple[str, ...]]


def read_text(text: str, places: TextPlaces, findings: Findings) -> Node | None:
    """Read a rule; None when it is malformed.

    Args:
        text: the rule in the readable form.
        places: where it stands.
        findings: where what is wrong goes.
    """
    try:
        return _Parser(Cursor(text, places, findings)).rule()
    except TextError:
        return None


class _Parser:
    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self.trees = Trees(cursor)
        self.scopes: list[Scope] = []

    def rule(self) -> Node:
        """Read the whole text."""
        if self.cursor.token.kind == "end":
            raise self.cursor.fail("the rule is empty", 0, "like `battery_percent >= 20 %`")
        made = self._run(self._expression(OPEN))
        token = self.cursor.token
        if token.kind != "end":
            raise self._unexpected(token)
        return made.node

    def _run(self, reading: Reading) -> Made:
        stack = [reading]
        answer: Made | None = None
        while True:
            try:
                wanted = next(stack[-1]) if answer is None else stack[-1].send(answer)
            except StopIteration as done:
                stack.pop()
                answer = done.value
                if not stack:
                    return done.value  # type: ignore[no-any-return]  # StopIteration is not generic
                continue
            answer = None
            stack.append(wanted)
            if len(stack) > MAX_OPEN:
                raise self.trees.too_deep(self.cursor.token.start)

    def _unexpected(self, token: Token) -> TextError:
        hint = _STRAY.get(token.text, "")
        before = self.cursor.before
        if before is not None and before.kind == "name" and before.text.lower() in KEYWORDS:
            hint = f"`{before.text.lower()}` is written in lower case"
        elif token.kind == "name" and token.text.lower() in KEYWORDS:
            hint = f"`{token.text.lower()}` is written in lower case"
        elif before is not None and before.unit and nearest(before.unit, KEYWORDS):
            hint = nearest(before.unit, KEYWORDS)  # a number's unit stands where an operator was misspelt
        elif not hint and token.kind in ("name", "quoted", "number", "string"):
            hint = nearest(token.text, KEYWORDS) or "two values need an operator between them"
            if before is not None and before.unit:
                hint += f"; `{before.unit}` is read as the unit of `{before.text}`"
        elif token.text in ("<", "<=", ">", ">=", "==", "!=", "===", "!==", "in"):
            hint = "comparisons of two kinds are joined with `and`"
        elif token.text == "," and before is not None and before.kind == "number":
            hint = "a decimal is written with a point"
        return self.cursor.fail(f"expected an operator or the end, got {token.shown}", token.start, hint)

    # expressions

    def _expression(self, floor: int) -> Reading:
        """Read operands and the operators between them that bind at least as tightly as `floor`."""
        left = yield self._operand()
        is_comparison = False
        while (infix := self._infix()) is not None and infix[0] >= floor:
            power, name = infix
            if is_comparison and power == COMPARISON:
                raise self._unexpected(self.cursor.token)
            left = yield self._infixed(left, power, name)
            is_comparison = power == COMPARISON
        return left

    def _infix(self) -> tuple[int, str] | None:
        """Say what operator is at hand between two operands."""
        cursor = self.cursor
        if not cursor.is_at(*INFIX) or (cursor.is_at("not") and cursor.peek().text != "in"):
            return None
        return INFIX[cursor.token.text]

    def _infixed(self, left: Made, power: int, name: str) -> Reading:
        """Read the other operands of an operator; `a + b + c` is one sum of three."""
        token = self.cursor.next()
        if token.text == "not":
            self.cursor.next()
        operands = [left, (yield self._expression(power if name == "if" else power + 1))]
        while name not in ("in", "if") and self.cursor.take(token.text):
            operands.append((yield self._expression(power + 1)))
        if name == "if":
            return self.trees.apply("if", [*operands, self.trees.scalar(token, True)], token)
        made = self.trees.apply(name, operands, token)
        return self.trees.apply("!", [made], token) if token.text == "not" else made

    def _operand(self) -> Reading:
        """Read what stands before, after or between infix operators."""
        token = self.cursor.token
        if token.kind in ("number", "string"):
            return self.trees.scalar(self.cursor.next(), token.value)
        if token.kind in ("name", "quoted"):
            return (yield self._named())
        if token.kind in ("word", "mark") and token.text in _PREFIXES:
            return (yield _PREFIXES[token.text](self))
        raise self.cursor.fail(f"expected a value, got {token.shown}", token.start, _value_hint(token))

    def _literal(self) -> Reading:
        token = self.cursor.next()
        return self.trees.scalar(token, {"true": True, "false": False, "null": None}[token.text])
        yield  # a generator, as every reading

    def _negation(self) -> Reading:
        token = self.cursor.next()
        name, power = ("!", NOT) if token.text == "not" else ("!!", SIGN)
        return self.trees.apply(name, [(yield self._expression(power))], token)

    def _minus(self) -> Reading:
        token = self.cursor.next()
        following = self.cursor.token
        if following.kind == "number":
            self.cursor.next()
            value = following.value
            return self.trees.scalar(token, value if isinstance(value, str) else -value, following.unit)
        return self.trees.apply("-", [(yield self._expression(SIGN))], token)

    def _group(self) -> Reading:
        self.cursor.next()
        made = yield self._expression(OPEN)
        self.cursor.expect(")", "a `(` is still open")
        return made

    def _list(self) -> Reading:
        token = self.cursor.next()
        items: list[Made] = []
        while not self.cursor.take("]"):
            if items:
                self.cursor.expect(",", "a `[` is still open")
            items.append((yield self._expression(OPEN)))
        return self.trees.array(token, items)

    def _object(self) -> Reading:
        """Read an object as data: what stands in braces is not evaluated."""
        token = self.cursor.token
        made = yield self._data()
        return made if not made.node.entries else self.trees.apply("preserve", [made], token, is_lone=True)

    def _data(self) -> Reading:
        token = self.cursor.token
        if self.cursor.take("{"):
            entries: dict[str, Made] = {}
            while not self.cursor.take("}"):
                if entries:
                    self.cursor.expect(",", "a `{` is still open")
                key = self.cursor.next()
                if key.kind != "string":
                    raise self.cursor.fail(f"expected a key in quotes, got {key.shown}", key.start)
                if key.value in entries:
                    raise self.cursor.fail(f"key {key.shown} stands twice", key.start, code="E0105")
                self.cursor.expect(":")
                entries[str(key.value)] = yield self._data()
            node = Node(
                self.cursor.place(token.start),
                entries={key: made.node for key, made in entries.items()},
                keys={key: made.node.place for key, made in entries.items()},
            )
            return self.trees.measured(node, list(entries.values()), 1, token)
        if self.cursor.take("["):
            items: list[Made] = []
            while not self.cursor.take("]"):
                if items:
                    self.cursor.expect(",", "a `[` is still open")
                items.append((yield self._data()))
            return self.trees.array(token, items)
        if token.kind in ("number", "string") or token.text in ("true", "false", "null", "-"):
            made = yield self._operand()
            if made.node.entries is None:
                return made
        raise self.cursor.fail(f"expected data, got {token.shown}", token.start, "braces hold data only")

    # constructs

    def _choice(self) -> Reading:
        """Read `if a then b elif c then d else e`."""
        token = self.cursor.next()
        parts = [(yield self._expression(OPEN))]
        self.cursor.expect("then", "like `if a then b else c`")
        parts.append((yield self._expression(OPEN)))
        while self.cursor.take("elif"):
            parts.append((yield self._expression(OPEN)))
            self.cursor.expect("then")
            parts.append((yield self._expression(OPEN)))
        if self.cursor.take("else"):
            parts.append((yield self._expression(OPEN)))
        return self.trees.apply("if", parts, token)

    def _quantified(self) -> Reading:
        """Read `all x in list: condition`, and the like."""
        token = self.cursor.next()
        if self.cursor.is_at("("):
            raise self.cursor.fail(
                "expected a name for the element, got `(`",
                self.cursor.token.start,
                f"like `{token.text} x in neighbours: x.load < 0.9`",
            )
        word = self._binder()
        self.cursor.expect("in", f"like `{token.text} {word} in neighbours: ...`")
        elements = yield self._expression(COMPARISON + 1)
        self.cursor.expect(":", "the condition stands after a colon")
        body = yield self._within(Scope({word: ()}), self._expression(OPEN))
        return self.trees.apply(token.text, [elements, body], token)

    def _reduction(self) -> Reading:
        """Read `reduce total, x in list from 0: total + x`."""
        token = self.cursor.next()
        total = self._binder()
        self.cursor.expect(",", "like `reduce total, x in list from 0: total + x`")
        word = self._binder()
        self.cursor.expect("in")
        elements = yield self._expression(COMPARISON + 1)
        start = [(yield self._expression(COMPARISON + 1))] if self.cursor.take("from") else []
        self.cursor.expect(":", "the expression stands after a colon")
        scope = Scope({total: ("accumulator",), word: ("current",)})
        body = yield self._within(scope, self._expression(OPEN))
        return self.trees.apply("reduce", [elements, body, *start], token)

    def _attempt(self) -> Reading:
        """Read `try a catch error: b`."""
        token = self.cursor.next()
        parts = [(yield self._expression(OPEN))]
        while self.cursor.take("catch"):
            word = self._binder()
            self.cursor.expect(":")
            parts.append((yield self._within(Scope({word: ()}), self._expression(OPEN))))
        return self.trees.apply("try", parts, token)

    def _within(self, scope: Scope, reading: Reading) -> Reading:
        self.scopes.append(scope)
        made = yield reading
        self.scopes.pop()
        return made

    def _binder(self) -> str:
        token = self.cursor.next()
        if token.kind != "name":
            raise self.cursor.fail(
                f"expected a name for the element, got {token.shown}", token.start, "a plain word, like `x`"
            )
        return token.text

    # names and calls

    def _named(self) -> Reading:
        """Read a signal, an element, or an operator written as a call."""
        token, after = self.cursor.token, self.cursor.peek()
        is_operator = token.text in OPERATORS or token.text in ALIASES
        if after.text == "(" or (after.text == "[" and token.kind == "name" and is_operator):
            return (yield self._call())
        level, steps = self._path()
        if self.cursor.take("default"):
            name = self.trees.scalar(token, self.trees.plain_name(token, level, steps))
            return self.trees.apply("var", [name, (yield self._expression(SIGN))], token)
        return self.trees.read(token, level, steps)

    def _call(self) -> Reading:
        """Read `name(a, b)`, or with constants in brackets, which JSON has behind: `once[10 s](a)`."""
        token = self.cursor.next()
        name = str(token.value)
        if name in _NAMING:
            return (yield _NAMING[name](self, token))
        settings: list[Made] = []
        if self.cursor.take("["):
            while not self.cursor.take("]"):
                if settings:
                    self.cursor.expect(",", "a `[` is still open")
                settings.append((yield self._expression(OPEN)))
        self.cursor.expect("(", f"`{token.text}` takes its arguments in parentheses")
        if self.cursor.take("..."):
            spread = yield self._expression(OPEN)
            self.cursor.expect(")")
            return self.trees.apply(name, [spread], token, is_lone=True)
        args: list[Made] = []
        while not self.cursor.take(")"):
            if args:
                self.cursor.expect(",", "a `(` is still open")
            args.append((yield self._expression(OPEN)))
        return self.trees.apply(name, [*args, *settings], token)

    def _index(self, token: Token) -> Reading:
        """Read `index(x)`: the position of an element."""
        self.cursor.expect("(")
        level, steps = self._path()
        self.cursor.expect(")")
        if level == 2 * len(self.scopes) or len(steps) > 1 or (steps and steps[0] != "current"):
            raise self.cursor.fail("`index` needs the name of an element", token.start)
        return self.trees.read(token, level + 1, ("index",))
        yield  # a generator, as every reading

    def _existence(self, token: Token) -> Reading:
        self.cursor.expect("(")
        level, steps = self._path()
        self.cursor.expect(")")
        return self.trees.apply("exists", self.trees.steps(token, level, steps), token)
        yield  # a generator, as every reading

    def _missing(self, token: Token) -> Reading:
        """Read `missing(a, b)` and `missing_some(1, a, b)`."""
        self.cursor.expect("(")
        needed = [(yield self._expression(OPEN))] if token.value == "missing_some" else []
        names: list[Made] = []
        while not self.cursor.take(")"):
            if names or needed:
                self.cursor.expect(",", "a `(` is still open")
            at = self.cursor.token
            names.append(self.trees.scalar(at, self.trees.plain_name(at, *self._path())))
        return self.trees.apply(
            str(token.value), [*needed, self.trees.array(token, names)] if needed else names, token
        )

    def _path(self) -> tuple[int, tuple[str | int, ...]]:
        """Read a name with its parts (`a.b`, `a[0].b`), and resolve its first word: level and steps."""
        token = self.cursor.next()
        if token.kind not in ("name", "quoted"):
            raise self.cursor.fail(f"expected a name, got {token.shown}", token.start)
        steps: list[str | int] = [str(token.value)]
        while self.cursor.is_at(".", "["):
            mark = self.cursor.next()
            part = self.cursor.next()
            if mark.text == "." and part.kind in ("name", "word", "quoted"):
                steps.append(str(part.value))
            elif mark.text == "." and part.text.isdigit() and not part.unit:
                steps.append(part.text)
            elif mark.text == "[" and part.kind == "number" and isinstance(part.value, int) and not part.unit:
                steps.append(part.value)
                self.cursor.expect("]")
            else:
                raise self.cursor.fail(
                    f"expected a part's name, got {part.shown}", part.start, "like `a.b` or `a[0]`"
                )
        if token.kind == "name":
            for depth, scope in enumerate(reversed(self.scopes)):
                if token.text in scope.words:
                    return 2 * depth, (*scope.words[token.text], *steps[1:])
        return 2 * len(self.scopes), tuple(steps)


def _value_hint(token: Token) -> str:
    if token.kind == "word":
        return "a signal of this name stands in backticks"
    if token.text == ">":
        return "unequal is written `!=`, and to conclude `implies`"
    return "" if token.kind == "end" else "a name, a number, a text, or `(`"


_PREFIXES: Mapping[str, Callable[[_Parser], Reading]] = {
    **dict.fromkeys(("true", "false", "null"), _Parser._literal),
    **dict.fromkeys(("not", "!!"), _Parser._negation),
    **dict.fromkeys(QUANTIFIERS, _Parser._quantified),
    "-": _Parser._minus,
    "(": _Parser._group,
    "[": _Parser._list,
    "{": _Parser._object,
    "if": _Parser._choice,
    "reduce": _Parser._reduction,
    "try": _Parser._attempt,
}
_NAMING: Mapping[str, Callable[[_Parser, Token], Reading]] = {
    "index": _Parser._index,
    "exists": _Parser._existence,
    "missing": _Parser._missing,
    "missing_some": _Parser._missing,
}
