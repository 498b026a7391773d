"""What holds for every command: help, examples, exit codes, errors, JSON, pipes."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ripstop.agent import Agent
from ripstop.cli import main, output
from ripstop.cli.root import COMMANDS, build_parser
from ripstop.control.audit.trust import Trust
from ripstop.control.store.keys import FleetKeys

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ("policies", "vocabularies", "examples")
# Commands that serve until they are told to end, or take minutes: their examples are parsed, not run.
LONG = re.compile(
    r"ripstop (up|agent|sidecar|demo|warmup|forecast train|risk worker)\b|--queue|battery\.onnx|--send$"
    r"|stop send (?!.*--dry-run)"
)
# Commands whose answer is no JSON object, or whose --json names a file.
NO_OBJECT = {"ripstop up", "ripstop agent", "ripstop sidecar", "ripstop demo drones", "ripstop ledger show"}
# What reads a file, with the file last.
READERS = (
    "policy check",
    "policy eval",
    "policy explain",
    "policy show",
    "policy fmt --check",
    "policy bounds",
    "policy compile --target ir",
    "policy bench --rounds 1",
    "policy eval policies/payload_limit.json --trace",
    "policy check policies/payload_limit.json --vocabulary",
    "risk",
    "risk whatif --isolate a",
    "risk learn",
    "risk grid",
    "risk stability",
    "forecast eval",
    "forecast eval examples/battery.csv --model",
    "stop show",
    "stop send --agent folder",
    "stop sign smoke --key",
    "ledger show",
    "ledger verify",
    "audit verify",
    "up --data data --playbook",
    "sidecar a --data data --policy",
)
UNUSABLE = ("missing", "empty", "binary", "folder")


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """This parser and all below it."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from parsers(child)


ALL = {
    each.prog: each
    for name in COMMANDS
    for each in parsers(build_parser([name]))
    if each.prog.split()[1:2] == [name]
}
LEAVES = {name: each for name, each in ALL.items() if not each._subparsers}


def examples() -> list[str]:
    """Every command line that stands in some help."""
    texts = [each.epilog or "" for each in ALL.values()]
    lines = [line for text in texts for line in text.replace("\\\n", " ").splitlines()]
    return sorted({" ".join(line.split()) for line in lines if line.startswith("  ripstop ")})


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout as a user sees it, with a ledger in it and files that are of no use."""
    for kind in SHIPPED:
        (tmp_path / kind).symlink_to(ROOT / kind)
    (tmp_path / "empty").touch()
    (tmp_path / "binary").write_bytes(bytes(range(256)) * 16)
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(words: list[str]) -> int | str | None:
    try:
        return main(words)
    except SystemExit as stop:
        return stop.code


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_help_has_examples_and_exit_codes(name: str) -> None:
    said = ALL[name].format_help()
    assert "examples:\n  ripstop " in said
    assert re.search("[Ee]xit codes: 0 ", said)


@pytest.mark.parametrize("columns", [44, 80, 200])
@pytest.mark.parametrize("name", sorted(ALL))
def test_a_help_keeps_to_the_terminal(name: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    said = ALL[name].format_help().partition("\nexamples:")
    after = said[2].partition("\n\n")[2]
    told = said[0].partition("\n\n")[2] + after  # what stands below the usage, and below the examples
    assert [line for line in told.splitlines() if len(line) > columns] == []


@pytest.mark.parametrize("name", sorted(LEAVES))
def test_a_command_can_print_json_and_says_what(name: str) -> None:
    [option] = [each for each in LEAVES[name]._actions if "--json" in each.option_strings]
    assert option.help
    assert re.match(r"print JSON: |write the report as JSON|print (the address|events)", option.help)


@pytest.mark.parametrize("line", examples())
def test_an_example_of_a_help_runs_as_printed(
    line: str, workplace: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if LONG.search(line):
        words = re.split(r" [|&>]", line)[0]
        build_parser(shlex.split(words)[1:]).parse_args(shlex.split(words)[1:])
        return
    if "ripstop-agents" in line or "ripstop audit" in line or "6e3c" in line:
        with Agent(
            "drone-42", "policies/payload_limit.json", ledger="ripstop-agents/drone-42/ledger"
        ) as agent:
            agent.decide("take_off")
    if "ripstop stop" in line:
        prepare_stops(line)
        capfd.readouterr()
    code = run(shlex.split(line.partition(" > ")[0])[1:])
    said = capfd.readouterr()
    fails = "ripstop audit" in line or "6e3c" in line  # they name a run and a head of somebody's own
    assert code in ((1, 2) if fails else (0, 1)), said.err
    assert "\x1b" not in said.out + said.err


def prepare_stops(line: str) -> None:
    """Lay down what the examples of `ripstop stop` speak of."""
    data = Path("ripstop-data")
    keys = FleetKeys.load(data / "keys")
    Trust("fleet", keys.trusted()).save(data / "audit")
    shutil.copy(data / "keys" / "stop.key", "stop.key")
    assert run(["stop", "sign", "smoke", "--key", "stop.key", "--to", "stop.token"]) == 0
    if "ripstop stop key" not in line:
        assert run(["stop", "key", "ann"]) == 0
    elif "--folder keys" in line:
        Path("keys").mkdir()


@pytest.mark.parametrize("name", sorted(ALL))
def test_what_is_left_out_is_a_usage_error(
    name: str, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    required = [each for each in ALL[name]._actions if each.required]
    if name in LEAVES and not required:
        pytest.skip("it needs no more words")
    assert run(name.split()[1:]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "usage: ripstop" in said.err


@pytest.mark.parametrize("file", UNUSABLE)
@pytest.mark.parametrize("words", READERS)
def test_a_file_of_no_use_is_told_in_a_line_or_as_a_finding(
    words: str, file: str, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run([*words.split(), file])
    said = capsys.readouterr()
    if words == "policy eval policies/payload_limit.json --trace" and file == "empty":
        assert (code, said.out) == (1, "unknown\n")  # nothing was observed
        return
    assert code == 2 if file == "missing" else code in (1, 2)
    assert re.search(r"\b[A-Z]\d{4}: ", said.out + said.err)
    assert len(said.err.splitlines()) <= 1
    assert said.err == said.err.strip() + "\n" * bool(said.err)


@pytest.mark.parametrize("words", [words for words in READERS if not re.match("up|sidecar", words)])
def test_an_error_is_json_where_json_is_asked_for(
    words: str, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*words.split(), "missing", "--json"]) == 2
    said = capsys.readouterr()
    assert said.err == ""
    assert set(json.loads(said.out)["error"]) >= {"code", "message", "hint", "file", "line"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("policy check", "policies/payload_limit.json"),
        ("policy eval", "policies/payload_limit.json"),
        ("policy eval", "policies/drones/admission.yaml --action accept_task"),
        ("policy explain", "policies/payload_limit.json --context @examples/context.json"),
        ("policy show", "policies/drones"),
        ("policy fmt", "policies --check"),
        ("policy bounds", "policies/drones"),
        ("policy bench", "policies/payload_limit.json --rounds 1"),
        ("policy compile", "policies/payload_limit.json --target ir -o out.json"),
        ("risk rank", "examples/fleet.json"),
        ("risk whatif", "examples/fleet.json --isolate hub"),
        ("risk whatif", "examples/fleet.json --target 0.9"),
        ("risk whatif", "examples/fleet.json --critical 2"),
        ("risk learn", "examples/incidents.jsonl"),
        ("risk stability", "examples/grid.json"),
        ("forecast eval", "examples/battery.csv --limit 30 --side below"),
    ],
)
def test_json_is_one_object_whose_keys_are_in_the_help(
    name: str, words: str, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*name.split(), *words.split(), "--json"]) in (0, 1)
    said = capsys.readouterr()
    assert said.err == ""
    found = json.loads(said.out)
    [option] = [each for each in LEAVES[f"ripstop {name}"]._actions if "--json" in each.option_strings]
    told = str(option.help)
    known = set(re.findall(r"\w+", told))
    missing = set(found) - known
    assert not missing or "..." in told
    assert set(found) & known


@pytest.mark.parametrize("line", ["policy schema", "--help"])
def test_a_reader_that_goes_away_is_no_error(line: str, workplace: Path) -> None:
    script = f"{sys.executable} -m ripstop {line} | head -c 1"
    ran = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert ran.stderr == ""


@pytest.mark.parametrize(
    ("words", "file"),
    [
        ("policy check -", "policies/payload_limit.json"),
        ("policy show -", "policies/drones/admission.yaml"),
        ("policy eval policies/payload_limit.json --context @-", "examples/context.json"),
        ("risk -", "examples/fleet.json"),
        ("risk learn -", "examples/incidents.jsonl"),
        ("risk stability -", "examples/grid.json"),
        ("forecast eval - --limit 30", "examples/battery.csv"),
    ],
)
def test_a_hyphen_stands_for_standard_input(
    words: str, file: str, workplace: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ours = os.dup(0)
    try:
        with Path(file).open("rb") as given:
            os.dup2(given.fileno(), 0)
            assert run(words.split()) == 0
    finally:
        os.dup2(ours, 0)
        os.close(ours)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("ripstop ri", {"risk "}),
        ("ripstop policy ex", {"explain "}),
        ("ripstop risk whatif --by is", {"isolate "}),
    ],
)
def test_a_shell_completes_commands_options_and_values(line: str, found: set[str], tmp_path: Path) -> None:
    told = tmp_path / "told"
    completing = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_STDOUT_FILENAME": str(told), "_ARGCOMPLETE_IFS": "\n"}
    subprocess.run(
        [sys.executable, "-m", "ripstop"],
        env={**os.environ, **completing, "COMP_LINE": line, "COMP_POINT": str(len(line)), "COMP_TYPE": "9"},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert set(told.read_text().split("\n")) == found


def test_a_figure_that_is_not_finite_is_null_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_json({"a": float("inf"), "b": (1.5, float("nan")), "c": [{"d": -float("inf")}]})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [1.5, None], "c": [{"d": None}]}


def test_a_table_too_wide_for_the_terminal_becomes_blocks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    header, rows = ("#", "node", "P(cascade)"), [("1", "drone-with-a-long-name", "0.25"), ("2", "井", "1")]
    output.print_table("two nodes", header, rows)
    assert capsys.readouterr().out.splitlines()[1:] == [
        "#  node                    P(cascade)",
        "1  drone-with-a-long-name        0.25",
        "2  井                               1",
    ]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "30")
    output.print_table("two nodes", header, rows[:1])
    assert capsys.readouterr().out.splitlines()[1:] == [
        "# 1",
        "  node drone-with-a-long-name",
        "  P(cascade) 0.25",
    ]
