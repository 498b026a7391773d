"""From a path or a mapping to a policy: reading, finding the vocabulary, checking, all findings at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePath

from ripstop.core.canonical import Json
from ripstop.core.errors import ConfigurationError, Place
from ripstop.core.shipped import shipped
from ripstop.core.value import dataclass
from ripstop.core.vocabulary import OPEN, Vocabulary
from ripstop.policy.diagnostics import Finding, Findings, PolicyRejectedError, nearest
from ripstop.policy.document import KEYS, VERSION, Policy, read_bare, read_document
from ripstop.policy.lints import note_lints
from ripstop.policy.operators import ALIASES, OPERATORS
from ripstop.policy.source import EMPTY, MAX_BYTES, TOO_LARGE, Node, decode, read_json, read_value, shown
from ripstop.policy.vocabularies import check_actions, is_document_name, read_vocabulary

SUFFIXES = (".json", ".yaml", ".yml", ".rule")
_VOCABULARY_SUFFIXES = (".yaml", ".yml", ".json")
_NO_ID = re.compile(r"\A[./-]|[^A-Za-z0-9_./-]")
_LONGEST_LINEAGE = 8
_APART = frozenset({"vocabularies", "playbooks", "scenarios"})


@dataclass(frozen=True, slots=True)
class Checked:
    """What `check` found in one file: the policy unless there are errors, the findings, the source."""

    policy: Policy | None
    findings: tuple[Finding, ...]
    source: str = ""


def load(
    path_or_mapping: str | Path | Mapping[str, Json],
    vocabulary: Vocabulary | Mapping[str, Json] | str | Path | None = None,
) -> Policy:
    """Load one policy: a document or a bare rule, from a JSON or YAML file or from memory.

    A string where a document has a rule, and a file that ends in `.rule`, hold the readable form.

    Args:
        path_or_mapping: the file, or the parsed document or rule.
        vocabulary: stands in for the one that the document names: loaded, written out, or a file.

    Raises:
        PolicyRejectedError: with every finding, each with code, file, line, column and hint.
        ConfigurationError: when a YAML file is read without the `tools` extra.
    """
    checked = check(path_or_mapping, vocabulary)
    if checked.policy is None:
        raise PolicyRejectedError([finding for finding in checked.findings if finding.code[0] == "E"])
    return checked.policy


def check(
    path_or_mapping: str | Path | Mapping[str, Json],
    vocabulary: Vocabulary | Mapping[str, Json] | str | Path | None = None,
) -> Checked:
    """Load one policy and give everything that was found, instead of raising it."""
    findings = Findings()
    if isinstance(path_or_mapping, str | Path):
        path = Path(path_or_mapping)
        text = _text_of(path, findings)
        node = None if text is None else _read(text, path, findings)
    else:
        path, text = None, ""
        node = read_value(path_or_mapping, "", findings)
    if node is not None and "ripstop" in (node.entries or {}):
        from ripstop.policy.text_rules import with_rules_read

        node = with_rules_read(node, text or "", findings)
    policy = None if node is None else _policy(node, path, vocabulary, findings)
    if policy is not None and node is not None:
        note_lints(policy, node, findings)
        policy = replace(policy, lints=findings.lints)
    return Checked(None if findings.errors else policy, (*findings.errors, *findings.lints), text or "")


def load_vocabulary(path_or_mapping: str | Path | Mapping[str, Json]) -> Vocabulary:
    """Load a vocabulary document, its parents included.

    Raises:
        PolicyRejectedError: with every finding.
        ConfigurationError: when a YAML file is read without the `tools` extra.
    """
    findings = Findings()
    found = _vocabulary(path_or_mapping, findings, ())
    findings.raise_errors()
    return found


def _hint_for(path: Path) -> str:
    """Guess what was meant by a path at which there is no file."""
    if _is_folder(path):
        return "name its files, one by one"
    if set(str(path)) & set("<>=(){}"):
        return "a rule as text goes into a file that ends in .rule; a dict is taken as it is"
    return "" if path.is_absolute() else "it is looked for from the working folder"


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _text_of(path: Path, findings: Findings) -> str | None:
    try:
        if path.stat().st_size > MAX_BYTES:
            message = f"the source is larger than {MAX_BYTES} bytes"
            findings.error("E0103", message, Place(str(path), 1, 1), TOO_LARGE)
            return None
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no such path"
        message = f"`{shown(str(path), 120)}` cannot be read, {reason.lower()}"
        findings.error("E0101", message, Place(str(path)), _hint_for(path))
        return None
    return decode(content, str(path), findings)


def _read(text: str, path: Path, findings: Findings) -> Node | None:
    is_json = path.suffix or text.lstrip()[:1] in ("", "{", "[", "/")
    if path.suffix in (".yaml", ".yml") or not is_json:  # a pipe has no name that tells
        from ripstop.policy.yaml_source import read_yaml

        node = read_yaml(text, str(path), findings)
    elif path.suffix == ".rule":
        from ripstop.policy.text_parser import read_text
        from ripstop.policy.text_rules import whole_file

        return read_text(text, whole_file(text, str(path)), findings)
    else:
        node = read_json(text, str(path), findings)
    if node is None and not findings.errors:
        findings.error("E0104", "the file is empty", Place(str(path), 1, 1), EMPTY)
    return node


def _policy(
    node: Node,
    path: Path | None,
    vocabulary: Vocabulary | Mapping[str, Json] | str | Path | None,
    findings: Findings,
) -> Policy | None:
    entries = node.entries or {}
    if "ripstop" in entries:
        given = _given(vocabulary, findings)
        chosen = given or _named(entries.get("vocabulary"), path, findings)
        return None if chosen is None else read_document(node, chosen, findings)
    known = (*OPERATORS, *ALIASES)
    is_half_a_document = entries and next(iter(entries)) in KEYS and next(iter(entries)) not in known
    # a lone word or number in a file is no rule: a document's first bytes would permit everything
    is_lone = path is not None and not entries and not isinstance(node.scalar, bool)
    if is_lone or len(entries) > 1 or is_half_a_document:
        hint = "a document begins with `ripstop: 1`, a rule alone with its operator"
        if is_lone and isinstance(node.scalar, str):
            hint = "a rule in words stands in a file that ends in `.rule`, or behind `rule:` in a document"
        findings.error("E0305", "neither a rule nor a policy document", node, hint)
        return None
    name = path.stem if path else "inline"
    over = _given(vocabulary, findings)
    return read_bare(node, name, findings) if over is None else _read_bare_over(over, node, name, findings)


def _read_bare_over(vocabulary: Vocabulary, node: Node, name: str, findings: Findings) -> Policy | None:
    """Read a bare rule whose names are to be checked, as the document that it stands for."""
    name = _NO_ID.sub("_", name)[:128]  # a file may be called anything
    scalars = {"ripstop": Node(node.place, VERSION), "id": Node(node.place, name)}
    return read_document(Node(node.place, entries={**scalars, "rule": node}), vocabulary, findings)


def _given(
    vocabulary: Vocabulary | Mapping[str, Json] | str | Path | None, findings: Findings
) -> Vocabulary | None:
    if vocabulary is None or isinstance(vocabulary, Vocabulary):
        return vocabulary
    return _vocabulary(vocabulary, findings, ())


def _named(node: Node | None, path: Path | None, findings: Findings) -> Vocabulary | None:
    """Resolve what a document says of its vocabulary: nothing, a name, or the whole written out."""
    if node is None:
        return OPEN
    if node.entries is not None:
        return _from_node(node, path, findings, ())
    return _by_name(node, path, findings, ())


def _vocabulary(
    path_or_mapping: str | Path | Mapping[str, Json], findings: Findings, above: tuple[str, ...]
) -> Vocabulary:
    if isinstance(path_or_mapping, Mapping):
        node, path = read_value(path_or_mapping, "", findings), None
    else:
        path = Path(path_or_mapping)
        text = _text_of(path, findings)
        node = None if text is None else _read(text, path, findings)
    return OPEN if node is None else _from_node(node, path, findings, above)


def _from_node(node: Node, path: Path | None, findings: Findings, above: tuple[str, ...]) -> Vocabulary:
    flat = node.entries is not None and "lineage" in node.entries

    def find_parent(name: str, at: Node) -> Vocabulary | None:
        return None if flat else _by_name(at, path, findings, (*above, name))

    made = read_vocabulary(node, findings, find_parent)
    check_actions(made, node, findings)
    return made


def _by_name(node: Node, path: Path | None, findings: Findings, above: tuple[str, ...]) -> Vocabulary | None:
    name = node.scalar
    if not isinstance(name, str) or not is_document_name(name):
        findings.error("E0310", "a vocabulary is named by up to 200 letters, digits, `_`, `.` and `-`", node)
        return None
    if len(above) > _LONGEST_LINEAGE or name in above[:-1]:
        findings.error("E0311", f"vocabulary `{name}` descends from itself, or too long a line", node)
        return None
    found = find_vocabulary(name, path)
    if found is None:
        where = "it is looked for beside the policy, in `vocabularies` further up, and among the shipped ones"
        shelves = (folder for folder in _folders(path) if folder.name == "vocabularies")
        meant = nearest(name, (file.stem for shelf in shelves for file in shelf.glob("*.*")))
        findings.error("E0310", f"vocabulary `{name}` is not found", node, meant or where)
        return None
    return _vocabulary(found, findings, above)


def is_policy_file(path: PurePath) -> bool:
    """Say whether a file below a folder of policies is one: none hidden, no vocabulary beside them."""
    is_hidden = any(part.startswith(".") for part in path.parts)
    return path.suffix in SUFFIXES and not is_hidden and _APART.isdisjoint(path.parts)


def find_vocabulary(name: str, policy: Path | None = None) -> Path | None:
    """Find a vocabulary's file: beside the policy, in `vocabularies` up the tree, or a shipped one."""
    candidates = (
        folder / f"{name}{suffix}" for folder in _folders(policy) for suffix in _VOCABULARY_SUFFIXES
    )
    return next((candidate for candidate in candidates if candidate.is_file() and candidate != policy), None)


def _folders(policy: Path | None) -> list[Path]:
    """Give the folders that are looked through, the policy's own first."""
    folders = (
        [] if policy is None else [policy.parent, *(up / "vocabularies" for up in policy.resolve().parents)]
    )
    with suppress(ConfigurationError):  # an installation without shipped documents still finds the user's own
        folders.append(shipped("vocabularies"))
    return folders
