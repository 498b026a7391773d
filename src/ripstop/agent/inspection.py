"""A ledger looked at from outside: read without a lock and without a change, verified, and told.

The files of an agent that runs may be read too: what it is writing just then shows as a torn tail.
"""

from __future__ import annotations

from pathlib import Path

from ripstop.core.errors import WireError
from ripstop.core.journal import Entry, RecordKind, read_entry
from ripstop.core.value import dataclass
from ripstop.core.wire.chain import genesis

from .marks import MARKS, Mark, read_marks
from .personal import STREAM as PERSONAL
from .personal import check_personal
from .recovery import LOCK, LedgerError, compare, missing_files, read_owner
from .settings import BUNDLE, LEDGER
from .slots import Slots
from .streams import holds_record, payload, read_head, read_stream


@dataclass(frozen=True, slots=True)
class StreamReport:
    """What a stream's file holds: records `first` to `last`, chained up to `head`, and what is wrong."""

    stream: str
    first: int
    last: int
    head: bytes
    records: tuple[bytes, ...]
    findings: tuple[str, ...] = ()

    @property
    def entries(self) -> list[tuple[int, Entry]]:
        """The records of the ledger's own stream that can be read, by number; empty for other streams."""
        if self.stream != LEDGER:
            return []
        found = []
        for number, record in enumerate(self.records, self.first):
            entry = _read(record)
            if entry is not None:
                found.append((number, entry))
        return found


@dataclass(frozen=True, slots=True)
class LedgerReport:
    """What a ledger's folder holds; `bundles` are the numbers of those in its sound slots, older first.

    `others` are findings on what is no stream with a file.
    """

    owner: str
    streams: tuple[StreamReport, ...]
    set_aside: tuple[str, ...]
    bundles: tuple[int, ...] = ()
    damaged_slots: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def ledger(self) -> StreamReport | None:
        """The stream of decisions; None where there is none yet."""
        return next((stream for stream in self.streams if stream.stream == LEDGER), None)

    @property
    def findings(self) -> list[str]:
        """Everything that is wrong, each with its place."""
        found = [f"{stream.stream}: {text}" for stream in self.streams for text in stream.findings]
        found += self.others
        found += [f"{name}: holds no whole bundle: damaged, or cut off" for name in self.damaged_slots]
        return found + [
            f"{name}: was set aside as damaged when the ledger was opened" for name in self.set_aside
        ]


def inspect_ledger(folder: Path) -> LedgerReport:
    """Read and verify a ledger's folder; nothing is locked, mended or written.

    Raises:
        LedgerError: C0405, the folder holds no ledger; C0402, it cannot be read.
    """
    try:
        owner = read_owner((folder / LOCK).read_bytes())
        marks, torn = read_marks(folder)  # before the streams, which may go on meanwhile
        paths = sorted(folder.glob("*.log"))
        streams = tuple(_report(path, owner, marks.get(path.stem)) for path in paths)
        slots = Slots(folder, BUNDLE)
        gone = missing_files(marks, [*(stream.stream for stream in streams), PERSONAL], slots.last)
        others = check_personal(folder / f"{PERSONAL}.db", marks[PERSONAL].number if PERSONAL in marks else 0)
        aside = tuple(path.name for path in sorted(folder.glob("*.damaged-*")))
    except FileNotFoundError as error:
        raise LedgerError(
            f"folder `{folder}` holds no ledger",
            code="C0405",
            hint="it is what `Agent(..., ledger=...)` was given; `ripstop agent` keeps it in DIR/NAME/ledger",
        ) from error
    except OSError as error:
        raise LedgerError(
            f"ledger folder `{folder}` cannot be read: {error.strerror}", code="C0402"
        ) from error
    bundles = tuple(content.number for content in slots.contents)
    others += [f"{lost.stream}: {_lack(lost.missing, lost.records)}" for lost in gone]
    if owner is None:
        others.append(f"{LOCK}: does not verify: whose ledger it is cannot be told")
    if torn and paths:
        others.append(f"{MARKS}: {torn} bytes do not verify: damaged, or cut off while they were written")
    return LedgerReport(owner or "", streams, aside, bundles, tuple(slots.damaged), tuple(others))


def _report(path: Path, owner: str | None, mark: Mark | None) -> StreamReport:
    raw = path.read_bytes()
    head = read_head(raw)
    if head is None:
        return StreamReport(path.stem, 1, 0, b"", (), ("its head is damaged: nothing in it can be trusted",))
    base, previous = head
    held = read_stream(raw, base, previous)
    findings = []
    if owner is not None and base == 0 and previous != genesis(owner):
        findings.append(f"its chain does not begin with `{owner}`")
    left = len(raw) - held.size
    if left and holds_record(raw, held.size + 1):
        findings.append(
            f"damaged behind record {held.number}: whole records follow {left} bytes from the end"
        )
    elif left:
        findings.append(f"a torn tail of {left} bytes behind record {held.number}")
    missing, is_other = compare(mark, held, raw)
    if missing:
        findings.append(_lack(missing, held.number))
    elif is_other and mark is not None:
        findings.append(f"record {mark.number} is not the one that was synced")
    records = tuple(payload(raw, offset) for offset in held.offsets)
    if path.stem == LEDGER:
        findings += _unreadable(records, base + 1)
    return StreamReport(path.stem, base + 1, held.number, held.previous, records, tuple(findings))


def _lack(missing: int, last: int) -> str:
    return f"synced records missing behind record {last}: {missing}"


def _unreadable(records: tuple[bytes, ...], first: int) -> list[str]:
    found = []
    markers: list[tuple[int, int]] = []
    for number, record in enumerate(records, first):
        entry = _read(record)
        if entry is None:
            found.append(f"record {number} is no entry of a ledger")
        elif entry.kind is RecordKind.SEGMENT:
            life, index = entry.body.get("incarnation"), entry.body.get("index")
            if not (isinstance(life, int) and isinstance(index, int)):
                found.append(f"record {number} begins a segment without a number")
            elif markers and (life, index) <= markers[-1]:
                found.append(f"record {number} begins segment {life}/{index} behind {markers[-1]}")
            else:
                markers.append((life, index))
    return found


def _read(record: bytes) -> Entry | None:
    try:
        return read_entry(record)
    except WireError:
        return None
