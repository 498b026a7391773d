"""Readings as numbers: what a sensor gave, or that it gave none."""

from __future__ import annotations

import math

from ripstop.core.canonical import Json


def finite(value: Json) -> float | None:
    """Give a reading as a finite number; None where it is none (a boolean is none)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
