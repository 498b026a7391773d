"""What the agent's policy VM remembers: windows, budgets, across restrictions, releases and restarts."""

import json

from ripstop.agent.vm import PolicyVM
from ripstop.core.canonical import canonical_json
from ripstop.policy import load_vocabulary

VOCABULARY = load_vocabulary(
    {
        "name": "v",
        "signals": {"load": {"range": [0, 1]}},
        "actions": {"restart": {}, "land": {}},
        "failsafe": ["land"],
    }
)
SECOND = 1_000_000


def document(name="calm", **parts):
    return {"ripstop": 1, "id": name, "vocabulary": VOCABULARY.to_json(), "guards": ["restart"], **parts}


CALM = document(rule={"historically": [{"<": [{"var": "load"}, 0.9]}, 10]})
SELDOM = document("seldom", budgets=[{"at_most": 1, "within_s": 60}])


def vm_after_a_peak(seconds=30):
    vm = PolicyVM([CALM])
    for second in range(seconds):
        vm.observe({"load": 0.95 if second == 15 else 0.5}, second * SECOND)
    return vm


def test_a_window_sees_a_peak_between_two_decisions():
    vm = vm_after_a_peak(26)
    assert not vm.decide("restart", {}, 26 * SECOND - 1)
    assert vm.decide("restart", {}, 26 * SECOND)


def test_a_restriction_keeps_what_the_windows_remember():
    vm = vm_after_a_peak()
    vm.restrict([canonical_json(document("extra", rule={"<": [{"var": "load"}, 1]})).decode()])
    assert vm.decide("restart", {}, 29 * SECOND)
    vm.restrict([])
    assert vm.decide("restart", {}, 29 * SECOND)


def test_a_jump_of_the_clock_moves_the_windows():
    vm = vm_after_a_peak()
    vm.shift(3600 * SECOND)
    assert vm.decide("restart", {}, 3629 * SECOND)
    assert (
        vm.decide("restart", {}, 3629 * SECOND).verdict
        is vm_after_a_peak().decide("restart", {}, 29 * SECOND).verdict
    )


def test_a_restart_keeps_windows_and_budgets():
    vm = PolicyVM([CALM, SELDOM])
    for second in range(20):
        vm.observe({"load": 0.5}, second * SECOND)
    decision = vm.decide("restart", {}, 20 * SECOND)
    assert vm.commit(decision)
    snapshot = json.loads(canonical_json(vm.snapshot()))
    again = PolicyVM([CALM, SELDOM])
    again.restore(snapshot)
    assert [reason.code for reason in again.decide("restart", {}, 21 * SECOND).reasons] == ["budget"]
    assert not again.commit(decision)
    assert again.decide("restart", {}, 80 * SECOND + 1)
