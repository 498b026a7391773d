"""What the nodes reported during a run, in order, and the questions that are asked of it afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ripstop.core.node import Scalar


@dataclass(frozen=True, slots=True)
class Entry:
    """One event: when (scenario time), who reported it, what, and its fields."""

    t_us: int
    node: str
    name: str
    fields: Mapping[str, Scalar]


class Journal:
    """An append-only list of events, kept in the order in which they were noted."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.counts: Counter[str] = Counter()

    def note(self, t_us: int, node: str, name: str, fields: Mapping[str, Scalar]) -> None:
        """Append an event."""
        self.entries.append(Entry(t_us, node, name, fields))
        self.counts[name] += 1

    def sort(self) -> None:
        """Put the events in the order of time: reports of another process come a moment late."""
        self.entries.sort(key=lambda entry: entry.t_us)

    def all(
        self, name: str, *, node: str | None = None, since_us: int = 0, **fields: Scalar
    ) -> Iterator[Entry]:
        """Give the events of a name since a time, by one node or all, with these field values."""
        for entry in self.entries:
            fits = entry.name == name and entry.t_us >= since_us and (node is None or entry.node == node)
            if fits and all(entry.fields.get(key) == value for key, value in fields.items()):
                yield entry

    def first(
        self, name: str, *, node: str | None = None, since_us: int = 0, **fields: Scalar
    ) -> Entry | None:
        """Give the first such event, or None."""
        return next(self.all(name, node=node, since_us=since_us, **fields), None)
