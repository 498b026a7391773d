"""Lets a few callbacks of an event loop work in each of its rounds, so that what they send leaves in between.

nats-py writes in a task whose turn comes after every callback that waits in the loop: with many connections
in one process nobody's answer would leave before everybody had worked.
"""

from __future__ import annotations

import asyncio
from collections import deque

_AT_ONCE = 8


class Turns:
    """The turns of one loop: `take` one before working, and await what it gives, if anything."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def take(self) -> asyncio.Future[None] | None:
        """Take a turn in this round; where all are taken, give what is done when one is free."""
        if not self._taken:
            self._loop.call_soon(self._next_round)
        if self._taken < _AT_ONCE:
            self._taken += 1
            return None
        turn = self._loop.create_future()
        self._waiting.append(turn)
        return turn

    def _next_round(self) -> None:
        """Give the next ones their turns; who was cancelled meanwhile needs none."""
        self._taken = 0
        while self._waiting and self._taken < _AT_ONCE:
            turn = self._waiting.popleft()
            if not turn.done():
                self._taken += 1
                turn.set_result(None)
        if self._taken:
            self._loop.call_soon(self._next_round)
