"""Personal values: kept beside the ledger, where they can be erased, and committed to in it.

`Veil` is the node's side: it takes personal values out of what is recorded. `PersonalValues` is the disk's: a
table of what the commitments stand for, which really forgets what it is told to. `agent.ledger` says where
values stand before they come into it.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import quote

from ripstop.core.canonical import Json, canonical_json
from ripstop.core.commitment import Opening
from ripstop.core.files import sync_path
from ripstop.core.node import Append, Effect, Scalar
from ripstop.core.wire.record import pack, unpack

from .recovery import LedgerError, Recovery, let_go, set_aside

if TYPE_CHECKING:
    import sqlite3

STREAM, VALUES = "personal", "values"
MOST_IN_MEMORY = 100_000
_BUSY_S = 1.0
_COPIES = (f"{STREAM}.db.damaged-*", f"{STREAM}.db.new*", f"{VALUES}.log.damaged-*", f"{VALUES}.log.new")
_OPENING = (
    "PRAGMA secure_delete = ON",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "CREATE TABLE IF NOT EXISTS personal (commitment TEXT PRIMARY KEY, signal TEXT, t_us INTEGER, salt BLOB,"
    " value TEXT)",
    # Times are not committed to: as they stand here too, a check finds one that was changed.
    "CREATE INDEX IF NOT EXISTS sensed ON personal (signal, t_us)",
)
_INSERT = "INSERT OR IGNORE INTO personal VALUES (?, ?, ?, ?, ?)"
_SELECT = "SELECT commitment, signal, t_us, salt, value FROM personal"
_Row: TypeAlias = tuple[object, ...]
_PARTS = ("inputs", "last_valid", "remembered")
_TOLD = ("signal", "kind", "score", "sigma")  # of an alarm; not the reading, and no text that quotes it


class Veil:
    """Takes personal values out of records; effects are added to `out`.

    Args:
        names: the signals and parameters that are personal.
        key: secret and random, at least 32 bytes where values matter: salts are drawn from it.
    """

    def __init__(self, names: tuple[str, ...], key: bytes) -> None:
        self.names = frozenset(names)
        self._key = key
        self._life = b""
        self._drawn = 0

    def start(self, life: str) -> None:
        """Begin a life: salts never repeat those of an earlier one."""
        self._life = life.encode()

    def decision(self, record: dict[str, Json], out: list[Effect]) -> dict[str, Json]:
        """Give a decision's record with commitments in place of personal values."""
        if not self.names:
            return record
        return record | {part: self._samples(record[part], out) for part in _PARTS if part in record}

    def _samples(self, samples: Json, out: list[Effect]) -> list[Json]:
        return [
            self._sample(sample, out) if isinstance(sample, Mapping) else sample
            for sample in (samples if isinstance(samples, list) else [])
        ]

    def _sample(self, sample: Mapping[str, Json], out: list[Effect]) -> Json:
        signal, t_us = sample["signal"], sample["t_us"]
        if signal not in self.names or not isinstance(signal, str) or not isinstance(t_us, int):
            return dict(sample)
        self._drawn += 1
        salt = sha256(self._key + self._life + self._drawn.to_bytes(8, "big")).digest()
        opening = Opening(signal, t_us, salt, canonical_json(sample["value"]).decode())
        out.append(Append(STREAM, pack(opening)))
        return {**sample, "value": opening.to_json()}

    def alarm(self, fields: dict[str, Scalar]) -> dict[str, Scalar]:
        """Give what may be told of an alarm."""
        if fields.get("signal") not in self.names:
            return fields
        return {name: value for name, value in fields.items() if name in _TOLD}


class PersonalValues:
    """What commitments stand for: a table on the disk, or in memory where `path` is None.

    What comes stands in memory (and in a stream of the ledger) until it is brought into the table. `turn` is
    how often that was done, as far as it is on stable storage; in memory the last `MOST_IN_MEMORY` are held.
    Erased values are overwritten in the file (SQLite's `secure_delete`); what the medium itself still holds
    of overwritten blocks is beyond it.

    Args:
        path: of the table.
        settle: brings all that came into the table, and out of where else it stands.
    """

    def __init__(self, path: Path | None, settle: Callable[[], None] | None = None) -> None:
        self._path = path
        self._settle = settle or (lambda: self.take_in(self.fresh))
        self._lock = Lock()
        self._connection: sqlite3.Connection | None = None
        self._fresh: dict[str, _Row] = {}
        self._mend: Callable[[], str] | None = None
        self.turn = 0

    def mend(self, turn: int) -> Recovery | None:
        """Look whether the table is whole; a damaged one is kept aside, and the values that verify go on.

        It is read once, about a millisecond a megabyte. Single values are held against their commitments
        when they are looked up, and by `check_personal`. Where the disk has no room for another table, that
        waits until there is.

        Args:
            turn: how often values are known to have been brought there.

        Raises:
            OSError: it cannot be read, or not be kept aside.
        """
        path, self.turn = self._path, turn
        if path is None:
            return None
        damage, last = _look(path, is_thorough=False)
        if damage:
            rows, gone = _sound_rows(path), let_go(path)
            rebuild = partial(_rebuild, path, rows, turn)
            try:
                name = rebuild()
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                self._mend, name = rebuild, path.name
            return Recovery(STREAM, len(rows), damaged=name, let_go=gone)
        if last < turn:
            self.turn = last
            return Recovery(STREAM, 0, missing=turn - last)
        return None

    def _table(self) -> sqlite3.Connection:
        if self._mend is not None:
            self._mend()
            self._mend = None
        if self._connection is None:
            import sqlite3

            made = sqlite3.connect(
                self._path or ":memory:", timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
            try:
                for statement in _OPENING:
                    made.execute(statement)
            except BaseException:
                made.close()
                raise
            self._connection = made
        return self._connection

    @property
    def fresh(self) -> list[_Row]:
        """What came and was not brought into the table yet, oldest first."""
        return list(self._fresh.values())

    @property
    def waiting(self) -> int:
        """How many values that are."""
        return len(self._fresh)

    def put(self, data: bytes) -> None:
        """Keep a packed `Opening`, in memory for now; it must be written elsewhere, too."""
        opening = unpack(Opening, data)
        name = opening.commitment
        self._fresh[name] = (name, opening.signal, opening.t_us, opening.salt, opening.value)
        if self._path is None and len(self._fresh) > MOST_IN_MEMORY:
            del self._fresh[next(iter(self._fresh))]

    def take_in(self, rows: Sequence[_Row]) -> None:
        """Bring values into the table, on stable storage; they are fresh no more.

        Raises:
            OSError: they cannot be brought there now.
        """
        with self._lock:
            with self._transaction() as table:
                turn: int = max(self.turn, table.execute("PRAGMA user_version").fetchone()[0]) + 1
                table.executemany(_INSERT, rows)
                table.execute(f"PRAGMA user_version = {turn}")
            self._checkpoint()
            self.turn = turn
        for row in rows:
            self._fresh.pop(str(row[0]), None)

    def find(self, commitment: str) -> Opening | None:
        """Give what a commitment stands for; None where that was erased, or never known.

        Raises:
            LedgerError: C0407, it cannot be read, or is not what was committed to.
        """
        fresh = self._fresh.get(commitment)
        if fresh is not None:
            return _opening(fresh)
        with _told(self._path, "read"), self._lock, _as_of_a_disk():
            rows = self._table().execute(f"{_SELECT} WHERE commitment = ?", (commitment,)).fetchall()
            found = [_opening(row) for row in rows]
            if None in found:
                raise OSError(errno.EIO, "the value is not what was committed to")
        return found[0] if found else None

    def erase(self, signal: str | None = None, before_us: int | None = None) -> int:
        """Erase a signal's values (None: all) that were sensed before a time (None: ever); give how many.

        Files that were kept aside as damaged cannot be searched: they go as a whole.

        Raises:
            LedgerError: C0407, they cannot be erased now.
        """
        where = "(? IS NULL OR signal = ?) AND (? IS NULL OR t_us < ?)"
        given = (signal, signal, before_us, before_us)
        with _told(self._path, "erased"):
            self._settle()
            with self._lock:
                with self._transaction() as table:
                    count = table.execute(f"DELETE FROM personal WHERE {where}", given).rowcount  # noqa: S608 - constant
                self._checkpoint()  # the log in front of the table holds them, too
                if self._path is not None:
                    for left in (each for copies in _COPIES for each in self._path.parent.glob(copies)):
                        left.unlink()
        return count

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with _as_of_a_disk():
            table = self._table()
            table.execute("BEGIN IMMEDIATE")
            try:
                yield table
                table.execute("COMMIT")
            except BaseException:
                if table.in_transaction:
                    table.execute("ROLLBACK")
                raise

    def _checkpoint(self) -> None:
        """Bring what was written to stable storage, all of it into the table's own file."""
        with _as_of_a_disk():
            is_busy = self._table().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if is_busy:
            raise OSError(errno.EBUSY, "another process reads them just now")

    def close(self) -> None:
        """Let go of the table."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None


@contextmanager
def _as_of_a_disk() -> Iterator[None]:
    """Let a table fail as any file does."""
    import sqlite3

    try:
        yield
    except sqlite3.Error as error:
        is_full = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL
        number = errno.ENOSPC if is_full else errno.EIO
        raise OSError(number, f"personal values cannot be kept: {error}") from error


def _rebuild(path: Path, rows: Sequence[_Row], turn: int) -> str:
    """Write a table anew, with these values, and keep the damaged one aside; give the name of that."""
    beside = path.with_name(f"{path.name}.new")
    _remove(beside)
    made = PersonalValues(beside)
    made.turn = turn
    try:
        made.take_in(rows)
    except OSError:
        made.close()
        _remove(beside)
        raise
    made.close()
    name = set_aside(path)
    _remove(path)
    beside.rename(path)
    sync_path(path.parent)
    return name


def _remove(path: Path) -> None:
    for part in ("", "-wal", "-shm"):
        path.with_name(f"{path.name}{part}").unlink(missing_ok=True)


@contextmanager
def _told(path: Path | None, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LedgerError(
            f"personal values in `{path}` cannot be {what}: {error.strerror}",
            code="C0407",
            hint="look at the disk; a table that is damaged is mended when the agent starts again",
        ) from error


def check_personal(path: Path, turn: int) -> list[str]:
    """Give what is wrong with a table of personal values; nothing in it is changed.

    Args:
        path: its file.
        turn: how often values are known to have been brought there.

    Raises:
        OSError: it cannot be read.
    """
    damage, last = _look(path, is_thorough=True)
    if last < turn and not damage:
        damage = [f"is gone, or an older one: filled {last} times, expected {turn}"]
    return [f"{path.name}: {text}" for text in damage]


def _look(path: Path, *, is_thorough: bool) -> tuple[list[str], int]:
    """Give what is damaged in a table, and how often values were brought there."""
    if not path.exists():
        return [], 0
    import sqlite3

    try:
        with closing(_reader(path)) as table:
            last: int = table.execute("PRAGMA user_version").fetchone()[0]
            if not table.execute("SELECT 1 FROM sqlite_schema").fetchall():
                return [], 0  # the process ended before it was made
            check = "PRAGMA integrity_check(1)" if is_thorough else "PRAGMA quick_check(1)"
            found = [str(text) for (text,) in table.execute(check) if text != "ok"]
            rows = table.execute(_SELECT if is_thorough else f"{_SELECT} LIMIT 1").fetchall()
    except sqlite3.OperationalError as error:
        # No table of this name, or (without a code) what is no text.
        if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) == sqlite3.SQLITE_ERROR:
            return [str(error)], 0
        raise OSError(errno.EIO, f"personal values cannot be read: {error}") from error
    except sqlite3.Error as error:
        return [str(error)], 0
    changed = sum(_opening(row) is None for row in rows) if is_thorough else 0
    return found + ([f"values that are not what was committed to: {changed}"] if changed else []), last


def _reader(path: Path) -> sqlite3.Connection:
    import sqlite3

    file = f"file:{quote(str(path.absolute()))}?mode=ro"
    if path.with_name(f"{path.name}-wal").exists():
        with suppress(sqlite3.OperationalError):  # a file beside it cannot be made: disk full or read-only
            table = sqlite3.connect(file, uri=True)
            try:
                table.execute("PRAGMA user_version")
            except BaseException:
                table.close()
                raise
            return table
    # What was synced is all in the table itself.
    return sqlite3.connect(f"{file}&immutable=1", uri=True)


def _sound_rows(path: Path) -> list[_Row]:
    """Read what can still be read, and is what was committed to."""
    import sqlite3

    found: list[_Row] = []
    with suppress(sqlite3.Error), closing(_reader(path)) as table:
        for row in table.execute(_SELECT):
            found += [row] if _opening(row) is not None else []
    return found


def _opening(row: _Row) -> Opening | None:
    """Read a row; None where it is not what was committed to."""
    match row:
        case (commitment, str() as signal, int() as t_us, bytes() as salt, str() as value):
            opening = Opening(signal, t_us, salt, value)
            return opening if opening.commitment == commitment else None
    return None
