from dataclasses import replace

import pytest

from ripstop.agent.peers import Peers
from ripstop.agent.standing import Standing
from ripstop.core.errors import WireError
from ripstop.core.intent import Topology, TopologyKind
from ripstop.core.messages import Item, PeerKind, PeerMessage
from ripstop.core.subjects import Subjects
from ripstop.core.wire.record import pack, unpack

NAMES = Subjects("city")
ITEM = Item("t1", 3, 0.5, 0.0, 0.0, 1.0, 1.0)
STAR = Standing({}, stars=(Topology("r", TopologyKind.STAR, ("a", "b"), "ground", lease_s=9.0),))


def peers(agent="a", standing=None):
    made = Peers(agent, NAMES)
    made.adopt(standing or Standing({}))
    return made


def offer(origin="b", target="a", via=()):
    return PeerMessage(origin, target, PeerKind.OFFER, 1, ITEM, via)


def test_in_a_mesh_an_offer_goes_straight_to_the_peer_in_one_hop():
    message, send = peers().offer("b", ITEM)
    assert send.subject == "ripstop.city.peer.b.a"
    assert unpack(PeerMessage, send.data) == message
    assert peers("b").receive("a", send.data) == (message, "")


def test_in_a_star_an_offer_goes_to_the_hub_and_arrives_only_through_it():
    _, send = peers(standing=STAR).offer("b", ITEM)
    assert send.subject == "ripstop.city.peer.ground.a"
    direct = offer()
    assert peers(standing=STAR).receive("b", pack(direct)) == (None, "did not come through the hub")
    relayed = replace(direct, via=("ground",))
    assert peers(standing=STAR).receive("ground", pack(relayed)) == (relayed, "")
    assert peers(standing=STAR).receive("b", pack(relayed))[0] is None


def test_who_is_outside_the_star_reaches_a_member_through_the_hub_only():
    _, send = peers("x", STAR).offer("a", ITEM)
    assert send.subject == "ripstop.city.peer.ground.x"
    _, send = peers("x", STAR).offer("y", ITEM)
    assert send.subject == "ripstop.city.peer.y.x"


def test_an_answer_goes_back_the_way_the_offer_came():
    sent = peers(standing=STAR).answer(offer(via=("ground",)), True, "")
    assert sent.subject == "ripstop.city.peer.ground.a"
    answer = unpack(PeerMessage, sent.data)
    assert (answer.kind, answer.target, answer.number, answer.via) == (PeerKind.ACCEPT, "b", 1, ())
    refusal = unpack(PeerMessage, peers().answer(offer(), False, "full").data)
    assert (refusal.kind, refusal.reason) == (PeerKind.REFUSE, "full")


def test_an_isolated_agent_neither_hears_nor_says_anything():
    isolated = peers(standing=Standing({}, isolated=True))
    assert isolated.offer("b", ITEM)[1] is None
    assert isolated.answer(offer(), True, "") is None
    assert isolated.receive("b", pack(offer())) == (None, "isolated")
    assert isolated.refused == 1


def test_members_without_a_hub_are_peerless():
    peerless = peers(standing=Standing({}, peerless=frozenset({"a"})))
    assert peerless.why_cut("b") == "no hub"


@pytest.mark.parametrize(
    ("sender", "message"),
    [
        ("c", offer()),
        ("b", offer(target="c")),
        ("b", offer(via=("ground",))),
        ("a", offer(origin="a")),
    ],
)
def test_a_message_by_a_false_way_is_refused_in_a_mesh(sender, message):
    assert peers().receive(sender, pack(message))[0] is None


def test_bytes_that_are_no_message_are_the_wires_fault():
    with pytest.raises(WireError):
        peers().receive("b", b"\xff")
