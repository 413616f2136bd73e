"""Erases texts of people, and what verdicts quote from them. Verdicts, rewards and hashes stay, so
that a verdict that was paid for still answers.

A text that another run judged too stays. A text in `samples` is as old as its latest judgement;
quotations, replies and votes are as old as their rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Executable,
    bindparam,
    delete,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.orm import Mapped

from judge.ledger.tables import (
    NOT_FORGOTTEN,
    JudgementRow,
    RejectedReplyRow,
    RunRow,
    SampleRow,
    VerdictRow,
    VoteRow,
)
from judge.ledger.verdict_rows import chunks
from judge.schemas import FORGOTTEN

Piece = Callable[[Connection], Any]
"""A part of the erasure, for a transaction of its own: the judge writes between two of them."""


@dataclass(frozen=True, slots=True)
class Texts:
    """Keys of rows that hold texts."""

    samples: Sequence[str] = ()
    verdicts: Sequence[str] = ()
    replies: Sequence[int] = ()
    votes: Sequence[int] = ()
    shared: int = 0
    """Texts of the run that stay, because another run judged them too."""

    def counts(self) -> dict[str, int]:
        """What there is to erase, by kind."""
        kinds = ("samples", "verdicts", "replies", "votes")
        return {kind: len(getattr(self, kind)) for kind in kinds}

    def __bool__(self) -> bool:
        return any(self.counts().values())


def of_run(connection: Connection, run: str) -> Texts:
    """The texts that `run` alone judged, and what verdicts on them quote."""
    own, sample = JudgementRow.run == run, JudgementRow.sample_sha256
    mine = select(sample).where(own)
    claims = or_(RunRow.forgotten_at.is_(None), RunRow.forgotten_at < JudgementRow.created_at)
    elsewhere = (
        select(sample)
        .join(RunRow, RunRow.run == JudgementRow.run)
        .where(JudgementRow.run != run, sample.in_(mine), claims)
    )
    shared = set(connection.scalars(elsewhere))
    samples = set(connection.scalars(select(SampleRow.sha256).where(SampleRow.sha256.in_(mine))))
    pairs = select(sample, JudgementRow.verdict_key).where(own).distinct()
    keys = {key for sha256, key in connection.execute(pairs) if key and sha256 not in shared}
    graded = select(sample, JudgementRow.criteria).where(own, JudgementRow.criteria.is_not(None))
    for sha256, criteria in connection.execute(graded):
        keys |= {one["verdict_key"] for one in criteria if sha256 not in shared}

    def kept(column: Mapped[Any], key: Mapped[str]) -> list[Any]:
        return [
            value
            for some in chunks(sorted(keys))
            for value in connection.scalars(select(column).where(key.in_(some), NOT_FORGOTTEN))
        ]

    return Texts(
        samples=sorted(samples - shared),
        verdicts=kept(VerdictRow.key, VerdictRow.key),
        replies=kept(RejectedReplyRow.id, RejectedReplyRow.key),
        shared=len(samples & shared),
    )


def give_up(connection: Connection, run: str, at: datetime) -> None:
    """From now on `run` has no claim to what it judged before `at`."""
    connection.execute(update(RunRow).where(RunRow.run == run).values(forgotten_at=at))


def of_before(connection: Connection, moment: datetime) -> Texts:
    """All texts that are older than `moment`."""

    def old(key: Mapped[Any], at: Mapped[Any], *also: ColumnElement[bool]) -> Sequence[Any]:
        return connection.scalars(select(key).where(at < moment, *also)).all()

    return Texts(
        samples=old(SampleRow.sha256, SampleRow.seen_at),
        verdicts=old(VerdictRow.key, VerdictRow.created_at, NOT_FORGOTTEN),
        replies=old(RejectedReplyRow.id, RejectedReplyRow.created_at, NOT_FORGOTTEN),
        votes=old(VoteRow.id, VoteRow.created_at, VoteRow.prompt != FORGOTTEN),
    )


def pieces(texts: Texts, before: datetime) -> Iterator[Piece]:
    """The erasure of `texts`; a sample that was judged again since `before` stays."""
    for keys in chunks(texts.samples):
        is_old = SampleRow.sha256.in_(keys) & (SampleRow.seen_at < before)
        yield partial(_execute, delete(SampleRow).where(is_old))
    for keys in chunks(texts.verdicts):
        yield partial(_blank_verdicts, keys=keys)
    for numbers in chunks(texts.replies):
        blank = update(RejectedReplyRow).where(RejectedReplyRow.id.in_(numbers))
        yield partial(_execute, blank.values(reply=FORGOTTEN, reason=FORGOTTEN))
    for numbers in chunks(texts.votes):
        gone = dict.fromkeys(("prompt", "response_a", "response_b"), FORGOTTEN)
        yield partial(_execute, update(VoteRow).where(VoteRow.id.in_(numbers)).values(gone))


def scrub(engine: Engine) -> None:
    """Take what was erased out of the files.

    SQLite has overwritten it (`secure_delete`), except in the write-ahead log, which is emptied
    here. PostgreSQL keeps old rows in its files until a table is written anew.
    """
    if engine.name == "sqlite":
        with closing(engine.raw_connection()) as raw:
            raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table in (SampleRow, VerdictRow, RejectedReplyRow, VoteRow):
            connection.execute(text(f"VACUUM (FULL) {table.__tablename__}"))


def _blank_verdicts(connection: Connection, keys: Sequence[str]) -> None:
    """The names in `evidence` stay: a danger counts as seen where it has an entry."""
    quoted = select(VerdictRow.key, VerdictRow.evidence).where(VerdictRow.key.in_(keys))
    rows = [
        {"this": key, "blank": {name: quote and FORGOTTEN for name, quote in evidence.items()}}
        for key, evidence in connection.execute(quoted)
    ]
    blank = update(VerdictRow).where(VerdictRow.key == bindparam("this"))
    blank = blank.values(evidence=bindparam("blank"), why=FORGOTTEN, reply=FORGOTTEN)
    connection.execute(blank, rows)


def _execute(statement: Executable, connection: Connection) -> None:
    connection.execute(statement)
