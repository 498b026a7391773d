"""Findings as SARIF: what a code host needs to show them beside the line."""

import json
import os
from pathlib import Path

import pytest
from jsonschema import Draft4Validator

from ripstop.policy import CODES, check
from ripstop.policy.sarif import sarif_of

SCHEMA = Path(os.environ.get("RIPSTOP_DATA", "")) / "sarif" / "sarif-2.1.0-rtm.5.json"
NAMES = ["a b.yaml", "päth 100%/日本.yaml", "a#b?c.yaml", "a:b.yaml", "back\\slash.yaml", "new\nline.yaml"]
TEXTS = [
    "",
    "a: \0",
    "ripstop: 1\nid: x\ntier: safty\nrule: {lt: [1, 2]}\n",
    "ripstop: 1\nid: x\nrule: >\n  a < 3 and\n  b ==\n  'x' and (\n",
    "ripstop: 1\r\nid: x\r\nrule: |\r\n  a <\r\n",
    "ripstop: 1\nid: x\nguards: []\nrule: true\n",
]


def log_of(tmp_path, text, name="bad policy.yaml"):
    path = tmp_path / name
    path.write_text(text)
    return path, sarif_of(check(path).findings, "1.2.3")


def test_each_finding_has_its_rule_its_level_and_its_place(tmp_path):
    path, log = log_of(tmp_path, "ripstop: 1\nid: x\ntier: safty\nrule: {lt: [1, 2]}\n")
    assert (log["version"], len(log["runs"])) == ("2.1.0", 1)
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == ["E0201", "E0304"]
    assert rules[0]["shortDescription"]["text"] == CODES["E0201"]
    tier, operator = run["results"]
    assert (tier["ruleId"], rules[tier["ruleIndex"]]["id"], tier["level"]) == ("E0304", "E0304", "error")
    assert "did you mean `safety`?" in tier["message"]["text"]
    (location,) = tier["locations"]
    assert location["physicalLocation"]["region"] == {"startLine": 3, "startColumn": 7}
    assert location["physicalLocation"]["artifactLocation"]["uri"] == path.as_uri()
    assert operator["locations"][0]["logicalLocations"][0]["fullyQualifiedName"] == "/rule/lt"


def test_a_lint_is_a_warning(tmp_path):
    _, log = log_of(tmp_path, '{">": [{"var": "load"}, 3]}', "loud.json")
    (result,) = log["runs"][0]["results"]
    assert (result["ruleId"], result["level"]) == ("L0501", "warning")


def test_a_relative_path_is_a_relative_uri(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a b.json").write_text("{")
    (result,) = sarif_of(check("a b.json").findings, "1")["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "a%20b.json"


def test_a_name_that_is_no_text_has_its_bytes_in_the_uri(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(b"\xff.json")
    Path(name).write_text("{")
    (result,) = sarif_of(check(name).findings, "1")["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "%FF.json"


@pytest.mark.skipif(
    not SCHEMA.exists(),
    reason=f"set RIPSTOP_DATA to a folder with sarif/{SCHEMA.name} (npm: @microsoft/jest-sarif)",
)
def test_logs_of_many_findings_follow_the_schema(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    findings = [*check({"lt": [1, 2]}).findings, *check({}).findings]
    for name in NAMES:
        for text in TEXTS:
            path = Path(name)
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, newline="")
            findings += [*check(path).findings, *check(path.absolute()).findings]
    schema = json.loads(SCHEMA.read_text())
    validator = Draft4Validator(schema, format_checker=Draft4Validator.FORMAT_CHECKER)
    for log in (sarif_of(findings, "1.2.3"), sarif_of([], "1.2.3")):
        assert [error.message for error in validator.iter_errors(json.loads(json.dumps(log)))] == []
    assert len(findings) > 60


def test_a_policy_in_memory_has_no_location():
    (result,) = sarif_of(check({"lt": [1, 2]}).findings, "1")["runs"][0]["results"]
    assert "locations" not in result
