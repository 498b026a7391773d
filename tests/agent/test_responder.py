import shutil

import pytest

import ripstop
from agent.scripted_ground import KEYS, NAMES, POLICY, RELEASE, STOP, STRANGER, VOCABULARY, signer
from ripstop.agent import LadderSettings, NodeSettings, Order, Response, Rung, Store
from ripstop.agent.ledger import FileLedger
from ripstop.core.clock import ManualClock
from ripstop.core.errors import ConfigurationError, WireError
from ripstop.core.messages import StopLift, StopOrder
from ripstop.core.node import Send
from ripstop.core.wire.envelope import EnvelopeType, Header, Keyring, Role, TrustedKey, seal
from ripstop.core.wire.record import pack

NOW_US = 1_700_000_000_000_000
OTHER_RELEASE = signer(Role.RELEASE, 6)
TRUST = Keyring(
    {key.key_id: TrustedKey(key.public, key.role) for key in (RELEASE, OTHER_RELEASE, STOP)}
    | {key_id: KEYS._keys[key_id] for key_id in KEYS._keys}
)
WORDS = VOCABULARY.to_json()
WORDS["actions"] = {**WORDS["actions"], "return_home": {}}
WORDS["failsafe"] = ["return_home", "land"]
LOW = {
    "ripstop": 1, "id": "drone/low", "tier": "safety",
    "rule": {">=": [{"var": "battery_percent"}, 15]}, "on_unknown": "allow",
}  # fmt: skip


def make(folder=None, *responses, clock=None, policies=(), trust=TRUST, **rules):
    policies = policies or (
        {**POLICY, "vocabulary": WORDS, "rule": True, "guards": ["accept_task", "take_off"]},
    )
    agent = ripstop.Agent(
        "a",
        policies,
        settings=NodeSettings("a", "city", ladder=LadderSettings(responses, **rules)),
        ledger=Store(folder, trust),
        clock=clock or ManualClock(NOW_US),
    )
    agent.heard = []
    agent.on_order = agent.heard.append
    return agent


def pass_time(agent, clock, seconds):
    for _ in range(seconds):
        clock.advance(1)
        agent.tick()


def reasons(agent, action="take_off", **context):
    return [reason.policy for reason in agent.decide(action, **context).reasons]


def token(name="s1", scope="fleet", key=STOP, issued_us=NOW_US):
    return seal(
        key, EnvelopeType.STOP, Header("city", scope), pack(StopOrder(name, scope, "smoke", issued_us))
    )


def lift(name="s1", key=RELEASE):
    return seal(key, EnvelopeType.LIFT, Header("city", "fleet"), pack(StopLift(name, "looked at it")))


# ---- the ladder ---------------------------------------------------------------------------------------


def test_each_rung_includes_those_below_it():
    clock = ManualClock(NOW_US)
    names = ("warn", "limit", "hold", "return", "land")
    made = make(
        None, *(Response(name, Rung[name.upper()]) for name in names), clock=clock,
        limits={"payload_kg": {"max": 0.5}},
    )  # fmt: skip
    seen = []
    for name in names:
        made.tell_condition(name, True)
        heavy = made.decide("accept_task", payload_kg=0.9).verdict.word
        seen.append((made.rung.name, heavy, made.decide("take_off").verdict.word, made.order.actions))
    assert seen == [
        ("WARN", "allow", "allow", ()),
        ("LIMIT", "limit", "allow", ()),
        ("HOLD", "deny", "deny", ()),
        ("RETURN", "deny", "deny", ("return_home", "land")),
        ("LAND", "deny", "deny", ("land",)),
    ]
    assert made.decide("return_home")
    assert made.decide("land")
    for name in names:
        made.tell_condition(name, False)
    pass_time(made, clock, 31)
    assert made.rung is Rung.CLEAR
    assert made.decide("take_off")
    assert [order.actions for order in made.heard] == [("return_home", "land"), ("land",), ()]


def test_a_safety_policy_orders_the_failsafe_while_it_denies():
    clock = ManualClock(NOW_US)
    made = make(None, Response("battery", Rung.RETURN, after_s=3.0, policy=LOW), clock=clock)
    for _ in range(3):
        made.observe(battery_percent=10.0)
        clock.advance(1)
    assert made.rung is Rung.CLEAR
    made.observe(battery_percent=10.0)
    assert made.order == Order(("return_home", "land"), Rung.RETURN, "battery")
    assert made.heard == [made.order]


def test_only_a_safety_policy_may_order_a_failsafe():
    with pytest.raises(ConfigurationError) as caught:
        make(None, Response("battery", Rung.RETURN, policy=LOW | {"tier": "business"}))
    assert caught.value.code == "C0375"
    make(None, Response("battery", Rung.HOLD, policy=LOW | {"tier": "business"}))


def test_the_agents_own_conditions_are_seen_to(tmp_path, monkeypatch):
    clock = ManualClock(NOW_US)
    made = make(
        tmp_path, Response("anomaly", Rung.WARN), Response("breaker", Rung.HOLD),
        Response("ledger", Rung.RETURN), clock=clock,
    )  # fmt: skip
    for volts in (12.5, 12.4, 12.3):
        made.observe(battery_v=volts)
        clock.advance(1)
    assert made.rung is Rung.CLEAR
    made.observe(battery_v=10.0)
    assert made.rung is Rung.HOLD

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FileLedger, "extend", full)
    made.observe(battery_v=10.0)
    made.request("take_off", {})
    made.flush()
    assert made.rung is Rung.RETURN
    assert made.decide("land")


def test_an_agent_that_hears_no_ground_may_be_told_to_return(make_world):
    world = make_world(ladder=LadderSettings((Response("link", Rung.RETURN, after_s=20.0),)))
    world.round_trip()
    world.run(15)
    assert world.node.responder.rung is Rung.CLEAR
    world.network.disconnect("a")
    world.run(15)
    assert world.node.responder.rung is Rung.CLEAR
    world.run(10)
    assert world.node.responder.rung is Rung.RETURN
    assert [order.actions for order in world.delivered] == [("land",)]


def test_a_condition_that_nobody_declared_is_refused():
    made = make(None, Response("breaker", Rung.HOLD))
    for name in ("geofence", "breaker"):
        with pytest.raises(ConfigurationError) as caught:
            made.tell_condition(name, True)
        assert caught.value.code == "C0376"


# ---- people -------------------------------------------------------------------------------------------


def test_an_operator_takes_one_action_over_for_a_while_with_a_reason_on_file():
    clock = ManualClock(NOW_US)
    made = make(None, Response("fault", Rung.RETURN), clock=clock)
    made.tell_condition("fault", True)
    assert reasons(made) == ["agent/hold"]
    made.take_over("take_off", operator="ann", reason="people below", seconds=60)
    assert made.decide("take_off")
    assert reasons(made, "accept_task", payload_kg=0.1) == ["agent/hold"]
    made.take_over("return_home", operator="ann", reason="flying it by hand", seconds=60)
    assert made.order.actions == ("land",)
    pass_time(made, clock, 61)
    assert reasons(made) == ["agent/hold"]
    assert made.order.actions == ("return_home", "land")
    told = [entry.body for entry in records(made) if entry.body.get("name", "").startswith("override")]
    assert [t["name"] for t in told] == ["override.begun"] * 2 + ["override.ended"] * 2
    assert {t["fields"]["operator"] for t in told} == {"ann"}
    assert told[0]["fields"]["reason"] == "people below"


def test_a_takeover_ends_for_a_decision_before_any_timer_runs():
    clock = ManualClock(NOW_US)
    made = make(None, Response("fault", Rung.RETURN), clock=clock)
    made.tell_condition("fault", True)
    made.take_over("take_off", operator="ann", reason="people below", seconds=60)
    clock.advance(59)
    assert made.decide("take_off")
    clock.advance(1)
    assert not made.decide("take_off")
    assert [r.policy for r in made.decide("take_off").reasons] == ["agent/hold"]


def records(agent):
    from ripstop.core.journal import read_entry

    return [read_entry(record) for record in agent.disk.tail("ledger").records]


def test_a_takeover_lifts_no_policy_and_no_stop():
    made = make(policies=({**POLICY, "vocabulary": WORDS, "rule": False, "guards": ["take_off"]},))
    made.take_over("take_off", operator="ann", reason="test", seconds=60)
    assert reasons(made) == ["drone/payload"]
    made = make()
    made.take_over("take_off", operator="ann", reason="test", seconds=60)
    made.stop("smoke")
    assert reasons(made) == ["agent/stop"]
    assert made.order.actions == ("return_home", "land")


@pytest.mark.parametrize(
    "more",
    [{"action": "fly"}, {"operator": ""}, {"reason": ""}, {"seconds": 0}, {"seconds": 601}, {"seconds": -1}],
)
def test_a_takeover_without_bounds_or_reasons_is_refused(more):
    given = {"action": "take_off", "operator": "ann", "reason": "test", "seconds": 60} | more
    with pytest.raises(ConfigurationError) as caught:
        make().take_over(given.pop("action"), **given)
    assert caught.value.code == "C0377"


def test_the_application_may_put_a_return_off_but_only_for_so_long_and_never_a_landing():
    clock = ManualClock(NOW_US)
    made = make(None, Response("fault", Rung.RETURN), Response("worse", Rung.LAND), clock=clock)
    assert made.defer(45, "over water") == 45
    made.tell_condition("fault", True)
    assert made.rung is Rung.HOLD
    assert made.defer(45, "over water") == 60
    pass_time(made, clock, 59)
    assert made.heard == []
    pass_time(made, clock, 2)
    assert made.rung is Rung.RETURN
    assert made.defer(10, "please") == 0
    made.tell_condition("worse", True)
    assert made.order.actions == ("land",)


# ---- the stop switch ----------------------------------------------------------------------------------


def test_a_stop_by_hand_latches_works_offline_and_outlives_a_restart(tmp_path):
    with make(tmp_path, trust=None) as made:
        name = made.stop("smoke")
        assert made.stop("more smoke") == name
        assert made.rung is Rung.STOP
        assert [order.actions for order in made.heard] == [("return_home", "land")]
        assert reasons(made) == ["agent/stop"]
        assert made.decide("land")
    with make(tmp_path) as made:
        assert made.rung is Rung.STOP
        assert made.order.cause == "smoke"
        made.take_token(lift(name))
        assert made.rung is Rung.STOP
        made.take_token(lift(name))  # the same key again is no second one
        assert made.rung is Rung.STOP
    with make(tmp_path) as made:
        made.take_token(lift(name, OTHER_RELEASE))
        assert made.rung is Rung.CLEAR
        assert made.decide("take_off")


def test_a_power_cut_right_after_the_stop_is_no_way_out(tmp_path):
    made = make(tmp_path)
    made.stop("smoke")
    made.disk.sync()
    copy = shutil.copytree(tmp_path, tmp_path / "copy")
    with make(copy) as again:
        assert again.rung is Rung.STOP


def test_a_stop_token_counts_by_whatever_road_it_came(world):
    world.say(Send(NAMES.stop, token()))
    world.run(0.1)
    assert world.node.responder.rung is Rung.STOP
    assert [order.actions for order in world.delivered] == [("land",)]
    world.say(Send(NAMES.stop, token(key=STRANGER)))
    world.run(0.1)
    assert [n.fields["code"] for n in world.ground.notices("stop.refused")] == ["W0202"]
    world.restart()
    assert world.node.responder.rung is Rung.STOP
    made = make()
    made.take_token(token())
    made.take_token(token())
    assert made.rung is Rung.STOP
    made.take_token(lift())
    made.take_token(lift(key=OTHER_RELEASE))
    assert made.rung is Rung.CLEAR


def release(world, data):
    world.say(Send(NAMES.bundle, data))
    world.run(0.1)


def test_the_manifest_in_force_says_whose_token_stops(world):
    fresh = signer(Role.STOP, 7)

    def stopped_by(key, name):
        world.say(Send(NAMES.stop, token(name, key=key)))
        world.run(0.1)
        return any(latch.id == name for latch in world.node.responder.switch.state.latches)

    release(world, world.bundle(2, stop_keys=(fresh.public,)))
    assert not stopped_by(STOP, "by the key of the enrolment")
    assert world.node.responder.rung is Rung.CLEAR
    assert [n.fields["code"] for n in world.ground.notices("stop.refused")] == ["W0202"]
    assert stopped_by(fresh, "by the key of the manifest")
    release(world, world.bundle(3, stop_keys=(STOP.public, fresh.public)))
    assert stopped_by(STOP, "by either")
    release(world, world.bundle(4))
    assert stopped_by(STOP, "by the key of the enrolment, where the manifest names none")
    assert not stopped_by(fresh, "by a key that nobody names")


def test_a_key_that_the_manifest_names_for_stopping_does_nothing_else(world):
    fresh = signer(Role.STOP, 7)
    release(world, world.bundle(2, stop_keys=(fresh.public, RELEASE.public)))
    for data in (lift("s1", fresh), token("s2", key=STRANGER), token("s3", scope="agent-b", key=fresh)):
        world.say(Send(NAMES.stop, data))
        world.run(0.1)
    assert world.node.responder.rung is Rung.CLEAR


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (token(key=RELEASE), "W0204"),
        (token(key=signer(Role.COMMAND, 1)), "W0204"),
        (token(scope="agent-b"), "W0504"),
        (token(name="local-a-1-1"), "W0902"),
        (token()[:-1], "W0101"),
        (lift("s9"), "W0904"),
        (lift(key=STOP), "W0204"),
    ],
)
def test_what_may_not_stop_or_lift_does_not(data, code):
    made = make()
    with pytest.raises(WireError) as caught:
        made.take_token(data)
    assert caught.value.code == code
    assert made.rung is Rung.CLEAR


def test_a_lifted_latch_cannot_be_replayed_however_many_came_after_it(tmp_path):
    with make(tmp_path) as made:
        for number in range(70):
            made.take_token(token(f"s{number}", issued_us=NOW_US + number))
            made.take_token(lift(f"s{number}"))
            made.take_token(lift(f"s{number}", OTHER_RELEASE))
    with make(tmp_path) as made:
        for number in (0, 5, 69):
            with pytest.raises(WireError) as caught:
                made.take_token(token(f"s{number}", issued_us=NOW_US + number))
            assert caught.value.code == "W0901"
        made.take_token(token("s70", issued_us=NOW_US + 70))
        assert made.rung is Rung.STOP


def test_so_many_latches_and_no_more():
    made = make()
    for number in range(16):
        made.take_token(token(f"s{number}"))
    with pytest.raises(WireError) as caught:
        made.take_token(token("s16"))
    assert caught.value.code == "W0903"
    assert made.rung is Rung.STOP


# ---- the last failsafe --------------------------------------------------------------------------------


def worst(tmp_path, monkeypatch):
    """Everything is denied by policy, the disk is full, the breaker is open, the switch is on."""
    everything = {
        "ripstop": 1, "id": "drone/no", "tier": "safety", "vocabulary": WORDS, "rule": False,
        "guards": list(WORDS["actions"]),
    }  # fmt: skip
    made = make(tmp_path, policies=(everything,))
    for volts in (12.5, 12.4, 12.3, 9.5):
        made.observe(battery_v=volts)

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FileLedger, "append", full)
    monkeypatch.setattr(FileLedger, "sync", full)
    made.stop("smoke")
    return made


@pytest.mark.parametrize("action", ["land", "return_home"])
def test_the_failsafes_are_permitted_also_when_everything_else_is_lost(tmp_path, monkeypatch, action):
    made = worst(tmp_path, monkeypatch)
    assert made.rung is Rung.STOP
    assert made.act(action, lambda: "down") == "down"
    with pytest.raises(PermissionError):
        made.act("take_off", lambda: "up")
    monkeypatch.undo()


def test_a_vocabulary_without_failsafes_only_holds():
    words = VOCABULARY.to_json() | {"failsafe": []}
    made = make(policies=({**POLICY, "vocabulary": words, "rule": True},))
    made.stop("smoke")
    assert made.order.actions == ()
    assert reasons(made) == ["agent/stop"]


@pytest.mark.parametrize("seconds", [4, 6])
def test_a_decision_after_a_pause_goes_by_what_time_has_brought_before_any_timer_runs(seconds):
    clock = ManualClock(NOW_US)
    made = make(None, Response("smoke", Rung.HOLD, after_s=5.0), clock=clock)
    made.tell_condition("smoke", True)
    clock.advance(seconds)
    assert bool(made.decide("take_off")) is (seconds < 5)
    assert bool(made.node.request("take_off", {}, clock.now())[0]) is (seconds < 5)


def test_a_climb_that_a_decision_brought_forward_is_told_and_ordered_by_the_next_timer():
    clock = ManualClock(NOW_US)
    made = make(None, Response("smoke", Rung.RETURN, after_s=5.0), clock=clock)
    made.tell_condition("smoke", True)
    clock.advance(6)
    assert not made.decide("take_off")
    assert (made.rung, made.order.actions) == (Rung.RETURN, ())
    made.tick()
    assert made.order.actions == ("return_home", "land")
    made.flush()
    moved = [entry.body for entry in records(made) if entry.body.get("name") == "ladder.moved"]
    assert [(body["fields"]["from"], body["fields"]["to"]) for body in moved] == [("clear", "return")]


def test_a_decision_after_the_dwell_comes_down_before_any_timer_runs():
    clock = ManualClock(NOW_US)
    made = make(None, Response("smoke", Rung.HOLD), clock=clock)
    made.tell_condition("smoke", True)
    made.tell_condition("smoke", False)
    clock.advance(29)
    assert not made.decide("take_off")
    clock.advance(2)
    assert made.decide("take_off")
