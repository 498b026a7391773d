"""What an agent does with a message: who takes it, by its subject, and what is told of a refusal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from ripstop.core.clock import Instant
from ripstop.core.errors import WireError
from ripstop.core.node import Deliver, Effect, Scalar

from .chronicle import Chronicle
from .peers import Peers

Taker: TypeAlias = Callable[[bytes, Instant, list[Effect]], object]


class Reception:
    """Hands each message to whoever takes it; no message raises, whatever its bytes are.

    Args:
        takers: who takes what comes on which subject; what they refuse by a `WireError` is told.
        peers: takes what other agents say.
        chronicle: told of refusals, seldom.
    """

    def __init__(self, takers: Mapping[str, Taker], peers: Peers, chronicle: Chronicle) -> None:
        self.subjects = (*takers, peers.subject)
        self._takers = takers
        self._peers = peers
        self._from_peers = peers.subject.removesuffix("*")
        self._chronicle = chronicle

    def take(self, subject: str, data: bytes, now: Instant, out: list[Effect]) -> None:
        """Take a message; one on a subject that nobody takes is nothing to the agent."""
        taker = self._takers.get(subject)
        try:
            if taker is not None:
                taker(data, now, out)
            elif subject.startswith(self._from_peers):
                self._take_from_peer(subject.removeprefix(self._from_peers), data, now, out)
        except WireError as error:
            topic = subject.split(".")[2]  # ripstop.<fleet>.<topic>
            fields: dict[str, Scalar] = {"code": error.code, "reason": error.message, "topic": topic}
            self._chronicle.tell_seldom("message.refused", fields, now, out)

    def _take_from_peer(self, sender: str, data: bytes, now: Instant, out: list[Effect]) -> None:
        message, reason = self._peers.receive(sender, data)
        if message is not None:
            out.append(Deliver(message))
        else:
            fields: dict[str, Scalar] = {"code": reason, "reason": reason, "sender": sender}
            self._chronicle.tell_seldom("peer.refused", fields, now, out)
