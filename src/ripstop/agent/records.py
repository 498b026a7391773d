"""The node's side of the ledger: it chains records, seals them into segments, keeps these until a receipt.

A segment begins with a `segment` record and a `basis`: what the decisions after it stand on. It leaves once
it is on stable storage, so that a power cut cannot fork the chain. A restart finds the same segments again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from ripstop.core.canonical import Json
from ripstop.core.errors import WireError
from ripstop.core.journal import RecordKind, read_entry, write_entry
from ripstop.core.messages import Receipt, Segment
from ripstop.core.node import Append, Drop, Effect, Extend, Sync
from ripstop.core.value import dataclass
from ripstop.core.wire.chain import genesis, head, link, links

from .memory import Tail
from .settings import LEDGER

MOST_SEGMENTS = 4096
Basis = Callable[[], Mapping[str, Json]]


@dataclass(slots=True)
class _Sealed:
    segment: Segment
    is_synced: bool = False
    sent_us: int | None = None


class Records:
    """The chain of one agent; every method that has effects adds them to `out`.

    Args:
        agent: whose chain it is.
        basis: gives what decisions stand on now.
        most: records in a segment.
        keeps: whether segments wait here for a receipt; not where nobody will ever be sent them.

    At most `MOST_SEGMENTS` wait. What comes after them stays on the disk and is counted in `backlogged`; the
    next life finds it there.
    """

    def __init__(self, agent: str, basis: Basis, most: int, *, keeps: bool = True) -> None:
        self.backlogged = 0
        self._keeps = keeps
        self.sequence = 0
        self.head = genesis(agent)
        self.synced = 0
        self._agent = agent
        self._basis = basis
        self._most = most
        self._incarnation = 0
        self._index = 0
        self._open: list[bytes] = []
        self._open_first = 1
        self._open_previous = self.head
        self._sealed: deque[_Sealed] = deque()

    @property
    def incarnation(self) -> int:
        """Which life of the agent this is."""
        return self._incarnation

    @property
    def has_open(self) -> bool:
        """Whether records wait for their segment to be sealed."""
        return bool(self._open)

    @property
    def room(self) -> int:
        """How many records the open segment still takes; 0 where none is open."""
        return self._most - len(self._open) if self._open else 0

    @property
    def unreceipted(self) -> int:
        """How many sealed segments wait for their receipt."""
        return len(self._sealed)

    @property
    def unsent(self) -> int:
        """How many sealed segments were never sent on this connection."""
        return sum(1 for entry in self._sealed if entry.sent_us is None)

    def start(self, incarnation: int, tail: Tail | None) -> None:
        """Begin a life; the records that the disk still holds become the segments that they were."""
        self._incarnation = incarnation
        if tail is None:
            return
        self.sequence, self.head = tail.first - 1, tail.previous
        for run in _runs(tail.records):
            first, previous = self.sequence + 1, self.head
            self.sequence += len(run)
            self.head = head(previous, first, run)
            origin, index = _marker(run[0], incarnation)
            if self._keeps and len(self._sealed) < MOST_SEGMENTS:
                segment = Segment(self._agent, origin, index, first, self.sequence, previous, self.head, run)
                self._sealed.append(_Sealed(segment, True))
            else:
                self.backlogged += self._keeps
        self.synced = self.sequence

    def append(self, kind: RecordKind, t_us: int, entry: bytes, out: list[Effect]) -> None:
        """Append an entry; a new segment begins with its marker and the basis."""
        if not self._open:
            self._index += 1
            self._open_first, self._open_previous = self.sequence + 1, self.head
            marker: dict[str, Json] = {"index": self._index, "incarnation": self._incarnation}
            self._add(write_entry(RecordKind.SEGMENT, t_us, marker), out)
            if kind is not RecordKind.BASIS:
                self._add(write_entry(RecordKind.BASIS, t_us, self._basis()), out)
        self._add(entry, out)
        if len(self._open) >= self._most:
            self.seal(out)

    def extend(self, entries: Sequence[bytes], out: list[Effect]) -> None:
        """Append entries to the open segment, which must have `room` for them and one more."""
        chained = list(links(self.head, self.sequence + 1, entries))
        self.head = chained[-1]
        self.sequence += len(entries)
        self._open += entries
        out.append(Extend(LEDGER, entries, chained))

    def _add(self, record: bytes, out: list[Effect]) -> None:
        self.sequence += 1
        self.head = link(self.head, self.sequence, record)
        self._open.append(record)
        out.append(Append(LEDGER, record))

    def seal(self, out: list[Effect]) -> None:
        """Close the segment that is open; one that is kept for the ground is to be sent once it is synced."""
        if not self._open:
            return
        segment = Segment(
            self._agent,
            self._incarnation,
            self._index,
            self._open_first,
            self.sequence,
            self._open_previous,
            self.head,
            tuple(self._open),
        )
        self._open = []
        if self._keeps and not self.backlogged and len(self._sealed) < MOST_SEGMENTS:
            self._sealed.append(_Sealed(segment))
        elif self._keeps:
            # INVARIANT: what the ground gets has no gap: nothing newer is kept once something was left out.
            self.backlogged += 1
        if self._keeps:
            out.append(Sync(self.sequence))

    def on_synced(self, sequence: int) -> None:
        """Take note that everything up to `sequence` is on stable storage."""
        self.synced = max(self.synced, sequence)
        for entry in self._sealed:
            if entry.segment.last > self.synced:
                break
            entry.is_synced = True

    def due(self, now_us: int, again_us: int, most: int) -> list[Segment]:
        """Give the segments to send now: synced, and not sent within `again_us`; oldest first."""
        found: list[Segment] = []
        for entry in self._sealed:
            if not entry.is_synced or len(found) >= most:
                break
            if entry.sent_us is None or now_us - entry.sent_us >= again_us:
                entry.sent_us = now_us
                found.append(entry.segment)
        return found

    def forget_sent(self) -> None:
        """Let every segment be sent again at once: the link is a new one."""
        for entry in self._sealed:
            entry.sent_us = None

    def on_receipt(self, receipt: Receipt, out: list[Effect]) -> bool:
        """Let the records go that a signed receipt covers; False where it does not fit the chain."""
        covered = 0
        for entry in self._sealed:
            if entry.segment.last == receipt.last and entry.segment.head == receipt.head:
                covered = entry.segment.last
        if not covered:
            return not self._sealed or receipt.last < self._sealed[0].segment.first
        while self._sealed and self._sealed[0].segment.last <= covered:
            self._sealed.popleft()
        out.append(Drop(LEDGER, covered))
        return True


def _runs(records: tuple[bytes, ...]) -> list[tuple[bytes, ...]]:
    """Split records where segments began."""
    runs: list[list[bytes]] = []
    for record in records:
        if not runs or _kind(record) is RecordKind.SEGMENT:
            runs.append([])
        runs[-1].append(record)
    return [tuple(run) for run in runs]


def _kind(record: bytes) -> RecordKind | None:
    try:
        return read_entry(record).kind
    except WireError:
        return None


def _marker(record: bytes, incarnation: int) -> tuple[int, int]:
    """Read a segment's incarnation and index from its first record."""
    try:
        body = read_entry(record).body
    except WireError:
        return incarnation, 0
    origin, index = body.get("incarnation"), body.get("index")
    return (
        origin if isinstance(origin, int) else incarnation,
        index if isinstance(index, int) else 0,
    )
