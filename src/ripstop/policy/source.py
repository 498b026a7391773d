"""A source read into a tree that knows where every value stands; the JSON reader (comments allowed).

Three readers feed one `TreeBuilder`: this module's JSON scanner, `yaml_source`, and `read_value` for objects
that are in memory already. The builder holds them all to the same rules: no duplicate keys, no integer beyond
2^53, no NaN, no more than 64 levels. Nothing here recurses on the input.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import field
from math import isfinite
from typing import Final, cast

from ripstop.core.canonical import MAX_SAFE_INTEGER, Json
from ripstop.core.errors import Place
from ripstop.core.value import dataclass
from ripstop.policy.diagnostics import Findings

MAX_DEPTH = 64
MAX_BYTES = 1_000_000
_END: Final = object()
EMPTY = "a policy is a rule, or a document that begins with `ripstop: 1`"
TOO_LARGE = "write several policies, each in its own file"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_CONFLICT = re.compile(r"^(?:<{7}|>{7})(?: |\r?$)", re.MULTILINE)  # no valid line begins so
_CONTROLS = frozenset((*range(9), *range(14, 32)))


@dataclass(frozen=True, slots=True)
class Node:
    """One value of a source: a scalar, or `items` (an array), or `entries` (an object).

    `keys` tells where each key of an object stands; `unit` is what the readable form writes behind a number.
    """

    place: Place
    scalar: bool | int | float | str | None = None
    items: tuple[Node, ...] | None = None
    entries: Mapping[str, Node] | None = None
    keys: Mapping[str, Place] = field(default_factory=dict)
    unit: str = ""

    @property
    def kind(self) -> str:
        """The JSON word for what it is."""
        if self.items is not None:
            return "array"
        if self.entries is not None:
            return "object"
        return kind_of(self.scalar)

    def plain(self) -> Json:
        """Give the value without places. Depth is bounded, so this may recurse."""
        if self.items is not None:
            return [item.plain() for item in self.items]
        if self.entries is not None:
            return {key: entry.plain() for key, entry in self.entries.items()}
        return self.scalar


def kind_of(scalar: Json) -> str:
    """Give the JSON word for a scalar's type."""
    if scalar is None:
        return "null"
    if isinstance(scalar, bool):
        return "boolean"
    return "string" if isinstance(scalar, str) else "number"


class TooDeepError(Exception):
    """Raised by the builder to stop a reader at the depth limit; never leaves this package."""


@dataclass(slots=True)
class _Open:
    """A container that is still being read."""

    place: Place
    is_object: bool
    items: list[Node] = field(default_factory=list)
    entries: dict[str, Node] = field(default_factory=dict)
    keys: dict[str, Place] = field(default_factory=dict)
    key: str | None = None


class TreeBuilder:
    """Builds the tree from events in source order, and notes what is wrong with each value."""

    def __init__(self, file: str, findings: Findings) -> None:
        self.file = file
        self.findings = findings
        self.root: Node | None = None
        self._open: list[_Open] = []

    @property
    def in_object(self) -> bool:
        """Whether the innermost open container is an object."""
        return bool(self._open) and self._open[-1].is_object

    def place(self, line: int, column: int) -> Place:
        """Say where the next value stands."""
        if not self._open:
            return Place(self.file, line, column)
        part = self._open[-1]
        step = part.key or "" if part.is_object else str(len(part.items))
        if "~" in step or "/" in step:
            step = step.replace("~", "~0").replace("/", "~1")
        return Place(self.file, line, column, f"{part.place.pointer}/{step}")

    def start(self, line: int, column: int, *, is_object: bool) -> None:
        """Open an array or an object."""
        place = self.place(line, column)
        if len(self._open) >= MAX_DEPTH:
            self.findings.error("E0106", f"nested more than {MAX_DEPTH} deep", Place(self.file, line, column))
            raise TooDeepError
        self._open.append(_Open(place, is_object))

    def end(self) -> None:
        """Close the innermost array or object."""
        part = self._open.pop()
        if part.is_object:
            self._put(Node(part.place, entries=part.entries, keys=part.keys))
        else:
            self._put(Node(part.place, items=tuple(part.items)))

    def key(self, name: str, line: int, column: int) -> None:
        """Name the next value of the innermost object."""
        part = self._open[-1]
        part.key = name
        place = self.place(line, column)
        if name in part.keys:
            self.findings.error(
                "E0105", f"key `{shown(name)}` stands twice in one object", place, _twice(part.keys[name])
            )
        part.key = self._well_formed(name, place)
        part.keys[part.key] = place

    def scalar(self, value: bool | float | str | None, line: int, column: int) -> None:
        """Add a null, boolean, number or string."""
        place = self.place(line, column)
        if isinstance(value, str):
            value = self._well_formed(value, place)
        elif isinstance(value, int) and not -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER:
            self.findings.error(
                "E0108", "an integer is beyond 2^53", place, "two such integers may be one number"
            )
            value = 0
        elif isinstance(value, float) and not isfinite(value):
            self.findings.error("E0107", "a number is not finite", place, "write a number up to 1.8e308")
            value = 0
        self._put(Node(place, scalar=value))

    def _well_formed(self, text: str, place: Place) -> str:
        if text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text):
            return text
        self.findings.error(
            "E0102", "a string holds half of a surrogate pair", place, "write the letter itself, in UTF-8"
        )
        return ""

    def _put(self, node: Node) -> None:
        if not self._open:
            self.root = node
        elif self._open[-1].is_object:
            part = self._open[-1]
            part.entries.setdefault(part.key or "", node)
        else:
            self._open[-1].items.append(node)


def shown(text: str, limit: int = 40) -> str:
    """Shorten a user's words and make them printable, for a message."""
    clean = "".join(letter if letter.isprintable() else "?" for letter in text[:limit])
    return (
        clean.encode("ascii", "replace").decode()
        if not clean.isprintable()
        else clean + ("..." if len(text) > limit else "")
    )


def decode(content: bytes, file: str, findings: Findings) -> str | None:
    """Decode UTF-8 (a byte order mark is dropped); None when that cannot be done."""
    if len(content) > MAX_BYTES:
        findings.error(
            "E0103",
            f"the source has {len(content)} bytes, at most {MAX_BYTES} are taken",
            Place(file, 1, 1),
            TOO_LARGE,
        )
        return None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8-sig", "replace")
        line = before.count("\n") + 1
        column = len(before) - (before.rfind("\n") + 1) + 1
        hint = "this looks like UTF-16" if content[:2] in _UTF16_MARKS else "it may be in another encoding"
        if _is_binary(content):
            hint = "this is no text file"
        findings.error("E0102", f"byte {error.start} is not UTF-8", Place(file, line, column), hint)
        return None
    conflict = _CONFLICT.search(text)
    if conflict is not None:
        place = Place(file, text.count("\n", 0, conflict.start()) + 1, 1)
        findings.error("E0104", "a merge left its conflict marker", place, "keep one of the two sides")
        return None
    return text


def _twice(first: Place) -> str:
    where = f" on line {first.line}" if first.line else ""
    return f"only one could count; the first stands{where or ' before it'}"


def _is_binary(content: bytes) -> bool:
    """Whether bytes that are not UTF-8 hold control characters, as no text does."""
    return content[:2] not in _UTF16_MARKS and any(byte in _CONTROLS for byte in content[:1000])


_SPACE = re.compile(r"(?:[ \t\r\n]++|//[^\n]*+|/\*(?:[^*]|\*(?!/))*+\*/)*+")
_TOKEN = re.compile(
    r"""(?P<string>"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+")
    |(?P<number>-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?)
    |(?P<mark>[][{}:,])
    |(?P<word>[-+]?[A-Za-z_][A-Za-z_0-9]*+)""",
    re.VERBOSE,
)
_STRING_PART = re.compile(r"""[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+""")
_WORDS: Mapping[str, bool | float | None] = {
    "true": True,
    "false": False,
    "null": None,
    "NaN": float("nan"),
    "Infinity": float("inf"),
    "-Infinity": float("-inf"),
}
_TRUTH_ELSEWHERE = re.compile(r"(?:true|false|null?|none|nil|undefined|yes|no)\b", re.IGNORECASE)
_LONGEST_INTEGER = 17  # 2^53 has 16 digits; a sign may stand before them


class _MalformedError(Exception):
    """Stops the scanner; the finding is noted already."""


class _Scanner:
    """Cuts JSON text into tokens and tells where they stand."""

    def __init__(self, text: str, file: str, findings: Findings) -> None:
        self.text = text
        self.file = file
        self.findings = findings
        self.at = 0
        self.opened: list[int] = []  # where the containers that are still open begin
        self._rows = [0, *(match.end() for match in re.finditer("\n", text))]

    def where(self, offset: int) -> tuple[int, int]:
        """Give line and column of an offset."""
        row = bisect_right(self._rows, offset) - 1
        return row + 1, offset - self._rows[row] + 1

    def fail(self, expected: str, offset: int) -> _MalformedError:
        """Note a syntax error."""
        found = self.text[offset : offset + 1]
        got = f"`{shown(found)}`" if found else "the end"
        place = Place(self.file, *self.where(offset if found else len(self.text.rstrip())))
        self.findings.error(
            "E0104", f"expected {expected}, got {got}", place, self._hint(expected, found, offset)
        )
        return _MalformedError()

    def _fail_in_string(self, offset: int) -> _MalformedError:
        """Note what is wrong inside a string, where it is."""
        end = _STRING_PART.match(self.text, offset + 1).end()  # type: ignore[union-attr]  # it matches anything
        found = self.text[end : end + 2]
        if found[:1] in ("", "\n", "\r"):
            message, hint = "a string does not end on its line", "it ends with a double quote"
        elif found[0] == "\\":
            message, hint = f"`{shown(found)}` is no escape of JSON", "a backslash itself is written twice"
        else:
            escape = f"\\u{ord(found[0]):04x}"
            message, hint = "a string holds a control character", f"it is written `{escape}`"
        self.findings.error("E0104", message, Place(self.file, *self.where(end)), hint)
        return _MalformedError()

    def _hint(self, expected: str, found: str, offset: int) -> str:
        if not self.text.strip():
            return EMPTY
        if found == "'":
            return "JSON's strings stand in double quotes"
        if found and found in "]}" and self.text[:offset].rstrip().endswith(","):
            return f"no comma stands before `{found}`"
        if self.opened and found in ("", "]", "}"):
            line, column = self.where(self.opened[-1])
            return f"`{self.text[self.opened[-1]]}` of line {line}, column {column} is still open"
        return self._slip(expected, found, offset)

    def _slip(self, expected: str, found: str, offset: int) -> str:
        """Give a hint on what another language would have written, or on what was left out."""
        if found == "\0":
            return "this looks like UTF-16, it is read as UTF-8"
        if expected == "the end":
            return "a file holds one policy"
        if expected == "a value" and _TRUTH_ELSEWHERE.match(self.text, offset):
            return "JSON writes `true`, `false` and `null`"
        before = self.text[offset - 1 : offset]
        if found and (found in "+." or (before.isdigit() and found.isalnum()) or before == "-"):
            return "a number is written as `12`, `-0.5` or `1e3`"
        if expected.startswith("`,`") and (found.isalnum() or found in '"[{-'):
            return "a comma stands between two of them"
        return ""

    def next(self, expected: str) -> tuple[str, str, int]:
        """Give the next token: its kind, its text, its offset; `("end", "", n)` at the end."""
        space = _SPACE.match(self.text, self.at)
        offset = space.end() if space else self.at
        if offset == len(self.text):
            self.at = offset
            return "end", "", offset
        token = _TOKEN.match(self.text, offset)
        if token is None:
            if self.text[offset] == '"':
                raise self._fail_in_string(offset)
            raise self.fail(expected, offset)
        self.at = token.end()
        return token.lastgroup or "", token.group(), offset


def read_json(text: str, file: str, findings: Findings) -> Node | None:
    """Read JSON text, with `//` and `/* */` comments; None when it is malformed."""
    scanner = _Scanner(text, file, findings)
    builder = TreeBuilder(file, findings)
    try:
        _read_values(scanner, builder)
        kind, _, offset = scanner.next("the end")
        if kind != "end":
            raise scanner.fail("the end", offset)
    except (_MalformedError, TooDeepError):
        return None
    return builder.root


def _read_values(scanner: _Scanner, builder: TreeBuilder) -> None:
    """Read one value; `closers` holds the mark that ends each container that is still open."""
    closers: list[str] = []
    fresh = False  # whether the innermost container has just been opened
    while True:
        kind, text, offset = scanner.next("a value")
        line, column = scanner.where(offset)
        if fresh and text == closers[-1]:
            closers.pop()
            scanner.opened.pop()
            builder.end()
        else:
            if closers and closers[-1] == "}":
                _read_key(scanner, builder, (kind, text, offset))
                kind, text, offset = scanner.next("a value")
                line, column = scanner.where(offset)
            if kind == "mark" and text in "[{":
                builder.start(line, column, is_object=text == "{")
                closers.append("}" if text == "{" else "]")
                scanner.opened.append(offset)
                fresh = True
                continue
            builder.scalar(_scalar(scanner, kind, text, offset), line, column)
        fresh = False
        while closers:
            kind, text, offset = scanner.next(f"`,` or `{closers[-1]}`")
            if text == ",":
                break
            if text != closers[-1]:
                raise scanner.fail(f"`,` or `{closers[-1]}`", offset)
            closers.pop()
            scanner.opened.pop()
            builder.end()
        if not closers:
            return


def _read_key(scanner: _Scanner, builder: TreeBuilder, token: tuple[str, str, int]) -> None:
    kind, text, offset = token
    if kind != "string":
        raise scanner.fail("a key in double quotes", offset)
    builder.key(json.loads(text), *scanner.where(offset))
    kind, text, offset = scanner.next("`:`")
    if text != ":":
        raise scanner.fail("`:`", offset)


def _scalar(scanner: _Scanner, kind: str, text: str, offset: int) -> bool | float | str | None:
    if kind == "string":
        value = json.loads(text)
        return value if isinstance(value, str) else ""
    if kind == "number":
        return number(text)
    if kind == "word" and text in _WORDS:
        return _WORDS[text]
    raise scanner.fail("a value", offset)


def number(text: str) -> float:
    """Read a number; an integer of more digits than 2^53 comes back as one that is beyond it."""
    if text.lstrip("+-").isdigit():
        return int(text) if len(text) <= _LONGEST_INTEGER else MAX_SAFE_INTEGER * 10
    return float(text)


def read_value(value: object, file: str, findings: Findings) -> Node | None:
    """Read a value that is in memory already: the same rules, no lines and columns."""
    builder = TreeBuilder(file, findings)
    inside: list[Iterator[object]] = []  # what is left to read of each container that is open

    def visit(item: object) -> None:
        if isinstance(item, str | bool | int | float) or item is None:
            builder.scalar(item, 0, 0)
        elif isinstance(item, list | tuple | Mapping):
            builder.start(0, 0, is_object=isinstance(item, Mapping))
            inside.append(iter(list(item.items()) if isinstance(item, Mapping) else item))
        else:
            findings.error("E0110", "a value is not JSON", builder.place(0, 0))
            builder.scalar(None, 0, 0)

    def name(key: object) -> None:
        if not isinstance(key, str):
            findings.error("E0110", "a key is not a string", builder.place(0, 0))
        builder.key(key if isinstance(key, str) else "?", 0, 0)

    try:
        visit(value)
        while inside:
            item = next(inside[-1], _END)
            if item is _END:
                inside.pop()
                builder.end()
                continue
            if builder.in_object:
                key, item = cast("tuple[object, object]", item)
                name(key)
            visit(item)
    except TooDeepError:
        return None
    return builder.root
