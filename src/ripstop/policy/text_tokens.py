"""Cuts a rule in the readable form into tokens: `battery_percent < 30 % implies payload_kg <= 1.0 kg`.

A number takes the unit that follows it on its line (`30 %`, `10 m/s`): a unit's `*` and `/` have no spaces
around them. A name or an operator that is no plain word stands in backticks. `#` begins a comment.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from operator import itemgetter

from ripstop.core.errors import Place
from ripstop.core.value import dataclass
from ripstop.policy.diagnostics import Findings
from ripstop.policy.source import number, shown

_ITERATORS = ("all", "some", "none", "map", "filter", "reduce", "from")
_LITERALS = ("true", "false", "null")
_CHOICES = ("if", "then", "elif", "else", "try", "catch", "default")
KEYWORDS = frozenset(("and", "or", "not", "implies", "in", "mod", *_LITERALS, *_CHOICES, *_ITERATORS))
_SYMBOL = r"[A-Za-z%°µΩ€$][A-Za-z%°µΩ€$_]*(?:\^-?[1-9][0-9]?)?"
_UNIT = re.compile(rf"[ \t]*(?P<unit>{_SYMBOL}(?:[*/·]{_SYMBOL})*)(?![A-Za-z0-9_^(.\[`])")
_DATE = re.compile(r"\d{4}-\d\d?-\d\d?")
_COMMENT = re.compile(r"#[^\n]*")
_SPACE = re.compile(r"(?:\s++|#[^\n]*+)*+")
_TOKEN = re.compile(
    r"""(?P<number>(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?(?![0-9]))
    |(?P<string>"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+"
        |'(?:[^'\\\x00-\x1f]|\\(?:['"\\/bfnrt]|u[0-9a-fA-F]{4}))*+')
    |(?P<quoted>`(?:[^`\\]|\\.)*+`)
    |(?P<name>[A-Za-z_][A-Za-z_0-9]*+)
    |(?P<mark>\.\.\.|===|!==|==|!=|<=|>=|!!|\?\?|[-+*/<>()\[\]{},:.])""",
    re.VERBOSE | re.DOTALL,
)
_ODD = {
    "=<": "write `<=`",
    "=>": "write `>=` to compare, `implies` to conclude",
    ";": "there is one rule: join conditions with `and`",
    "=": "equality is written `==`",
    "&": "write `and`",
    "|": "write `or`",
    "!": "write `not`",
    "%": "a remainder is written `a mod b`; as a unit it follows a number",
    "→": "write `implies`",
    "≤": "write `<=`",
    "≥": "write `>=`",
    "≠": "write `!=`",
}


class TextError(Exception):
    """Stops the reading of a rule; the finding is noted already."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token: `kind` is number, string, quoted, name, word (a keyword), mark or end."""

    kind: str
    text: str
    start: int
    end: int
    value: float | str = ""
    unit: str = ""

    @property
    def shown(self) -> str:
        """The token as a message shows it."""
        return "the end" if self.kind == "end" else f"`{shown(self.text)}`"


class Cursor:
    """Gives tokens one after the other, and says where in the file an offset of the text stands.

    Args:
        text: the rule.
        places: the place of each of the text's lines' first letters, or one place for all of it.
        findings: where syntax errors go.
    """

    def __init__(self, text: str, places: TextPlaces, findings: Findings) -> None:
        self.text = text
        self.places = places
        self.findings = findings
        self.before: Token | None = None
        self.token = self._cut(0)

    def place(self, offset: int) -> Place:
        """Say where an offset stands."""
        return self.places.of(self.text, offset)

    def next(self) -> Token:
        """Give the token at hand and go on."""
        token = self.token
        self.token = self._cut(token.end)
        self.before = token
        return token

    def peek(self) -> Token:
        """Give the token after the one at hand."""
        return self._cut(self.token.end)

    def is_at(self, *texts: str) -> bool:
        """Whether the token at hand is one of these keywords or marks."""
        return self.token.kind in ("word", "mark") and self.token.text in texts

    def take(self, *texts: str) -> Token | None:
        """Go past a keyword or mark, if it is the one at hand."""
        return self.next() if self.is_at(*texts) else None

    def expect(self, text: str, hint: str = "") -> Token:
        """Go past a keyword or mark.

        Raises:
            TextError: when something else is at hand.
        """
        if not self.is_at(text):
            raise self.fail(f"expected `{text}`, got {self.token.shown}", self.token.start, hint)
        return self.next()

    def fail(self, message: str, offset: int, hint: str = "", code: str = "E0104") -> TextError:
        """Note a finding that ends the reading; what the end lacks is missed behind the last letter."""
        offset = min(offset, len(self.text.rstrip()))
        self.findings.error(code, message, self.place(offset), hint)
        return TextError()

    def _cut(self, at: int) -> Token:
        space = _SPACE.match(self.text, at)
        start = space.end() if space else at
        self._refuse_joined(at, start)
        if start == len(self.text):
            return Token("end", "", start, start)
        match = _TOKEN.match(self.text, start)
        if match is None:
            raise self._odd(start)
        kind, text, end = match.lastgroup or "", match.group(), match.end()
        if kind == "number":
            unit = _UNIT.match(self.text, end)
            if unit is not None and unit["unit"] not in KEYWORDS:
                return Token(kind, text, start, unit.end(), number(text), unit["unit"])
            return Token(kind, text, start, end, number(text))
        if kind == "string":
            return Token(kind, text, start, end, unquote(text))
        if kind == "quoted":
            return Token(kind, text, start, end, re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL))
        return Token("word" if kind == "name" and text in KEYWORDS else kind, text, start, end, text)

    def _refuse_joined(self, at: int, end: int) -> None:
        """Refuse a comment that YAML joined with the line below, which it would hide."""
        for comment in _COMMENT.finditer(self.text, at, end):
            line = self.places.line_in(comment.start() + 1, comment.end())
            if line is not None:
                raise self.fail(
                    "this line is part of the comment above",
                    line,
                    "write the rule below `|`, which keeps its lines",
                )

    def _odd(self, start: int) -> TextError:
        letter = self.text[start]
        if letter in "\"'`":
            return self.fail("a quotation does not end", start, "strings end on their line")
        if letter.isdigit():
            is_date = _DATE.search(self.text, max(0, start - 8), start + 5)
            hint = "a moment is in seconds since 1970" if is_date else "like `30`, `0.5` or `1e-3`"
            return self.fail("a number is malformed", start, hint)
        pair = self.text[start : start + 2]
        hint = _ODD.get(pair) or _ODD.get(letter, "")
        return self.fail(f"expected a part of a rule, got `{shown(letter)}`", start, hint)


@dataclass(frozen=True, slots=True)
class TextPlaces:
    """Where a text stands in its file.

    `first` is the place of its first letter; `pieces` are the offsets from which it is written out as it is,
    each with its line and column, in order (with none, every offset has the place `first`).
    """

    first: Place
    pieces: tuple[tuple[int, int, int], ...] = ()

    def of(self, text: str, offset: int) -> Place:
        """Say where an offset of the text stands."""
        number = bisect_right(self.pieces, offset, key=itemgetter(0)) - 1
        if number < 0:
            return self.first
        start, line, column = self.pieces[number]
        return Place(self.first.file, line, column + offset - start, self.first.pointer)

    def line_in(self, start: int, end: int) -> int | None:
        """Give the offset of the first line that begins between two offsets."""
        return next((offset for offset, _, _ in self.pieces if start <= offset < end), None)


def unquote(text: str) -> str:
    """Give the content of a string in double or single quotes, with JSON's escapes."""
    if text[0] == "'":
        inner = re.sub(r"\\.|\"", lambda found: {'"': '\\"', "\\'": "'"}.get(found[0], found[0]), text[1:-1])
        text = f'"{inner}"'
    value = json.loads(text)
    return value if isinstance(value, str) else ""
