"""The judge's tables. The migrations make them; this describes them to SQLAlchemy."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, DateTime, Dialect, Index, MetaData, String, Text, TypeDecorator, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


def now() -> datetime:
    return datetime.now(UTC)


class Moment(TypeDecorator[datetime]):
    """A time in UTC. SQLite keeps no zone, PostgreSQL gives back the session's."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={"ix": "ix_%(column_0_label)s", "pk": "pk_%(table_name)s"}
    )


class VerdictRow(Base):
    """One verdict that a teacher gave: never changed, never a failure."""

    __tablename__ = "verdicts"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    """SHA-256 of everything that can change the verdict (`judge.question.key_of`)."""
    created_at: Mapped[datetime] = mapped_column(Moment, default=now)
    provider: Mapped[str] = mapped_column(String(200))
    model_asked: Mapped[str] = mapped_column(String(200))
    model_answered: Mapped[str] = mapped_column(String(200))
    fingerprint: Mapped[str | None] = mapped_column(String(200))
    rubric: Mapped[str] = mapped_column(String(200))
    rubric_sha256: Mapped[str] = mapped_column(String(64))
    """Of the rubric as it was when the teacher was asked."""
    asked_sha256: Mapped[str | None] = mapped_column(String(64))
    """Of what the teacher was asked (`Rubric.asked_sha256`); None in rows from before it was kept.
    Another rubric that asks the same may use the verdict."""
    scores: Mapped[dict[str, float]] = mapped_column(JSON)
    evidence: Mapped[dict[str, str]] = mapped_column(JSON, server_default=text("'{}'"))
    """The words of the answer that each dimension's score rests on."""
    why: Mapped[str] = mapped_column(Text)
    reply: Mapped[str] = mapped_column(Text)
    asks: Mapped[int]
    prompt_tokens: Mapped[int]
    completion_tokens: Mapped[int]
    cache_hit_tokens: Mapped[int]
    cost_usd: Mapped[float]
    latency_s: Mapped[float]


class JudgementRow(Base):
    """What a run was told of one of its items: the audit, appended to and never changed."""

    __tablename__ = "judgements"
    __table_args__ = (Index("ix_judgements_run_step", "run", "step"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    created_at: Mapped[datetime] = mapped_column(Moment, default=now)
    run: Mapped[str] = mapped_column(String(200))
    step: Mapped[int | None]
    item: Mapped[str] = mapped_column(String(200))
    rubric: Mapped[str] = mapped_column(String(200))
    rubric_sha256: Mapped[str] = mapped_column(String(64))
    provider: Mapped[str] = mapped_column(String(200))
    status: Mapped[str] = mapped_column(String(20))
    reward: Mapped[float | None]
    rules_total: Mapped[float | None]
    hits: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    flags: Mapped[list[str]] = mapped_column(JSON)
    verdict_key: Mapped[str | None] = mapped_column(String(64))
    """What a teacher was to be asked, by the ledger's key; None if none was. The reward of an `ok`
    judgement rests on that row; one that failed may have rejected replies under it."""
    sample_sha256: Mapped[str | None] = mapped_column(String(64))
    """Of what was judged; None where nothing was, and in rows from before samples were kept."""
    error: Mapped[str | None] = mapped_column(String(100))


class SampleRow(Base):
    """What was judged for a run, once however often it was judged."""

    __tablename__ = "samples"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    """Of the three texts (`judge.audit.sample_sha256`)."""
    prompt: Mapped[str] = mapped_column(Text)
    response: Mapped[str] = mapped_column(Text)
    reference: Mapped[str | None] = mapped_column(Text)


class LeaseRow(Base):
    """A key that one of several judges is asking a teacher about right now."""

    __tablename__ = "leases"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64))
    """Drawn anew at every start of a judge."""
    expires_at: Mapped[float]
    """Seconds since 1970 by the database's clock; the owner pushes it on while it lives."""


class RejectedReplyRow(Base):
    """A reply that was paid for and was no verdict, as it came."""

    __tablename__ = "rejected_replies"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    created_at: Mapped[datetime] = mapped_column(Moment, default=now)
    key: Mapped[str] = mapped_column(String(64), index=True)
    provider: Mapped[str] = mapped_column(String(200))
    model_asked: Mapped[str] = mapped_column(String(200))
    reason: Mapped[str] = mapped_column(Text)
    reply: Mapped[str] = mapped_column(Text)
    cost_usd: Mapped[float]


class SpendingRow(Base):
    """What one day or one run has spent, with what its open calls may still cost.

    Reserving adds the most that a call can cost, settling takes back what it did not. A judge that
    dies between the two leaves the whole reservation counted: the call may have been billed.
    """

    __tablename__ = "spending"

    scope: Mapped[str] = mapped_column(String(250), primary_key=True)
    """`day:2026-11-21` (UTC) or `run:<name>`."""
    committed_usd: Mapped[float]
    calls: Mapped[int]
    """Upstream calls that were reserved for."""


class VoteRow(Base):
    """A person's choice between two answers to one prompt."""

    __tablename__ = "votes"
    __table_args__ = (Index("ix_votes_caller_given_id", "caller", "given_id", unique=True),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    created_at: Mapped[datetime] = mapped_column(Moment, default=now)
    caller: Mapped[str] = mapped_column(String(200))
    given_id: Mapped[str | None] = mapped_column(String(200))
    """The caller's own id for the vote, if it gave one: the same id is the same vote."""
    prompt: Mapped[str] = mapped_column(Text)
    response_a: Mapped[str] = mapped_column(Text)
    response_b: Mapped[str] = mapped_column(Text)
    model_a: Mapped[str] = mapped_column(String(200))
    model_b: Mapped[str] = mapped_column(String(200))
    vote: Mapped[str] = mapped_column(String(20))


class QualificationRow(Base):
    """How a teacher did against labels before it was trusted with a run."""

    __tablename__ = "qualifications"
    __table_args__ = (Index("ix_qualifications_teacher", "teacher_sha256", "asked_sha256"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    created_at: Mapped[datetime] = mapped_column(Moment, default=now)
    rubric: Mapped[str] = mapped_column(String(200))
    asked_sha256: Mapped[str] = mapped_column(String(64))
    """Of what the teacher is asked under that rubric: another prompt is another examination."""
    teacher_sha256: Mapped[str] = mapped_column(String(64))
    """Of the teacher's identity, as it enters verdicts' keys."""
    provider: Mapped[str] = mapped_column(String(200))
    passed: Mapped[bool]
    report: Mapped[dict[str, Any]] = mapped_column(JSON)
