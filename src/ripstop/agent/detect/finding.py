"""What a monitor makes of one reading, and how it says so."""

from __future__ import annotations

import math
from typing import NamedTuple


class Finding(NamedTuple):
    """What the monitor makes of one reading; true exactly when it is an alarm.

    `score` ranks readings by how remarkable they are: 1 is what a rare and real anomaly reaches, infinite
    what cannot be. `kind` is the diagnosis:

    | kind | the reading |
    |---|---|
    | `quiet` | fits |
    | `level` | is further from the usual level than the threshold |
    | `novel` | takes the signal where it has never been: its value, its mean or its unrest |
    | `drift` | completes a slow drift away from where the signal began |
    | `invalid` | is no finite number |
    | `out_of_range` | lies outside the declared range |
    | `rate` | has moved faster than the declared rate |
    | `stuck` | has been exactly the same for too long, although the signal is declared live |
    | `drop_out` | has not come for too long |
    | `late` | is older than the one before it, and was ignored |

    `value` and `expected` are in the signal's unit, and so is `scale`, the usual deviation.
    """

    score: float
    alarm: bool
    kind: str
    value: float
    expected: float
    scale: float

    def __bool__(self) -> bool:
        return self.alarm

    @property
    def sigma(self) -> float:
        """How many usual deviations the reading is from its usual; infinite where none is known."""
        distance = abs(self.value - self.expected)
        return distance / self.scale if self.scale > 0.0 else math.inf

    def explain(self, name: str = "the signal", unit: str = "", note: str = "") -> str:
        """Say in one line what was found; `note` (what else is known of it) is put behind it."""
        text = self._said(name, unit)
        return f"{text}, {note}" if note else text

    def _said(self, name: str, unit: str) -> str:
        value, usual = _shown(self.value, unit), _shown(self.expected, unit)
        known = f"; usual is {usual}" if math.isfinite(self.expected) else ""
        side = "below" if self.value < self.expected else "above"
        said = {
            "quiet": f"{name} reads {value}, {self.sigma:.1f} sigma from its usual {usual}",
            "level": f"{name} reads {value}, {self.sigma:.1f} sigma {side} its usual {usual}",
            "novel": f"{name} reads {value} and goes where it has never been, usual is {usual}",
            "drift": f"{name} has drifted from {usual} to {value}",
            "invalid": f"{name} reads no finite number{known}",
            "out_of_range": f"{name} reads {value}, outside its declared range",
            "rate": f"{name} went from {usual} to {value} faster than it can",
            "stuck": f"{name} has read exactly {value} for too long",
            "drop_out": f"{name} has not been read for too long; its last was {value}",
            "late": f"{name} came late and was ignored",
        }
        return said[self.kind]


def _shown(value: float, unit: str) -> str:
    return f"{value:.4g} {unit}".rstrip()
