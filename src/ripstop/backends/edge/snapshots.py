"""A memory as bytes: what is remembered (by its digest), the arrays, a checksum.

    digest (16)   moments, numbers, indices, truths (filled up)   CRC-32 (4)   zeros (4)

Little-endian, the same from every edge engine. A snapshot of other operators, of another vocabulary or of
other texts has another digest; one that is torn has another checksum.

References:
    CRC-32 of ISO 3309 and ITU-T V.42, as zlib computes it.
"""

from __future__ import annotations

import struct
import zlib

from ripstop.backends.edge.memory import LIMIT_US, Memory
from ripstop.policy.budgets import Quota
from ripstop.policy.state_reading import NEVER_US

DIGEST_BYTES = 16
POLYNOMIAL = 0xEDB88320  # reflected


def snapshot_bytes(memory: Memory) -> int:
    """Give how many bytes a snapshot has."""
    return DIGEST_BYTES + memory.whole.size_bytes + 8


def greatest_indices(memory: Memory) -> list[int]:
    """Give for each index the greatest value that it can have."""
    most = [0] * memory.whole.indices
    for each in memory.operators:
        if each.entry.op == "count_within":
            most[each.place.indices] = each.entry.most - 1
    for budget, place in memory.budgets.values():
        if isinstance(budget, Quota):
            most[place.indices], most[place.indices + 1] = budget.at_most - 1, budget.at_most
    return most


def is_snapshot(memory: Memory, content: bytes) -> bool:
    """Whether bytes are a whole and sound snapshot of such a memory."""
    whole = memory.whole
    if len(content) != snapshot_bytes(memory) or content[:DIGEST_BYTES] != digest_of(memory):
        return False
    if int.from_bytes(content[-8:], "little") != zlib.crc32(content[:-8]):
        return False
    moments = struct.unpack_from(f"<{whole.moments}q", content, DIGEST_BYTES)
    at = DIGEST_BYTES + 8 * (whole.moments + whole.numbers)
    indices = struct.unpack_from(f"<{whole.indices}H", content, at)
    truths = content[at + 2 * whole.indices :][: whole.truths]
    return (
        all(moment == NEVER_US or abs(moment) <= 2 * LIMIT_US for moment in moments)
        and all(index <= most for index, most in zip(indices, greatest_indices(memory), strict=True))
        and all(truth <= 2 for truth in truths)
    )


def sealed(memory: Memory, content: bytes) -> bytes:
    """Make a snapshot of the bytes of a memory."""
    body = digest_of(memory) + content
    return body + struct.pack("<II", zlib.crc32(body), 0)


def digest_of(memory: Memory) -> bytes:
    """Give what a snapshot begins with."""
    return bytes.fromhex(memory.digest)[:DIGEST_BYTES]
