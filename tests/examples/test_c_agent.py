"""The C agent over MQTT, against a real control plane: it decides whatever happens to the link."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ripstop.control import ControlSettings, load_playbook
from ripstop.control.registry import Presence
from ripstop.control.service import ControlService, ServiceOptions
from ripstop.core.errors import ConfigurationError
from ripstop.links.server import NatsServer
from ripstop.policy.loader import load_vocabulary

ROOT = Path(__file__).resolve().parents[2]
C = ROOT / "examples" / "c"
MAKE, CC = shutil.which("make"), shutil.which("gcc") or shutil.which("clang")
HAS_LIBRARY = Path("/usr/include/mosquitto.h").exists()
pytestmark = [
    pytest.mark.nats,
    pytest.mark.skipif(
        not (MAKE and CC and HAS_LIBRARY), reason="needs make, a C compiler, libmosquitto-dev"
    ),
]
BEAT_S = 0.3


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example as its Makefile makes it, with quick beats."""
    out = tmp_path_factory.mktemp("build")
    flags = f"-std=c11 -O1 -Wall -Wextra -Wpedantic -Werror -DBEAT_US={round(BEAT_S * 1e6)}"
    command = [str(MAKE), f"OUT={out}", f"CFLAGS={flags}", f"CC={CC}", f"PYTHON={sys.executable}"]
    subprocess.run(command, cwd=C, check=True, capture_output=True, timeout=120)
    return out


@contextlib.asynccontextmanager
async def ground(folder: Path) -> AsyncIterator[ControlService]:
    policies = folder / "policies"
    shutil.copytree(ROOT / "policies" / "drones", policies / "drones")
    shutil.copytree(ROOT / "vocabularies", policies / "vocabularies")
    settings = ControlSettings("city", beat_s=BEAT_S, tick_s=BEAT_S, survey_s=0.0)
    options = ServiceOptions(
        folder / "data",
        policies,
        load_playbook(ROOT / "playbooks" / "drones.yaml"),
        load_vocabulary(ROOT / "vocabularies" / "drone.yaml"),
        settings,
        mqtt_devices=("c1",),
    )
    async with ControlService(options) as service:
        service.told = []  # type: ignore[attr-defined]
        service.on_report = lambda report, now: service.told.append(report)  # type: ignore[attr-defined]
        yield service


async def until(claim, timeout_s: float = 20.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not claim():  # noqa: ASYNC110 - what is waited for happens in many places
            await asyncio.sleep(0.02)


def flight(path: Path, rows: int) -> Path:
    """A long flight: the battery drains, every second row asks for something."""
    lines = ["t_s,action,battery_percent,payload_kg,margin_after_wh,reserve_wh"]
    for row in range(rows):
        battery = "nan" if row % 50 == 49 else f"{max(0.0, 60 - row * 0.2):.1f}"
        action = ("", "accept_task")[row % 2]
        lines.append(f"{row * 0.1:.1f},{action},{battery},{(row % 5) * 0.5},6,3")
    path.write_text("\n".join(lines) + "\n")
    return path


async def launched(service: ControlService, build: Path, trace: Path) -> asyncio.subprocess.Process:
    port = service.server.mqtt_address.rpartition(":")[2]
    return await asyncio.create_subprocess_exec(
        build / "agent", "127.0.0.1", port, "city", "c1", trace, "1",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "DEVICE_PASSWORD": service.server.mqtt_passwords["c1"]},
    )  # fmt: skip


def test_a_c_agent_is_heard_comes_back_and_is_gone_when_it_is_killed(build: Path, tmp_path: Path) -> None:
    trace = flight(tmp_path / "flight.csv", 1200)
    wanted = subprocess.run([build / "decide", trace], capture_output=True, text=True, check=True).stdout

    async def body() -> None:
        async with ground(tmp_path) as service:
            agent = await launched(service, build, trace)
            try:
                member = service.node.registry.get("c1")
                assert member is not None
                await until(lambda: member.presence is Presence.PRESENT)
                await until(lambda: service.node.telemetry.last("c1", "battery_percent") is not None)
                await until(lambda: any(r.fields.get("notice") == "action.vetoed" for r in service.told))
                service.server.kill()
                await until(lambda: service.server.restarts == 1)
                heard_us = member.heard_us
                await until(lambda: member.heard_us > heard_us + 1_000_000)
                assert set(service.node.telemetry.counts) <= {"accepted", "invalid"}
                agent.send_signal(signal.SIGKILL)
                await until(lambda: member.is_disconnected, timeout_s=2.0)
                await until(lambda: member.presence is Presence.GONE, timeout_s=8 * BEAT_S)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    agent.kill()
                printed, _ = await agent.communicate()
            assert [r.name for r in service.told if r.name in ("message.refused", "incident.opened")] == []
            assert not service.node.authority.will.mitigations
            said = printed.decode()
            assert len(said.splitlines()) > 10
            assert wanted.startswith(said), "what is decided depends on the link"

    asyncio.run(body())


def test_without_any_ground_the_same_is_decided(build: Path) -> None:
    trace = ROOT / "examples" / "traces" / "drone.csv"
    wanted = subprocess.run([build / "decide", trace], capture_output=True, text=True, check=True).stdout
    command = [build / "agent", "127.0.0.1", "9", "city", "c1", trace, "1000"]
    environment = {**os.environ, "DEVICE_PASSWORD": "none"}
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=20)
    assert run.stdout == wanted


def test_a_device_has_its_own_password_and_only_its_own_subjects(build: Path, tmp_path: Path) -> None:
    async def body() -> None:
        server = NatsServer(tmp_path, "city", mqtt_devices=("c1",))
        await server.start()
        try:
            password = await server.add_mqtt_device("c2")
            assert password not in ("", server.mqtt_passwords["c1"])
            assert await server.add_mqtt_device("c2") == password
            with pytest.raises(ConfigurationError, match="C0505"):
                await server.add_agents({"c2": "U" + "A" * 55})
            with pytest.raises(ConfigurationError, match="C0504"):
                await server.add_mqtt_device("watch")
            assert server.agent_of("c2") == "c2"
            await server.remove_agent("c2")
            assert server.agent_of("c2") is None
        finally:
            await server.stop()
        again = NatsServer(tmp_path, "city", mqtt_port=0)
        await again.start()
        assert again.mqtt_address == server.mqtt_address
        assert dict(again.mqtt_passwords) == dict(server.mqtt_passwords)
        await again.stop()

    asyncio.run(body())
