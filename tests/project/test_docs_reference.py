"""The reference is whole: every error code, command and operator has its entry, and no entry is stale."""

from __future__ import annotations

import argparse
import ast
import importlib
import re
from pathlib import Path

import pytest

from ripstop.cli.root import COMMANDS, build_parser

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"
CODE = re.compile(r"[ECWX]\d{4}")
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(#[^)\s]*)?\)")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def codes_in_source() -> set[str]:
    """Every string constant of the source that is an error code."""
    return {
        node.value
        for path in sorted((ROOT / "src").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value)
    }


def codes_in_reference() -> list[str]:
    """The codes that have an entry: the first cell of a table's row, or a heading."""
    text = (REFERENCE / "errors.md").read_text()
    return re.findall(r"^(?:\|\s*|#+\s+)`?([ECWX]\d{4})`?", text, re.M)


def commands(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every command line that ends in something to run, as words."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        return [words]
    return [leaf for name, child in groups[0].choices.items() for leaf in commands(child, (*words, name))]


def test_every_error_code_has_an_entry() -> None:
    assert sorted(codes_in_source() - set(codes_in_reference())) == []


def test_no_entry_speaks_of_an_error_that_is_gone() -> None:
    assert sorted(set(codes_in_reference()) - codes_in_source()) == []


def test_an_error_code_has_one_entry() -> None:
    found = codes_in_reference()
    assert sorted(code for code in set(found) if found.count(code) > 1) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_section_and_examples(command: str) -> None:
    page = (REFERENCE / "cli.md").read_text()
    leaves = [words for words in commands(build_parser([command])) if words[0] == command]
    for words in leaves:
        assert f"## `ripstop {' '.join(words)}`" in page
    module = importlib.import_module(COMMANDS[command].module)
    assert "examples:" in (Path(module.__file__ or "").read_text())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    targets = [target for target, _ in LINK.findall(page.read_text()) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []
