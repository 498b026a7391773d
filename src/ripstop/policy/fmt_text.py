"""The layout of rules in the readable form: one space between words; lines and comments stay."""

from __future__ import annotations

import re

from ripstop.core.errors import Place
from ripstop.policy.diagnostics import Findings
from ripstop.policy.text_tokens import Cursor, TextPlaces, Token

_OPENING, _CLOSING = ("(", "[", "{"), (")", "]", "}")
_COMMENT = re.compile(r"#[^\n]*")


def format_text(text: str, width: int) -> str:
    """Lay out a rule that has been read before; its lines stay, so `width` does not matter."""
    tokens = _tokens(text)
    made = ""
    depth, at = 0, 0
    for number, token in enumerate(tokens):
        before = tokens[number - 1] if number else None
        depth -= token.text in _CLOSING and token.kind == "mark"
        indent = "" if token.kind == "end" else "  " * max(0, depth + bool(made.strip() and _has_rule(made)))
        made += _between(text[at : token.start], indent, made) or _space(tokens, number, before)
        made += _written(token)
        depth += token.text in _OPENING and token.kind == "mark"
        at = token.end
    return made.strip() + "\n"


def comments_in_text(text: str) -> list[str]:
    """Give the comments, in order, without the spaces at their ends."""
    tokens = _tokens(text)
    starts = [0, *(token.end for token in tokens)]
    gaps = (text[start : token.start] for start, token in zip(starts, tokens, strict=False))
    return [found.rstrip() for gap in gaps for found in _COMMENT.findall(gap)]


def _tokens(text: str) -> list[Token]:
    cursor = Cursor(text, TextPlaces(Place()), Findings())
    tokens = [cursor.token]
    while tokens[-1].kind != "end":
        cursor.next()
        tokens.append(cursor.token)
    return tokens


def _has_rule(made: str) -> bool:
    """Whether a part of the rule stands in what was written, not only comments."""
    return any(not line.lstrip().startswith("#") for line in made.splitlines() if line.strip())


def _between(gap: str, indent: str, made: str) -> str:
    """Write the line breaks and comments of a gap; nothing where it has none."""
    if "\n" not in gap and "#" not in gap:
        return ""
    first, *rest = gap.split("\n")
    text = f"  {first.strip()}" if first.strip() and made else first.strip()
    blank = False
    for number, line in enumerate(rest):
        is_last = number == len(rest) - 1
        if not line.strip() and not is_last:
            blank = True
            continue
        above = "\n" if blank and (made or text) else ""
        text += f"\n{above}{indent}{line.strip()}"
        blank = False
    return text


def _space(tokens: list[Token], number: int, before: Token | None) -> str:
    token = tokens[number]
    if before is None or token.kind == "end":
        return ""
    if before.kind == "mark" and before.text in ("(", "[", "{", ".", "!!", "..."):
        return ""
    if token.kind == "mark" and token.text in (")", "]", "}", ",", ":", "."):
        return ""
    if token.kind == "mark" and token.text in ("(", "["):
        is_call = before.kind in ("name", "quoted") or (before.kind == "mark" and before.text == "]")
        return "" if is_call else " "
    if before.kind == "mark" and before.text == "-" and _is_sign(tokens, number - 1):
        return ""
    return " "


def _is_sign(tokens: list[Token], number: int) -> bool:
    """Whether a minus is a sign: nothing that it could subtract from stands before it."""
    if number == 0:
        return True
    before = tokens[number - 1]
    is_value = before.kind in ("name", "quoted", "number", "string") or before.text in (")", "]", "}")
    return not (is_value or before.text in ("true", "false", "null"))


def _written(token: Token) -> str:
    return f"{token.text} {token.unit}" if token.unit else token.text
