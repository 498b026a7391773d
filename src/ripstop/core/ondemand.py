"""Names of a package that are loaded when they are first asked for (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module


def on_demand(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Give the `__getattr__` and the `__dir__` of a package.

    Args:
        package: its name.
        homes: which of its modules holds each public name; the name of the module itself gives the module.
            A name may not be that of another module of the package: importing that one would put it there.
    """
    own = vars(sys.modules[package])

    def __getattr__(name: str) -> object:  # noqa: N807 - it becomes that function
        home = homes.get(name)
        if home is None:
            raise AttributeError(f"module `{package}` has no attribute `{name}`")
        value: object = getattr(import_module(f"{package}.{home}"), name)
        own[name] = value
        return value

    def __dir__() -> list[str]:  # noqa: N807 - it becomes that function
        return sorted({*own, *homes})

    return __getattr__, __dir__
