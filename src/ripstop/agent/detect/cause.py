"""Who is to blame for an alarm: the sensor that says it, or the part that it watches.

Physics couples signals: a battery that truly sags shows in its current, its temperature, the climb rate. A
sensor that lies moves alone. So a signal's witnesses are asked whether they have seen anything lately:

- one of them did: the part is failing; go easy on it.
- all of them were heard lately and saw nothing: the sensor lies; do not believe it, and do not act on it.
- too few were heard: unknown; the caller does what is safe for both.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from ripstop.core.value import dataclass

from .finding import Finding

_SENSOR_KINDS = ("invalid", "out_of_range", "rate", "stuck", "drop_out")


class Cause(Enum):
    """What an alarm points at."""

    SENSOR = "sensor"
    PART = "part"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Coupling:
    """Which signals would have to move if `signal` truly did, and within how long.

    `moved_sigma` is how far from its usual a witness must have been to have seen something.
    """

    signal: str
    witnesses: tuple[str, ...]
    within_s: float = 10.0
    moved_sigma: float = 3.0


class Witnesses:
    """What the witnesses of one signal have seen lately: two numbers each.

    Args:
        coupling: whom to ask.
    """

    def __init__(self, coupling: Coupling) -> None:
        self.coupling = coupling
        self._heard_us: dict[str, int] = {}
        self._moved_us: dict[str, int] = {}

    def see(self, findings: Mapping[str, Finding], t_us: int) -> None:
        """Take what the monitors made of readings sensed at `t_us`."""
        for name in self.coupling.witnesses:
            finding = findings.get(name)
            if finding is None or finding.kind in ("late", "drop_out", "invalid"):
                continue
            self._heard_us[name] = t_us
            if finding.alarm or (finding.scale > 0.0 and finding.sigma >= self.coupling.moved_sigma):
                self._moved_us[name] = t_us

    def judge(self, alarm: Finding, t_us: int) -> tuple[Cause, str]:
        """Say who is to blame for an alarm of the signal, and why, in words for `Finding.explain`."""
        if alarm.kind in _SENSOR_KINDS:
            return Cause.SENSOR, "which no working sensor says"
        names = self.coupling.witnesses
        moved = [name for name in names if self._is_recent(self._moved_us.get(name), t_us)]
        if moved:
            return Cause.PART, f"and so did {', '.join(moved)}"
        silent = [name for name in names if not self._is_recent(self._heard_us.get(name), t_us)]
        if not names:
            return Cause.UNKNOWN, "with nobody to ask"
        if silent:
            return Cause.UNKNOWN, f"{', '.join(silent)} not heard"
        return Cause.SENSOR, f"no change of {', '.join(names)}"

    def _is_recent(self, at_us: int | None, t_us: int) -> bool:
        return at_us is not None and t_us - at_us <= self.coupling.within_s * 1e6
