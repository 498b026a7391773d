import asyncio
import math
import resource
import subprocess
import sys
import threading
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from agent.payloads import BARE, LIMITED
from ripstop.agent import (
    ActionVetoed,
    Agent,
    BreakerOpen,
    BreakerSettings,
    BreakerState,
    BreakerVetoed,
    NodeSettings,
    PolicyVM,
)
from ripstop.agent.inspection import inspect_ledger
from ripstop.core.canonical import canonical_json
from ripstop.core.clock import ManualClock
from ripstop.core.decision import Verdict
from ripstop.core.errors import ConfigurationError, PolicyError
from ripstop.core.journal import read_entry

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "policies" / "payload_limit.json"
PERMIT = {"ripstop": 1, "id": "permit", "rule": True}


def agent(policies=BARE, **more):
    return Agent("drone-42", policies, clock=ManualClock(10**15), **more)


def accept_task(payload_kg=None):
    return f"took {payload_kg}"


# ---- the familiar skeleton ------------------------------------------------------------------------------


def test_the_familiar_skeleton_works_as_written():
    drone = Agent("drone-42", str(SHIPPED))
    found = [drone.receive_telemetry({"name": "battery_v", "value": v}) for v in (12.5, 12.4, 12.3)]
    assert found == [None, None, None]
    drone.receive_telemetry({"name": "battery_percent", "value": 80})
    assert drone.request_action(accept_task, {"payload_kg": 0.8}) == "took 0.8"
    found = [drone.receive_telemetry({"name": "battery_v", "value": v}) for v in (11.0, 10.5)]
    assert all(found)
    assert "sigma below its usual" in found[0].explain("battery_v", "V")
    with pytest.raises(RuntimeError) as caught:
        drone.request_action(accept_task, {"payload_kg": 0.8})
    assert isinstance(caught.value, PermissionError)


def test_a_veto_is_a_permission_error_that_carries_its_decision():
    drone = agent()
    drone.receive_telemetry({"name": "battery_percent", "value": 25})
    called = []
    with pytest.raises(PermissionError) as caught:
        drone.request_action(called.append, {"payload_kg": 1.8})
    assert isinstance(caught.value, ActionVetoed)
    assert not isinstance(caught.value, RuntimeError)
    assert caught.value.decision.verdict is Verdict.DENY
    assert caught.value.decision.action == "append"
    assert str(caught.value).startswith("A0201: `append` is denied: inline: ")
    assert not called


@pytest.mark.parametrize("value", [None, math.nan, math.inf, "full", [], 10**400])
def test_a_bare_rule_denies_on_unknown(value):
    drone = agent()
    drone.receive_telemetry({"name": "battery_percent", "value": value})
    with pytest.raises(PermissionError):
        drone.request_action(accept_task, {"payload_kg": 0.1})


def test_a_signal_that_never_came_denies_too():
    with pytest.raises(PermissionError):
        agent().request_action(accept_task, {"payload_kg": 0.1})


@pytest.mark.parametrize("sample", [{}, {"name": "x"}, {"value": 1}, {"name": 3, "value": 1}, None, 7])
def test_a_sample_without_name_or_value_is_a_clear_error(sample):
    with pytest.raises(ConfigurationError) as caught:
        agent().receive_telemetry(sample)
    assert caught.value.code == "C0305"


def test_a_breaker_refusal_is_a_runtime_error_as_well():
    drone = agent(PERMIT)
    for volts in (12.5, 12.4, 12.3, 11.0):
        drone.receive_telemetry({"name": "battery_v", "value": volts})
    with pytest.raises(BreakerVetoed) as caught:
        drone.request_action(accept_task)
    assert isinstance(caught.value, BreakerOpen)
    assert caught.value.state is BreakerState.OPEN
    assert 0.5 < caught.value.retry_s <= 1.2
    assert "breaker is open" in str(caught.value)


def test_an_action_whose_calls_keep_failing_is_refused_by_its_own_breaker():
    drone = agent(
        PERMIT,
        settings=NodeSettings("drone-42", call_breaker=BreakerSettings(minimum_number_of_calls=2)),
    )

    def upload():
        raise OSError("no link")

    for _ in range(2):
        with pytest.raises(OSError, match="no link"):
            drone.request_action(upload)
    with pytest.raises(RuntimeError) as caught:
        drone.request_action(upload)
    assert isinstance(caught.value, BreakerOpen)
    assert drone.request_action(accept_task) == "took None"


# ---- decide, act, governed ------------------------------------------------------------------------------


def test_decide_leaves_no_trace_and_a_decision_is_true_only_when_it_allows():
    drone = agent()
    drone.observe(battery_percent=80.0)
    before = drone.disk.tail("ledger").last
    assert drone.decide("accept_task", payload_kg=5)
    assert not drone.decide("accept_task", payload_kg=5, battery_percent=10)
    assert drone.disk.tail("ledger").last == before


@pytest.mark.parametrize(
    "context",
    [
        {"payload_kg": object()},
        {"payload_kg": {1, 2}},
        {"payload_kg": lambda: 1},
        {"payload_kg": b"1"},
        {"payload_kg": 1j},
        {"payload_kg": [[[[None]]]]},
        {"payload_kg": {"a": object()}},
    ],
)
def test_decide_never_raises_on_bad_input(context):
    drone = agent()
    drone.observe(battery_percent=10.0)
    assert drone.decide("accept_task", **context).verdict is Verdict.DENY
    assert agent(LIMITED).decide("no_such_action", **context).verdict is Verdict.DENY


def test_act_calls_the_function_with_what_it_takes_of_the_context():
    drone = agent(PERMIT)
    assert drone.act("a", lambda: "plain", payload_kg=1) == "plain"
    assert drone.act("a", lambda payload_kg: payload_kg, payload_kg=1, other=2) == 1
    assert drone.act("a", lambda **all_of_it: all_of_it, payload_kg=1, other=2) == {
        "payload_kg": 1,
        "other": 2,
    }
    assert drone.act("a", lambda context: context, payload_kg=1) == {"payload_kg": 1}
    assert drone.act("a", partial(accept_task, 3)) == "took 3"
    assert drone.request_action(partial(accept_task, 3)) == "took 3"
    assert drone.act("a", dict) == {}


def test_act_vetoes_what_is_outside_a_limit_unless_the_action_may_be_clamped():
    drone = agent(LIMITED)
    drone.observe(battery_percent=25.0)
    with pytest.raises(ActionVetoed) as caught:
        drone.act("take_off", accept_task, payload_kg=1.5)
    assert caught.value.decision.verdict is Verdict.LIMIT
    assert "is limited" in str(caught.value)
    assert drone.act("accept_task", accept_task, payload_kg=1.5) == "took 1.0"
    decisions = [e for e in entries(drone) if e.kind.value == "decision"]
    assert [d.body["verdict"] for d in decisions] == ["limit", "limit", "allow"]


def test_a_parameter_that_is_absent_cannot_be_clamped():
    drone = agent(LIMITED)
    drone.observe(battery_percent=25.0)
    with pytest.raises(ActionVetoed):
        drone.act("accept_task", accept_task)


def test_a_governed_function_decides_on_its_arguments():
    drone = agent(LIMITED)
    drone.observe(battery_percent=25.0)

    class Pilot:
        @drone.governed("take_off")
        def take_off(self, payload_kg, *, note="n"):
            """Rise."""
            return (payload_kg, note)

        @drone.governed("accept_task")
        def accept(self, payload_kg=2.0):
            return payload_kg

    assert Pilot().take_off(0.5, note="x") == (0.5, "x")
    assert Pilot.take_off.__doc__ == "Rise."
    with pytest.raises(ActionVetoed):
        Pilot().take_off(1.5)
    assert Pilot().accept() == 1.0


def test_a_governed_coroutine_function_stays_one():
    drone = agent()
    drone.observe(battery_percent=25.0)

    @drone.governed("accept_task")
    async def accept(payload_kg):
        await asyncio.sleep(0)
        return payload_kg

    async def scene():
        assert await accept(0.5) == 0.5
        with pytest.raises(ActionVetoed):
            await accept(5)
        assert (
            await drone.act_async("accept_task", lambda payload_kg: accept(payload_kg), payload_kg=0.2) == 0.2
        )
        assert await drone.act_async("accept_task", lambda payload_kg: payload_kg, payload_kg=0.3) == 0.3

    asyncio.run(scene())


def test_a_failsafe_runs_whatever_the_breaker_says():
    drone = agent(LIMITED)
    for percent in (80.0, 79.0, 78.0, 20.0):
        drone.observe(battery_percent=percent)
    assert drone.breaker_state is BreakerState.OPEN
    assert drone.act("land", lambda: "down") == "down"
    with pytest.raises(BreakerVetoed):
        drone.act("take_off", lambda: "up", payload_kg=0)

    @drone.governed("land")
    def land():
        return "down"

    assert land() == "down"


def test_observe_gives_the_alarms_by_signal():
    drone = agent()
    for volts in (12.5, 12.4, 12.3):
        assert drone.observe(battery_v=volts) == {}
    assert set(drone.observe({"battery_v": 10.0, "cell": 1.0})) == {"battery_v"}


def test_many_threads_may_use_one_agent():
    drone = agent(PERMIT)
    results = []

    def work():
        for _ in range(50):
            drone.observe(x=1.0)
            results.append(drone.act("a", lambda: 1))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(results) == 200


# ---- ledger ---------------------------------------------------------------------------------------------


def entries(drone):
    drone.flush()
    return [read_entry(record) for record in drone.disk.tail("ledger").records]


def test_an_agent_with_a_folder_keeps_its_ledger_and_counts_its_lives(tmp_path):
    for life in (1, 2, 3):
        with agent(ledger=tmp_path) as drone:
            assert drone.incarnation == life
            drone.observe(battery_percent=80.0)
            drone.act("accept_task", accept_task, payload_kg=1)
    with agent(ledger=tmp_path) as drone:
        assert sum(e.kind.value == "decision" for e in entries(drone)) == 3


@contextmanager
def no_file_longer_than(size):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_denies_until_there_is_room_again_and_failsafes_still_work(tmp_path):
    with agent(LIMITED, ledger=tmp_path) as drone:
        drone.observe(battery_percent=80.0)
        size = (tmp_path / "ledger.log").stat().st_size
        with no_file_longer_than(size + 10):
            drone.act("take_off", accept_task, payload_kg=0.1)  # decided before the disk was found full
            with pytest.raises(OSError, match=r"space|large"):
                drone.flush()
            with pytest.raises(ActionVetoed) as caught:
                drone.act("take_off", accept_task, payload_kg=0.1)
            assert "the ledger cannot be written" in str(caught.value)
            assert drone.act("land", lambda: "down") == "down"
        with pytest.raises(ActionVetoed):
            drone.act("take_off", accept_task, payload_kg=0.1)  # this one is written, and clears it
        assert drone.act("take_off", accept_task, payload_kg=0.1) == "took 0.1"


def test_a_torn_ledger_is_mended_and_the_mending_is_on_record(tmp_path):
    with agent(ledger=tmp_path) as drone:
        last = drone.disk.tail("ledger").last
    path = tmp_path / "ledger.log"
    path.write_bytes(path.read_bytes()[:-3])
    with agent(ledger=tmp_path) as drone:
        told = [e.body for e in entries(drone) if e.kind.value == "notice"]
        assert told[0]["name"] == "ledger.recovered"
        assert told[0]["fields"]["records"] == last - 1
        assert told[0]["fields"]["missing"] == 1  # it had been synced


@pytest.mark.parametrize("is_receipted", [False, True])
def test_a_lifes_number_never_repeats_whatever_became_of_the_state(is_receipted, tmp_path):
    clock = ManualClock(1_700_000_000_000_000)
    path, lives = tmp_path / "state.log", []
    for cut in (0, 0, 48, 60, 200, 1000):  # from the end, or as far as there is anything
        if path.exists():
            path.write_bytes(path.read_bytes()[: -cut or None])
        with Agent("drone-42", LIMITED, ledger=tmp_path, clock=clock) as drone:
            drone.observe(battery_percent=80.0)
            drone.stop("test")  # writes states
            lives.append(drone.incarnation)
            if is_receipted:
                drone.disk.drop("ledger", drone.disk.tail("ledger").last)
        clock.wall_us += 1_000_000
    assert sorted(set(lives)) == lives
    assert lives[:2] == [1, 2]
    assert not any("begins segment" in text for text in inspect_ledger(tmp_path).findings)


def test_a_durable_decision_is_synced_before_its_action_runs(tmp_path, monkeypatch):
    settings = NodeSettings("drone-42", durable=True)
    with agent(PERMIT, ledger=tmp_path, settings=settings) as drone:
        order = []
        sync = drone.disk.sync
        monkeypatch.setattr(drone.disk, "sync", lambda: (order.append("synced"), sync())[1])
        drone.act("accept_task", lambda: order.append("acted"))
        assert order == ["synced", "acted"]

        def broken():
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(drone.disk, "sync", broken)
        with pytest.raises(ActionVetoed):
            drone.act("accept_task", lambda: order.append("acted"))
        monkeypatch.undo()
        assert order == ["synced", "acted"]


def test_the_moves_of_an_actions_own_breaker_are_on_record():
    rules = BreakerSettings(minimum_number_of_calls=1)
    drone = agent(PERMIT, settings=NodeSettings("drone-42", call_breaker=rules))
    with pytest.raises(ZeroDivisionError):
        drone.act("divide", lambda: 1 / 0)
    moves = [e.body for e in entries(drone) if e.kind.value == "breaker"]
    assert [(m["breaker"], m["from"], m["to"]) for m in moves] == [("divide", "closed", "open")]


def test_a_policy_that_does_not_load_is_an_error_at_once(tmp_path):
    path = tmp_path / "rule.json"
    path.write_text('{"<": [{"vra": "x"}, 1]')
    with pytest.raises(PolicyError):
        Agent("drone-42", path)
    with pytest.raises(PolicyError):
        Agent("drone-42", tmp_path / "missing.json")


@pytest.mark.parametrize("name", ["", "a.b", "a b", "ü", "x" * 65])
def test_an_agents_name_must_fit_into_a_subject(name):
    with pytest.raises(ConfigurationError):
        Agent(name, PERMIT)


def test_policies_come_as_paths_documents_or_several_of_them():
    document = canonical_json(LIMITED).decode()
    assert document
    many = [SHIPPED, LIMITED, {"ripstop": 1, "id": "x", "rule": True}]
    assert len(Agent("drone-42", many).node.vm.policies) == 3


def test_a_policy_vm_stands_alone():
    vm = PolicyVM(str(SHIPPED))
    assert vm.verdict({"battery_percent": 80, "payload_kg": 0.5})
    vm.observe({"battery_percent": 25}, 1)
    assert not vm.decide("accept_task", {"payload_kg": 2}, 2)
    assert vm.decide("accept_task", {"payload_kg": 0.5}, 2)


def test_the_base_imports_no_third_party_package():
    code = (
        "import sys; from ripstop import Agent, EWMA, CircuitBreaker, PolicyVM, ActionVetoed;"
        "a = Agent('d', {'ripstop': 1, 'id': 'p', 'rule': True}); "
        "a.receive_telemetry({'name': 'v', 'value': 1.0}); a.request_action(int);"
        "bad = {'numpy', 'cryptography', 'nats', 'ruamel', 'asyncio', 'rich'} & set(sys.modules);"
        "sys.exit(str(bad) if bad else 0)"
    )
    subprocess.run([sys.executable, "-I", "-c", code], check=True, timeout=60, cwd=ROOT)


def test_what_is_no_function_or_no_context_is_refused_with_a_hint():
    for given in ((accept_task, 0.8), ("accept_task", {"payload_kg": 0.8})):
        with pytest.raises(ConfigurationError, match=r"C0307.*hint"):
            agent().request_action(*given)
