"""The folders of shipped documents are found from a checkout and from an installed package."""

from __future__ import annotations

from pathlib import Path

import pytest

from ripstop.core import shipped as module
from ripstop.core.errors import ConfigurationError
from ripstop.core.shipped import KINDS, shipped


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_folder_in_the_checkout(kind: str) -> None:
    assert shipped(kind).is_dir()
    assert shipped(kind).name == kind


def test_an_installed_package_finds_its_own_folder_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "src" / "ripstop"
    (package / "_data" / "policies").mkdir(parents=True)
    (tmp_path / "policies").mkdir()
    monkeypatch.setattr(module, "_PACKAGE", package)
    assert shipped("policies") == package / "_data" / "policies"


def test_an_unknown_kind_and_a_missing_folder_are_coded_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationError) as unknown:
        shipped("secrets")
    monkeypatch.setattr(module, "_PACKAGE", tmp_path / "src" / "ripstop")
    with pytest.raises(ConfigurationError) as missing:
        shipped("policies")
    assert unknown.value.code == missing.value.code == "C0002"
