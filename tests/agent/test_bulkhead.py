import asyncio
import threading

import pytest

from ripstop.agent import Bulkhead, BulkheadFull, Circuits, RetryBudget
from ripstop.agent.breaker import BreakerSettings, BreakerState
from ripstop.agent.bulkhead import BulkheadSettings, Limit
from ripstop.core.clock import ManualClock
from ripstop.core.errors import ConfigurationError


def test_what_is_too_much_is_refused_at_once_and_not_called():
    bulkhead = Bulkhead(low=2, high=2)
    calls = []
    with bulkhead.guard(), bulkhead.guard():
        with pytest.raises(BulkheadFull, match="A0102: bulkhead `bulkhead` is full: 2 calls"):
            bulkhead.call(calls.append, 1)
        assert bulkhead.in_flight == 2
    assert (bulkhead.in_flight, bulkhead.refused, calls) == (0, 1, [])
    assert bulkhead.call(int) == 0


def test_an_async_with_block_that_is_cancelled_gives_its_place_back():
    bulkhead = Bulkhead(low=1, high=1)

    async def hang():
        async with bulkhead.guard():
            await asyncio.Event().wait()

    async def fly():
        task = asyncio.create_task(hang())
        await asyncio.sleep(0)
        assert bulkhead.in_flight == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(fly())
    assert bulkhead.in_flight == 0


def test_whatever_ends_a_call_gives_its_place_back():
    bulkhead = Bulkhead(low=1, high=1)
    for error in (OSError, KeyboardInterrupt):
        with pytest.raises(error), bulkhead.guard():
            raise error
    assert bulkhead.in_flight == 0


def test_a_cancelled_coroutine_gives_its_place_back():
    bulkhead = Bulkhead(low=1, high=1)

    async def scene():
        task = asyncio.create_task(bulkhead.call_async(asyncio.Event().wait))
        await asyncio.sleep(0)
        assert bulkhead.in_flight == 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(scene())
    assert bulkhead.in_flight == 0


def test_callers_within_the_limit_run_side_by_side():
    bulkhead = Bulkhead(low=4, high=4)
    barrier = threading.Barrier(4, timeout=10)
    threads = [threading.Thread(target=bulkhead.call, args=(barrier.wait,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not barrier.broken


def burst(core, count, is_bad=False, duration_s=0.0):
    permits = [core.enter() for _ in range(count)]
    for permit in permits:
        if permit is not None:
            core.leave(permit, duration_s, is_bad)


def test_an_adaptive_limit_grows_while_it_is_used_and_shrinks_once_for_one_trouble():
    core = Limit(BulkheadSettings(low=2, high=40, shrink=0.5))
    for _ in range(200):
        burst(core, core.limit)
    assert core.limit == 40
    burst(core, 40, is_bad=True)
    assert core.limit == 20
    burst(core, 20, is_bad=True)
    assert core.limit == 10
    for _ in range(50):
        burst(core, 1, is_bad=True)
    assert core.limit == 2


def test_a_limit_that_is_not_used_does_not_grow():
    core = Limit(BulkheadSettings(low=8, high=40))
    for _ in range(1_000):
        burst(core, 1)
    assert core.limit == 8


def test_slow_calls_shrink_it():
    clock = ManualClock()
    bulkhead = Bulkhead(BulkheadSettings(low=1, high=10, slow_s=1.0), clock=clock)
    for _ in range(10):
        bulkhead.call(int)
    grown = bulkhead.limit
    bulkhead.call(clock.advance, 2.0)
    assert 1 <= bulkhead.limit < grown


def test_a_fleet_of_callers_settles_near_what_the_server_bears():
    """A server that fails what is above 20 at a time: the limit saws between a share of it and one above."""
    core = Limit(BulkheadSettings(low=1, high=1000, shrink=0.7))
    seen = []
    for _ in range(3_000):
        permits = [core.enter() for _ in range(core.limit)]
        for i, permit in enumerate(permits):
            core.leave(permit, 0.0, i >= 20)
        seen.append(core.limit)
    assert max(seen[500:]) <= 21
    assert min(seen[500:]) >= 14


@pytest.mark.parametrize("more", [{"low": 0}, {"low": 9, "high": 8}, {"shrink": 1.0}, {"slow_s": -1.0}])
def test_bounds_that_cannot_be_are_refused(more):
    with pytest.raises(ConfigurationError, match="C0372"):
        Bulkhead(**more)


def test_retries_are_a_share_of_the_calls():
    budget = RetryBudget(share=0.2, least_per_s=0.0, clock=ManualClock())
    retries = 0
    for _ in range(1_000):
        budget.note_call()
        retries += budget.may_retry()
    assert 199 <= retries <= 201


def test_a_seldom_caller_may_retry_by_time():
    clock = ManualClock()
    budget = RetryBudget(share=0.0, least_per_s=0.5, clock=clock)
    assert budget.may_retry()
    assert not budget.may_retry()
    clock.advance(2.0)
    assert budget.may_retry()
    clock.advance(10_000.0)
    assert budget.balance == 100.0


def test_a_budget_that_cannot_be_is_refused():
    with pytest.raises(ConfigurationError, match="C0372"):
        RetryBudget(most=0.5)


def test_each_action_and_peer_has_a_breaker_of_its_own():
    heard = []
    settings = BreakerSettings(sliding_window_size=1, minimum_number_of_calls=1)
    circuits = Circuits(
        settings, listener=lambda name, t: heard.append((name, t.after.value)), clock=ManualClock()
    )

    def broken():
        raise OSError

    with pytest.raises(OSError):
        circuits.of("send", "drone-7").call(broken)
    assert circuits.of("send", "drone-7") is circuits.of("send", "drone-7")
    assert circuits.of("send", "drone-8").call(int) == 0
    assert circuits.of("send").call(int) == 0
    assert heard == [("send@drone-7", "open")]
    assert circuits.states()["send@drone-7"] is BreakerState.OPEN


def test_beyond_their_number_the_oldest_closed_one_is_forgotten_first():
    circuits = Circuits(clock=ManualClock(), most=3)
    circuits.of("a").force_open()
    for name in "bcd":
        circuits.of(name)
    assert sorted(circuits.states()) == ["a", "c", "d"]
