"""The house's rules that a machine can hold: sizes, names, docstrings, types, imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "ripstop"
SOURCES = sorted(PACKAGE.rglob("*.py"))
CHECKED = [*SOURCES, *sorted((ROOT / "tests").rglob("*.py")), *sorted((ROOT / "benchmarks").rglob("*.py"))]

MAX_FILE_LINES = 450
MAX_FUNCTION_LINES = 60
MAX_PARAMETERS = 6
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "data", "base", "misc"}
STRICTLY_TYPED = ("core", "policy", "backends", "agent")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(tree: ast.AST) -> Iterator[tuple[Function, bool]]:
    """Every function of a tree, and whether it is a method."""
    for node in ast.walk(tree):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, Function):
                yield child, isinstance(node, ast.ClassDef)


def code_lines(function: Function) -> int:
    """Lines from the first decorator to the end, the docstring not counted."""
    first = min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)])
    lines = (function.end_lineno or first) - first + 1
    head = function.body[0]
    if (
        isinstance(head, ast.Expr)
        and isinstance(head.value, ast.Constant)
        and isinstance(head.value.value, str)
    ):
        lines -= (head.end_lineno or head.lineno) - head.lineno + 1
    return lines


@pytest.mark.parametrize("path", CHECKED, ids=name_of)
def test_no_file_or_function_is_too_long(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_FILE_LINES
    too_long = {
        function.name: code_lines(function)
        for function, _ in functions(ast.parse(text))
        if code_lines(function) > MAX_FUNCTION_LINES
    }
    assert too_long == {}


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_function_takes_too_many_parameters(path: Path) -> None:
    too_many = {}
    for function, is_method in functions(ast.parse(path.read_text())):
        takes = function.args
        count = len(takes.posonlyargs) + len(takes.args) + len(takes.kwonlyargs) - is_method
        if count > MAX_PARAMETERS:
            too_many[function.name] = count
    assert too_many == {}


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert [name_of(path) for path in SOURCES if path.stem in VAGUE_NAMES] == []
    assert [name_of(path.parent) for path in SOURCES if path.parent.name in VAGUE_NAMES] == []


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("__init__.py")), ids=name_of)
def test_a_package_says_in_one_sentence_what_lives_there(path: Path) -> None:
    said = ast.get_docstring(ast.parse(path.read_text())) or ""
    assert said.endswith("."), "not a sentence"
    assert len(said.split()) >= 5, "says too little"
    assert ". " not in said.replace("\n", " "), "more than one sentence"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_module_keeps_mutable_state_in_a_global_statement(path: Path) -> None:
    assert [
        node.lineno for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Global)
    ] == []


@pytest.mark.parametrize("package", STRICTLY_TYPED)
def test_what_the_agent_stands_on_has_no_any(package: str) -> None:
    found = [
        f"{name_of(path)}:{node.lineno}"
        for path in sorted((PACKAGE / package).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Name) and node.id == "Any")
        or (isinstance(node, ast.Attribute) and node.attr == "Any")
    ]
    assert found == []


@pytest.mark.parametrize("path", CHECKED, ids=name_of)
def test_a_suppressed_check_names_its_code(path: Path) -> None:
    bare = [
        number
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if line.rstrip().endswith(("# no" + "qa", "# type: " + "ignore"))
    ]
    assert bare == []


def test_arrows_between_packages_point_one_way() -> None:
    lint = Path(sys.executable).parent / "lint-imports"
    run = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
