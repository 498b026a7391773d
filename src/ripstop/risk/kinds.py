"""Arguments of another kind than a function takes: told with a code, before anything is done."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec, TypeVar

import numpy as np

from ripstop.risk.errors import RiskInputError
from ripstop.risk.inputs import is_name, is_row

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Kind:
    """What an argument has to be: `noun` in words; with `each` a row of such.

    `of` are the types of which it is an instance, or tells whether it is one.
    """

    noun: str
    of: type | tuple[type, ...] | Callable[[object], bool]
    each: bool = False
    code: str = "C0716"
    hint: str = ""

    def holds(self, value: object) -> bool:
        """Tell whether a value is of the kind."""
        if not self.each:
            return self._is_one(value)
        if not isinstance(value, Collection) or isinstance(value, str | bytes | Mapping):
            return False
        return is_row(value) and all(map(self._is_one, value))

    def _is_one(self, value: object) -> bool:
        return isinstance(value, self.of) if isinstance(self.of, type | tuple) else self.of(value)

    def check(self, name: str, value: object) -> None:
        """Refuse a value that is not of the kind.

        Raises:
            RiskInputError: C0716, or the code of the kind.
        """
        if not self.holds(value):
            raise RiskInputError(
                f"`{name}` is `{str(value)[:60]}`, expected {self.noun}", code=self.code, hint=self.hint
            )


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
                if value is not defaults[name]:
                    kind.check(name, value)
            return function(*args, **kwargs)

        return checked

    return decorate


def is_pair(value: object) -> bool:
    """Tell whether a value is two names."""
    return isinstance(value, tuple | list) and len(value) == 2 and all(map(is_name, value))


TRUTH = Kind("true or false", (bool, np.bool_))
WHOLE = Kind("a whole number", (int, np.integer))
FUNCTION = Kind("a function", callable)
BY_NAME = Kind("values by what they are of", Mapping)
PAIRS = Kind("pairs of nodes", is_pair, each=True)
