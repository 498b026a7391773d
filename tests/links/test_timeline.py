"""Virtual time passes only by running calls, in the order (time, sequence)."""

from __future__ import annotations

from ripstop.links.timeline import Timeline


def test_calls_run_in_order_of_time_and_then_of_asking() -> None:
    timeline, ran = Timeline(), []
    timeline.at(20, ran.append, "later")
    timeline.at(10, ran.append, "first asked")
    timeline.at(10, ran.append, "second asked")
    timeline.run_until(30)
    assert ran == ["first asked", "second asked", "later"]
    assert timeline.now_us == 30


def test_a_call_due_at_the_end_runs_and_a_later_one_waits() -> None:
    timeline, ran = Timeline(), []
    timeline.at(10, ran.append, "due")
    timeline.at(11, ran.append, "not due")
    timeline.run_until(10)
    assert ran == ["due"]
    assert timeline.next_us() == 11
    assert len(timeline) == 1


def test_what_should_have_happened_already_happens_now_and_time_never_goes_back() -> None:
    timeline, seen = Timeline(100), []
    timeline.at(5, lambda: seen.append(timeline.now_us))
    assert timeline.step()
    assert seen == [100]
    timeline.run_until(50)
    assert timeline.now_us == 100
    assert not timeline.step()


def test_calls_may_ask_for_calls_within_the_same_run() -> None:
    timeline, ran = Timeline(), []

    def chain(left: int) -> None:
        ran.append(timeline.now_us)
        if left:
            timeline.after(10, chain, left - 1)

    timeline.after(10, chain, 2)
    timeline.run_until(100)
    assert ran == [10, 20, 30]
