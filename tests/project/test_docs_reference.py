"""The reference is whole: every error code, command and operator has its entry, and no entry is stale."""

from __future__ import annotations

import ast
import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from ripstop.cli.root import COMMANDS, build_parser
from ripstop.policy.operators import ALIASES, OPERATORS

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"
GENERATED = sorted(path.stem.removeprefix("write_") for path in REFERENCE.glob("write_*.py"))
CODE = re.compile(r"[A-Z]\d{4}")
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(#[^)\s]*)?\)")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md")])


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
    return re.findall(r"^(?:\|\s*|#+\s+)`?([A-Z]\d{4})`?", text, re.M)


def writer(page: str) -> ModuleType:
    """The program that writes a generated page."""
    spec = importlib.util.spec_from_file_location(f"write_{page}", REFERENCE / f"write_{page}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_error_code_has_an_entry() -> None:
    assert sorted(codes_in_source() - set(codes_in_reference())) == []


def test_no_entry_speaks_of_an_error_that_is_gone() -> None:
    assert sorted(set(codes_in_reference()) - codes_in_source()) == []


def test_every_error_code_has_a_cause_and_a_cure() -> None:
    known = tomllib.loads((REFERENCE / "errors.toml").read_text())
    assert sorted(set(codes_in_reference()) - set(known["cures"])) == [], "add a line to errors.toml"
    assert sorted(set(known["cures"]) - set(codes_in_reference())) == []
    assert "| see `ripstop/" not in (REFERENCE / "errors.md").read_text(), "say the cause in errors.toml"


def test_an_error_code_has_one_entry() -> None:
    found = codes_in_reference()
    assert sorted(code for code in set(found) if found.count(code) > 1) == []


@pytest.mark.parametrize("page", GENERATED)
def test_a_generated_page_is_what_the_source_says(page: str) -> None:
    assert (REFERENCE / f"{page}.md").read_text() == writer(page).page(), "run `make docs`"


def test_every_operator_has_a_section() -> None:
    text = (REFERENCE / "operators.md").read_text()
    assert [name for name in OPERATORS if f"\n## `{name}`" not in text] == []
    assert [alias for alias in ALIASES if f"| `{alias}` |" not in text] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_examples_and_json(command: str) -> None:
    found = [
        leaf for leaf in writer("cli").leaves(build_parser([command])) if leaf.prog.split()[1] == command
    ]
    assert found
    for leaf in found:
        assert "examples:" in (leaf.epilog or ""), leaf.prog
        assert "--json" in leaf._option_string_actions, leaf.prog


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_module_that_a_page_names_is_there(page: Path) -> None:
    package = ROOT / "src" / "ripstop"
    found = re.findall(r"`((?:[a-z_0-9]+/)+(?:[a-z_0-9]+\.py)?)`", page.read_text())
    named = [name for name in found if name.endswith(".py") or (package / name.partition("/")[0]).is_dir()]
    assert [
        name for name in named if not any((root / name).exists() for root in (package, package.parent, ROOT))
    ] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    targets = [target for target, _ in LINK.findall(page.read_text()) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop().resolve()
        if page in seen or page.suffix != ".md" or not page.exists():
            continue
        seen.add(page)
        waiting += [
            page.parent / target for target, _ in LINK.findall(page.read_text()) if "://" not in target
        ]
    assert sorted(str(page.relative_to(ROOT)) for page in set(PAGES) - seen) == []
