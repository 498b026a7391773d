import asyncio
import threading

import pytest

from ripstop.agent.breaker import BreakerOpen, BreakerState
from ripstop.agent.circuit import CallEnd, CircuitBreaker, Outcomes
from ripstop.core.clock import ManualClock
from ripstop.core.errors import ConfigurationError


def broken():
    raise OSError("no link")


def breaker(clock=None, **more):
    rules = {"sliding_window_size": 2, "minimum_number_of_calls": 2, "jitter": 0.0}
    return CircuitBreaker(name="radio", clock=clock or ManualClock(), seed=1, **(rules | more))


def open_it(circuit):
    for _ in range(2):
        with pytest.raises(OSError, match="no link"):
            circuit.call(broken)
    assert circuit.state is BreakerState.OPEN


def test_a_call_passes_its_arguments_and_its_result_through():
    assert breaker().call(lambda a, b=0: a + b, 1, b=2) == 3


@pytest.mark.parametrize(
    ("positional", "thresholds", "words", "hint"),
    [
        ((3,), {}, "cannot be made of `3`", "by name"),
        (("radio",), {}, "cannot be made of `radio`", "by name"),
        ((), {"failure_threshold": 3}, "has no `failure_threshold`", "`failure_rate_threshold`"),
        ((), {"recovery_timeout": 5}, "has no `recovery_timeout`", "wait_s"),
        ((), {"wait_s": "5"}, "`wait_s` of a breaker cannot be `5`", "a number"),
        ((), {"sliding_window_size": 2.5}, "cannot be `2.5`", "a whole number"),
        ((), {"minimum_number_of_calls": True}, "cannot be `True`", "a whole number"),
        ((), {"wait_s": -1}, "`wait_s` of a breaker cannot be `-1`", ""),
    ],
)
def test_what_a_breaker_cannot_be_made_of_is_a_clear_error(positional, thresholds, words, hint):
    with pytest.raises(ConfigurationError) as caught:
        CircuitBreaker(*positional, **thresholds)
    assert caught.value.code == "C0301"
    assert words in str(caught.value)
    assert hint in caught.value.hint


def test_a_refusal_is_a_runtime_error_and_the_function_is_not_called():
    circuit = breaker()
    open_it(circuit)
    calls = []
    with pytest.raises(RuntimeError) as caught:
        circuit.call(calls.append, 1)
    assert isinstance(caught.value, BreakerOpen)
    assert str(caught.value) == "A0101: breaker `radio` is open, next try in 1.0 s"
    assert not calls


def test_it_closes_again_after_good_probes():
    clock = ManualClock()
    circuit = breaker(clock)
    open_it(circuit)
    clock.advance(1.0)
    for _ in range(3):
        circuit.call(int)
    assert circuit.state is BreakerState.CLOSED


def test_transitions_are_told_outside_the_lock():
    heard = []
    circuit = breaker(listener=lambda t: heard.append((t.after.value, circuit.failure_rate)))
    open_it(circuit)
    circuit.reset()
    assert [name for name, _ in heard] == ["open", "closed"]


def test_ignored_exceptions_do_not_open_it():
    circuit = breaker(outcomes=Outcomes(ignore=(OSError,)))
    for _ in range(5):
        with pytest.raises(OSError, match="no link"):
            circuit.call(broken)
    assert circuit.state is BreakerState.CLOSED


def test_an_interrupted_probe_gives_its_permit_back():
    clock = ManualClock()
    circuit = breaker(clock)
    open_it(circuit)
    clock.advance(1.0)

    def interrupted():
        raise KeyboardInterrupt

    for _ in range(10):
        with pytest.raises(KeyboardInterrupt):
            circuit.call(interrupted)
    for _ in range(3):
        circuit.call(int)
    assert circuit.state is BreakerState.CLOSED


def test_a_cancelled_async_probe_gives_its_permit_back():
    clock = ManualClock()
    circuit = breaker(clock)
    open_it(circuit)
    clock.advance(1.0)

    async def scene():
        never = asyncio.Event()
        tasks = [asyncio.create_task(circuit.call_async(never.wait)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(BreakerOpen):
            await circuit.call_async(never.wait)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        never.set()
        for _ in range(3):
            assert await circuit.call_async(never.wait)

    asyncio.run(scene())
    assert circuit.state is BreakerState.CLOSED


def test_decorators_keep_the_kind_of_the_function():
    circuit = breaker()

    @circuit
    def plain(x):
        """Double."""
        return 2 * x

    @circuit
    async def waiting(x):
        return 3 * x

    assert plain(2) == 4
    assert plain.__doc__ == "Double."
    assert asyncio.run(waiting(2)) == 6


def test_a_with_block_is_one_call():
    circuit = breaker()
    for _ in range(2):
        with pytest.raises(OSError, match="no link"), circuit.guard():
            broken()
    with pytest.raises(BreakerOpen), circuit.guard():
        pytest.fail("the block ran")


def test_an_async_with_block_is_one_call_too():
    circuit = breaker()

    async def fly():
        for _ in range(2):
            with pytest.raises(OSError, match="no link"):
                async with circuit.guard():
                    await asyncio.sleep(0)
                    broken()
        with pytest.raises(BreakerOpen):
            async with circuit.guard():
                pytest.fail("the block ran")

    asyncio.run(fly())


def test_orders_hold_until_reset():
    circuit = breaker()
    circuit.force_open()
    with pytest.raises(BreakerOpen) as caught:
        circuit.call(int)
    assert caught.value.retry_s is None
    circuit.disable()
    circuit.observe_only()
    assert circuit.call(int) == 0
    circuit.reset()
    assert circuit.state is BreakerState.CLOSED


def test_callers_run_side_by_side():
    circuit = breaker()
    barrier = threading.Barrier(4, timeout=10)  # passes only when all four are inside at once
    threads = [threading.Thread(target=circuit.call, args=(barrier.wait,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not barrier.broken


def test_slow_calls_are_measured_by_the_clock():
    clock = ManualClock()
    circuit = breaker(clock, slow_call_duration_s=2.0)
    for _ in range(2):
        circuit.call(clock.advance, 2.5)
    assert circuit.state is BreakerState.OPEN


def test_it_can_be_said_which_exceptions_and_results_are_failures():
    outcomes = Outcomes(
        record=(OSError,),
        is_failure=lambda error: "link" in str(error),
        is_bad_result=lambda result: result == "503",
    )
    circuit = breaker(outcomes=outcomes, failure_rate_threshold=1.0)
    for error in (KeyError("bug"), OSError("disk")):
        for _ in range(3):
            with pytest.raises(type(error)):
                circuit.call(lambda error=error: (_ for _ in ()).throw(error))
    assert circuit.metrics.failures == 0
    for _ in range(2):
        assert circuit.call(lambda: "503") == "503"
    assert circuit.state is BreakerState.OPEN


def test_every_end_of_a_call_is_told():
    heard = []
    circuit = breaker(outcomes=Outcomes(ignore=(KeyError,), told=heard.append), failure_rate_threshold=1.0)
    circuit.call(int)
    with pytest.raises(KeyError):
        circuit.call({}.__getitem__, 1)
    with pytest.raises(KeyboardInterrupt):
        circuit.call(lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    open_it(circuit)
    with pytest.raises(BreakerOpen):
        circuit.call(int)
    assert heard == [
        CallEnd.SUCCEEDED,
        CallEnd.IGNORED,
        CallEnd.CANCELLED,
        CallEnd.FAILED,
        CallEnd.FAILED,
        CallEnd.NOT_PERMITTED,
    ]


def test_an_ignored_probe_gives_its_permit_back():
    clock = ManualClock()
    circuit = breaker(clock, outcomes=Outcomes(ignore=(KeyError,)))
    open_it(circuit)
    clock.advance(1.0)
    for _ in range(10):
        with pytest.raises(KeyError):
            circuit.call({}.__getitem__, 1)
    assert circuit.state is BreakerState.HALF_OPEN
    for _ in range(3):
        circuit.call(int)
    assert circuit.state is BreakerState.CLOSED


def test_a_settled_breaker_takes_no_lock_for_a_good_call_and_still_opens():
    circuit = breaker(failure_rate_threshold=1.0)
    for _ in range(2):
        circuit.call(int)
    with circuit._lock:
        assert circuit.call(int) == 0
    open_it(circuit)


def test_time_alone_makes_an_open_one_half_open_where_it_is_told_to_look():
    clock = ManualClock()
    circuit = breaker(clock)
    open_it(circuit)
    circuit.tick()
    assert circuit.state is BreakerState.OPEN
    clock.advance(1.0)
    circuit.tick()
    assert circuit.state is BreakerState.HALF_OPEN


def test_a_call_that_began_in_another_spell_counts_for_nothing():
    clock = ManualClock()
    circuit = breaker(clock, failure_rate_threshold=1.0)
    for _ in range(2):
        circuit.call(int)

    def late():
        open_it(circuit)
        clock.advance(1.0)
        circuit.tick()
        raise OSError("late")

    with pytest.raises(OSError, match="late"):
        circuit.call(late)
    assert circuit.state is BreakerState.HALF_OPEN
    assert circuit.metrics.calls == 0
