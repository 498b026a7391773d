"""The control plane's whole loop over the memory network, with scripted agents."""

from dataclasses import replace
from itertools import pairwise

import pytest

from control.scripted_fleet import NAMES, SUSPECT, drone, fail, make_node, make_world, playbook, recover
from ripstop.control.mitigation.hub import State
from ripstop.control.mitigation.playbook import Approval, IsolateRung, Ladder, StabilityRule, Verdict
from ripstop.core.errors import ConfigurationError
from ripstop.core.intent import MitigationKind, TopologyKind
from ripstop.core.messages import LEAVE, Item, PeerKind, PeerMessage
from ripstop.core.node import Send
from ripstop.core.wire.record import pack, unpack
from ripstop.links.conditions import Conditions
from ripstop.risk import margin, swing_model


def test_a_healthy_fleet_gets_an_epoch_an_empty_intent_and_no_incident():
    world = make_world()
    world.run(60)
    assert [r["epoch"] for r in world.named("authority.gained")] == [1]
    assert all(agent.intent.mitigations == () for agent in world.agents.values())
    assert world.named("incident.opened") == []
    assert world.named("agent.quieted") == []


def test_a_fault_is_mitigated_within_two_seconds_and_every_target_acknowledges():
    world = make_world()
    world.run(5)
    fail(world)
    world.run(5)
    (opened,) = world.named("incident.opened")
    (complete,) = world.named("mitigation.complete")
    assert opened["model"] == "load"
    assert complete["at_s"] < 7.0
    assert complete["targets"] == 30
    shed, star = world.agents["d000"].intent.mitigations[0], world.agents["d000"].intent.topologies[0]
    assert (shed.kind, star.kind, star.hub) == (MitigationKind.SHED, TopologyKind.STAR, "ground")


def test_both_models_are_reported_and_the_playbook_names_the_one_that_triggers():
    world = make_world()
    world.run(5)
    fail(world)
    world.run(1)
    assessed = world.named("risk.assessed")
    assert {(r["model"], r["triggers"]) for r in assessed} == {("load", True), ("percolation", False)}
    assert all(r["low"] <= r["probability"] <= r["high"] for r in assessed)


def test_the_planner_keeps_the_least_important_work_that_is_still_safe():
    world = make_world()
    world.run(5)
    fail(world)
    world.run(1)
    (planned,) = world.named("mitigation.planned")
    assert planned["is_enough"]
    assert planned["risk_after"] <= playbook().risk.target
    tried = dict(part.split(": ") for part in planned["tried"].split("; "))
    milder = [float(p) for name, p in tried.items() if int(name.split()[1]) > planned["keep"]]
    assert milder
    assert min(milder) > playbook().risk.target


def test_leases_are_renewed_with_higher_positions_and_the_same_content():
    world = make_world()
    world.run(5)
    fail(world)
    world.run(20)
    intents = [i for i in world.agents["d000"].intents if i.mitigations]
    assert len(intents) >= 10
    assert len({(i.mitigations, i.topologies) for i in intents}) == 1
    assert [i.position for i in intents] == sorted({i.position for i in intents})
    assert [i.tick for i in intents] == sorted({i.tick for i in intents})


@pytest.mark.parametrize("recovers_s", [10.0, 10.25, 10.5, 10.75, 11.0, 11.25])
def test_no_renewal_goes_out_right_before_a_lift_and_no_lease_is_at_its_end(recovers_s):
    world = make_world()
    world.run(5)
    fail(world)
    world.run(recovers_s - 5)
    recover(world)
    issued_s = []
    while len(issued_s) < 2 or world.agents["d000"].intent.mitigations:
        if (count := len(world.agents["d000"].intents)) > len(issued_s):
            issued_s += [world.timeline.now_us / 1e6] * (count - len(issued_s))
        world.run(0.05)
    gaps_s = [later - earlier for earlier, later in pairwise([*issued_s, world.timeline.now_us / 1e6])]
    assert gaps_s[-1] >= playbook().lease_s / 8
    assert max(gaps_s[-4:]) <= playbook().lease_s / 2


def test_recovery_lifts_everything_after_the_dwell_and_closes_the_incident():
    world = make_world()
    world.run(5)
    fail(world)
    world.run(10)
    recover(world)
    world.run(2)
    assert world.named("mitigation.lifting") == []
    world.run(5)
    (closed,) = world.named("incident.closed")
    assert closed["reason"] == "acknowledged by all"
    assert closed["at_s"] >= 15 + playbook().dwell_s
    assert all(agent.intent.mitigations == () for agent in world.agents.values())
    assert world.node.desk.hub.state is State.WATCHING


def test_work_abandoned_in_the_air_is_evidence_but_a_landing_with_work_left_is_none():
    world = make_world()
    world.run(5)
    world.report_work("d003", available=False, active=False)
    world.run(5)
    assert world.named("risk.assessed") == []
    world.report_work("d004", available=False)
    world.run(1)
    assert world.named("risk.assessed")[0]["agent"] == "d004"
    assert world.named("risk.assessed")[0]["fault_probability"] == 1.0


def test_a_fault_whose_work_everybody_can_carry_opens_no_incident():
    world = make_world([drone(row, spare=60.0) for row in range(30)])
    world.run(5)
    fail(world)
    world.run(10)
    assert world.named("risk.assessed")[0]["level"] == "low"
    assert world.named("incident.opened") == []


def test_silence_is_no_evidence_and_many_silent_at_once_are_a_partition():
    world = make_world()
    world.run(5)
    for agent in list(world.agents.values())[:20]:
        agent.is_mute = True
    world.run(20)
    assert len(world.named("agent.quieted")) == 20
    assert len(world.named("agent.vanished")) == 20
    assert len(world.named("fleet.partitioned")) == 1
    assert world.named("risk.assessed") == []


def test_a_fleet_that_takes_leave_is_not_told_as_partitioned():
    world = make_world()
    world.run(5)
    for agent in list(world.agents.values())[:20]:
        world.say(agent.name, LEAVE)
        agent.is_mute = True
    world.run(20)
    assert len(world.named("agent.quieted")) == 20
    assert world.named("fleet.partitioned") == []


def test_targets_that_do_not_answer_are_asked_again_and_counted_as_unmitigated():
    world = make_world()
    world.run(5)
    world.agents["d001"].is_mute = True
    world.agents["d002"].is_stubborn = True
    fail(world)
    world.run(8)
    (incomplete,) = world.named("mitigation.incomplete")
    assert (incomplete["applied"], incomplete["refused"], incomplete["unanswered"]) == (28, 1, 1)
    assert incomplete["agent"] == "d001,d002"
    assert world.named("mitigation.complete") == []


def test_a_lossy_network_still_brings_the_mitigation_to_everybody():
    world = make_world(conditions=Conditions(loss=0.2, jitter_s=0.01), seed=5)
    world.run(10)
    fail(world)
    world.run(4)
    (complete,) = world.named("mitigation.complete")
    assert complete["at_s"] < 14


@pytest.mark.parametrize("period_s", [6.0, 40.0])
def test_a_square_wave_fault_of_any_frequency_causes_few_transitions(period_s):
    # The dwell doubles with each incident: 5 + 10 + 20 + ... s, so in 180 s there is room for five at most.
    few = replace(playbook().risk, trials=10, plan_trials=10)
    book = playbook(dwell_s=5.0, dwell_max_s=300.0, risk=few)
    world = make_world([drone(row, 9) for row in range(9)], book, calm_s=30.0)
    world.run(5)
    for _ in range(round(180 / period_s)):
        fail(world, "d004")
        world.run(period_s / 2)
        recover(world, "d004")
        world.run(period_s / 2)
    assert 1 <= len(world.named("incident.opened")) <= 5


def test_the_hub_checks_each_hand_over_and_hops_are_countable():
    world = make_world([drone(row, spare=1.5 if row % 2 else 40.0) for row in range(30)])
    world.run(5)
    item = Item("t9", 1, 0.5, 2100.0, 50.0, 2200.0, 50.0)
    for number, target in enumerate(("d014", "d013")):
        offer = PeerMessage(SUSPECT, target, PeerKind.OFFER, number, item)
        world.perform(SUSPECT, Send(NAMES.peer("ground", SUSPECT), pack(offer)))
    far = replace(item, drop_x_m=9000.0)
    offer = PeerMessage(SUSPECT, "d013", PeerKind.OFFER, 7, far)
    world.perform(SUSPECT, Send(NAMES.peer("ground", SUSPECT), pack(offer)))
    world.run(1)
    subject, data = world.agents["d014"].peer[0]
    assert subject == NAMES.peer("d014", "ground")
    assert unpack(PeerMessage, data).via == ("ground",)
    answers = [unpack(PeerMessage, data) for _, data in world.agents[SUSPECT].peer]
    assert [(a.kind, a.number, a.reason) for a in answers] == [(PeerKind.REFUSE, 7, "target cannot carry it")]
    assert world.named("peer.relayed")[0]["hops"] == 2


def test_the_hub_remembers_what_it_let_through_until_the_target_reports_again():
    world = make_world([drone(row, spare=6.0) for row in range(3)])
    world.run(5)
    for number in range(4):
        item = Item(f"n{number}", 1, 0.5, 0.0, 100.0, 500.0, 100.0)
        offer = PeerMessage("d002", "d000", PeerKind.OFFER, number, item)
        world.perform("d002", Send(NAMES.peer("ground", "d002"), pack(offer)))
    world.run(1)
    passed = len(world.agents["d000"].peer)
    assert 0 < passed < 4
    world.report_work("d000", spare=6.0)
    world.run(1)
    item = Item("n9", 1, 0.5, 0.0, 100.0, 500.0, 100.0)
    offer = PeerMessage("d002", "d000", PeerKind.OFFER, 9, item)
    world.perform("d002", Send(NAMES.peer("ground", "d002"), pack(offer)))
    world.run(1)
    assert len(world.agents["d000"].peer) == passed + 1


def test_a_peer_cannot_speak_for_another_through_the_hub():
    world = make_world([drone(row) for row in range(3)])
    world.run(2)
    item = Item("t", 1, 0.5, 0.0, 0.0, 1.0, 1.0)
    forged = PeerMessage("d001", "d002", PeerKind.ACCEPT, 1, item)
    world.perform("d000", Send(NAMES.peer("ground", "d000"), pack(forged)))
    world.run(1)
    assert world.agents["d002"].peer == []
    assert world.named("peer.rejected")[0]["sender"] == "d000"


def test_the_second_control_plane_stays_passive():
    world = make_world([drone(row) for row in range(3)])
    world.network.attach("other", make_node(world.agents))
    world.run(5)
    assert len(world.named("authority.gained")) == 1
    assert len(world.named("authority.lost")) == 1


def test_a_control_plane_that_lost_its_epoch_issues_nothing_any_more():
    world = make_world([drone(row) for row in range(3)])
    world.run(3)
    world.network.attach("other", make_node(world.agents))
    world.run(3)
    assert {a.position.epoch for a in world.agents.values()} == {2}
    world.network.disconnect("control")
    world.network.reconnect("control")
    world.run(3)
    assert world.node.authority.is_lost
    issued = len(world.agents["d000"].intents)
    world.run(3)
    assert all(i.position.epoch == 2 for i in world.agents["d000"].intents[issued:])


def test_isolation_needs_tokens_and_never_exceeds_its_cap():
    ladder = Ladder(isolate=IsolateRung(cap=0.1, least_capacity=0.5))
    world = make_world(book=playbook(ladder=ladder))
    world.run(5)
    for agent in ("d003", "d010", "d015", "d020", "d025"):
        fail(world, agent)
    world.run(20)
    isolated = [m for m in world.agents["d000"].intent.mitigations if m.kind is MitigationKind.ISOLATE]
    assert 0 < len(isolated) <= 3
    assert len({m.token for m in isolated}) == len(isolated)
    assert all(len(m.targets) == 1 for m in isolated)


def test_a_plan_that_touches_too_many_waits_for_a_person_and_then_for_its_default():
    approval = Approval(above_share=0.5, deadline_s=4.0, default=Verdict.APPLY)
    world = make_world(book=playbook(approval=approval))
    world.run(5)
    fail(world)
    world.run(2)
    (asked,) = world.named("approval.requested")
    assert world.named("mitigation.planned") == []
    world.run(4)
    assert world.named("approval.settled")[0]["by"] == "deadline"
    assert world.named("mitigation.complete")
    assert asked["share"] == 1.0


def test_a_refused_plan_closes_the_incident_and_holds_off():
    approval = Approval(above_share=0.5, deadline_s=30.0, default=Verdict.APPLY)
    world = make_world(book=playbook(approval=approval))
    world.run(5)
    fail(world)
    world.run(1)
    now = world.network.now("control")
    incident = world.node.desk.incident_id
    world.perform("control", *world.node.approve(incident, "kim", now, is_approved=False))
    world.run(2)
    assert world.named("incident.closed")[0]["reason"] == "refused"
    assert len(world.named("incident.opened")) == 1
    assert world.named("mitigation.planned") == []


def test_an_incident_opens_at_a_lower_risk_while_the_stability_margin_is_short():
    model = swing_model(
        ends=[[0, 1]],
        stiffness=[2.0],
        inertia=[0.1, 0.1],
        damping=[0.01, 0.01],
        power=[1.0, -1.0],
        reserve=[0.5, 0.0],
    )
    book = playbook()
    strict = replace(book, risk=replace(book.risk, enter=1.0), stability=StabilityRule(enter=0.3))
    world = make_world(book=strict)
    world.run(5)
    fail(world)
    world.run(5)
    assert world.named("incident.opened") == []
    world.perform("control", *world.node.margin_found(margin(model), world.network.now("control")))
    world.run(2)
    (told,) = world.named("margin.assessed")
    assert told["short"] and told["damping_low"] < 0.03
    assert len(world.named("incident.opened")) == 1


def test_a_plan_beyond_the_largest_share_is_not_made():
    world = make_world(book=playbook(largest_share=0.2))
    world.run(5)
    fail(world)
    world.run(2)
    assert world.named("mitigation.unplannable")
    assert world.agents["d000"].intent.mitigations == ()


def test_a_lease_that_beats_cannot_renew_in_time_is_refused_at_the_start():
    with pytest.raises(ConfigurationError) as caught:
        make_node(["d000"], playbook(lease_s=6.0), beat_s=5.0)
    assert caught.value.code == "C0210"


def test_the_same_seed_gives_the_same_bytes():
    def run():
        world = make_world(conditions=Conditions(loss=0.05, jitter_s=0.02), seed=9)
        sent = []
        world.network.taps.append(lambda t, name, subject, data: sent.append((t, name, subject, data)))
        world.run(5)
        fail(world)
        world.run(10)
        return sent

    assert run() == run()


@pytest.mark.parametrize("topic", ["beat", "frame", "work", "notice", "ack", "segment"])
def test_garbage_on_a_subject_is_refused_with_a_code_and_changes_nothing(topic):
    world = make_world([drone(row) for row in range(3)])
    world.run(2)
    for data in (b"", b"\xff" * 40, pack(drone(1))):
        world.perform("d000", Send(NAMES.of(topic, "d000"), data))
    world.perform("d000", Send(NAMES.of(topic, "stranger"), b"\x80"))
    world.run(1)
    refused = world.named("message.refused") + world.named("segment.refused")
    assert len(refused) == 4
    assert all(r["code"].startswith("W") for r in refused)
