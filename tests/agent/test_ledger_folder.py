"""A ledger's folder over the years: forks, locks that rot, what is kept aside."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ripstop.agent import recovery
from ripstop.agent.inspection import inspect_ledger
from ripstop.agent.ledger import FileLedger, LedgerError


def written(folder: Path) -> None:
    ledger = FileLedger(folder, "drone-1")
    ledger.append("ledger", b"one")
    ledger.close()


def test_a_changed_bit_in_a_lock_is_told_and_mended(tmp_path):
    written(tmp_path)
    sound = (tmp_path / "lock").read_bytes()
    for bit in range(8 * len(sound)):
        changed = bytearray(sound)
        changed[bit // 8] ^= 1 << bit % 8
        (tmp_path / "lock").write_bytes(changed)
        assert any("lock: does not verify" in text for text in inspect_ledger(tmp_path).findings)
        ledger = FileLedger(tmp_path, "drone-1")
        assert [found.stream for found in ledger.recoveries if found.torn] == ["lock"]
        ledger.close()
        assert (tmp_path / "lock").read_bytes() == sound


def test_a_lock_of_an_earlier_version_is_taken_and_still_protects(tmp_path):
    written(tmp_path)
    (tmp_path / "lock").write_text("drone-1")
    with pytest.raises(LedgerError, match="C0403"):
        FileLedger(tmp_path, "drone-2")
    FileLedger(tmp_path, "drone-1").close()
    assert (tmp_path / "lock").read_text() == "drone-1 crc32 5b0c28f0"


def test_of_a_stream_that_is_damaged_again_and_again_the_last_files_are_kept(tmp_path):
    gone = 0
    for _ in range(11):
        written(tmp_path)
        path = tmp_path / "ledger.log"
        path.write_bytes(b"x" + path.read_bytes()[1:])
        ledger = FileLedger(tmp_path, "drone-1")
        gone += sum(found.let_go for found in ledger.recoveries)
        ledger.close()
    kept = {path.name for path in tmp_path.glob("*.damaged-*")}
    assert kept == {f"ledger.log.damaged-{number}" for number in range(4, 12)}
    assert gone == 3


def test_what_is_kept_aside_when_there_is_room_again_lets_older_files_go(tmp_path, monkeypatch):
    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for _ in range(2):
        written(tmp_path)
    path = tmp_path / "ledger.log"
    raw = path.read_bytes()
    path.write_bytes(raw[:60] + b"x" + raw[61:])  # in the first of two records
    for number in range(1, 10):
        path.with_name(f"ledger.log.damaged-{number}").write_bytes(b"")
    monkeypatch.setattr(recovery, "write_whole", full)
    ledger = FileLedger(tmp_path, "drone-1")
    assert [found.let_go for found in ledger.recoveries if found.stream == "ledger"] == [2]
    monkeypatch.undo()
    ledger.append("ledger", b"there is room")
    ledger.close()
    kept = {found.name for found in tmp_path.glob("*.damaged-*")}
    assert kept == {f"ledger.log.damaged-{number}" for number in range(3, 11)}


def test_damage_on_a_full_disk_waits_for_room_and_nothing_is_lost(tmp_path, monkeypatch):
    ledger = FileLedger(tmp_path, "drone-1")
    for record in (b"one", b"two", b"three"):
        ledger.append("ledger", record)
    ledger.sync()
    ledger.close()
    path = tmp_path / "ledger.log"
    raw = bytearray(path.read_bytes())
    raw[-len(b"three") - 60] ^= 1  # in the second record
    path.write_bytes(raw)

    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    whole = recovery.write_whole
    monkeypatch.setattr(recovery, "write_whole", full)
    ledger = FileLedger(tmp_path, "drone-1")
    (found,) = ledger.recoveries
    assert (found.records, found.damaged, found.missing) == (1, "ledger.log", 2)
    with pytest.raises(OSError, match="No space"):
        ledger.append("ledger", b"four")
    with pytest.raises(OSError, match="No space"):
        ledger.sync()
    assert path.read_bytes() == raw
    monkeypatch.setattr(recovery, "write_whole", whole)
    ledger.sync()
    ledger.close()
    assert (tmp_path / "ledger.log.damaged-1").read_bytes() == raw
    again = FileLedger(tmp_path, "drone-1")
    assert again.recoveries[0].damaged == ""
    assert again.tail("ledger").records == (b"one", b"four")
    again.close()


FORKED_AGENT = """
import os, sys
from ripstop import Agent
from ripstop.agent.ledger import LedgerError
agent = Agent("drone-1", ledger=sys.argv[1])
agent.request("hover", {})
child = os.fork()
if child == 0:
    for _ in range(2):
        try:
            agent.request("hover", {})
        except LedgerError as error:
            if error.code == "C0406":
                continue
        os._exit(1)
    os._exit(0)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
agent.request("hover", {})
agent.close()
sys.exit(code)
"""


def test_an_agent_in_a_forked_child_is_refused_at_its_first_request(tmp_path):
    subprocess.run([sys.executable, "-c", FORKED_AGENT, str(tmp_path)], check=True, timeout=30)
