"""What a swing model is identified from: the rings' readings, put on one even grid of times.

Readings come when agents send them, with jitter, with gaps, each bus by itself. Between two that are close
they run straight; where two are too far apart there is a hole, and only the longest stretch without one is
used. NaN and late readings never reach the rings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ripstop.risk import Telemetry as Swings

from ..mitigation.playbook import IdentifyRule
from .ingest import Telemetry

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Even telemetry of all buses, or why there is none (`missing`).

    `end_us` is its last time, UTC. `reserve` is each bus's last reading of its reserve, p.u.; None where the
    rule names no such signal.
    """

    swings: Swings | None
    end_us: int = 0
    reserve: Floats | None = None
    missing: str = ""


def latest_stretch(telemetry: Telemetry, rule: IdentifyRule) -> Stretch:
    """Give the longest stretch without a hole within the rule's window, which ends with the last readings."""
    names = {"power": rule.power, "frequency": rule.frequency, "angle": rule.angle}
    read: dict[str, list[tuple[Floats, Floats]]] = {name: [] for name, signal in names.items() if signal}
    ends = []
    for bus in rule.buses:
        for name, rows in read.items():
            last = telemetry.last(bus, names[name])
            if last is None:
                return Stretch(None, missing=f"no `{names[name]}` of `{bus}`")
            ends.append(last[0])
            window = telemetry.window(bus, names[name], last[0] - round((rule.window_s + rule.gap_s) * 1e6))
            if window is None:
                return Stretch(None, missing=f"no `{names[name]}` of `{bus}`")
            value: Floats = np.unwrap(window.value) if name == "angle" else window.value
            rows.append((np.asarray(window.t_us * 1e-6, np.float64), value))
    time = _grid(min(ends), rule)
    kept = _longest(np.all([_covered(t, time, rule) for rows in read.values() for t, _ in rows], axis=0))
    even = {
        name: np.stack([np.interp(time[kept], t, value) for t, value in rows], axis=1)
        for name, rows in read.items()
    }
    reserve = _reserve(telemetry, rule)
    if rule.reserve and reserve is None:
        return Stretch(None, missing=f"no `{rule.reserve}` of some bus")
    if kept.start == kept.stop:
        return Stretch(None, missing="no stretch without holes")
    power = even["power"] / rule.base_power
    swings = Swings(time[kept], power, even.get("frequency"), even.get("angle"), rule.buses)
    return Stretch(swings, round(time[kept.stop - 1] * 1e6), reserve)


def _grid(end_us: int, rule: IdentifyRule) -> Floats:
    last = int(end_us * 1e-6 // rule.step_s)
    count = int(rule.window_s // rule.step_s) + 1
    return np.asarray(np.arange(last - count + 1, last + 1) * rule.step_s, np.float64)


def _covered(t_s: Floats, time: Floats, rule: IdentifyRule) -> NDArray[np.bool_]:
    """Tell at which times the readings before and after are close to each other."""
    after = np.searchsorted(t_s, time)
    inside = (after > 0) & (after < len(t_s))
    after = np.clip(after, 1, max(len(t_s) - 1, 1))
    close = np.zeros(len(time), np.bool_)
    if len(t_s) > 1:
        close = inside & (t_s[after] - t_s[after - 1] <= rule.gap_s)
    return np.asarray(close | np.isin(time, t_s))


def _longest(sound: NDArray[np.bool_]) -> slice:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], sound, [False]]).astype(np.int8)))
    if not len(edges):
        return slice(0, 0)
    first, last = edges[::2], edges[1::2]
    longest = int((last - first).argmax())
    return slice(int(first[longest]), int(last[longest]))


def _reserve(telemetry: Telemetry, rule: IdentifyRule) -> Floats | None:
    if not rule.reserve:
        return None
    last = [telemetry.last(bus, rule.reserve) for bus in rule.buses]
    read = [max(reading[1], 0.0) for reading in last if reading is not None]
    return np.array(read) / rule.base_power if len(read) == len(last) else None
