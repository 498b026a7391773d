import pytest

from ripstop.agent.authority import Authority, RefusedError
from ripstop.core.chance import SplitMix64
from ripstop.core.clock import Instant
from ripstop.core.errors import WireError
from ripstop.core.intent import Intent, Position, Release
from ripstop.core.messages import Tick
from ripstop.core.wire.envelope import Envelope, EnvelopeType, Role
from ripstop.core.wire.record import pack

SECOND = 1_000_000


def opener(kind, data):
    """Stands in for signatures, which have tests of their own: the envelope is handed over as it is."""
    envelope = ENVELOPES.get(data)
    if envelope is None or envelope.type is not kind:
        raise WireError("signature does not fit", code="W0203")
    return envelope


ENVELOPES = {}


def sealed(kind, scope, position, tick, body):
    data = bytes([len(ENVELOPES) % 256]) + body
    ENVELOPES[data] = Envelope(
        kind, "fleet", scope, b"", Role.COMMAND, position.epoch, position.generation, tick, body
    )
    return data


def at(seconds):
    return Instant(0, round(seconds * SECOND), "boot")


def tick(number, nonce, epoch=1, agent="a"):
    position = Position(epoch, 0)
    body = pack(Tick(number, position, 0, {agent: nonce} if nonce else {}))
    return sealed(EnvelopeType.TICK, "fleet", position, number, body)


def intent(generation, cited, epoch=1, scope="fleet", lies=()):
    position = Position(epoch, generation)
    body = pack(Intent(scope, position, cited, Release()))
    said = {"scope": scope, "position": position, "tick": cited} | dict(lies)
    return sealed(EnvelopeType.INTENT, said["scope"], said["position"], said["tick"], body)


@pytest.fixture
def authority():
    made = Authority("a", opener, chance=SplitMix64(1))
    made.connected(at(0))
    return made


def round_trip(authority, number=1, sent_s=1):
    nonce = authority.nonce(at(sent_s))
    return authority.tick(tick(number, nonce))


def refused(authority, data, seconds=10, **more):
    with pytest.raises(RefusedError) as caught:
        authority.intent(data, at(seconds), **more)
    return caught.value.code


def test_the_first_echo_of_a_nonce_sent_on_this_connection_is_the_round_trip(authority):
    assert round_trip(authority).is_first_round_trip
    assert not round_trip(authority, 2, 2).is_first_round_trip


def test_an_echo_of_a_nonce_sent_before_the_connection_is_none(authority):
    nonce = authority.nonce(at(1))
    authority.connected(at(2))
    assert not authority.tick(tick(1, nonce)).is_first_round_trip
    assert not authority.has_round_trip


def test_an_intent_before_the_round_trip_is_dropped(authority):
    assert refused(authority, intent(1, 1)) == "W0501"
    assert authority.dropped == 1


def test_a_lease_starts_when_the_beat_was_sent_that_the_cited_tick_echoes(authority):
    round_trip(authority, 5, sent_s=3)
    assert authority.intent(intent(1, 5), at(10)).since_us == 3 * SECOND


def test_a_lost_tick_is_replaced_by_the_last_known_one_before_it(authority):
    round_trip(authority, 5, sent_s=3)
    round_trip(authority, 8, sent_s=6)
    assert authority.intent(intent(1, 7), at(10)).since_us == 3 * SECOND


def test_an_intent_that_cites_an_unknown_tick_waits_for_it(authority):
    authority.tick(tick(1, authority.nonce(at(1))))
    authority._ticks.clear()
    authority._sent_us.clear()
    assert authority.intent(intent(1, 2), at(2)) is None
    assert authority.ripe(at(2), 10) == ([], [])
    authority.tick(tick(2, authority.nonce(at(2))))
    (fresh,), stale = authority.ripe(at(3), 10)
    assert fresh.since_us == 2 * SECOND
    assert stale == []


def test_an_intent_that_waits_in_vain_is_stale(authority):
    round_trip(authority, 5)
    assert authority.intent(intent(1, 4), at(2)) is None
    assert authority.ripe(at(12), 10) == ([], []), "it may still be read from its durable key"
    fresh, (stale,) = authority.ripe(at(12.1), 10)
    assert fresh == []
    assert stale.code == "W0502"


def test_a_newer_position_wins_and_an_older_or_replayed_one_is_refused(authority):
    round_trip(authority)
    first, second = intent(1, 1), intent(2, 1)
    authority.accept(authority.intent(second, at(2)))
    assert refused(authority, first) == "W0503"
    assert authority.intent(second, at(3)) is None


def test_a_lower_epoch_is_refused_whatever_its_generation(authority):
    round_trip(authority)
    authority.tick(tick(1, authority.nonce(at(2)), epoch=3))
    assert refused(authority, intent(99, 1, epoch=2)) == "W0503"
    with pytest.raises(RefusedError) as caught:
        authority.tick(tick(50, None, epoch=2))
    assert caught.value.code == "W0503"


def test_two_intents_of_one_position_contradict_each_other(authority):
    round_trip(authority)
    authority.accept(authority.intent(intent(1, 1), at(2)))
    assert refused(authority, intent(1, 1)) == "W0506"


def test_another_scopes_intent_is_refused(authority):
    round_trip(authority)
    assert refused(authority, intent(1, 1, scope="agent-b")) == "W0504"
    assert authority.intent(intent(1, 1, scope="agent-a"), at(2)) is not None


@pytest.mark.parametrize("lie", [{"scope": "agent-a"}, {"position": Position(1, 9)}, {"tick": 9}])
def test_an_intent_that_disagrees_with_its_envelope_is_refused(authority, lie):
    round_trip(authority)
    assert refused(authority, intent(1, 1, lies=lie)) == "W0505"


def test_forged_bytes_and_a_missing_key_are_refused(authority):
    with pytest.raises(WireError) as caught:
        authority.intent(b"forged", at(1))
    assert caught.value.code == "W0203"
    with pytest.raises(WireError) as caught:
        Authority("a", None, chance=SplitMix64(1)).intent(b"", at(1))
    assert caught.value.code == "W0202"


def test_a_stored_intent_without_proof_is_taken_as_unproven_and_proved_later(authority):
    data = intent(4, 2)
    entry = authority.intent(data, at(2), is_stored=True)
    assert not entry.is_proven
    authority.accept(entry)
    authority.tick(tick(2, authority.nonce(at(3))))
    again = authority.intent(data, at(4))
    assert again.is_proven
    assert again.since_us == 3 * SECOND


def test_ticks_of_another_epoch_prove_nothing(authority):
    round_trip(authority, 5)
    authority.tick(tick(1, authority.nonce(at(2)), epoch=2))
    assert authority.intent(intent(1, 0, epoch=2), at(3)) is None


def test_a_nonce_that_is_not_mine_shows_a_second_device_once_mine_was_echoed(authority):
    assert not authority.tick(tick(1, b"earlier!")).is_duplicated
    round_trip(authority, 2)
    assert authority.tick(tick(3, b"stranger")).is_duplicated


def test_a_replayed_tick_changes_nothing(authority):
    nonce = authority.nonce(at(1))
    first = tick(1, nonce)
    authority.tick(first)
    authority.tick(tick(2, authority.nonce(at(5))))
    authority.tick(first)
    assert authority.intent(intent(1, 2), at(6)).since_us == 5 * SECOND
