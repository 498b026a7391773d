"""The ground's append-only logs."""

import os

import pytest

from ripstop.control.audit.epochs import LastEpoch
from ripstop.control.audit.files import MAGIC, AuditError, AuditFiles, read_log, scan, write_logs
from ripstop.core.wire.envelope import (
    Ed25519Signer,
    EnvelopeType,
    Header,
    Keyring,
    Role,
    TrustedKey,
    seal,
)

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


def test_opening_the_logs_hands_on_each_record_once(tmp_path):
    filled(tmp_path)
    heard = []
    files = AuditFiles(tmp_path, {"messages": heard.append, "intents": heard.append})
    files.append("messages", b"four")
    files.close()
    assert heard == RECORDS


def test_a_reader_that_refuses_a_record_leaves_no_log_open(tmp_path):
    filled(tmp_path)
    with pytest.raises(ValueError, match="invalid literal"):
        AuditFiles(tmp_path, {"messages": int})
    AuditFiles(tmp_path).close()


def issued(epoch, seed=b"c" * 32):
    signer = Ed25519Signer(seed, Role.COMMAND)
    return seal(signer, EnvelopeType.INTENT, Header("city", "fleet", epoch, 1, 1), b"")


def last_epoch(folder, records):
    signer = Ed25519Signer(b"c" * 32, Role.COMMAND)
    ring = Keyring({signer.key_id: TrustedKey(signer.public, Role.COMMAND)})
    write_logs(folder, {"intents": records})
    reader = LastEpoch(ring, "city", folder)
    AuditFiles(folder, {"intents": reader.read}).close()
    return reader.epoch()


def test_the_last_epoch_is_that_of_the_last_intent_on_file(tmp_path):
    assert last_epoch(tmp_path / "none", []) == 0
    assert last_epoch(tmp_path / "two", [issued(1), issued(2)]) == 2
    assert last_epoch(tmp_path / "foreign", [issued(3), issued(9, b"x" * 32), b"nonsense"]) == 3


def test_an_epoch_behind_many_records_that_do_not_hold_is_found(tmp_path):
    assert last_epoch(tmp_path, [issued(5), *[b"nonsense"] * 200]) == 5


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
