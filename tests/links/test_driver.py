"""The live shell: nothing that fails around a node ends it, and it closes without a trace."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from ripstop.core.clock import Instant, ManualClock, ShiftedClock
from ripstop.core.node import (
    Append,
    Compute,
    Computed,
    Connected,
    Deliver,
    Drop,
    Effects,
    Event,
    Extend,
    Fetch,
    Fetched,
    Message,
    Report,
    Send,
    SetTimer,
    Started,
    Store,
    Sync,
    Synced,
    Timer,
)
from ripstop.core.subjects import Subjects
from ripstop.links.driver import NodeDriver
from ripstop.links.durable import MemoryDisk
from ripstop.links.nats import NatsLink

if TYPE_CHECKING:
    NatsHarness = Any

pytestmark = pytest.mark.nats
NAMES = Subjects("test")


def test_deliveries_and_reports_reach_the_application_in_order(nats_harness: NatsHarness) -> None:
    nats_harness.join("a0")
    driver: NodeDriver = nats_harness.drivers["a0"]
    heard: list[object] = []
    driver.on_deliver = lambda value, now: heard.append(value)
    driver.on_report = lambda report, now: heard.append(report.name)
    nats_harness.perform("a0", (Deliver("offer"), Report("breaker.opened", {"a": 1}), Deliver("next")))
    assert heard == ["offer", "breaker.opened", "next"]


def test_a_failing_callback_or_step_is_told_and_the_node_goes_on(nats_harness: NatsHarness) -> None:
    def answer(event: Event) -> Effects:
        if isinstance(event, Message) and event.data == b"bad":
            raise ZeroDivisionError("in the node")
        return ()

    node = nats_harness.join("a0", "tick", answer=answer)
    nats_harness.join("control")
    driver: NodeDriver = nats_harness.drivers["a0"]
    failed: list[str] = []
    driver.on_failure = lambda what, error: failed.append(f"{what}: {error}")

    def explode(value: object, now: Instant) -> None:
        raise ValueError("in the application")

    driver.on_deliver = explode
    nats_harness.perform("a0", (Deliver("offer"), Append("ledger", b"1")))
    nats_harness.perform("control", (Send(NAMES.tick, b"bad"), Send(NAMES.tick, b"good")))
    nats_harness.until(lambda: node.data() == [b"bad", b"good"])
    assert failed == ["deliver: in the application", "node: in the node"]
    assert driver.failures == 2
    assert driver.disk.read("ledger") == (b"1",), "the effects after the failing one were carried out"


def test_computations_run_off_the_loop(nats_harness: NatsHarness) -> None:
    node = nats_harness.join("a0")
    nats_harness.perform("a0", (Compute("where", threading.get_ident),))
    nats_harness.until(lambda: bool(node.of(Computed)))
    assert node.of(Computed)[0].result != threading.get_ident()


def test_records_are_appended_synced_and_dropped_in_order(nats_harness: NatsHarness) -> None:
    node = nats_harness.join("a0")
    nats_harness.perform("a0", (Extend("ledger", (b"1", b"2"), (b"", b"")), Sync(2), Drop("ledger", 1)))
    nats_harness.until(lambda: bool(node.of(Synced)))
    disk = nats_harness.drivers["a0"].disk
    assert node.of(Synced) == [Synced(2)]
    assert disk.read("ledger") == (b"2",)


def test_a_disk_that_does_not_sync_acknowledges_nothing(nats_harness: NatsHarness) -> None:
    class FullDisk(MemoryDisk):
        def sync(self) -> None:
            raise OSError(28, "no space left on device")

    node = nats_harness.join("a0")
    driver: NodeDriver = nats_harness.drivers["a0"]
    driver.disk = FullDisk()
    failed: list[str] = []

    def on_failure(what: str, error: BaseException) -> None:
        failed.append(what)
        nats_harness.changed.set()

    driver.on_failure = on_failure
    nats_harness.perform("a0", (Sync(1),))
    nats_harness.until(lambda: failed == ["sync"])
    assert not node.of(Synced)
    driver.disk = MemoryDisk()


def test_a_question_that_the_server_refuses_is_told_and_the_next_one_is_asked(
    nats_harness: NatsHarness,
) -> None:
    node = nats_harness.join("a0")
    driver: NodeDriver = nats_harness.drivers["a0"]
    failed: list[str] = []
    driver.on_failure = lambda what, error: failed.append(str(error))
    nats_harness.perform("a0", (Store("test.bundle", b"mine"), Fetch("test.epoch"), Fetch("test.bundle")))
    nats_harness.until(lambda: bool(node.of(Fetched)))
    assert node.of(Fetched) == [Fetched("test.bundle", None, 0)]
    assert [text.split(":")[0] for text in failed] == ["W0803", "W0803"]


def test_a_node_taken_over_from_virtual_time_goes_on_with_its_timers(nats_harness: NatsHarness) -> None:
    network_time = Instant(5_000_000, 900_000_000, "virtual")
    node = nats_harness.join("a1")  # for its probe only; it is driven again below under another login

    async def take_over() -> NodeDriver:
        await nats_harness.drivers.pop("a1").close()
        node.got.clear()
        clock = ShiftedClock(network_time)
        link = NatsLink(nats_harness.server.address, nats_harness.login("a1"))
        driver = NodeDriver(node, link, clock=clock)
        nats_harness.drivers["a1"] = driver
        driver.start(timers={"soon": 900_030_000, "later": 999_000_000_000})
        return driver

    nats_harness.runner.run(take_over())
    nats_harness.until(lambda: bool(node.of(Timer)) and bool(node.of(Connected)))
    assert not node.of(Started)
    assert node.of(Timer) == [Timer("soon")]


def test_a_long_wait_is_looked_at_again_by_the_nodes_own_clock(
    nats_harness: NatsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As after a sleep of the machine: the node's clock has run on, the loop's has not.
    monkeypatch.setattr("ripstop.links.driver._LONGEST_WAIT_S", 0.02)
    node = nats_harness.join("a0")
    driver: NodeDriver = nats_harness.drivers["a0"]
    clock = ManualClock(0)
    driver.clock = clock
    nats_harness.perform("a0", (SetTimer("far", 3_600_000_000),))
    clock.advance(3600)
    nats_harness.until(lambda: bool(node.of(Timer)))
    assert node.of(Timer) == [Timer("far")]


def test_closing_waits_for_what_runs_and_then_nothing_reaches_the_node(nats_harness: NatsHarness) -> None:
    node = nats_harness.join("a0")
    control = nats_harness.join("control", "beat.*")
    gate = threading.Event()

    async def close() -> None:
        driver: NodeDriver = nats_harness.drivers.pop("a0")
        driver.perform(
            (
                Compute("slow", gate.wait),
                SetTimer("t", driver.now().mono_us + 1_000),
                Store("test.bundle", b"x"),
                Append("ledger", b"1"),
                Send(NAMES.of("beat", "a0"), b"last words"),
            )
        )
        closing = asyncio.create_task(driver.close())
        await asyncio.sleep(0)
        gate.set()
        await closing
        driver.post(Timer("t"))

    before = len(node.got)
    nats_harness.runner.run(close())
    assert len(node.got) == before
    nats_harness.until(lambda: control.data() == [b"last words"])


def test_a_write_under_way_is_made_before_the_driver_closes(nats_harness: NatsHarness) -> None:
    nats_harness.join("control")

    async def close() -> None:
        driver: NodeDriver = nats_harness.drivers.pop("control")
        driver.perform(tuple(Store(f"test.intent.k{number}", b"last") for number in range(5)))
        await driver.close()

    nats_harness.runner.run(close())
    reader = nats_harness.join("reader", login="control")
    for number in range(5):
        nats_harness.perform("reader", (Fetch(f"test.intent.k{number}"),))
    nats_harness.until(lambda: len(reader.of(Fetched)) == 5)
    assert {event.data for event in reader.of(Fetched)} == {b"last"}
