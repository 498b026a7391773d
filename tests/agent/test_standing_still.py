"""A process that stands still for longer than a lease: what it decides first is what holds by then."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
LEASE_S = 1.5
AGENT = """
import sys
from agent.scripted_ground import build_world, mitigation
from ripstop.core.clock import ShiftedClock
from ripstop.core.intent import OnSilence

world = build_world()
world.round_trip()
world.observe(battery_percent=80.0)
world.order(mitigation(lease_s=float(sys.argv[1]), on_silence=OnSilence(sys.argv[2])))
clock = ShiftedClock(world.network.now("a"))  # from here on virtual time goes on by itself
for line in sys.stdin:
    decision, _ = world.node.request("accept_task", {"payload_kg": 0.5}, clock.now())
    landing, _ = world.node.request("land", {}, clock.now())
    print(decision.verdict.word, landing.verdict.word, flush=True)
"""


def asked(process):
    process.stdin.write(b"?\n")
    process.stdin.flush()


def answer(process):
    assert select.select([process.stdout], [], [], 30)[0]
    return process.stdout.readline().split()


@pytest.mark.parametrize(
    ("on_silence", "then"), [("revert", b"allow"), ("hold", b"deny"), ("tighten", b"deny")]
)
def test_a_process_that_was_stopped_for_longer_than_a_lease_decides_by_what_silence_means(on_silence, then):
    process = subprocess.Popen(
        [sys.executable, "-c", AGENT, str(LEASE_S), on_silence],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(TESTS)},
    )
    try:
        asked(process)
        assert answer(process) == [b"deny", b"allow"]
        process.send_signal(signal.SIGSTOP)
        asked(process)
        assert not select.select([process.stdout], [], [], LEASE_S + 0.2)[0]
        process.send_signal(signal.SIGCONT)
        assert answer(process) == [then, b"allow"]
    finally:
        process.kill()
        process.communicate()
