"""`ripstop policy check` and `ripstop policy eval`: what they print, and their exit codes."""

import json
import shutil
from pathlib import Path

import pytest

from ripstop.cli import main

ROOT = Path(__file__).parents[2]
RULE = str(ROOT / "policies/payload_limit.json")
ADMISSION = str(ROOT / "policies/drones/admission.yaml")


def test_a_good_file_is_fine(capsys):
    assert main(["policy", "check", RULE, ADMISSION]) == 0
    assert capsys.readouterr().out.count("fine") == 2


def test_a_folder_stands_for_the_policies_in_it(capsys):
    assert main(["policy", "check", str(ROOT / "policies"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["files"]) >= 3


def test_a_policy_store_is_checked_without_its_vocabularies(tmp_path, capsys):
    shutil.copytree(ROOT / "policies" / "drones", tmp_path / "drones")
    shutil.copytree(ROOT / "vocabularies", tmp_path / "vocabularies")
    assert main(["policy", "check", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("fine") == 2


def test_a_folder_without_policies_is_a_usage_error(tmp_path, capsys):
    assert main(["policy", "check", str(tmp_path)]) == 2
    assert "C0004" in capsys.readouterr().err


def test_every_finding_is_shown_with_caret_and_hint(tmp_path, capsys):
    path = tmp_path / "bad.yaml"
    path.write_text("ripstop: 1\nid: x\ntier: safty\nrule: {lt: [1, 2]}\n")
    assert main(["policy", "check", str(path)]) == 1
    out = capsys.readouterr().out
    assert "bad.yaml:3:7: E0304" in out
    assert "  3 | tier: safty\n    |       ^" in out
    assert "hint: did you mean `safety`?" in out
    assert "E0201: unknown operator `lt`" in out
    assert "2 findings" in out


def test_findings_as_json_have_code_place_and_pointer(tmp_path, capsys):
    path = tmp_path / "bad.json"
    path.write_text('{"<": [1]}')
    assert main(["policy", "check", str(path), "--json"]) == 1
    record = json.loads(capsys.readouterr().out)["files"][0]
    assert record["ok"] is False
    assert {key: record["findings"][0][key] for key in ("code", "line", "column", "pointer", "severity")} == {
        "code": "E0202",
        "line": 1,
        "column": 2,
        "pointer": "/<",
        "severity": "error",
    }


@pytest.mark.parametrize(
    ("context", "word", "code"),
    [
        ('{"battery_percent": 50, "payload_kg": 3}', "allow", 0),
        ('{"battery_percent": 25, "payload_kg": 3}', "deny", 1),
        ('{"payload_kg": 3}', "unknown", 1),
    ],
)
def test_a_rule_is_evaluated(capsys, context, word, code):
    assert main(["policy", "eval", RULE, "--context", context]) == code
    told = capsys.readouterr()
    assert told.out == f"{word}\n"
    assert ("explain" in told.err) is (word == "unknown")


def test_a_policy_with_limits_is_said_to_be_evaluated_by_its_rule_alone(capsys):
    limited = str(ROOT / "policies" / "drones" / "payload-limit.yaml")
    assert main(["policy", "eval", limited, "--context", '{"battery_percent": 25, "payload_kg": 1.9}']) == 0
    told = capsys.readouterr()
    assert told.out == "allow\n"
    assert "--action accept_task counts limits" in told.err
    assert main(["policy", "eval", RULE, "--context", '{"battery_percent": 50, "payload_kg": 3}']) == 0
    assert capsys.readouterr().err == ""


def test_a_decision_is_shown_with_reasons_and_evidence(capsys):
    context = '{"margin_after_wh": 4, "reserve_wh": 5}'
    assert main(["policy", "eval", ADMISSION, "--action", "accept_task", "--context", context]) == 1
    out = capsys.readouterr().out
    assert out.startswith("accept_task: deny\n")
    assert "drone/admission: denied, A drone takes a task only when" in out
    assert "false  margin_after_wh >= reserve_wh" in out


def test_a_context_may_come_from_a_file_and_a_decision_as_json(tmp_path, capsys):
    path = tmp_path / "context.json"
    path.write_text('{"margin_after_wh": 6, "reserve_wh": 5}')
    words = ["policy", "eval", ADMISSION, "--action", "accept_task", "--context", f"@{path}", "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "allow"


@pytest.mark.parametrize("context", ["x", "[1]", '{"a": 1, "a": 2}', "@/nowhere.json"])
def test_a_context_that_is_no_object_is_a_usage_error(capsys, context):
    assert main(["policy", "eval", RULE, "--context", context]) == 2
    assert "C0005" in capsys.readouterr().err


def test_a_policy_that_does_not_load_is_a_finding(tmp_path, capsys):
    path = tmp_path / "bad.json"
    path.write_text("{")
    assert main(["policy", "eval", str(path)]) == 1
    assert "E0104" in capsys.readouterr().err
