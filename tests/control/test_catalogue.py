"""The catalogue of what is on file: made on the way, and made again from the logs."""

import json
import sqlite3

import pytest

from ripstop.cli.root import main
from ripstop.control.audit.files import write_logs
from ripstop.control.audit.rebuild import CATALOGUE, rebuild_catalogue
from ripstop.control.audit.trust import Trust
from ripstop.control.records import Records
from ripstop.core.errors import ConfigurationError
from ripstop.core.journal import RecordKind, write_entry
from ripstop.core.messages import Segment
from ripstop.core.node import Report
from ripstop.core.wire.cbor import encode
from ripstop.core.wire.chain import genesis
from ripstop.core.wire.envelope import Ed25519Signer, EnvelopeType, Header, Role, seal
from ripstop.core.wire.record import pack
from ripstop.links.holding import hold

KEY = Ed25519Signer(b"a" * 32, Role.AGENT)
EVENTS = [
    ("authority.gained", 5, {"epoch": 1}),
    ("agent.enrolled", 7, {"agent": "late", "key": "00"}),
    (
        "incident.opened",
        10,
        {"incident": "i-1", "model": "percolation", "agent": "early", "probability": 0.5},
    ),
    ("mitigation.planned", 11, {"incident": "i-1", "plan": "shed"}),
    ("incident.closed", 20, {"incident": "i-1", "reason": "calm"}),
]


def segment(*verdicts):
    body = {"action": "go", "release": "r"}
    entries = [
        write_entry(RecordKind.DECISION, 100 + n, body | {"verdict": verdict})
        for n, verdict in enumerate(verdicts)
    ]
    made = Segment("early", 1, 1, 1, len(entries), genesis("early"), b"h" * 32, tuple(entries))
    return encode(["early", seal(KEY, EnvelopeType.SEGMENT, Header("city", "agent-early"), pack(made))])


def filed(folder, segments=(), events=EVENTS):
    Trust("city", (), {"early": b"\1" * 32, "late": b"\2" * 32}).save(folder / "audit")
    streams = {
        "incidents": [encode([1, name, t_us, fields]) for name, t_us, fields in events],
        "segments": segments,
    }
    write_logs(folder / "audit", streams)
    return folder


def rows(path, question):
    with sqlite3.connect(path) as connection:
        found = connection.execute(question).fetchall()
    connection.close()
    return found


def test_a_catalogue_is_made_again_from_the_logs(tmp_path):
    told = []
    made = rebuild_catalogue(filed(tmp_path, [segment("allow", "deny")]), progress=told.append)
    assert made.path == tmp_path / CATALOGUE
    assert made.counts == {"agents": 2, "incidents": 1, "decisions": 2}
    assert made.findings == ()
    assert told[-1] == 1.0
    assert rows(made.path, "select id, enrolled_us from agents order by id") == [("early", 5), ("late", 7)]
    assert rows(made.path, "select opened_us, closed_us, plan, reason, probability from incidents") == [
        (10, 20, "shed", "calm", 0.5)
    ]
    assert rows(made.path, "select verdict from decisions order by sequence") == [("allow",), ("deny",)]
    assert not list(tmp_path.glob(f"{CATALOGUE}.new*"))


def test_what_stands_in_the_place_of_the_catalogue_is_replaced_whole(tmp_path):
    filed(tmp_path)
    for name in ("", "-wal", "-shm"):
        (tmp_path / f"{CATALOGUE}{name}").write_bytes(b"garbage")
    assert main(["audit", "rebuild", str(tmp_path)]) == 0
    assert rows(tmp_path / CATALOGUE, "select count(*) from agents") == [(2,)]


def test_a_dry_run_counts_and_changes_nothing(tmp_path, capsys):
    filed(tmp_path, [segment("allow")])
    (tmp_path / CATALOGUE).write_bytes(b"old")
    assert main(["audit", "rebuild", str(tmp_path), "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["counts"] == {"agents": 2, "incidents": 1, "decisions": 1}
    assert told["dry_run"] is True
    assert (tmp_path / CATALOGUE).read_bytes() == b"old"
    assert not (tmp_path / f"{CATALOGUE}.new").exists()


def test_what_cannot_be_read_is_left_out_and_said(tmp_path, capsys):
    strange = [("incident.opened", 1, {"incident": [1]})]
    filed(tmp_path, [segment("allow"), encode(["early", b"nonsense"])], EVENTS[:3] + strange)
    path = tmp_path / "audit" / "segments.log"
    path.write_bytes(path.read_bytes() + b"torn")
    assert main(["audit", "rebuild", str(tmp_path)]) == 1
    told = capsys.readouterr().out.splitlines()
    assert [line.split(":")[1].strip() for line in told[:-1]] == [
        "incidents.log",
        "segments.log",
        "segments.log",
    ]
    assert "torn at byte" in told[2]
    assert told[-1].endswith("holds 2 agents, 1 incidents, 1 decisions")


def test_a_catalogue_that_cannot_be_written_leaves_the_old_one(tmp_path):
    filed(tmp_path)
    (tmp_path / f"{CATALOGUE}.new").mkdir()
    with pytest.raises(ConfigurationError) as caught:
        rebuild_catalogue(tmp_path)
    assert caught.value.code == "C0244"


def test_no_catalogue_is_made_under_a_control_plane_at_work(tmp_path):
    filed(tmp_path)
    (tmp_path / "nats").mkdir()
    with hold(tmp_path / "nats"), pytest.raises(ConfigurationError) as caught:
        rebuild_catalogue(tmp_path)
    assert caught.value.code == "C0502"
    assert rebuild_catalogue(tmp_path).counts["agents"] == 2


def test_a_folder_without_a_run_has_no_catalogue(tmp_path, capsys):
    assert main(["audit", "rebuild", str(tmp_path)]) == 2
    assert "C0224" in capsys.readouterr().err


def test_an_agent_stays_enrolled_since_its_first_time_under_a_key(tmp_path):
    records = Records(f"sqlite:///{tmp_path / 'a.db'}")
    for public, t_us in ((b"\1", 1), (b"\1", 2), (b"\2", 3), (b"\2", 4)):
        records.enrolled("a", public, t_us)
    records.reported(Report("incident.closed", {}), 5)
    records.close()
    assert rows(tmp_path / "a.db", "select public_key, enrolled_us from agents") == [("02", 3)]
