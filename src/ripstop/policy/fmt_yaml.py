"""The layout of YAML: indentation by two, lists indented below their key, comments where they were.

`ruamel.yaml` keeps comments, quotes and flow style; it is imported only when a YAML file is formatted. The
source has been read before, so there are no tags, aliases or deep nesting in it.
"""

from __future__ import annotations

import re
from functools import cache
from io import StringIO
from typing import TYPE_CHECKING

from ripstop.core.errors import missing_extra

if TYPE_CHECKING:
    from ruamel.yaml.resolver import VersionedResolver

_EMPTY = "~empty~"
_FLOW = "~flow~"
_BEFORE_START = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\n)*[ \t]*#[^\n]*\n(?=\s*---\s)")
_COMMENT = re.compile(r"(?:^|(?<=\s))#[^\n]*", re.MULTILINE)
_COMMENT_OR_EMPTY_MAP = re.compile(rf"{_COMMENT.pattern}|\{{\s*\}}", re.MULTILINE)


def format_yaml(text: str, width: int) -> str:
    """Lay out a YAML document; nothing where ruamel cannot.

    Raises:
        ConfigurationError: when `ruamel.yaml` is not installed.
    """
    head = _BEFORE_START.match(text)
    if head is not None:
        return "".join(
            f"{line.strip()}\n" for line in head.group().splitlines() if line.strip()
        ) + format_yaml(text[head.end() :], width)
    text, tail = _without_end(text)
    return _body(text, width) + "".join(f"{comment}\n" for comment in tail)


def _body(text: str, width: int) -> str:
    made = _laid_out(text, width)
    if made and len(comments_in_yaml(made)) == len(comments_in_yaml(text)):
        return made
    if not _is_in_block_style(text):  # laid out by hand, all of it
        return "\n".join(line.rstrip() for line in text.split("\n")).strip("\n") + "\n"
    outside, kept = _without_flows(text)
    made = _laid_out(outside, width)
    return _with_flows(made, kept) if made.count(_FLOW) == len(kept) else ""


def _is_in_block_style(text: str) -> bool:
    """Whether the document is a map or a list that does not stand in brackets."""
    from ruamel.yaml import YAML

    root = next(
        (event for event in YAML(typ="safe", pure=True).parse(text) if hasattr(event, "implicit")), None
    )
    return getattr(root, "flow_style", None) is False


def _without_end(text: str) -> tuple[str, list[str]]:
    """Take away the mark `...` and the comments after it, which ruamel forgets; give both."""
    from ruamel.yaml import YAML

    for event in YAML(typ="safe", pure=True).parse(text):
        if type(event).__name__ == "DocumentEndEvent" and event.explicit:
            at = event.start_mark.index
            return text[:at], comments_in_yaml(text[at + 3 :])
    return text, []


def _laid_out(text: str, width: int) -> str:
    """Lay out what is not in braces; nothing where ruamel gives up, or writes what it cannot read."""
    try:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError
    except ImportError:
        raise missing_extra("ruamel.yaml", "tools") from None
    yaml = YAML(typ="rt", pure=True)
    yaml.Resolver = _as_written()
    yaml.preserve_quotes = True
    yaml.width = width
    yaml.brace_single_entry_mapping_in_flow_sequence = True
    yaml.indent(mapping=2, sequence=4, offset=2)
    stream = StringIO()
    try:
        yaml.dump(yaml.load(_without_empty_maps(text)), stream)
        made = stream.getvalue()
        masked = _masked(made)
    except (YAMLError, LookupError, NotImplementedError):  # some comments are more than ruamel can take
        return ""
    lines = [
        line[: len(shown.rstrip())].replace(_EMPTY, "{}")
        for line, shown in zip(made.split("\n"), masked.split("\n"), strict=True)
    ]
    return "\n".join(lines).strip("\n") + "\n"


@cache
def _as_written() -> type[VersionedResolver]:
    """Give a resolver that takes every word as a text, so that `null`, `True` and `+1` stay as written."""
    from ruamel.yaml.nodes import ScalarNode
    from ruamel.yaml.resolver import VersionedResolver

    class AsWritten(VersionedResolver):
        def resolve(self, kind: type, value: str | None, implicit: tuple[bool, bool]) -> object:
            is_word = kind is ScalarNode and value and implicit[0]
            return self.DEFAULT_SCALAR_TAG if is_word else super().resolve(kind, value, implicit)

    return AsWritten


def _without_empty_maps(text: str) -> str:
    """Put a word in place of each `{}`: behind a comment above one, ruamel forgets to end a line."""
    if _EMPTY in text:
        return text
    parts, at = [], 0
    for match in _COMMENT_OR_EMPTY_MAP.finditer(_masked(text)):
        if match.group().startswith("{"):
            parts += [text[at : match.start()], _EMPTY]
            at = match.end()
    return "".join([*parts, text[at:]])


def comments_in_yaml(text: str) -> list[str]:
    """Give the comments, in order, without the spaces at their ends: each `#` that no scalar holds."""
    return [match.group().rstrip() for match in _COMMENT.finditer(_masked(text))]


def _without_flows(text: str) -> tuple[str, list[tuple[str, int]]]:
    """Put a word in place of each `[...]` and `{...}`: ruamel loses comments in and between them.

    Returns:
        The text, and each that was taken out with the indentation of the line where it began.
    """
    from ruamel.yaml import YAML

    if _FLOW in text:
        return text, []
    parts, kept, at, depth, start = [], list[tuple[str, int]](), 0, 0, 0
    for event in YAML(typ="safe", pure=True).parse(text):
        if getattr(event, "flow_style", False) and type(event).__name__.endswith("StartEvent"):
            start = start if depth else event.start_mark.index
            depth += 1
        elif depth and type(event).__name__ in ("SequenceEndEvent", "MappingEndEvent"):
            depth -= 1
            end = event.end_mark.index
            if not depth:
                line = text[text.rfind("\n", 0, start) + 1 : start]
                parts += [text[at:start], _FLOW]
                kept.append((text[start:end], len(line) - len(line.lstrip())))
                at = end
    return "".join([*parts, text[at:]]), kept


def _with_flows(text: str, kept: list[tuple[str, int]]) -> str:
    """Put back what was taken out, moved as the line moved where it begins."""
    parts = text.split(_FLOW)
    made = parts[0]
    for (flow, indent), part in zip(kept, parts[1:], strict=True):
        line = made[made.rfind("\n") + 1 :]
        moved = len(line) - len(line.lstrip()) - indent
        first, *rest = (each.rstrip() for each in flow.split("\n"))
        made += "\n".join([first, *(_indented(each, moved) for each in rest)]) + part
    return made


def _indented(line: str, moved: int) -> str:
    inner = line.lstrip()
    return " " * max(0, len(line) - len(inner) + moved) + inner if inner else ""


def _masked(text: str) -> str:
    """Write `x` for every letter of a scalar."""
    from ruamel.yaml import YAML

    spans = [
        (event.start_mark.index, event.end_mark.index)
        for event in YAML(typ="safe", pure=True).parse(text)
        if type(event).__name__ == "ScalarEvent"
    ]
    masked = list(text)
    for start, end in spans:
        masked[start:end] = [letter if letter == "\n" else "x" for letter in masked[start:end]]
    return "".join(masked)
