"""The worker that records decisions behind who decides."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ripstop.agent import Agent, NodeSettings, Store, ledger
from ripstop.core.clock import ManualClock
from ripstop.core.decision import Verdict
from ripstop.core.journal import RecordKind, read_entry

PERMIT = {"ripstop": 1, "id": "permit", "rule": True}


def test_the_ledger_syncs_without_keeping_the_caller(tmp_path, monkeypatch):
    clock = ManualClock(10**15)
    entered, release = threading.Event(), threading.Event()
    with Agent("drone-42", PERMIT, ledger=tmp_path, clock=clock) as drone:
        sync = drone.disk.sync

        def slow():
            entered.set()
            assert release.wait(10)
            sync()

        monkeypatch.setattr(drone.disk, "sync", slow)
        clock.advance(1.0)
        assert drone.act("a", lambda: "done") == "done"  # the sync of what came before has begun
        assert entered.wait(10)
        clock.advance(1.0)
        assert drone.act("a", lambda: "done") == "done"
        release.set()
        monkeypatch.undo()


def test_who_decides_often_hardly_ever_wakes_the_worker_and_everything_gets_recorded(tmp_path, monkeypatch):
    calls = []
    submit = ThreadPoolExecutor.submit
    monkeypatch.setattr(
        ThreadPoolExecutor, "submit", lambda pool, *work: calls.append(work) or submit(pool, *work)
    )
    with Agent("drone-42", PERMIT, ledger=tmp_path) as drone:
        begun = drone.clock.now().mono_us
        count = 0
        while drone.clock.now().mono_us < begun + 300_000:  # six of the worker's rounds
            drone.act("a", lambda: None)
            count += 1
    assert len(calls) < count / 10  # once, unless the machine is busy
    with Agent("drone-42", PERMIT, ledger=tmp_path) as drone:
        kept = [read_entry(record).kind for record in drone.disk.tail("ledger").records]
    assert kept.count(RecordKind.DECISION) == count


def test_a_worker_that_fails_is_called_again(tmp_path, monkeypatch):
    with Agent("drone-42", PERMIT, ledger=tmp_path) as drone:
        failed = threading.Event()

        def fail(most):
            failed.set()
            raise ZeroDivisionError

        monkeypatch.setattr(drone.node, "write_ahead", fail)
        drone.act("a", lambda: None)
        assert failed.wait(10)
        monkeypatch.undo()
        drone.flush()
        drone.act("b", lambda: None)
    with Agent("drone-42", PERMIT, ledger=tmp_path) as drone:
        kept = [read_entry(record) for record in drone.disk.tail("ledger").records]
    assert [entry.body["action"] for entry in kept if entry.kind is RecordKind.DECISION] == ["a", "b"]


def test_a_batch_that_is_larger_than_half_the_share_finds_room(tmp_path):
    """The worker never comes in between: who decides fills the list, and half the file is not enough."""
    clock = ManualClock(10**15)
    settings = NodeSettings("drone-42", sync_s=3600.0)
    with Agent(
        "drone-42", PERMIT, settings=settings, ledger=Store(tmp_path, share=120_000), clock=clock
    ) as drone:
        for number in range(3000):
            assert drone.request("a", {"load": number})[0].verdict is Verdict.ALLOW
        assert not drone.is_ledger_failing
    assert (tmp_path / "ledger.log").stat().st_size <= 120_000


def test_a_ledger_that_cannot_be_written_anew_is_synced_all_the_same(tmp_path, monkeypatch):
    settings = NodeSettings("drone-42", durable=True)
    with Agent("drone-42", PERMIT, settings=settings, ledger=Store(tmp_path, share=60_000)) as drone:
        for _ in range(200):
            drone.act("a", lambda: None)

        def full(path, raw):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(ledger, "write_whole", full)
        while (tmp_path / "ledger.log").stat().st_size < 40_000:
            drone.act("a", lambda: None)
        assert drone.act("a", lambda: "done") == "done"
        monkeypatch.undo()


FULL = """
import resource, sys
from ripstop.agent import Agent
drone = Agent("drone-42", {"ripstop": 1, "id": "permit", "rule": True}, ledger=sys.argv[1])
drone.flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
drone.act("a", lambda: None)
try:
    drone.flush()
except OSError:
    if sys.argv[2] == "close":
        drone.close()
"""


@pytest.mark.parametrize(("how", "told"), [("close", "OSError"), ("exit", "")])
def test_a_program_ends_though_the_disk_is_full(how, told, tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path), how], capture_output=True, text=True, timeout=60
    )
    assert told in ended.stderr
