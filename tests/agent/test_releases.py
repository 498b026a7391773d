import shutil

import pytest

import ripstop
from agent.power import Power, PowerCutError
from agent.scripted_ground import KEYS, NAMES, POLICY, STRANGER, VOCABULARY, World, signer
from ripstop.agent import NodeSettings, Store
from ripstop.core.clock import ManualClock
from ripstop.core.errors import PolicyError, WireError
from ripstop.core.intent import Release
from ripstop.core.messages import SafeMode
from ripstop.core.node import Send
from ripstop.core.wire.envelope import Role

STRICT = POLICY | {"rule": False}
DAY_US = 86_400_000_000
NOW_US = 1_700_000_000_000_000


def bundle(counter, *policies, **more):
    return World.bundle(None, counter, policies or (POLICY,), **{"issued_us": NOW_US, **more})


def make(folder=None, clock=None, trust=KEYS):
    return ripstop.Agent(
        "a", (POLICY,), vocabulary=VOCABULARY, settings=NodeSettings("a", "city"),
        ledger=Store(folder, trust), clock=clock or ManualClock(NOW_US),
    )  # fmt: skip


def may_accept(agent):
    agent.observe(battery_percent=80.0)
    return bool(agent.decide("accept_task", payload_kg=0.5))


# ---- coming in ----------------------------------------------------------------------------------------


def test_a_release_is_installed_from_bytes_and_survives_a_restart_without_a_ground(tmp_path):
    with make(tmp_path) as agent:
        assert may_accept(agent)
        release = agent.install(bundle(3, STRICT))
        assert (release.counter, release.commit) == (3, "c0ffee")
        assert not may_accept(agent)
    with make(tmp_path) as agent:
        assert agent.node.release == release
        assert not may_accept(agent)


def changed(data):
    raw = bytearray(data)
    raw[len(raw) // 2] ^= 1
    return bytes(raw)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (bundle(4), "W0601"),
        (bundle(5, STRICT), "W0604"),
        (bundle(6, expires_us=NOW_US), "W0602"),
        (bundle(6, fleet="harbour"), "W0205"),
        (bundle(6, key=STRANGER), "W0202"),
        (bundle(6, key=signer(Role.COMMAND, 1)), "W0204"),
        (bundle(6)[:-1], "W0101"),
        (b"", "W0101"),
    ],
)
def test_what_is_refused_is_raised_reported_and_changes_nothing(tmp_path, data, code):
    with make(tmp_path) as agent:
        agent.install(bundle(5))
        with pytest.raises(WireError) as caught:
            agent.install(data)
        assert caught.value.code == code
        assert agent.node.release.counter == 5
        assert may_accept(agent)
    with make(tmp_path) as agent:
        assert agent.node.release.counter == 5


def test_a_release_that_does_not_load_is_refused(tmp_path):
    with make(tmp_path) as agent, pytest.raises(PolicyError):
        agent.install(bundle(1, POLICY | {"rule": {"nonsense": 1}}))
    with make(tmp_path) as agent:
        assert agent.node.release.counter == 0


def test_a_document_that_holds_any_text_is_read_as_canonical_json_and_one_that_is_not_is_refused(tmp_path):
    spoken = POLICY | {"vocabulary": VOCABULARY.to_json()}
    with make(tmp_path) as agent:
        for counter, words in enumerate(("<vocabulary>", "usual"), 1):
            agent.install(bundle(counter, spoken | {"description": words}))
            assert agent.node.release.counter == counter
        sealed = bundle(3, spoken)
        loose = sealed.replace(b'"guards":', b'"guards": ')
        with pytest.raises(WireError):
            agent.install(loose)
        assert agent.node.release.counter == 2


def test_without_a_trusted_key_every_release_is_refused():
    with pytest.raises(WireError, match="no key is trusted"):
        make(trust=None).install(bundle(1))


def test_the_same_release_again_changes_nothing(tmp_path):
    with make(tmp_path) as agent:
        assert agent.install(bundle(1)) == agent.install(bundle(1))


def test_a_rollback_is_a_new_release_with_exactly_the_earlier_content(tmp_path):
    with make(tmp_path) as agent:
        first = agent.install(bundle(1))
        agent.install(bundle(2, STRICT))
        assert not may_accept(agent)
        third = agent.install(bundle(3))
        assert may_accept(agent)
    assert third.digest == first.digest
    assert third.counter == 3


def test_a_manifest_may_raise_the_least_counter_but_never_lower_it(tmp_path):
    with make(tmp_path) as agent:
        agent.install(bundle(9, minimum=9))
        agent.install(bundle(10, minimum=1))
        with pytest.raises(WireError) as caught:
            agent.install(bundle(9, STRICT))
    assert caught.value.code == "W0601"


# ---- the disk -----------------------------------------------------------------------------------------


def test_the_counter_outlives_the_loss_of_every_bundle(tmp_path):
    with make(tmp_path) as agent:
        agent.install(bundle(5))
        agent.install(bundle(6))
    for path in tmp_path.glob("bundle.*"):
        path.unlink()
    with make(tmp_path) as agent:
        with pytest.raises(WireError) as caught:
            agent.install(bundle(5, STRICT))
        assert caught.value.code == "W0601"
        assert agent.install(bundle(6)).counter == 6


def test_a_damaged_slot_falls_back_to_the_release_before_and_takes_the_lost_one_again(tmp_path):
    with make(tmp_path) as agent:
        agent.install(bundle(1, STRICT))
        agent.install(bundle(2))
    path = tmp_path / "bundle.b"
    path.write_bytes(path.read_bytes()[:-1])
    with make(tmp_path) as agent:
        assert agent.node.release.counter == 1
        assert not may_accept(agent)
        assert agent.install(bundle(2)).counter == 2


def test_a_key_that_is_no_longer_trusted_leaves_the_agent_restrained_and_not_without_policy(tmp_path):
    with make(tmp_path) as agent:
        agent.install(bundle(1))
    with make(tmp_path, trust=None) as agent:
        decision = agent.decide("accept_task", payload_kg=0.5, battery_percent=80.0)
        assert [reason.policy for reason in decision.reasons] == ["agent/untrusted"]
        assert agent.decide("land")
    with make(tmp_path) as agent:
        assert may_accept(agent)


def test_a_power_cut_at_any_call_leaves_one_whole_release(tmp_path, monkeypatch):
    start = tmp_path / "start"
    with make(start) as agent:
        agent.install(bundle(1))
    with monkeypatch.context() as patch, make(shutil.copytree(start, tmp_path / "count")) as agent:
        power = Power(patch)
        agent.install(bundle(2, STRICT))
        size = power.spent
    # every seventh byte of the write (all bytes: test_slots.py), and every call after it
    for last in [*range(0, size - 4, 7), *range(size - 4, size)]:
        folder = shutil.copytree(start, tmp_path / str(last))
        agent = make(folder)
        with monkeypatch.context() as patch, pytest.raises(PowerCutError):
            Power(patch, last)
            agent.install(bundle(2, STRICT))
        agent.disk._release()  # the process is gone, and its lock with it
        with make(folder) as agent:
            counter = agent.node.release.counter
            assert counter in (1, 2)
            assert may_accept(agent) is (counter == 1)
            assert agent.install(bundle(3, STRICT)).counter == 3


# ---- age ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "allowed"), [(SafeMode.KEEP, True), (SafeMode.DENY, False), (SafeMode.FAILSAFE, False)]
)
def test_an_expired_release_brings_its_declared_safe_mode_never_no_policy(tmp_path, mode, allowed):
    clock = ManualClock(NOW_US)
    with make(tmp_path, clock) as agent:
        agent.install(bundle(1, expires_us=NOW_US + DAY_US, safe_mode=mode))
        assert may_accept(agent)
        clock.advance(86_401)
        agent.tick()
        assert may_accept(agent) is allowed
        assert not agent.decide("accept_task", payload_kg=2.0, battery_percent=20.0)
        assert agent.decide("land")
    with make(tmp_path, clock) as agent:
        assert may_accept(agent) is allowed
        agent.install(bundle(2))
        for _ in range(2):
            clock.advance(31)  # FAILSAFE goes by the ladder, and that dwells
            agent.tick()
        assert may_accept(agent)


def stale(age_s=3600, **more):
    return POLICY | {"max_staleness": {"age_s": age_s, **more}}


def test_a_policy_becomes_stale_by_the_age_of_its_bundle_where_there_is_no_ground(tmp_path):
    clock = ManualClock(NOW_US)
    with make(tmp_path, clock) as agent:
        agent.install(bundle(1, stale()))
        clock.advance(3599)
        assert may_accept(agent)
        clock.advance(2)
        agent.tick()
        decision = agent.decide("accept_task", payload_kg=0.5)
        assert [(r.policy, r.code) for r in decision.reasons] == [("agent/stale", "denied")]
        assert agent.decide("land")
    with make(tmp_path, clock) as agent:
        assert not may_accept(agent)


def test_a_stale_policy_denies_only_what_it_guards_and_keep_denies_nothing(tmp_path):
    other = POLICY | {"id": "drone/other", "guards": ["take_off"], "rule": True}
    clock = ManualClock(NOW_US)
    with make(tmp_path, clock) as agent:
        agent.install(bundle(1, stale(), other))
        clock.advance(3601)
        agent.tick()
        assert not may_accept(agent)
        assert agent.decide("take_off")
        agent.install(bundle(2, stale(mode="keep"), other))
        assert may_accept(agent)


def test_a_wall_clock_that_jumps_makes_nothing_stale(tmp_path):
    clock = ManualClock(NOW_US)
    with make(tmp_path, clock) as agent:
        agent.install(bundle(1, stale()))
        clock.wall_us += 10 * DAY_US
        agent.tick()
        assert may_accept(agent)


def test_the_ground_keeps_policies_fresh_and_its_silence_makes_them_stale_also_after_a_restart(world):
    world.say(Send(NAMES.bundle, bundle(1, stale(age_s=60), issued_us=world.timeline.now_us)))
    for _ in range(12):
        world.run(10)
        world.tick()
    world.run(0.1)
    world.observe(battery_percent=80.0)
    assert world.request(payload_kg=0.5)
    world.run(40)
    world.restart()
    world.observe(battery_percent=80.0)
    assert world.request(payload_kg=0.5)
    world.run(30)
    world.observe(battery_percent=80.0)
    assert not world.request(payload_kg=0.5)
    assert [r.fields["policies"] for r in world.reports if r.name == "policies.stale"] == [1]
    world.round_trip()
    world.tick()
    world.run(0.1)
    assert world.request(payload_kg=0.5)


def test_a_ground_that_wants_another_release_confirms_nothing(world):
    world.say(Send(NAMES.bundle, bundle(1, stale(age_s=60), issued_us=world.timeline.now_us)))
    world.run(0.1)
    world.order(release=Release(2, "d", "c"))
    for _ in range(8):
        world.run(10)
        world.tick()
    world.run(0.1)
    world.observe(battery_percent=80.0)
    assert not world.request(payload_kg=0.5)


# ---- its share of the disk ----------------------------------------------------------------------------


def test_an_agent_that_works_alone_for_long_stays_within_its_share_of_the_disk(tmp_path):
    clock = ManualClock(NOW_US)
    made = ripstop.Agent(
        "a", (POLICY,), vocabulary=VOCABULARY, clock=clock, ledger=Store(tmp_path, share=200_000)
    )
    made.observe(battery_percent=80.0)
    for _ in range(1500):
        clock.advance(0.02)
        assert made.request("accept_task", {"payload_kg": 0.5})[0]
        assert (tmp_path / "ledger.log").stat().st_size <= 200_000
    last = made.node.ledger_head[0]
    made.close()
    tail = Store(tmp_path).open("a").tail("ledger")
    assert tail.first > 1
    assert tail.last >= last
