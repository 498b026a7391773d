"""The sample drone of `ripstop agent`: idle ones threaten nobody, and a few busy ones close the loop."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ripstop.cli.invitation import Invitation
from ripstop.cli.sampledrone import Fault, SampleDrone
from ripstop.control import load_playbook
from ripstop.control.mitigation.assessment import Question, assess_fleet
from ripstop.core.errors import ConfigurationError
from ripstop.core.messages import Workload

ROOT = Path(__file__).parents[2]
PLAYBOOK = load_playbook(ROOT / "playbooks" / "drones.yaml")


def fill(drone: SampleDrone) -> None:
    """Offer it deliveries until the admission rule would veto the next one."""
    while len(drone.tasks) < drone.most_tasks:
        offer = drone.next_offer()
        asked = drone.acceptance(offer)
        if asked["margin_after_wh"] < asked["reserve_wh"]:
            return
        drone.take(offer)


def fleet(names: str, most_tasks: int) -> list[SampleDrone]:
    drones = [SampleDrone(f"{names}-{number}", 80.0, most_tasks) for number in range(1, 7)]
    for drone in drones:
        fill(drone)
    return drones


def workload(drone: SampleDrone) -> Workload:
    told = drone.burden(takes_work=True)
    return Workload(
        drone.name, 1, 0, told.available, told.active, told.x_m, told.y_m,
        told.spare, told.cost_per_m, told.slots, told.items,
    )  # fmt: skip


def risk_if_the_last_fails(drones: Sequence[SampleDrone]) -> float:
    names = tuple(each.name for each in drones)
    suspects = {names[-1]: 0.95}
    question = Question(tuple(map(workload, drones)), suspects, names, len(names), PLAYBOOK, seed=1)
    return assess_fleet(question).risk.low


def test_idle_drones_have_no_work_that_a_fault_could_hand_on() -> None:
    assert risk_if_the_last_fails(fleet("drone", most_tasks=0)) == 0.0


@pytest.mark.parametrize("names", ["drone", "robot", "courier", "a"])
def test_busy_drones_are_so_full_that_one_failure_threatens_the_others(names: str) -> None:
    assert risk_if_the_last_fails(fleet(names, most_tasks=6)) >= PLAYBOOK.risk.enter


def test_each_delivery_on_the_list_takes_energy_until_the_admission_rule_vetoes_the_next() -> None:
    drone = SampleDrone("drone-1", 80.0, most_tasks=6)
    before_wh = drone.spare_wh()
    task = drone.next_offer()
    after_wh = drone.acceptance(task)["margin_after_wh"] - drone.acceptance(task)["reserve_wh"]
    drone.take(task)
    assert drone.spare_wh() == pytest.approx(after_wh)
    assert after_wh < before_wh - 5.0  # half a kilometre at .01 Wh a metre, and the way there
    fill(drone)
    assert 0 < len(drone.tasks) < 6
    assert drone.spare_wh() >= 0.0
    drone.deliver(task)
    assert task not in drone.tasks


def test_the_sensor_lies_from_the_fault_to_the_repair_only() -> None:
    drone = SampleDrone("drone-1", 80.0, fault=Fault(begins_s=20.0, lasts_s=10.0))
    read = {}
    for drone.tick in range(40):
        read[drone.tick] = drone.percent()
    assert {tick for tick, percent in read.items() if percent < 20.0} == set(range(20, 30))
    assert SampleDrone("drone-1", 80.0, tick=10_000).percent() < 0.2


def test_a_folder_where_nothing_runs_invites_nobody(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Invitation.read(tmp_path)
    assert caught.value.code == "C0306"
    Invitation("nats://127.0.0.1:1", "a.b.c").write(tmp_path)
    assert Invitation.read(tmp_path) == Invitation("nats://127.0.0.1:1", "a.b.c")
    assert (tmp_path / "invitation.json").stat().st_mode & 0o077 == 0
    Invitation.withdraw(tmp_path)
    with pytest.raises(ConfigurationError):
        Invitation.read(tmp_path)


# ---- the whole loop, by the commands that the guide gives -----------------------------------------------


@asynccontextmanager
async def running(*words: str) -> AsyncIterator[asyncio.StreamReader]:
    """Run a command; gives its standard output, and ends it with Ctrl-C."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ripstop", *words, "--json", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(30):
            await process.communicate()
    assert process.returncode == 0


async def told(lines: asyncio.StreamReader, *events: str) -> dict[str, Any]:
    """Read until one of these events is told."""
    while True:
        record: dict[str, Any] = json.loads(await lines.readline())
        if record["event"] in events:
            return record


@pytest.mark.nats
def test_a_fault_at_home_is_detected_mitigated_and_forgotten_and_the_record_verifies(tmp_path: Path) -> None:
    playbook = tmp_path / "playbook.yaml"
    shipped = (ROOT / "playbooks" / "drones.yaml").read_text()
    playbook.write_text(shipped.replace("dwell_s: 30", "dwell_s: 2"))
    data, agents = tmp_path / "data", tmp_path / "agents"
    joining = ("--join", str(data), "--data", str(agents), "--tasks", "6", "--beat", "1")

    async def run() -> None:
        async with AsyncExitStack() as stack:
            up = await stack.enter_async_context(
                running("up", "--data", str(data), "--playbook", str(playbook), "--beat", "1")
            )
            await told(up, "ready")
            for number in (1, 2, 3):  # all at once: each token lets one in
                await stack.enter_async_context(running("agent", f"drone-{number}", *joining))
            faulty = await stack.enter_async_context(
                running("agent", "drone-4", *joining, "--fault-after", "25", "--repair-after", "8")
            )
            async with asyncio.timeout(120):
                assert (await told(up, "incident.opened"))["agent"] == "drone-4"
                assert (await told(up, "mitigation.complete"))["targets"] == 4
                await told(faulty, "breaker.closed")
                assert (await told(up, "incident.closed"))["reason"] == "acknowledged by all"
                await told(faulty, "mitigation.lifted")

    asyncio.run(run())
    assert not (data / "invitation.json").exists()
    asyncio.run(verified(data))


async def verified(data: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ripstop", "audit", "verify", str(data), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
