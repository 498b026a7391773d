"""Real agents under the real control plane: the eight steps, and a record that verifies."""

import json
import shutil
from dataclasses import replace

import pytest

from control.governed_fleet import FLEET, KEYS, VOCABULARY, GovernedFleet, release
from control.scripted_fleet import drone
from ripstop.cli.root import main
from ripstop.control.audit.files import read_log, write_logs
from ripstop.control.audit.trust import Trust
from ripstop.control.audit.verify import verify_run
from ripstop.control.node import ControlNode, Fleet
from ripstop.core.commitment import Opening
from ripstop.core.decision import Verdict
from ripstop.core.journal import RecordKind, read_entry, write_entry
from ripstop.core.messages import Item, PeerKind, PeerMessage
from ripstop.core.wire.cbor import decode, encode
from ripstop.core.wire.chain import head
from ripstop.core.wire.envelope import Ed25519Signer, EnvelopeType, Header, Role, seal
from ripstop.core.wire.record import pack

SUSPECT = "d007"


@pytest.fixture(scope="module")
def fleet():
    """One incident from start to end, with decisions before, in and after it."""
    fleet = GovernedFleet([drone(row, 14) for row in range(14)])
    fleet.run(8)
    fleet.before = fleet.request("d002", task_priority=5)
    fleet.level[SUSPECT] = 12.0
    fleet.run(6)
    fleet.during = fleet.request("d002", task_priority=5), fleet.request("d002", task_priority=1)
    fleet.faulty = fleet.request(SUSPECT, task_priority=1)
    item = Item("t1", 1, 0.5, 2000.0, 0.0, 2100.0, 0.0)
    fleet.network.perform("d002", fleet.agents["d002"].offer("d003", item, fleet.network.now("d002")))
    fleet.run(1)
    fleet.level[SUSPECT] = 79.0
    fleet.run(30)
    fleet.after = fleet.request("d002", task_priority=5)
    fleet.run(6)
    return fleet


@pytest.fixture
def run_folder(fleet, tmp_path):
    fleet.save(tmp_path / "audit")
    return tmp_path


def test_an_incident_runs_from_anomaly_to_recovery(fleet):
    assert fleet.before.verdict is Verdict.ALLOW
    assert [d.verdict for d in fleet.during] == [Verdict.DENY, Verdict.ALLOW]
    assert fleet.faulty.verdict is Verdict.DENY
    assert fleet.after.verdict is Verdict.ALLOW
    for name in ("incident.opened", "mitigation.complete", "mitigation.lifted", "incident.closed"):
        assert len(fleet.named(name)) == 1


def test_a_star_takes_an_offer_through_the_hub(fleet):
    offers = [value for name, value in fleet.delivered if name == "d003" and isinstance(value, PeerMessage)]
    refused = [v for name, v in fleet.delivered if name == "d002" and isinstance(v, PeerMessage)]
    assert [m.via for m in (*offers, *refused)] == [("ground",)]
    assert fleet.named("peer.relayed") or refused[0].kind is PeerKind.REFUSE


def test_nothing_was_refused_in_a_clean_run(fleet):
    names = {report.name for _, report in fleet.reports}
    assert not names & {
        "message.refused",
        "segment.refused",
        "intent.refused",
        "peer.rejected",
        "computation.failed",
    }


@pytest.mark.parametrize("level", [80.0, 12.0])
def test_no_agent_refuses_what_a_restarted_ground_takes_over(level):
    fleet = GovernedFleet([drone(row, 14) for row in range(14)])
    fleet.run(8)
    fleet.level[SUSPECT] = level
    fleet.run(6)
    held = {name: agent.standing.statuses for name, agent in fleet.agents.items()}
    assert any(held.values()) is (level < 20)
    already = len(fleet.reports)
    disk = fleet.network.crash("control")
    fleet.network.stop_server()
    fleet.run(1)
    before = fleet.control
    known = Fleet(VOCABULARY, fleet.keys, before.intake.heads)
    again = ControlNode(before.settings, before.playbook, KEYS.command, known)
    fleet.network.start_server()
    fleet.network.attach("control", again, disk=disk)
    now = fleet.network.now("control")
    fleet.network.perform("control", again.publish(release().release, release().sealed, now))
    fleet.run(8)
    assert {agent.position.epoch for agent in fleet.agents.values()} == {2}
    assert {name: agent.standing.statuses for name, agent in fleet.agents.items()} == held
    told = {report.name for _, report in fleet.reports[already:]}
    assert not told & {"intent.refused", "mitigation.lapsed", "mitigation.lifted"}


def test_an_agent_that_comes_later_reads_what_is_in_force_and_refuses_nothing():
    fleet = GovernedFleet([drone(row, 3) for row in range(3)])
    fleet.timeline.run_until(fleet.timeline.now_us + 100_000)
    fleet.network.disconnect("d002")
    fleet.run(6)
    assert fleet.agents["d002"].position.epoch == 0
    fleet.network.reconnect("d002")
    fleet.run(6)
    assert fleet.agents["d002"].position == fleet.agents["d000"].position
    assert not any(report.name == "intent.refused" for _, report in fleet.reports)


def test_a_run_verifies_with_every_decision_made_again(run_folder, capsys):
    assert main(["audit", "verify", str(run_folder)]) == 0
    assert "5 of 5 come out the same" in capsys.readouterr().out
    assert main(["audit", "verify", str(run_folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["sound"] is True
    assert main(["audit", "verify", str(run_folder), "--head", told["head"]]) == 0


def codes(folder, **kwargs):
    return {finding.code for finding in verify_run(folder, **kwargs).findings}


@pytest.mark.parametrize("stream", ["segments", "receipts", "intents", "bundles", "messages", "incidents"])
def test_any_changed_byte_of_any_log_is_a_finding(run_folder, stream):
    path = run_folder / "audit" / f"{stream}.log"
    raw = bytearray(path.read_bytes())
    for at in range(0, len(raw), max(1, len(raw) // 7)):
        changed = bytearray(raw)
        changed[at] ^= 0x10
        path.write_bytes(changed)
        assert codes(run_folder)


def test_a_cut_tail_of_the_ledgers_is_found_by_the_receipts(run_folder):
    folder = run_folder / "audit"
    kept = read_log(folder, "segments").records[:-2]
    (folder / "segments.log").unlink()
    rewrite(folder, "segments", kept)
    assert "ledger.cut" in codes(run_folder)


def test_a_cut_tail_of_everything_is_found_by_a_head_kept_elsewhere(run_folder):
    before = verify_run(run_folder).head
    folder = run_folder / "audit"
    for stream in ("segments", "receipts", "messages"):
        kept = read_log(folder, stream).records[:-1]
        (folder / f"{stream}.log").unlink()
        rewrite(folder, stream, kept)
    assert codes(run_folder, expected_head=before) == {"head.differs"}


DAMAGES = ("gone", "empty", "folder", "loop", "garbage", "deep", "list", "flipped", "cut")
FILES = ("segments.log", "receipts.log", "intents.log", "forks.log", "trust.json", "vocabulary.json")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "damage", ["gone", "empty", "folder", "loop", "garbage", "deep", "list", "flipped", "cut"]
)
def test_whatever_becomes_of_a_file_is_a_finding_or_a_clear_error(run_folder, name, damage, capsys):
    path = run_folder / "audit" / name
    content = path.read_bytes()
    path.unlink(missing_ok=True)
    middle = len(content) // 2
    if damage == "folder":
        path.mkdir()
    elif damage == "loop":
        path.symlink_to(name)
    elif damage != "gone":
        flipped = content[:middle] + bytes([content[middle] ^ 0x80]) + content[middle + 1 :]
        path.write_bytes(
            {
                "empty": b"",
                "garbage": b"\xff\x00\xfe" * 99,
                "deep": b"[" * 100_000,
                "list": b"[1, 2]",
                "flipped": flipped,
                "cut": content[:-3],
            }[damage]
        )
    code = main(["audit", "verify", str(run_folder), "--json"])
    told = json.loads(capsys.readouterr().out)
    if name == "trust.json" and damage != "flipped":
        assert code == 2
        assert told["error"]["code"] in ("C0223", "C0224")
    elif (name, damage) == ("vocabulary.json", "gone"):
        assert code == 0  # a release carries its own
    else:
        assert code in (1, 2)


def test_decisions_before_the_first_release_are_made_again_in_the_agents_vocabulary(tmp_path):
    fleet = GovernedFleet([drone(row, 14) for row in range(14)], is_released=False)
    fleet.run(8)
    fleet.request("d002", task_priority=5)
    fleet.level[SUSPECT] = 12.0
    fleet.run(6)
    assert fleet.request("d002", task_priority=5).verdict is Verdict.DENY, "by a mitigation alone"
    fleet.publish(release())
    fleet.run(10)
    fleet.request("d002", task_priority=1)
    fleet.run(8)
    fleet.save(tmp_path)
    result = verify_run(tmp_path)
    assert result.is_sound
    assert result.counts["decisions.verified"] == 3
    (tmp_path / "vocabulary.json").unlink()
    assert codes(tmp_path) == {"vocabulary.missing"}


def rewrite(folder, stream, records):
    write_logs(folder / "again", {stream: records})
    (folder / "again" / f"{stream}.log").replace(folder / f"{stream}.log")
    shutil.rmtree(folder / "again")


def forged(fleet, folder, change):
    """Rewrite one agent's ledger with changed records, chained, sealed and receipted anew: an inside job."""
    name = "d002"
    signer = Ed25519Signer(bytes([5, list(fleet.works).index(name)]) * 16, Role.AGENT)
    from ripstop.control.audit.segments import segment_of
    from ripstop.core.messages import Receipt

    records, receipts, previous = [], [], None
    for record in read_log(folder, "segments").records:
        agent, segment = segment_of(record)
        if agent == name:
            previous = segment.previous if previous is None else previous
            changed = tuple(change(r) for r in segment.records)
            new = head(previous, segment.first, changed)
            segment = replace(segment, records=changed, previous=previous, head=new)
            previous = new
            sealed = seal(signer, EnvelopeType.SEGMENT, Header(FLEET, f"agent-{name}"), pack(segment))
            record = encode([name, sealed])
            receipt = Receipt(name, segment.incarnation, segment.first, segment.last, new, b"")
            receipts.append(
                seal(KEYS.command, EnvelopeType.RECEIPT, Header(FLEET, f"agent-{name}", 1), pack(receipt))
            )
        records.append(record)
    for stream, content in (("segments", records), ("receipts", receipts)):
        (folder / f"{stream}.log").unlink()
        rewrite(folder, stream, content)


def test_a_changed_verdict_is_found_even_when_everything_is_signed_anew(fleet, run_folder):
    def allow(record):
        entry = read_entry(record)
        if entry.kind is not RecordKind.DECISION or entry.body["verdict"] != "deny":
            return record
        return write_entry(entry.kind, entry.t_us, {**entry.body, "verdict": "allow", "reasons": []})

    forged(fleet, run_folder / "audit", allow)
    assert codes(run_folder) == {"decision.differs"}


def test_a_changed_input_is_found_too(fleet, run_folder):
    def lighter(record):
        entry = read_entry(record)
        if entry.kind is not RecordKind.DECISION:
            return record
        inputs = [{**i, "value": 1} if i["signal"] == "task_priority" else i for i in entry.body["inputs"]]
        return write_entry(entry.kind, entry.t_us, {**entry.body, "inputs": inputs})

    forged(fleet, run_folder / "audit", lighter)
    assert codes(run_folder) == {"decision.differs"}


def test_a_decision_that_withholds_a_personal_value_is_counted_as_chain_only(fleet, run_folder, capsys):
    def withhold(record):
        entry = read_entry(record)
        if entry.kind is not RecordKind.DECISION:
            return record
        hidden = Opening("task_priority", 0, b"s" * 32, "5").to_json()
        inputs = [
            {**i, "value": hidden} if i["signal"] == "task_priority" else i for i in entry.body["inputs"]
        ]
        return write_entry(entry.kind, entry.t_us, {**entry.body, "inputs": inputs})

    forged(fleet, run_folder / "audit", withhold)
    assert main(["audit", "verify", str(run_folder)]) == 0
    assert "4 withhold personal values" in capsys.readouterr().out


def test_a_restriction_that_no_intent_holds_is_found(fleet, run_folder):
    def loosen(record):
        entry = read_entry(record)
        if entry.kind is not RecordKind.BASIS or not entry.body["restrictions"]:
            return record
        mine = [
            text.replace('"task_priority"},', '"task_priority"},9') for text in entry.body["restrictions"]
        ]
        return write_entry(entry.kind, entry.t_us, {**entry.body, "restrictions": mine})

    forged(fleet, run_folder / "audit", loosen)
    assert "restriction.unknown" in codes(run_folder)


def test_a_segment_by_a_stranger_is_found(run_folder):
    folder = run_folder / "audit"
    records = list(read_log(folder, "segments").records)
    stranger = Ed25519Signer(b"x" * 32, Role.AGENT)
    agent, sealed = decode(records[0])
    body = decode(decode(sealed[1:])[2])[8]
    records[0] = encode([agent, seal(stranger, EnvelopeType.SEGMENT, Header(FLEET, f"agent-{agent}"), body)])
    (folder / "segments.log").unlink()
    rewrite(folder, "segments", records)
    assert "record.refused" in codes(run_folder)


def test_a_missing_release_is_found(run_folder):
    (run_folder / "audit" / "bundles.log").unlink()
    assert "release.missing" in codes(run_folder)


def test_a_folder_without_a_record_is_an_error_and_no_finding(tmp_path, capsys):
    assert main(["audit", "verify", str(tmp_path)]) == 2
    assert "C0224" in capsys.readouterr().err


def test_a_new_release_reaches_every_agent_and_a_lower_one_none(fleet):
    now = fleet.network.now("control")
    issued = release(2, fleet.control and release().bundle.policies[:1])
    fleet.network.perform("control", fleet.control.publish(issued.release, issued.sealed, now))
    fleet.run(3)
    assert {agent.vm.release.counter for agent in fleet.agents.values()} == {2}
    assert fleet.named("release.complete")[-1]["targets"] == 14
    older = release(1)
    (told,) = [e for e in fleet.control.publish(older.release, older.sealed, now) if hasattr(e, "name")]
    assert told.name == "release.refused"


def test_trust_reads_back_as_it_was_saved(tmp_path):
    trust = Trust("f", KEYS.trusted(), {"b": b"2" * 32, "a": b"1" * 32})
    trust.save(tmp_path)
    assert Trust.load(tmp_path) == trust
