"""Reads playbooks from YAML or JSON files, with the place of every finding."""

from __future__ import annotations

from pathlib import Path

from ripstop.core.errors import ConfigurationError, Place
from ripstop.policy.diagnostics import Findings
from ripstop.policy.source import Node, decode, read_json

from .playbook import Playbook, read_playbook
from .trigger import Trigger


def load_playbook(path: str | Path) -> Playbook:
    """Load a playbook; the suffix tells YAML (`.yaml`, `.yml`) from JSON (comments allowed).

    Raises:
        ConfigurationError: C0203 for a file that cannot be read, C0201 with every finding of a document that
            does not fit, C0202 for a trigger that cannot be evaluated.
        PolicyError: E01xx for a document that cannot be parsed, as for policies.
    """
    file = Path(path)
    try:
        content = file.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigurationError(f"cannot read: {reason}", code="C0203", place=Place(str(file))) from error
    root = _parsed(file, content)
    document = root.plain()
    if not isinstance(document, dict):
        raise ConfigurationError("expected an object at the top", code="C0203", place=root.place)
    playbook = read_playbook(document, places(root))
    Trigger(playbook.trigger, root.entries["trigger"].place if root.entries else None)
    return playbook


def _parsed(file: Path, content: bytes) -> Node:
    findings = Findings()
    text = decode(content, str(file), findings)
    root = None
    if text is not None and text.strip():
        if file.suffix.lower() in (".yaml", ".yml"):
            from ripstop.policy.yaml_source import read_yaml

            root = read_yaml(text, str(file), findings)
        else:
            root = read_json(text, str(file), findings)
    findings.raise_errors()
    if root is None:
        raise ConfigurationError("the file is empty", code="C0203", place=Place(str(file)))
    return root


def places(node: Node) -> dict[str, Place]:
    """Give where each value of a document stands, by JSON pointer; for a key that is where the key stands."""
    found = {node.place.pointer: node.place}
    for name, entry in (node.entries or {}).items():
        found |= places(entry)
        key = node.keys.get(name)
        if key is not None:
            found[key.pointer] = key
    for item in node.items or ():
        found |= places(item)
    return found
