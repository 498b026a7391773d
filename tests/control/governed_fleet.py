"""Real agents and the real control plane over the memory network, with everything recorded."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from ripstop.agent.node import AgentNode
from ripstop.agent.settings import NodeSettings
from ripstop.agent.voice import Burden
from ripstop.control import ControlNode, ControlSettings, Fleet, load_playbook
from ripstop.control.audit.checkpoints import Notary
from ripstop.control.audit.files import AuditFiles, write_logs
from ripstop.control.audit.trust import Trust
from ripstop.control.store.check import check_policies
from ripstop.control.store.keys import FleetKeys
from ripstop.control.store.releases import Terms, bundle_digest, issue
from ripstop.core.intent import Release
from ripstop.core.wire.envelope import Ed25519Signer, Keyring, Role, open_envelope
from ripstop.links.memory import MemoryNetwork
from ripstop.links.timeline import Timeline
from ripstop.policy.loader import load_vocabulary

ROOT = Path(__file__).parents[2]
FLEET = "fleet"
KEYS = FleetKeys.from_seed(1, FLEET)
VOCABULARY = load_vocabulary(ROOT / "vocabularies" / "drone.yaml")
POLICIES = check_policies(sorted((ROOT / "policies" / "drones").glob("*.yaml"))).documents
PICKUP = {"pickup_x_m": 2000.0, "pickup_y_m": 100.0, "drop_x_m": 2300.0, "drop_y_m": 900.0}


def release(counter=1, policies=POLICIES):
    return issue(KEYS.release, FLEET, Release(counter, bundle_digest(policies), "c0ffee"), policies, Terms(0))


class GovernedFleet:
    """`count` drones on a line; their sensors read once a second."""

    def __init__(self, works, *, is_released=True, **changes):
        self.timeline = Timeline(1_000_000_000)
        self.network = MemoryNetwork(self.timeline, 3)
        self.reports, self.delivered = [], []
        self.network.on_report = lambda name, report, now: self.reports.append((name, report))
        self.network.on_deliver = lambda name, value, now: self.delivered.append((name, value))
        self.works = {work.agent: work for work in works}
        signers = {
            name: Ed25519Signer(bytes([5, n % 256]) * 16, Role.AGENT) for n, name in enumerate(self.works)
        }
        self.keys = {name: signer.public for name, signer in signers.items()}
        book = replace(load_playbook(ROOT / "playbooks" / "drones.yaml"), dwell_s=3.0, lease_s=6.0, **changes)
        settings = ControlSettings(FLEET, beat_s=2.0, tick_s=2.0, survey_s=0.0)
        self.control = ControlNode(settings, book, KEYS.command, Fleet(VOCABULARY, self.keys))
        ring = Keyring.of(KEYS.trusted())
        self.agents = {
            name: AgentNode(
                NodeSettings(name, FLEET, beat_s=2.0, watch=("battery_percent",), segment_s=4.0),
                vocabulary=VOCABULARY,
                opener=lambda kind, data: open_envelope(ring, FLEET, kind, data),
                signer=signers[name],
            )
            for name in self.works
        }
        self.network.attach("control", self.control)
        if is_released:
            self.publish(release())
        for name, agent in self.agents.items():
            self.network.attach(name, agent, incarnation=1)
        self.level = dict.fromkeys(self.works, 80.0)

    def publish(self, issued):
        now = self.network.now("control")
        self.network.perform("control", self.control.publish(issued.release, issued.sealed, now))

    def run(self, seconds):
        for _ in range(round(seconds)):
            for name, agent in self.agents.items():
                now = self.network.now(name)
                self.level[name] -= 0.02
                self.network.perform(name, agent.observe({"battery_percent": self.level[name]}, now))
                self.network.perform(name, agent.carry(self.burden(name), now))
            self.timeline.run_until(self.timeline.now_us + 1_000_000)

    def burden(self, name):
        work = self.works[name]
        names = ("available", "active", "x_m", "y_m", "spare", "cost_per_m", "slots", "items")
        return Burden(**{field: getattr(work, field) for field in names})

    def request(self, name, action="accept_task", **context):
        given = (
            {"payload_kg": 0.5, "task_priority": 3, "margin_after_wh": 9.0, "reserve_wh": 5.0}
            | PICKUP
            | context
        )
        decision, effects = self.agents[name].request(action, given, self.network.now(name))
        self.network.perform(name, effects)
        return decision

    def named(self, name, node="control"):
        return [dict(report.fields) for who, report in self.reports if who == node and report.name == name]

    def save(self, folder, run=""):
        """Write the record; with a run's name also a checkpoint, as the ground's shell does."""
        disk = self.network.disk("control")
        streams = ("segments", "receipts", "intents", "bundles", "messages", "incidents")
        write_logs(folder, {stream: disk.read(stream) for stream in streams})
        trust = Trust(FLEET, KEYS.trusted(), self.keys, run).save(folder)
        words = json.dumps(VOCABULARY.to_json(), indent=1).encode()
        (folder / "vocabulary.json").write_bytes(words)
        if run:
            files = AuditFiles(folder)
            notary = Notary(files, KEYS.command, FLEET, run=run)
            notary.put("trust.json", trust)
            notary.put("vocabulary.json", words)
            notary.write(self.timeline.now_us)
            files.close()
