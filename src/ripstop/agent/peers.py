"""Peer traffic: which edges the topology allows, enforced at this end, and the way that a message takes.

In a mesh a peer is spoken to directly. Where a star holds for either end, messages go through its hub, and
what comes must have come that way: `via` names the hub. An isolated agent hears and says nothing.
"""

from __future__ import annotations

from dataclasses import replace

from ripstop.core.intent import Topology
from ripstop.core.messages import Item, PeerKind, PeerMessage
from ripstop.core.node import Send
from ripstop.core.subjects import Subjects
from ripstop.core.wire.record import pack, unpack

from .standing import Standing


class Peers:
    """The edges of one agent."""

    def __init__(self, agent: str, subjects: Subjects) -> None:
        self.refused = 0
        self.subject = subjects.peers_of(agent)  # all that they say to it
        self._agent = agent
        self._subjects = subjects
        self._number = 0
        self._isolated = False
        self._stars: tuple[Topology, ...] = ()
        self._peerless: frozenset[str] = frozenset()

    def adopt(self, standing: Standing) -> None:
        """Take the edges that hold now."""
        self._isolated = standing.isolated
        self._peerless = standing.peerless
        self._stars = standing.stars

    def hub(self, peer: str) -> str:
        """Give the relay between here and a peer; "" where they speak directly."""
        for name in (self._agent, peer):
            for star in reversed(self._stars):  # the later one holds
                if star.hub and name in star.members:
                    return star.hub
        return ""

    def why_cut(self, peer: str) -> str:
        """Say why nothing may pass between here and a peer; "" where it may."""
        if self._isolated:
            return "isolated"
        if self._agent in self._peerless or peer in self._peerless:
            return "no hub"
        return ""

    def offer(self, target: str, item: Item) -> tuple[PeerMessage, Send | None]:
        """Offer an item to a peer: the message, and its sending unless the edge is cut."""
        self._number += 1
        message = PeerMessage(self._agent, target, PeerKind.OFFER, self._number, item)
        return message, self._send(message)

    def answer(self, message: PeerMessage, accepted: bool, reason: str) -> Send | None:
        """Answer an offer, by the way that it came."""
        kind = PeerKind.ACCEPT if accepted else PeerKind.REFUSE
        return self._send(
            replace(
                message,
                origin=self._agent,
                target=message.origin,
                kind=kind,
                via=(),
                reason=reason,
            )
        )

    def _send(self, message: PeerMessage) -> Send | None:
        if self.why_cut(message.target):
            return None
        next_hop = self.hub(message.target) or message.target
        return Send(self._subjects.peer(next_hop, self._agent), pack(message))

    def receive(self, sender: str, data: bytes) -> tuple[PeerMessage | None, str]:
        """Read what came from a sender: the message, or None and the reason why it is refused.

        Raises:
            WireError: the bytes are no peer message.
        """
        message = unpack(PeerMessage, data)
        reason = self._objection(sender, message)
        if reason:
            self.refused += 1
            return None, reason
        return message, ""

    def _objection(self, sender: str, message: PeerMessage) -> str:
        if message.target != self._agent or message.origin == self._agent:
            return "meant for another agent"
        cut = self.why_cut(message.origin)
        if cut:
            return cut
        hub = self.hub(message.origin)
        if hub:
            if message.via != (hub,) or sender != hub:
                return "did not come through the hub"
        elif message.via or sender != message.origin:
            return "came by a way that the topology does not know"
        return ""
