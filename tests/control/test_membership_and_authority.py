"""Who belongs to the fleet, and who may command it."""

from dataclasses import replace

import pytest

from control.scripted_fleet import COMMAND, NAMES, drone, make_node, make_world
from ripstop.control.authority import Authority, Will
from ripstop.control.campaign import Campaign
from ripstop.control.dispatch import Dispatch, Purpose
from ripstop.control.registry import Presence, Registry
from ripstop.core.clock import Instant
from ripstop.core.errors import ConfigurationError
from ripstop.core.intent import Position, Release
from ripstop.core.messages import AckStatus, Beat
from ripstop.core.node import Fetched, Report, Send, Store, Stored
from ripstop.core.wire.envelope import (
    Ed25519Signer,
    EnvelopeType,
    Header,
    Keyring,
    Role,
    TrustedKey,
    open_envelope,
    seal,
)

NOW = Instant(0, 0, "boot")


def beat(agent="a", boot="b1", incarnation=1, sequence=1, **changes):
    made = Beat(agent, boot, incarnation, sequence, b"n", Position(), 0, "closed", 0, b"")
    return replace(made, **changes)


def names(reports):
    return [report.name for report in reports]


def test_presence_follows_the_beats_and_each_change_is_told_once():
    registry = Registry(1.0, {"a": b"k"})
    assert names(registry.heed(beat(), 0)) == ["agent.joined"]
    assert names(registry.heed(beat(sequence=2), 1_000_000)) == []
    assert names(registry.sweep(4_000_000)) == []
    assert names(registry.sweep(4_000_001)) == ["agent.quieted"]
    assert names(registry.sweep(5_000_000)) == []
    assert names(registry.sweep(13_000_001)) == ["agent.vanished"]
    assert names(registry.heed(beat(sequence=3), 20_000_000)) == ["agent.returned"]
    assert registry.present() == ("a",)


def test_a_quiet_agent_is_gone_as_soon_as_the_server_says_that_its_connection_has_ended():
    registry = Registry(1.0, {"a": b"k", "b": b"k"})
    for agent in "ab":
        registry.heed(beat(agent), 0)
    registry.disconnected("a")
    assert names(registry.sweep(3_000_000)) == [], "an ended connection alone changes nothing"
    assert names(registry.sweep(3_000_001)) == ["agent.quieted", "agent.quieted"]
    assert names(registry.sweep(3_500_000)) == ["agent.vanished"]
    assert registry.get("a").presence is Presence.GONE
    assert registry.get("b").presence is Presence.QUIET


def test_a_beat_unsays_that_a_connection_has_ended():
    registry = Registry(1.0, {"a": b"k"})
    registry.heed(beat(), 0)
    registry.disconnected("a")
    registry.heed(beat(sequence=2), 1_000_000)
    registry.sweep(4_000_001)
    assert names(registry.sweep(5_000_000)) == []
    assert registry.get("a").presence is Presence.QUIET


def test_a_fleet_that_has_taken_leave_is_no_partition_until_it_is_back():
    registry = Registry(1.0, dict.fromkeys("abcdef", b"k"))
    for agent in "abcdef":
        registry.heed(beat(agent), 0)
        registry.left(agent)
    registry.heed(beat("a", incarnation=2), 500_000)
    assert names(registry.sweep(3_000_001)) == ["agent.quieted"] * 5
    for agent in "abcdef":
        registry.heed(beat(agent, incarnation=3), 4_000_000)
    assert "fleet.partitioned" in names(registry.sweep(9_000_000))


def test_losing_the_beats_of_any_number_of_agents_isolates_nobody():
    world = make_world()
    world.run(5)
    agents = sorted(world.agents)
    for lost in (agents[:1], agents[1:8], agents[8:]):
        world.network.partition(lost)
        world.run(80)
        world.network.heal()
        world.run(10)
    assert world.named("agent.vanished")
    assert world.named("fleet.partitioned")
    assert world.named("agent.returned")
    assert world.named("incident.opened") == []
    assert world.named("mitigation.ordered") == []
    assert not world.node.authority.will.mitigations
    assert not world.node.authority.will.topologies


def test_a_restart_is_no_duplicate_but_a_start_that_comes_back_is():
    registry = Registry(1.0, {"a": b"k"})
    registry.heed(beat(), 0)
    assert names(registry.heed(beat(incarnation=2), 1)) == []
    assert names(registry.heed(beat(incarnation=2, sequence=2), 2)) == []
    assert names(registry.heed(beat(incarnation=1, sequence=9), 3)) == ["agent.duplicated"]
    assert names(registry.heed(beat(incarnation=2, sequence=3), 4)) == []


def test_two_devices_with_one_id_are_reported_by_the_control_plane():
    world = make_world([drone(row) for row in range(3)])
    world.run(3)
    twin = replace(world.agents["d001"].work)
    from control.scripted_fleet import ScriptedAgent

    class Twin(ScriptedAgent):
        subjects = ()

    world.network.attach("twin", Twin(twin))
    world.run(5)
    assert [r["agent"] for r in world.named("agent.duplicated")] == ["d001"]


def test_an_id_that_cannot_stand_in_a_subject_is_refused():
    with pytest.raises(ConfigurationError):
        Registry(1.0, {"a.b": b"k"})


def test_an_agent_that_vanishes_with_an_open_breaker_does_not_hold_the_fleet_for_ever():
    world = make_world()
    world.run(5)
    world.agents["d015"].breaker = "open"
    world.say("d015", "breaker.opened")
    world.run(3)
    assert world.named("mitigation.complete")
    world.network.crash("d015")
    world.run(30)
    assert world.named("agent.vanished")
    assert world.named("incident.closed")


def test_an_agent_that_comes_back_is_a_suspect_again_by_its_first_beat():
    world = make_world()
    world.run(5)
    world.agents["d015"].breaker = "open"
    world.say("d015", "breaker.opened")
    world.run(3)
    world.network.disconnect("d015")
    world.run(30)
    world.network.reconnect("d015")
    world.run(3)
    assert len(world.named("incident.opened")) == 2


# ---- epochs and intents -----------------------------------------------------------------------------------


def authority():
    return Authority(NAMES, COMMAND, COMMAND.public)


def gain(made, epoch=b"4", intent=None):
    made.fetched(Fetched(NAMES.epoch_key, epoch, 7))
    made.fetched(Fetched(NAMES.intent_key("fleet"), intent, 3 if intent else 0))
    return made.stored(Stored(NAMES.epoch_key, 8))


def test_an_epoch_is_one_above_the_last_by_compare_and_set():
    made = authority()
    (store,) = made.fetched(Fetched(NAMES.epoch_key, b"4", 7))
    assert store == Store(NAMES.epoch_key, b"5", expected=7)
    assert not made.is_active
    made.fetched(Fetched(NAMES.intent_key("fleet"), None, 0))
    assert names(made.stored(Stored(NAMES.epoch_key, 8))) == ["authority.gained"]
    assert made.is_active
    assert made.position == Position(5, 0)


@pytest.mark.parametrize("held", [None, b"", b"garbage", b"4"])
def test_a_lost_or_damaged_key_gives_no_epoch_out_a_second_time(held):
    made = Authority(NAMES, COMMAND, COMMAND.public, used_epoch=6)
    (store,) = made.fetched(Fetched(NAMES.epoch_key, held, 7))
    assert store == Store(NAMES.epoch_key, b"7", expected=7)


def test_whoever_loses_the_epoch_issues_nothing():
    made = authority()
    made.fetched(Fetched(NAMES.epoch_key, b"4", 7))
    made.fetched(Fetched(NAMES.intent_key("fleet"), None, 0))
    assert names(made.stored(Stored(NAMES.epoch_key, 0))) == ["authority.lost"]
    assert made.issue(Will(), {}, NOW) == []
    assert made.tick({}, NOW) == []
    assert made.connect() == []


def test_a_will_goes_out_behind_its_tick_by_both_roads_as_the_same_bytes():
    made = authority()
    gain(made)
    tick, intent, store = made.issue(Will(Release(1, "d", "c")), {"a": b"n"}, NOW)
    assert isinstance(tick, Send)
    assert tick.subject == NAMES.tick
    assert (intent.subject, intent.data) == (NAMES.intent("fleet"), store.data)
    assert store.expected == 0
    ring = Keyring({COMMAND.key_id: TrustedKey(COMMAND.public, Role.COMMAND)})
    envelope = open_envelope(ring, NAMES.fleet, EnvelopeType.INTENT, intent.data)
    assert (envelope.epoch, envelope.generation, envelope.tick) == (5, 1, 1)


def test_only_one_write_is_under_way_and_the_last_will_is_what_is_written_next():
    made = authority()
    gain(made)
    made.issue(Will(), {}, NOW)
    assert not any(isinstance(e, Store) for e in made.issue(Will(), {}, NOW))
    assert not any(isinstance(e, Store) for e in made.issue(Will(), {}, NOW))
    (store,) = made.stored(Stored(NAMES.intent_key("fleet"), 11))
    assert store == Store(NAMES.intent_key("fleet"), made.last_intent, expected=11)
    assert made.stored(Stored(NAMES.intent_key("fleet"), 12)) == []


def test_a_write_that_lost_is_looked_at_and_repeated_while_the_epoch_is_still_ours():
    made = authority()
    gain(made)
    made.issue(Will(), {}, NOW)
    assert made.stored(Stored(NAMES.intent_key("fleet"), 0))
    (store,) = made.fetched(Fetched(NAMES.intent_key("fleet"), made.last_intent, 9))
    assert store.expected == 9


def test_an_intent_of_a_higher_epoch_ends_our_authority():
    made = authority()
    gain(made)
    made.issue(Will(), {}, NOW)
    other = seal(COMMAND, EnvelopeType.INTENT, Header(NAMES.fleet, "fleet", 6, 1, 1), b"\x80")
    assert names(made.fetched(Fetched(NAMES.intent_key("fleet"), other, 9))) == ["authority.lost"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"junk",
        seal(Ed25519Signer(b"x" * 32, Role.COMMAND), EnvelopeType.INTENT, Header("test", "fleet", 9), b""),
    ],
)
def test_what_somebody_else_wrote_under_our_key_is_neither_adopted_nor_obeyed(data):
    made = authority()
    gain(made, intent=data or None)
    assert made.is_active
    assert made.adopted is None


def test_a_stored_intent_that_cannot_be_read_is_reported():
    made = authority()
    broken = seal(COMMAND, EnvelopeType.INTENT, Header(NAMES.fleet, "fleet", 4, 1, 1), b"\x80")
    (told,) = made.fetched(Fetched(NAMES.intent_key("fleet"), broken, 3))
    assert isinstance(told, Report)
    assert told.name == "intent.unreadable"


def test_a_campaign_counts_each_answer_once_and_a_refusal_that_turns_is_no_refusal_any_more():
    campaign = Campaign(Position(1, 5), frozenset({"a", "b"}), 0, 1)
    assert not campaign.answer("a", Position(1, 4), AckStatus.APPLIED, "")
    assert not campaign.answer("c", Position(1, 5), AckStatus.APPLIED, "")
    assert campaign.answer("a", Position(1, 5), AckStatus.REFUSED, "stale")
    assert not campaign.answer("a", Position(1, 5), AckStatus.REFUSED, "stale")
    assert campaign.unanswered() == ["b"]
    assert campaign.answer("a", Position(1, 7), AckStatus.APPLIED, "")
    assert not campaign.answer("a", Position(1, 8), AckStatus.APPLIED, "")
    assert (campaign.missing(), campaign.refused) == (["b"], {})


def test_a_tick_repeats_the_intent_only_while_somebody_present_may_have_missed_it():
    made = authority()
    gain(made)
    registry = Registry(1.0, {"a": b"k", "b": b"k"})
    dispatch = Dispatch(made, registry, lease_s=8.0)
    for agent in ("a", "b"):
        registry.heed(beat(agent), 0)
    dispatch.issue(Will(), Purpose.LIFT, frozenset({"a", "b"}), "incident", NOW)
    applied = (AckStatus.APPLIED, "", "ack")
    dispatch.answered("a", made.position, applied, NOW)
    subjects = [effect.subject for effect in dispatch.tick(Instant(10**6, 10**6, "boot"))]
    assert subjects == [NAMES.tick, NAMES.intent("fleet")]  # b's beat and b's answer are both missing
    dispatch.answered("b", made.position, applied, NOW)
    assert len(dispatch.tick(Instant(2 * 10**6, 2 * 10**6, "boot"))) == 1
    later = Instant(9 * 10**6, 9 * 10**6, "boot")
    assert len(dispatch.tick(later)) == 2  # a lease later their beats should have told it
    for agent in ("a", "b"):
        registry.heed(beat(agent, sequence=2, position=made.position), 9 * 10**6)
    assert len(dispatch.tick(later)) == 1


def test_an_unseen_member_is_not_silent():
    node = make_node(["d000", "d001", "d002", "d003"])
    assert node.registry.sweep(10**12) == ()
    assert {member.presence for member in node.registry} == {Presence.UNSEEN}
