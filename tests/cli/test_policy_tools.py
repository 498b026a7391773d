"""The tools of `ripstop policy`, from show and explain to compile and schema: output and exit codes."""

import errno
import json
import os
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from ripstop.cli import main
from ripstop.policy.codec import decode, encode

ROOT = Path(__file__).parents[2]
RULE = str(ROOT / "policies/payload_limit.json")
DRONES = str(ROOT / "policies/drones")


def run(capsys, *words):
    code = main(["policy", *words])
    return code, capsys.readouterr().out


def test_findings_as_sarif_are_one_log_of_all_files(tmp_path, capsys):
    bad = tmp_path / "bad.json"
    bad.write_text('{"<": [1]}')
    code, out = run(capsys, "check", str(bad), RULE, "--format", "sarif")
    (result,) = json.loads(out)["runs"][0]["results"]
    assert (code, result["ruleId"]) == (1, "E0202")


def test_a_lint_fails_only_when_asked(tmp_path, capsys):
    path = tmp_path / "loud.rule"
    path.write_text("load > 3\n")
    assert run(capsys, "check", str(path))[0] == 0
    code, out = run(capsys, "check", str(path), "--strict")
    assert code == 1
    assert "L0501" in out


def test_policies_are_shown_as_formulas_with_units(capsys):
    code, out = run(capsys, "show", DRONES)
    assert code == 0
    assert "  requires margin_after_wh >= reserve_wh\n" in out
    assert "  limits payload_kg to at most 1 kg when battery_percent < 30 %\n" in out


def test_a_shown_rule_is_a_rule_file(tmp_path, capsys):
    path = tmp_path / "again.rule"
    path.write_text(run(capsys, "show", RULE, "--rule")[1])
    context = '{"battery_percent": 25, "payload_kg": 3}'
    assert run(capsys, "eval", str(path), "--context", context) == (1, "deny\n")
    record = json.loads(run(capsys, "show", RULE, str(path), "--json")[1])
    first, second = (policy["document"]["rule"] for policy in record["policies"])
    assert first == second


def test_a_denial_is_explained_with_the_change_that_would_allow(capsys):
    context = '{"margin_after_wh": 4, "reserve_wh": 5}'
    words = ["explain", str(ROOT / "policies/drones/admission.yaml"), "--context", context]
    code, out = run(capsys, *words)
    assert code == 1
    assert "margin_after_wh >= reserve_wh is false: margin_after_wh is 4 Wh, reserve_wh is 5 Wh" in out
    assert "with margin_after_wh at least 5 Wh (now 4 Wh)" in out
    record = json.loads(run(capsys, *words, "--json")[1])
    for changes in record["proposals"]:
        changed = json.loads(context) | {change["name"]: change["value"] for change in changes}
        words[-1] = json.dumps(changed)
        assert run(capsys, *words)[0] == 0


def test_what_was_observed_comes_from_a_trace(tmp_path, capsys):
    trace = tmp_path / "trace.jsonl"
    trace.write_text('[0, {"battery_percent": 25}]\n\n[1000000, {"battery_percent": 15}]\n')
    words = ["--action", "take_off", "--context", '{"payload_kg": 1}', "--trace", str(trace)]
    code, out = run(capsys, "explain", DRONES, *words)
    assert code == 1
    assert "payload_kg at most 0 kg (now 1 kg)" in out
    assert "battery_percent at least 20 % (now 15 %)" in out
    limited = str(ROOT / "policies/drones/payload-limit.yaml")
    assert run(capsys, "eval", limited, *words)[1].startswith("take_off: limit\n")


@pytest.mark.parametrize("line", ["x", "[1]", "[true, {}]", '[0, {"a": 1}, 2]', "{}"])
def test_a_trace_that_is_none_is_a_usage_error(tmp_path, capsys, line):
    trace = tmp_path / "trace.jsonl"
    trace.write_text(line)
    assert main(["policy", "eval", RULE, "--trace", str(trace)]) == 2
    assert "C0006" in capsys.readouterr().err


def test_which_action_is_to_be_explained_has_to_be_clear(capsys):
    assert main(["policy", "explain", DRONES]) == 2
    assert "--action accept_task, take_off" in capsys.readouterr().err


def test_files_are_formatted_in_place_and_checked(tmp_path, capsys):
    path = tmp_path / "a.json"
    path.write_text('{"<":[{"var":"a"},1]} // why\n')
    assert run(capsys, "fmt", str(path), "--check") == (1, f"{path}: would change\n")
    code, out = run(capsys, "fmt", str(path), "--diff")
    assert code == 1
    assert '+{"<": [{"var": "a"}, 1]}  // why' in out
    assert run(capsys, "fmt", str(path)) == (0, f"{path}: formatted\n")
    assert path.read_text() == '{"<": [{"var": "a"}, 1]}  // why\n'
    assert run(capsys, "fmt", str(path), "--check", "--json")[0] == 0


@pytest.mark.parametrize("mode", [0o640, 0o664])  # the latter is more than the umask lets new files have
def test_a_formatted_file_keeps_its_mode_and_a_link_stays_one(tmp_path, capsys, mode):
    path, link = tmp_path / "a.json", tmp_path / "link.json"
    path.write_text('{"<":[{"var":"a"},1]}')
    path.chmod(mode)
    link.symlink_to(path)
    assert run(capsys, "fmt", str(link)) == (0, f"{link}: formatted\n")
    assert link.is_symlink()
    assert path.read_text() == '{"<": [{"var": "a"}, 1]}\n'
    assert path.stat().st_mode & 0o777 == mode
    assert [each.name for each in sorted(tmp_path.iterdir())] == ["a.json", "link.json"]


def test_a_file_that_cannot_be_written_is_told(tmp_path, capsys, monkeypatch):
    path = tmp_path / "a.json"
    path.write_text('{"<":[{"var":"a"},1]}')

    def fill(*_args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("ripstop.cli.policy.formatting.write_whole", fill)
    assert main(["policy", "fmt", str(path)]) == 2
    assert "cannot be written, no space left on device" in capsys.readouterr().err
    assert path.read_text() == '{"<":[{"var":"a"},1]}'


def test_a_malformed_or_missing_file_is_not_formatted(tmp_path, capsys):
    path = tmp_path / "a.rule"
    path.write_text("a <")
    assert main(["policy", "fmt", str(path)]) == 1
    assert main(["policy", "fmt", str(tmp_path / "none.rule")]) == 2
    assert path.read_text() == "a <"


def test_bounds_are_printed_for_people_and_programs(capsys):
    code, out = run(capsys, "bounds", DRONES)
    assert code == 0
    assert out.splitlines()[0].split()[:3] == ["policy", "memory", "window"]
    record = json.loads(run(capsys, "bounds", DRONES, "--json")[1])
    assert [policy["id"] for policy in record["policies"]] == ["drone/admission", "drone/payload-limit"]


@pytest.mark.parametrize(
    ("target", "start"), [("wasm", b"\0asm"), ("c99", b"/*"), ("ir", b"{"), ("python", b"")]
)
def test_policies_compile_to_a_file_twice_the_same(tmp_path, capsys, target, start):
    files = [tmp_path / "one", tmp_path / "two"]
    for file in files:
        code, out = run(capsys, "compile", DRONES, "--target", target, "-o", str(file), "--json")
        assert code == 0
        assert json.loads(out)["bytes"] == file.stat().st_size > 0
    assert files[0].read_bytes() == files[1].read_bytes()
    assert files[0].read_bytes().startswith(start)


def test_the_typed_expressions_are_read_back_as_they_were_written(capsys):
    programs = json.loads(run(capsys, "compile", DRONES, "--target", "ir")[1])
    assert list(programs) == ["drone/admission", "drone/payload-limit"]
    assert all(encode(decode(program)) == program for program in programs.values())
    Draft202012Validator(json.loads(run(capsys, "schema", "ir")[1])).validate(programs)


def test_the_typed_expressions_are_shown_for_people(capsys):
    code, out = run(capsys, "show", RULE, "--ir")
    assert code == 0
    assert out.splitlines()[0] == "payload_limit"
    assert "(read battery_percent)" in out
    assert "; atom 0" in out
    assert out.splitlines()[-1].startswith("rule: ")


def test_an_integer_that_literals_came_to_is_written_as_binary64(tmp_path, capsys):
    path = tmp_path / "p.json"
    path.write_text('{"<": [{"var": "a"}, {"*": [9007199254740991, 2]}]}')
    (program,) = json.loads(run(capsys, "compile", str(path), "--target", "ir")[1]).values()
    assert encode(decode(program)) == program


def test_decisions_are_measured(capsys):
    words = ["bench", DRONES, "--action", "take_off", "--context", '{"payload_kg": 1.0}', "--rounds", "1"]
    record = json.loads(run(capsys, *words, "--json")[1])
    assert record["median_ns"].keys() == {"verdict", "decide", "decide, by the reference"}
    assert all(value > 0 for value in record["median_ns"].values())


@pytest.mark.parametrize("of", ["policy", "vocabulary", "ir"])
def test_the_schemas_are_printed(capsys, of):
    code, out = run(capsys, "schema", of)
    assert code == 0
    assert json.loads(out)["$schema"] == "https://json-schema.org/draft/2020-12/schema"
