"""Static stability: a fleet whose ground is dead decides as one whose ground lives and wants nothing new.

    .venv/bin/python tests/week.py --days 7 --agents 6 --seed 1

Two worlds in virtual time, with the same sensors, requests and restarts of agents. Both agents' releases and
intents are in force when the worlds part: in one the ground goes on (and renews its leases), in the other it
and its server are killed and never come back. Every verdict, with limits and reasons, must be the same in
both. Printed besides: what the agents' disks and this process's memory grew to without a ground.
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

from control.governed_fleet import FLEET, KEYS, POLICIES, VOCABULARY
from ripstop.agent.ledger import FileLedger
from ripstop.agent.node import AgentNode
from ripstop.agent.settings import NodeSettings, Restored
from ripstop.control import ControlNode, ControlSettings, Fleet, load_playbook
from ripstop.control.authority import Will
from ripstop.control.dispatch import Purpose
from ripstop.control.store.releases import Terms, bundle_digest, issue
from ripstop.core.canonical import canonical_json
from ripstop.core.chance import stream
from ripstop.core.decision import Decision, Limit, Reason, Verdict
from ripstop.core.intent import Mitigation, MitigationKind, OnSilence, Release
from ripstop.core.wire.envelope import Ed25519Signer, Keyring, Role, open_envelope
from ripstop.links.memory import MemoryNetwork
from ripstop.links.timeline import Timeline

ROOT = Path(__file__).resolve().parents[1]
START_US = 1_767_225_600_000_000
MINUTE_US = 60_000_000
_DAILY = 1 / 1440
RESTRICTION = {
    "ripstop": 1,
    "id": "incident/no-parcels",
    "tier": "safety",
    "vocabulary": "drone",
    "guards": ["accept_task"],
    "rule": {"<=": [{"var": "task_priority"}, 3]},
    "on_unknown": "deny",
}


class WeekDisk(FileLedger):
    """An agent's real files; power cuts are not what is tested here, so a sync costs nothing."""

    told: Callable[[bool | None, bool | None], None]
    """Hears that the disk is short or no longer, that it fails or works again, as an agent's shell would."""

    was_short = was_failing = False

    def append(self, stream: str, data: bytes) -> None:
        """Append, and tell how the disk is."""
        try:
            super().append(stream, data)
        except OSError:
            if not self.was_failing:
                self.was_failing = True
                self.told(None, True)
            return
        if self.was_failing:
            self.was_failing = False
            self.told(None, False)
        if self.is_short != self.was_short:
            self.was_short = self.is_short
            self.told(self.was_short, None)

    def sync(self) -> None:
        """Leave it to the kernel."""

    def crash(self) -> None:
        """End as `kill -9` ends a process: what was written is written."""
        self.close()

    @property
    def size(self) -> int:
        """How many bytes it holds."""
        return sum(path.stat().st_size for path in self.folder.glob("*.log*"))


@dataclass
class World:
    """One fleet on a timeline of its own."""

    folder: Path
    agents: int
    seed: int
    share: int = 64 << 20
    timeline: Timeline = field(default_factory=lambda: Timeline(START_US))
    nodes: dict[str, AgentNode] = field(default_factory=dict)
    disks: dict[str, WeekDisk] = field(default_factory=dict)
    lives: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.network = MemoryNetwork(self.timeline, self.seed)
        self.signers = {f"d{n:03}": Ed25519Signer(bytes([6, n]) * 16, Role.AGENT) for n in range(self.agents)}
        self.ring = Keyring.of(KEYS.trusted())
        book = replace(load_playbook(ROOT / "playbooks" / "drones.yaml"), lease_s=600.0)
        settings = ControlSettings(FLEET, beat_s=60.0, tick_s=60.0, survey_s=0.0)
        keys = {name: signer.public for name, signer in self.signers.items()}
        self.control = ControlNode(settings, book, KEYS.command, Fleet(VOCABULARY, keys))
        self.network.attach("control", self.control)
        wanted = Release(1, bundle_digest(POLICIES), "c0ffee")
        issued = issue(KEYS.release, FLEET, wanted, POLICIES, Terms(START_US))
        now = self.network.now("control")
        self.network.perform("control", self.control.publish(issued.release, issued.sealed, now))
        for name in self.signers:
            self.start(name)
        self.run(5)
        self.restrict()
        self.run(5)

    def start(self, name: str) -> None:
        """Start an agent, or start it again from its disk."""
        self.lives[name] = self.lives.get(name, 0) + 1
        if name in self.disks:
            self.network.crash(name)
        disk = self.disks[name] = WeekDisk(self.folder / name, name, self.share)
        disk.told = partial(self.tell, name)
        restored = Restored.read(disk)
        settings = NodeSettings(
            name,
            FLEET,
            beat_s=60.0,
            segment_s=120.0,
            seed=self.seed + 1,
            watch=("battery_percent", "battery_v"),
        )
        node = self.nodes[name] = AgentNode(
            settings,
            vocabulary=VOCABULARY,
            opener=lambda kind, data: open_envelope(self.ring, FLEET, kind, data),
            signer=self.signers[name],
            restored=restored,
        )
        self.network.attach(name, node, incarnation=restored.incarnation + 1, disk=disk)  # type: ignore[arg-type]

    def tell(self, name: str, is_short: bool | None, is_failing: bool | None) -> None:
        """Let an agent know how its disk is, once it is done with what it does."""

        def told() -> None:
            node, now = self.nodes[name], self.network.now(name)
            if is_failing is not None:
                effects = node.ledger_failed("full", now) if is_failing else node.ledger_recovered(now)
            else:
                effects = node.ledger_short(bool(is_short), now)
            self.network.perform(name, effects)

        self.timeline.at(self.timeline.now_us, told)

    def restrict(self) -> None:
        """Issue an intent that restricts every second agent, and holds through silence."""
        policy = canonical_json({**RESTRICTION, "vocabulary": VOCABULARY.to_json()}).decode()
        targets = tuple(sorted(self.signers))[::2]
        held = Mitigation("m1", "i1", MitigationKind.LIMIT, targets, policy, 600.0, OnSilence.HOLD)
        will = Will(self.control.authority.will.release, (held,))
        now = self.network.now("control")
        effects = self.control.dispatch.issue(will, Purpose.MITIGATION, frozenset(targets), "i1", now)
        self.network.perform("control", tuple(effects))

    def kill_ground(self) -> None:
        """Kill the control plane and its server, for good."""
        self.network.crash("control")
        self.network.stop_server()

    def run(self, minutes: int) -> None:
        """Let time pass."""
        self.timeline.run_until(self.timeline.now_us + minutes * MINUTE_US)

    def disk_bytes(self) -> int:
        """Count what all agents' disks hold."""
        return sum(disk.size for disk in self.disks.values())

    def close(self) -> None:
        """Let go of the files."""
        for disk in self.disks.values():
            disk.close()


@dataclass(frozen=True)
class Minute:
    """What happens to one agent in one minute: its readings, what it is asked, whether it starts again."""

    readings: dict[str, object]
    context: dict[str, object]
    restarts: bool


def script(seed: int, agent: str, minutes: int, restart: float) -> Iterator[Minute]:
    """Draw an agent's life: a battery that drains and is charged, gaps, lies, requests, a restart a day."""
    rng = stream(seed, agent, "week")
    battery = rng.uniform(30.0, 100.0)
    for _ in range(minutes):
        battery = battery - rng.uniform(0.0, 1.0) if battery > 8.0 else 100.0
        shown: object = battery
        if rng.chance(0.02):
            shown = None if rng.chance(0.3) else float("nan")
        elif rng.chance(0.01):
            shown = battery * 0.15
        readings = {"battery_percent": shown, "battery_v": 10.0 + battery / 40.0, "reserve_wh": 5.0}
        context = {
            "payload_kg": rng.uniform(0.0, 2.0), "task_priority": 1 + rng.word() % 6,
            "margin_after_wh": rng.uniform(3.0, 12.0), "reserve_wh": 5.0,
        }  # fmt: skip
        yield Minute(readings if not rng.chance(0.1) else {}, context, rng.chance(restart))


Judged: TypeAlias = tuple[Verdict, tuple[Limit, ...], tuple[Reason, ...]]


def verdict_of(decision: Decision) -> Judged:
    """Give what must not depend on the ground."""
    return decision.verdict, decision.limits, decision.reasons


def live(world: World, minutes: int, restart: float = _DAILY) -> Iterator[list[Judged]]:
    """Run a world; yields the verdicts of each minute."""
    lives = {name: script(world.seed, name, minutes, restart) for name in world.signers}
    for _ in range(minutes):
        verdicts = []
        for name, life in lives.items():
            minute = next(life)
            if minute.restarts:
                world.start(name)
                world.timeline.run_until(world.timeline.now_us)
            node, now = world.nodes[name], world.network.now(name)
            world.network.perform(name, node.observe(minute.readings, now))
            for action in ("accept_task", "take_off", "land"):
                decision, effects = node.request(action, minute.context, now)
                world.network.perform(name, effects)
                verdicts.append(verdict_of(decision))
        yield verdicts
        world.run(1)


@dataclass
class Outcome:
    """What a comparison found."""

    decisions: int = 0
    differences: int = 0
    kinds: dict[str, int] = field(default_factory=dict)  # of reasons, and of verdicts without any
    disk_bytes: list[int] = field(default_factory=list)
    waiting_segments: int = 0
    restarts: int = 0
    releases: set[int] = field(default_factory=set)
    digest: str = ""


def compare(
    folder: Path, *, agents: int, minutes: int, seed: int, restart: float = _DAILY, share: int = 64 << 20
) -> Outcome:
    """Run both worlds side by side; `restart` is an agent's chance to start again within a minute."""
    with_ground = World(folder / "with", agents, seed, share)
    without = World(folder / "without", agents, seed, share)
    without.kill_ground()
    outcome, hashed = Outcome(), hashlib.sha256()
    both = zip(live(with_ground, minutes, restart), live(without, minutes, restart), strict=True)
    for number, (ours, theirs) in enumerate(both, 1):
        outcome.decisions += len(ours)
        outcome.differences += sum(one != other for one, other in zip(ours, theirs, strict=True))
        for verdict, _, reasons in theirs:
            for kind in [f"{reason.policy}:{reason.code}" for reason in reasons] or [verdict.name]:
                outcome.kinds[kind] = outcome.kinds.get(kind, 0) + 1
        hashed.update(repr(theirs).encode())
        if number % 1440 == 0:
            outcome.disk_bytes.append(without.disk_bytes())
    outcome.waiting_segments = max(node._chronicle.records.unreceipted for node in without.nodes.values())
    outcome.restarts = sum(without.lives.values()) - agents
    outcome.releases = {node.release.counter for node in without.nodes.values()}
    outcome.digest = hashed.hexdigest()
    for world in (with_ground, without):
        world.close()
    return outcome


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--agents", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--share", type=float, default=64.0, metavar="MB", help="of the disk, for a ledger")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        share = round(args.share * 1e6)
        minutes = args.days * 1440
        found = compare(Path(folder), agents=args.agents, minutes=minutes, seed=args.seed, share=share)
    megabytes = ", ".join(f"{size / 1e6 / args.agents:.1f}" for size in found.disk_bytes)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    said = [
        f"{args.days} days, {args.agents} agents: {found.decisions} decisions {found.kinds}",
        f"{found.restarts} restarts; verdicts {found.digest[:12]}",
        f"differences with the ground killed: {found.differences} (bar 0)",
        f"disk of an agent without any receipt, at each day's end: {megabytes} MB",
        f"sealed segments waiting on an agent: {found.waiting_segments}; both worlds' memory {memory:.0f} MB",
    ]
    sys.stdout.write("\n".join([*said, ""]))
    return min(1, found.differences)


if __name__ == "__main__":
    sys.exit(main())
