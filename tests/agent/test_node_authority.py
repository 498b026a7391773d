"""What the ground may and may not do to an agent, over the memory link."""

from dataclasses import replace

import pytest

from agent.scripted_ground import AGENT, NAMES, POLICY, RELEASE, SHED, STRANGER, mitigation
from ripstop.core.canonical import canonical_json
from ripstop.core.clock import Instant
from ripstop.core.decision import Verdict
from ripstop.core.intent import MitigationKind, OnSilence, Position, Release
from ripstop.core.journal import RecordKind
from ripstop.core.messages import AckStatus
from ripstop.core.node import Connected, Message, Report, Send, Started
from ripstop.core.subjects import Subjects
from ripstop.core.wire.envelope import Ed25519Signer, Role


def refusals(world):
    return [notice.fields["code"] for notice in world.ground.notices("intent.refused")]


def acks(world):
    return [(ack.status, ack.position.generation) for ack in world.ground.all("ack")]


def test_an_applied_intent_restricts_and_is_acknowledged_once(world):
    world.observe(battery_percent=80.0)
    assert world.request(payload_kg=0.5).verdict is Verdict.ALLOW
    data = world.order(mitigation())
    decision = world.request(payload_kg=0.5)
    assert decision.verdict is Verdict.DENY
    assert [reason.policy for reason in decision.reasons] == ["hub/shed"]
    world.send_intent(data)
    assert acks(world) == [(AckStatus.APPLIED, 1)]
    assert world.node.position == Position(1, 1)


# Over NATS order holds on each subscription only: a tick and the intent that cites it may swap.
def test_an_intent_that_overtakes_its_tick_is_applied_at_once_on_the_proof_of_the_one_before(world):
    world.observe(battery_percent=80.0)
    world.send_intent(world.intent(mitigation(lease_s=10.0), tick=world.ground.number + 1))
    assert acks(world) == [(AckStatus.APPLIED, 1)]
    world.tick()
    world.run(8)
    assert not world.request(payload_kg=0.5)
    world.run(2)
    world.observe(battery_percent=80.0)
    assert world.request(payload_kg=0.5), "its lease began with the older beat"


def test_an_intent_that_overtakes_the_first_tick_of_its_epoch_is_applied_as_soon_as_that_arrives(world):
    world.observe(battery_percent=80.0)
    world.ground.position = Position(2, 0)
    world.send_intent(world.intent(mitigation(), tick=world.ground.number + 1))
    assert acks(world) == []
    assert world.request(payload_kg=0.5)
    world.tick()
    world.run(0.1)
    assert acks(world) == [(AckStatus.APPLIED, 1)]
    assert not world.request(payload_kg=0.5)
    assert refusals(world) == []


def test_a_lease_that_nobody_renews_ends_and_the_restriction_lifts_by_itself(world):
    world.observe(battery_percent=80.0)
    world.order(mitigation(lease_s=10.0))
    world.run(8)
    assert not world.request(payload_kg=0.5)
    world.run(2.5)
    world.observe(battery_percent=80.0)
    assert world.request(payload_kg=0.5)
    (lapsed,) = world.ground.notices("mitigation.lapsed")
    assert lapsed.fields["to"] == ""


def test_a_renewal_extends_the_lease_without_an_acknowledgement(world):
    world.order(mitigation(lease_s=6.0))
    for _ in range(5):
        world.run(2)
        world.order(mitigation(lease_s=6.0))
    assert not world.request(payload_kg=0.5)
    assert acks(world) == [(AckStatus.APPLIED, 1)]
    assert world.node.position == Position(1, 6)


def test_beats_come_four_times_a_lease_while_a_mitigation_is_held(world):
    world.order(mitigation(lease_s=4.0, on_silence=OnSilence.HOLD))
    before = len(world.ground.all("beat"))
    world.run(20)
    assert 18 <= len(world.ground.all("beat")) - before <= 23


def test_an_intent_without_mitigations_lifts_them(world):
    world.observe(battery_percent=80.0)
    world.order(mitigation())
    world.order()
    assert world.request(payload_kg=0.5)
    assert [report.name for report in world.reports].count("mitigation.lifted") == 1
    assert world.ground.notices("mitigation.lapsed") == []


def test_an_intent_holds_before_it_is_told_and_is_on_file_before_what_it_decides(world):
    world.observe(battery_percent=80.0)
    assert world.request(payload_kg=0.5)
    data = world.intent(mitigation())
    now = world.network.now("a")
    answered = world.node.step(Message(NAMES.intent("fleet"), data), now)
    assert [effect for effect in answered if isinstance(effect, Send)]
    assert not [effect for effect in answered if isinstance(effect, Report)]
    world.network.perform("a", answered)
    decision, effects = world.node.request("accept_task", {"payload_kg": 0.5}, now)
    assert decision.verdict is Verdict.DENY
    assert [effect.name for effect in effects if isinstance(effect, Report)] == ["mitigation.applied"]
    world.network.perform("a", effects)
    kinds = [entry.kind for entry in world.records()]
    assert kinds[-4:] == [RecordKind.INTENT, RecordKind.BASIS, RecordKind.NOTICE, RecordKind.DECISION]
    basis, _, decided = world.records()[-3:]
    assert basis.body["intent"] == decided.body["intent"] != ""


def test_a_mitigation_that_goes_on_for_others_is_lifted_not_lapsed(world):
    world.order(mitigation(targets=("a", "b")))
    world.order(mitigation(targets=("b",)))
    world.run(0.3)
    assert [report.name for report in world.reports].count("mitigation.lifted") == 1
    assert world.ground.notices("mitigation.lapsed") == []


def test_silence_holds_tightens_or_reverts_as_declared(world):
    isolate = mitigation(id="i", kind=MitigationKind.ISOLATE, policy="", on_silence=OnSilence.HOLD, token=1)
    world.order(mitigation(lease_s=4.0), isolate)
    world.run(30)
    assert world.node.standing.isolated
    assert set(world.node.standing.statuses) == {"i"}
    world.tick()
    world.order(mitigation(id="t", policy="", lease_s=4.0, on_silence=OnSilence.TIGHTEN))
    world.run(10)
    for action in ("accept_task", "take_off"):
        assert not world.request(action, payload_kg=0.1)
    assert world.request("land")


@pytest.mark.parametrize(
    ("on_silence", "verdicts"),
    [(OnSilence.REVERT, "allow allow"), (OnSilence.HOLD, "allow deny"), (OnSilence.TIGHTEN, "deny deny")],
)
def test_the_first_decision_after_a_pause_knows_what_silence_has_done_before_any_timer_runs(
    world, on_silence, verdicts
):
    world.observe(battery_percent=80.0)
    light = {
        "ripstop": 1,
        "id": "hub/light",
        "guards": ["accept_task"],
        "rule": {"<=": [{"var": "payload_kg"}, 0.3]},
    }
    world.order(mitigation(lease_s=4.0, on_silence=on_silence, policy=canonical_json(light).decode()))
    before = world.network.now("a")
    later = replace(before, wall_us=before.wall_us + 5_000_000, mono_us=before.mono_us + 5_000_000)
    recorded = len(world.records())

    def words(now):
        decided = [world.node.decide("accept_task", {"payload_kg": kg}, now) for kg in (0.1, 0.5)]
        return " ".join(decision.verdict.word for decision in decided)

    assert words(before) == "allow deny"
    assert words(later) == verdicts
    assert world.node.decide("land", {}, later).verdict is Verdict.ALLOW
    assert len(world.records()) == recorded
    _, effects = world.node.request("accept_task", {"payload_kg": 0.5}, later)
    world.network.perform("a", effects)
    names = [entry.body.get("name") or entry.kind.value for entry in world.records()[recorded:]]
    assert names[-4:] == ["basis", "mitigation.applied", "mitigation.lapsed", "decision"]


def test_a_forged_intent_is_refused_and_reported(world):
    world.send_intent(world.intent(mitigation(), key=STRANGER))
    world.send_intent(b"\xd2garbage")
    assert refusals(world) == ["W0202", "W0101"]
    assert world.node.standing.statuses == {}
    assert acks(world) == []


def test_an_intent_whose_bytes_were_changed_is_refused(world):
    data = bytearray(world.intent(mitigation()))
    data[-1] ^= 1
    world.send_intent(bytes(data))
    assert refusals(world) == ["W0203"]


@pytest.mark.parametrize("key", [AGENT, RELEASE])
def test_a_key_of_another_role_cannot_command(world, key):
    world.send_intent(world.intent(mitigation(), key=key))
    assert refusals(world) == ["W0204"]


def test_an_intent_of_another_fleet_or_scope_is_refused(world):
    world.send_intent(world.intent(mitigation(), fleet="other"))
    world.run(1.1)
    world.send_intent(world.intent(mitigation(), scope="agent-b"))
    assert refusals(world) == ["W0205", "W0504"]


def test_a_replayed_older_intent_is_superseded(world):
    first = world.order(mitigation())
    world.order()
    world.send_intent(first)
    assert refusals(world) == ["W0503"]
    assert acks(world)[-1] == (AckStatus.SUPERSEDED, 1)
    assert world.node.standing.statuses == {}


def test_a_lower_epoch_never_commands_again(world):
    world.ground.position = Position(3, 0)
    world.tick()
    world.run(0.1)
    late = world.intent(mitigation(), epoch=2, generation=99)
    world.send_intent(late)
    assert refusals(world) == ["W0503"]


def test_a_late_intent_whose_lease_is_over_restricts_nothing(world):
    late = world.intent(mitigation(lease_s=10.0))
    for _ in range(4):
        world.run(5)
        world.tick()
    world.send_intent(late)
    assert world.node.standing.statuses == {}


def test_a_reconnected_agent_drops_what_was_buffered_until_a_round_trip(world):
    buffered = world.intent(mitigation())
    world.network.disconnect("a")
    world.run(1)
    world.network.reconnect("a")
    world.run(0.05)
    world.send_intent(buffered)
    assert refusals(world) == ["W0501"]
    assert world.node.standing.statuses == {}
    world.tick()
    world.run(0.05)
    world.order(mitigation())
    assert set(world.node.standing.statuses) == {"m1"}


def test_a_lost_intent_is_read_from_its_key_after_a_reconnection(world):
    world.tick()
    world.store(NAMES.intent_key("fleet"), world.intent(mitigation(lease_s=60.0)))
    assert world.node.position == Position()
    world.network.disconnect("a")
    world.network.reconnect("a")
    world.run(0.1)
    world.tick()
    world.run(1.5)
    assert world.node.position == Position(1, 1)
    assert set(world.node.standing.statuses) == {"m1"}


def test_without_a_control_plane_the_stored_intent_holds_what_silence_holds(make_world):
    world = make_world()
    isolate = mitigation(id="i", kind=MitigationKind.ISOLATE, policy="", on_silence=OnSilence.HOLD, token=1)
    world.store(NAMES.intent_key("fleet"), world.intent(isolate, mitigation()))
    world.run(20)
    assert set(world.node.standing.statuses) == {"i"}
    assert world.node.position == Position()  # its leases are not claimed: nothing proves them


def test_a_mitigation_that_does_not_compile_is_refused_and_the_rest_goes_on(world):
    broken = canonical_json({"ripstop": 1, "id": "x", "rule": {"nonsense": []}}).decode()
    world.order(mitigation(policy=broken))
    ((status, _),) = acks(world)
    assert status is AckStatus.REFUSED
    assert world.node.standing.statuses == {}
    world.order(mitigation())
    assert set(world.node.standing.statuses) == {"m1"}


def test_a_mitigation_cannot_deny_a_failsafe(world):
    everything = canonical_json({"ripstop": 1, "id": "x", "rule": False}).decode()
    world.order(mitigation(policy=everything))
    assert not world.request("take_off")
    assert world.request("land")


def test_a_signed_bundle_is_adopted_at_once_and_an_older_one_never(world):
    strict = POLICY | {"rule": False}
    world.say(Send(NAMES.bundle, world.bundle(2, [strict])))
    world.run(0.1)
    assert world.node.release.counter == 2
    assert not world.request(payload_kg=0.1)
    world.say(Send(NAMES.bundle, world.bundle(1)))
    world.run(0.1)
    (refused,) = world.ground.notices("release.refused")
    assert refused.fields["code"] == "W0601"
    assert world.node.release.counter == 2


@pytest.mark.parametrize(
    ("more", "code"),
    [({"key": STRANGER}, "W0202"), ({"key": Ed25519Signer(b"\1" * 32, Role.COMMAND)}, "W0204")],
)
def test_a_bundle_by_a_key_that_may_not_release_is_refused(world, more, code):
    world.say(Send(NAMES.bundle, world.bundle(5, **more)))
    world.run(0.1)
    assert [n.fields["code"] for n in world.ground.notices("release.refused")] == [code]
    assert world.node.release.counter == 0


def test_a_bundle_that_does_not_load_or_has_expired_leaves_the_last_good_one(world):
    world.say(Send(NAMES.bundle, world.bundle(1, [POLICY | {"rule": {"nonsense": 1}}])))
    world.run(1.1)
    world.say(Send(NAMES.bundle, world.bundle(1, expires_us=world.timeline.now_us - 1)))
    world.run(1.1)
    assert len(world.ground.notices("release.refused")) == 2
    world.observe(battery_percent=20.0)
    assert not world.request(payload_kg=2.0)


def test_an_intent_that_names_a_newer_release_makes_the_agent_read_it(world):
    world.store(NAMES.bundle_key, world.bundle(7))
    world.order(release=Release(7, "d", "c"))
    world.run(0.5)
    assert world.node.release.counter == 7


def test_a_release_that_expires_is_reported_and_stays(world):
    world.say(Send(NAMES.bundle, world.bundle(1, expires_us=world.timeline.now_us + 7_000_000)))
    world.run(20)
    assert len(world.ground.notices("release.expired")) == 1
    assert world.node.release.counter == 1


def test_a_wall_clock_that_jumps_is_reported_and_changes_no_lease(world):
    world.observe(battery_percent=80.0)
    world.order(mitigation(lease_s=10.0))
    world.network.jump_wall("a", 3600.0)
    world.run(8)
    assert set(world.node.standing.statuses) == {"m1"}
    world.network.jump_wall("a", -7200.0)
    world.run(1)
    assert set(world.node.standing.statuses) == {"m1"}
    world.run(2)
    assert world.node.standing.statuses == {}
    assert world.request(payload_kg=0.5)  # the sample is 12 s old, whatever the wall says
    jumps = [notice.fields["seconds"] for notice in world.ground.notices("clock.jumped")]
    assert jumps == [3600.0, -7200.0]


def test_a_second_device_with_the_same_id_is_noticed(world):
    world.tick(nonces={"a": b"stranger"})
    world.run(0.1)
    assert len(world.ground.notices("identity.duplicated")) == 1
    assert world.node.standing.statuses == {}


def test_a_tick_that_is_forged_is_refused_and_proves_nothing(world):
    before = world.node.position
    world.tick(key=STRANGER)
    world.run(0.1)
    (notice,) = world.ground.notices("message.refused")
    assert (notice.fields["topic"], notice.fields["code"]) == ("tick", "W0202")
    assert world.node.position == before


def test_a_storm_of_bad_messages_makes_no_other_storm(world):
    for _ in range(200):
        world.say(Send(NAMES.intent("fleet"), b"junk"))
    world.run(0.5)
    assert len(refusals(world)) == 1


def test_an_agent_without_keys_refuses_every_command(make_world):
    from ripstop.agent.node import AgentNode
    from ripstop.agent.settings import NodeSettings
    from ripstop.core.node import Message

    node = AgentNode(NodeSettings("a", "city"), [POLICY])
    now = Instant(10**15, 0, "b")
    node.step(Started(1), now)
    node.step(Connected(), now)
    world = make_world()
    effects = node.step(Message(Subjects("city").intent("fleet"), world.intent(mitigation())), now)
    assert any(getattr(effect, "name", "") == "intent.refused" for effect in effects)
    assert node.standing.statuses == {}


def test_restrictions_survive_a_power_cut_and_restart_as_silence_declares(world):
    isolate = mitigation(id="i", kind=MitigationKind.ISOLATE, policy="", on_silence=OnSilence.HOLD, token=1)
    world.order(isolate, mitigation(lease_s=100.0))
    world.run(1)
    world.restart()
    assert set(world.node.standing.statuses) == {"i"}
    world.send_intent(world.intent(generation=0))
    assert world.node.standing.isolated


def test_the_same_intents_and_times_give_the_same_verdicts_with_the_control_plane_gone(make_world):
    def verdicts(is_alone):
        world = make_world()
        if not is_alone:
            world.round_trip()
        seen = []
        for second in range(200):
            world.observe(battery_percent=60.0 - second / 4)
            seen.append(world.request(payload_kg=1.5).verdict)
            world.run(1)
            if not is_alone and second % 5 == 0:
                world.tick()
        return seen

    alone = verdicts(True)
    assert alone == verdicts(False)
    assert set(alone) == {Verdict.ALLOW, Verdict.DENY}


def test_shed_is_a_document_that_loads_everywhere(world):
    world.order(mitigation(policy=SHED), mitigation(id="m2", policy=SHED))
    assert set(world.node.standing.statuses) == {"m1", "m2"}
