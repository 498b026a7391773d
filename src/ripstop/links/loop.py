"""Running a program on the event loop: uvloop's where it is installed (extra `nats`), else asyncio's own."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

_T = TypeVar("_T")
_YOUNG: Final = 100_000  # Python's own 700 looks for cycles several times in each burst of messages
# Objects of Python's own allocator, and of the C library's, that are made to have their memory at hand; of
# so many one stays, which keeps what lies around it from being given back.
_SMALL: Final = (96, 32 << 20, 1024)
_LARGE: Final = (4000, 8 << 20, 64)


def run(main: Coroutine[object, object, _T]) -> _T:
    """Run a coroutine to its end, as `asyncio.run` does.

    uvloop takes a third of the processor time off a process that carries many connections. And it tells when
    a line is clogged, which asyncio's own does not before Python 3.12.9 and 3.13.2 (CVE-2024-12254): what is
    sent to a stalled server then waits in memory, and arrives late.
    """
    try:
        from uvloop import new_event_loop
    except ImportError:  # not made for every system
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)


@contextmanager
def settled() -> Iterator[None]:
    """Within, a burst of messages finds a process at rest.

    The garbage collector leaves alone what is held now, and looks for new cycles seldom: a warm fleet holds
    millions of objects, and a collection that walks them stalls every agent of the process. And there is
    memory at hand: a page that is new costs the kernel more time than an agent takes to fill it.
    """
    reserve = [_at_hand(*kind) for kind in (_SMALL, _LARGE)]
    gc.collect()
    gc.freeze()
    before = gc.get_threshold()
    gc.set_threshold(_YOUNG, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
        reserve.clear()


def _at_hand(size: int, total: int, every: int) -> list[bytes]:
    """Touch memory and let go of it; gives what keeps it with the process."""
    touched = [bytes(size) for _ in range(total // size)]
    return touched[::every]
