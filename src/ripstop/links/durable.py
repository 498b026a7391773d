"""What outlives a process, kept in memory: keys with revisions, and a node's own append-only streams."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from ..core.node import Fetch, Store


class DurableKeys:
    """Keys with compare-and-set, as JetStream's key-value store has them: one counter for all revisions."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[bytes, int]] = {}
        self._revision = 0

    def fetch(self, key: str) -> tuple[bytes | None, int]:
        """Give what the key holds and its revision; (None, 0) where it holds nothing."""
        return self._held.get(key, (None, 0))

    def store(self, key: str, data: bytes, expected: int | None = None, *, is_repeat: bool = False) -> int:
        """Write the key if its revision is `expected` (None: whatever it is; 0: it must not exist).

        A repeat of a write whose answer was lost finds its own bytes under a later revision: that write won.

        Returns:
            The new revision, 0 where the comparison failed.
        """
        held, revision = self.fetch(key)
        if expected is not None and revision != expected:
            return revision if is_repeat and held == data and revision > expected else 0
        self._revision += 1
        self._held[key] = (data, self._revision)
        return self._revision


def is_asked(questions: Iterable[Fetch | Store], effect: Fetch | Store) -> bool:
    """Tell whether one of the questions that still wait for their turn will answer this one, too.

    The first may be under way already and its answer older than the wish for a fresh one; and no read may
    move before a write of its key.
    """
    waiting = list(questions)[1:]
    return (
        isinstance(effect, Fetch)
        and effect in waiting
        and not any(isinstance(other, Store) and other.key == effect.key for other in waiting)
    )


class Disk(Protocol):
    """A node's own append-only streams; a shell carries out Append, Sync and Drop on it."""

    def append(self, stream: str, data: bytes) -> None:
        """Append a record to a stream."""
        ...

    def sync(self) -> None:
        """Return when all that was appended survives a power cut."""
        ...

    def drop(self, stream: str, sequence: int) -> None:
        """Forget a stream's records up to and including number `sequence`."""
        ...

    def close(self) -> None:
        """Let go of what is held open."""
        ...


@dataclass(slots=True)
class _Stream:
    records: list[bytes] = field(default_factory=list)
    dropped: int = 0
    synced: int = 0


class MemoryDisk:
    """A disk in memory. Records of a stream are numbered from 1; a crash forgets what was not synced."""

    def __init__(self) -> None:
        self._streams: dict[str, _Stream] = {}

    def append(self, stream: str, data: bytes) -> None:
        """Append a record to a stream."""
        self._of(stream).records.append(data)

    def sync(self) -> None:
        """Make everything appended so far survive a crash."""
        for stream in self._streams.values():
            stream.synced = stream.dropped + len(stream.records)

    def drop(self, stream: str, sequence: int) -> None:
        """Forget a stream's records up to and including number `sequence`."""
        held = self._of(stream)
        count = min(sequence - held.dropped, len(held.records))
        if count > 0:
            del held.records[:count]
            held.dropped += count

    def close(self) -> None:
        """Nothing is held open."""

    def crash(self) -> None:
        """Forget what was not synced, as a power cut does."""
        for stream in self._streams.values():
            del stream.records[max(stream.synced - stream.dropped, 0) :]

    def read(self, stream: str) -> tuple[bytes, ...]:
        """Give the records of a stream that were not dropped, in order."""
        return tuple(self._of(stream).records)

    def first(self, stream: str) -> int:
        """Give the number of the first record that was not dropped."""
        return self._of(stream).dropped + 1

    def _of(self, stream: str) -> _Stream:
        held = self._streams.get(stream)
        if held is None:
            held = self._streams[stream] = _Stream()
        return held
