"""Personal values: kept beside the ledger, where they can be erased, and committed to in it.

`Veil` is the node's side: it takes personal values out of what is recorded. `PersonalValues` is the disk's: a
table of what the commitments stand for, which really forgets what it is told to.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import quote

from ripstop.core.canonical import Json, canonical_json
from ripstop.core.commitment import Opening
from ripstop.core.node import Append, Effect, Scalar
from ripstop.core.wire.record import pack, unpack

from .recovery import LedgerError, Recovery, let_go, set_aside

if TYPE_CHECKING:
    import sqlite3

STREAM = "personal"
_BUSY_S = 1.0
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

    `life` is the number of the last life that has used the table, as far as that is on stable storage.
    Erased values are overwritten in the file (SQLite's `secure_delete`); what the medium itself still holds
    of overwritten blocks is beyond it.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = Lock()
        self._connection: sqlite3.Connection | None = None
        self._is_synced = True
        self._begun = 0
        self.life = 0

    def mend(self, life: int) -> Recovery | None:
        """Look whether the table is whole; a damaged one is kept aside, and the values that verify go on.

        It is read once, about a millisecond a megabyte. Single values are held against their commitments
        when they are looked up, and by `check_personal`.

        Args:
            life: the number of the last life that is known to have used it, 0 for none.

        Raises:
            OSError: it cannot be read, or not be kept aside.
        """
        path, self.life = self._path, life
        if path is None:
            return None
        damage, last = _look(path, is_thorough=False)
        if damage:
            rows = _sound_rows(path)
            gone, name = let_go(path), set_aside(path)
            for log in ("-wal", "-shm"):
                path.with_name(path.name + log).unlink(missing_ok=True)
            with self._lock:
                for row in rows:
                    self._run(_INSERT, row)
            self.sync()
            return Recovery(STREAM, len(rows), damaged=name, let_go=gone)
        if last < life:
            self.life = last
            return Recovery(STREAM, 0, missing=life - last)
        return None

    def _table(self) -> sqlite3.Connection:
        if self._connection is None:
            import sqlite3

            made = sqlite3.connect(
                self._path or ":memory:", timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
            try:
                for statement in _OPENING:
                    made.execute(statement)
                life = max(self.life, made.execute("PRAGMA user_version").fetchone()[0]) + 1
                made.execute(f"PRAGMA user_version = {life}")
            except BaseException:
                made.close()
                raise
            self._connection, self._begun, self._is_synced = made, life, False
        return self._connection

    def put(self, data: bytes) -> None:
        """Keep a packed `Opening`.

        Raises:
            OSError: it cannot be written.
        """
        opening = unpack(Opening, data)
        row = (opening.commitment, opening.signal, opening.t_us, opening.salt, opening.value)
        with self._lock:
            self._run(_INSERT, row)
            self._is_synced = False

    def sync(self) -> None:
        """Bring what was put to stable storage, all of it into the table's own file.

        Raises:
            OSError: it could not be brought there.
        """
        with self._lock:
            if not self._is_synced:
                self._run("PRAGMA wal_checkpoint(TRUNCATE)", ())
                self.life, self._is_synced = self._begun, True

    def find(self, commitment: str) -> Opening | None:
        """Give what a commitment stands for; None where that was erased, or never known.

        Raises:
            LedgerError: C0407, it cannot be read, or is not what was committed to.
        """
        with self._lock, _told(self._path, "read"):
            rows = self._run(f"{_SELECT} WHERE commitment = ?", (commitment,))
            found = [_opening(row) for row in rows]
            if None in found:
                raise OSError(errno.EIO, "the value is not what was committed to")
        return found[0] if found else None

    def erase(self, signal: str | None = None, before_us: int | None = None) -> int:
        """Erase a signal's values (None: all) that were sensed before a time (None: ever); give how many.

        Tables that were kept aside as damaged cannot be searched: they go as a whole.

        Raises:
            LedgerError: C0407, they cannot be erased now.
        """
        where = "(? IS NULL OR signal = ?) AND (? IS NULL OR t_us < ?)"
        given = (signal, signal, before_us, before_us)
        with self._lock, _told(self._path, "erased"):
            count = int(str(self._run(f"SELECT COUNT(*) FROM personal WHERE {where}", given)[0][0]))  # noqa: S608 - constant
            self._run(f"DELETE FROM personal WHERE {where}", given)  # noqa: S608 - constant
            # The log in front of the table holds them, too.
            is_busy = self._run("PRAGMA wal_checkpoint(TRUNCATE)", ())[0][0]
            if is_busy:
                raise OSError(errno.EBUSY, "another process reads them just now")
            if self._path is not None:
                for aside in self._path.parent.glob(f"{self._path.name}.damaged-*"):
                    aside.unlink()
        return count

    def _run(self, statement: str, given: tuple[object, ...]) -> list[_Row]:
        import sqlite3

        try:
            return self._table().execute(statement, given).fetchall()
        except sqlite3.Error as error:
            raise OSError(errno.EIO, f"personal values cannot be kept: {error}") from error

    def close(self) -> None:
        """Let go of the table."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None


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


def check_personal(path: Path, life: int) -> list[str]:
    """Give what is wrong with a table of personal values; nothing in it is changed.

    Args:
        path: its file.
        life: the number of the last life that is known to have used it, 0 for none.

    Raises:
        OSError: it cannot be read.
    """
    damage, last = _look(path, is_thorough=True)
    if last < life and not damage:
        damage = [f"is gone, or an older one: of life {last}, expected {life}"]
    return [f"{path.name}: {text}" for text in damage]


def _look(path: Path, *, is_thorough: bool) -> tuple[list[str], int]:
    """Give what is damaged in a table, and the number of the last life that used it, 0 for none."""
    if not path.exists():
        return [], 0
    import sqlite3

    try:
        with closing(_reader(path)) as table:
            last: int = table.execute("PRAGMA user_version").fetchone()[0]
            if not table.execute("SELECT 1 FROM sqlite_schema").fetchall():
                return [], 0  # a life ended before it was made
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
