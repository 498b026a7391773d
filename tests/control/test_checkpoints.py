"""Checkpoints bind the files of a record to one another."""

import os
import shutil
import struct
import threading

import pytest

from control.governed_fleet import FLEET, KEYS, GovernedFleet
from control.scripted_fleet import drone
from ripstop.control.audit.checkpoints import (
    STREAM,
    LastCheckpoint,
    Notary,
    found_beside,
    open_checkpoint,
)
from ripstop.control.audit.files import MAGIC, STREAMS, AuditFiles, read_log
from ripstop.control.audit.trust import Trust
from ripstop.control.audit.verify import verify_run
from ripstop.core.errors import ConfigurationError
from ripstop.core.messages import Receipt
from ripstop.core.wire.envelope import EnvelopeType, Keyring, open_envelope
from ripstop.core.wire.record import unpack
from ripstop.links.holding import hold

LOGS = tuple(f"{stream}.log" for stream in STREAMS)
FILES = (*LOGS, "trust.json", "vocabulary.json")
RING = Keyring.of(KEYS.trusted())


def played(seconds, level):
    fleet = GovernedFleet([drone(row, 6) for row in range(6)])
    fleet.run(4)
    fleet.request("d001", task_priority=5)
    fleet.level["d003"] = level
    fleet.run(seconds)
    return fleet


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Two runs of the same fleet with the same keys, both verified."""
    folder = tmp_path_factory.mktemp("runs")
    for name, fleet in (("one", played(8, 12.0)), ("other", played(10, 30.0))):
        fleet.save(folder / name, run=name)
        assert verify_run(folder / name).is_sound
    return folder


@pytest.fixture
def record(records, tmp_path):
    shutil.copytree(records / "one", tmp_path / "record")
    return tmp_path / "record"


def is_told(folder):
    """Whether `audit verify` ends with anything but 0."""
    try:
        return not verify_run(folder).is_sound
    except ConfigurationError:
        return True


def codes(folder):
    return {finding.code for finding in verify_run(folder).findings}


def lines_of(name, raw):
    """Give a file's lines, or a log's records with their heads; what comes before them first."""
    if not name.endswith(".log"):
        return [b"", *raw.splitlines(keepends=True)]
    lines, at = [raw[: len(MAGIC)]], len(MAGIC)
    while at < len(raw):
        end = at + 40 + struct.unpack_from("<I", raw, at)[0]
        lines.append(raw[at:end])
        at = end
    return lines


def damages(name, raw, other):
    """Give what may become of a file, by what was done to it."""
    middle, last = len(raw) // 2, len(raw) - 1
    for at in (0, middle, last):
        for bit in (0x01, 0x20, 0x80):
            yield f"byte {at} ^ {bit:#x}", raw[:at] + bytes([raw[at] ^ bit]) + raw[at + 1 :]
    start, *lines = lines_of(name, raw)
    ends = [len(start) + sum(map(len, lines[:n])) for n in range(len(lines))]
    cuts = {0, 1, len(raw) // 4, middle, 3 * len(raw) // 4, last, *ends[:1], *ends[-1:]}
    for at in sorted(cuts):
        yield f"cut at {at}", raw[:at]
    yield "of another run", other
    yield "more after it", raw + b"\0"
    for n in {0, len(lines) // 2, len(lines) - 1} if lines else ():
        yield f"line {n} twice", start + b"".join([*lines[: n + 1], *lines[n:]])
        if n:
            swapped = [*lines[: n - 1], lines[n], lines[n - 1], *lines[n + 1 :]]
            yield f"lines {n - 1} and {n} swapped", start + b"".join(swapped)


@pytest.mark.parametrize("name", FILES)
def test_whatever_becomes_of_any_one_file_is_told(records, record, name):
    raw, other = (records / "one" / name).read_bytes(), (records / "other" / name).read_bytes()
    missed = []
    for what, damaged in damages(name, raw, other):
        (record / name).write_bytes(damaged)
        if damaged != raw and not is_told(record):
            missed.append(what)
    (record / name).unlink()
    if not is_told(record):
        missed.append("removed")
    assert not missed


@pytest.mark.parametrize("name", LOGS)
def test_a_log_chained_anew_over_changed_records_is_told(records, record, name):
    stream = name.removesuffix(".log")
    kept = read_log(record, stream).records
    if not kept:
        kept = (b"one that was not there",)
    for changed in (kept[:-1], kept[1:], (*kept, kept[-1]), tuple(reversed(kept))):
        if changed == read_log(records / "one", stream).records:
            continue
        (record / name).unlink()
        files = AuditFiles(record)
        for content in changed:
            files.append(stream, content)
        files.close()
        assert is_told(record)


def test_a_whole_log_of_another_run_with_the_same_keys_is_named(records, record):
    shutil.copy(records / "other" / "messages.log", record)
    told = {finding.where for finding in verify_run(record).findings}
    assert told == {"messages.log"}
    assert codes(record) & {"log.exchanged", "log.cut"}


def test_checkpoints_of_another_run_are_named(records, record):
    shutil.copy(records / "other" / "checkpoints.log", record)
    assert "checkpoint.foreign" in codes(record)


def test_a_log_that_nobody_vouches_for_is_told(record):
    (record / "more.log").write_bytes(MAGIC)
    assert codes(record) == {"log.open"}


def test_what_follows_the_last_checkpoint_is_a_finding_unless_it_is_still_being_written(record):
    data = record.parent / "data"
    (data / "nats").mkdir(parents=True)
    record.rename(data / "audit")
    files = AuditFiles(data / "audit")
    files.append("messages", b"one more")
    files.close()
    assert codes(data) == {"log.open"}
    with hold(data / "nats"):
        result = verify_run(data)
    assert result.is_sound
    assert "1 record after the last checkpoint; a control plane is at work" in result.notes[0]


def test_a_record_from_before_checkpoints_verifies_and_says_what_it_lacks(tmp_path):
    played(4, 80.0).save(tmp_path)
    (tmp_path / "checkpoints.log").unlink()
    result = verify_run(tmp_path)
    assert result.is_sound
    assert "no checkpoints" in result.notes[0]
    assert result.to_json()["notes"] == result.notes


def test_a_removed_log_of_checkpoints_is_no_old_record(record):
    assert not verify_run(record).notes
    (record / "checkpoints.log").unlink()
    assert codes(record) == {"checkpoint.missing"}
    trust = Trust.load(record)
    Trust(trust.fleet, trust.ground, trust.agents).save(record)
    assert verify_run(record).is_sound, "nothing of this run was receipted after a checkpoint"


# ---- who signs them ---------------------------------------------------------------------------------------


class Ground:
    """Logs with their notary, as a control plane that starts and ends."""

    def __init__(self, folder):
        last = LastCheckpoint(RING, FLEET)
        self.files = AuditFiles(folder, {STREAM: last.read})
        self.notary = Notary(self.files, KEYS.command, FLEET, last.found())

    def lives(self, *records):
        for record in records:
            self.files.append("messages", record)
        self.notary.write(1)
        self.files.close()


def checkpoints(folder):
    return [open_checkpoint(RING, FLEET, record) for record in read_log(folder, STREAM).records]


def test_the_next_start_goes_on_with_the_same_run(tmp_path):
    Ground(tmp_path).lives(b"one")
    Ground(tmp_path).lives(b"two", b"three")
    first, second = checkpoints(tmp_path)
    assert first.run == second.run
    assert {head.stream: head.count for head in second.streams}["messages"] == 3
    assert {head.stream: head.count for head in second.streams}[STREAM] == 1


def test_where_nothing_is_new_nothing_is_signed(tmp_path):
    Ground(tmp_path).lives(b"one")
    for _ in range(3):
        ground = Ground(tmp_path)
        assert ground.notary.write(2) == ground.files.heads()[STREAM][1]
        ground.files.close()
    assert len(checkpoints(tmp_path)) == 1


def test_a_start_over_less_than_was_signed_says_so(tmp_path):
    Ground(tmp_path).lives(b"one", b"two")
    (tmp_path / "messages.log").write_bytes(MAGIC)
    ground = Ground(tmp_path)
    assert ground.notary.shortfalls(found_beside(tmp_path)) == ["messages.log"]
    ground.files.close()


def test_a_checkpoint_covers_only_what_is_on_stable_storage(tmp_path, monkeypatch):
    ground = Ground(tmp_path)
    ground.files.append("messages", b"before")
    sync = os.fdatasync

    def and_meanwhile(handle):
        monkeypatch.setattr(os, "fdatasync", sync)
        assert ground.files.heads()[STREAM][0] == 0, "nothing is signed before it is there"
        sync(handle)
        ground.files.append("messages", b"while it syncs")

    monkeypatch.setattr(os, "fdatasync", and_meanwhile)
    ground.notary.write(1)
    ground.files.close()
    (checkpoint,) = checkpoints(tmp_path)
    assert {head.stream: head.count for head in checkpoint.streams}["messages"] == 1


def test_a_sync_waits_for_one_that_is_under_way(tmp_path, monkeypatch):
    files = AuditFiles(tmp_path)
    files.sync()
    files.append("segments", b"one")
    begun, goes_on, done = threading.Event(), threading.Event(), []
    sync = os.fdatasync

    def slow(handle):
        begun.set()
        goes_on.wait(10)
        sync(handle)

    def second():
        files.sync()
        done.append(goes_on.is_set())

    monkeypatch.setattr(os, "fdatasync", slow)
    threads = [threading.Thread(target=files.sync)]
    threads[0].start()
    assert begun.wait(10)
    threads.append(threading.Thread(target=second))
    threads[1].start()
    threads[1].join(0.2)
    goes_on.set()
    for thread in threads:
        thread.join(10)
    files.close()
    assert done == [True], "it said so before the bytes were on stable storage"


def test_what_is_found_at_the_start_is_synced_before_it_is_vouched_for(tmp_path, monkeypatch):
    Ground(tmp_path).lives(b"one")
    files = AuditFiles(tmp_path)
    synced = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    files.sync()
    files.close()
    assert len(synced) == len(STREAMS)


def test_receipts_cite_the_last_checkpoint():
    fleet = GovernedFleet([drone(row, 3) for row in range(3)])
    fleet.control.intake.checkpoint = b"c" * 32
    fleet.run(8)
    cited = {
        unpack(Receipt, open_envelope(RING, FLEET, EnvelopeType.RECEIPT, record).body).checkpoint
        for record in fleet.network.disk("control").read("receipts")
    }
    assert cited == {b"c" * 32}


def test_a_cited_checkpoint_that_is_not_on_file_is_told(tmp_path):
    fleet = GovernedFleet([drone(row, 3) for row in range(3)])
    fleet.control.intake.checkpoint = b"c" * 32
    fleet.run(8)
    fleet.save(tmp_path, run="r")
    assert codes(tmp_path) == {"checkpoint.cut"}
    (tmp_path / "checkpoints.log").unlink()
    trust = Trust.load(tmp_path)
    Trust(trust.fleet, trust.ground, trust.agents).save(tmp_path)
    assert codes(tmp_path) == {"checkpoint.missing"}
