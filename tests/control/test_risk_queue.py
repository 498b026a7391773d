"""Worlds counted by worker processes over a real NATS server: the same bytes, whoever dies."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nats
import networkx as nx
import numpy as np
import pytest
from nats.js.errors import NotFoundError

from ripstop.cli import main
from ripstop.control.riskqueue import CONSUMER, STREAM, NatsQueue
from ripstop.core.errors import WireError
from ripstop.links.server import server_binary
from ripstop.risk import Graph, RiskReport, Settings, assess, write_graph

pytestmark = pytest.mark.nats

Start = Callable[[], "subprocess.Popen[str]"]


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(server_binary()), "-js", "-a", "127.0.0.1", "-p", str(port), "-sd", str(tmp_path / "js")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        assert any("Server is ready" in line for line in server.stderr)
        yield f"nats://127.0.0.1:{port}"
        server.kill()


@pytest.fixture
def start(url: str) -> Iterator[Start]:
    running: list[subprocess.Popen[str]] = []

    def started() -> subprocess.Popen[str]:
        command = [str(Path(sys.executable).parent / "ripstop"), "risk", "worker", "--nats", url]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stderr is not None
        assert "taking units from" in process.stderr.readline()
        return process

    yield started
    for process in running:
        process.kill()
        process.communicate()


def fleet(n: int = 200) -> Graph:
    source = nx.gnm_random_graph(n, 4 * n, seed=1, directed=True)
    nx.set_edge_attributes(source, 0.3, "weight")
    return Graph.from_networkx(source)


def asked(graph: Graph, url: str, trials: int = 6400, parts: int = 16) -> RiskReport:
    with NatsQueue(url, parts=parts) as pool:
        return assess(graph, trials=trials, seed=3, settings=Settings(pool=pool))


def test_workers_count_what_one_process_counts(url: str, start: Start) -> None:
    workers = [start(), start()]
    graph = fleet()
    whole = assess(graph, trials=6400, seed=3)
    assert asked(graph, url).hits.tobytes() == whole.hits.tobytes()
    for worker in workers:
        worker.send_signal(signal.SIGTERM)
    counted = [int(worker.communicate(timeout=30)[0].split()[0]) for worker in workers]
    assert sum(counted) == 16
    assert [worker.returncode for worker in workers] == [0, 0]


def test_a_worker_that_is_stopped_and_killed_in_the_middle_loses_nothing(url: str, start: Start) -> None:
    graph = fleet()
    whole = assess(graph, trials=160_000, seed=3)
    victim = start()
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(asked, graph, url, 160_000, 8)
        asyncio.run(unit_is_taken(url))
        os.kill(victim.pid, signal.SIGKILL)
        start()
        found = coming.result(timeout=120)
    assert found.hits.tobytes() == whole.hits.tobytes()


async def unit_is_taken(url: str) -> None:
    client = await nats.connect(url)
    while True:
        try:
            if (await client.jetstream().consumer_info(STREAM, CONSUMER)).num_ack_pending:
                break
        except NotFoundError:
            await asyncio.sleep(0)  # nobody has asked yet
    await client.close()


def test_an_answer_too_large_for_a_message_goes_through_the_store(
    url: str, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    start()
    n = 150_000
    rng = np.random.default_rng(1)
    graph = Graph.from_arrays(range(n), rng.integers(0, n, (n, 2)), rng.uniform(0, 1, n))
    how = {"trials": 64, "theta": 0.00002, "seed": 2}
    whole = assess(graph, settings=Settings(expected=True), **how)
    with NatsQueue(url, parts=1) as pool:
        far = assess(graph, settings=Settings(expected=True, pool=pool), **how)
    assert far.hits.tobytes() == whole.hits.tobytes()
    assert far.expected_share is not None
    assert whole.expected_share is not None
    assert far.expected_share.tobytes() == whole.expected_share.tobytes()


def test_the_command_line_spreads_over_the_queue(
    url: str, start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start()
    write_graph(fleet(40), tmp_path / "fleet.json")
    command = ["risk", str(tmp_path / "fleet.json"), "--trials", "640", "--json"]
    assert main(command) == 0
    alone = json.loads(capsys.readouterr().out)
    assert main([*command, "--queue", url]) == 0
    assert json.loads(capsys.readouterr().out) == alone


def test_without_a_server_it_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(WireError) as caught, NatsQueue("nats://somebody:secret@127.0.0.1:1"):
        pass
    assert caught.value.code == "W1003"
    assert "secret" not in str(caught.value)
    assert main(["risk", "worker", "--nats", "nats://127.0.0.1:1"]) != 0
    assert "W1003" in capsys.readouterr().err
