"""One agent with figures that cannot be, or without measure: it is refused, and the fleet is watched on."""

from dataclasses import replace

import pytest

from control.governed_fleet import GovernedFleet
from control.scripted_fleet import NAMES, drone, fail, make_world
from ripstop.control import allowance as allowances
from ripstop.control.allowance import (
    BACKLOG_BYTES,
    BURST_BYTES,
    MESSAGE_BYTES,
    RATE_BYTES_S,
    Allowance,
    LedgerAllowance,
)
from ripstop.control.audit.verify import verify_run
from ripstop.control.reception import Reception
from ripstop.core.errors import WireError
from ripstop.core.messages import Item
from ripstop.core.node import Append, Send
from ripstop.core.wire.record import pack

NAN, INFINITE = float("nan"), float("inf")
ITEM = Item("i", 3, 1.0, 0.0, 0.0, 100.0, 100.0)
IMPOSSIBLE = [
    {"slots": 2**40},
    {"x_m": NAN},
    {"y_m": -INFINITE},
    {"spare": NAN},
    {"spare": INFINITE},
    {"cost_per_m": NAN},
    {"cost_per_m": INFINITE},
    {"cost_per_m": -0.1},
    {"x_m": 1e300},
    {"items": (ITEM,) * 1001},
    *(
        {"items": (replace(ITEM, **{name: value}),)}
        for name, value in [
            ("priority", 2**40),
            ("priority", -(2**40)),
            ("load", NAN),
            ("load", -1.0),
            ("pickup_x_m", INFINITE),
            ("pickup_y_m", NAN),
            ("drop_x_m", -1e308),
            ("drop_y_m", 1e308),
        ]
    ),
]


@pytest.mark.parametrize("changes", IMPOSSIBLE, ids=lambda changes: next(iter(changes)))
def test_a_work_that_cannot_be_is_refused_and_blinds_nobody(changes):
    world = make_world()
    world.run(5)
    world.perform("d016", Send(NAMES.of("work", "d016"), pack(replace(drone(16), **changes))))
    fail(world)
    world.run(5)
    assert [r["code"] for r in world.named("message.refused")] == ["W0209"]
    assert world.named("computation.failed") == []
    assert len(world.named("incident.opened")) == 1
    assert world.named("mitigation.complete")[0]["targets"] == 30


@pytest.mark.parametrize(
    ("topic", "size"), [("beat", 4097), ("ack", 16_385), ("notice", 16_385), ("work", (1 << 20) + 1)]
)
def test_a_message_that_is_too_long_is_refused_before_it_is_read(topic, size):
    world = make_world([drone(row) for row in range(3)])
    world.run(2)
    world.perform("d000", Send(NAMES.of(topic, "d000"), b"\x00" * size))
    world.run(1)
    assert [r["code"] for r in world.named("message.refused")] == ["W0211"]


def test_a_flood_is_kept_within_its_sender_s_allowance_and_others_are_heard(monkeypatch):
    world = make_world([drone(row) for row in range(3)])
    world.run(2)
    kept = []
    take = Reception.take

    def counting(*args, **kwargs):
        effects = take(*args, **kwargs)
        kept.extend(len(e.data) for e in effects if isinstance(e, Append) and e.stream == "messages")
        return effects

    monkeypatch.setattr(Reception, "take", counting)
    for _ in range(400):
        world.say("d000", "x.y", text="z" * 10_000)
    world.say("d001", "x.y", text="short")
    world.run(1)
    assert {(r["agent"], r["code"]) for r in world.named("message.refused")} == {("d000", "W0210")}
    assert sum(kept) < BURST_BYTES + 2 * RATE_BYTES_S
    heard = [r["agent"] for r in world.named("notice.received")]
    assert heard.count("d001") == 1
    world.run(60)
    world.say("d000", "x.y", text="again")
    world.run(1)
    assert world.named("notice.received")[-1]["text"] == "again"


def test_an_allowance_fills_again_with_time_and_never_beyond_its_size():
    allowance = Allowance()
    largest = BURST_BYTES - MESSAGE_BYTES
    allowance.spend("a", largest, 0)
    with pytest.raises(WireError) as caught:
        allowance.spend("a", 1, 0)
    assert caught.value.code == "W0210"
    allowance.spend("b", largest, 0)
    allowance.spend("a", RATE_BYTES_S - MESSAGE_BYTES, 1_000_000)
    with pytest.raises(WireError):
        allowance.spend("a", 1, 1_000_000)
    allowance.spend("a", largest, 3_600_000_000)
    with pytest.raises(WireError):
        allowance.spend("a", 1, 3_600_000_000)


def test_a_ledger_is_taken_at_its_pace_and_what_was_put_off_lets_nothing_shorter_pass():
    ledgers = LedgerAllowance(1000)
    assert ledgers.takes("a", BACKLOG_BYTES, 0), "a whole backlog at once"
    assert not ledgers.takes("a", 1, 0)
    assert ledgers.takes("b", 1, 0), "each has its own"
    assert ledgers.takes("a", 5000, 1_000)
    for second in range(1, 5):
        assert not ledgers.takes("a", 1, second * 1_000_000)
    assert ledgers.takes("a", 1, 5_100_000)


def test_a_ledger_that_comes_too_fast_waits_at_its_agent_and_comes_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(allowances, "BACKLOG_BYTES", 3000)
    fleet = GovernedFleet([drone(row, 3) for row in range(3)])
    fleet.control.reception.ledgers = LedgerAllowance(150)
    for _ in range(60):
        fleet.request("d001", task_priority=5)
        fleet.run(1)
    delayed = fleet.named("segment.delayed")
    assert {fields["agent"] for fields in delayed} == {"d001"}
    assert fleet.agents["d001"]._chronicle.records.unreceipted > 0, "the agent keeps them"
    monkeypatch.undo()
    fleet.control.reception.ledgers = LedgerAllowance(100_000)
    fleet.run(200)
    assert fleet.agents["d001"]._chronicle.records.unreceipted == 0
    assert fleet.named("ledger.lost") == []
    fleet.save(tmp_path)
    result = verify_run(tmp_path)
    assert [finding for finding in result.findings if finding.code.startswith("ledger")] == []
    assert result.counts["record.decision"] == 60


def test_being_put_off_again_and_again_makes_no_segment_count_as_lost():
    fleet = GovernedFleet([drone(row, 3) for row in range(3)])
    fleet.run(4)
    intake = fleet.control.intake
    for _ in range(10):
        assert not intake._is_lost("d001", 99)
        intake.put_off("d001")
