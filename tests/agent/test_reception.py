"""What an agent does with a message, by its subject."""

import pytest

from ripstop.agent.peers import Peers
from ripstop.agent.reception import Reception
from ripstop.core.clock import Instant
from ripstop.core.errors import WireError
from ripstop.core.messages import Item, PeerKind, PeerMessage
from ripstop.core.node import Deliver
from ripstop.core.subjects import Subjects
from ripstop.core.wire.record import pack

NAMES = Subjects("city")
NOW = Instant(1, 1, "b")


class Told:
    """Stands where the chronicle stands, and keeps what it is told."""

    def __init__(self):
        self.heard = []

    def tell_seldom(self, name, fields, now, out):
        self.heard.append((name, dict(fields)))


def refuse(data, now, out):
    raise WireError("not that", code="W0102")


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def reception(told):
    takers = {NAMES.tick: lambda data, now, out: out.append(data), NAMES.bundle: refuse}
    return Reception(takers, Peers("a", NAMES), told)


def take(reception, subject, data):
    out = []
    reception.take(subject, data, NOW, out)
    return out


def test_it_hears_its_takers_subjects_and_its_peers(reception):
    assert reception.subjects == (NAMES.tick, NAMES.bundle, "ripstop.city.peer.a.*")


def test_a_message_goes_to_who_takes_its_subject(reception, told):
    assert take(reception, NAMES.tick, b"tick") == [b"tick"]
    assert told.heard == []


def test_what_nobody_takes_is_nothing(reception, told):
    assert take(reception, "ripstop.city.peer.b.c", b"x") == []
    assert take(reception, "nonsense", b"x") == []
    assert told.heard == []


def test_a_refusal_is_told_with_its_topic(reception, told):
    assert take(reception, NAMES.bundle, b"x") == []
    refused = {"code": "W0102", "reason": "not that", "topic": "bundle"}
    assert told.heard == [("message.refused", refused)]


def test_a_peer_is_heard_under_its_own_name_only(reception, told):
    item = Item("t", 1, 0.5, 1.0, 2.0, 3.0, 4.0)
    message = PeerMessage("b", "a", PeerKind.OFFER, 1, item)
    assert take(reception, NAMES.peer("a", "b"), pack(message)) == [Deliver(message)]
    assert take(reception, NAMES.peer("a", "c"), pack(message)) == []
    assert take(reception, NAMES.peer("a", "c"), b"garbage") == []
    assert [name for name, _ in told.heard] == ["peer.refused", "message.refused"]
