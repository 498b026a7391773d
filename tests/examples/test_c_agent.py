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
from dataclasses import replace
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import pytest

from ripstop.control import ControlSettings, load_playbook
from ripstop.control.authority import Will
from ripstop.control.dispatch import Purpose
from ripstop.control.registry import Presence
from ripstop.control.service import ControlService, ServiceOptions
from ripstop.core.canonical import canonical_json
from ripstop.core.errors import ConfigurationError
from ripstop.core.intent import Mitigation, MitigationKind, OnSilence
from ripstop.core.messages import StopOrder
from ripstop.core.node import Send
from ripstop.core.wire.envelope import Ed25519Signer, EnvelopeType, Header, seal
from ripstop.core.wire.record import pack
from ripstop.links.server import NatsServer
from ripstop.policy.loader import load_vocabulary

ROOT = Path(__file__).resolve().parents[2]
C = ROOT / "examples" / "c"
MAKE, CC = shutil.which("make"), shutil.which("gcc") or shutil.which("clang")
HAS_LIBRARY = all(Path(f"/usr/include/{name}.h").exists() for name in ("mosquitto", "sodium"))
pytestmark = [
    pytest.mark.nats,
    pytest.mark.skipif(
        not (MAKE and CC and HAS_LIBRARY), reason="needs make, a C compiler, libmosquitto-dev, libsodium-dev"
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


async def launched(
    service: ControlService, build: Path, trace: Path, **more: object
) -> asyncio.subprocess.Process:
    port = service.server.mqtt_address.rpartition(":")[2]
    return await asyncio.create_subprocess_exec(
        build / "agent", "127.0.0.1", port, "city", "c1", trace, "1",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "DEVICE_PASSWORD": service.server.mqtt_passwords["c1"],
             **{name: str(value) for name, value in more.items()}},
    )  # fmt: skip


class Flight:
    """A C agent that obeys, and what it has said so far."""

    def __init__(self, service: ControlService, build: Path, trace: Path, folder: Path) -> None:
        self.said: list[str] = []
        self._start = (service, build, trace)
        self._files = {f"DEVICE_{name}": folder / name.lower() for name in ("STATE", "LEDGER", "TRUST")}
        keys = service.keys.trusted()
        text = "".join(f"{key.role.value} {key.public.hex()}\n" for key in keys)
        self._files["DEVICE_TRUST"].write_text(text)

    async def __aenter__(self) -> Flight:
        self.agent = await launched(*self._start, **self._files)
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.agent.kill()
        await self.agent.wait()
        await self._reader

    async def _read(self) -> None:
        assert self.agent.stdout is not None
        while line := await self.agent.stdout.readline():
            self.said.append(line.decode().split()[2])

    async def verdicts(self, count: int) -> set[str]:
        """What the next decisions say."""
        begun = len(self.said)
        await until(lambda: len(self.said) >= begun + count)
        return set(self.said[begun : begun + count])


def order(service: ControlService, *mitigations: Mitigation) -> None:
    """Issue an intent of exactly these mitigations, as the control plane issues its own."""
    will = Will(service.node.authority.will.release, mitigations)
    purpose = Purpose.MITIGATION if mitigations else Purpose.LIFT
    now = service.clock.now()
    service.driver.perform(service.node.dispatch.issue(will, purpose, frozenset({"c1"}), "i1", now))


async def obeyed(service: ControlService) -> None:
    member = service.node.registry.get("c1")
    assert member is not None
    await until(lambda: member.position == service.node.authority.position)


async def round_trip(service: ControlService) -> None:
    """Wait for a beat of this life, and for the tick that echoes it."""
    member, authority = service.node.registry.get("c1"), service.node.authority
    assert member is not None
    heard_us = member.heard_us
    await until(lambda: member.heard_us > heard_us and authority.is_active)
    number = authority.tick_number
    await until(lambda: authority.tick_number > number)


def say_stop(service: ControlService, signer: Ed25519Signer, kind: EnvelopeType, body: object) -> None:
    sealed = seal(signer, kind, Header("city", "fleet"), pack(body))
    service.driver.perform((Send(service.node.names.stop, sealed),))


def test_a_c_agent_obeys_signed_intents_and_the_stop_switch_over_kill_and_silence(
    build: Path, tmp_path: Path
) -> None:
    trace = tmp_path / "flight.csv"
    head = "t_s,action,battery_percent,payload_kg,margin_after_wh,reserve_wh"
    rows = [f"{row * 0.05:.2f},accept_task,90,0.2,9,3" for row in range(20_000)]
    trace.write_text("\n".join([head, *rows]) + "\n")
    policy = canonical_json(
        {"ripstop": 1, "id": "hub/shed", "guards": ["accept_task"], "rule": False}
    ).decode()
    shed = Mitigation("m1", "i1", MitigationKind.SHED, ("c1",), policy, 600.0, OnSilence.HOLD)
    brief = Mitigation("m2", "i1", MitigationKind.SHED, ("c1",), policy, 1.0, OnSilence.REVERT)
    elsewhere = replace(shed, targets=("c2",))

    async def body() -> None:
        async with ground(tmp_path) as service:
            keys = service.keys
            async with Flight(service, build, trace, tmp_path) as flight:
                assert await flight.verdicts(5) == {"allow"}
                await round_trip(service)
                order(service, elsewhere)
                await obeyed(service)
                assert await flight.verdicts(5) == {"allow"}
                order(service, shed)
                await obeyed(service)
                await flight.verdicts(1)
                assert await flight.verdicts(5) == {"deny"}
            async with Flight(service, build, trace, tmp_path) as flight:
                assert await flight.verdicts(5) == {"deny"}  # before any word of the ground
                await round_trip(service)
                order(service)
                await until(lambda: flight.said[-1] == "allow")
                order(service, brief)
                await until(lambda: flight.said[-1] == "deny")
                service.node.authority.will = Will(service.node.authority.will.release)  # renewed no more
                service.server.kill()  # silence: the lease ends, and as declared all goes back
                await until(lambda: flight.said[-1] == "allow")
                await until(lambda: service.server.restarts == 1)
                await round_trip(service)
                say_stop(service, keys.command, EnvelopeType.STOP, StopOrder("s0", "fleet", "a forger", 1))
                say_stop(service, keys.stop, EnvelopeType.STOP, StopOrder("s1", "fleet", "smoke", 1))
                await until(lambda: flight.said[-1] == "deny")
            async with Flight(service, build, trace, tmp_path) as flight:
                assert await flight.verdicts(5) == {"deny"}

    asyncio.run(body())
    check_ledger(tmp_path / "ledger", {"allow", "deny", "intent", "stop"})


def check_ledger(path: Path, kinds: set[str]) -> None:
    """Each line has the hash of the one before; a kill has torn nothing that was counted."""
    before, found = "0" * 64, set()
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), 1):
        said_number, said_before, _, kind, *_ = line.decode().split()
        assert (int(said_number), said_before) == (number, before)
        before = sha256(line).hexdigest()
        found.add(kind)
    assert found == kinds


def test_the_device_ledger_is_bounded_and_mends_a_torn_line(build: Path, tmp_path: Path) -> None:
    source = tmp_path / "try.c"
    source.write_text(
        '#include "ledger.h"\n#include <stdlib.h>\nint main(int n, char **a) { ledger l; (void)n;\n'
        "if (ledger_open(&l, a[1], 4096) != 0) { return 2; }\n"
        'for (int i = atoi(a[2]); i > 0; i--) { if (ledger_add(&l, 7, "allow x") != 0) { return 3; } }\n'
        "ledger_close(&l); return 0; }\n"
    )
    made = tmp_path / "try"
    flags = ["-std=c11", "-Wall", "-Werror", "-fsanitize=address,undefined", f"-I{C}"]
    subprocess.run([str(CC), *flags, source, C / "ledger.c", "-o", made, "-lsodium"], check=True, timeout=60)
    path, older = tmp_path / "l", tmp_path / "l.1"
    subprocess.run([made, path, "5"], check=True)
    check_ledger(path, {"allow"})
    whole = path.read_bytes()
    for cut in range(len(whole) - 80, len(whole)):
        path.write_bytes(whole[:cut])
        subprocess.run([made, path, "1"], check=True)
        check_ledger(path, {"allow"})
        assert len(path.read_bytes().splitlines()) == whole[:cut].count(b"\n") + 1
    subprocess.run([made, path, "100"], check=True)
    assert path.stat().st_size + older.stat().st_size <= 4096
    lines = (older.read_bytes() + path.read_bytes()).splitlines(keepends=True)
    for before, line in pairwise(lines):
        assert line.split()[1].decode() == sha256(before).hexdigest()


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
