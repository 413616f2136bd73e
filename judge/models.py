"""The judge's tables. The migrations make them; this describes them to SQLAlchemy."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, DateTime, Index, MetaData, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


def now() -> datetime:
    return datetime.now(UTC)


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={"ix": "ix_%(column_0_label)s", "pk": "pk_%(table_name)s"}
    )


class VerdictRow(Base):
    """One verdict that a teacher gave: never changed, never a failure."""

    __tablename__ = "verdicts"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    """SHA-256 of everything that can change the verdict (`judge.ledger.key_of`)."""
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=now)
    provider: Mapped[str] = mapped_column(String(200))
    model_asked: Mapped[str] = mapped_column(String(200))
    model_answered: Mapped[str] = mapped_column(String(200))
    fingerprint: Mapped[str | None] = mapped_column(String(200))
    rubric: Mapped[str] = mapped_column(String(200))
    rubric_sha256: Mapped[str] = mapped_column(String(64))
    """Of the rubric as it was when the teacher was asked."""
    scores: Mapped[dict[str, float]] = mapped_column(JSON)
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
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=now)
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
    """The ledger's row that the reward rests on, if a teacher judged."""
    error: Mapped[str | None] = mapped_column(String(100))
