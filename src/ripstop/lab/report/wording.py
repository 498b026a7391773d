"""Figures as people read them, and words from the wire made harmless."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from ripstop.lab.report.schema import Interval

_MISSING = "–"


def clean(text: str, longest: int = 400) -> str:
    """Give one line of printable text; what is not printable becomes U+FFFD.

    That takes escape codes, line breaks and changes of writing direction. Agent ids, details and reasons
    come from the wire: they must not move a terminal's cursor.
    """
    shown = "".join(char if char.isprintable() else "\ufffd" for char in text[: longest + 1])
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def seconds(value: float | None) -> str:
    """Give a duration: `43 ms`, `0.43 s`, `14.2 s`, `25 min`."""
    if value is None or not math.isfinite(value):
        return _MISSING
    size = abs(value)
    if size < 0.1:
        return f"{value * 1e3:.3g} ms"
    if size < 10:
        return f"{value:.2f} s"
    if size < 120:
        return f"{value:.1f} s"
    return f"{value / 60:,.0f} min"


def clock(t_s: float) -> str:
    """Give a moment of the scenario as `mm:ss.d`, minutes beyond 99 written out."""
    if not math.isfinite(t_s):
        return _MISSING
    tenths = round(abs(t_s) * 10)
    return f"{'-' if t_s < 0 else ''}{tenths // 600:02d}:{tenths % 600 // 10:02d}.{tenths % 10}"


def milliseconds(value: float) -> str:
    """Give milliseconds with three figures at most."""
    if not math.isfinite(value):
        return _MISSING
    return f"{value:,.0f} ms" if value >= 100 else f"{value:.3g} ms"


def percent(share: float) -> str:
    """Give a share as percent: `0.7 %`, `74 %`; what rounds to nothing but is something is `<0.1 %`."""
    if not math.isfinite(share):
        return _MISSING
    value = share * 100
    if 0 < value < 0.05:
        return "<0.1 %"
    return f"{value:.0f} %" if value == 0 or value >= 9.95 else f"{value:.1f} %"


def count(value: float) -> str:
    """Give a count with thousands marked; a fraction below 10 keeps one figure."""
    if not math.isfinite(value):
        return _MISSING
    return f"{value:,.1f}" if abs(value) < 10 and value != round(value) else f"{value:,.0f}"


def figure(value: float, form: str = "g") -> str:
    """Give a bare number in a form of `format`."""
    return format(value, form) if math.isfinite(value) else _MISSING


def times(value: float) -> str:
    """Give a factor: `183×`."""
    return f"{value:,.0f}×" if math.isfinite(value) else _MISSING


def drone_time(value: float) -> str:
    """Give drone-seconds as drone-minutes."""
    return f"{count(value / 60)} min" if math.isfinite(value) else _MISSING


def spread(interval: Interval, scale: float = 1.0) -> str:
    """Give an interval's two ends, `62 to 88`, in units of `scale`."""
    low, high = interval.low / scale, interval.high / scale
    return f"{_end(low)} to {_end(high)}"


def _end(value: float) -> str:
    if not math.isfinite(value):
        return _MISSING
    return f"{value:,.1f}" if 0 < abs(value) < 9.95 and value != round(value) else f"{value:,.0f}"


def plural(number: int, one: str, many: str = "") -> str:
    """Give `1 seed`, `6 seeds`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def moment(made_us: int) -> str:
    """Give the time at which the report was made, in UTC."""
    try:
        return datetime.fromtimestamp(made_us / 1e6, tz=UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, ValueError, OSError):
        return _MISSING


def model(name: str) -> str:
    """Give a risk model's name in words."""
    return {"load": "load redistribution", "load_redistribution": "load redistribution"}.get(
        name, clean(name, 40)
    )
