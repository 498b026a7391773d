"""Settings given by name: what there is not, or is of another kind, is refused with what was meant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import NoReturn

from ripstop.core.errors import ConfigurationError

_WORDS = {float: "number", int: "whole number"}


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
