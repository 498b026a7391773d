"""YAML read into the same tree as JSON: the core schema, comments, no aliases, no tags, one document.

`ruamel.yaml` gives the events; it is imported only when a YAML file is read. Its recursive composer is not
used, so depth is bounded by the tree builder, and nothing is ever expanded.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ripstop.core.errors import Place, missing_extra
from ripstop.policy.diagnostics import Findings
from ripstop.policy.source import Node, TooDeepError, TreeBuilder, number

if TYPE_CHECKING:
    from ruamel.yaml.error import MarkedYAMLError
    from ruamel.yaml.events import Event

# YAML 1.2.2, section 10.3.2: the core schema
_NULL = re.compile(r"(?:null|Null|NULL|~|)\Z")
_TRUE = re.compile(r"(?:true|True|TRUE)\Z")
_FALSE = re.compile(r"(?:false|False|FALSE)\Z")
_DECIMAL = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_RADIX = re.compile(r"0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_INFINITE = re.compile(r"[-+]?(?:\.inf|\.Inf|\.INF)\Z")
_CRAMPED = re.compile(r"[\s-]*\w+:[{[\"'\w]")  # a key whose colon no space follows
_NAN = re.compile(r"(?:\.nan|\.NaN|\.NAN)\Z")


def read_yaml(text: str, file: str, findings: Findings) -> Node | None:
    """Read one YAML document; None when it is malformed.

    Raises:
        ConfigurationError: when `ruamel.yaml` is not installed.
    """
    try:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import MarkedYAMLError, YAMLError
    except ImportError:
        raise missing_extra("ruamel.yaml", "tools") from None
    reader = _Reader(TreeBuilder(file, findings))
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            reader.take(event)
    except TooDeepError:
        return None
    except MarkedYAMLError as error:
        findings.error("E0104", *_told(error, text, file))
        return None
    except YAMLError as error:
        findings.error("E0104", f"malformed YAML, {_one_line(str(error))}", Place(file))
        return None
    return reader.builder.root


def _one_line(text: str | None) -> str:
    return (text or "unreadable").splitlines()[0].replace("'", "`").lower()


_ANCHOR = "leave it out; as a text that begins with `&`, it stands in quotes"
_TAG = "leave it out; as an operator's name, such as `!`, it stands in quotes"


class _Reader:
    """Turns YAML's events into the builder's; knows whether a scalar is a key or a value."""

    def __init__(self, builder: TreeBuilder) -> None:
        self.builder = builder
        self._awaits_key: list[bool] = []  # for each open container: is the next scalar of it a key?
        self._documents = 0
        self._key_at = (1, 1)

    def take(self, event: Event) -> None:
        """Take one event."""
        name = type(event).__name__
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        if name == "DocumentStartEvent":
            self._documents += 1
            if self._documents > 1:
                self._refuse("a second document", line, column, "one file holds one policy")
                raise TooDeepError
        elif name == "AliasEvent":
            self._refuse("an alias", line, column)
            self._value(None, line, column)
        elif name == "ScalarEvent":
            self._scalar(event, line, column)
        elif name in ("MappingStartEvent", "SequenceStartEvent"):
            self._start(event, line, column, is_object=name == "MappingStartEvent")
        elif name in ("MappingEndEvent", "SequenceEndEvent"):
            self._awaits_key.pop()
            self.builder.end()
            self._done()

    def _start(self, event: Event, line: int, column: int, *, is_object: bool) -> None:
        self._refuse_marks(event, (None,), line, column)
        if self._awaits_key and self._awaits_key[-1]:
            self._refuse("a key that is no string", line, column, "a bracket may be missing before it")
            self.builder.key("?", line, column)
            self._awaits_key[-1] = False
        self.builder.start(line, column, is_object=is_object)
        self._awaits_key.append(is_object)

    def _scalar(self, event: Event, line: int, column: int) -> None:
        self._refuse_marks(event, (None, "!"), line, column)
        text = str(getattr(event, "value", ""))
        value = text if getattr(event, "style", None) is not None else resolve(text)
        if self._awaits_key and self._awaits_key[-1]:
            self.builder.key(text, line, column)
            self._awaits_key[-1], self._key_at = False, (line, column)
        elif value is None and not text and self.builder.in_object:
            self._value(None, *self._key_at)  # an empty value stands at its key: its own mark is a line below
        else:
            self._value(value, line, column)

    def _value(self, value: bool | float | str | None, line: int, column: int) -> None:
        if self._awaits_key and self._awaits_key[-1]:
            self.builder.key("?", line, column)
            self._awaits_key[-1] = False
            return
        self.builder.scalar(value, line, column)
        self._done()

    def _done(self) -> None:
        """Expect a key again after a value of an object."""
        if self._awaits_key and self.builder.in_object:
            self._awaits_key[-1] = True

    def _refuse_marks(self, event: Event, taken: tuple[str | None, ...], line: int, column: int) -> None:
        """Refuse a tag, and an anchor: no alias may refer to it."""
        if getattr(event, "tag", None) not in taken:
            self._refuse("a tag", line, column, _TAG)
        if getattr(event, "anchor", None) is not None:
            self._refuse("an anchor", line, column, _ANCHOR)

    def _refuse(self, what: str, line: int, column: int, hint: str = "") -> None:
        self.builder.findings.error(
            "E0109",
            f"{what} is not taken in a policy",
            Place(self.builder.file, line, column),
            hint or "write it out",
        )


def resolve(text: str) -> bool | float | str | None:
    """Resolve a plain scalar by the core schema of YAML 1.2 (so `no` is a string)."""
    if _NULL.match(text):
        return None
    if _TRUE.match(text) or _FALSE.match(text):
        return bool(_TRUE.match(text))
    if _DECIMAL.match(text):
        return number(text)
    if _RADIX.match(text):
        return int(text, 0) if len(text) < 24 else number("9" * 20)
    if _INFINITE.match(text):
        return float(text.replace(".", "").lower())
    return float("nan") if _NAN.match(text) else text


def _told(error: MarkedYAMLError, text: str, file: str) -> tuple[str, Place, str]:
    """Give the message, the place and the hint for what is malformed."""
    mark, problem = error.problem_mark, f"malformed YAML, {_one_line(error.problem)}"
    hint = _hint(error.problem, [*text.splitlines(), ""][mark.line] if mark else "")
    if error.context == "while scanning a quoted scalar" and error.context_mark is not None:
        mark, hint = error.context_mark, "a text in quotes begins here and does not end"
    return problem, Place(file, mark.line + 1, mark.column + 1) if mark else Place(file), hint


def _hint(problem: str | None, line: str) -> str:
    if _CRAMPED.match(line):
        return "a key ends with a colon and a space"
    if "\\t" in (problem or ""):
        return "YAML is indented with spaces, not with tabs"
    if "<block end>" in (problem or ""):
        return "what belongs together begins in one column"
    if "chomping" in (problem or ""):
        return "an operator's name that begins with `>` or `|` stands in quotes"
    if "expected `:`" in (problem or "").replace("'", "`"):
        return "a key ends with a colon and a space; the line before may lack one"
    return ""
