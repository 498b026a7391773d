"""The layout of JSON with comments: what fits stands on one line, the rest an entry a line.

It works on the tokens, not on the values, so numbers and strings stay as they were written. The source has
been read before: it is well formed and of bounded depth, so this may recurse.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import field

from ripstop.core.value import dataclass

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+)
    |(?P<comment>//[^\n]*|/\*(?:[^*]|\*(?!/))*\*/)
    |(?P<mark>[][{}:,])
    |(?P<scalar>"(?:[^"\\]|\\.)*"|[^][{}:,\s"/]+)""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class _Token:
    """A token, and how many line breaks stand before it."""

    kind: str
    text: str
    breaks: int


@dataclass(slots=True)
class _Entry:
    """A value with its key, the comments above it and the one behind it; `gap` keeps a blank line above."""

    text: str = ""
    key: str = ""
    is_open: bool = False
    items: list[_Entry] = field(default_factory=list)
    above: list[str] = field(default_factory=list)
    behind: str = ""
    inside: list[str] = field(default_factory=list)  # comments before the closing mark
    gap: bool = False

    @property
    def has_comments(self) -> bool:
        """Whether a comment stands on or under it, so that it cannot be on one line."""
        return bool(self.inside) or any(item.above or item.behind or item.has_comments for item in self.items)


def format_json(text: str, width: int) -> str:
    """Lay out JSON text."""
    tokens = list(_tokens(text))
    reader = _Reader(tokens)
    root, tail = reader.document()
    lines = [*root.above, *_lines(root, 0, width, "")]
    if root.behind:
        lines[-1] += f"  {root.behind}"
    return "\n".join([*lines, *tail]) + "\n"


def comments_in_json(text: str) -> list[str]:
    """Give the comments, in order, without the spaces at their ends."""
    return [token.text for token in _tokens(text) if token.kind == "comment"]


def _tokens(text: str) -> Iterator[_Token]:
    breaks = 0
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or ""
        if kind == "space":
            breaks += match.group().count("\n")
            continue
        yield _Token(kind, match.group().rstrip(), breaks)
        breaks = 0


@dataclass(slots=True)
class _Reader:
    tokens: list[_Token]
    at: int = 0

    def document(self) -> tuple[_Entry, list[str]]:
        """Read all of it: the value, and the comments after it."""
        above, _ = self._comments()
        root = self._value()
        root.above = above
        root.behind = self._behind()
        tail, _ = self._comments()
        return root, tail

    def _comments(self) -> tuple[list[str], bool]:
        """Take the comments at hand, and say whether a blank line stands above them or what follows."""
        gap = self.at < len(self.tokens) and self.tokens[self.at].breaks > 1
        found: list[str] = []
        while self.at < len(self.tokens) and self.tokens[self.at].kind == "comment":
            found.append(self.tokens[self.at].text)
            self.at += 1
        return found, gap

    def _behind(self) -> str:
        """Take a comment that stands behind what was just read, on its line."""
        following = self.tokens[self.at : self.at + 2]
        if not following or following[0].kind != "comment" or following[0].breaks:
            return ""
        is_line = following[0].text.startswith("//")
        ends_line = is_line or len(following) < 2 or following[1].breaks > 0 or following[1].text in "]}"
        if not ends_line or "\n" in following[0].text:
            return ""
        self.at += 1
        return following[0].text

    def _value(self) -> _Entry:
        token = self.tokens[self.at]
        self.at += 1
        if token.text not in "[{":
            return _Entry(token.text)
        entry = _Entry(token.text, is_open=True)
        while True:
            above, gap = self._comments()
            if self.tokens[self.at].text in "]}":
                entry.inside = above
                self.at += 1
                return entry
            if self.tokens[self.at].text == ",":
                self.at += 1
                entry.items[-1].behind = entry.items[-1].behind or self._behind()
                entry.items[-1].above += above
                continue
            item = self._item(token.text == "{")
            item.above = [*above, *item.above]
            item.gap = gap and bool(entry.items)
            item.behind = self._behind()
            entry.items.append(item)

    def _item(self, is_keyed: bool) -> _Entry:
        if not is_keyed:
            return self._value()
        key = self.tokens[self.at].text
        self.at += 1
        before, _ = self._comments()
        self.at += 1  # the colon
        after, _ = self._comments()
        item = self._value()
        item.key = key
        item.above = [*before, *after]
        return item


def _flat(entry: _Entry) -> str:
    key = f"{entry.key}: " if entry.key else ""
    if not entry.is_open:
        return key + entry.text
    close = "}" if entry.text == "{" else "]"
    return f"{key}{entry.text}{', '.join(map(_flat, entry.items))}{close}"


def _lines(entry: _Entry, indent: int, width: int, comma: str) -> list[str]:
    """Lay out one entry, its own comments aside; `comma` follows it."""
    pad = " " * indent
    if not entry.has_comments:
        flat = f"{pad}{_flat(entry)}{comma}"
        if len(flat) <= width or not entry.is_open or not entry.items:
            return [flat]
    key = f"{entry.key}: " if entry.key else ""
    lines = [f"{pad}{key}{entry.text}"]
    for number, item in enumerate(entry.items):
        inner = " " * (indent + 2)
        lines += [""] if item.gap else []
        lines += [f"{inner}{comment}" for comment in item.above]
        made = _lines(item, indent + 2, width, "," if number < len(entry.items) - 1 else "")
        made[-1] += f"  {item.behind}" if item.behind else ""
        lines += made
    lines += [f"{pad}  {comment}" for comment in entry.inside]
    return [*lines, f"{pad}{'}' if entry.text == '{' else ']'}{comma}"]
