"""A disk that is full, read-only or short: denials stay, routine permissions become a summary."""

import os
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

from ripstop.agent import ActionVetoed, Agent, FileLedger, NodeSettings, Store
from ripstop.agent.inspection import inspect_ledger
from ripstop.agent.node import AgentNode
from ripstop.agent.shortage import MOST_KEPT, MOST_TALLIES, Shortage
from ripstop.core.clock import Instant, ManualClock
from ripstop.core.decision import Decision, Reason, Verdict
from ripstop.core.journal import RecordKind, read_entry, write_decision
from ripstop.core.node import Append, SetTimer, Started, Timer
from ripstop.core.vocabulary import ActionSpec, SignalSpec, Vocabulary
from ripstop.core.wire.chain import genesis, link

SECOND = 1_000_000


def vocabulary(on_full="allow"):
    return Vocabulary(
        "drone",
        signals={"battery_percent": SignalSpec("battery_percent", low=0, high=100)},
        actions={
            "take_off": ActionSpec("take_off", {"kg": SignalSpec("kg")}),
            "land": ActionSpec("land", failsafe=0),
        },
        on_ledger_full=on_full,
    )


def rule(on_full="allow"):
    return {
        "ripstop": 1,
        "id": "light",
        "vocabulary": vocabulary(on_full).to_json(),
        "guards": ["take_off"],
        "rule": {"<=": [{"var": "kg"}, 1.0]},
    }


def entries(folder):
    return [entry for _, entry in inspect_ledger(folder).ledger.entries]


def count(folder, kind, verdict=None):
    found = [entry.body for entry in entries(folder) if entry.kind is kind]
    return sum(verdict is None or body["verdict"] == verdict for body in found)


@contextmanager
def a_disk_that_is_full(monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        yield


def test_denials_outlive_a_full_disk_and_permissions_become_a_summary(tmp_path, monkeypatch):
    drone = Agent("d", rule(), ledger=tmp_path, clock=ManualClock(10**15))
    with a_disk_that_is_full(monkeypatch):
        drone.request("take_off", {"kg": 0.5})
        with pytest.raises(OSError, match="No space"):
            drone.flush()
        assert drone.is_ledger_failing
        for number in range(50):
            assert drone.request("take_off", {"kg": 0.5})[0]
            assert not drone.request("take_off", {"kg": 2.0 + number})[0]
    drone.flush()
    assert not drone.is_ledger_failing
    assert drone.request("take_off", {"kg": 0.5})[0]
    drone.close()
    assert inspect_ledger(tmp_path).findings == []
    assert count(tmp_path, RecordKind.DECISION, "deny") == 50
    assert count(tmp_path, RecordKind.DECISION, "allow") == 2
    (summary,) = [entry.body for entry in entries(tmp_path) if entry.kind is RecordKind.SUMMARY]
    (tally,) = summary["decisions"]
    assert (summary["count"], tally["count"], tally["action"], tally["verdict"]) == (
        50,
        50,
        "take_off",
        "allow",
    )
    assert tally["release"] == drone.node.release.digest
    assert summary["first_us"] == summary["last_us"] == 10**15


def test_a_vocabulary_that_denies_without_a_ledger_denies_until_there_is_room(tmp_path, monkeypatch):
    with Agent("d", rule("deny"), ledger=tmp_path, clock=ManualClock(10**15)) as drone:
        with a_disk_that_is_full(monkeypatch):
            drone.request("take_off", {"kg": 0.5})
            with pytest.raises(OSError, match="No space"):
                drone.flush()
            with pytest.raises(ActionVetoed):
                drone.act("take_off", lambda: None, kg=0.5)
            assert drone.act("land", lambda: "down") == "down"
        drone.flush()
        assert drone.act("take_off", lambda: "up", kg=0.5) == "up"
    assert count(tmp_path, RecordKind.DECISION, "deny") == 1
    assert count(tmp_path, RecordKind.SUMMARY) == 1  # landing was allowed, and nothing more was to be said


def test_an_agent_on_a_file_system_that_is_really_full_goes_on_and_says_so(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        drone = Agent("d", rule(), ledger=small, clock=ManualClock(10**15))
        drone.flush()
        ballast = small / "ballast"
        with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="space"):
            while True:
                file.write(bytes(512))
        allowed = denied = 0
        while not drone.is_ledger_failing or denied < 20:
            allowed += drone.request("take_off", {"kg": 0.5})[0].verdict is Verdict.ALLOW
            denied += drone.request("take_off", {"kg": 5.0})[0].verdict is Verdict.DENY
            try:
                drone.flush()
            except OSError:
                assert drone.is_ledger_failing
        ballast.unlink()
        drone.close()
        assert inspect_ledger(small).findings == []
        assert count(small, RecordKind.DECISION, "deny") == denied
        (summary,) = [entry.body for entry in entries(small) if entry.kind is RecordKind.SUMMARY]
        assert count(small, RecordKind.DECISION, "allow") + summary["count"] == allowed
    finally:
        subprocess.run(["umount", str(small)], check=True)


# ---- the node -------------------------------------------------------------------------------------------


class Recorded:
    """A node, and what it would have on its disk."""

    def __init__(self, **settings):
        self.node = AgentNode(NodeSettings("d", **settings), rule())
        self.kept, self.timers, self.second = [], {}, 0
        self.take(self.node.step(Started(1), self.now))

    @property
    def now(self):
        return Instant(10**15 + self.second * SECOND, self.second * SECOND, "b")

    def take(self, effects):
        for effect in effects:
            if isinstance(effect, Append) and effect.stream == "ledger":
                self.kept.append(read_entry(effect.data))
            elif isinstance(effect, SetTimer):
                self.timers[effect.name] = effect.at_us

    def request(self, kg, times=1):
        for _ in range(times):
            decision, effects = self.node.request("take_off", {"kg": kg}, self.now)
            self.take(effects)
        return decision

    def count(self, kind):
        return sum(entry.kind is kind for entry in self.kept)


def test_when_the_share_runs_short_permissions_are_counted_and_told_each_minute():
    made = Recorded()
    made.take(made.node.ledger_short(True, made.now))
    before = made.count(RecordKind.DECISION)
    decision = made.request(0.5, 100)
    made.request(2.0)
    assert made.count(RecordKind.DECISION) == before + 1
    assert made.timers["summary"] == 60 * SECOND
    made.second = 60
    made.take(made.node.step(Timer("summary"), made.now))
    body = made.kept[-1].body
    assert made.kept[-1].kind is RecordKind.SUMMARY
    assert body["count"] == 100
    digest = genesis("d")
    for number in range(1, 101):
        digest = link(digest, number, write_decision(10**15, decision))
    assert body["digest"] == digest.hex()
    made.request(0.5)
    made.take(made.node.ledger_short(False, made.now))
    assert [entry.kind for entry in made.kept[-2:]] == [RecordKind.SUMMARY, RecordKind.NOTICE]
    made.request(0.5)
    assert made.kept[-1].kind is RecordKind.DECISION


def test_a_durable_decision_is_never_only_counted_while_the_disk_works():
    made = Recorded(durable=True)
    made.take(made.node.ledger_short(True, made.now))
    before = made.count(RecordKind.DECISION)
    made.request(0.5, 3)
    assert made.count(RecordKind.DECISION) == before + 3


def test_a_flood_of_denials_on_a_dead_disk_is_kept_up_to_a_bound_and_counted_from_there():
    made = Recorded()
    made.take(made.node.ledger_failed("gone", made.now))
    before = made.count(RecordKind.DECISION)
    made.request(2.0, MOST_KEPT + 500)
    kept = made.count(RecordKind.DECISION) - before
    assert kept <= MOST_KEPT
    made.take(made.node.ledger_recovered(made.now))
    (summary,) = [entry.body for entry in made.kept if entry.kind is RecordKind.SUMMARY]
    assert kept + summary["decisions"][0]["count"] == MOST_KEPT + 500
    assert summary["decisions"][0]["verdict"] == "deny"


def test_a_disk_that_fails_is_asked_again_without_a_call():
    made = Recorded()
    made.take(made.node.ledger_failed("gone", made.now))
    for _ in range(3):
        made.timers.pop("sync")
        made.second += 1
        made.take(made.node.step(Timer("sync"), made.now))
        assert made.timers["sync"] == (made.second + 1) * SECOND


def test_a_run_of_very_many_actions_stays_small():
    shortage = Shortage("d", durable=False)
    shortage.set(is_failing=True)
    for number in range(2 * MOST_TALLIES):
        decision = Decision(f"a{number}", Verdict.ALLOW)
        assert shortage.takes(RecordKind.DECISION, decision, b"", number)
    overridden = Decision("land", Verdict.ALLOW, reasons=(Reason("p", "failsafe", "t"),))
    assert not shortage.takes(RecordKind.DECISION, overridden, b"", 1)
    body = shortage.take_summary()
    assert body["count"] == 2 * MOST_TALLIES
    assert len(body["decisions"]) == MOST_TALLIES + 1
    assert sum(tally["count"] for tally in body["decisions"]) == body["count"]
    assert shortage.take_summary() is None


def test_the_disk_says_that_its_share_runs_short(tmp_path):
    ledger = Store(tmp_path, share=10_000).open("d")
    assert isinstance(ledger, FileLedger)
    while not ledger.is_short:
        ledger.append("ledger", bytes(100))
    assert 8_500 < (tmp_path / "ledger.log").stat().st_size < 9_500
    ledger.close()


# ---- decisions that wait for the next sync --------------------------------------------------------------


def test_a_decision_reaches_the_disk_without_another_call(tmp_path, monkeypatch):
    synced = threading.Event()
    fdatasync = os.fdatasync
    with Agent("d", rule(), ledger=tmp_path) as drone:
        drone.flush()
        monkeypatch.setattr(os, "fdatasync", lambda handle: (fdatasync(handle), synced.set()))
        drone.request("take_off", {"kg": 0.5})
        assert synced.wait(10)
        monkeypatch.undo()
        assert count(tmp_path, RecordKind.DECISION) == 1


def test_an_interpreter_that_ends_without_a_close_leaves_no_decision_behind(tmp_path):
    code = (
        "import sys; from ripstop import Agent; from pathlib import Path\n"
        "drone = Agent('d', {'ripstop': 1, 'id': 'p', 'rule': True}, ledger=Path(sys.argv[1]))\n"
        "for _ in range(300): drone.request('go', {})\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=60)
    assert count(tmp_path, RecordKind.DECISION) == 300
    assert inspect_ledger(tmp_path).findings == []


def test_what_was_decided_stands_before_what_happened_next_and_as_it_was(tmp_path):
    with Agent("d", {"ripstop": 1, "id": "p", "rule": True}, ledger=tmp_path) as drone:
        numbers = [1, 2]
        drone.request("first", {"numbers": numbers})
        numbers.append(3)
        drone.request("second", {"kg": 1.0})
        drone._perform(drone.node.tell("news.told", {}, drone.clock.now()), drone.clock.now())
        drone.request("third", {"kg": 1.0})
    told = [entry.body.get("action") or entry.body.get("name") for entry in entries(tmp_path)]
    assert [name for name in told if name] == ["first", "second", "news.told", "third"]
    (first,) = [entry.body for entry in entries(tmp_path) if entry.body.get("action") == "first"]
    assert first["inputs"][0]["value"] == [1, 2]


def test_a_text_that_is_no_unicode_is_on_record_escaped(tmp_path):
    with Agent("d", {"ripstop": 1, "id": "p", "rule": True}, ledger=tmp_path) as drone:
        assert drone.act("go", lambda: "gone", note="\ud800") == "gone"
    (body,) = [entry.body for entry in entries(tmp_path) if entry.kind is RecordKind.DECISION]
    assert body["inputs"][0]["value"] == "\\ud800"
