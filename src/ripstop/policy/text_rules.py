"""Rules in the readable form: a file that ends in `.rule`, and a string where a document has a rule.

Both become the tree that JSON would give, so that everything behind (checking, digests, engines) sees no
difference but the units that literals may carry, which `text_units` checks.
"""

from __future__ import annotations

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
    count = text.count("\n") + 1
    return TextPlaces(Place(file, 1, 1), tuple((line, 1) for line in range(1, count + 1)))


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
        read = read_text(node.scalar, TextPlaces(node.place, _rows_of(node, self.rows)), self.findings)
        self.is_malformed |= read is None
        return read or node

    def limit(self, node: Node) -> Node:
        """Read the condition of a limit."""
        when = (node.entries or {}).get("when")
        return (
            node if when is None else replace(node, entries={**(node.entries or {}), "when": self.rule(when)})
        )


def _rows_of(node: Node, rows: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Find where each line of a string stands in its source; nothing when it is not written out there."""
    text, line, column = str(node.scalar), node.place.line, node.place.column
    if not 0 < line <= len(rows):
        return ()
    written = rows[line - 1][column - 1 :]
    lines = text.rstrip("\n").split("\n")
    if len(lines) == 1:
        shift = int(written[:1] in ("'", '"'))
        if written[shift:].startswith(lines[0]):
            return ((line, column + shift),)
    if written[:1] in ("|", ">"):
        below = rows[line : line + len(lines)]
        found = [row.find(part) for row, part in zip(below, lines, strict=False)]
        if len(found) == len(lines) and -1 not in found:
            return tuple((line + 1 + index, at + 1) for index, at in enumerate(found))
    return ()
