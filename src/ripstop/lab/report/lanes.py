"""Where things stand on the page's time strips: plain HTML, so that their text never shrinks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ripstop.lab.report import wording
from ripstop.lab.report.findings import DISPATCH_BAR_MS
from ripstop.lab.report.schema import Dispatch, Live

_EARLIEST_S: Final = 0.01


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on a lane's axis; `at` is in percent of its width."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a dispatch on its lane; places in percent, durations in words."""

    name: str
    middle_at: float
    late_at: float
    middle: str
    late: str


@dataclass(frozen=True, slots=True)
class LogAxis:
    """Seconds on a logarithmic axis, whole decades from `low_s` to `high_s`."""

    low_s: float
    high_s: float

    def at(self, value_s: float) -> float:
        """Give the place of a duration in percent, kept on the axis."""
        if not value_s > self.low_s:
            return 0.0
        share = math.log10(value_s / self.low_s) / math.log10(self.high_s / self.low_s)
        return round(min(share, 1.0) * 100, 2)

    @property
    def ticks(self) -> tuple[Tick, ...]:
        """The decades."""
        decades = round(math.log10(self.high_s / self.low_s))
        values = [self.low_s * 10**i for i in range(decades + 1)]
        return tuple(Tick(self.at(value), _decade(value)) for value in values)


def _decade(value_s: float) -> str:
    return f"{value_s * 1e3:.4g} ms" if value_s < 0.5 else f"{value_s:.5g} s"


def steps_axis(live: Live) -> LogAxis:
    """Make the axis that holds every step and the bar."""
    found = [step.wall_s for step in live.steps if step.reached and step.wall_s is not None]
    found += [value for value in (live.fault_to_last_ack_s, live.bar_s) if value is not None]
    known = [value for value in found if math.isfinite(value) and value > 0]
    low = 10.0 ** math.floor(math.log10(max(min([_EARLIEST_S, *known]), 1e-4)))
    high = 10.0 ** math.ceil(math.log10(max([1.0, *known]) * 1.05))
    return LogAxis(low, high)


def dispatch_stages(dispatch: Dispatch) -> tuple[tuple[Stage, ...], tuple[Tick, ...], float]:
    """Lay a dispatch's stages on a linear axis: the stages, the axis's marks, the place of the bar."""
    rows: Sequence[tuple[str, float, float]] = (
        ("sign", dispatch.sign_ms, dispatch.sign_ms),
        ("fan-out", dispatch.fanout_p50_ms, dispatch.fanout_p95_ms),
        ("verify", dispatch.verify_p50_ms, dispatch.verify_p95_ms),
        ("answer", dispatch.answer_p50_ms, dispatch.answer_p95_ms),
        ("all of it", dispatch.total_p50_ms, dispatch.total_p95_ms),
    )
    longest = max([DISPATCH_BAR_MS, *(v for _, *both in rows for v in both if math.isfinite(v))]) * 1.08
    step = 10.0 ** math.floor(math.log10(longest / 2))
    step *= 2 if longest / step > 8 else 1

    def at(value: float) -> float:
        return round(min(max(value / longest, 0.0), 1.0) * 100, 2) if math.isfinite(value) else 0.0

    stages = tuple(
        Stage(name, at(middle), at(late), wording.milliseconds(middle), wording.milliseconds(late))
        for name, middle, late in rows
    )
    ticks = tuple(
        Tick(at(i * step), wording.milliseconds(i * step)) for i in range(math.floor(longest / step) + 1)
    )
    return stages, ticks, at(DISPATCH_BAR_MS)
