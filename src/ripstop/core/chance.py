"""SplitMix64: a small, seedable source of chance for code that may not reach NumPy.

References:
    Steele, Lea, Flood (2014), Fast splittable pseudorandom number generators, OOPSLA.
"""

from __future__ import annotations

import hashlib
import math

_MASK = (1 << 64) - 1
_GAMMA = 0x9E3779B97F4A7C15


class SplitMix64:
    """A stream of 64-bit words; the same seed gives the same stream on every machine."""

    __slots__ = ("_state",)

    def __init__(self, seed: int) -> None:
        self._state = seed & _MASK

    def word(self) -> int:
        """Draw 64 uniform bits."""
        self._state = (self._state + _GAMMA) & _MASK
        z = self._state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        return z ^ (z >> 31)

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """Draw from [low, high) with 53 random bits; the sum may round up to `high`."""
        return low + (high - low) * (self.word() >> 11) * 2.0**-53

    def exponential(self, mean: float) -> float:
        """Draw from the exponential distribution with this mean."""
        return -mean * math.log(1.0 - self.uniform())

    def chance(self, probability: float) -> bool:
        """Draw True with this probability."""
        return self.uniform() < probability

    def octets(self, count: int) -> bytes:
        """Draw `count` random bytes (not for secrets)."""
        if count <= 8:
            return self.word().to_bytes(8, "little")[:count] if count > 0 else b""
        return b"".join([self.octets(min(8, count - at)) for at in range(0, count, 8)])


def stream(seed: int, *keys: str | int) -> SplitMix64:
    """Give the stream keyed by (seed, keys), independent of every other key."""
    text = "\x1f".join([str(seed), *map(str, keys)])
    return SplitMix64(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little"))
