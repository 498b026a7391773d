import json
from pathlib import Path

import pytest

from ledger_faults import inject
from ledger_soak import soak
from ripstop import Agent
from ripstop.agent.inspection import inspect_ledger
from ripstop.agent.ledger import FileLedger, LedgerError
from ripstop.cli import main
from ripstop.core.clock import ManualClock

POLICY = Path(__file__).parents[2] / "policies" / "payload_limit.json"


@pytest.fixture
def folder(tmp_path):
    with Agent("drone-1", POLICY, ledger=tmp_path / "ledger") as agent:
        agent.observe(battery_percent=80)
        agent.act("accept_task", int, payload_kg=0.5)
        agent.act("accept_task", int, payload_kg=0.6)
    return tmp_path / "ledger"


def test_some_hundred_random_crashes_lose_nothing_synced_and_every_changed_byte_is_found(tmp_path):
    soak(300, 2, tmp_path)


def test_a_fault_of_any_file_is_told_or_changes_nothing_that_is_read(tmp_path):
    inject(60, 3, tmp_path)


def test_a_sound_ledger_is_shown_and_verified(folder, capsys):
    assert main(["ledger", "show", str(folder), "--kind", "decision", "--json"]) == 0
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [entry["body"]["action"] for entry in shown] == ["accept_task", "accept_task"]
    assert main(["ledger", "show", str(folder), "--last", "1"]) == 0
    assert capsys.readouterr().out.count("\n") == 1
    assert main(["ledger", "verify", str(folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["agent"], found["findings"]) == ("drone-1", [])
    assert main(["ledger", "verify", str(folder), "--head", found["head"]]) == 0
    assert "everything holds" in capsys.readouterr().out


def test_a_stream_that_holds_nothing_any_more_is_told_as_such(tmp_path, capsys):
    ledger = FileLedger(tmp_path, "a")
    ledger.append("ledger", b"one")
    ledger.drop("ledger", 1)
    ledger.close()
    main(["ledger", "verify", str(tmp_path)])
    assert "ledger     no records behind 1\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("t_us", "shown"), [(10**18, "1000000000000000000 us"), (-(10**15), "1938-04-24 22:13:20.000")]
)
def test_a_record_of_a_clock_gone_astray_is_shown(t_us, shown, tmp_path, capsys):
    with Agent("drone-1", POLICY, ledger=tmp_path, clock=ManualClock(t_us)) as agent:
        agent.request("accept_task", {"payload_kg": 0.5})
    assert main(["ledger", "show", str(tmp_path), "--last", "1"]) == 0
    assert f" {shown} decision" in capsys.readouterr().out


def test_a_tail_that_was_cut_off_shows_against_the_marks_and_against_a_head_kept_elsewhere(folder, capsys):
    whole = inspect_ledger(folder).ledger
    path = folder / "ledger.log"
    last = len(whole.records[-1]) + 52
    path.write_bytes(path.read_bytes()[:-last])
    assert main(["ledger", "verify", str(folder)]) == 1
    missing = f"ledger: synced records missing behind record {whole.last - 1}: 1\n1 finding\n"
    assert capsys.readouterr().out.endswith(missing)
    assert main(["ledger", "verify", str(folder), "--head", whole.head.hex()]) == 1
    assert "its head is" in capsys.readouterr().out


def test_a_torn_tail_and_damage_are_told_apart_and_nothing_is_mended(folder, capsys):
    path = folder / "ledger.log"
    raw = path.read_bytes()
    path.write_bytes(raw[:-3])
    assert main(["ledger", "verify", str(folder)]) == 1
    assert "a torn tail" in capsys.readouterr().out
    path.write_bytes(raw[:100] + b"\xff" + raw[101:])
    assert main(["ledger", "verify", str(folder)]) == 1
    assert "whole records follow" in capsys.readouterr().out
    assert path.read_bytes() == raw[:100] + b"\xff" + raw[101:]


def test_a_ledger_under_another_name_is_noticed(folder):
    (folder / "lock").write_text("drone-2")
    assert any("does not begin with `drone-2`" in text for text in inspect_ledger(folder).findings)


def test_the_ledger_of_a_running_agent_can_be_read(folder):
    ledger = FileLedger(folder, "drone-1")
    assert inspect_ledger(folder).findings == []
    ledger.close()


def test_a_folder_without_a_ledger_is_a_clear_error(tmp_path):
    with pytest.raises(LedgerError, match="C0405"):
        inspect_ledger(tmp_path / "nowhere")


def test_bundles_in_their_slots_are_verified_too(folder, capsys):
    ledger = FileLedger(folder, "drone-1")
    for content in (b"first", b"second", b"third"):
        ledger.append("bundle", content)
    ledger.close()
    assert inspect_ledger(folder).bundles == (2, 3)
    assert main(["ledger", "verify", str(folder)]) == 0
    assert "bundle     2, 3" in capsys.readouterr().out
    slot = folder / "bundle.b"
    slot.write_bytes(slot.read_bytes()[:-1] + b"!")
    report = inspect_ledger(folder)
    assert report.bundles == (1, 3)
    assert report.findings == ["bundle.b: holds no whole bundle: damaged, or cut off"]
