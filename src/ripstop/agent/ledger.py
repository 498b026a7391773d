"""The agent's disk: append-only streams in files, chained, and safe against a power cut at any byte.

Theory of operation. A stream is a folder's file `<stream>.log` (`agent.streams`). A crash leaves a prefix of
what was written and perhaps torn bytes behind it. So on opening, the first record that does not verify ends
the stream:

- nothing that verifies comes behind it: a torn tail. It is cut off and reported; nothing in it was synced.
- whole records come behind it: damage, which a crash does at most to what was not synced. The file is kept
  aside as `<stream>.log.damaged-<n>` (of one stream the last eight are), the sound records before the damage
  go on as the stream, and it is reported.

A record that cannot be written (disk full, gone, read-only) is chained all the same, for its writer has
chained it, too. It waits in memory and goes first when the disk works again; until then `sync` fails, so that
nothing counts as acknowledged that is not on the disk.

What each stream held when it was last synced is marked in one more file (`agent.marks`): a stream that holds
less has lost what was acknowledged, however sound it looks. That is told, and the file is kept aside.

The stream `bundle` holds whole contents, of which the last counts: they are kept in slots that take turns
(`agent.slots`), and `append` syncs it.

Personal values can be erased, for they stand in a table (`agent.personal`). To sync that with every decision
would take three more flushes of the disk. So they come into a stream first, `values`, which is synced at the
same time as the others: `sync` returns when a decision and its values are there; a power cut before that may
leave either without the other. When many have come, or one is to be erased, they go into the table and leave
the stream.

`drop` forgets a prefix: once that saves enough the file is written anew without it, and swapped in whole.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock

from ripstop.core.clock import SystemClock
from ripstop.core.files import write_whole
from ripstop.core.wire.chain import genesis

from .flush import sync_files
from .marks import MARKS, Mark, Marks
from .memory import Tail
from .personal import STREAM as _PERSONAL
from .personal import VALUES, PersonalValues
from .recovery import LOCK, LedgerError, Recovery, missing_files, open_stream, read_owner, write_owner
from .slots import Slots
from .streams import MAX_RECORD, StreamFile, create_stream, link_at, payload, read_head, write_head

_MOST_WAITING = 4 << 20
_SHORT = 7 / 8
_COMPACT_BYTES = 1 << 20
_SLOTTED, _SHARED = "bundle", "ledger"
MOST_FRESH = 1024


class FileLedger:
    """Streams as files in one folder; implements what a node's shell asks of a disk.

    One process at a time: the folder is locked while it is open, and a child that was forked off may not
    write. Any thread may call.

    Args:
        folder: made where it is missing.
        owner: the agent's id; its chains begin with it.
        share: bytes that the ledger's own stream may take; beyond them it counts as full (None: no end).

    Raises:
        LedgerError: C0401 another process holds the folder, C0402 it cannot be made or opened, C0403 it is
            another agent's.
    """

    def __init__(self, folder: Path | str, owner: str, share: int | None = None) -> None:
        self.folder = Path(folder)
        self.share = share
        self._owner = owner
        self._files: dict[str, StreamFile] = {}
        self._lock, self._syncing, self._settling = Lock(), Lock(), Lock()
        self._process = os.getpid()
        self._appended = self._synced = 0
        self._settled_at = MOST_FRESH
        self.recoveries: list[Recovery] = []
        self.personal = PersonalValues(self.folder / f"{_PERSONAL}.db", self.settle)
        self._marks: Marks | None = None
        self._clock = SystemClock()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._guard = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise _unusable(self.folder, "opened", error) from error
        try:
            self._claim()
            self._open()
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise _unusable(self.folder, "opened", error) from error
            raise

    def _claim(self) -> None:
        try:
            fcntl.flock(self._guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LedgerError(
                f"ledger folder `{self.folder}` is in use by another process",
                code="C0401",
                hint="one agent has one ledger; stop the other one, or give this one a folder of its own",
            ) from error
        raw, sealed = os.pread(self._guard, 256, 0), write_owner(self._owner)
        held = read_owner(raw)
        if held and held != self._owner:
            raise LedgerError(
                f"ledger folder `{self.folder}` belongs to agent `{held}`, expected `{self._owner}`",
                code="C0403",
            )
        if held is None:
            self.recoveries.append(Recovery(LOCK, 0, torn=len(raw)))
        if raw != sealed:
            try:
                os.pwrite(self._guard, sealed, 0)
                os.ftruncate(self._guard, len(sealed))
            except OSError as error:
                raise _unusable(self.folder, "written", error) from error

    def _open(self) -> None:
        paths = sorted(self.folder.glob("*.log"))
        self._marks = marks = Marks(self.folder)
        known = marks.held
        for path in paths:
            self._files[path.stem], opened = open_stream(path, self._owner, known.get(path.stem))
            self.recoveries.append(opened)
        self._slots = Slots(self.folder, _SLOTTED)
        self.recoveries += [Recovery(_SLOTTED, 0, damaged=name) for name in self._slots.damaged]
        turn = known.get(_PERSONAL)
        found = self.personal.mend(turn.number if turn else 0)
        self.recoveries += [found] if found else []
        for data in self.tail(VALUES).records:
            self.personal.put(data)
        self.recoveries += missing_files(known, (*self._files, _PERSONAL), self._slots.last)
        if marks.torn and paths:
            self.recoveries.append(Recovery(MARKS, 0, torn=marks.torn))
        self._mark(self._ends())

    def _ends(self) -> dict[str, Mark]:
        """Give where each stream's file ends; nothing may wait."""
        ends = {stream: Mark(held.number, held.previous) for stream, held in self._files.items()}
        if self._slots.last:
            ends[_SLOTTED] = Mark(self._slots.last, bytes(32))
        return ends

    def _mark(self, ends: dict[str, Mark]) -> None:
        if self._marks is None:
            return
        if self.personal.turn:
            ends[_PERSONAL] = Mark(self.personal.turn, bytes(32))
        with suppress(OSError):  # the marks from before still tell the truth, of less
            self._marks.put(ends, self._clock.now().mono_us)

    # ---- the disk of a node -----------------------------------------------------------------------------

    def append(self, stream: str, data: bytes) -> None:
        """Append a record; it survives the process at once, a power cut after the next `sync`.

        Raises:
            OSError: it cannot be written now. It waits in memory for a later `append` or `sync`; where too
                much waits already it is refused, and of the ledger's own stream all that follows, too.
            LedgerError: C0404 it is too long, C0406 this is not the process that opened the folder.
        """
        self.extend(stream, (data,))

    def extend(self, stream: str, records: Sequence[bytes], links: Sequence[bytes] = ()) -> None:
        """Append records, whose links the writer may know, all by one write; raises as `append` does."""
        if max(map(len, records)) > MAX_RECORD:
            raise LedgerError(f"a record of {max(map(len, records))} bytes is too long", code="C0404")
        self.check_process()
        is_personal = stream == _PERSONAL
        stream = VALUES if is_personal else stream
        with self._lock:
            held = self._files.get(stream)
            if held is None:
                if stream == _SLOTTED:
                    for data in records:
                        self._slots.put(data)
                    return
                held = self._files[stream] = StreamFile(-1, 0, 0, 0, genesis(self._owner))
            if held.waiting:
                self._check_room(stream, held, sum(map(len, records)))
            self._appended += len(records)
            if is_personal:
                for data in records:
                    self.personal.put(data)
            if held.handle >= 0 and not held.waiting:
                held.append(records, links, self.share if stream == _SHARED else None)
            else:
                for data in records:
                    held.wait(held.chain(data))
                self._write(stream, held)

    def check_process(self) -> None:
        """Refuse to work in a forked child.

        Raises:
            LedgerError: C0406, this is not the process that opened the folder.
        """
        if os.getpid() != self._process:
            raise LedgerError(
                f"ledger folder `{self.folder}` was opened by the process that this one was forked from",
                code="C0406",
                hint="make the agent after the fork, each with a folder of its own",
            )

    @staticmethod
    def _check_room(stream: str, held: StreamFile, length: int) -> None:
        """Refuse what memory is not for. INVARIANT: the chain that the node keeps has no gap on the disk."""
        if held.is_cut_short or held.waiting_bytes + length > _MOST_WAITING:
            held.is_cut_short = stream == _SHARED
            raise OSError(errno.ENOSPC, f"{len(held.waiting)} records wait for the disk, no more are taken")

    def _write(self, stream: str, held: StreamFile) -> None:
        if held.handle < 0:
            create_stream(self._path(stream), held, genesis(self._owner))
        held.write(self.share if stream == _SHARED else None)

    @property
    def is_short(self) -> bool:
        """Whether little of the ledger's share of the disk is left."""
        held = self._files.get(_SHARED)
        return held is not None and self.share is not None and held.size > self.share * _SHORT

    def sync(self) -> None:
        """Bring everything appended to stable storage; callers who come together share one sync.

        Raises:
            OSError: not all of it could be brought there.
            LedgerError: C0406, as `append`.
        """
        self.check_process()
        with self._lock:
            wanted = self._appended
        with self._syncing:
            if self._synced >= wanted:
                return
            with self._lock:
                covered = self._appended
                failure = self._write_waiting()
                unsafe = [held for held in self._files.values() if held.safe < held.size]
                ends = self._ends()
                under_way = [(held, held.base, held.size) for held in unsafe]
                handles = [os.dup(held.handle) for held in unsafe]
            for (held, base, size), error in zip(under_way, sync_files(handles), strict=True):
                with self._lock:
                    if held.base == base:  # else it was written anew meanwhile, and synced
                        held.is_doubted = error is not None
                        held.safe = held.safe if error else size
                failure = error or failure
            if failure is not None:
                raise failure
            self._synced = covered
            self._settle_many()
            self._mark(ends)

    def _settle_many(self) -> None:
        """Settle personal values, where many have come; what fails is tried again when as many more have."""
        count = self.personal.waiting
        if count >= self._settled_at:
            self._settled_at = MOST_FRESH + (count if _attempt(self.settle) else 0)

    def settle(self) -> None:
        """Bring the personal values that came since last time into their table, and out of the stream.

        Raises:
            OSError: they could not be brought there, and stay.
        """
        with self._settling:
            with self._lock:
                held = self._files.get(VALUES)
                if held is None:
                    return
                self._write(VALUES, held)
                number, rows = held.number, self.personal.fresh
            if rows:
                self.personal.take_in(rows)
            with self._lock:
                self._drop(VALUES, held, number)

    def _write_waiting(self) -> OSError | None:
        failure = None
        for stream, held in self._files.items():
            try:
                self._write(stream, held)
                held.write_again()
            except OSError as error:
                failure = error
        return failure

    def drop(self, stream: str, sequence: int) -> None:
        """Forget the records up to and including number `sequence`; space is given back from 1 MB on."""
        with self._lock:
            held = self._files.get(stream)
            if held is None:
                return
            self._drop(stream, held, sequence, _COMPACT_BYTES)

    def _drop(self, stream: str, held: StreamFile, sequence: int, least: int = 0) -> None:
        """Write a stream anew without its first records, where that saves `least` bytes or leaves none."""
        count = min(sequence - held.base, len(held.offsets))
        if count <= 0:
            return
        begin = held.offsets[count] if count < len(held.offsets) else held.size
        if begin >= least or begin == held.size:
            self._compact(stream, held, count, begin)

    def trim(self) -> int:
        """Forget the older half of the ledger's own stream, which nobody will ever fetch, where it is long.

        Gives the number of the last record dropped, or 0.
        """
        with self._lock:
            held = self._files.get(_SHARED)
            if held is None or self.share is None or len(held.offsets) < 2:
                return 0
            if held.size < self.share // 2 and held.size + held.waiting_bytes <= self.share:
                return 0
            count = len(held.offsets) // 2
            self._compact(_SHARED, held, count, held.offsets[count])
            return held.base

    def close(self) -> None:
        """Let go of the files and the folder."""
        with self._lock:
            for held in self._files.values():
                if held.handle >= 0:
                    os.close(held.handle)
            self._files.clear()
            self.personal.close()
            if self._marks is not None:
                self._marks.close()
                self._marks = None
            self._release()

    def _release(self) -> None:
        if self._guard >= 0:
            os.close(self._guard)
            self._guard = -1

    def tail(self, stream: str) -> Tail:
        """Give what a stream still holds, read from its file."""
        with self._lock:
            if stream == _SLOTTED:
                contents = self._slots.contents
                first = contents[0].number if contents else 1
                return Tail(first, b"", tuple(content.data for content in contents))
            held = self._files.get(stream)
            if held is None:
                return Tail(1, genesis(self._owner), ())
            raw = os.pread(held.handle, held.size, 0) if held.handle >= 0 else write_head(0, held.previous)
            previous = read_head(raw)
            records = [payload(raw, offset) for offset in held.offsets]
            records += [payload(waiting, 0) for waiting in held.waiting]
            return Tail(held.base + 1, previous[1] if previous else b"", tuple(records))

    # ---- files ------------------------------------------------------------------------------------------

    def _path(self, stream: str) -> Path:
        return self.folder / f"{stream}.log"

    def _compact(self, stream: str, held: StreamFile, count: int, begin: int) -> None:
        held.mended()
        raw = os.pread(held.handle, held.size, 0)
        kept = raw[begin : held.size]
        head = write_head(held.base + count, link_at(raw, held.offsets[count - 1]))
        write_whole(self._path(stream), head + kept)
        os.close(held.handle)
        held.handle = os.open(self._path(stream), os.O_RDWR)
        shift = begin - len(head)
        held.offsets = [offset - shift for offset in held.offsets[count:]]
        held.base += count
        held.size = held.safe = len(head) + len(kept)
        held.is_doubted = False


def _unusable(folder: Path, what: str, error: OSError) -> LedgerError:
    return LedgerError(f"ledger folder `{folder}` cannot be {what}: {error.strerror}", code="C0402")


def _attempt(work: Callable[[], object]) -> OSError | None:
    try:
        work()
    except OSError as error:
        return error
    return None
