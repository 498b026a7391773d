"""Running a program on the event loop: uvloop's where it is installed (extra `nats`), else asyncio's own."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

_T = TypeVar("_T")
_YOUNG: Final = 100_000  # Python's own 700 looks for cycles several times in each burst of messages


def run(main: Coroutine[object, object, _T]) -> _T:
    """Run a coroutine to its end, as `asyncio.run` does.

    uvloop takes a third of the processor time off a process that carries many connections.
    """
    try:
        from uvloop import new_event_loop
    except ImportError:  # not made for every system
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)


@contextmanager
def settled() -> Iterator[None]:
    """Within, the garbage collector leaves alone what is held now, and looks for new cycles seldom.

    A warm fleet holds millions of objects; a collection that walks them stalls every agent of the process.
    """
    gc.collect()
    gc.freeze()
    before = gc.get_threshold()
    gc.set_threshold(_YOUNG, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
