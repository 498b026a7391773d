"""What both links promise, through a node: the same tests over virtual time and over a real server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ripstop.core.node import (
    Compute,
    Computed,
    Connected,
    Disconnected,
    Effects,
    Event,
    Fetch,
    Fetched,
    Message,
    Send,
    SetTimer,
    Started,
    Store,
    Stored,
    Timer,
)
from ripstop.core.subjects import Subjects

if TYPE_CHECKING:
    Harness = Any

NAMES = Subjects("test")
HEARD = ("tick", "intent.fleet", "bundle")


def test_a_node_starts_before_it_is_connected(harness: Harness) -> None:
    node = harness.join("a0", *HEARD)
    assert node.got == [Started(0), Connected()]


def test_messages_of_one_sender_arrive_in_order_on_each_of_their_subjects(harness: Harness) -> None:
    node = harness.join("a0", *HEARD)
    harness.join("control")
    subjects = [NAMES.tick, NAMES.intent("fleet"), NAMES.bundle]
    sent = [Send(subjects[number % 3], b"%d" % number) for number in range(300)]
    for effect in sent:
        harness.perform("control", (effect,))
    harness.until(lambda: len(node.data()) >= 300)
    for subject in subjects:
        heard = [message.data for message in node.of(Message) if message.subject == subject]
        assert heard == [effect.data for effect in sent if effect.subject == subject]


def test_a_broadcast_reaches_everybody_once_and_wildcards_hear_every_answer(harness: Harness) -> None:
    def answer(agent: str) -> Any:
        def on_event(event: Event) -> Effects:
            return (Send(NAMES.of("ack", agent), b"ack"),) if isinstance(event, Message) else ()

        return on_event

    agents = [f"a{number}" for number in range(20)]
    nodes = [harness.join(agent, *HEARD, answer=answer(agent)) for agent in agents]
    control = harness.join("control", "ack.*")
    harness.perform("control", (Send(NAMES.tick, b"go"),))
    harness.until(lambda: len(control.data()) >= 20)
    assert sorted(event.subject for event in control.of(Message)) == sorted(
        NAMES.of("ack", agent) for agent in agents
    )
    assert all(node.data() == [b"go"] for node in nodes)


def test_peers_hear_what_is_meant_for_them_and_nobody_hears_himself(harness: Harness) -> None:
    a, b = harness.join("a0", "peer.a0.*"), harness.join("a1", "peer.a1.*")
    harness.perform("a0", (Send(NAMES.peer("a1", "a0"), b"offer"), Send(NAMES.peer("a0", "a0"), b"self")))
    harness.until(lambda: bool(b.data()))
    harness.perform("a1", (Send(NAMES.peer("a0", "a1"), b"accept"),))
    harness.until(lambda: bool(a.data()))
    assert (a.of(Message), b.of(Message)) == (
        [Message(NAMES.peer("a0", "a1"), b"accept")],
        [Message(NAMES.peer("a1", "a0"), b"offer")],
    )


def test_a_key_that_holds_nothing_is_told_from_one_that_holds_no_bytes(harness: Harness) -> None:
    node = harness.join("control")
    harness.perform("control", (Fetch("test.bundle"), Store("test.epoch", b""), Fetch("test.epoch")))
    harness.until(lambda: len(node.of(Fetched)) == 2)
    stored = node.of(Stored)[0]
    assert stored.revision > 0
    assert node.of(Fetched) == [Fetched("test.bundle", None, 0), Fetched("test.epoch", b"", stored.revision)]


def test_of_two_who_compare_and_set_one_wins(harness: Harness) -> None:
    nodes = [harness.join("control"), harness.join("other", login="control")]
    for name in ("control", "other"):
        harness.perform(name, (Store("test.epoch", name.encode(), expected=0),))
    harness.until(lambda: all(node.of(Stored) for node in nodes))
    revisions = [node.of(Stored)[0].revision for node in nodes]
    assert sorted(revision > 0 for revision in revisions) == [False, True]
    winner = "control" if revisions[0] else "other"
    harness.perform("control", (Fetch("test.epoch"),))
    harness.until(lambda: bool(nodes[0].of(Fetched)))
    assert nodes[0].of(Fetched) == [Fetched("test.epoch", winner.encode(), max(revisions))]


def test_a_later_revision_is_written_only_over_the_one_it_expects(harness: Harness) -> None:
    node = harness.join("control")
    harness.perform("control", (Store("test.epoch", b"1", expected=0),))
    harness.until(lambda: len(node.of(Stored)) == 1)
    first = node.of(Stored)[0].revision
    harness.perform("control", (Store("test.epoch", b"2", expected=first),))
    harness.perform("control", (Store("test.epoch", b"3", expected=first),))
    harness.until(lambda: len(node.of(Stored)) == 3)
    second, third = (event.revision for event in node.of(Stored)[1:])
    assert second > first
    assert third == 0


def test_a_timer_rings_once_at_the_time_it_was_last_set_to(harness: Harness) -> None:
    rang: list[tuple[str, int]] = []

    def answer(event: Event) -> Effects:
        if isinstance(event, Timer):
            rang.append((event.name, harness.now("a0").mono_us))
        return ()

    harness.join("a0", answer=answer)
    now_us = harness.now("a0").mono_us
    harness.perform(
        "a0",
        (
            SetTimer("moved", now_us + 5_000),
            SetTimer("moved", now_us + 60_000),
            SetTimer("late", now_us + 90_000),
            SetTimer("past", now_us - 1),
        ),
    )
    harness.until(lambda: len(rang) == 3)
    assert [name for name, _ in rang] == ["past", "moved", "late"]
    assert rang[1][1] >= now_us + 60_000


def test_a_computation_answers_with_its_result_or_its_error(harness: Harness) -> None:
    node = harness.join("a0")
    harness.perform("a0", (Compute("good", lambda: 6 * 7), Compute("bad", lambda: 1 // 0)))
    harness.until(lambda: len(node.of(Computed)) == 2)
    answers = {event.name: event for event in node.of(Computed)}
    assert answers["good"] == Computed("good", 42)
    assert answers["bad"].error.startswith("ZeroDivisionError")


def test_what_is_sent_while_the_link_is_down_never_arrives(harness: Harness) -> None:
    node, control = harness.join("a0", *HEARD), harness.join("control", "beat.*")
    harness.kill_server()
    harness.until(lambda: bool(node.of(Disconnected)) and bool(control.of(Disconnected)))
    harness.perform("control", (Send(NAMES.tick, b"late"),))
    harness.until(lambda: len(node.of(Connected)) == 2 and len(control.of(Connected)) == 2)
    harness.perform("control", (Send(NAMES.tick, b"fresh"),))
    harness.until(lambda: bool(node.data()))
    assert node.data() == [b"fresh"]


def test_a_write_asked_for_while_the_link_is_down_is_made_when_it_is_back(harness: Harness) -> None:
    control = harness.join("control")
    harness.kill_server()
    harness.until(lambda: bool(control.of(Disconnected)))
    harness.perform(
        "control", (Store("test.intent.fleet", b"wanted", expected=0), Fetch("test.intent.fleet"))
    )
    harness.until(lambda: bool(control.of(Fetched)))
    assert control.of(Fetched)[0].data == b"wanted"
    assert control.of(Stored)[0].revision > 0


def test_a_server_killed_in_mid_run_loses_no_stored_record_and_everybody_is_back(harness: Harness) -> None:
    nodes = [harness.join(f"a{number}", *HEARD) for number in range(20)]
    control = harness.join("control")
    keys = [f"test.intent.agent-a{number}" for number in range(40)]
    for number, key in enumerate(keys):
        harness.perform("control", (Store(key, b"%d" % number, expected=0),))
        if number == 20:
            harness.until(lambda: len(control.of(Stored)) >= 10)
            harness.kill_server()
    harness.until(lambda: len(control.of(Stored)) == 40)
    assert all(event.revision > 0 for event in control.of(Stored))
    harness.until(lambda: all(len(node.of(Connected)) == 2 for node in nodes))
    for key in keys:
        harness.perform("control", (Fetch(key),))
    harness.until(lambda: len(control.of(Fetched)) == 40)
    held = {event.key: event.data for event in control.of(Fetched)}
    assert held == {key: b"%d" % number for number, key in enumerate(keys)}
    harness.perform("control", (Send(NAMES.tick, b"again"),))
    harness.until(lambda: all(node.data() == [b"again"] for node in nodes))
