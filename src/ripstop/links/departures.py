"""Whose connection to the embedded server has ended: the server's own word, apart from what agents say."""

from __future__ import annotations

import json
from collections.abc import Callable

from ..core.node import Event, Message
from .nats import NatsLink
from .permissions import DEPARTURES
from .server import NatsServer


class Departures:
    """Listens to the server's advisories, and tells the ids of agents whose connection has ended.

    The word may be lost (the server died, the link was down), and the agent may be back already: it says that
    an agent who is quiet is not merely slow, nothing more.
    """

    def __init__(self, server: NatsServer, on_departed: Callable[[str], None]) -> None:
        self._server = server
        self._on_departed = on_departed
        self._link = NatsLink(server.address, server.login("watch"))

    async def start(self) -> None:
        """Connect and listen. Raises as `NatsLink.connected` does."""
        self._link.start((DEPARTURES,), self._take)
        await self._link.connected()

    async def close(self) -> None:
        """Stop listening."""
        await self._link.close()

    def _take(self, event: Event) -> None:
        if isinstance(event, Message):
            agent = self._server.agent_of(_user_of(event.data))
            if agent is not None:
                self._on_departed(agent)


def _user_of(advisory: bytes) -> str:
    """Read the user from `io.nats.server.advisory.v1.client_disconnect`; "" where there is none."""
    try:
        told = json.loads(advisory)
    except ValueError:
        return ""
    client = told.get("client") if isinstance(told, dict) else None
    user = client.get("user") if isinstance(client, dict) else None
    return user if isinstance(user, str) else ""
