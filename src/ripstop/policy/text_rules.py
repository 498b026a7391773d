"""Rules in the readable form: a file that ends in `.rule`, and a string where a document has a rule.

Both become the tree that JSON would give, so that everything behind (checking, digests, engines) sees no
difference but the units that literals may carry, which `text_units` checks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from ripstop.core.canonical import Json
from ripstop.core.errors import Place
from ripstop.core.value import dataclass
from ripstop.policy.diagnostics import Findings
from ripstop.policy.source import Node
from ripstop.policy.text_parser import read_text
from ripstop.policy.text_tokens import TextPlaces

_KEYS = ("rule", "applies_to")


def parse_rule(text: str) -> Json:
    """Give the JSON-Logic of a rule in the readable form.

    Raises:
        PolicyRejectedError: when it is malformed.
    """
    findings = Findings()
    node = read_text(text, whole_file(text, ""), findings)
    findings.raise_errors()
    return None if node is None else node.plain()


def whole_file(text: str, file: str) -> TextPlaces:
    """Give the places of a text that is a file."""
    starts = [0, *(found.end() for found in re.finditer("\n", text))]
    pieces = tuple((start, line, 1) for line, start in enumerate(starts, 1))
    return TextPlaces(Place(file, 1, 1), pieces)


def with_rules_read(node: Node, source: str, findings: Findings) -> Node | None:
    """Read the strings that stand where a document has rules; None when one of them is malformed.

    Args:
        node: the document's tree.
        source: the text of its file, for the places inside a string ("" for none).
        findings: where what is wrong goes.
    """
    reader = _Reader(source.splitlines(), findings)
    entries = dict(node.entries or {})
    for key in _KEYS:
        if key in entries:
            entries[key] = reader.rule(entries[key])
    limits = entries.get("limits")
    if limits is not None and limits.items is not None:
        entries["limits"] = replace(limits, items=tuple(map(reader.limit, limits.items)))
    return None if reader.is_malformed else replace(node, entries=entries)


@dataclass(slots=True)
class _Reader:
    rows: Sequence[str]
    findings: Findings
    is_malformed: bool = False

    def rule(self, node: Node) -> Node:
        """Read a string as a rule, and leave anything else as it is."""
        if not isinstance(node.scalar, str):
            return node
        read = read_text(node.scalar, TextPlaces(node.place, _pieces_of(node, self.rows)), self.findings)
        self.is_malformed |= read is None
        return read or node

    def limit(self, node: Node) -> Node:
        """Read the condition of a limit."""
        when = (node.entries or {}).get("when")
        return (
            node if when is None else replace(node, entries={**(node.entries or {}), "when": self.rule(when)})
        )


def _pieces_of(node: Node, rows: Sequence[str]) -> tuple[tuple[int, int, int], ...]:
    """Find where each line of a string stands in its source; nothing where it is not written out there.

    In one line, in a block (`|`, `>`) or in quotes the words are the same; the spaces between may differ.
    """
    text, line, column = str(node.scalar).rstrip(), node.place.line, node.place.column
    opening = rows[line - 1][column - 1 : column] if 0 < line <= len(rows) else ""
    line, start = (line + 1, 0) if opening in ("|", ">") else (line, column - 1 + (opening in ("'", '"')))
    pieces: list[tuple[int, int, int]] = []
    at = 0
    for number, row in enumerate(rows[line - 1 :] if opening else (), line):
        at += len(text) - at - len(text[at:].lstrip())
        written = row[start:].strip()
        if written.startswith(text[at:]):  # what follows it there is no part of it
            return (*pieces, (at, number, row.index(written, start) + 1))
        if not text.startswith(written, at):
            return ()
        if written:
            pieces.append((at, number, row.index(written, start) + 1))
        at, start = at + len(written), 0
    return ()
