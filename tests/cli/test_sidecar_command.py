"""`ripstop sidecar` as others meet it: a process that serves, refuses a second one, and ends by a signal."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.sidecar_stage import Client
from ripstop.agent.inspection import inspect_ledger
from ripstop.cli import main

ROOT = Path(__file__).parents[2]
POLICY = str(ROOT / "policies" / "payload_limit.json")


def words(folder: Path, *more: str) -> list[str]:
    return ["sidecar", "drone-42", "--policy", POLICY, "--data", str(folder), "--json", *more]


@contextmanager
def running(folder: Path, *more: str, ends_by: int = signal.SIGTERM) -> Iterator[Any]:
    """Run the command; gives what it told first."""
    command = [sys.executable, "-m", "ripstop", *words(folder, *more)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.send_signal(ends_by)
            rest = process.stdout.read()
            code = process.wait(20)
    assert (code, json.loads(rest)) == (0, {"event": "sidecar.ended"})


@pytest.mark.parametrize("ends_by", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_it_serves_and_ends_with_its_ledger_whole_and_its_socket_gone(tmp_path: Path, ends_by: int) -> None:
    with running(tmp_path, ends_by=ends_by) as told:
        assert (told["event"], told["agents"], told["address"]) == ("sidecar.started", ["drone-42"], "")
        client = Client(told["socket"])
        client.post("/v1/observe", readings={"battery_percent": 80})
        decided = client.post("/v1/decide", action="accept_task", context={"payload_kg": 0.5})
        assert decided["verdict"] == "allow"
    client.close()
    assert not Path(told["socket"]).exists()
    report = inspect_ledger(tmp_path / "drone-42" / "ledger")
    assert report.findings == []
    assert report.ledger is not None
    assert [entry.kind.value for _, entry in report.ledger.entries].count("decision") == 1


def test_a_second_sidecar_on_one_ledger_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(tmp_path, "--durable", "--port", "0") as told:
        assert told["address"].startswith("http://127.0.0.1:")
        second = words(tmp_path, "--socket", str(tmp_path / "other.sock"))
        assert main(second) == 2
        assert json.loads(capsys.readouterr().out)["error"]["code"] == "C0401"
        client = Client(told["socket"])
        asked = {"action": "take_off", "context": {"battery_percent": 80, "payload_kg": 1}}
        assert client.post("/v1/decide", **asked)["verdict"] == "allow"  # the first one goes on
        client.close()


def test_after_a_kill_it_starts_again(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ripstop", *words(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        process.kill()
    assert Path(told["socket"]).exists()
    with running(tmp_path) as again:
        client = Client(again["socket"])
        assert client.ask("GET", "/v1/health")[0] == 200
        client.close()


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (("--policy", "nowhere.json"), "C0008"),
        (("--slow-s", "-1"), "C0301"),
        (("--call-s", "nan"), "C0385"),
        (("--token-file", "/dev/null", "--port", "0"), "C0384"),
        (("--socket", "/dev/null"), "C0382"),
    ],
)
def test_what_cannot_be_served_is_a_coded_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], code: str
) -> None:
    assert main(words(tmp_path, *more)) in (1, 2)
    assert json.loads(capsys.readouterr().out)["error"]["code"] == code


def test_a_port_that_is_taken_is_a_coded_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(words(tmp_path, "--port", str(taken.getsockname()[1]))) in (1, 2)
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "C0383"


def test_a_number_that_is_no_port_is_an_error_of_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(words(tmp_path, "--port", "70000"))
    assert "expected a port from 0 to 65535" in capsys.readouterr().err


def test_a_bad_name_is_a_coded_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sidecar", "a/../b", "--policy", POLICY, "--data", str(tmp_path), "--json"]) != 0
    assert json.loads(capsys.readouterr().out)["error"]["code"]
    assert list(tmp_path.iterdir()) == []


def test_it_ends_quietly_when_nobody_reads_what_it_prints(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ripstop", *words(tmp_path)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:  # type: ignore[call-overload]
        told = json.loads(process.stdout.readline())
        process.stdout.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 1
        assert process.stderr.read() == ""
    assert not Path(told["socket"]).exists()


def test_the_guide_s_commands_answer_what_it_shows(tmp_path: Path) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    page = (ROOT / "docs" / "guide" / "sidecar.md").read_text()
    shown = re.findall(r"^\$ (curl .*--unix-socket.*)\n(.*)$", page, re.M)
    assert len(shown) == 4
    with running(tmp_path / "ripstop-agents"):
        for command, answer in shown:
            run = subprocess.run(
                ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=20, check=True
            )
            wanted = re.escape(answer).replace(re.escape("..."), ".*")
            assert re.fullmatch(wanted, run.stdout), run.stdout


def test_it_takes_stops_that_are_laid_into_an_agents_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for line in (
        "key sam --role stop",
        "key sly --role stop --folder elsewhere",
        "sign smoke --key sam.key --to stop.token",
        "sign smoke --key elsewhere/sly.key --to forged.token",
        "sign smoke --key sam.key --fleet other --to other.token",
    ):
        (tmp_path / "elsewhere").mkdir(exist_ok=True)
        assert main(["stop", *line.split()]) == 0
    send = ["stop", "send", "--agent", str(tmp_path / "data" / "drone-42"), "--wait", "20"]
    with running(tmp_path / "data", "--keys", str(tmp_path)) as told:
        client = Client(told["socket"])
        for refused, code in (("forged.token", "W0202"), ("other.token", "W0205")):
            assert main([*send, refused]) == 1
            assert code in capsys.readouterr().out
        context = {"payload_kg": 0.1, "battery_percent": 90}
        assert client.post("/v1/decide", action="accept_task", context=context)["verdict"] == "allow"
        assert main([*send, "stop.token"]) == 0
        decided = client.post("/v1/decide", action="accept_task", context=context)
        assert (decided["verdict"], decided["reasons"][0]["policy"]) == ("deny", "agent/stop")
    client.close()
    with running(tmp_path / "data") as told:  # nobody's signature counts, and the latch holds
        assert main([*send, "stop.token"]) == 1
        client = Client(told["socket"])
        decided = client.post("/v1/decide", action="accept_task", context=context)
        assert decided["reasons"][0]["policy"] == "agent/stop"
    client.close()


def test_keys_that_are_not_there_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words(tmp_path, "--keys", str(tmp_path))) == 2
    assert "C0231" in capsys.readouterr().out
