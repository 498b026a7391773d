"""Makes a run's catalogue again from its logs: agents, incidents and decisions in `records.db`.

The new one is made beside the old and put in its place when it is whole, so that a rebuilding that is broken
off changes nothing. What of the logs is not sound is left out, and said.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from ripstop.core.errors import ConfigurationError, WireError
from ripstop.core.files import sync_path
from ripstop.core.node import Report, Scalar
from ripstop.core.wire.cbor import decode
from ripstop.links.holding import hold

from ..records import Records
from .files import read_through
from .segments import segment_of
from .trust import Trust
from .verify import audit_folder

CATALOGUE = "records.db"
_SERVER = "nats"
_BATCH = 500
_BESIDE = ("-wal", "-shm", "-journal")  # what SQLite keeps beside a database, SQLite's "Temporary Files"


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A catalogue made again: where it is, how much is in each table, and what was left out of it."""

    path: Path
    counts: dict[str, int]
    findings: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """Give everything as plain JSON values."""
        return {"catalogue": str(self.path), "counts": self.counts, "findings": list(self.findings)}


def rebuild_catalogue(
    run: Path, *, progress: Callable[[float], None] | None = None, is_dry: bool = False
) -> Rebuilt:
    """Make a run's catalogue again.

    Args:
        run: the data folder of `ripstop up`, or a run of the lab.
        progress: told the share of the logs that is read, 0 to 1.
        is_dry: whether the old catalogue is left in its place.

    Raises:
        ConfigurationError: C0223, C0224: nothing to read; C0244: it cannot be written; C0502: a control plane
            is at work there.
        AuditError: C0221: a log cannot be read.
    """
    folder = audit_folder(run)
    home = folder.parent if folder.name == "audit" else folder
    path, made = home / CATALOGUE, home / f"{CATALOGUE}.new"
    with contextlib.ExitStack() as stack:
        if (home / _SERVER).is_dir():
            stack.enter_context(hold(home / _SERVER))
        try:
            _remove(made)
            stack.callback(_remove, made)
            rebuilt = _Rebuilding(folder, made, progress or (lambda _: None)).result(path)
            if not is_dry:
                _put_in_place(made, path)
        except (OSError, SQLAlchemyError) as error:
            reason = getattr(error, "strerror", None) or str(getattr(error, "orig", error))
            raise ConfigurationError(
                f"catalogue `{path}` cannot be written: {reason.lower()}", code="C0244"
            ) from error
    return rebuilt


def _remove(path: Path) -> None:
    for name in ("", *_BESIDE):
        path.with_name(path.name + name).unlink(missing_ok=True)


def _put_in_place(made: Path, path: Path) -> None:
    sync_path(made)
    for name in _BESIDE:  # an old write-ahead log would be read into the new database
        path.with_name(path.name + name).unlink(missing_ok=True)
    made.replace(path)
    sync_path(path.parent)


class _Rebuilding:
    """One pass over the logs of incidents and segments, into a new database."""

    def __init__(self, folder: Path, made: Path, progress: Callable[[float], None]) -> None:
        self._folder = folder
        self._made = made
        self._progress = progress
        self._findings: list[str] = []
        self._enrolled_us: dict[str, int] = {}
        self._begun_us = 0
        sizes = [folder / f"{stream}.log" for stream in ("incidents", "segments")]
        self._size = sum(path.stat().st_size for path in sizes if path.exists()) or 1
        self._read = self._waiting = 0

    def result(self, path: Path) -> Rebuilt:
        trust = Trust.load(self._folder)
        with self._catalogue() as records:
            self._take("incidents", lambda record: self._incident(records, record), records)
            for agent, public in sorted(trust.agents.items()):
                records.enrolled(agent, public, self._enrolled_us.get(agent, self._begun_us))
            records.flush()
            self._take("segments", lambda record: self._segment(records, record), records)
            records.flush()
            counts = records.counts()
        self._progress(1.0)
        return Rebuilt(path, counts, tuple(self._findings))

    @contextlib.contextmanager
    def _catalogue(self) -> Iterator[Records]:
        records = Records(f"sqlite:///{self._made}")
        try:
            yield records
        finally:
            records.close()

    def _take(self, stream: str, take: Callable[[bytes], None], records: Records) -> None:
        number = 0

        def one(record: bytes) -> None:
            nonlocal number
            number += 1
            self._read += len(record)
            try:
                take(record)
            except WireError as error:
                self._findings.append(f"{stream}.log:{number}: {error.code}: {error.message}")
            self._waiting += 1
            if self._waiting >= _BATCH:
                self._waiting = 0
                records.flush()
                self._progress(min(1.0, self._read / self._size))

        damage = read_through(self._folder, stream, one)
        if damage is not None:
            self._findings.append(f"{stream}.log: {damage}")

    def _incident(self, records: Records, record: bytes) -> None:
        report, t_us = _report(record)
        self._begun_us = self._begun_us or t_us
        if report.name == "agent.enrolled":
            self._enrolled_us[str(report.fields.get("agent", ""))] = t_us
        records.reported(report, t_us)

    def _segment(self, records: Records, record: bytes) -> None:
        segment_of(record)
        records.segment(record)


def _report(record: bytes) -> tuple[Report, int]:
    match decode(record):
        case [1, str() as name, int() as t_us, dict() as told]:
            fields: dict[str, Scalar] = {}
            for key, value in told.items():
                if not isinstance(key, str) or not isinstance(value, str | int | float | bool | None):
                    break
                fields[key] = value
            else:
                return Report(name, fields), t_us
    raise WireError("not a report on file", code="W0404")
