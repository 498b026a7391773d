"""Settings given by name: what there is not, or is of another kind, is refused with what was meant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import NoReturn, TypeVar

from ripstop.core.errors import ConfigurationError

_WORDS = {float: "number", int: "whole number"}
S = TypeVar("S")


def refusing(what: str, code: str) -> Callable[[type, Mapping[str, object]], NoReturn]:
    """Give the `__refuse__` of a dataclass of settings (`core.value`), which hears of unknown names.

    It raises ConfigurationError of that code.
    """

    def refuse(kind: type, others: Mapping[str, object]) -> NoReturn:
        from ripstop.policy.diagnostics import nearest  # of no use otherwise

        name, known = next(iter(others)), [field.name for field in fields(kind)]
        hint = nearest(name, known) or f"known: {', '.join(known)}"
        raise ConfigurationError(f"{what} has no `{name}`", code=code, hint=hint)

    return refuse


def laid_over(kind: type[S], settings: S | None, names: Mapping[str, float], what: str, code: str) -> S:
    """Give the settings, or those of `kind` that are usual, with what is given by name laid over them.

    Raises:
        ConfigurationError: of that code: these are no settings of that kind, or the result cannot be.
    """
    if settings is None:
        return kind(**names)
    if not isinstance(settings, kind):
        known = ", ".join(field.name for field in fields(kind))  # type: ignore[arg-type]  # a dataclass
        hint = f"settings are given by name: {known}"
        raise ConfigurationError(f"{what} cannot be made of `{settings}`", code=code, hint=hint)
    return replace(settings, **names)  # type: ignore[type-var]  # a dataclass


def check_kinds(what: str, settings: object, code: str) -> None:
    """Refuse what is no number where the default is one; where that is whole, only whole numbers will do.

    Raises:
        ConfigurationError: of that code.
    """
    for field in fields(settings):  # type: ignore[arg-type]  # a dataclass
        value, kind = getattr(settings, field.name), type(field.default)
        if kind in _WORDS and (isinstance(value, bool) or not isinstance(value, (int, kind))):
            raise impossible(what, field.name, value, code, f"expected a {_WORDS[kind]}")


def impossible(what: str, name: str, value: object, code: str, hint: str = "") -> ConfigurationError:
    """Say that a setting cannot be what it is."""
    return ConfigurationError(f"`{name}` of {what} cannot be `{value}`", code=code, hint=hint)
