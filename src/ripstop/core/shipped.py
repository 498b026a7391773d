"""Where the policies, vocabularies, playbooks and scenarios that come with Ripstop lie on disk."""

from __future__ import annotations

from pathlib import Path

from ripstop.core.errors import ConfigurationError

KINDS = ("policies", "vocabularies", "playbooks", "scenarios")

_PACKAGE = Path(__file__).resolve().parents[1]


def shipped(kind: str) -> Path:
    """Give the folder of one kind of shipped documents.

    An installed wheel has them under `ripstop/_data`, a checkout beside `src`.

    Args:
        kind: one of `KINDS`.

    Raises:
        ConfigurationError: C0002, the kind is unknown or its folder is missing.
    """
    if kind not in KINDS:
        raise ConfigurationError(
            f"expected a kind of shipped document, got `{kind}`",
            code="C0002",
            hint=f"one of {', '.join(KINDS)}",
        )
    for folder in (_PACKAGE / "_data" / kind, _PACKAGE.parents[1] / kind):
        if folder.is_dir():
            return folder
    raise ConfigurationError(
        f"the shipped `{kind}` are missing",
        code="C0002",
        hint="install ripstop again: its files are incomplete",
    )
