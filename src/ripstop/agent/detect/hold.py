"""For how long readings that alarm are not learned.

An episode begins with an alarm, and ends when there was none for as long as the hold lasts. Its alarms are
held for that long; what alarms afterwards is how the signal is now, and is learned.
"""

from __future__ import annotations

import math


class Hold:
    """Holds one signal's alarming readings back.

    Args:
        length_us: for how long, in microseconds; 0 holds nothing.
    """

    __slots__ = ("_began_us", "_last_us", "_length_us")

    def __init__(self, length_us: float) -> None:
        self._length_us = length_us
        self._began_us = self._last_us = -math.inf

    def lasts(self, t_us: int) -> bool:
        """Take a reading that alarms; say whether it is held."""
        if t_us - self._last_us > self._length_us:
            self._began_us = t_us
        self._last_us = t_us
        return t_us - self._began_us < self._length_us
