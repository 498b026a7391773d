"""What resilience4j's documentation says of a breaker, where the other files of tests do not say it."""

import asyncio
from functools import partial

import pytest

from ripstop.agent.breaker import BreakerOpen, BreakerSettings, BreakerState
from ripstop.agent.circuit import CircuitBreaker, Outcomes
from ripstop.core.clock import ManualClock
from ripstop.core.errors import ConfigurationError


def breaker(clock=None, **more):
    rules = {"sliding_window_size": 4, "minimum_number_of_calls": 4, "jitter": 0.0, "seed": 1}
    return CircuitBreaker(clock=clock or ManualClock(), **(rules | more))


def broken():
    raise OSError("no link")


def fail(circuit, times=1):
    for _ in range(times):
        with pytest.raises(OSError, match="no link"):
            circuit.call(broken)


def half_open(**more):
    clock = ManualClock()
    circuit = breaker(clock, **more)
    fail(circuit, 4)
    clock.advance(1.0)
    circuit.tick()
    assert circuit.state is BreakerState.HALF_OPEN
    return circuit, clock


def test_a_minimum_beyond_a_window_of_calls_is_the_whole_window():
    circuit = breaker(sliding_window_size=5, minimum_number_of_calls=10)
    fail(circuit, 4)
    assert (circuit.state, circuit.failure_rate) == (BreakerState.CLOSED, None)
    fail(circuit)
    assert circuit.state is BreakerState.OPEN


def test_a_minimum_beyond_a_window_of_seconds_stays():
    circuit = breaker(time_window_s=2, minimum_number_of_calls=50)
    fail(circuit, 49)
    assert circuit.state is BreakerState.CLOSED
    fail(circuit)
    assert circuit.state is BreakerState.OPEN


@pytest.mark.parametrize("more", [{}, {"outcomes": Outcomes(told=id)}, {"time_window_s": 60}])
def test_a_good_call_opens_it_where_it_is_the_one_that_makes_the_minimum(more):
    clock = ManualClock()
    circuit = breaker(clock, **more)
    clock.advance(500.0)
    fail(circuit, 3)
    circuit.call(int)
    assert circuit.state is BreakerState.OPEN
    clock.advance(0.9)
    with pytest.raises(BreakerOpen):
        circuit.call(int)


@pytest.mark.parametrize(("took_s", "slow"), [(2.0, 0), (2.000_001, 1)])
def test_slow_is_what_takes_longer_than_the_threshold(took_s, slow):
    clock = ManualClock()
    circuit = breaker(clock, slow_call_duration_s=2.0)
    circuit.call(clock.advance, took_s)
    assert circuit.metrics.slow == slow


def test_calls_leave_a_window_of_seconds_without_a_further_call():
    clock = ManualClock()
    circuit = breaker(clock, time_window_s=10)
    fail(circuit, 2)
    circuit.call(int)
    clock.advance(9.0)
    assert circuit.metrics.calls == 3
    clock.advance(1.0)
    assert circuit.metrics.calls == 0
    assert circuit.failure_rate is None


@pytest.mark.parametrize("probes", [0, 1])
def test_half_open_ends_after_its_longest_wait_however_few_have_probed(probes):
    circuit, clock = half_open(half_open_max_s=5.0)
    for _ in range(probes):
        circuit.call(int)
    clock.advance(5.0)
    with pytest.raises(BreakerOpen):
        circuit.call(int)
    assert circuit.state is BreakerState.OPEN


def test_a_closed_breaker_forgets_what_it_counted_when_it_is_reset():
    circuit = breaker()
    fail(circuit, 3)
    circuit.reset()
    fail(circuit, 3)
    assert (circuit.state, circuit.metrics.calls) == (BreakerState.CLOSED, 3)


def refuse(_):
    raise LookupError("the judge")


@pytest.mark.parametrize("outcomes", [Outcomes(is_bad_result=refuse), Outcomes(is_failure=refuse)])
def test_a_judge_that_raises_counts_as_a_failure_and_keeps_no_permit(outcomes):
    circuit, _ = half_open(permitted_calls_in_half_open=1)
    circuit._outcomes = outcomes  # it would not have opened with these
    with pytest.raises(LookupError, match="the judge"):
        circuit.call(int if outcomes.is_bad_result else broken)
    assert circuit.state is BreakerState.OPEN


def test_a_listener_that_raises_changes_no_call_and_keeps_no_permit(caplog):
    circuit, _ = half_open(permitted_calls_in_half_open=1, listener=refuse, outcomes=Outcomes(told=refuse))
    assert circuit.call(lambda: 7) == 7
    assert circuit.state is BreakerState.CLOSED
    assert {record.message for record in caplog.records} == {"listener.failed"}


# ---- what runs later ------------------------------------------------------------------------------------


def some(*items):
    yield from items
    raise OSError("no link")


async def some_async(*items):
    for item in items:
        yield item
    raise OSError("no link")


class Sender:
    async def __call__(self, item):
        raise OSError("no link")


async def drained(stream):
    return [item async for item in stream]


RUNS = {
    "generator": (some, list),
    "stream": (some_async, lambda stream: asyncio.run(drained(stream))),
    "object": (Sender(), asyncio.run),
    "part": (partial(Sender(), 1), asyncio.run),
}


@pytest.mark.parametrize("kind", RUNS)
@pytest.mark.parametrize("decorated", [True, False])
def test_what_runs_later_counts_when_it_has_run(kind, decorated):
    made, run = RUNS[kind]
    circuit = breaker()
    call = circuit(made) if decorated else partial(circuit.call, made)
    given = () if kind == "part" else (1,)
    waiting = [call(*given) for _ in range(4)]
    assert circuit.metrics.calls == 0
    for one in waiting:
        with pytest.raises(OSError, match="no link"):
            run(one)
    assert circuit.state is BreakerState.OPEN
    with pytest.raises(BreakerOpen):
        run(call(*given))


def test_a_stream_that_is_left_before_its_end_gives_its_probe_back():
    circuit, _ = half_open(permitted_calls_in_half_open=1)
    stream = circuit(some)(1, 2)
    assert next(stream) == 1
    with pytest.raises(BreakerOpen):
        circuit.call(int)
    stream.close()

    async def leave():
        stream = circuit(some_async)(1, 2)
        assert await anext(stream) == 1
        await stream.aclose()

    asyncio.run(leave())
    circuit.call(int)
    assert circuit.state is BreakerState.CLOSED


def test_what_is_sent_and_thrown_into_a_stream_reaches_it():
    circuit, heard = breaker(), []

    @circuit
    async def echo():
        given = yield "ready"
        while True:
            heard.append(given)
            try:
                given = yield given
            except ValueError as error:
                given = str(error)

    async def talk():
        stream = echo()
        said = [await anext(stream), await stream.asend(1), await stream.athrow(ValueError("two"))]
        return [*said, await anext(stream)]

    assert asyncio.run(talk()) == ["ready", 1, "two", None]
    assert heard == [1, "two", None]


@pytest.mark.parametrize("more", [
    {"sliding_window_size": 2.5}, {"sliding_window_size": "10"}, {"minimum_number_of_calls": True},
    {"time_window_s": 0.5}, {"failure_rate_threshold": "half"}, {"jitter": None},
    {"wait_s": 1e300, "wait_max_s": float("inf")},
])  # fmt: skip
def test_a_setting_of_the_wrong_type_is_refused_by_name(more):
    name, *_ = more
    with pytest.raises(ConfigurationError, match=f"C0301: `{name}` of a breaker cannot be"):
        BreakerSettings(**more)
