"""The telemetry frame: many samples of one or more agents, 24 bytes a sample, little-endian.

    offset  size  what
    0       4     magic `RSF1`
    4       32    digest (SHA-256) of the vocabulary; indices count its signals in the order of their names
    36      2     number of agents, each: 2 bytes length, UTF-8 id
    ...     4     number of samples, each: t_us i64, value f64, agent u16, signal u16, flags u32

The samples are one contiguous array: a reader maps it as a structured NumPy array without copying.
Flags: 1 = alarm on this sample, 2 = buffered while offline.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache

from ripstop.core.value import dataclass

from ..errors import WireError

MAGIC = b"RSF1"
SAMPLE = struct.Struct("<qdHHI")
_SHORT = struct.Struct("<H")
_COUNT = struct.Struct("<I")
FLAG_ALARM = 1
FLAG_BUFFERED = 2
MAX_SAMPLES = 1 << 20
Row = tuple[int, float, int, int, int]


@dataclass(frozen=True, slots=True)
class Frame:
    """A decoded frame's head, and where its samples lie in the bytes."""

    vocabulary: bytes
    agents: tuple[str, ...]
    count: int
    offset: int
    data: bytes

    def rows(self) -> list[Row]:
        """Give the samples as tuples (t_us, value, agent index, signal index, flags)."""
        return list(SAMPLE.iter_unpack(self.data[self.offset :]))


def encode_frame(vocabulary: bytes, agents: Sequence[str], rows: Sequence[Row]) -> bytes:
    """Encode samples; `vocabulary` is the 32-byte digest."""
    samples = [SAMPLE.pack(*row) for row in rows]
    return b"".join((_head(vocabulary, tuple(agents)), _COUNT.pack(len(rows)), *samples))


@lru_cache(maxsize=1024)
def _head(vocabulary: bytes, agents: tuple[str, ...]) -> bytes:
    """Give what every frame of these agents begins with."""
    ids = [agent.encode() for agent in agents]
    counted = [_SHORT.pack(len(raw)) + raw for raw in ids]
    return b"".join((MAGIC, vocabulary, _SHORT.pack(len(ids)), *counted))


def decode_frame(data: bytes) -> Frame:
    """Check a frame's head and length; the samples stay in place.

    Raises:
        WireError: W0301 where the bytes are not a frame.
    """
    try:
        if data[:4] != MAGIC or len(data) < 42:
            raise WireError("not a telemetry frame", code="W0301")
        (n_agents,) = _SHORT.unpack_from(data, 36)
        at = 38
        agents = []
        for _ in range(n_agents):
            (length,) = _SHORT.unpack_from(data, at)
            raw = data[at + 2 : at + 2 + length]
            if len(raw) != length:
                raise WireError("telemetry frame truncated", code="W0301")
            agents.append(raw.decode())
            at += 2 + length
        (count,) = _COUNT.unpack_from(data, at)
    except (struct.error, UnicodeDecodeError) as error:
        raise WireError("telemetry frame malformed", code="W0301") from error
    at += 4
    if count > MAX_SAMPLES or len(data) != at + count * SAMPLE.size:
        raise WireError("telemetry frame's length does not fit its count", code="W0301")
    return Frame(data[4:36], tuple(agents), count, at, data)
