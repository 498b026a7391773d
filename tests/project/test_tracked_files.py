"""What is under version control names no machine, no person's folder and no package host."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# The patterns are put together here so that this file does not match itself.
FORBIDDEN = re.compile(
    "|".join(
        [
            "/" + r"(?:root|home|Users|work)/\w",
            "/tmp/" + r"(?!\.)\w",
            r"index" + "-url",
            "file" + "://",
            r"(?:pypi|pythonhosted|npmjs|crates)" + r"\.\w",
            r"\b(?:10|192\.168|172\.(?:1[6-9]|2\d|3[01]))\.\d+\.\d+\.\d+\b",
        ]
    )
)


def findings(path: Path) -> list[str]:
    try:
        text = path.read_text()
    except UnicodeDecodeError:
        return []
    lines = enumerate(text.splitlines(), 1)
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
        for number, line in lines
        if FORBIDDEN.search(line)
    ]


def test_no_tracked_file_names_a_host_or_a_folder_of_this_machine(tracked: list[Path]) -> None:
    exempt = {ROOT / "Makefile"}
    assert [finding for path in tracked if path not in exempt for finding in findings(path)] == []


def test_lock_files_hold_hashes_and_no_address() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        text = path.read_text()
        assert "://" not in text
        assert "torch" not in text
        requirements = re.split(r"\n(?=\S)", text.strip())
        assert all("--hash=sha256:" in requirement for requirement in requirements)


def test_the_demo_s_lock_is_a_part_of_the_development_lock() -> None:
    def pins(name: str) -> set[str]:
        text = (ROOT / "requirements" / f"{name}.txt").read_text()
        return set(re.findall(r"^\S+==\S+", text, re.M))

    assert pins("demo")
    assert pins("demo") <= pins("dev")


def test_the_code_refers_to_no_document_that_is_not_here(tracked: list[Path]) -> None:
    elsewhere = re.compile(r"\b(?:FACT" + r"S|PROTOCO" + r"L|LANGUAG" + r"E|DESIG" + r"N) \d")
    code = [path for path in tracked if path.suffix in (".py", ".md", ".yaml")]
    assert [str(path.relative_to(ROOT)) for path in code if elsewhere.search(path.read_text())] == []
