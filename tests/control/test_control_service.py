"""The control plane live: a real server, real links, real files, real Git."""

import asyncio
import contextlib
import errno
import json
import os
import shutil
import threading
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
from dulwich import porcelain
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from control.scripted_fleet import drone
from ripstop.agent.node import AgentNode
from ripstop.agent.settings import NodeSettings
from ripstop.agent.voice import Burden
from ripstop.control import ControlSettings, load_playbook
from ripstop.control.audit.files import read_log
from ripstop.control.audit.verify import verify_run
from ripstop.control.service import ControlService, Device, ServiceOptions
from ripstop.core.errors import ConfigurationError
from ripstop.core.messages import Receipt
from ripstop.core.node import Append, Report
from ripstop.core.wire.cbor import decode
from ripstop.core.wire.envelope import Ed25519Signer, Keyring, Role, open_envelope
from ripstop.core.wire.record import unpack
from ripstop.links.driver import NodeDriver
from ripstop.links.enrolment import enrol
from ripstop.links.nats import LinkSettings, Login, NatsLink
from ripstop.links.nkey import new_seed, public_key
from ripstop.policy.loader import load_vocabulary

pytestmark = pytest.mark.nats
ROOT = Path(__file__).parents[2]
VOCABULARY = load_vocabulary(ROOT / "vocabularies" / "drone.yaml")
QUICK = LinkSettings(retry_s=0.02, retry_max_s=0.2)
COUNT = 12
AGENTS = {
    f"d{n:03}": (new_seed(bytes([n]) * 32), Ed25519Signer(bytes([n + 100]) * 32, Role.AGENT))
    for n in range(COUNT)
}


def leaves_no_thread_but(before: set[threading.Thread]) -> None:
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=10)  # asyncio's thread that waits for the server's process may be about to end
        assert not thread.is_alive(), thread.name


BOOK = replace(load_playbook(ROOT / "playbooks" / "drones.yaml"), dwell_s=0.4, lease_s=2.0)
# A busy machine may take longer than a short lease to start servers anew.
PATIENT = replace(BOOK, lease_s=30.0)


def options(folder, **changes):
    policies = folder / "policies"
    if not policies.exists():
        shutil.copytree(ROOT / "policies" / "drones", policies / "drones")
        shutil.copytree(ROOT / "vocabularies", policies / "vocabularies")
    devices = {a: Device(public_key(seed), signer.public) for a, (seed, signer) in AGENTS.items()}
    settings = ControlSettings("city", beat_s=0.4, tick_s=0.4, incident_s=0.2, survey_s=0.5)
    made = ServiceOptions(folder / "data", policies, BOOK, VOCABULARY, settings, devices=devices, poll_s=0.05)
    return replace(made, **changes)


async def until(claim, timeout_s=10.0):
    async with asyncio.timeout(timeout_s):
        while not claim():  # noqa: ASYNC110 - what is waited for happens in many places
            await asyncio.sleep(0.01)


class Crew:
    """Real agents over real links."""

    def __init__(self, service):
        ring = Keyring.of(service.keys.trusted())
        self.drivers, self.nodes = {}, {}
        for row, (name, (seed, signer)) in enumerate(AGENTS.items()):
            node = AgentNode(
                NodeSettings(name, "city", beat_s=0.4, watch=("battery_percent",), segment_s=0.3),
                vocabulary=VOCABULARY,
                opener=lambda kind, data: open_envelope(ring, "city", kind, data),
                signer=signer,
            )
            link = NatsLink(service.server.address, Login(name, seed=seed), QUICK)
            self.nodes[name], self.drivers[name] = node, NodeDriver(node, link)
            self.drivers[name].start(incarnation=1)
            self.carry(name, drone(row, COUNT))

    def carry(self, name, work):
        fields = ("available", "active", "x_m", "y_m", "spare", "cost_per_m", "slots", "items")
        burden = Burden(**{field: getattr(work, field) for field in fields})
        driver = self.drivers[name]
        driver.perform(self.nodes[name].carry(burden, driver.now()))

    def sense(self, name, percent):
        driver = self.drivers[name]
        driver.perform(self.nodes[name].observe({"battery_percent": percent}, driver.now()))

    def decide(self, name):
        driver = self.drivers[name]
        driver.perform(self.nodes[name].request("accept_task", {}, driver.now())[1])

    async def close(self):
        await asyncio.gather(*(driver.close() for driver in self.drivers.values()))


@contextlib.asynccontextmanager
async def running(folder, **changes):
    async with ControlService(options(folder, **changes)) as service:
        service.told = []
        service.on_report = lambda report, now: service.told.append(report)
        crew = Crew(service)
        try:
            await until(lambda: len(service.node.registry.present()) == COUNT)
            await until(lambda: all(n.vm.release.counter for n in crew.nodes.values()))
            yield service, crew
        finally:
            await crew.close()


def test_what_goes_on_failing_is_told_ever_more_seldom(tmp_path):
    async def scene():
        async with ControlService(options(tmp_path)) as service:
            service.driver.disk.append = fail_on_a_full_disk
            with capture_logs() as said:
                for number in range(500):
                    service.driver.perform((Append("messages", b"%d" % number),))
            assert [line["event"] for line in said if line["event"] == "control.failed"] == ["control.failed"]
            assert "No space left" in service.health()["last_error"]
            del service.driver.disk.append

    asyncio.run(scene())


def test_an_agent_may_call_its_fields_what_the_logger_calls_its_own(tmp_path):
    names = (
        "event",
        "level",
        "timestamp",
        "exception",
        "exc_info",
        "stack_info",
        "self",
        "method_name",
        "times",
    )

    async def scene():
        async with ControlService(options(tmp_path)) as service:
            with capture_logs() as said:
                service.driver.perform((Report("notice.received", dict.fromkeys(names, "x")),))
            (line,) = (line for line in said if line["event"] == "notice.received")
            assert line["log_level"] == "info"
            assert [line["cue"], *(line[f"{name}_"] for name in names[1:])] == ["x"] * len(names)
            assert service.driver.failures == 0

    asyncio.run(scene())


def fail_on_a_full_disk(stream, data):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def named(service, name):
    return [report.fields for report in service.told if report.name == name]


def fetch(url):
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own loopback page
        return answer.read().decode()


def commit(policies, name, text):
    (policies / name).write_text(text)
    porcelain.add(str(policies), [str(policies / name)])
    porcelain.commit(str(policies), b"change", author=b"A <a@b>", committer=b"A <a@b>")


async def incident(service, crew):
    for level in (80.0, 79.9, 79.8, 79.7, 79.6, 12.0):
        crew.sense("d006", level)
        await asyncio.sleep(0.02)
    await until(lambda: named(service, "mitigation.complete"))


def test_an_incident_runs_live_is_measured_catalogued_and_verifies(tmp_path):
    async def scenario():
        async with running(tmp_path) as (service, crew):
            await incident(service, crew)
            decision, effects = crew.nodes["d003"].request(
                "start_delivery",
                {"task_priority": 5, "pickup_x_m": 900.0, "pickup_y_m": 0.0, "payload_kg": 0.5},
                crew.drivers["d003"].now(),
            )
            crew.drivers["d003"].perform(effects)
            assert not decision
            for _ in range(60):
                crew.sense("d006", 79.5)
                await asyncio.sleep(0.05)
                if named(service, "incident.closed"):
                    break
            await until(lambda: named(service, "incident.closed"))
            await asyncio.sleep(0.8)
            service.metrics.refresh(service.node, service.clock.now().mono_us)
            page = await asyncio.to_thread(fetch, service.metrics_url)
            health = json.loads(
                await asyncio.to_thread(fetch, service.metrics_url.replace("metrics", "healthz"))
            )
            assert health["healthy"] is True
            assert 'ripstop_agents{presence="present"} 12.0' in page
            assert "ripstop_incidents_total 1.0" in page
            assert 'ripstop_acks_total{status="applied"}' in page
            assert "ripstop_mitigation_complete_seconds_bucket" in page
            service.records.flush()
            (row,) = service.records.incidents()
            assert row.closed_us > row.opened_us
            assert row.plan.startswith("keep ")
            assert [d.verdict for d in service.records.decisions()] == ["deny"]
            assert service.driver.failures == 0
        return verify_run(tmp_path / "data")

    before = set(threading.enumerate())
    result = asyncio.run(scenario())
    assert [str(finding) for finding in result.findings] == []
    assert result.counts["decisions.verified"] == 1
    leaves_no_thread_but(before)


def test_a_commit_reaches_every_agent_and_a_broken_one_none(tmp_path):
    async def scenario():
        async with running(tmp_path) as (service, crew):
            policies = tmp_path / "policies"
            text = (policies / "drones" / "admission.yaml").read_text()
            commit(policies, "drones/admission.yaml", text + "\nnonsense: 1\n")
            await until(lambda: named(service, "commit.refused"))
            assert "E0301" in named(service, "commit.refused")[0]["reason"]
            assert "E0301" in service.health()["refused"][0]
            assert b"ripstop_head_refused 1.0" in generate_latest(service.metrics.registry)
            lines = [line for line in text.splitlines() if not line.startswith("description:")]
            never = "applies_to: \"'rotor' in capabilities and not ('rotor' in capabilities)\""
            commit(policies, "drones/admission.yaml", "\n".join([*lines, "description: newer", never]) + "\n")
            await until(lambda: {n.vm.release.counter for n in crew.nodes.values()} == {2})
            assert service.health()["refused"] == []
            (lint,) = [lint for lint in service.health()["lints"] if "L0506" in lint]
            assert lint.startswith("drones/admission.yaml:")
            assert lint in named(service, "commit.linted")[0]["reason"]
            assert b"ripstop_head_refused 0.0" in generate_latest(service.metrics.registry)
            await service.rollback(1)
            await until(lambda: {n.vm.release.counter for n in crew.nodes.values()} == {3})
            digests = {release.counter: release.digest for release in service.store.shelf.releases}
            assert digests[3] == digests[1] != digests[2]

    asyncio.run(scenario())


def test_a_killed_server_and_a_restarted_control_plane_lose_nothing(tmp_path):
    async def scenario():
        async with running(tmp_path, playbook=PATIENT) as (service, crew):
            await incident(service, crew)
            port = int(service.server.address.rpartition(":")[2])
            service.server.kill()
            await until(lambda: service.server.restarts == 1)
            told = len(service.told)
            await until(
                lambda: service.link.is_connected and all(d.link.is_connected for d in crew.drivers.values())
            )
            restricted = {name for name, node in crew.nodes.items() if node.vm.restrictions}
            assert restricted == set(crew.nodes)
            await service.stop()
            again = ControlService(options(tmp_path, port=port, playbook=PATIENT))
            again.told = []
            again.on_report = lambda report, now: again.told.append(report)
            await again.start()
            try:
                await until(lambda: [f["epoch"] for f in named(again, "authority.gained")] == [2])
                assert named(again, "incident.adopted")
                await until(lambda: {n.position.epoch for n in crew.nodes.values()} == {2})
                assert all(node.vm.restrictions for node in crew.nodes.values())
                crew.sense("d001", 70.0)
                await asyncio.sleep(0.8)
            finally:
                await again.stop()
            assert told
        return verify_run(tmp_path / "data")

    assert [str(finding) for finding in asyncio.run(scenario()).findings] == []


def test_a_ground_whose_durable_keys_are_gone_takes_the_next_epoch_all_the_same(tmp_path):
    async def scenario():
        for epoch in (1, 2, 3):
            async with ControlService(options(tmp_path)) as service:
                await until(lambda service=service: service.node.authority.position.generation)
                assert service.node.authority.position.epoch == epoch
            shutil.rmtree(tmp_path / "data" / "nats" / "jetstream")

    asyncio.run(scenario())


def test_the_record_verifies_after_the_grounds_keys_were_exchanged(tmp_path):
    async def scenario():
        async with running(tmp_path) as (service, _):
            await until(lambda: (tmp_path / "data" / "audit" / "receipts.log").stat().st_size > 1000)
            await until(lambda: service.node.authority.position.generation)
        for path in (tmp_path / "data" / "keys").glob("*.key"):
            path.unlink()
        async with ControlService(options(tmp_path)) as service:
            await until(lambda: service.node.authority.position.generation)
            assert service.store.current().release.counter == 2
            assert service.node.authority.position.epoch == 2

    asyncio.run(scenario())
    result = verify_run(tmp_path / "data")
    assert [str(finding) for finding in result.findings] == []
    assert result.counts["segments"] > 0


def test_the_files_of_a_record_are_bound_to_one_another_while_it_grows_and_over_restarts(tmp_path):
    audit = tmp_path / "data" / "audit"

    def cited():
        return {read.checkpoint for read in receipts(audit)}

    async def scenario():
        async with running(tmp_path, checkpoint_s=0.2) as (_, crew):
            async with asyncio.timeout(30.0):
                while len(cited()) <= 2:
                    crew.decide("d000")
                    await asyncio.sleep(0.25)
            assert [str(finding) for finding in verify_run(tmp_path / "data").findings] == []
        first = verify_run(tmp_path / "data")
        assert (first.findings, first.notes) == ([], [])
        (audit / "vocabulary.json").write_bytes((audit / "vocabulary.json").read_bytes() + b" ")
        assert [finding.code for finding in verify_run(tmp_path / "data").findings] == ["file.exchanged"]
        with capture_logs() as logs:
            async with ControlService(options(tmp_path)):
                pass
        assert [log["file"] for log in logs if log["event"] == "record.exchanged"] == ["vocabulary.json"]
        second = verify_run(tmp_path / "data")
        assert (second.findings, second.notes) == ([], [])
        assert second.counts["log.checkpoints"] > first.counts["log.checkpoints"]

    asyncio.run(scenario())


def receipts(folder):
    for record in read_log(folder, "receipts").records:
        yield unpack(Receipt, decode(decode(record[1:])[2])[8])


def test_a_device_joins_by_a_token_and_is_heard(tmp_path):
    async def scenario():
        async with ControlService(options(tmp_path, devices={})) as service:
            identity = await enrol(service.server.address, service.token(), "newcomer", tmp_path / "id.json")
            assert service.node.registry.get("newcomer").public == identity.signer().public
            assert {key.role for key in identity.trusted} == {Role.COMMAND, Role.RELEASE, Role.STOP}
            service.records.flush()

    asyncio.run(scenario())


def test_the_second_control_plane_on_a_folder_is_refused_and_the_first_goes_on(tmp_path):
    async def scenario():
        async with ControlService(options(tmp_path)) as service:
            with pytest.raises(ConfigurationError) as caught:
                await ControlService(options(tmp_path)).start()
            assert caught.value.code == "C0502"
            await until(lambda: service.health()["healthy"])

    asyncio.run(scenario())


def test_the_ground_is_up_before_its_kernels_are_and_says_so(tmp_path, monkeypatch):
    compiled = threading.Event()
    monkeypatch.setattr("ripstop.control.service.warmup", compiled.wait)

    def status(service):
        try:
            fetch(service.metrics_url.replace("metrics", "healthz"))
        except urllib.error.HTTPError as error:
            error.close()
            return error.code
        return 200

    async def scenario():
        async with ControlService(options(tmp_path)) as service:
            await until(lambda: service.health()["healthy"])
            assert service.health()["ready"] is False
            assert await asyncio.to_thread(status, service) == 503
            compiled.set()
            await service.is_prepared.wait()
            assert await asyncio.to_thread(status, service) == 200

    asyncio.run(scenario())


def test_kernels_that_do_not_compile_are_told_and_the_ground_goes_on(tmp_path, monkeypatch):
    def broken():
        raise ImportError("no compiler here")

    monkeypatch.setattr("ripstop.control.service.warmup", broken)

    async def scenario():
        async with ControlService(options(tmp_path)) as service:
            await until(lambda: service.health()["last_error"] == "kernels: no compiler here")
            assert service.health()["ready"] is False

    asyncio.run(scenario())


def test_a_damaged_catalogue_is_a_clear_error_and_leaves_nothing(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "records.db").write_text("[1")
    with pytest.raises(ConfigurationError, match="file is not a database") as caught:
        asyncio.run(ControlService(options(tmp_path)).start())
    assert caught.value.code == "C0243"


def test_a_taken_port_for_the_metrics_is_a_clear_error_and_leaves_nothing(tmp_path):
    async def scenario():
        async with ControlService(options(tmp_path)) as service:
            port = int(service.metrics_url.rpartition(":")[2].partition("/")[0])
            other = options(tmp_path, data=tmp_path / "other", metrics_port=port)
            with pytest.raises(ConfigurationError) as caught:
                await ControlService(other).start()
            assert caught.value.code == "C0241"

    before = set(threading.enumerate())
    asyncio.run(scenario())
    leaves_no_thread_but(before)
