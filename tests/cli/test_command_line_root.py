"""The root of the command line finds commands lazily and turns errors into exit codes."""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import ripstop
from ripstop.cli import main
from ripstop.cli.root import COMMANDS
from ripstop.core.errors import ConfigurationError, PolicyError, missing_extra
from ripstop.links import Identity

ROOT = Path(__file__).parents[2]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put a command of the test's own in the place of `policy`, or of another one."""

    def install(body: Callable[[], int], name: str = "policy") -> None:
        module = ModuleType(f"ripstop.cli.{name}")

        def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
            parser = subparsers.add_parser(name)
            parser.add_argument("--json", action="store_true")
            parser.set_defaults(func=lambda args: body())

        module.__dict__["add_parser"] = add_parser
        monkeypatch.setitem(sys.modules, f"ripstop.cli.{name}", module)

    return install


def fail(error: BaseException) -> Callable[[], int]:
    def body() -> int:
        raise error

    return body


def test_help_names_every_command_and_loads_none(capsys: pytest.CaptureFixture[str]) -> None:
    before = {name for name in sys.modules if name.startswith("ripstop.cli.")}
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert all(f"    {name} " in text for name in COMMANDS)
    assert {name for name in sys.modules if name.startswith("ripstop.cli.")} == before


def test_the_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"ripstop {ripstop.__version__}\n"


def test_no_command_is_a_usage_error_answered_with_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "commands:" in capsys.readouterr().err


def test_an_unknown_command_is_a_usage_error() -> None:
    with pytest.raises(SystemExit) as stop:
        main(["fly"])
    assert stop.value.code == 2


def test_the_exit_code_is_the_command_s(command: Callable[[Callable[[], int]], None]) -> None:
    command(lambda: 1)
    assert main(["policy"]) == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PolicyError("the policy is empty", code="E0101"), 1),
        (ConfigurationError("no data folder", code="C0009", hint="give one"), 2),
    ],
)
def test_an_error_is_one_line_on_stderr(
    command: Callable[[Callable[[], int]], None],
    capsys: pytest.CaptureFixture[str],
    error: PolicyError,
    code: int,
) -> None:
    command(fail(error))
    assert main(["policy"]) == code
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == f"{error}\n"


def test_an_error_is_json_where_json_was_asked_for(
    command: Callable[[Callable[[], int]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    command(fail(PolicyError("the policy is empty", code="E0101")))
    assert main(["policy", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "E0101"


def test_a_file_of_the_user_s_that_cannot_be_used_is_named_in_one_line(
    command: Callable[[Callable[[], int]], None], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()

    def make() -> int:
        (tmp_path / "file" / "folder").mkdir(parents=True)
        return 0

    command(make)
    assert main(["policy"]) == 2
    where = tmp_path / "file" / "folder"
    assert capsys.readouterr().err == f"C0010: `{where}` cannot be used, not a directory\n"


@pytest.mark.parametrize("port", ["-1", "65536", "x", "1.5", "\u0663"])
def test_what_is_no_port_is_a_usage_error(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("--port", "--metrics-port", "--mqtt-port"):
        with pytest.raises(SystemExit) as caught:
            main(["up", f"{option}={port}"])
        assert caught.value.code == 2
        assert "expected a port from 0 to 65535" in capsys.readouterr().err


@pytest.mark.parametrize("beat", ["0", "-1", "nan", "inf"])
def test_beats_need_time_between_them(beat: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["up", "--data", str(tmp_path), f"--beat={beat}"]) == 2
    assert "C0211" in capsys.readouterr().err


def test_an_interrupt_is_quiet(
    command: Callable[[Callable[[], int]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    command(fail(KeyboardInterrupt()))
    assert main(["policy"]) == 130
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("when", ["while loading", "while running"])
def test_a_missing_package_names_the_extra_to_install(
    command: Callable[[Callable[[], int]], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    when: str,
) -> None:
    missing = ModuleNotFoundError("No module named `ruamel`", name="ruamel.yaml")
    command(fail(missing))
    if when == "while loading":

        def refuse(name: str) -> ModuleType:
            raise missing

        monkeypatch.setattr(importlib, "import_module", refuse)
    assert main(["policy"]) == 2
    assert capsys.readouterr().err == (
        "C0001: `ruamel` is not installed (hint: pip install 'ripstop[tools]')\n"
    )


@pytest.mark.parametrize(
    ("name", "package", "part", "whole"),
    [
        ("audit", "numba", "risk", "control"),
        ("demo", "structlog", "control", "demo"),
        ("risk", "matplotlib", "sim", "sim"),  # more than the command needs for most of what it does
        ("sidecar", "ruamel.yaml", "tools", "tools"),
    ],
)
def test_a_missing_part_of_what_a_command_needs_names_the_whole(
    command: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    name: str,
    package: str,
    part: str,
    whole: str,
) -> None:
    command(fail(missing_extra(package, part)), name)
    assert main([name]) == 2
    assert capsys.readouterr().err == (
        f"C0001: `{package}` is not installed (hint: pip install 'ripstop[{whole}]')\n"
    )


def test_a_missing_module_of_our_own_is_a_bug_and_not_hidden(
    command: Callable[[Callable[[], int]], None],
) -> None:
    command(fail(ModuleNotFoundError("No module named `ripstop.gone`", name="ripstop.gone")))
    with pytest.raises(ModuleNotFoundError):
        main(["policy"])


def test_what_is_wrong_with_a_document_for_a_command_that_serves_is_configuration(tmp_path, capsys):
    cut = tmp_path / "playbook.json"
    cut.write_text('{"playbook": 1,')
    assert main(["up", "--data", str(tmp_path / "data"), "--playbook", str(cut)]) == 2
    assert f"{cut}:1:16: E0104" in capsys.readouterr().err
    assert main(["policy", "check", str(cut)]) == 1


def test_an_agent_that_could_not_join_says_so_the_next_time_too(tmp_path, capsys):
    data = ["--data", str(tmp_path)]
    assert main(["agent", "x", *data, "--server", "nats://127.0.0.1:1", "--token", "mistyped"]) == 2
    assert "C0508" in capsys.readouterr().err
    assert not (tmp_path / "x" / "identity.json").exists()
    Identity.make("x", "nats://127.0.0.1:1").save(tmp_path / "x" / "identity.json")
    assert main(["agent", "x", *data]) == 2
    assert "C0306: `x` has not joined a fleet yet" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize(
    "words", ["policy check policies/payload_limit.json", "risk examples/fleet.json --json"]
)
def test_an_output_that_takes_no_more_is_one_line_on_stderr(words: str) -> None:
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "ripstop", *words.split()],
            stdout=full, stderr=subprocess.PIPE, cwd=ROOT, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert ran.stderr == "C0010: the output cannot be written, no space left on device\n"
    assert ran.returncode == 2


@pytest.mark.parametrize(
    "words", ["--seconds nan", "--seconds -5", "--charge nan", "--charge 101", "--fault-after inf"]
)
def test_an_agent_takes_no_time_and_no_charge_that_there_is_not(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["agent", "d1", *words.split()])
    assert caught.value.code == 2
    assert "expected a number from 0 to" in capsys.readouterr().err
