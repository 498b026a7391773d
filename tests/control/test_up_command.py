"""`ripstop up` as a process."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from functools import partial

import pytest

pytestmark = pytest.mark.nats


RUN = "import sys; from ripstop.cli import main; sys.exit(main())"


def command(*words):
    return [sys.executable, "-c", RUN, *map(str, words)]


def test_up_tells_how_to_join_refuses_a_second_one_and_leaves_nothing_behind(tmp_path):
    data = tmp_path / "data"
    up = subprocess.Popen(command("up", "--data", data, "--json"), stdout=subprocess.PIPE, text=True)
    guard = threading.Timer(60.0, up.kill)
    guard.start()
    try:
        told = next(event for event in map(json.loads, up.stdout) if event["event"] == "up")
        assert told["token"].startswith("fleet.")
        assert (data / "keys" / "command.key").stat().st_mode & 0o077 == 0
        second = subprocess.run(command("up", "--data", data), capture_output=True, text=True, timeout=60)
        assert second.returncode == 2
        assert "C0502" in second.stderr
        up.send_signal(signal.SIGINT)
        up.stdout.read()
        assert up.wait(timeout=30) == 0
    finally:
        guard.cancel()
        if up.poll() is None:
            up.kill()
        up.stdout.close()
    host, port = told["address"].removeprefix("nats://").split(":")
    with socket.socket() as probe:
        assert probe.connect_ex((host, int(port))) != 0
    verified = subprocess.run(
        command("audit", "verify", data, "--json"), capture_output=True, text=True, timeout=60
    )
    assert verified.returncode == 0
    assert json.loads(verified.stdout)["counts"]["log.bundles"] == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_up_tells_its_address_while_kernels_are_compiled_and_its_end_does_not_wait_for_them(tmp_path, number):
    cold = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    up = subprocess.Popen(
        command("up", "--data", tmp_path / "data"),
        stdout=subprocess.PIPE,
        text=True,
        env=cold,
        preexec_fn=partial(signal.signal, signal.SIGHUP, signal.SIG_DFL),  # under `nohup` it is ignored
    )
    guard = threading.Timer(60.0, up.kill)
    guard.start()
    try:
        lines = iter(up.stdout)
        assert next(lines).startswith("ripstop is up: fleet `fleet` at nats://127.0.0.1:")
        next(line for line in lines if line.startswith("preparing the risk kernels"))
        up.send_signal(number)
        assert "stopped; the data stay in" in up.stdout.read()
        assert up.wait(timeout=10) == 0
    finally:
        guard.cancel()
        if up.poll() is None:
            up.kill()
        up.stdout.close()


def test_a_playbook_that_does_not_load_ends_up_with_its_place(tmp_path):
    path = tmp_path / "playbook.yaml"
    path.write_text("playbook: 1\nnonsense: 1\n")
    ended = subprocess.run(
        command("up", "--data", tmp_path / "data", "--playbook", path),
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ,
    )
    assert ended.returncode == 2
    assert f"{path}:2:1: C0201" in ended.stderr
