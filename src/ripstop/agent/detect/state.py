"""What a monitor has learned, as 64 bytes.

Layout, little-endian:

| offset | what |
|---|---|
| 0 | u32: the readings learned in the lower 24 bits, the held peak (agent.detect.peaks) in the upper 8 |
| 4 | i64: time of the last reading, in microseconds |
| 12 | 6 single floats: level, deviation, fast mean, slow mean, unrest, anchor of the day |
| 36 | 9 half-long floats: held score, then ends as distances >= 0, rounded up: the value's from the level (low, high), the fast mean's from itself, the slow mean's from itself, the unrest's (high), the day's greatest error |
| 54 | u8: how many looks in a row have found the signal standing still, at most (up to 15) |
| 55 | u8: readings that were far, as many as are not let off yet (up to 15) |
| 56 | 8 bytes: exponent of the day's step, its six parts (agent.detect.day), how many parts have ended |

A half-long float is the upper half of a single one (bfloat16). Rounding up keeps what was seen inside its
range, so that a restart is never news.
"""  # noqa: E501 - a table's row is one line

from __future__ import annotations

import math
import struct
from typing import NamedTuple

from ripstop.core.errors import ConfigurationError

from .day import PARTS, Day

_LAYOUT = struct.Struct(f"<Iq6f9H2Bb{PARTS}bB")
_MOST = 2**24 - 1
MOST_LOOKS = MOST_FAR = 15
_FLOAT_MAX = 3.4028234663852886e38
_HALF_MAX = 0x7F7F


class Learned(NamedTuple):
    """What a monitor knows of its signal; `moving` is level, variance, fast, slow, unrest, held score.

    `ranges` are the lowest and highest value, fast mean and slow mean, and the highest unrest; `looks` is for
    how many looks the signal has stood still at most; `far` is how many readings were far, not let off yet.
    """

    n: int
    held: int
    last_us: int
    moving: tuple[float, ...]
    ranges: tuple[float, ...]
    looks: int = 0
    far: int = 0


def pack_state(learned: Learned, day: Day) -> bytes:
    """Write a state; what single precision cannot hold is held at its end, and so is a count over 24 bits."""
    level, variance, fast, slow, unrest, peak = learned.moving
    value_low, value_high, fast_low, fast_high, slow_low, slow_high, unrest_high = learned.ranges
    singles = [_single(number) for number in (level, math.sqrt(variance), fast, slow, unrest, day.anchor)]
    level, _, fast, slow, unrest, _ = singles
    ends = (
        level - value_low, value_high - level, fast - fast_low, fast_high - fast,
        slow - slow_low, slow_high - slow, unrest_high - unrest, day.greatest,
    )  # fmt: skip
    halves = [_half(number) for number in (peak, *ends)]
    first = min(learned.n, _MOST) | learned.held << 24
    days = (day.exponent, *day.codes, day.seen)
    return _LAYOUT.pack(first, learned.last_us, *singles, *halves, learned.looks, learned.far, *days)


def unpack_state(raw: bytes) -> tuple[Learned, Day]:
    """Read a state.

    Raises:
        ConfigurationError: C0371, the bytes are no such state.
    """
    if len(raw) != _LAYOUT.size:
        raise ConfigurationError(
            f"a monitor's state has {len(raw)} bytes, expected {_LAYOUT.size}", code="C0371"
        )
    first, last_us, *rest = _LAYOUT.unpack(raw)
    singles, (peak, *ends) = rest[:6], [_whole(half) for half in rest[6:15]]
    looks, far, *days = rest[15:]
    level, deviation, fast, slow, unrest, anchor = singles
    if (
        not all(map(math.isfinite, (*singles, peak, *ends)))
        or deviation < 0.0
        or not peak > 0.0
        or min(ends) < 0
        or looks > MOST_LOOKS
        or far > MOST_FAR
    ):
        raise ConfigurationError("a monitor's state holds what no monitor learns", code="C0371")
    a, b, c, d, e, f, g, greatest = ends
    ranges = (level - a, level + b, fast - c, fast + d, slow - e, slow + f, unrest + g)
    day = Day()
    day.begin(anchor)
    day.exponent, day.codes, day.seen, day.greatest = days[0], days[1:-1], days[-1], greatest
    moving = (level, deviation * deviation, fast, slow, unrest, peak)
    return Learned(first & _MOST, first >> 24, last_us, moving, ranges, looks, far), day


def _single(number: float) -> float:
    held: float = struct.unpack("<f", struct.pack("<f", max(-_FLOAT_MAX, min(_FLOAT_MAX, number))))[0]
    return held


def _half(number: float) -> int:
    """Give the least half-long float that is no less."""
    bits: int = struct.unpack("<I", struct.pack("<f", max(0.0, min(_FLOAT_MAX, number))))[0]
    return min((bits >> 16) + (_whole(bits >> 16) < number), _HALF_MAX)


def _whole(half: int) -> float:
    number: float = struct.unpack("<f", struct.pack("<I", half << 16))[0]
    return number
