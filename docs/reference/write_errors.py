"""Write docs/reference/errors.md from the codes and messages in the source: `make docs`."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from ripstop.policy import CODES

PAGE = Path(__file__).with_name("errors.md")
KNOWN = Path(__file__).with_name("errors.toml")  # causes that the source does not say by itself, and cures
SOURCE = Path(__file__).resolve().parents[2] / "src"
CODE = re.compile(r"[A-Z]\d{4}")
LISTED = re.compile(r"([A-Z]\d{4}) ([^;:.()]+)[;.]")
WORD = re.compile(r"[A-Za-z]{2,}")
TELLING = 3  # words without which a message says nothing by itself

HEAD = """# The errors

This page is written by `make docs` from the source. A code is stable: it may be searched for, and it never
comes to mean something else. The letter says whose side is at fault:

| letter | who can mend it |
|---|---|
| E | the policy's author |
| L | the policy's author, perhaps: a lint, which keeps nothing from loading |
| C | the operator: a setting, a file, a missing extra |
| W | the other side of a wire |
| A | the caller of an agent |
| X | Ripstop itself: please report it |

A message is one line: the place (file, line, column), the code, what was expected and what was got, a hint,
and the JSON pointer. `ripstop policy check` shows all findings at once, each with the line and a caret.
"""

TITLES = {
    "E": "Policies and vocabularies",
    "L": "Lints",
    "C": "Settings, files, extras",
    "W": "Wires",
    "A": "Agents",
    "X": "Internal",
}


def page() -> str:
    """Give the whole page."""
    known = tomllib.loads(KNOWN.read_text())
    meanings, cures = {**found(), **CODES, **known["causes"]}, known["cures"]
    parts = [HEAD]
    for letter in [*TITLES, *sorted({code[0] for code in meanings} - set(TITLES))]:
        codes = [code for code in sorted(meanings) if code[0] == letter]
        rows = [f"| {code} | {meanings[code]} | {cures.get(code, '')} |" for code in codes]
        if rows:
            head = ["| code | cause | what to do |", "|---|---|---|"]
            parts += [f"## {TITLES.get(letter, letter)}", "", *head, *rows, ""]
    return "\n".join(parts)


def found() -> dict[str, str]:
    """Find every code in the source, with the first message beside it that says something by itself.

    What the docstring of an error's class says of a code stands before the message.
    """
    meanings: dict[str, str] = {}
    bare: dict[str, str] = {}
    listed: dict[str, str] = {}
    trees = {path: ast.parse(path.read_text()) for path in sorted(SOURCE.rglob("*.py"))}
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and is_error(node):
                texts = [text for part in parts_of(node) if (text := text_of(part))]
                code = next((text for text in texts if CODE.fullmatch(text)), None)
                message = next((text for text in texts if " " in text), None)
                if code and message:
                    telling = len(WORD.findall(message)) >= TELLING
                    (meanings if telling else bare).setdefault(code, message)
            elif isinstance(node, ast.ClassDef) and node.name.endswith("Error"):
                listed |= dict(LISTED.findall(" ".join((ast.get_docstring(node) or "").split())))
    meanings = bare | meanings
    for code, words in listed.items():
        meanings[code] = f"{words}; as in: {meanings[code]}" if code in meanings else words
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value):
                meanings.setdefault(node.value, f"see `{path.relative_to(SOURCE)}`")
    return meanings


def is_error(call: ast.Call) -> bool:
    """Tell whether a call makes an error: it names a code as such, or is of a class of errors."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    return name.endswith("Error") or any(keyword.arg == "code" for keyword in call.keywords)


def parts_of(call: ast.Call) -> Iterator[ast.expr]:
    """Give a call's arguments, the hint left out."""
    yield from call.args
    yield from (keyword.value for keyword in call.keywords if keyword.arg != "hint")


def text_of(part: ast.expr) -> str:
    """Give a literal text; what an f-string fills in becomes an ellipsis."""
    if isinstance(part, ast.Constant) and isinstance(part.value, str):
        return part.value.replace("|", "\\|")
    if isinstance(part, ast.JoinedStr):
        pieces = [text_of(value) if isinstance(value, ast.Constant) else "..." for value in part.values]
        return "".join(pieces)
    return ""


if __name__ == "__main__":
    PAGE.write_text(page())
