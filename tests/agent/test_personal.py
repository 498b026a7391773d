import errno
import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import ripstop
from agent.scripted_ground import POLICY, VOCABULARY
from ripstop.agent import NodeSettings, ledger, personal
from ripstop.agent.inspection import inspect_ledger
from ripstop.agent.ledger import LedgerError
from ripstop.agent.personal import PersonalValues, Veil
from ripstop.core.clock import ManualClock
from ripstop.core.commitment import Opening, commitment_of, holds_commitment
from ripstop.core.wire.record import pack

NOW_US = 1_700_000_000_000_000
WEIGHT = 0.8125


def make(folder, **more):
    settings = NodeSettings("a", personal=("payload_kg", "battery_v"), **more)
    return ripstop.Agent(
        "a", (POLICY,), vocabulary=VOCABULARY, settings=settings, clock=ManualClock(NOW_US), ledger=folder
    )


def decisions(folder):
    return [e.body for _, e in inspect_ledger(folder).ledger.entries if e.kind.value == "decision"]


def commitments(folder):
    return [
        commitment_of(sample["value"])
        for body in decisions(folder)
        for sample in body["inputs"]
        if sample["signal"] == "payload_kg"
    ]


def acted(folder, **more):
    made = make(folder, **more)
    made.observe(battery_percent=80.0)
    for _ in range(2):
        assert made.request("accept_task", {"payload_kg": WEIGHT})[0]
    return made


def settled(folder):
    """Act, and bring the values into their table."""
    with acted(folder) as made:
        made.disk.settle()


def on_disk(folder):
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file())


def test_the_ledger_holds_commitments_and_the_decision_itself_the_values(tmp_path):
    with acted(tmp_path) as made:
        decision, _ = made.request("accept_task", {"payload_kg": WEIGHT})
        assert {sample.value for sample in decision.inputs} >= {WEIGHT}
    body = decisions(tmp_path)[0]
    assert holds_commitment(body)
    values = {sample["signal"]: sample["value"] for sample in body["inputs"]}
    assert values["battery_percent"] == 80.0
    assert len(set(commitments(tmp_path))) == 3  # a salt each: equal values do not show as equal


def test_a_commitment_opens_until_it_is_erased_and_the_chain_verifies_before_and_after(tmp_path):
    with acted(tmp_path) as made:
        first, second = commitments(tmp_path)
        opening = made.disk.personal.find(first)
        assert (opening.signal, json.loads(opening.value)) == ("payload_kg", WEIGHT)
        assert opening.commitment == first
        assert inspect_ledger(tmp_path).findings == []
        assert made.erase(before_us=NOW_US) == 0
        assert made.erase("payload_kg") == 2
        assert made.disk.personal.find(second) is None
    assert inspect_ledger(tmp_path).findings == []
    assert commitments(tmp_path) == [first, second]


def test_nothing_of_an_erased_value_is_left_in_any_file(tmp_path):
    with acted(tmp_path) as made:
        salts = [made.disk.personal.find(name).salt for name in commitments(tmp_path)]
        assert str(WEIGHT).encode() in on_disk(tmp_path)
        made.erase()
        raw = on_disk(tmp_path)
        assert str(WEIGHT).encode() not in raw
        assert not any(salt in raw for salt in salts)


def test_an_alarm_of_a_personal_signal_tells_no_reading(tmp_path):
    with make(tmp_path) as made:
        for volts in (12.5, 12.4, 12.3, 9.0625):
            made.observe(battery_v=volts)
        entries = [entry for _, entry in inspect_ledger(tmp_path).ledger.entries]
        (notice,) = [e.body for e in entries if e.body.get("name") == "anomaly.detected"]
        assert set(notice["fields"]) == {"signal", "kind", "score", "sigma"}
        assert b"9.06" not in on_disk(tmp_path)


def test_salts_differ_between_lives_and_between_agents(tmp_path):
    for folder in (tmp_path / "one", tmp_path / "other"):
        for _ in range(2):
            acted(folder).close()
    found = commitments(tmp_path / "one") + commitments(tmp_path / "other")
    assert len(set(found)) == len(found) == 8


def test_without_personal_names_nothing_changes():
    veil, out = Veil((), b""), []
    record = {"inputs": [{"signal": "x", "value": 1.0, "t_us": 0}]}
    assert veil.decision(record, out) is record
    assert out == []


def test_values_in_memory_can_be_erased_too():
    with acted(None) as made:
        assert made.erase("battery_v") == 0
        assert made.erase() == 2


def test_a_table_that_cannot_be_written_says_so_as_a_disk_does(tmp_path):
    (tmp_path / "personal.db").mkdir()
    with pytest.raises(OSError, match="cannot be kept"):
        PersonalValues(tmp_path / "personal.db").take_in([("commitment", "x", 0, b"", "1")])


def recovered(made):
    return {found.stream: found for found in made.disk.recoveries}.get("personal")


@pytest.mark.parametrize("cut", [0, 1, 100, 4096, 9000])
def test_a_damaged_table_is_found_kept_aside_and_what_verifies_goes_on(cut, tmp_path):
    settled(tmp_path)
    names, path = commitments(tmp_path), tmp_path / "personal.db"
    raw = path.read_bytes()
    assert len(raw) > 9000
    path.write_bytes(raw[:cut] + b"\xff" * (len(raw) - cut))
    (finding, *_) = inspect_ledger(tmp_path).findings
    assert finding.startswith("personal.db: ")
    with acted(tmp_path) as made:
        found = recovered(made)
        assert (tmp_path / found.damaged).read_bytes()[:cut] == raw[:cut]
        assert found.records == sum(made.disk.personal.find(name) is not None for name in names)
        made.erase()
        assert not list(tmp_path.glob("personal.db.damaged-*"))  # it cannot be searched
        assert str(WEIGHT).encode() not in on_disk(tmp_path)
    assert recovered(make(tmp_path)) is None
    assert inspect_ledger(tmp_path).findings == []


def test_every_changed_value_salt_and_time_is_found(tmp_path):
    settled(tmp_path)
    path = tmp_path / "personal.db"
    raw, (name, _) = path.read_bytes(), commitments(tmp_path)
    with make(tmp_path) as made:
        opening = made.disk.personal.find(name)
    for part in (opening.salt, opening.value.encode(), name.encode(), NOW_US.to_bytes(8, "big")[1:]):
        at = raw.index(part)
        for offset in range(len(part)):
            damaged = bytearray(raw)
            damaged[at + offset] ^= 1
            path.write_bytes(damaged)
            assert inspect_ledger(tmp_path).findings
    path.write_bytes(raw.replace(opening.salt, bytes(32)))
    with make(tmp_path) as made, pytest.raises(LedgerError, match="not what was committed to") as caught:
        made.disk.personal.find(name)
    assert caught.value.code == "C0407"


@pytest.mark.parametrize("left", [None, b""])
def test_a_table_that_is_gone_or_emptied_is_told_once(left, tmp_path):
    settled(tmp_path)
    path = tmp_path / "personal.db"
    path.unlink()
    if left is not None:
        path.write_bytes(left)
    assert inspect_ledger(tmp_path).findings == [
        "personal.db: is gone, or an older one: filled 0 times, expected 1"
    ]
    with make(tmp_path) as made:
        assert recovered(made).missing == 1
    assert inspect_ledger(tmp_path).findings == []
    with acted(tmp_path) as made:
        assert recovered(made) is None


def test_a_table_that_fails_while_it_is_used_is_a_clear_error_of_erase(tmp_path):
    with acted(tmp_path) as made:
        made.disk.settle()
        path = tmp_path / "personal.db"
        path.write_bytes(b"\xff" * path.stat().st_size)
        made.disk.personal.close()
        with pytest.raises(LedgerError) as caught:
            made.erase()
        assert caught.value.code == "C0407"
        assert made.decide("accept_task", payload_kg=WEIGHT)


def synced_files(monkeypatch):
    found, sync = [], os.fdatasync

    def told(handle):
        sync(handle)
        found.append(Path(f"/proc/self/fd/{handle}").readlink().name)

    monkeypatch.setattr(os, "fdatasync", told)
    return found


def test_values_are_on_stable_storage_when_the_decision_is(tmp_path, monkeypatch):
    with acted(tmp_path, durable=True) as made:
        found = synced_files(monkeypatch)
        assert made.request("accept_task", {"payload_kg": WEIGHT})[0]
        assert set(found) - {"marks"} == {"values.log", "ledger.log"}
        values, ledger = (tmp_path / f"{name}.log" for name in ("values", "ledger"))
        (image := tmp_path / "image").mkdir()
        for path in (values, ledger, tmp_path / "lock"):
            (image / path.name).write_bytes(path.read_bytes())
    with make(image) as made:
        assert all(made.disk.personal.find(name) for name in commitments(image))


def test_a_value_put_while_others_are_synced_is_not_taken_for_synced(tmp_path, monkeypatch):
    with acted(tmp_path) as made:
        disk, late, sync = made.disk, pack(Opening("x", 0, b"", "1")), ledger.sync_files

        def slow(handles):
            failed = sync(handles)
            monkeypatch.undo()
            disk.append("personal", late)
            disk.append("ledger", b"what it belongs to")
            return failed

        monkeypatch.setattr(ledger, "sync_files", slow)
        disk.sync()
        found = synced_files(monkeypatch)
        disk.sync()
        assert {"values.log", "ledger.log"} <= set(found)


def test_values_go_into_their_table_when_many_have_come(tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "MOST_FRESH", 3)
    with acted(tmp_path) as made:
        made.request("accept_task", {"payload_kg": WEIGHT})
        made.flush()
        assert made.disk.tail("values").records == ()
        assert not (tmp_path / "personal.db-wal").stat().st_size  # all of it is in the table, synced
        (image := tmp_path / "image").mkdir()
        (image / "personal.db").write_bytes((tmp_path / "personal.db").read_bytes())
        table = PersonalValues(image / "personal.db")
        assert all(table.find(name) for name in commitments(tmp_path))
        table.close()
    assert inspect_ledger(tmp_path).findings == []


def test_a_reader_of_the_table_holds_no_sync_up_and_values_stay_until_it_is_gone(tmp_path, monkeypatch):
    settled(tmp_path)
    monkeypatch.setattr(ledger, "MOST_FRESH", 2)
    monkeypatch.setattr(personal, "_BUSY_S", 0.0)
    with closing(sqlite3.connect(tmp_path / "personal.db")) as reader, make(tmp_path) as made:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM personal").fetchall()
        made.observe(battery_percent=80.0)
        for _ in range(2):
            made.request("accept_task", {"payload_kg": WEIGHT})
        made.flush()
        assert len(made.disk.tail("values").records) == 2
        reader.rollback()
        for _ in range(2):
            made.request("accept_task", {"payload_kg": WEIGHT})
        made.flush()
        assert made.disk.tail("values").records == ()
        assert all(made.disk.personal.find(name) for name in commitments(tmp_path))


def test_values_that_are_in_the_table_and_could_not_leave_the_stream_are_erased_all_the_same(
    tmp_path, monkeypatch
):
    with acted(tmp_path) as made:

        def broken(path, raw):
            raise OSError(errno.EIO, "broken")

        monkeypatch.setattr(ledger, "write_whole", broken)
        with pytest.raises(OSError, match="broken"):
            made.disk.settle()
        with pytest.raises(LedgerError, match="broken"):
            made.erase()
        assert str(WEIGHT).encode() in on_disk(tmp_path)
        monkeypatch.undo()
    with make(tmp_path) as made:  # as after a crash between the two
        assert made.disk.personal.find(commitments(tmp_path)[0])
        assert made.erase() == 2
        assert str(WEIGHT).encode() not in on_disk(tmp_path)


def test_values_wait_for_a_full_disk_like_any_record(tmp_path, monkeypatch):
    with acted(tmp_path) as made:
        late = Opening("x", 0, b"", "1")

        def full(handle, raw, offset):
            raise OSError(errno.ENOSPC, "full")

        monkeypatch.setattr(os, "pwrite", full)
        with pytest.raises(OSError, match="full"):
            made.disk.append("personal", pack(late))
        with pytest.raises(LedgerError):
            made.erase()
        monkeypatch.undo()
        made.disk.sync()
        assert made.disk.personal.find(late.commitment) == late
        assert made.erase("x") == 1
        assert pack(late) not in on_disk(tmp_path)


def test_a_damaged_table_on_a_full_disk_waits_for_room_and_no_value_is_lost(tmp_path, monkeypatch):
    settled(tmp_path)
    path = tmp_path / "personal.db"
    with closing(sqlite3.connect(path)) as table:
        table.execute("PRAGMA page_size")
        table.execute("DROP INDEX sensed")
        table.execute("CREATE TABLE other (x)")
        table.execute("PRAGMA writable_schema = ON")
        table.execute("DELETE FROM sqlite_schema WHERE name = 'other'")
        table.commit()
    names, room = commitments(tmp_path), [False]
    take_in = PersonalValues.take_in

    def short(values, rows):
        if not room[0]:
            raise OSError(errno.ENOSPC, "full")
        take_in(values, rows)

    monkeypatch.setattr(PersonalValues, "take_in", short)
    with make(tmp_path) as made:
        assert recovered(made).damaged == "personal.db"
        with pytest.raises(LedgerError, match="full"):
            made.disk.personal.find(names[0])
        room[0] = True
        assert all(made.disk.personal.find(name) for name in names)
        assert (tmp_path / "personal.db.damaged-1").exists()
    assert [text for text in inspect_ledger(tmp_path).findings if "set aside" not in text] == []


def test_an_erasure_that_somebody_who_reads_holds_up_is_not_taken_for_done(tmp_path):
    settled(tmp_path)
    with make(tmp_path) as made, closing(sqlite3.connect(tmp_path / "personal.db")) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM personal").fetchall()
        with pytest.raises(LedgerError, match="another process reads") as caught:
            made.erase()
        assert caught.value.code == "C0407"
        reader.rollback()
        made.erase()
        assert str(WEIGHT).encode() not in on_disk(tmp_path)


def test_what_is_no_commitment_is_none():
    for value in (1.0, None, {}, {"$commitment": 3}, {"$commitment": "a", "b": 1}, [1]):
        assert commitment_of(value) is None
    assert not holds_commitment({"inputs": "none", "last_valid": [3]})


def test_in_memory_the_last_values_are_held(monkeypatch):
    monkeypatch.setattr(personal, "MOST_IN_MEMORY", 3)
    values, held = [Opening("x", number, bytes(32), str(number)) for number in range(5)], PersonalValues(None)
    for value in values:
        held.put(pack(value))
    assert [held.find(value.commitment) for value in values] == [None, None, *values[2:]]
    assert held.erase() == 3
    held.close()
