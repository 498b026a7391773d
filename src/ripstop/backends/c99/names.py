"""C identifiers and comments for names that people gave."""

from __future__ import annotations

import re
from collections.abc import Iterable

_WORDS = (
    "auto break case char const continue default do double else enum extern float for goto if inline "
    "int long register restrict return short signed sizeof static struct switch typedef union "
    "unsigned void volatile while and or not xor bitand bitor compl not_eq and_eq or_eq xor_eq asm "
    "bool true false class new delete this template typename namespace public private protected "
    "virtual operator try catch throw using friend"
)
_KEYWORDS = frozenset(_WORDS.split())


def identifier(text: str) -> str:
    """Give an identifier that looks like the text."""
    made = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_") or "value"
    made = f"v_{made}" if made[0].isdigit() else made
    return f"{made[:48]}_" if made in _KEYWORDS else made[:48]


def unique(texts: Iterable[str]) -> list[str]:
    """Give each text an identifier of its own; they are told apart by a number where they must be."""
    taken: set[str] = set()
    made = []
    for text in texts:
        name = wanted = identifier(text)
        number = 2
        while name in taken:
            name, number = f"{wanted}_{number}", number + 1
        taken.add(name)
        made.append(name)
    return made


def comment(text: str) -> str:
    """Make a text fit for a comment: one line of ASCII that cannot end it."""
    plain = text.encode("ascii", "backslashreplace").decode()
    plain = "".join(each if each.isprintable() else " " for each in plain)
    return plain.replace("*/", "* /").replace("/*", "/ *").replace("??", "? ?")[:120]
