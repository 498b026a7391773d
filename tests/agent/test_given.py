"""Settings given by name: a slip is a coded error that names what was meant."""

from __future__ import annotations

import math

import pytest

from ripstop.agent import Bulkhead, CircuitBreaker, LadderSettings, Monitor, NodeSettings, RetryBudget
from ripstop.agent.sampler import SamplerSettings
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
    ],
)
def test_a_slip_in_a_setting_says_what_was_meant(make, code, hint):
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert caught.value.code == code
    assert hint in caught.value.hint
