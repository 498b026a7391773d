"""What a monitor has learned, as 64 bytes.

Layout, little-endian: u32, of which the lower 24 bits count the readings learned and the upper 8 hold the
peak of the level's alarm (agent.detect.peaks); i64 time of the last reading in microseconds; then 13 IEEE
754 single floats: level, variance, fast mean, slow mean, unrest, held peak; the lowest and highest value,
fast mean and slow mean; the highest unrest. Between microcontrollers and Python the bytes are the same.
"""

from __future__ import annotations

import math
import struct

from ripstop.core.errors import ConfigurationError

_LAYOUT = struct.Struct("<Iq13f")
_MOST = 2**24 - 1
_FLOAT_MAX = 3.4028234663852886e38
_PEAK = 5


def pack_state(n: int, held: int, last_us: int, numbers: tuple[float, ...]) -> bytes:
    """Write a state; what single precision cannot hold is held at its end, and so is a count over 24 bits."""
    bounded = [max(-_FLOAT_MAX, min(_FLOAT_MAX, number)) for number in numbers]
    return _LAYOUT.pack(min(n, _MOST) | held << 24, last_us, *bounded)


def unpack_state(raw: bytes) -> tuple[int, int, int, tuple[float, ...]]:
    """Read a state: the count, the held peak, the time and the 13 numbers.

    Raises:
        ConfigurationError: C0371, the bytes are no such state.
    """
    if len(raw) != _LAYOUT.size:
        raise ConfigurationError(
            f"a monitor's state has {len(raw)} bytes, expected {_LAYOUT.size}", code="C0371"
        )
    first, last_us, *numbers = _LAYOUT.unpack(raw)
    sound = all(math.isfinite(number) for number in numbers)
    if not sound or numbers[1] < 0.0 or not numbers[_PEAK] > 0.0:
        raise ConfigurationError("a monitor's state holds what no monitor learns", code="C0371")
    return first & _MOST, first >> 24, last_us, tuple(numbers)
