"""Reads the scenarios that come with Ripstop."""

from __future__ import annotations

from pathlib import Path

from ripstop.core.errors import ConfigurationError, missing_extra
from ripstop.core.shipped import shipped
from ripstop.worlds.drones import Scenario


def load_scenario(name: str, city: str, folder: Path | None = None) -> Scenario:
    """Read a scenario by name, with one of its cities.

    Raises:
        ConfigurationError: C0411 for a file that is missing or no YAML, else what is wrong with its content.
    """
    try:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError
    except ImportError as error:
        raise missing_extra("ruamel.yaml", "tools") from error
    path = (folder or shipped("scenarios")) / f"{name}.yaml"
    try:
        document = YAML(typ="safe", pure=True).load(path.read_text())
    except (OSError, YAMLError) as error:
        raise ConfigurationError(f"cannot read the scenario `{path}`", code="C0411") from error
    if not isinstance(document, dict):
        raise ConfigurationError(f"`{path}` holds no scenario", code="C0411")
    return Scenario.from_mapping(document, city)
