import os
import resource
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from ripstop.agent.inspection import inspect_ledger
from ripstop.agent.ledger import FileLedger, LedgerError
from ripstop.agent.memory import MemoryLedger
from ripstop.core.chance import stream
from ripstop.core.wire.chain import genesis, head, links

RECORDS = [bytes([i]) * (i % 7 * 9) for i in range(12)]


def written(folder: Path, records=RECORDS) -> Path:
    ledger = FileLedger(folder, "drone-1")
    for record in records:
        ledger.append("ledger", record)
    ledger.close()
    return folder / "ledger.log"


def reopened(folder: Path):
    ledger = FileLedger(folder, "drone-1")
    tail = ledger.tail("ledger")
    ledger.close()
    return tail, ledger.recoveries


@contextmanager
def no_file_longer_than(size: int):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("make", [lambda p: MemoryLedger("drone-1"), lambda p: FileLedger(p, "drone-1")])
def test_both_ledgers_hold_append_drop_and_chain_alike(make, tmp_path):
    ledger = make(tmp_path)
    assert ledger.tail("ledger").last == 0
    for record in RECORDS:
        ledger.append("ledger", record)
    ledger.append("state", b"other stream")
    ledger.sync()
    ledger.drop("ledger", 0)
    ledger.drop("nothing", 5)
    tail = ledger.tail("ledger")
    assert (tail.first, tail.last, tail.records) == (1, 12, tuple(RECORDS))
    assert tail.previous == genesis("drone-1")
    ledger.drop("ledger", 12)
    tail = ledger.tail("ledger")
    assert (tail.first, tail.last, tail.records) == (13, 12, ())
    assert tail.previous == head(genesis("drone-1"), 1, RECORDS)
    ledger.append("ledger", b"next")
    assert ledger.tail("ledger").last == 13
    ledger.close()


@pytest.mark.parametrize("begun", [genesis("drone-1"), genesis("another")])
def test_links_that_the_writer_knows_are_taken_only_where_they_fit(begun, tmp_path):
    ledger = FileLedger(tmp_path, "drone-1")
    ledger.append("ledger", b"first")
    after = head(begun, 1, [b"first"])
    ledger.extend("ledger", RECORDS, list(links(after, 2, RECORDS)))
    ledger.extend("ledger", [b"last"], [])
    ledger.close()
    tail, recoveries = reopened(tmp_path)
    assert tail.records == (b"first", *RECORDS, b"last")
    assert not any(found.torn or found.damaged for found in recoveries)


def test_a_reopened_ledger_goes_on_where_it_was(tmp_path):
    written(tmp_path)
    tail, recoveries = reopened(tmp_path)
    assert tail.records == tuple(RECORDS)
    assert [(r.torn, r.damaged) for r in recoveries] == [(0, "")]
    ledger = FileLedger(tmp_path, "drone-1")
    ledger.append("ledger", b"more")
    ledger.close()
    assert reopened(tmp_path)[0].last == 13


def test_a_ledger_cut_at_any_byte_keeps_every_whole_record_and_reports_the_rest(tmp_path):
    whole = written(tmp_path / "whole").read_bytes()
    ends = [len(whole)]
    for record in reversed(RECORDS):
        ends.append(ends[-1] - len(record) - 52)
    ends.reverse()  # the file's length after 0, 1, 2, ... records
    assert ends[0] == 48
    folder = tmp_path / "cut"
    folder.mkdir()
    for size in range(ends[0], len(whole)):
        (folder / "ledger.log").write_bytes(whole[:size])
        tail, (recovery, *_) = reopened(folder)
        kept = sum(size >= end for end in ends) - 1
        assert tail.records == tuple(RECORDS[:kept])
        assert recovery.torn == size - ends[kept]
        assert not recovery.damaged
        assert (folder / "ledger.log").stat().st_size == ends[kept]


def test_a_file_cut_within_its_head_is_kept_aside_and_begun_anew(tmp_path):
    path = written(tmp_path)
    path.write_bytes(path.read_bytes()[:47])
    tail, (recovery,) = reopened(tmp_path)
    assert tail.last == 0
    assert (tmp_path / recovery.damaged).exists()


def test_every_changed_byte_is_noticed_and_nothing_false_is_read(tmp_path):
    whole = written(tmp_path / "whole", RECORDS[:4]).read_bytes()
    folder = tmp_path / "changed"
    folder.mkdir()
    for at in range(len(whole)):
        raw = bytearray(whole)
        raw[at] ^= 0x41
        (folder / "ledger.log").write_bytes(raw)
        tail, (recovery, *_) = reopened(folder)
        assert recovery.torn or recovery.damaged
        assert len(tail.records) < 4
        assert tail.records == tuple(RECORDS[: len(tail.records)])
        if recovery.damaged:
            assert (folder / recovery.damaged).read_bytes() == raw
            (folder / recovery.damaged).unlink()


def test_what_was_kept_aside_is_never_overwritten_and_synced_before_the_cut(tmp_path, monkeypatch):
    path = written(tmp_path)
    whole = path.read_bytes()
    calls, kept = [], {}
    for name in ("fsync", "ftruncate"):
        done = getattr(os, name)
        monkeypatch.setattr(os, name, lambda h, *a, n=name, d=done: (calls.append(n), d(h, *a))[1])
    for at in (60, 160, 260):
        calls.clear()
        path.write_bytes(whole[:at] + b"!" + whole[at + 1 :])
        damaged = path.read_bytes()
        _, (*_, recovery) = reopened(tmp_path)
        kept[recovery.damaged] = damaged
        assert calls.index("fsync") < calls.index("ftruncate")
        if at == 160:  # an operator takes the first one away
            (tmp_path / "ledger.log.damaged-1").unlink()
            del kept["ledger.log.damaged-1"]
    assert sorted(kept) == ["ledger.log.damaged-2", "ledger.log.damaged-3"]
    assert {name: (tmp_path / name).read_bytes() for name in kept} == kept


def test_a_damaged_file_that_cannot_be_kept_aside_is_a_clear_error_and_left_as_it_is(tmp_path):
    path = written(tmp_path)
    raw = path.read_bytes()
    path.write_bytes(raw[:60] + b"!" + raw[61:])
    with no_file_longer_than(20), pytest.raises(LedgerError) as caught:
        FileLedger(tmp_path, "drone-1")
    assert caught.value.code == "C0402"
    assert path.stat().st_size == len(raw)


def test_garbage_behind_the_last_record_is_cut_off(tmp_path):
    rng = stream(5, "garbage")
    path = written(tmp_path)
    size = path.stat().st_size
    for length in (1, 51, 52, 53, 4096):
        with path.open("ab") as file:
            file.write(rng.octets(length))
        tail, (recovery,) = reopened(tmp_path)
        assert (tail.records, recovery.torn) == (tuple(RECORDS), length)
        assert path.stat().st_size == size


def test_dropping_gives_space_back_and_survives_reopening(tmp_path):
    ledger = FileLedger(tmp_path, "drone-1")
    for i in range(40):
        ledger.append("ledger", bytes([i]) * 100_000)
    ledger.drop("ledger", 5)
    assert ledger.tail("ledger").first == 1  # half a megabyte is not worth a rewrite yet
    ledger.drop("ledger", 30)
    expected = ledger.tail("ledger")
    assert (expected.first, expected.last) == (31, 40)
    ledger.append("ledger", b"after")
    ledger.close()
    assert (tmp_path / "ledger.log").stat().st_size < 1_100_000
    tail, (recovery,) = reopened(tmp_path)
    assert tail.records == (*expected.records, b"after")
    assert tail.previous == expected.previous
    assert recovery.records == 11


def test_a_record_that_a_full_disk_refuses_waits_and_goes_first_when_there_is_room(tmp_path):
    path = written(tmp_path)
    size = path.stat().st_size
    ledger = FileLedger(tmp_path, "drone-1")
    with no_file_longer_than(size + 100):
        ledger.append("ledger", b"fits")
        with pytest.raises(OSError, match=r"space|large"):
            ledger.append("ledger", b"x" * 200)
        with pytest.raises(OSError, match=r"space|large"):
            ledger.append("ledger", b"behind it")
        with pytest.raises(OSError, match=r"space|large"):
            ledger.sync()
        assert inspect_ledger(tmp_path).ledger.records[-1] == b"fits"
    ledger.append("ledger", b"room again")
    expected = (*RECORDS, b"fits", b"x" * 200, b"behind it", b"room again")
    assert ledger.tail("ledger").records == expected
    ledger.close()
    tail, (recovery,) = reopened(tmp_path)
    assert tail.records == expected
    assert recovery.torn == 0


def test_what_waits_for_a_disk_is_bounded_and_what_was_refused_leaves_no_gap(tmp_path):
    size = written(tmp_path).stat().st_size
    ledger = FileLedger(tmp_path, "drone-1")
    with no_file_longer_than(size):
        for _ in range(6):
            with pytest.raises(OSError, match=r"space|large|wait"):
                ledger.append("ledger", b"x" * 1_000_000)
    assert ledger.tail("ledger").last == len(RECORDS) + 4
    with pytest.raises(OSError, match="no more are taken"):
        ledger.append("ledger", b"behind the gap")
    ledger.sync()
    ledger.close()
    assert reopened(tmp_path)[0].last == len(RECORDS) + 4


def test_a_failed_sync_is_not_taken_for_done_and_what_it_was_for_is_written_again(tmp_path, monkeypatch):
    ledger = FileLedger(tmp_path, "drone-1")
    ledger.append("ledger", b"first")
    ledger.sync()
    ledger.append("ledger", b"second")
    written_again = []
    pwrite = os.pwrite
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", lambda handle: (_ for _ in ()).throw(OSError(5, "Input/output error")))
        for _ in range(2):
            with pytest.raises(OSError, match="Input"):
                ledger.sync()
    monkeypatch.setattr(os, "pwrite", lambda h, raw, at: (written_again.append(raw), pwrite(h, raw, at))[1])
    ledger.sync()
    ledger.sync()
    assert [raw.endswith(b"second") for raw in written_again] == [True, False]  # and the mark
    ledger.close()


def test_syncs_that_come_together_are_one(tmp_path, monkeypatch):
    ledger = FileLedger(tmp_path, "drone-1")
    entered, release, syncs = threading.Event(), threading.Event(), []
    fdatasync = os.fdatasync

    def slow(handle):
        if Path(f"/proc/self/fd/{handle}").readlink().name != "ledger.log":
            return
        syncs.append(handle)
        entered.set()
        assert release.wait(10)
        fdatasync(handle)

    monkeypatch.setattr(os, "fdatasync", slow)
    ledger.append("ledger", b"0")
    first = threading.Thread(target=ledger.sync)
    first.start()
    assert entered.wait(10)
    for number in range(1, 5):
        ledger.append("ledger", b"%d" % number)
    others = [threading.Thread(target=ledger.sync) for _ in range(4)]
    for other in others:
        other.start()
    release.set()
    for thread in (first, *others):
        thread.join(10)
    assert len(syncs) == 2
    ledger.close()


FORKING = """
import os, sys
from ripstop.agent.ledger import FileLedger, LedgerError
ledger = FileLedger(sys.argv[1], "drone-1")
ledger.append("ledger", b"parent")
child = os.fork()
if child == 0:
    try:
        ledger.append("ledger", b"child")
    except LedgerError as error:
        os._exit(0 if error.code == "C0406" else 1)
    os._exit(2)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
ledger.append("ledger", b"parent again")
ledger.close()
sys.exit(code)
"""


def test_a_forked_child_may_not_write(tmp_path):
    subprocess.run([sys.executable, "-c", FORKING, str(tmp_path)], check=True, timeout=30)
    assert reopened(tmp_path)[0].records == (b"parent", b"parent again")


def test_two_processes_cannot_hold_one_ledger(tmp_path):
    ledger = FileLedger(tmp_path, "drone-1")
    code = f"from ripstop.agent.ledger import FileLedger; FileLedger({str(tmp_path)!r}, 'drone-1')"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert "C0401" in other.stderr
    ledger.close()


def test_a_ledger_of_another_agent_is_refused(tmp_path):
    written(tmp_path)
    with pytest.raises(LedgerError) as caught:
        FileLedger(tmp_path, "drone-2")
    assert caught.value.code == "C0403"
    reopened(tmp_path)


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError) as caught:
        FileLedger(tmp_path / "file" / "ledger", "drone-1")
    assert caught.value.code == "C0402"
    assert "cannot be opened" in str(caught.value)


def test_nothing_acknowledged_is_lost_at_random_crash_points(tmp_path):
    """A crash loses any part of what was written after the last sync, never what was before it."""
    rng = stream(11, "crash")
    for round_number in range(150):
        folder = tmp_path / str(round_number)
        records = [rng.octets(int(rng.uniform(0, 60))) for _ in range(int(rng.uniform(1, 12)))]
        synced = int(rng.uniform(0, len(records) + 1))
        ledger = FileLedger(folder, "drone-1")
        ledger.append("ledger", b"first")
        safe = (folder / "ledger.log").stat().st_size
        for number, record in enumerate(records, 1):
            ledger.append("ledger", record)
            if number == synced:
                ledger.sync()
                safe = (folder / "ledger.log").stat().st_size
        ledger.close()
        path = folder / "ledger.log"
        raw = bytearray(path.read_bytes())
        del raw[int(rng.uniform(safe, len(raw) + 1)) :]
        for _ in range(int(rng.uniform(0, 3))):
            if len(raw) > safe:
                raw[int(rng.uniform(safe, len(raw)))] = 0
        path.write_bytes(raw)
        tail, _ = reopened(folder)
        assert tail.records[: synced + 1] == (b"first", *records[:synced])
        assert tail.records == (b"first", *records)[: len(tail.records)]


def test_what_goes_beyond_the_share_is_refused_as_on_a_full_disk_until_something_is_dropped(tmp_path):
    ledger = FileLedger(tmp_path, "drone-1", share=1000)
    kept = 0
    with pytest.raises(OSError, match="share of 1000 bytes"):
        for _ in range(100):
            ledger.append("ledger", b"r" * 50)
            kept += 1
    assert inspect_ledger(tmp_path).ledger.last == kept
    assert ledger.is_short
    ledger.append("state", b"s" * 2000)  # what must not be forgotten has no share
    ledger.drop("ledger", kept)
    assert not ledger.is_short
    ledger.append("ledger", b"r" * 50)
    ledger.close()
    assert FileLedger(tmp_path, "drone-1").tail("ledger").last == kept + 2


def test_trimming_forgets_the_older_half_and_the_chain_goes_on(tmp_path):
    ledger = FileLedger(tmp_path, "drone-1", share=10_000)
    for number in range(40):
        ledger.append("ledger", b"%d" % number)
    assert ledger.trim() == 0
    while not ledger.trim():
        ledger.append("ledger", b"r" * 50)
    tail = ledger.tail("ledger")
    assert tail.first > 20
    ledger.append("ledger", b"after")
    ledger.close()
    again = FileLedger(tmp_path, "drone-1")
    assert again.tail("ledger").records == (*tail.records, b"after")
    assert again.recoveries[0].damaged == ""
    assert [text for text in inspect_ledger(tmp_path).findings if "no entry" not in text] == []
