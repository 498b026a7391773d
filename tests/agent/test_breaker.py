import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ripstop.agent.breaker import (
    TRANSITIONS,
    Breaker,
    BreakerEvent,
    BreakerSettings,
    BreakerState,
    CountWindow,
    TimeWindow,
)
from ripstop.core.chance import SplitMix64
from ripstop.core.errors import ConfigurationError

SECOND = 1_000_000
QUICK = BreakerSettings(sliding_window_size=4, minimum_number_of_calls=4, wait_s=1.0, jitter=0.0)


def breaker(rules=QUICK, seed=1):
    return Breaker(rules, chance=SplitMix64(seed))


def call(core, good, now_us):
    permit = core.permit(now_us)
    assert permit is not None
    (core.succeed if good else core.fail)(permit, now_us)


def opened(now_us=0, rules=QUICK):
    core = breaker(rules)
    for _ in range(4):
        call(core, False, now_us)
    assert core.state is BreakerState.OPEN
    return core


def test_every_state_is_reachable_and_every_order_holds_in_every_state():
    assert set(TRANSITIONS.values()) == set(BreakerState)
    for event in (BreakerEvent.FORCED, BreakerEvent.DISABLED, BreakerEvent.OBSERVED, BreakerEvent.RESET):
        assert all((state, event) in TRANSITIONS for state in BreakerState)


def test_it_opens_by_rate_and_not_by_failures_in_a_row():
    core = breaker(
        BreakerSettings(sliding_window_size=9, minimum_number_of_calls=9, failure_rate_threshold=0.6)
    )
    for i in range(8):
        call(core, i % 3 == 0, 0)
        assert core.state is BreakerState.CLOSED
    call(core, False, 0)
    assert core.state is BreakerState.OPEN


def test_it_stays_closed_below_the_minimum_number_of_calls():
    core = breaker()
    for _ in range(3):
        call(core, False, 0)
    assert core.state is BreakerState.CLOSED
    assert core.failure_rate is None


def test_slow_calls_open_it_too():
    rules = BreakerSettings(
        sliding_window_size=2,
        minimum_number_of_calls=2,
        slow_call_duration_s=0.5,
        slow_call_rate_threshold=1.0,
    )
    core = breaker(rules)
    for _ in range(2):
        core.succeed(core.permit(0), 0, 0.7)
    assert core.state is BreakerState.OPEN


def test_an_open_one_refuses_until_its_wait_is_over_and_then_lets_a_few_probes_through():
    core = opened()
    assert core.permit(SECOND - 1) is None
    assert core.retry_s(0) == 1.0
    permits = [core.permit(SECOND) for _ in range(5)]
    assert [p is not None for p in permits] == [True, True, True, False, False]
    assert core.not_permitted == 3


def test_good_probes_close_it_and_bad_ones_reopen_it_for_twice_as_long():
    core = opened()
    for _ in range(3):
        call(core, True, SECOND)
    assert core.state is BreakerState.CLOSED
    core = opened()
    for _ in range(3):
        call(core, False, SECOND)
    assert core.state is BreakerState.OPEN
    assert core.retry_s(SECOND) == 2.0


def test_one_bad_probe_reopens_at_once_where_asked():
    core = opened()
    core.fail(core.permit(SECOND), SECOND, at_once=True)
    assert core.state is BreakerState.OPEN


def test_one_alarm_opens_at_once_where_asked():
    core = breaker()
    core.fail(core.permit(0), 0, at_once=True)
    assert core.state is BreakerState.OPEN
    assert [t.event for t in core.take_transitions()] == [BreakerEvent.TRIPPED]
    assert core.take_transitions() == []


def test_a_cancelled_probe_gives_its_permit_back():
    core = opened()
    permits = [core.permit(SECOND) for _ in range(3)]
    assert core.permit(SECOND) is None
    core.cancel(permits[0])
    assert core.permit(SECOND) is not None


def test_probes_that_never_come_back_do_not_hold_it_for_ever_where_bounded():
    core = opened(rules=BreakerSettings(
        sliding_window_size=4, minimum_number_of_calls=4, jitter=0.0, half_open_max_s=5.0
    ))  # fmt: skip
    for _ in range(3):
        core.permit(SECOND)
    assert core.permit(5 * SECOND) is None
    assert core.state is BreakerState.HALF_OPEN
    assert core.permit(6 * SECOND) is None
    assert core.state is BreakerState.OPEN


def test_a_call_that_began_before_the_breaker_moved_counts_for_nothing():
    core = breaker()
    old = core.permit(0)
    for _ in range(4):
        call(core, False, 0)
    core.permit(SECOND)
    core.fail(old, SECOND, at_once=True)
    core.cancel(old)
    assert core.state is BreakerState.HALF_OPEN


def test_metrics_only_counts_and_refuses_nothing():
    core = breaker()
    core.order(BreakerEvent.OBSERVED, 0)
    for _ in range(10):
        call(core, False, 0)
    assert core.state is BreakerState.METRICS_ONLY
    assert core.failure_rate == 1.0


def test_disabled_counts_nothing_and_forced_open_refuses_for_ever():
    core = breaker()
    core.order(BreakerEvent.DISABLED, 0)
    call(core, False, 0)
    assert core.calls == 0
    core.order(BreakerEvent.FORCED, 0)
    assert core.permit(10**15) is None
    core.order(BreakerEvent.RESET, 0)
    assert core.permit(0) is not None


def test_only_orders_are_orders():
    with pytest.raises(ConfigurationError) as caught:
        breaker().order(BreakerEvent.TRIPPED, 0)
    assert caught.value.code == "C0302"


@pytest.mark.parametrize("name", ["failure_rate_threshold", "wait_s", "minimum_number_of_calls"])
def test_thresholds_that_make_no_sense_are_refused_by_name(name):
    with pytest.raises(ConfigurationError) as caught:
        BreakerSettings(**{name: 0})
    assert f"`{name}`" in str(caught.value)


def test_waits_are_jittered_within_their_share_and_capped():
    waits = set()
    for seed in range(50):
        core = breaker(BreakerSettings(wait_s=1.0, wait_max_s=4.0, jitter=0.2), seed)
        now = 0
        for k in range(5):
            core.fail(core.permit(now), now, at_once=True)
            wait = core.take_transitions()[-1].wait_s
            nominal = min(2.0**k, 4.0)
            assert 0.8 * nominal <= wait <= 1.2 * nominal
            waits.add(wait)
            now = core.retry_us
    assert len(waits) == 250


@pytest.mark.parametrize("half_period_s", [1, 2, 5, 30, 120])
def test_a_square_wave_fault_moves_it_a_bounded_number_of_times_an_hour(half_period_s):
    core = breaker(BreakerSettings(wait_s=1.0, wait_max_s=60.0, jitter=0.0))
    for second in range(3600):
        permit = core.permit(second * SECOND)
        if permit is None:
            continue
        if (second // half_period_s) % 2:
            core.fail(permit, second * SECOND, at_once=True)
        else:
            core.succeed(permit, second * SECOND)
    assert len(core.take_transitions()) <= 250


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 3)), max_size=60), st.integers(1, 9))
def test_windows_count_what_a_plain_list_counts(calls, size):
    count, timed = CountWindow(size), TimeWindow(size)
    seen, second = [], 0
    for failed, slow, step in calls:
        second += step
        seen.append((second, failed, slow))
        count.record(failed, slow, second * SECOND)
        timed.record(failed, slow, second * SECOND)
        for window, kept in ((count, seen[-size:]), (timed, [s for s in seen if s[0] > second - size])):
            assert window.calls == len(kept)
            assert window.failures == sum(s[1] for s in kept)
            assert window.slow == sum(s[2] for s in kept)
