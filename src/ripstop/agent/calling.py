"""How a user's function is called with the context that was decided on, and blocks that count as calls."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from functools import lru_cache, partial, wraps
from types import (
    AsyncGeneratorType,
    CellType,
    CodeType,
    CoroutineType,
    FunctionType,
    GeneratorType,
    MethodType,
    TracebackType,
)
from typing import NamedTuple, ParamSpec, TypeAlias, TypeVar, cast

from ripstop.core.canonical import Json
from ripstop.core.decision import Limit
from ripstop.core.errors import ConfigurationError

P = ParamSpec("P")
R = TypeVar("R")
_Raised: TypeAlias = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]
LATER = frozenset((CoroutineType, GeneratorType, AsyncGeneratorType))  # what only runs when it is asked to
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Block(AbstractContextManager[None], AbstractAsyncContextManager[None]):
    """A `with` block as an `async with` block, too: its ends do not wait.

    Args:
        ends: enters and leaves the block.
    """

    __slots__ = ("_ends",)

    def __init__(self, ends: AbstractContextManager[None]) -> None:
        self._ends = ends

    def __enter__(self) -> None:
        self._ends.__enter__()

    def __exit__(self, *raised: *_Raised) -> bool | None:
        return self._ends.__exit__(*raised)

    async def __aenter__(self) -> None:
        self._ends.__enter__()

    async def __aexit__(self, *raised: *_Raised) -> bool | None:
        return self._ends.__exit__(*raised)


def within(
    block: Callable[[], AbstractContextManager[None]], fn: Callable[P, R], *, is_async: bool
) -> Callable[P, R]:
    """Decorate a generator function, sync or async: the block lasts for as long as it is iterated over.

    Returns:
        A function of the same kind. What is sent and thrown into a generator reaches it.
    """
    if not is_async:

        @wraps(fn)
        def iterated(*args: P.args, **kwargs: P.kwargs) -> Generator[object, object, object]:
            with block():
                return (yield from cast("Generator[object, object, object]", fn(*args, **kwargs)))

        return cast("Callable[P, R]", iterated)

    @wraps(fn)
    async def streamed(*args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[object, object]:
        with block():
            items = cast("AsyncGenerator[object, object]", fn(*args, **kwargs))
            step: Awaitable[object] = anext(items)
            while True:
                try:
                    item = await step
                except StopAsyncIteration:
                    return
                try:
                    step = items.asend((yield item))
                except GeneratorExit:
                    await items.aclose()
                    raise
                except BaseException as error:  # noqa: BLE001 - it is for the generator within
                    step = items.athrow(error)

    return cast("Callable[P, R]", streamed)


async def awaited(call: Callable[[], Awaitable[R]]) -> R:
    """Run a coroutine function, or a plain one that was taken for one, and give what comes of it."""
    result: object = call()
    return cast("R", await result if inspect.isawaitable(result) else result)


def given(context: Mapping[str, Json] | None) -> Mapping[str, Json]:
    """Give a caller's values by name: a context, readings.

    Raises:
        ConfigurationError: C0307, it is no mapping.
    """
    if context is None or isinstance(context, Mapping):
        return context or {}
    raise ConfigurationError(
        f"expected values by name, got `{context}`", code="C0307", hint='{"payload_kg": 0.8}'
    )


def check_function(fn: object) -> None:
    """Refuse what cannot be called.

    Raises:
        ConfigurationError: C0307.
    """
    if callable(fn):
        return
    if isinstance(fn, classmethod | property):
        hint = "decorate the function within, and write `@classmethod` or `@property` above that"
    else:
        hint = 'agent.act("take_off", fn, payload_kg=0.8)'
    raise ConfigurationError(f"expected a function, got `{fn}`", code="C0307", hint=hint)


def action_of(fn: Callable[..., object]) -> str:
    """Give the action that a function stands for: its name.

    Raises:
        ConfigurationError: C0307, it is no function.
    """
    check_function(fn)
    if isinstance(fn, partial):
        return action_of(fn.func)
    name = getattr(fn, "__name__", None)
    return name if isinstance(name, str) else type(fn).__name__


class _Shape(NamedTuple):
    """What a function takes: parameters by name, the name of the only required one, everything (`**`)."""

    named: tuple[str, ...] = ()
    lone: str | None = None
    is_lone_named: bool = False
    is_lone_keyword: bool = False
    takes_all: bool = False


def bound(fn: Callable[..., R], context: Mapping[str, Json]) -> Callable[[], R]:
    """Bind a function to a context.

    It gets those values of the context that it has parameters for (all of them with `**`). A function that
    has no parameter is called without any; one whose only required parameter is not in the context gets the
    context whole.
    """
    shape = _shape(fn)
    if shape.takes_all:
        return partial(fn, **context)
    if shape.lone is not None and not (shape.is_lone_named and shape.lone in context):
        return partial(fn, **{shape.lone: context}) if shape.is_lone_keyword else partial(fn, context)
    named = {name: context[name] for name in shape.named if name in context}
    return partial(fn, **named) if named else fn


def _shape(fn: Callable[..., object]) -> _Shape:
    """Look at a function; for plain ones by its code, which closures that are made anew share."""
    plain = fn.__func__ if isinstance(fn, MethodType) else fn
    if type(plain) is not FunctionType or plain.__dict__:
        return _read(fn)
    optional = len(plain.__defaults__ or ()), frozenset(plain.__kwdefaults__ or ())
    return _read_code(plain.__code__, *optional, plain is not fn)


@lru_cache(maxsize=256)
def _read_code(code: CodeType, defaults: int, keywords: frozenset[str], is_method: bool) -> _Shape:
    cells = tuple(CellType() for _ in code.co_freevars)
    stand_in = FunctionType(code, {}, "", (None,) * defaults, cells)
    stand_in.__kwdefaults__ = dict.fromkeys(keywords)
    return _read(MethodType(stand_in, object()) if is_method else stand_in)


def _read(fn: Callable[..., object]) -> _Shape:
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):  # a builtin that tells no signature
        return _Shape()
    named = tuple(p.name for p in parameters if p.kind in _NAMED)
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
        return _Shape(named, takes_all=True)
    required = [
        p for p in parameters
        if p.default is inspect.Parameter.empty and p.kind is not inspect.Parameter.VAR_POSITIONAL
    ]  # fmt: skip
    if len(required) != 1:
        return _Shape(named)
    (lone,) = required
    return _Shape(named, lone.name, lone.kind in _NAMED, lone.kind is inspect.Parameter.KEYWORD_ONLY)


def signature_of(fn: Callable[..., object]) -> inspect.Signature:
    """Give what a function takes.

    Raises:
        ConfigurationError: C0307, it is no function, or does not tell.
    """
    check_function(fn)
    try:
        return inspect.signature(fn)
    except ValueError as error:  # a builtin
        hint = "decorate a function of yours that calls it"
        raise ConfigurationError(f"`{fn}` does not tell what it takes", code="C0307", hint=hint) from error


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
