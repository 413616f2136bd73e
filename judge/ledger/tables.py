"""The judge's tables for SQLAlchemy; the migrations create them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    DateTime,
    Dialect,
    Index,
    MetaData,
    String,
    Text,
    TypeDecorator,
    literal_column,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from judge.schemas import FORGOTTEN


def now() -> datetime:
    return datetime.now(UTC)


class Moment(TypeDecorator[datetime]):
    """A time in UTC. SQLite keeps no time zone; PostgreSQL returns the session's."""

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


NOT_FORGOTTEN = literal_column(f"reply <> '{FORGOTTEN}'", Boolean)
"""A query must say it in these words to use the index of verdicts whose texts are kept."""


class VerdictRow(Base):
    """One verdict of a teacher: never a failure, and never changed but to erase its texts."""

    __tablename__ = "verdicts"
    __table_args__ = (
        Index(
            "ix_verdicts_created_at",
            "created_at",
            sqlite_where=NOT_FORGOTTEN,
            postgresql_where=NOT_FORGOTTEN,
        ),
    )

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    """SHA-256 of everything that can change the verdict (`judge.teacher.question.key_of`)."""
    created_at: Mapped[datetime] = mapped_column(Moment, default=now)
    provider: Mapped[str] = mapped_column(String(200))
    model_asked: Mapped[str] = mapped_column(String(200))
    model_answered: Mapped[str] = mapped_column(String(200))
    fingerprint: Mapped[str | None] = mapped_column(String(200))
    rubric: Mapped[str] = mapped_column(String(200))
    rubric_sha256: Mapped[str] = mapped_column(String(64))
    """The rubric's hash when the teacher was asked."""
    asked_sha256: Mapped[str | None] = mapped_column(String(64))
    """`Rubric.asked_sha256`, None in rows older than the column. Another rubric that asks the same
    may use the verdict."""
    scores: Mapped[dict[str, float]] = mapped_column(JSON)
    evidence: Mapped[dict[str, str]] = mapped_column(JSON, server_default=text("'{}'"))
    """For each dimension the words of the response that support its score."""
    why: Mapped[str] = mapped_column(Text)
    reply: Mapped[str] = mapped_column(Text)
    asks: Mapped[int]
    prompt_tokens: Mapped[int]
    completion_tokens: Mapped[int]
    cache_hit_tokens: Mapped[int]
    cost_usd: Mapped[float]
    latency_s: Mapped[float]


class JudgementRow(Base):
    """The result of one item of a run: the audit, which is only appended to."""

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
    """Key in `verdicts`; None if no teacher was needed. Where the judgement failed, the key may
    have only rejected replies."""
    criteria: Mapped[list[dict[str, Any]] | None] = mapped_column(JSON(none_as_null=True))
    """For each criterion its points, whether it is met, and its key in `verdicts`; None if none was
    graded."""
    sample_sha256: Mapped[str | None] = mapped_column(String(64))
    """Key in `samples`, where the row is missing once its texts are forgotten; None if nothing was
    judged, and in rows older than the column."""
    error: Mapped[str | None] = mapped_column(String(100))


class RunRow(Base):
    """A run's judgements in numbers, kept in the transactions that add them."""

    __tablename__ = "runs"

    run: Mapped[str] = mapped_column(String(200), primary_key=True)
    first_id: Mapped[int] = mapped_column(index=True)
    """Id of its first judgement."""
    first_at: Mapped[datetime] = mapped_column(Moment)
    last_at: Mapped[datetime] = mapped_column(Moment)
    steps: Mapped[int]
    statuses: Mapped[dict[str, int]] = mapped_column(JSON)
    """Judgements by status."""
    rewards: Mapped[dict[str, float]] = mapped_column(JSON)
    """Sums by status, where there are rewards."""
    read: Mapped[int]
    """Judgements whose texts the rules read."""
    flagged: Mapped[int]
    forgotten_at: Mapped[datetime | None] = mapped_column(Moment)
    """Since then the run has no claim to the texts that it judged before."""
    rubrics: Mapped[list[str]] = mapped_column(JSON)
    providers: Mapped[list[str]] = mapped_column(JSON)


class SampleRow(Base):
    """The texts that were judged for runs; each combination is stored once."""

    __tablename__ = "samples"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    """Hash of the texts (`judge.ledger.judgement_rows.sample_sha256`)."""
    prompt: Mapped[str] = mapped_column(Text)
    response: Mapped[str] = mapped_column(Text)
    reference: Mapped[str | None] = mapped_column(Text)
    seen_at: Mapped[datetime | None] = mapped_column(Moment, index=True)
    """When they were last judged for a run."""
    earlier: Mapped[list[list[str]]] = mapped_column(JSON, server_default=text("'[]'"))
    """The turns of the conversation before `prompt`, each as [role, text]."""
    criteria: Mapped[list[str]] = mapped_column(JSON, server_default=text("'[]'"))
    """The texts of the criteria, in the order of `JudgementRow.criteria`."""


class LeaseRow(Base):
    """A key that one judge is asking a teacher about."""

    __tablename__ = "leases"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64))
    """The judge process: a random value, new at every start."""
    expires_at: Mapped[float]
    """Seconds since 1970 by the database's clock; the owner extends it."""


class RejectedReplyRow(Base):
    """A reply, unchanged, that was paid for but is not a valid verdict."""

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
    """What a day or a run has spent, with what its open calls may cost (`judge.ledger.budget`)."""

    __tablename__ = "spending"

    scope: Mapped[str] = mapped_column(String(250), primary_key=True)
    """`day:2026-11-21` (UTC) or `run:<name>`."""
    committed_usd: Mapped[float]
    calls: Mapped[int]
    """Upstream calls that money was reserved for."""


class VoteRow(Base):
    """A person's choice between two answers to one prompt."""

    __tablename__ = "votes"
    __table_args__ = (Index("ix_votes_caller_given_id", "caller", "given_id", unique=True),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    created_at: Mapped[datetime] = mapped_column(Moment, default=now)
    caller: Mapped[str] = mapped_column(String(200))
    given_id: Mapped[str | None] = mapped_column(String(200))
    """The caller's own id for the vote, if any; the same id means the same vote."""
    prompt: Mapped[str] = mapped_column(Text)
    response_a: Mapped[str] = mapped_column(Text)
    response_b: Mapped[str] = mapped_column(Text)
    model_a: Mapped[str] = mapped_column(String(200))
    model_b: Mapped[str] = mapped_column(String(200))
    vote: Mapped[str] = mapped_column(String(20))


class QualificationRow(Base):
    """The result of a teacher's examination against labels."""

    __tablename__ = "qualifications"
    __table_args__ = (Index("ix_qualifications_teacher", "teacher_sha256", "asked_sha256"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    created_at: Mapped[datetime] = mapped_column(Moment, default=now)
    rubric: Mapped[str] = mapped_column(String(200))
    asked_sha256: Mapped[str] = mapped_column(String(64))
    """`Rubric.asked_sha256`: another prompt needs another examination."""
    teacher_sha256: Mapped[str] = mapped_column(String(64))
    """Hash of the teacher's identity, which is also part of verdict keys."""
    provider: Mapped[str] = mapped_column(String(200))
    passed: Mapped[bool]
    report: Mapped[dict[str, Any]] = mapped_column(JSON)
