"""Reads playbooks from YAML or JSON files."""

from __future__ import annotations

import json
from pathlib import Path

from ripstop.core.errors import ConfigurationError, Place, missing_extra

from .playbook import Playbook, read_playbook
from .trigger import Trigger

_LARGEST = 1_000_000


def load_playbook(path: str | Path) -> Playbook:
    """Load a playbook; the suffix tells YAML (`.yaml`, `.yml`) from JSON.

    Raises:
        ConfigurationError: C0203 for a file that cannot be read or parsed, C0201 with every finding of a
            document that does not fit, C0202 for a trigger that cannot be evaluated.
    """
    file = Path(path)
    place = Place(str(file))
    try:
        raw = file.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigurationError(f"cannot read: {reason.lower()}", code="C0203", place=place) from error
    if len(raw) > _LARGEST:
        raise ConfigurationError("larger than 1 MB", code="C0203", place=place)
    document = _parsed(file, raw, place)
    if not isinstance(document, dict):
        raise ConfigurationError("expected an object at the top", code="C0203", place=place)
    playbook = read_playbook(document, str(file))
    Trigger(playbook.trigger, str(file))
    return playbook


def _parsed(file: Path, raw: bytes, place: Place) -> object:
    try:
        text = raw.decode()
        if file.suffix.lower() == ".json":
            return json.loads(text, parse_constant=_refuse, object_pairs_hook=_no_doubles)
        return _yaml(text)
    except RecursionError:
        raise ConfigurationError("nested too deeply", code="C0203", place=place) from None
    except ValueError as error:
        raise ConfigurationError(f"cannot parse: {error}", code="C0203", place=place) from error


def _yaml(text: str) -> object:
    try:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError
    except ImportError as error:
        raise missing_extra("ruamel.yaml", "tools") from error
    try:
        return YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        first = str(getattr(error, "problem", None) or error).splitlines()[0]
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark is not None else ""
        raise ValueError(f"{first}{where}") from error


def _refuse(constant: str) -> object:
    raise ValueError(f"`{constant}` is not JSON")


def _no_doubles(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has a key twice")
    return found
