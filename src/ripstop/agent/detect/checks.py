"""What a monitor may be told of its signal, and what it refuses."""

from __future__ import annotations

import math
from dataclasses import fields

from ripstop.core.errors import ConfigurationError
from ripstop.core.value import dataclass

from ..given import refusing


@dataclass(frozen=True, slots=True)
class Checks:
    """What a signal is held to beyond its level; 0 leaves a check out.

    `max_rate_per_s` is the fastest a working sensor can move, in the signal's unit. `stuck_after` is how many
    equal readings in a row a live sensor never gives. `max_gap_s` is the longest silence. `novel_score` is
    the score that alarms as `novel` (infinite: never). `refractory_s` is the least time between two alarms of
    the statistics (`level`, `novel`), and `alarms_per_day` their budget. `hold_s` is for how long a level
    that alarms is not learned.

    Raises:
        ConfigurationError: C0370, there is no such field, or it cannot be.
    """

    max_rate_per_s: float = 0.0
    stuck_after: int = 30
    max_gap_s: float = 0.0
    novel_score: float = 1.0
    refractory_s: float = 0.0
    alarms_per_day: float = 0.0
    hold_s: float = 0.0

    __refuse__ = refusing("a monitor", "C0370")

    def __post_init__(self) -> None:
        for field in fields(self):
            check(field.name, getattr(self, field.name), may_be_0=field.name != "novel_score")


def check(name: str, value: object, *, may_be_0: bool) -> None:
    """Refuse what is no number, or too small.

    Raises:
        ConfigurationError: C0370.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not (value >= 0 if may_be_0 else value > 0):  # type: ignore[operator]  # a number
        limit = "0 or more" if may_be_0 else "above 0"
        raise ConfigurationError(f"`{name}` of a monitor must be {limit}, got `{value}`", code="C0370")


def check_range(low: object, high: object) -> None:
    """Refuse a declared range (None: without that end) that holds nothing.

    Raises:
        ConfigurationError: C0370.
    """
    for name, end in (("low", low), ("high", high)):
        if end is not None and (isinstance(end, bool) or not isinstance(end, int | float)):
            raise ConfigurationError(f"`{name}` of a monitor must be a number, got `{end}`", code="C0370")
    least, most = -math.inf if low is None else low, math.inf if high is None else high
    if not (least <= most and least < math.inf and most > -math.inf):  # type: ignore[operator]  # numbers
        raise ConfigurationError(f"a monitor's range cannot be from `{low}` to `{high}`", code="C0370")
