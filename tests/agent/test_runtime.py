"""An agent over a real nats-server, with a scripted ground that signs as the control plane would."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.scripted_ground import COMMAND, NAMES, POLICY, RELEASE, Ground, World, mitigation
from ripstop.agent import ActionVetoed, NodeSettings
from ripstop.agent.runtime import AgentRuntime
from ripstop.core.errors import ConfigurationError
from ripstop.core.messages import LEAVE, AckStatus, Item, PeerKind, PeerMessage
from ripstop.core.node import Send
from ripstop.core.wire.chain import check_segment, genesis
from ripstop.core.wire.envelope import TrustedKey
from ripstop.core.wire.record import pack, unpack
from ripstop.links import EnrolmentDesk, NatsLink, NatsServer, NodeDriver, enrol
from ripstop.links.permissions import enrol_subject

pytestmark = pytest.mark.nats
TRUSTED = tuple(TrustedKey(key.public, key.role) for key in (COMMAND, RELEASE))
SETTINGS = NodeSettings("a", "city", beat_s=0.3, segment_s=0.3, watch=("battery_v",))


class LiveGround(Ground):
    """The scripted ground, but segments are opened with the key that the agent made itself."""

    def __init__(self, desk):
        super().__init__()
        self.desk = desk
        self.segments = []

    def step(self, event, now):
        from ripstop.core.messages import Segment
        from ripstop.core.node import Message
        from ripstop.core.wire.envelope import EnvelopeType, Keyring, Role, open_envelope

        if isinstance(event, Message) and ".segment." in event.subject:
            public = self.desk.signing_keys["a"]
            keyring = Keyring.of([TrustedKey(public, Role.AGENT)])
            envelope = open_envelope(keyring, "city", EnvelopeType.SEGMENT, event.data)
            self.segments.append(unpack(Segment, envelope.body))
            return ()
        return super().step(event, now)


class Live(World):
    """The same words as in virtual time; they travel over NATS."""

    def __init__(self, ground, driver):
        self.ground = ground
        self.driver = driver

    def say(self, *effects):
        self.driver.perform(effects)

    def run(self, seconds):
        """Real time runs by itself."""

    async def until(self, claim, timeout_s=10.0):
        async with asyncio.timeout(timeout_s):
            while not claim():
                self.tick()
                await asyncio.sleep(0.05)


@asynccontextmanager
async def grounded(folder):
    server = NatsServer(folder, "city")
    await server.start()
    desk = EnrolmentDesk(server, TRUSTED)
    link = NatsLink(server.address, server.login("control"))
    link.serve(enrol_subject("city"), desk.answer)
    ground = LiveGround(desk)
    driver = NodeDriver(ground, link)
    driver.start()
    await link.connected()
    await link.provision()
    try:
        yield server, desk, Live(ground, driver)
    finally:
        await driver.close()
        await server.stop()


def with_agent(folder, body, **more):
    async def scene():
        async with grounded(folder / "server") as (server, desk, live):
            identity = await enrol(server.address, desk.issue(), "a", folder / "identity.json")
            runtime = AgentRuntime(identity, [POLICY], settings=SETTINGS, ledger=folder / "ledger", **more)
            async with runtime:
                await live.until(lambda: runtime.agent.node._authority.has_round_trip)
                await body(runtime, live, server)

    asyncio.run(scene())


def decide(runtime):
    runtime.agent.observe(battery_percent=80.0)
    return bool(runtime.agent.decide("accept_task", payload_kg=0.5))


def test_a_live_agent_obeys_a_signed_intent_and_seals_what_it_did(tmp_path):
    async def body(runtime, live, server):
        assert decide(runtime)
        live.order(mitigation(lease_s=60.0))
        await live.until(lambda: live.ground.all("ack"))
        assert live.ground.all("ack")[0].status is AckStatus.APPLIED
        assert not decide(runtime)
        with pytest.raises(ActionVetoed):
            runtime.agent.act("accept_task", dict, payload_kg=0.5)
        await live.until(lambda: live.ground.segments)
        first = min(live.ground.segments, key=lambda segment: segment.first)
        check_segment(first, genesis("a"))
        live.send_intent(b"forged")
        await live.until(lambda: live.ground.notices("intent.refused"))

    with_agent(tmp_path, body)


def test_a_live_agent_reads_the_bundle_that_lies_in_its_key(tmp_path):
    async def body(runtime, live, server):
        live.store(NAMES.bundle_key, live.bundle(3, [POLICY | {"rule": False}]))
        live.say(Send(NAMES.bundle, b"not a bundle"))
        await live.until(lambda: live.ground.notices("release.refused"))
        server.kill()
        await live.until(lambda: runtime.agent.node.release.counter == 3, 20.0)
        assert not decide(runtime)

    with_agent(tmp_path, body)


def test_with_the_server_gone_the_agent_decides_on_and_comes_back(tmp_path):
    async def body(runtime, live, server):
        beats = len(live.ground.all("beat"))
        server.kill()
        assert decide(runtime)
        runtime.agent.act("accept_task", dict, payload_kg=0.5)
        await live.until(lambda: len(live.ground.all("beat")) > beats + 3, 20.0)
        assert decide(runtime)
        await live.until(lambda: live.ground.segments, 20.0)

    with_agent(tmp_path, body)


def test_the_facade_may_be_used_from_other_threads(tmp_path):
    async def body(runtime, live, server):
        def work():
            for volts in (12.5, 12.4, 12.3, 11.0):
                runtime.agent.observe(battery_v=volts)

        await asyncio.to_thread(work)
        await live.until(lambda: live.ground.notices("breaker.opened"))

    with_agent(tmp_path, body)


def test_an_offer_of_a_peer_reaches_the_application_and_its_answer_the_peer(tmp_path):
    item = Item("t1", 3, 0.5, 0.0, 0.0, 1.0, 1.0)

    async def body(runtime, live, server):
        runtime.on_offer = lambda message, now: runtime.answer(message, False, "full")
        live.say(Send(NAMES.peer("a", "ground"), pack(PeerMessage("ground", "a", PeerKind.OFFER, 4, item))))
        await live.until(lambda: live.ground.all("peer"))
        assert live.ground.all("peer")[0].reason == "full"

    with_agent(tmp_path, body)


def test_a_ledger_that_cannot_be_written_denies_until_it_can_and_says_so_once(tmp_path, monkeypatch, caplog):
    async def body(runtime, live, server):
        assert decide(runtime)
        disk = runtime.agent.disk
        told = []
        runtime.on_report = lambda report, now: told.append(report.name)

        def full(*_):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(disk, "append", full)
            patch.setattr(disk, "sync", full)  # which writes what could not be appended
            runtime.agent.act("accept_task", dict, payload_kg=0.5)
            await live.until(lambda: not decide(runtime))
            assert told.count("ledger.failed") == 1
        with pytest.raises(ActionVetoed):
            runtime.agent.act("accept_task", dict, payload_kg=0.5)
        await live.until(lambda: decide(runtime))
        await live.until(lambda: "ledger.restored" in told)
        assert all(record.exc_info is None for record in caplog.records)

    with_agent(tmp_path, body)


def test_an_agent_that_ends_takes_leave(tmp_path):
    async def scene():
        async with grounded(tmp_path / "server") as (server, desk, live):
            identity = await enrol(server.address, desk.issue(), "a", tmp_path / "identity.json")
            async with AgentRuntime(identity, settings=SETTINGS) as runtime:
                await live.until(lambda: runtime.agent.node._authority.has_round_trip)
                assert live.ground.notices(LEAVE) == []
            await live.until(lambda: live.ground.notices(LEAVE))

    asyncio.run(scene())


def test_settings_of_another_agent_are_refused(tmp_path):
    async def scene():
        async with grounded(tmp_path / "server") as (server, desk, _):
            identity = await enrol(server.address, desk.issue(), "a", tmp_path / "identity.json")
            with pytest.raises(ConfigurationError) as caught:
                AgentRuntime(identity, settings=NodeSettings("b", "city"))
            assert caught.value.code == "C0304"

    asyncio.run(scene())


def command(*words):
    return [sys.executable, "-m", "ripstop", "agent", *words]


def test_the_command_joins_flies_and_ends_cleanly_on_ctrl_c(tmp_path):
    async def scene():
        async with grounded(tmp_path / "server") as (server, desk, live):
            words = command(
                "a", "--server", server.address, "--token", desk.issue(), "--json", "--beat", "0.5"
            )
            process = await asyncio.create_subprocess_exec(
                *words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path
            )
            await live.until(lambda: len(live.ground.all("beat")) > 4 and live.ground.all("work"), 30.0)
            process.send_signal(signal.SIGINT)
            said, errors = await asyncio.wait_for(process.communicate(), 15)
            assert process.returncode == 0, errors.decode()
            events = [json.loads(line)["event"] for line in said.decode().splitlines()]
            assert events[0] == "agent.started"
            assert "link.connected" in events
            assert events[-1] == "agent.ended"
            assert "Traceback" not in errors.decode()

    asyncio.run(scene())


def test_the_command_says_how_to_join_when_it_has_not(tmp_path):
    done = subprocess.run(
        command("a"), capture_output=True, text=True, timeout=60, cwd=tmp_path, env=dict(os.environ)
    )
    assert done.returncode == 2
    assert "C0306" in done.stderr
    assert not (Path(tmp_path) / "ripstop-agents").exists()
