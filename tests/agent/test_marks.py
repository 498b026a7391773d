import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ripstop.agent.inspection import inspect_ledger
from ripstop.agent.ledger import FileLedger
from ripstop.agent.marks import EVERY_US, HALF, MARKS, Mark, Marks, read_marks
from ripstop.core.chance import stream

SIZES = (0, 7, 300, 52, 1)
LAST = len(SIZES)
LINK = bytes(32)


def written(folder, synced=LAST, close=True):
    ledger = FileLedger(folder, "drone-1")
    for number, size in enumerate(SIZES, 1):
        for name in ("ledger", "state"):
            ledger.append(name, bytes([number]) * size)
        if number == synced:
            ledger.sync()
    if close:
        ledger.close()
    return folder


def ends(path):
    """Where the file ends after 0, 1, 2, ... records."""
    found = [48]
    for size in SIZES:
        found.append(found[-1] + 52 + size)
    assert found[-1] == path.stat().st_size
    return found


def findings(folder):
    return [text for text in inspect_ledger(folder).findings if "no entry" not in text]


def opened(folder):
    ledger = FileLedger(folder, "drone-1")
    ledger.close()
    return {found.stream: found for found in ledger.recoveries}


@pytest.mark.parametrize("name", ["ledger", "state"])
def test_a_stream_cut_at_a_records_end_is_found_told_and_kept_aside(name, tmp_path):
    for left in range(LAST):
        path = written(tmp_path / str(left)) / f"{name}.log"
        os.truncate(path, ends(path)[left])
        cut = path.read_bytes()
        missing = LAST - left
        finding = f"{name}: synced records missing behind record {left}: {missing}"
        assert findings(path.parent) == [finding]
        found = opened(path.parent)[name]
        assert (found.records, found.torn, found.missing) == (left, 0, missing)
        assert (path.parent / found.damaged).read_bytes() == cut
        assert not any(again.missing or again.damaged for again in opened(path.parent).values())


def test_damage_in_the_last_synced_record_is_no_torn_tail(tmp_path):
    path = written(tmp_path) / "ledger.log"
    raw = path.read_bytes()
    path.write_bytes(raw[:-1] + b"!")
    found = opened(tmp_path)["ledger"]
    assert (found.torn, found.missing) == (0, 1)
    assert (tmp_path / found.damaged).read_bytes() == raw[:-1] + b"!"


@pytest.mark.parametrize("synced", range(LAST + 1))
def test_no_crash_is_told_as_a_loss(synced, tmp_path):
    """What was not synced may be missing, from any byte on, in one stream or the other."""
    source = written(tmp_path / "source", synced, close=False)
    safe = ends(source / "ledger.log")[synced]
    rng = stream(3, "crash", synced)
    for number in range(40):
        folder = tmp_path / str(number)
        shutil.copytree(source, folder)
        for name in ("ledger", "state"):
            path = folder / f"{name}.log"
            os.truncate(path, int(rng.uniform(safe, path.stat().st_size + 1)))
        assert not any("missing" in text for text in findings(folder))
        for found in opened(folder).values():
            assert (found.missing, found.damaged) == (0, "")


def test_a_stream_that_was_exchanged_is_found(tmp_path):
    written(tmp_path)
    other = FileLedger(tmp_path / "other", "drone-1")
    for _ in range(LAST + 1):
        other.append("ledger", b"forged")
    other.close()
    shutil.copy(tmp_path / "other" / "ledger.log", tmp_path / "ledger.log")
    assert findings(tmp_path) == [f"ledger: record {LAST} is not the one that was synced"]
    assert opened(tmp_path)["ledger"].damaged


def test_a_file_that_is_gone_is_found(tmp_path):
    ledger = FileLedger(tmp_path, "drone-1")
    for number in range(4):
        ledger.append("bundle", b"%d" % number)
        ledger.append("state", b"x")
    ledger.sync()
    ledger.close()
    (tmp_path / "state.log").unlink()
    (tmp_path / "bundle.a").unlink()
    assert sorted(findings(tmp_path)) == [
        "bundle.a: holds no whole bundle: damaged, or cut off",
        "bundle: synced records missing behind record 3: 1",
        "state: synced records missing behind record 0: 4",
    ]
    assert {name: found.missing for name, found in opened(tmp_path).items()} == {"bundle": 1, "state": 4}
    assert findings(tmp_path) == ["bundle.a: holds no whole bundle: damaged, or cut off"]


def test_what_was_dropped_or_trimmed_is_not_missing(tmp_path):
    ledger = FileLedger(tmp_path, "drone-1", share=10_000)
    for _ in range(60):
        ledger.append("ledger", b"r" * 50)
    ledger.sync()
    assert ledger.trim()
    ledger.append("ledger", b"after")
    ledger.drop("ledger", 61)
    assert findings(tmp_path) == []
    ledger.close()
    assert not any(found.missing or found.damaged for found in opened(tmp_path).values())


def test_every_changed_byte_of_the_marks_is_found_and_none_is_told_as_a_loss(tmp_path):
    path = written(tmp_path) / MARKS
    raw = path.read_bytes()
    assert len(raw) == 2 * HALF
    rng = stream(4, "marks")
    for at in (*range(200), *(int(rng.uniform(0, len(raw))) for _ in range(200))):
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 0x20]) + raw[at + 1 :])
        (finding,) = findings(tmp_path)
        assert finding.startswith(f"marks: {HALF} bytes do not verify")
    for damaged, torn in ((b"", 2 * HALF), (raw[:5000], HALF), (raw + b"x", 1)):
        path.write_bytes(damaged)
        found = opened(tmp_path)
        assert found["marks"].torn == torn
        assert not any(other.missing or other.damaged for other in found.values())
        assert "marks" not in opened(tmp_path)


def test_a_ledger_without_marks_is_told_and_gets_them(tmp_path):
    (written(tmp_path) / MARKS).unlink()
    assert any(text.startswith("marks: ") for text in findings(tmp_path))
    assert opened(tmp_path)["marks"].torn
    assert read_marks(tmp_path)[0]["ledger"].number == LAST


def test_one_half_is_on_stable_storage_at_every_moment(tmp_path, monkeypatch):
    """Whatever a power cut makes of what was written since the last sync, marks that were true are left."""
    marks = Marks(tmp_path)
    path = tmp_path / MARKS
    stable, flying = bytearray(path.read_bytes()), []
    pwrite, fdatasync = os.pwrite, os.fdatasync

    def write(handle, raw, at):
        flying.append((at, raw))
        return pwrite(handle, raw, at)

    def sync(handle):
        fdatasync(handle)
        for at, raw in flying:
            stable[at : at + len(raw)] = raw
        flying.clear()

    monkeypatch.setattr(os, "pwrite", write)
    monkeypatch.setattr(os, "fdatasync", sync)
    rng = stream(6, "cuts")
    now_us = 0
    for number in range(1, 120):
        now_us += int(rng.uniform(0, EVERY_US))
        marks.put({"ledger": Mark(number, LINK)}, now_us)
        (cut := tmp_path / "cut").mkdir(exist_ok=True)
        image = bytearray(stable)
        for at, raw in flying:  # a part of each write is on the disk, a part is garbage, the rest is not
            some, more = sorted(int(rng.uniform(0, HALF)) for _ in range(2))
            image[at : at + some] = raw[:some]
            image[at + some : at + more] = rng.octets(more - some)
        (cut / MARKS).write_bytes(image)
        held, _ = read_marks(cut)
        least = max(Mark(0, LINK), *(m for m in [held.get("ledger")] if m), key=lambda m: m.number)
        assert least.number <= number
        assert number == 1 or held
        survivor = Marks(cut)
        survivor.close()
    marks.close()
    assert read_marks(tmp_path) == ({"ledger": Mark(119, LINK)}, 0)


def test_marks_cost_a_sync_of_their_own_once_a_second_at_most(tmp_path, monkeypatch):
    marks, synced = Marks(tmp_path), []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    for number in range(1, 41):
        marks.put({"ledger": Mark(number, LINK)}, number * EVERY_US // 10)
    assert len(synced) == 4
    marks.close()


def test_marks_that_cannot_be_written_fail_no_sync(tmp_path, monkeypatch):
    ledger = FileLedger(tmp_path, "drone-1")
    ledger.append("ledger", b"first")
    ledger.sync()
    pwrite = os.pwrite

    def write(handle, raw, at):
        if Path(f"/proc/self/fd/{handle}").readlink().name == MARKS:
            raise OSError(5, "Input/output error")
        return pwrite(handle, raw, at)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", write)
        ledger.append("ledger", b"second")
        ledger.sync()
    assert read_marks(tmp_path)[0]["ledger"].number == 1
    ledger.append("ledger", b"third")
    ledger.sync()
    assert read_marks(tmp_path)[0]["ledger"].number == 3
    ledger.close()


KILLED = """
import os, sys
from ripstop.agent.ledger import FileLedger
ledger = FileLedger(sys.argv[1], "drone-1")
for number in range(7):
    ledger.append("ledger", b"%d" % number)
    ledger.sync()
ledger.append("ledger", b"not synced")
os.kill(os.getpid(), 9)
"""


def test_after_a_kill_the_marks_are_those_of_the_last_sync(tmp_path):
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], timeout=30)
    assert killed.returncode == -9
    assert read_marks(tmp_path)[0]["ledger"].number == 7
    path = tmp_path / "ledger.log"
    os.truncate(path, path.stat().st_size - 62 - 53)
    assert opened(tmp_path)["ledger"].missing == 1
