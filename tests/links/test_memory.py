"""The network in virtual time: what it carries, what it breaks, and that a seed fixes both."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ripstop.core.clock import Instant
from ripstop.core.node import (
    Append,
    Compute,
    Computed,
    Connected,
    Deliver,
    Disconnected,
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
    Stored,
    Sync,
    Synced,
    Timer,
)
from ripstop.links.conditions import ClockSkew, Conditions
from ripstop.links.durable import MemoryDisk
from ripstop.links.memory import MemoryNetwork
from ripstop.links.timeline import Timeline


class Recorder:
    """A node that keeps what it got and answers by a table."""

    def __init__(self, *subjects: str, answer: Callable[[Event], Effects] = lambda event: ()) -> None:
        self.subjects = subjects
        self.got: list[tuple[int, Event]] = []
        self._answer = answer

    def step(self, event: Event, now: Instant) -> Effects:
        self.got.append((now.mono_us, event))
        return self._answer(event)

    def events(self, kind: type[Event]) -> list[Event]:
        return [event for _, event in self.got if isinstance(event, kind)]

    def data(self) -> list[bytes]:
        return [event.data for _, event in self.got if isinstance(event, Message)]


def network(seed: int = 1, **conditions: float) -> MemoryNetwork:
    return MemoryNetwork(Timeline(), seed, Conditions(**conditions))


def settle(net: MemoryNetwork, seconds: float = 1.0) -> None:
    net.timeline.run_until(net.timeline.now_us + round(seconds * 1e6))


def pair(net: MemoryNetwork) -> tuple[Recorder, Recorder]:
    a, b = Recorder("to.a"), Recorder("to.b", "all")
    net.attach("a", a)
    net.attach("b", b)
    settle(net)
    return a, b


def test_a_node_starts_and_then_is_connected() -> None:
    net, node = network(), Recorder()
    net.attach("a", node, incarnation=3)
    settle(net)
    assert [event for _, event in node.got] == [Started(3), Connected()]


def test_a_message_arrives_after_the_delay_and_only_where_it_is_heard() -> None:
    net = network(delay_s=0.01)
    a, b = pair(net)
    sent_us = net.timeline.now_us
    net.perform("a", (Send("to.b", b"x"),))
    settle(net)
    assert b.got[-1] == (sent_us + 10_000, Message("to.b", b"x"))
    assert a.data() == []
    assert (net.counts.sent, net.counts.delivered) == (1, 1)


def test_a_node_does_not_hear_itself() -> None:
    net = network()
    a = Recorder("to.>")
    net.attach("a", a)
    settle(net)
    net.perform("a", (Send("to.a", b"x"),))
    settle(net)
    assert a.data() == []


@pytest.mark.parametrize("jitter_s", [0.0, 0.05])
def test_messages_of_one_sender_stay_in_order_whatever_the_jitter(jitter_s: float) -> None:
    net = network(jitter_s=jitter_s)
    _, b = pair(net)
    for number in range(100):
        net.perform("a", (Send("to.b", bytes([number])),))
        settle(net, 0.001)
    settle(net, 5)
    assert b.data() == [bytes([number]) for number in range(100)]


def test_reordering_overtakes_and_loses_nothing() -> None:
    net = network(reorder=0.5)
    _, b = pair(net)
    for number in range(100):
        net.perform("a", (Send("to.b", bytes([number])),))
        settle(net, 0.001)
    settle(net, 5)
    assert b.data() != sorted(b.data())
    assert len(b.data()) == 100


def test_loss_takes_its_share_for_each_receiver_apart() -> None:
    net = network(loss=0.3)
    nodes = [Recorder("all") for _ in range(20)]
    for number, node in enumerate(nodes):
        net.attach(f"n{number}", node)
    net.attach("a", Recorder())
    settle(net)
    for _ in range(100):
        net.perform("a", (Send("all", b"x"),))
    settle(net)
    arrived = sum(len(node.data()) for node in nodes)
    # 2,000 draws at 0.3: the standard deviation of the count is 20.5; five of them are 102.
    assert abs(arrived - 1400) < 102
    assert net.counts.lost == 2000 - arrived
    assert len({len(node.data()) for node in nodes}) > 1


def test_the_same_seed_gives_the_same_run_and_another_seed_another() -> None:
    def run(seed: int) -> list[tuple[int, Event]]:
        net = network(seed, jitter_s=0.02, loss=0.2, reorder=0.1)
        _, b = pair(net)
        for number in range(50):
            net.perform("a", (Send("to.b", bytes([number])),))
        settle(net)
        return b.got

    assert run(7) == run(7)
    assert run(7) != run(8)


def test_a_partition_cuts_both_ways_but_not_within_and_nobody_is_told() -> None:
    net = network()
    a, b = pair(net)
    c = Recorder("to.c")
    net.attach("c", c)
    settle(net)
    net.partition(["b", "c"])
    net.perform("a", (Send("to.b", b"across"),))
    net.perform("b", (Send("to.a", b"across"), Send("to.c", b"within")))
    settle(net)
    assert (a.data(), b.data(), c.data()) == ([], [], [b"within"])
    assert not b.events(Disconnected)
    net.heal()
    net.perform("a", (Send("to.b", b"healed"),))
    settle(net)
    assert b.data() == [b"healed"]


def test_durable_requests_in_a_partition_are_answered_when_it_heals() -> None:
    net = network()
    _, b = pair(net)
    net.partition(["b"])
    net.perform("b", (Fetch("k"), Store("k", b"v", expected=0)))
    settle(net)
    assert not b.events(Fetched)
    assert net.pending_answers("b") == 2
    net.heal()
    settle(net)
    assert b.events(Fetched) == [Fetched("k", None, 0)]
    assert b.events(Stored) == [Stored("k", 1)]
    assert net.pending_answers("b") == 0


def test_compare_and_set_lets_one_of_two_win() -> None:
    net = network()
    a, b = pair(net)
    net.perform("a", (Store("k", b"a", expected=0),))
    net.perform("b", (Store("k", b"b", expected=0),))
    settle(net)
    assert (a.events(Stored), b.events(Stored)) == ([Stored("k", 1)], [Stored("k", 0)])
    assert net.keys.fetch("k") == (b"a", 1)


def test_a_write_whose_answer_was_lost_is_recognised_as_its_own_when_repeated() -> None:
    net = network(delay_s=0.01)
    a, _ = pair(net)
    net.perform("a", (Store("k", b"mine", expected=0),))
    settle(net, 0.011)
    assert net.keys.fetch("k") == (b"mine", 1)
    net.disconnect("a")
    settle(net)
    assert not a.events(Stored)
    net.reconnect("a")
    settle(net)
    assert a.events(Stored) == [Stored("k", 1)]
    assert net.keys.fetch("k") == (b"mine", 1)


def test_while_disconnected_messages_are_lost_and_both_ends_of_it_are_told() -> None:
    net = network()
    _, b = pair(net)
    net.disconnect("b", notice_s=0.5)
    net.perform("a", (Send("to.b", b"lost"),))
    net.perform("b", (Send("to.a", b"lost too"),))
    settle(net, 0.4)
    assert not b.events(Disconnected)
    settle(net, 0.2)
    assert b.events(Disconnected)
    net.reconnect("b")
    settle(net)
    assert len(b.events(Connected)) == 2
    assert b.data() == []


def test_a_server_that_stops_and_starts_brings_everybody_back_with_the_keys_kept() -> None:
    net = network()
    a, b = pair(net)
    net.perform("a", (Store("k", b"v"),))
    settle(net)
    net.stop_server()
    settle(net)
    net.perform("b", (Fetch("k"),))
    settle(net)
    net.start_server()
    settle(net)
    assert len(a.events(Connected)) == len(b.events(Connected)) == 2
    assert b.events(Fetched) == [Fetched("k", b"v", 1)]


def test_a_timer_rings_once_and_setting_it_again_moves_it() -> None:
    net, node = network(), Recorder()
    net.attach("a", node)
    settle(net, 0.1)
    net.perform("a", (SetTimer("t", 300_000), SetTimer("u", 200_000), SetTimer("t", 400_000)))
    assert net.pending_timers("a") == {"t": 400_000, "u": 200_000}
    settle(net)
    assert [item for item in node.got if isinstance(item[1], Timer)] == [
        (200_000, Timer("u")),
        (400_000, Timer("t")),
    ]
    assert net.pending_timers("a") == {}


@pytest.mark.parametrize("drift_ppm", [0.0, 500.0, -500.0])
def test_a_timer_is_never_early_by_the_clock_of_its_node(drift_ppm: float) -> None:
    net, node = network(), Recorder()
    net.attach("a", node, clock_skew=ClockSkew(wall_us=-5_000_000, mono_us=70, drift_ppm=drift_ppm))
    settle(net, 100)
    at_us = net.now("a").mono_us + 1_000_000
    net.perform("a", (SetTimer("t", at_us),))
    settle(net, 2)
    rang_us = node.got[-1][0]
    assert at_us <= rang_us <= at_us + 2


def test_skewed_clocks_differ_and_a_jump_moves_only_the_wall_clock() -> None:
    net = network()
    net.attach("a", Recorder(), clock_skew=ClockSkew(wall_us=1_000, mono_us=7))
    settle(net)
    before = net.now("a")
    assert (before.wall_us, before.mono_us) == (1_001_000, 1_000_007)
    net.jump_wall("a", -3600)
    after = net.now("a")
    assert (after.wall_us - before.wall_us, after.mono_us - before.mono_us) == (-3_600_000_000, 0)


def test_a_computation_takes_its_charged_time_and_a_failing_one_answers_with_its_error() -> None:
    net, node = network(), Recorder()
    net.attach("a", node)
    settle(net, 0.1)
    net.perform("a", (Compute("good", lambda: 42, 0.5), Compute("bad", lambda: 1 // 0, 0.2)))
    assert net.pending_answers("a") == 2
    settle(net)
    assert node.got[-2][0] == 300_000
    assert node.got[-1] == (600_000, Computed("good", 42))
    failed = node.got[-2][1]
    assert isinstance(failed, Computed)
    assert failed.result is None
    assert "division" in failed.error


def test_a_crash_forgets_what_was_not_synced_and_a_new_boot_finds_the_rest() -> None:
    net, node = network(sync_s=0.01), Recorder()
    disk = MemoryDisk()
    net.attach("a", node, disk=disk)
    settle(net)
    net.perform("a", (Extend("ledger", (b"1", b"2"), (b"", b"")), Sync(2)))
    settle(net)
    assert node.events(Synced) == [Synced(2)]
    net.perform("a", (Append("ledger", b"3"), SetTimer("t", 9_000_000)))
    first_boot = net.now("a").boot
    assert net.crash("a") is disk
    assert disk.read("ledger") == (b"1", b"2")
    again = Recorder()
    net.attach("a", again, incarnation=1, disk=disk)
    settle(net, 20)
    assert net.now("a").boot != first_boot
    assert [event for _, event in again.got] == [Started(1), Connected()]
    assert not node.events(Timer)


def test_dropped_records_are_gone_and_the_numbering_goes_on() -> None:
    disk = MemoryDisk()
    for number in range(1, 6):
        disk.append("ledger", bytes([number]))
    disk.drop("ledger", 3)
    disk.drop("ledger", 2)
    assert disk.read("ledger") == (b"\x04", b"\x05")
    assert disk.first("ledger") == 4
    disk.drop("ledger", 9)
    assert disk.first("ledger") == 6


def test_the_application_hears_deliveries_and_reports_and_a_tap_every_message() -> None:
    net = network()
    heard: list[object] = []
    net.on_deliver = lambda name, value, now: heard.append((name, value, now.mono_us))
    net.on_report = lambda name, report, now: heard.append((name, report.name))
    net.taps.append(lambda t_us, sender, subject, data: heard.append((sender, subject, data)))
    pair(net)
    net.perform("a", (Deliver("offer"), Report("breaker.opened", {}), Send("nobody.hears", b"x")))
    assert heard == [("a", "offer", 1_000_000), ("a", "breaker.opened"), ("a", "nobody.hears", b"x")]


def test_effects_of_a_step_are_carried_out_like_those_of_a_call() -> None:
    def answer(event: Event) -> Effects:
        return (Send("to.a", b"pong"),) if isinstance(event, Message) else ()

    net, a = network(), Recorder("to.a")
    net.attach("a", a)
    net.attach("b", Recorder("to.b", answer=answer))
    settle(net)
    net.perform("a", (Send("to.b", b"ping"),))
    settle(net)
    assert a.data() == [b"pong"]
