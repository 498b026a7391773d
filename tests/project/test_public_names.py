"""What `import ripstop` offers, and that it is loaded when it is first asked for."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import ripstop


def test_all_lists_the_lazy_names_and_the_version() -> None:
    assert set(ripstop.__all__) == {"__version__", *ripstop._HOMES}


def test_type_checkers_see_every_lazy_name_that_is_not_a_package() -> None:
    tree = ast.parse(Path(ripstop.__file__).read_text())
    (guard,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        alias.asname: (node.module, alias.name)
        for node in guard.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == {name: home for name, home in ripstop._HOMES.items() if home[1]} | {
        name: ("ripstop", name) for name, home in ripstop._HOMES.items() if not home[1]
    }


@pytest.mark.parametrize("name", ripstop.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(ripstop, name) is not None
    assert name in dir(ripstop)


def test_an_unknown_name_is_an_ordinary_attribute_error() -> None:
    assert not hasattr(ripstop, "firewall")
