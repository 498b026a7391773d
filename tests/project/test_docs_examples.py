"""Every example in the README, the docs and the docstrings runs, and prints what it says it prints.

A page's ```python blocks run in order in one namespace, in a folder that holds the shipped documents; a
comment `# prints: ...` says what the next line of output is. In a
```console block every line that begins with `$ ` is run, and the lines below it are what it prints, `...`
standing for anything. A block that cannot run alone says why: ```console not-run: needs a second terminal.
A ```yaml file: NAME block is what the commands after it find in the file of that name.
"""

from __future__ import annotations

import doctest
import importlib
import os
import pkgutil
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog

import ripstop

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md")])
FENCE = re.compile(r"^```(?P<language>python|console|yaml)(?P<note>[^\n]*)\n(?P<body>.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """One example of a page; `line` is that of its first line of code."""

    language: str
    note: str
    body: str
    line: int


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    return [
        Block(
            found["language"],
            found["note"].strip(),
            found["body"],
            text[: found.start("body")].count("\n") + 1,
        )
        for found in FENCE.finditer(text)
    ]


def runnable(page: Path, language: str) -> list[Block]:
    return [block for block in blocks(page) if block.language == language and not block.note]


def pages_with(language: str) -> list[Path]:
    return [page for page in PAGES if runnable(page, language)]


def pattern(shown: str) -> str:
    """A regular expression for what is shown, with `...` for anything."""
    return re.escape(shown).replace(re.escape("..."), ".*")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as a user's checkout: the shipped documents and examples are there."""
    for kind in ("policies", "vocabularies", "playbooks", "scenarios", "examples", "docs"):
        (tmp_path / kind).symlink_to(ROOT / kind)
    monkeypatch.chdir(tmp_path)
    structlog.reset_defaults()  # a command that ran in this process before may have silenced it
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_an_example_that_is_not_run_says_why(page: Path) -> None:
    notes = [block.note for block in blocks(page) if block.note]
    assert [note for note in notes if not re.fullmatch(r"not-run: \w.{8,}|file: [\w.-]+", note)] == []


@pytest.mark.parametrize("page", pages_with("python"), ids=name_of)
def test_the_python_of_a_page_runs(page: Path, workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in runnable(page, "python"):
        code = "\n" * (block.line - 1) + block.body
        exec(compile(code, name_of(page), "exec"), namespace)  # noqa: S102 - the page's own example
        shown = re.findall(r"# prints: (.*)$", block.body, re.M)
        printed = capsys.readouterr().out
        if shown:
            assert re.fullmatch("\n".join(map(pattern, shown)), printed.strip()), (
                f"line {block.line}: {printed}"
            )


@pytest.mark.parametrize("page", pages_with("console"), ids=name_of)
def test_the_commands_of_a_page_print_what_it_shows(page: Path, workplace: Path) -> None:
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": tools, "COLUMNS": "110", "NO_COLOR": "1"}
    for block in blocks(page):
        if block.note.startswith("file: "):
            (workplace / block.note.removeprefix("file: ")).write_text(block.body)
        if block.language != "console" or block.note:
            continue
        for part in re.split(r"^\$ ", block.body, flags=re.M)[1:]:
            command, _, shown = part.partition("\n")
            run = subprocess.run(
                ["bash", "-c", command],
                cwd=workplace,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=120,
            )
            printed = run.stdout + run.stderr
            if shown.strip():
                assert re.fullmatch(pattern(shown.strip()), printed.strip(), re.S), f"{command}\n{printed}"
            else:
                assert run.returncode == 0, f"{command}\n{printed}"


@pytest.mark.parametrize(
    "name", sorted(module.name for module in pkgutil.walk_packages(ripstop.__path__, "ripstop."))
)
def test_the_examples_in_docstrings_hold(name: str) -> None:
    if name.endswith("__main__"):
        pytest.skip("running it is its whole purpose")
    outcome = doctest.testmod(importlib.import_module(name))
    assert outcome.failed == 0
