"""Personal values: kept beside the ledger, where they can be erased, and committed to in it.

`Veil` is the node's side: it takes personal values out of what is recorded. `PersonalValues` is the disk's: a
table of what the commitments stand for, which really forgets what it is told to.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from ripstop.core.canonical import Json, canonical_json
from ripstop.core.commitment import Opening
from ripstop.core.node import Append, Effect, Scalar
from ripstop.core.wire.record import pack, unpack

if TYPE_CHECKING:
    import sqlite3

STREAM = "personal"
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

    Erased values are overwritten in the file (SQLite's `secure_delete`); what the medium itself still holds
    of overwritten blocks is beyond it.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = Lock()
        self._connection: sqlite3.Connection | None = None

    def _table(self) -> sqlite3.Connection:
        if self._connection is None:
            import sqlite3

            made = sqlite3.connect(self._path or ":memory:", isolation_level=None, check_same_thread=False)
            made.execute("PRAGMA secure_delete = ON")
            made.execute("PRAGMA journal_mode = WAL")
            made.execute("PRAGMA synchronous = NORMAL")
            made.execute(
                "CREATE TABLE IF NOT EXISTS personal (commitment TEXT PRIMARY KEY, signal TEXT, t_us INTEGER,"
                " salt BLOB, value TEXT)"
            )
            self._connection = made
        return self._connection

    def put(self, data: bytes) -> None:
        """Keep a packed `Opening`.

        Raises:
            OSError: it cannot be written.
        """
        opening = unpack(Opening, data)
        row = (opening.commitment, opening.signal, opening.t_us, opening.salt, opening.value)
        with self._lock:
            self._run("INSERT OR IGNORE INTO personal VALUES (?, ?, ?, ?, ?)", row)

    def find(self, commitment: str) -> Opening | None:
        """Give what a commitment stands for; None where that was erased, or never known."""
        with self._lock:
            rows = self._run(
                "SELECT signal, t_us, salt, value FROM personal WHERE commitment = ?", (commitment,)
            )
        return Opening(*rows[0]) if rows else None

    def erase(self, signal: str | None = None, before_us: int | None = None) -> int:
        """Erase a signal's values (None: all) that were sensed before a time (None: ever); give how many."""
        where = "(? IS NULL OR signal = ?) AND (? IS NULL OR t_us < ?)"
        given = (signal, signal, before_us, before_us)
        with self._lock:
            count = int(self._run(f"SELECT COUNT(*) FROM personal WHERE {where}", given)[0][0])  # noqa: S608 - constant
            self._run(f"DELETE FROM personal WHERE {where}", given)  # noqa: S608 - constant
            self._run("PRAGMA wal_checkpoint(TRUNCATE)", ())  # the log in front of the table holds them, too
        return count

    def _run(self, statement: str, given: tuple[object, ...]) -> list[tuple[str, int, bytes, str]]:
        import sqlite3

        try:
            return self._table().execute(statement, given).fetchall()
        except sqlite3.Error as error:
            raise OSError(f"personal values cannot be kept: {error}") from error

    def close(self) -> None:
        """Let go of the table."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
