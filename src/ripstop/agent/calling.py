"""How a user's function is called with the context that was decided on."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

from ripstop.core.canonical import Json
from ripstop.core.decision import Limit

R = TypeVar("R")
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def action_of(fn: Callable[..., object]) -> str:
    """Give the action that a function stands for: its name."""
    if isinstance(fn, partial):
        return action_of(fn.func)
    name = getattr(fn, "__name__", None)
    return name if isinstance(name, str) else type(fn).__name__


def bound(fn: Callable[..., R], context: Mapping[str, Json]) -> Callable[[], R]:
    """Bind a function to a context.

    It gets those values of the context that it has parameters for (all of them with `**`). A function that
    has no parameter is called without any; one whose only required parameter is not in the context gets the
    context whole.
    """
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):  # a builtin that tells no signature
        return fn
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
        return partial(fn, **context)
    required = [
        p
        for p in parameters
        if p.default is inspect.Parameter.empty
        and p.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    ]
    if len(required) == 1 and (required[0].kind not in _NAMED or required[0].name not in context):
        if required[0].kind is inspect.Parameter.KEYWORD_ONLY:
            return partial(fn, **{required[0].name: context})
        return partial(fn, context)
    named = {p.name: context[p.name] for p in parameters if p.kind in _NAMED and p.name in context}
    return partial(fn, **named)


def is_json(value: object) -> bool:
    """Whether a value can stand in a context; other arguments of a governed function stay out of it."""
    return value is None or isinstance(value, str | int | float | list | tuple | Mapping)


def clamped(context: Mapping[str, Json], limits: tuple[Limit, ...]) -> dict[str, Json]:
    """Move the parameters into their limits; what is absent or no number stays as it is."""
    clamped = dict(context)
    for limit in limits:
        value = clamped.get(limit.parameter)
        if isinstance(value, int | float) and not isinstance(value, bool):
            if limit.low is not None and value < limit.low:
                clamped[limit.parameter] = limit.low
            elif limit.high is not None and value > limit.high:
                clamped[limit.parameter] = limit.high
    return clamped
