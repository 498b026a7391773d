"""The hash chain of a ledger: each link commits to its predecessor, its sequence number and its record.

    link(n) = SHA-256(0x00 || link(n-1) || n as 8 bytes big-endian || record)

The first predecessor is SHA-256 of the agent's id, so that one agent's chain cannot pass for another's.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from hashlib import sha256

from ..errors import WireError
from ..messages import Segment

_BEFORE = struct.Struct(">x32sQ").pack


def genesis(agent: str) -> bytes:
    """Give the link before the first record of an agent."""
    return sha256(agent.encode()).digest()


def link(previous: bytes, sequence: int, record: bytes) -> bytes:
    """Give the link that commits to `record` as number `sequence` (from 1) after `previous`."""
    return sha256(_BEFORE(previous, sequence) + record).digest()


def links(previous: bytes, first: int, records: Iterable[bytes]) -> Iterator[bytes]:
    """Chain records after `previous`, numbering from `first`; give the link of each."""
    for number, record in enumerate(records, first):
        previous = sha256(_BEFORE(previous, number) + record).digest()
        yield previous


def head(previous: bytes, first: int, records: Iterable[bytes]) -> bytes:
    """Chain records after `previous`, numbering from `first`; give the last link."""
    for after in links(previous, first, records):
        previous = after
    return previous


def check_segment(segment: Segment, previous: bytes) -> None:
    """Check that a segment follows `previous` and hashes to its own head.

    Raises:
        WireError: W0401 where it follows something else (a fork, a gap), W0402 where its content changed.
    """
    if segment.previous != previous:
        raise WireError("segment does not follow the head on file", code="W0401")
    if segment.last - segment.first + 1 != len(segment.records):
        raise WireError("segment's numbers do not fit its records", code="W0402")
    if head(previous, segment.first, segment.records) != segment.head:
        raise WireError("segment's records do not hash to its head", code="W0402")
