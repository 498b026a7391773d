"""The index of what is on file: agents, incidents and decisions in a database that can be asked.

It is made from the logs and can be made again from them; the logs are the evidence, this is the catalogue.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ripstop.core.errors import ConfigurationError, WireError, missing_extra
from ripstop.core.journal import RecordKind, read_entry
from ripstop.core.messages import Segment
from ripstop.core.node import Report

from .audit.segments import segment_of

try:
    from sqlalchemy import Engine, ForeignKey, String, create_engine, event, func, select
    from sqlalchemy.dialects.sqlite import insert
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
except ModuleNotFoundError as error:
    raise missing_extra("sqlalchemy", "control") from error


class Table(DeclarativeBase):
    """The tables' base."""


class AgentRow(Table):
    """An enrolled agent: its public key in hexadecimal, and when it was enrolled."""

    __tablename__ = "agents"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    public_key: Mapped[str] = mapped_column(String(64))
    enrolled_us: Mapped[int]


class IncidentRow(Table):
    """An incident: what opened it, the plan, and how it ended."""

    __tablename__ = "incidents"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    opened_us: Mapped[int]
    closed_us: Mapped[int | None]
    model: Mapped[str] = mapped_column(String(32), default="")
    probability: Mapped[float] = mapped_column(default=0.0)
    suspects: Mapped[str] = mapped_column(default="")
    plan: Mapped[str] = mapped_column(default="")
    reason: Mapped[str] = mapped_column(default="")


class DecisionRow(Table):
    """Where a decision stands in its agent's ledger."""

    __tablename__ = "decisions"
    agent: Mapped[str] = mapped_column(ForeignKey("agents.id"), primary_key=True)
    incarnation: Mapped[int] = mapped_column(primary_key=True)
    sequence: Mapped[int] = mapped_column(primary_key=True)
    t_us: Mapped[int] = mapped_column(index=True)
    action: Mapped[str] = mapped_column(String(64), index=True)
    verdict: Mapped[str] = mapped_column(String(16), index=True)
    release: Mapped[str] = mapped_column(String(64))


@dataclass(frozen=True, slots=True)
class _Enrolled:
    agent: str
    public: bytes
    t_us: int


class Records:
    """Collects rows in memory and writes them in batches: `flush` belongs off the event loop."""

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)
        try:
            Table.metadata.create_all(self._engine)
        except SQLAlchemyError as error:
            self._engine.dispose()
            raise ConfigurationError(
                f"the catalogue `{url}` cannot be opened: {str(getattr(error, 'orig', error)).lower()}",
                code="C0243", hint="move it away: it is an index only, the evidence is in the logs",
            ) from error  # fmt: skip
        self._lock = threading.Lock()
        self._waiting: list[_Enrolled | bytes | tuple[Report, int]] = []

    def enrolled(self, agent: str, public: bytes, t_us: int) -> None:
        """Note an agent."""
        self._put(_Enrolled(agent, public, t_us))

    def reported(self, report: Report, t_us: int) -> None:
        """Note what a report tells of an incident."""
        if report.name in ("incident.opened", "incident.adopted", "incident.closed", "mitigation.planned"):
            self._put((report, t_us))

    def segment(self, record: bytes) -> None:
        """Note the decisions of a ledger segment, as the log `segments` keeps it."""
        self._put(record)

    def _put(self, item: _Enrolled | bytes | tuple[Report, int]) -> None:
        with self._lock:
            self._waiting.append(item)

    def flush(self) -> int:
        """Write what was noted; gives the number of items."""
        with self._lock:
            items, self._waiting = self._waiting, []
        if not items:
            return 0
        with Session(self._engine) as session, session.begin():
            for item in items:
                if isinstance(item, _Enrolled):
                    _agent(session, item)
                elif isinstance(item, bytes):
                    rows = list(decision_rows(segment_of(item)[1]))
                    if rows:
                        session.execute(insert(DecisionRow).on_conflict_do_nothing(), rows)
                else:
                    _incident(session, *item)
        return len(items)

    def incidents(self) -> Sequence[IncidentRow]:
        """Give the incidents, the latest first."""
        with Session(self._engine) as session:
            return session.scalars(select(IncidentRow).order_by(IncidentRow.opened_us.desc())).all()

    def decisions(self, *, verdict: str = "", limit: int = 100) -> Sequence[DecisionRow]:
        """Give the latest decisions, of one verdict if named."""
        question = select(DecisionRow).order_by(DecisionRow.t_us.desc()).limit(limit)
        if verdict:
            question = question.where(DecisionRow.verdict == verdict)
        with Session(self._engine) as session:
            return session.scalars(question).all()

    def counts(self) -> dict[str, int]:
        """Count what is in each table."""
        tables = {"agents": AgentRow, "incidents": IncidentRow, "decisions": DecisionRow}
        with Session(self._engine) as session:
            return {
                name: session.scalar(select(func.count()).select_from(table)) or 0
                for name, table in tables.items()
            }

    def close(self) -> None:
        """Write what is left and let go of the database."""
        self.flush()
        self._engine.dispose()


def _engine(url: str) -> Engine:
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def wal(connection: object, _: object) -> None:
            cursor = connection.cursor()  # type: ignore[attr-defined]  # a DB-API connection
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.close()

    return engine


def decision_rows(segment: Segment) -> Iterator[dict[str, str | int]]:
    """Give the rows of a segment's decisions; a record that cannot be read is left to the verifier."""
    for sequence, record in enumerate(segment.records, segment.first):
        try:
            entry = read_entry(record)
        except WireError:
            continue
        if entry.kind is RecordKind.DECISION:
            yield {
                "agent": segment.agent,
                "incarnation": segment.incarnation,
                "sequence": sequence,
                "t_us": entry.t_us,
                "action": str(entry.body.get("action", ""))[:64],
                "verdict": str(entry.body.get("verdict", ""))[:16],
                "release": str(entry.body.get("release", ""))[:64],
            }


def _agent(session: Session, enrolled: _Enrolled) -> None:
    """Note an agent; one that is known under the same key stays enrolled since then."""
    public = enrolled.public.hex()
    row = session.get(AgentRow, enrolled.agent)
    if row is None or row.public_key != public:
        session.merge(AgentRow(id=enrolled.agent, public_key=public, enrolled_us=enrolled.t_us))


def _incident(session: Session, report: Report, t_us: int) -> None:
    fields = report.fields
    name = str(fields.get("incident", ""))
    row = session.get(IncidentRow, name)
    if row is None:
        row = IncidentRow(id=name, opened_us=t_us)
        session.add(row)
    match report.name:
        case "incident.opened":
            row.model, row.suspects = str(fields.get("model", "")), str(fields.get("agent", ""))
            probability = fields.get("probability")
            row.probability = float(probability) if isinstance(probability, int | float) else 0.0
        case "mitigation.planned":
            row.plan = str(fields.get("plan", ""))
        case "incident.closed":
            row.closed_us, row.reason = t_us, str(fields.get("reason", ""))
