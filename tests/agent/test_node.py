"""The agent's own part: breaker, telemetry, ledger, peers, restarts, over the memory link."""

import math

from agent.scripted_ground import NAMES, STRANGER, VOCABULARY, mitigation
from ripstop.agent.breaker import BreakerEvent, BreakerState
from ripstop.agent.voice import Burden
from ripstop.core.decision import Decision, Verdict
from ripstop.core.intent import MitigationKind, OnSilence, Topology, TopologyKind
from ripstop.core.messages import Item, PeerKind, PeerMessage
from ripstop.core.node import Send
from ripstop.core.wire.chain import check_segment, genesis
from ripstop.core.wire.record import pack

ITEM = Item("t1", 3, 0.5, 0.0, 0.0, 1.0, 1.0)
BURDEN = Burden(True, True, 0.0, 0.0, 10.0, 0.01, 3, (ITEM,))


def carry(world, burden):
    world.network.perform("a", world.node.carry(burden, world.network.now("a")))
    world.run(0.01)


# ---- breaker --------------------------------------------------------------------------------------------


def test_a_dip_opens_the_breaker_and_denies_new_tasks_but_never_a_failsafe(world):
    world.observe(battery_percent=80.0)
    world.fly([12.5, 12.4, 12.3, 11.0])
    assert world.node.breaker_state is BreakerState.OPEN
    decision = world.request(payload_kg=0.5)
    assert decision.verdict is Verdict.DENY
    assert [(r.policy, r.text) for r in decision.reasons] == [("agent/breaker", "breaker is open")]
    assert world.request("land")
    (anomaly,) = world.ground.notices("anomaly.detected")
    assert anomaly.fields["signal"] == "battery_v"
    assert world.ground.notices("breaker.opened")[0].fields["to"] == "open"


def test_when_the_sensor_is_good_again_the_breaker_probes_and_closes(world):
    world.observe(battery_percent=80.0)
    world.fly([12.5, 12.4, 12.3, 11.0, 11.0, 11.0])
    world.fly([12.3] * 12)
    assert world.node.breaker_state is BreakerState.CLOSED
    assert world.request(payload_kg=0.5)
    assert [n.name for n in world.ground.all("notice") if n.name.startswith("breaker.")][-2:] == [
        "breaker.half_open",
        "breaker.closed",
    ]


def test_metrics_only_tells_of_the_anomaly_and_denies_nothing(make_world):
    world = make_world(enforce=False)
    world.observe(battery_percent=80.0)
    world.fly([12.5, 12.4, 12.3, 11.0])
    assert world.request(payload_kg=0.5)
    assert world.ground.notices("anomaly.detected")
    assert world.ground.all("beat")[-1].breaker == "metrics_only"


def test_an_operator_forces_the_breaker_open_and_resets_it(world):
    world.observe(battery_percent=80.0)
    for event, verdict in ((BreakerEvent.FORCED, Verdict.DENY), (BreakerEvent.RESET, Verdict.ALLOW)):
        world.network.perform("a", world.node.order_breaker(event, world.network.now("a")))
        assert world.request(payload_kg=0.5).verdict is verdict


def test_nan_everywhere_denies_and_never_raises(world):
    nan = math.nan
    for _ in range(5):
        world.observe(battery_percent=nan, battery_v=nan)
        world.run(1)
    assert not world.request(payload_kg=nan)
    assert world.request("land")
    assert len(world.ground.notices("anomaly.detected")) == 2


# ---- telemetry and workload -----------------------------------------------------------------------------


def test_reports_become_frequent_after_an_alarm(world):
    before = len(world.ground.all("frame"))
    world.fly([12.4, 12.41] * 10)
    quiet = len(world.ground.all("frame")) - before
    world.fly([11.0] * 20)
    assert quiet <= 2
    assert len(world.ground.all("frame")) - before - quiet == 20


def test_personal_readings_stay_on_the_device_while_it_works_and_after_it_was_offline(make_world):
    world = make_world(personal=("battery_v",), salt_key=b"s" * 32)
    world.round_trip()
    world.fly([12.4, 11.0, 9.5])
    world.network.disconnect("a")
    world.run(0.1)
    world.observe(battery_v=9.25, battery_percent=70.0)
    world.network.reconnect("a")
    world.round_trip()
    rows = [row for frame in world.ground.all("frame") for row in frame.rows()]
    assert [row[1] for row in rows] == [70.0]


def test_readings_sensed_while_offline_follow_after_the_round_trip(world):
    world.network.disconnect("a")
    world.run(0.1)
    for percent in (80.0, 70.0, 60.0):
        world.observe(battery_percent=percent)
        world.run(1)
    world.network.reconnect("a")
    world.run(0.1)
    before = len(world.ground.all("frame"))
    world.tick()
    world.run(0.1)
    (frame,) = world.ground.all("frame")[before:]
    assert [(row[1], row[4]) for row in frame.rows()] == [(80.0, 2), (70.0, 2), (60.0, 2)]
    assert frame.vocabulary == bytes.fromhex(VOCABULARY.digest)


def test_the_workload_goes_out_when_it_changes_and_at_its_cadence(world):
    for _ in range(5):
        carry(world, BURDEN)
    assert len(world.ground.all("work")) == 1
    carry(world, Burden(True, True, 500.0, 0.0, 10.0, 0.01, 3, (ITEM,)))
    assert len(world.ground.all("work")) == 1
    carry(world, Burden(True, True, 0.0, 0.0, 10.0, 0.01, 2, (ITEM, ITEM)))
    carry(world, Burden(False, True, 0.0, 0.0, 10.0, 0.01, 2, (ITEM, ITEM)))
    assert len(world.ground.all("work")) == 3
    world.run(10.1)
    carry(world, Burden(False, True, 0.0, 0.0, 10.0, 0.01, 2, (ITEM, ITEM)))
    assert len(world.ground.all("work")) == 4


def test_an_alarm_sends_the_workload_at_once(world):
    carry(world, BURDEN)
    world.fly([12.5, 12.4, 12.3, 11.0], step_s=0.1)
    assert len(world.ground.all("work")) == 2


def test_the_quiet_path_makes_no_notice_and_no_record(world):
    records = len(world.records())
    notices = len(world.ground.all("notice"))
    for second in range(300):
        world.observe(battery_percent=80.0 - second / 100, battery_v=12.4)
        world.run(1)
    assert len(world.records()) == records
    assert len(world.ground.all("notice")) == notices


# ---- ledger ---------------------------------------------------------------------------------------------


def test_a_decision_is_on_the_ledger_with_all_that_decides_it_again(world):
    world.observe(battery_percent=25.0)
    decision = world.request(payload_kg=0.8)
    (entry,) = world.kinds("decision")
    assert Decision.from_json(entry.body) == decision
    basis = world.kinds("basis")[-1].body
    assert basis["release"]["digest"] == decision.release
    assert basis["intent"] == decision.intent == ""
    world.order(mitigation())
    denied = world.request(payload_kg=0.8)
    basis = world.kinds("basis")[-1].body
    assert basis["intent"] == denied.intent != ""
    assert basis["restrictions"] == [mitigation().policy]


def test_deciding_leaves_no_trace_and_requesting_does(world):
    records = len(world.records())
    world.node.decide("accept_task", {"payload_kg": 1}, world.network.now("a"))
    assert len(world.records()) == records
    world.request(payload_kg=1)
    assert len(world.records()) > records


def test_segments_reach_the_ground_whole_and_in_order(world):
    for second in range(60):
        world.observe(battery_percent=50.0)
        world.request(payload_kg=0.1)
        world.run(1)
        if second % 5 == 0:
            world.tick()
    previous = genesis("a")
    segments = {segment.index: segment for segment in world.ground.all("segment")}
    assert len(segments) >= 5
    for index in sorted(segments):
        check_segment(segments[index], previous)
        previous = segments[index].head


def test_a_segment_is_sent_again_until_its_receipt_and_then_dropped(world):
    world.request(payload_kg=0.1)
    world.run(60)
    (_first,) = {(s.index, s.head) for s in world.ground.all("segment")}
    assert len(world.ground.all("segment")) >= 2
    world.receipt(world.ground.all("segment")[0])
    count = len(world.ground.all("segment"))
    world.run(60)
    assert len(world.ground.all("segment")) == count
    assert world.network.disk("a").first("ledger") == world.ground.all("segment")[0].last + 1


def test_a_receipt_that_is_forged_or_for_another_drops_nothing(world):
    world.request(payload_kg=0.1)
    world.run(12)
    segment = world.ground.all("segment")[0]
    world.receipt(segment, key=STRANGER)
    world.receipt(segment, agent="b")
    world.run(1)
    world.receipt(segment, head=b"\0" * 32)
    assert world.network.disk("a").first("ledger") == 1
    assert {n.fields["code"] for n in world.ground.notices("message.refused")} == {"W0202", "W0404"}


def test_after_a_power_cut_the_chain_goes_on_and_no_segment_forks(world):
    for _ in range(3):
        world.request(payload_kg=0.1)
        world.run(5)
    sent = {(s.incarnation, s.index): s for s in world.ground.all("segment")}
    world.request(payload_kg=0.2)  # is not synced yet when the power goes
    world.restart()
    world.round_trip()
    world.request(payload_kg=0.3)
    world.run(15)
    for segment in world.ground.all("segment"):
        known = sent.setdefault((segment.incarnation, segment.index), segment)
        assert known == segment
    ordered = sorted(sent.values(), key=lambda s: s.first)
    previous = genesis("a")
    for segment in ordered:
        check_segment(segment, previous)
        previous = segment.head
    assert {s.incarnation for s in ordered} == {1, 2}


def test_a_ledger_that_fails_denies_what_is_no_failsafe_until_it_works_again(world):
    world.observe(battery_percent=80.0)
    now = world.network.now("a")
    world.network.perform("a", world.node.ledger_failed("disk full", now))
    decision = world.request(payload_kg=0.5)
    assert [reason.policy for reason in decision.reasons] == ["agent/ledger"]
    assert world.request("land")
    world.network.perform("a", world.node.ledger_recovered(now))
    assert world.request(payload_kg=0.5)


# ---- peers ----------------------------------------------------------------------------------------------


def peer_says(world, message, sender="b"):
    world.say(Send(NAMES.peer("a", sender), pack(message)))
    world.run(0.1)


def offer(via=()):
    return PeerMessage("b", "a", PeerKind.OFFER, 1, ITEM, via)


def test_an_offer_is_delivered_to_the_application_and_answered(world):
    peer_says(world, offer())
    assert world.delivered == [offer()]
    effects = world.node.answer(offer(), False, "cannot carry it", world.network.now("a"))
    assert effects[0].subject == NAMES.peer("b", "a")


def test_a_star_makes_the_hub_the_only_way_until_its_lease_ends(world):
    star = Topology("r", TopologyKind.STAR, ("a", "b"), "ground", lease_s=10.0)
    world.order(topologies=(star,))
    peer_says(world, offer())
    assert world.delivered == []
    assert world.ground.notices("peer.refused")
    peer_says(world, offer(via=("ground",)), sender="ground")
    assert len(world.delivered) == 1
    world.network.perform("a", world.node.offer("b", ITEM, world.network.now("a")))
    world.run(0.1)
    assert [message.target for message in world.ground.all("peer")] == ["b"]
    world.run(11)
    peer_says(world, offer())
    assert len(world.delivered) == 2


def test_an_isolated_agent_is_cut_off_from_peers_while_the_ground_still_reaches_it(world):
    world.order(
        mitigation(kind=MitigationKind.ISOLATE, policy="", on_silence=OnSilence.HOLD, token=1, lease_s=4.0)
    )
    peer_says(world, offer())
    assert world.delivered == []
    effects = world.node.offer("b", ITEM, world.network.now("a"))
    assert effects[0].value.kind is PeerKind.REFUSE
    assert effects[0].value.reason == "isolated"
    world.run(10)
    world.tick()
    world.order()
    peer_says(world, offer())
    assert len(world.delivered) == 1


def test_junk_from_a_peer_is_refused_and_told(world):
    world.say(Send(NAMES.peer("a", "b"), b"\xff\xff"))
    world.run(0.1)
    assert world.ground.notices("message.refused")[0].fields["topic"] == "peer"


# ---- coming and going -----------------------------------------------------------------------------------


def test_an_agent_that_vanishes_and_comes_back_takes_up_where_it_was(world):
    world.observe(battery_percent=20.0)
    world.restart()
    world.round_trip()
    beats = world.ground.all("beat")
    assert beats[-1].incarnation == 2
    assert beats[-1].boot != beats[0].boot
    assert not world.request(payload_kg=2.0)  # nothing sensed yet in this life: unknown denies
    world.observe(battery_percent=80.0)
    assert world.request(payload_kg=2.0)


def test_a_release_survives_a_restart(world):
    world.say(Send(NAMES.bundle, world.bundle(4)))
    world.run(1)
    world.order()
    world.run(1)
    world.restart()
    assert world.node.release.counter == 4


def test_the_same_seed_gives_the_same_bytes(make_world):
    def tape():
        said = []
        world = make_world(seed=5)
        world.network.taps.append(lambda t_us, sender, subject, data: said.append((t_us, subject, data)))
        world.round_trip()
        world.observe(battery_percent=80.0)
        world.fly([12.5, 12.4, 12.3, 11.0, 12.3, 12.3, 12.3, 12.3])
        world.order(mitigation())
        world.request(payload_kg=0.5)
        world.run(30)
        return said

    assert tape() == tape()
