"""One layout for policy files: JSON and YAML with their comments, and rules in the readable form.

Formatting changes spaces and line breaks alone. That is checked each time: what comes out has the same tree
and the same comments, and formatting it once more changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from ripstop.core.canonical import Json, canonical_json
from ripstop.core.errors import InternalError
from ripstop.policy.diagnostics import Findings
from ripstop.policy.fmt_json import comments_in_json, format_json
from ripstop.policy.fmt_text import comments_in_text, format_text
from ripstop.policy.source import Node, read_json
from ripstop.policy.text_parser import read_text
from ripstop.policy.text_rules import whole_file

WIDTH = 100
_LINE_ENDS = re.compile(r"\r\n?")
_MOST_PASSES = 4


def format_source(text: str, file: str) -> str:
    """Give the source in the one layout.

    Args:
        text: what the file holds; its lines may end in any way.
        file: its name, whose suffix tells the language.

    Raises:
        PolicyRejectedError: it is malformed.
        InternalError: X0501, the layout would change what the file says.
        ConfigurationError: when a YAML file is formatted without the `tools` extra.
    """
    suffix = Path(file).suffix
    language = "yaml" if suffix in (".yaml", ".yml") else "text" if suffix == ".rule" else "json"
    read, layout, comments = _LANGUAGES[language]
    text = _LINE_ENDS.sub("\n", text.removeprefix("\ufeff"))
    findings = Findings()
    before = read(text, file, findings)
    findings.raise_errors()
    if before is None:
        return text
    current, is_settled = text, False
    for _ in range(_MOST_PASSES):
        before_pass, current = current, layout(current, WIDTH)
        is_settled = current == before_pass
        if is_settled:
            break
    again = read(current, file, Findings())
    same = again is not None and _plain(again) == _plain(before)
    if not is_settled or not same or sorted(comments(current)) != sorted(comments(text)):
        raise InternalError(f"formatting `{file}` would change it", code="X0501", hint="format it by hand")
    return current


def _plain(node: Node) -> bytes:
    value: Json = node.plain()
    return canonical_json(value)


def _read_text(text: str, file: str, findings: Findings) -> Node | None:
    return read_text(text, whole_file(text, file), findings)


def _read_yaml(text: str, file: str, findings: Findings) -> Node | None:
    from ripstop.policy.yaml_source import read_yaml

    return read_yaml(text, file, findings)


def _format_yaml(text: str, width: int) -> str:
    from ripstop.policy.fmt_yaml import format_yaml

    return format_yaml(text, width)


def _comments_in_yaml(text: str) -> list[str]:
    from ripstop.policy.fmt_yaml import comments_in_yaml

    return comments_in_yaml(text)


_Read = Callable[[str, str, Findings], "Node | None"]
_LANGUAGES: Mapping[str, tuple[_Read, Callable[[str, int], str], Callable[[str], list[str]]]] = {
    "json": (read_json, format_json, comments_in_json),
    "text": (_read_text, format_text, comments_in_text),
    "yaml": (_read_yaml, _format_yaml, _comments_in_yaml),
}
