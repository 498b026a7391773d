"""The base install: a wheel without any dependency, in an environment without any package."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ripstop.cli.root import COMMANDS

ROOT = Path(__file__).resolve().parents[2]

LIST_FOREIGN_MODULES = """
import json, sys
import ripstop
before = set(sys.modules)
for name in ("load", "compile", "Agent", "ActionVetoed", "CircuitBreaker", "EWMA", "PolicyVM", "policy"):
    getattr(ripstop, name)
known = {*sys.stdlib_module_names, "ripstop", "__main__"}
print(json.dumps(sorted(name for name in sys.modules if name.partition(".")[0] not in known)))
"""


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of a fresh environment in which nothing but the wheel is installed."""
    environment = tmp_path_factory.mktemp("bare") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    python = environment / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q"]
    subprocess.run([*command, "--no-index", "--no-deps", str(wheel)], check=True, capture_output=True)
    return environment / "bin"


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=60)


def test_the_wheel_holds_the_shipped_documents_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "ripstop/py.typed" in names
    for kind in ("policies", "vocabularies", "playbooks", "scenarios"):
        shipped = {str(path.relative_to(ROOT)) for path in (ROOT / kind).rglob("*") if path.is_file()}
        assert shipped
        assert {f"ripstop/_data/{name}" for name in shipped} <= set(names)
    roots = {name.partition("/")[0] for name in names}
    assert {name for name in roots if not name.endswith(".dist-info")} == {"ripstop"}


def test_the_wheel_asks_for_no_package_by_itself(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (metadata,) = [name for name in archive.namelist() if name.endswith("METADATA")]
    needs = [
        line for line in archive.read(metadata).decode().splitlines() if line.startswith("Requires-Dist")
    ]
    assert needs
    assert all("extra == " in line for line in needs)


def test_the_agent_s_names_load_nothing_but_the_standard_library(bare: Path, tmp_path: Path) -> None:
    outcome = run(bare / "python", "-c", LIST_FOREIGN_MODULES, cwd=tmp_path)
    assert outcome.returncode == 0, outcome.stderr
    assert json.loads(outcome.stdout) == []


def test_who_imports_an_agent_loads_no_reader_of_documents(bare: Path, tmp_path: Path) -> None:
    program = "import json, sys; from ripstop import Agent; print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(run(bare / "python", "-c", program, cwd=tmp_path).stdout)
    assert "ripstop.agent.node" in loaded
    parts = ("loader", "text_parser", "text_printer", "lints", "margin")
    assert not {f"ripstop.policy.{part}" for part in parts} & set(loaded)


def test_the_quickstart_runs(bare: Path) -> None:
    outcome = run(bare / "python", "examples/quickstart.py", cwd=ROOT)
    assert outcome.returncode == 0, outcome.stderr


def test_the_readme_s_agent_runs_for_a_new_user(bare: Path, tmp_path: Path) -> None:
    found = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)
    assert found
    script = tmp_path / "readme.py"
    script.write_text("\n".join(found))
    outcome = run(bare / "python", script, cwd=ROOT)
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout.splitlines() == re.findall(r"# prints: (.*)", "\n".join(found))


@pytest.mark.parametrize(("hook", "extra"), [("log_to_structlog", "structlog"), ("trace_agent", "otel")])
def test_a_hook_without_its_extra_says_what_to_install(
    bare: Path, tmp_path: Path, hook: str, extra: str
) -> None:
    program = f"import ripstop; from ripstop.hooks import {hook}; {hook}(ripstop.Agent('a'))"
    outcome = run(bare / "python", "-c", program, cwd=tmp_path)
    assert outcome.returncode == 1
    assert f"pip install 'ripstop[{extra}]'" in outcome.stderr.splitlines()[-1]


def test_the_command_line_answers(bare: Path, tmp_path: Path) -> None:
    outcome = run(bare / "ripstop", "--help", cwd=tmp_path)
    assert outcome.returncode == 0, outcome.stderr
    assert all(name in outcome.stdout for name in COMMANDS)


def test_a_json_policy_is_checked_without_any_extra(bare: Path) -> None:
    outcome = run(bare / "ripstop", "policy", "check", "policies/payload_limit.json", cwd=ROOT)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("policy", "check", "policies/drones/payload-limit.yaml"),
        ("risk", "graph.json"),
        ("forecast", "eval", "series.csv"),
        ("up",),
        ("agent", "drone-1"),
        ("audit", "verify", "runs/none"),
        ("demo", "drones"),
        ("warmup",),
    ],
    ids=lambda words: words[0],
)
def test_a_command_without_its_extra_says_what_to_install(bare: Path, words: tuple[str, ...]) -> None:
    outcome = run(bare / "ripstop", *words, cwd=ROOT)
    assert outcome.returncode == 2, outcome.stdout + outcome.stderr
    assert len(outcome.stderr.splitlines()) == 1
    assert outcome.stderr.startswith("C0001: ")
    assert "pip install 'ripstop[" in outcome.stderr
