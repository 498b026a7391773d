"""Settings given by name: a slip is a coded error that names what was meant."""

from __future__ import annotations

import math

import pytest

from ripstop.agent import (
    BreakerSettings,
    BreakerState,
    Bulkhead,
    BulkheadSettings,
    Checks,
    CircuitBreaker,
    LadderSettings,
    Monitor,
    NodeSettings,
    RetryBudget,
    RetrySettings,
    SamplerSettings,
)
from ripstop.core.errors import ConfigurationError


@pytest.mark.parametrize(
    ("make", "code", "hint"),
    [
        (lambda: NodeSettings("a", beats_s=1.0), "C0303", "`beat_s`"),
        (lambda: NodeSettings("a", cadence=1.0), "C0303", "known: agent, fleet"),
        (lambda: NodeSettings("a", seed="x"), "C0303", "whole number"),
        (lambda: NodeSettings("a", seed=1 << 300), "C0303", "less than 2^64"),
        (lambda: NodeSettings("a", segment_records=2.5), "C0303", "whole number"),
        (lambda: NodeSettings("a", beat_s="5"), "C0303", "number"),
        (lambda: NodeSettings("a", breaker={"wait_s": 1.0}), "C0303", "BreakerSettings"),
        (lambda: NodeSettings("a", salt_key="secret"), "C0303", "bytes"),
        (lambda: NodeSettings("a", thresholds=[1.0]), "C0303", "numbers by signal"),
        (lambda: SamplerSettings(band="x"), "C0303", "number"),
        (lambda: SamplerSettings(bands=0.1), "C0303", "`band`"),
        (lambda: SamplerSettings(urgent_s=math.inf), "C0303", "0 or more"),
        (lambda: LadderSettings(dwel_s=1.0), "C0374", "`dwell_s`"),
        (lambda: LadderSettings(dwell_s="x"), "C0374", "number"),
        (lambda: Bulkhead(lows=1), "C0372", "`low`"),
        (lambda: Bulkhead(low="x"), "C0372", "whole number"),
        (lambda: Bulkhead(slow_s=True), "C0372", "number"),
        (lambda: RetryBudget(share="x"), "C0372", "number"),
        (lambda: RetryBudget(shares=0.2), "C0372", "`share`"),
        (lambda: CircuitBreaker(seed="x"), "C0301", "whole number"),
        (lambda: CircuitBreaker(waits=1.0), "C0301", "`wait_s`"),
        (lambda: Monitor(stuck_afters=3), "C0370", "`stuck_after`"),
        (lambda: CircuitBreaker(BreakerSettings(), waits=1.0), "C0301", "`wait_s`"),
        (lambda: Bulkhead(BulkheadSettings(), lows=1), "C0372", "`low`"),
        (lambda: RetryBudget(RetrySettings(), shares=0.2), "C0372", "`share`"),
        (lambda: Monitor(checks=Checks(), stuck_afters=3), "C0370", "`stuck_after`"),
        (lambda: Bulkhead(3), "C0372", "by name: low, high"),
        (lambda: RetryBudget(0.2), "C0372", "by name: share"),
        (lambda: Monitor(checks=3), "C0370", "by name: max_rate_per_s"),
    ],
)
def test_a_slip_in_a_setting_says_what_was_meant(make, code, hint):
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert caught.value.code == code
    assert hint in caught.value.hint


def test_what_is_given_by_name_is_laid_over_the_settings_beside_it():
    bulkhead = Bulkhead(BulkheadSettings(low=1, high=4), low=2)
    with bulkhead.guard(), bulkhead.guard():
        assert (bulkhead.in_flight, bulkhead.limit) == (2, 2)
    budget = RetryBudget(RetrySettings(share=0.0, most=50.0), share=5.0)
    for _ in range(20):
        budget.note_call()
    assert budget.balance == 50.0
    monitor = Monitor(checks=Checks(max_gap_s=5.0, stuck_after=9), max_gap_s=10.0)
    monitor.observe(1.0, 0)
    assert monitor.silence(6_000_000) is None
    assert monitor.silence(11_000_000).kind == "drop_out"
    circuit = CircuitBreaker(BreakerSettings(sliding_window_size=1, wait_s=5.0), minimum_number_of_calls=1)
    with pytest.raises(ZeroDivisionError):
        circuit.call(lambda: 1 / 0)
    assert circuit.state is BreakerState.OPEN
