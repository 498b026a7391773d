import asyncio
import threading

import pytest

from ripstop.agent.breaker import BreakerOpen, BreakerState
from ripstop.agent.circuit import CircuitBreaker
from ripstop.core.clock import ManualClock


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
    circuit = breaker(ignore=(OSError,))
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
