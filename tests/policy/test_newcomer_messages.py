"""What a newcomer reads about files that are wrong: where it stands, a caret under it, a hint that helps."""

import json

import pytest

from ripstop.cli.root import main
from ripstop.core.errors import Place
from ripstop.policy import check
from ripstop.policy.diagnostics import Finding

HEAD = "ripstop: 1\nid: x\nvocabulary: drone\nguards: [accept_task]\n"
BELOW = '{"<": [{var: battery_percent}, 30]}'


def yaml(rule: str, head: str = HEAD) -> tuple[str, bytes]:
    return "p.yaml", f"{head}{rule}\n".encode()


def text(content: str | bytes) -> tuple[str, bytes]:
    return "p.json", content if isinstance(content, bytes) else content.encode()


@pytest.mark.parametrize(
    "text",
    [
        HEAD + 'rule: {"<": [{var: battery_percent}, .nan]}\n',
        HEAD + 'rule: {"<": [{var: battery_percent}, 9007199254740993]}\n',
        HEAD.replace(
            "drone", "{name: v, signals: {a: {type: number, range: [2, 1]}}, actions: {accept_task: {}}}"
        )
        + 'rule: {"<": [{var: a}, 30]}\n',
    ],
)
def test_what_follows_from_an_error_alone_is_not_told(text, tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text(text)
    assert [finding.code[0] for finding in check(path).findings] == ["E"]


@pytest.mark.parametrize("number", [".nan", ".inf", "9007199254740993"])
@pytest.mark.parametrize(
    "rule", [f"rule: {{once: [{BELOW}, NUMBER]}}", "rule: true\nbudgets: [{at_most: 1, within_s: NUMBER}]"]
)
def test_a_number_that_cannot_be_read_is_not_told_again_as_out_of_range(tmp_path, rule, number):
    path = tmp_path / "p.yaml"
    path.write_text(HEAD + rule.replace("NUMBER", number))
    (finding,) = check(path).findings
    assert finding.code in ("E0107", "E0108")


# file, code, line, column, a part of the hint
WRONG = [
    (yaml('rule: {"=<": [{var: battery_percent}, 30]}'), "E0201", 5, 8, "`<=`"),
    (yaml('rule: {"<": [{var: batery_percent}, 30]}'), "E0205", 5, 14, "`battery_percent`"),
    (yaml('rule: {"<": [{var: battery_percent}, {var: payload_kg}]}'), "E0204", 5, 8, "declare one unit"),
    (yaml('rule: {"<": [{var: battery_percent}]}'), "E0202", 5, 8, "a, b, ..."),
    (yaml('rule: {"<": [{var: battery_percent}, "30"]}'), "E0203", 5, 8, "without quotes"),
    (yaml(f"rule: {{if: [{BELOW}]}}"), "E0202", 5, 8, "condition, value"),
    (yaml(f"rule: {{once: [{BELOW}, 0]}}"), "E0211", 5, 52, "looks back"),
    (yaml(f"rule: {{once: [{BELOW}, 3155760000]}}"), "E0211", 5, 52, "366 days"),
    (yaml(f'rule: {{once: [{BELOW}, "5 min"]}}'), "E0208", 5, 52, "in seconds"),
    (yaml('rule: {"<": [{var: payload_kg}, 3], ">": [{var: payload_kg}, 1]}'), "E0206", 5, 7, '"and"'),
    (yaml('rule: "battery_percent = 30"'), "E0104", 5, 24, "`==`"),
    (yaml("rule:\n\tand: []"), "E0104", 6, 1, "not with tabs"),
    (yaml(f"rule:\n  and:\n    - {BELOW}\n   - {BELOW}"), "E0104", 8, 4, "one column"),
    (yaml("guards: [take_off]\nrule: true"), "E0105", 5, 1, "stands on line 4"),
    (yaml("rule true\neffect: forbid"), "E0104", 6, 1, "the line before"),
    (yaml('rule:{">=": [{var: payload_kg}, 3]}'), "E0104", 5, 35, "a colon and a space"),
    (yaml('rule: {">=": {var: payload_kg}, {var: payload_kg}]}'), "E0109", 5, 33, "missing before it"),
    (yaml('rule: {"<": [{var: battery_percent}, 30 %]}'), "E0203", 5, 8, "without a unit"),
    (yaml("limits: [{limit: {payload_kg: 1}}]"), "E0303", 5, 31, "{max: 1}"),
    (yaml("limits: [{limit: payload_kg <= 1}]"), "E0303", 5, 18, "{payload_kg: {max: 3}}"),
    (yaml("rule: true\n---\nrule: true"), "E0109", 6, 1, "one policy"),
    (yaml("rule: !!python/none x"), "E0109", 5, 7, "leave it out"),
    (yaml("rule: {!: [{var: payload_kg}]}"), "E0109", 5, 8, "in quotes"),
    (yaml("rule:\n  >: [{var: payload_kg}, 3]"), "E0104", 6, 4, "in quotes"),
    (yaml("rule: true\nseverity: high"), "E0301", 6, 1, "`tier`"),
    (yaml("rul: true"), "E0301", 5, 1, "`rule`"),
    (yaml("rule: true", "ripstop: 1\nvocabulary: drone\n"), "E0302", 1, 1, "drone/payload-limit"),
    (yaml("tier: safety"), "E0302", 1, 1, "load < 0.9"),
    (yaml("guards: accept_task\nrule: true", "ripstop: 1\nid: x\n"), "E0303", 3, 9, "[accept_task]"),
    (yaml("<<<<<<< HEAD\nrule: true\n=======\nrule: false\n>>>>>>> ours"), "E0104", 5, 1, "one of the two"),
    (text('{\n"<": [1, 2]\n>>>>>>> ours\n}'), "E0104", 3, 1, "one of the two"),
    (text(""), "E0104", 1, 1, "`ripstop: 1`"),
    (text(" \n\n"), "E0104", 1, 1, "`ripstop: 1`"),
    (("p.yaml", b""), "E0104", 1, 1, "`ripstop: 1`"),
    (text(bytes(range(128, 256))), "E0102", 1, 1, "encoding"),
    (text(b"\x7fELF\x02\x01\x00\x00\xff"), "E0102", 1, 9, "no text file"),
    (text('{"<": []}'.encode("utf-16")), "E0102", 1, 1, "UTF-16"),
    (text('{"a\\qb": 1}'), "E0104", 1, 4, "written twice"),
    (text('{"ab\n": 1}'), "E0104", 1, 5, "double quote"),
    (text('{"ab\x00": 1}'), "E0104", 1, 5, "\\u0000"),
    (text('{"==": [{"var": "a"}, "\\ud800"]}'), "E0102", 1, 23, "UTF-8"),
    (text('{"<": [{"var": "a"}, NaN]}'), "E0107", 1, 22, "1.8e308"),
    (text('{"<": [{"var": "a"}, 99999999999999999999]}'), "E0108", 1, 22, "one number"),
    (text("{'<': [1, 2]}"), "E0104", 1, 2, "double quotes"),
    (text('{"<": [{"var": "a"} 2]}'), "E0104", 1, 21, "a comma"),
    (text('{"and": [True, {"var": "a"}]}'), "E0104", 1, 10, "`true`"),
    (text('{"<": [{"var": "a"}, 010]}'), "E0104", 1, 23, "`-0.5`"),
    (text('{"<": [{"var": "a"}, +1]}'), "E0104", 1, 22, "`-0.5`"),
    (text('{"!": [true]} {"!": [true]}'), "E0104", 1, 15, "one policy"),
    (text('{"<": []}'.encode("utf-16-le")), "E0104", 1, 2, "UTF-16"),
    (yaml('rule: {"<": [{var: payload_kg}, "3 kg"]}'), "E0203", 5, 8, "without a unit"),
    (yaml("limits: [{parameter: payload_kg, max: 3}]"), "E0302", 5, 10, "limit: {payload_kg"),
    (yaml("rule: true\nbudgets: [{at_most: 1.5, within_s: 60}]"), "E0211", 6, 21, ""),
    (yaml("rule: true\nbudgets: [{at_most: 1, within_s: 1e-9}]"), "E0211", 6, 34, ""),
    (yaml("rule: 'battery_percent < 30"), "E0104", 5, 7, "does not end"),
    (yaml("rule: battery_percent > 2020-01-01"), "E0104", 5, 30, "seconds since 1970"),
    (yaml("rule: payload_kg < 3 unless battery_percent > 9"), "E0104", 5, 29, "the unit of `3`"),
    (yaml("limits: [{limit: {weight: {max: 0}}}]"), "E0307", 5, 27, "`payload_kg`"),
    (yaml("on_unknown: yes\nrule: true"), "E0304", 5, 13, "last_valid"),
    (yaml("rule: true", 'ripstop: "1"\nid: x\n'), "E0305", 1, 10, "without quotes"),
    (yaml("rule: >\n  payload_kg < 3  # light\n  and x"), "E0104", 7, 3, "`|`"),
    (("p.yaml", b"load < 3\n"), "E0305", 1, 1, "`.rule`"),
    (yaml("rule: &a true"), "E0109", 5, 7, "in quotes"),
    (text('{"<": [{"val": ["near", -1]}, 2]}'), "E0205", 1, 8, "from 0"),
    (text('{"exists": ""}'), "E0208", 1, 1, "name the signal"),
    (text("#" * 1_000_001), "E0103", 1, 1, "each in its own file"),
]


@pytest.mark.parametrize(("file", "code", "line", "column", "hint"), WRONG)
def test_a_message_says_where_it_is_and_what_to_do(tmp_path, capsys, file, code, line, column, hint):
    name, content = file
    path = tmp_path / name
    path.write_bytes(content)
    findings = check(path).findings
    (finding,) = [each for each in findings if (each.code, each.place.line) == (code, line)][:1] or [None]
    assert finding is not None, [str(each) for each in findings]
    assert finding.place.column == column
    assert hint in finding.hint
    assert main(["policy", "check", str(path)]) == 1
    printed = capsys.readouterr().out
    assert f"{path}:{line}:{column}: {code}: {finding.message}" in printed
    assert not finding.hint or f"  hint: {finding.hint}\n" in printed


@pytest.mark.parametrize("file", [case[0] for case in WRONG])
def test_json_and_sarif_say_the_same(tmp_path, capsys, file):
    path = tmp_path / file[0]
    path.write_bytes(file[1])
    assert main(["policy", "check", str(path), "--json"]) == 1
    listed = json.loads(capsys.readouterr().out)["files"][0]["findings"]
    assert main(["policy", "check", str(path), "--format", "sarif"]) == 1
    results = json.loads(capsys.readouterr().out)["runs"][0]["results"]
    assert len(results) == len(listed) > 0
    for result, finding in zip(results, listed, strict=True):
        region = result["locations"][0]["physicalLocation"]["region"]
        assert (result["ruleId"], region["startLine"], region["startColumn"]) == (
            finding["code"],
            finding["line"],
            finding["column"],
        )
        assert finding["message"] in result["message"]["text"]
        assert finding["hint"] in result["message"]["text"]


COMMANDS = ["eval", "explain", "show", "bounds", "bench", "compile"]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("file", [case[0] for case in WRONG])
def test_no_command_takes_a_file_that_check_refuses(tmp_path, capsys, command, file):
    path = tmp_path / file[0]
    path.write_bytes(file[1])
    more = {"eval": ["--context", "{}"], "explain": ["--context", "{}"], "compile": ["--target", "ir"]}
    assert main(["policy", command, str(path), *more.get(command, [])]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert f"{path}:" in err


def rendered_lines(source: str, line: int, column: int, file: str = "p.json") -> list[str]:
    finding = Finding("E0201", "unknown operator `x`", Place(file, line, column))
    return finding.rendered(source).splitlines()[1:]


def test_the_caret_stands_under_the_place_whatever_stands_before():
    assert rendered_lines("ab\u0301c x", 1, 6) == ["  1 | ab\u0301c x", "    |     ^"]
    assert rendered_lines("\U0001f681 x", 1, 3) == ["  1 | \U0001f681 x", "    |    ^"]
    assert rendered_lines("a\x1b[31mb\tc", 1, 8) == ["  1 | a [31mb c", "    |        ^"]
    assert rendered_lines("a\u2028b\nc", 2, 1) == ["  2 | c", "    | ^"]
    assert rendered_lines("a\u2028b\nc", 2, 1, "p.yaml") == ["  2 | b", "    | ^"]


@pytest.mark.parametrize(
    ("keys", "codes", "hint"),
    [
        (
            {"rule": {"<": ["battery_percent", 5]}},
            ["E0203"],
            'a name is read by `{"var": "battery_percent"}`',
        ),
        ({"rule": {"<": ["5", {"var": "battery_percent"}]}}, ["E0203"], "without quotes"),
        ({"rule": True, "effect": "deny"}, ["E0304"], "did you mean `forbid`?"),
        ({"rule": "chance[95](battery_percent > 0)"}, ["E0211"], "95 % is written `0.95`"),
        ({"limits": [{"limit": {"payload_kg": {"max": "1 kg"}}}]}, ["E0303"], "without a unit"),
        (
            {"guards": ["accept_task", "take_off"], "rule": "task_priority < 3"},
            ["E0205"],
            "a parameter of `accept_task`, `start_delivery` or `hand_over`",
        ),
        ({"limits": [{"limit": {"payload_kg": {"max": None}}}]}, ["E0302"], ""),
        ({"limits": [{"limit": {"payload_kg": {}}}]}, ["E0302"], ""),
    ],
)
def test_what_a_newcomer_meant_is_hinted_at(keys, codes, hint):
    document = {"ripstop": 1, "id": "x", "vocabulary": "drone", "guards": ["accept_task"], **keys}
    found = [each for each in check(document).findings if each.code[0] == "E"]
    assert [each.code for each in found] == codes
    assert hint in found[0].hint


def test_one_mistake_in_a_limit_is_one_finding(tmp_path):
    document = {"ripstop": 1, "id": "x", "vocabulary": "drone", "limits": [{"limit": {"payload_kg": 1}}]}
    assert [finding.code for finding in check(document).findings] == ["E0303"]


def test_a_policy_that_guards_nothing_is_told():
    document = {"ripstop": 1, "id": "x", "vocabulary": "drone", "guards": [], "rule": "battery_percent > 5"}
    (found,) = check(document).findings
    assert (found.code, found.message) == ("L0506", "`guards` names no action: the policy decides nothing")
    del document["rule"]
    document["limits"] = [{"limit": {"payload_kg": {"max": 1}}}]
    assert check(document).findings[0].hint == "`guards` names no action"


def test_a_body_that_reaches_further_than_meant_is_told_once_with_a_hint():
    near = {"type": "list", "size": 3, "fields": {"d": {}}}
    vocabulary = {"name": "v", "signals": {"near": near, "ok": {"type": "boolean"}}, "actions": {"go": {}}}
    rule = "all n in near: n.d > 2 and (once[4](not ok) or ok)"
    document = {"ripstop": 1, "id": "x", "vocabulary": vocabulary, "guards": ["go"], "rule": rule}
    (found,) = check(document).findings
    assert found.code == "E0210"
    assert "parentheses" in found.hint
    document["rule"] = "(all n in near: n.d > 2) and (once[4](not ok) or ok)"
    assert [finding.code for finding in check(document).findings] == ["L0504"]
