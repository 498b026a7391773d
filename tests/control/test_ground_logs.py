"""The ground's append-only logs."""

import os

import pytest

from ripstop.control.audit.files import MAGIC, AuditError, AuditFiles, read_log, scan, write_logs

RECORDS = [b"one", b"", b"three" * 50]


def filled(folder):
    write_logs(folder, {"messages": RECORDS})
    return folder / "messages.log"


def test_what_was_appended_reads_back_after_reopening(tmp_path):
    filled(tmp_path)
    files = AuditFiles(tmp_path)
    files.append("messages", b"four")
    files.close()
    assert read_log(tmp_path, "messages").records == (*RECORDS, b"four")
    assert read_log(tmp_path, "nothing").records == ()


def test_a_log_cut_at_any_byte_opens_with_its_whole_records(tmp_path):
    raw = filled(tmp_path).read_bytes()
    for end in range(len(MAGIC), len(raw)):
        (tmp_path / "messages.log").write_bytes(raw[:end])
        files = AuditFiles(tmp_path)
        files.append("messages", b"next")
        files.close()
        records = read_log(tmp_path, "messages").records
        assert records[:-1] == tuple(RECORDS[: len(records) - 1])
        assert records[-1] == b"next"


def test_damage_before_the_end_is_never_repaired(tmp_path):
    path = filled(tmp_path)
    raw = bytearray(path.read_bytes())
    raw[len(MAGIC) + 41] ^= 1
    path.write_bytes(raw)
    with pytest.raises(AuditError) as caught:
        AuditFiles(tmp_path)
    assert caught.value.code == "C0222"
    assert path.read_bytes() == raw


def test_two_records_that_changed_places_break_the_chain(tmp_path):
    path = filled(tmp_path)
    found = scan("messages", path.read_bytes())
    assert found.damage is None
    assert scan("incidents", path.read_bytes()).damage.reason == "chain broken"


def test_a_failed_write_stops_every_later_receipt(tmp_path, monkeypatch):
    files = AuditFiles(tmp_path)
    files.append("segments", b"good")
    files.sync()

    class Full:
        def __init__(self, inner):
            self.inner = inner

        def write(self, raw):
            return self.inner.write(raw[: len(raw) // 2])

        def __getattr__(self, name):
            return getattr(self.inner, name)

    log = files._logs["segments"]
    log.file = Full(log.file)
    with pytest.raises(OSError, match="No space"):
        files.append("segments", b"lost")
    with pytest.raises(OSError, match="No space"):
        files.sync()
    files.close()
    assert read_log(tmp_path, "segments").records == (b"good",)


def test_the_logs_of_two_runs_are_not_mixed(tmp_path):
    filled(tmp_path)
    with pytest.raises(AuditError) as caught:
        write_logs(tmp_path, {"messages": [b"x"]})
    assert caught.value.code == "C0225"


def test_heads_commit_to_every_stream(tmp_path):
    filled(tmp_path)
    files = AuditFiles(tmp_path)
    (number, head) = files.heads()["messages"]
    files.close()
    assert number == 3
    assert head == read_log(tmp_path, "messages").head


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read_is_a_clear_error(tmp_path):
    filled(tmp_path).chmod(0)
    with pytest.raises(AuditError) as caught:
        AuditFiles(tmp_path)
    assert caught.value.code == "C0221"
