"""Ending a task for certain."""

from __future__ import annotations

import asyncio
from typing import Any

_AGAIN_S = 2.0


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel a task until it has ended, whatever comes of it.

    Once is not enough: a cancellation that arrives together with an answer is lost within `asyncio.wait_for`
    before Python 3.12 (python/cpython#86296), which nats-py waits with.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_AGAIN_S)
    if not task.cancelled():
        task.exception()  # whoever awaited it has heard of it
