"""What membership does to an agent: rotated keys, forged commands, a double, other capabilities."""

from collections import Counter
from dataclasses import replace
from functools import partial

import pytest

from agent.scripted_ground import AGENT, KEYS, NAMES, POLICY, VOCABULARY, World, mitigation, read_disk, signer
from ripstop.agent import Agent, NodeSettings
from ripstop.agent.node import AgentNode
from ripstop.core.canonical import canonical_json
from ripstop.core.clock import ManualClock
from ripstop.core.decision import Verdict
from ripstop.core.intent import OnSilence
from ripstop.core.messages import Beat
from ripstop.core.node import Connected, Send, SetTimer, Started
from ripstop.core.wire.envelope import Keyring, Role, TrustedKey, open_envelope
from ripstop.core.wire.record import pack
from ripstop.policy import load

NEW_COMMAND = signer(Role.COMMAND, 21)
OTHER_AGENT = signer(Role.AGENT, 22)


def refusals(world):
    return [report.fields["code"] for report in world.reports if report.name == "intent.refused"]


def allows(world: World) -> bool:
    world.observe(battery_percent=80.0)
    return bool(world.request("accept_task", payload_kg=0.5))


def test_keys_that_were_rotated_while_it_was_away_command_nothing_until_it_is_told_of_them(world):
    world.order(mitigation(on_silence=OnSilence.HOLD, lease_s=2.0))
    assert not allows(world)
    world.network.disconnect("a")
    world.run(30)
    world.network.reconnect("a")
    world.run(1)
    world.tick(key=NEW_COMMAND)
    world.run(0.1)
    world.send_intent(world.intent(key=NEW_COMMAND, generation=9))
    world.store(NAMES.intent_key("fleet"), world.intent(key=NEW_COMMAND, generation=10))
    world.run(20)
    assert "W0202" in refusals(world)
    assert any(r.name == "message.refused" and r.fields["topic"] == "tick" for r in world.reports)
    assert not allows(world), "what held before holds on"
    assert world.request("land")


def test_an_agent_that_was_enrolled_anew_obeys_the_new_key_and_keeps_its_memory(world):
    world.order(mitigation(on_silence=OnSilence.HOLD))
    world.run(1)
    ring = Keyring({key.key_id: TrustedKey(key.public, key.role) for key in (NEW_COMMAND,)})
    both = replace_keys(KEYS, ring)
    disk = world.network.crash("a")
    world.node = AgentNode(
        NodeSettings("a", "city"), [POLICY], vocabulary=VOCABULARY,
        opener=partial(open_envelope, both, "city"), signer=AGENT, restored=read_disk(disk),
    )  # fmt: skip
    world.network.attach("a", world.node, incarnation=2, disk=disk)
    world.run(1)
    assert not allows(world)
    world.tick(key=NEW_COMMAND)
    world.run(0.1)
    world.send_intent(world.intent(key=NEW_COMMAND, generation=9))
    assert allows(world)


def replace_keys(first: Keyring, second: Keyring) -> Keyring:
    return Keyring({**first._keys, **second._keys})


@pytest.mark.parametrize("key", [OTHER_AGENT, signer(Role.AGENT, 3)], ids=["a peer's", "its own"])
def test_a_valid_key_of_an_agent_commands_nobody_by_whichever_road(world, key):
    ring = replace_keys(KEYS, Keyring({OTHER_AGENT.key_id: TrustedKey(OTHER_AGENT.public, Role.AGENT)}))
    world.node._authority._open = partial(open_envelope, ring, "city")
    forged = world.intent(mitigation(), key=key, generation=5)
    world.send_intent(forged)
    world.store(NAMES.intent_key("fleet"), forged)
    world.run(20)
    world.network.disconnect("a")
    world.network.reconnect("a")
    world.run(20)
    assert set(refusals(world)) == {"W0204"}
    assert world.node.standing.statuses == {}
    assert allows(world)


def test_a_second_device_under_its_id_is_told_and_changes_nothing(world):
    for number in range(3):
        world.run(1)
        body = Beat("a", "other-boot", 7, number, b"12345678", world.node.position, 0, "closed", 0, b"")
        world.say(Send("ripstop.city.beat.a", pack(body)))
        world.ground.nonces["a"] = b"12345678"
        world.tick()
        world.run(0.1)
    assert len([r for r in world.reports if r.name == "identity.duplicated"]) == 1
    assert allows(world)


def test_a_fleet_that_connects_at_once_does_not_beat_at_once_from_then_on():
    clock = ManualClock()
    beats_s = []
    for number in range(200):
        node = AgentNode(NodeSettings(f"a-{number}", "city", beat_s=5.0), [POLICY], vocabulary=VOCABULARY)
        node.step(Started(1), clock.now())
        effects = node.step(Connected(), clock.now())
        (at_us,) = [e.at_us for e in effects if isinstance(e, SetTimer) and e.name == "beat"]
        assert any(isinstance(e, Send) and e.subject == NAMES.of("beat", f"a-{number}") for e in effects)
        beats_s.append((at_us - clock.now().mono_us) * 1e-6)
    tenths = Counter(int(beat_s / 0.55) for beat_s in beats_s)
    assert sorted(tenths) == list(range(10))
    assert max(tenths.values()) < 40


def test_a_fleet_that_begins_at_once_does_not_seal_its_segments_at_once():
    clock = ManualClock()
    seals_s = []
    for number in range(100):
        node = AgentNode(NodeSettings(f"a-{number}", "city"), [POLICY], vocabulary=VOCABULARY)
        effects = node.step(Started(1), clock.now())
        (at_us,) = [e.at_us for e in effects if isinstance(e, SetTimer) and e.name == "segment"]
        seals_s.append((at_us - clock.now().mono_us) * 1e-6)
    assert 8.0 <= min(seals_s) < 8.3
    assert 9.7 < max(seals_s) <= 10.0


def rotor_only(vocabulary):
    rule = {"<=": [{"var": "payload_kg"}, 1]}
    applies = {"in": ["rotor", {"var": "capabilities"}]}
    return load(
        {"ripstop": 1, "id": "rotor-only", "tier": "safety", "vocabulary": vocabulary.to_json(),
         "guards": ["accept_task"], "rule": rule, "applies_to": applies}
    )  # fmt: skip


def test_changed_capabilities_change_which_policies_apply_and_unknown_ones_apply():
    vocabulary = replace(VOCABULARY, capabilities=("rotor", "winch"), unguarded="allow")
    verdicts = {}
    for capabilities in (("rotor",), ("winch",), (), None):
        settings = NodeSettings("a", capabilities=capabilities)
        with Agent("a", [rotor_only(vocabulary)], vocabulary=vocabulary, settings=settings) as agent:
            verdicts[capabilities] = agent.decide("accept_task", payload_kg=2.0).verdict
    assert verdicts == {
        ("rotor",): Verdict.DENY, ("winch",): Verdict.ALLOW, (): Verdict.ALLOW, None: Verdict.DENY,
    }  # fmt: skip


def test_a_policy_that_always_denies_everything_leaves_the_failsafes():
    document = {
        "ripstop": 1, "id": "never", "tier": "safety", "vocabulary": VOCABULARY.to_json(), "rule": False,
        "guards": ["accept_task", "take_off", "land"],
    }  # fmt: skip
    shut = canonical_json({"ripstop": 1, "id": "hub/shut", "rule": False}).decode()
    with Agent("a", [load(document)], clock=ManualClock(1_767_225_600_000_000)) as agent:
        agent.node.vm.restrict((shut,))
        for volts in (12.5, 12.4, 12.3, 9.5):
            agent.observe(battery_v=volts, battery_percent=float("nan"))
        assert not agent.decide("accept_task", payload_kg=0.1)
        assert not agent.decide("take_off")
        assert not agent.decide("no_such_action")
        assert agent.decide("land")
        assert agent.act("land", lambda: "down") == "down"
