"""Findings as SARIF: what a code host needs to show them beside the line."""

from ripstop.policy import CODES, check
from ripstop.policy.sarif import sarif_of


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


def test_a_policy_in_memory_has_no_location():
    (result,) = sarif_of(check({"lt": [1, 2]}).findings, "1")["runs"][0]["results"]
    assert "locations" not in result
