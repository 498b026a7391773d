"""Arguments of another kind than a function takes: told with a code, before anything is done."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec, TypeVar

from ripstop.risk.errors import RiskInputError

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Kind:
    """What an argument has to be: `noun` in words; an instance of `of`, or with `each` a list of such."""

    noun: str
    of: type | tuple[type, ...]
    each: bool = False
    code: str = "C0716"
    hint: str = ""

    def holds(self, value: object) -> bool:
        """Tell whether a value is of the kind."""
        if not self.each:
            return isinstance(value, self.of)
        return isinstance(value, list | tuple) and all(isinstance(one, self.of) for one in value)


def takes(**kinds: Kind) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Refuse arguments that are not of their kinds; an argument's default passes.

    The function then raises RiskInputError: C0716, or the code of the kind.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        parameters = inspect.signature(function).parameters
        defaults = {name: parameters[name].default for name in kinds}

        @wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            given = dict(zip(parameters, args, strict=False)) | kwargs
            for name, kind in kinds.items():
                value = given.get(name, defaults[name])
                if value is not defaults[name] and not kind.holds(value):
                    raise RiskInputError(
                        f"`{name}` is `{str(value)[:60]}`, expected {kind.noun}",
                        code=kind.code,
                        hint=kind.hint,
                    )
            return function(*args, **kwargs)

        return checked

    return decorate
