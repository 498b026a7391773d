"""Settings given by name: what there is not, or is of another kind, is refused with what was meant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import NoReturn

from ripstop.core.errors import ConfigurationError

_WORDS = {float: "number", int: "whole number"}


def check_names(what: str, given: Iterable[str], known: Iterable[str], code: str) -> None:
    """Refuse the first name that is not known.

    Raises:
        ConfigurationError: of that code.
    """
    known = tuple(known)
    for name in given:
        if name not in known:
            from ripstop.policy.diagnostics import nearest  # of no use otherwise

            hint = nearest(name, known) or f"known: {', '.join(known)}"
            raise ConfigurationError(f"{what} has no `{name}`", code=code, hint=hint)


def refusing(what: str, code: str) -> Callable[[type, Mapping[str, object]], NoReturn]:
    """Give the `__refuse__` of a dataclass of settings (`core.value`), which hears of unknown names."""

    def refuse(kind: type, others: Mapping[str, object]) -> NoReturn:
        check_names(what, others, (field.name for field in fields(kind)), code)
        raise AssertionError("a name that is known was not taken")

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
