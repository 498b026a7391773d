"""The layout of YAML: indentation by two, lists indented below their key, comments where they were.

`ruamel.yaml` keeps comments, quotes and flow style; it is imported only when a YAML file is formatted. The
source has been read before, so there are no tags, aliases or deep nesting in it.
"""

from __future__ import annotations

import re
from io import StringIO

from ripstop.core.errors import missing_extra

_MARK = "#~kept~"
_EMPTY = "~empty~"
_COMMENT = re.compile(r"(?:^|(?<=\s))#[^\n]*", re.MULTILINE)
_COMMENT_OR_EMPTY_MAP = re.compile(rf"{_COMMENT.pattern}|\{{\s*\}}", re.MULTILINE)


def format_yaml(text: str, width: int) -> str:
    """Lay out a YAML document.

    Raises:
        ConfigurationError: when `ruamel.yaml` is not installed.
    """
    made = _laid_out(text, width)
    if len(comments_in_yaml(made)) == len(comments_in_yaml(text)):
        return made
    return re.sub(rf" *{_MARK}$", "", _laid_out(_marked(text), width), flags=re.MULTILINE)


def _laid_out(text: str, width: int) -> str:
    try:
        from ruamel.yaml import YAML
    except ImportError:
        raise missing_extra("ruamel.yaml", "tools") from None
    yaml = YAML(typ="rt", pure=True)
    yaml.preserve_quotes = True
    yaml.width = width
    yaml.brace_single_entry_mapping_in_flow_sequence = True
    yaml.indent(mapping=2, sequence=4, offset=2)
    stream = StringIO()
    yaml.dump(yaml.load(_without_empty_maps(text)), stream)
    lines = [line.rstrip().replace(_EMPTY, "{}") for line in stream.getvalue().splitlines()]
    return "\n".join(lines).strip("\n") + "\n"


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


def _marked(text: str) -> str:
    """Put a comment behind each `]` and `}` that a line of comment follows.

    ruamel loses that line where another flow collection comes next, but not if it goes on a comment.
    """
    lines, shown = text.split("\n"), _masked(text).split("\n")
    for index, line in enumerate(shown):
        following = next((each.lstrip() for each in shown[index + 1 :] if each.strip()), "")
        if line.rstrip().endswith(("]", "}")) and following.startswith("#"):
            lines[index] = f"{lines[index].rstrip()}  {_MARK}"
    return "\n".join(lines)


def comments_in_yaml(text: str) -> list[str]:
    """Give the comments, in order, without the spaces at their ends: each `#` that no scalar holds."""
    return [match.group().rstrip() for match in _COMMENT.finditer(_masked(text))]


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
