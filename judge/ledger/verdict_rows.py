"""Queries of the ledger, on an open connection; the caller commits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from galen.records import storable
from judge.ledger.tables import RejectedReplyRow, VerdictRow
from judge.rubrics.rubric import Rubric
from judge.teacher.verdict import RejectedReply, Spent, Verdict

_MOST_PARAMETERS = 500
_SHORT = 200
"""Length in characters of the columns for names; an endpoint may answer with longer ones."""

T = TypeVar("T")


def chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """`values` in pieces small enough for the parameters of one statement."""
    for at in range(0, len(values), _MOST_PARAMETERS):
        yield values[at : at + _MOST_PARAMETERS]


def insert_for(connection: Connection) -> Callable[..., Any]:
    """The dialect's own `insert`, which has `on_conflict_do_…`."""
    return postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert


def find_verdicts(connection: Connection, keys: Sequence[str]) -> dict[str, Verdict]:
    """The stored verdicts among `keys`."""
    table = VerdictRow.__table__
    found: dict[str, Verdict] = {}
    for chunk in chunks(keys):
        query = select(table).where(table.c.key.in_(chunk))
        for row in connection.execute(query).mappings():
            found[row["key"]] = Verdict(
                scores=row["scores"],
                evidence=row["evidence"],
                why=row["why"],
                reply=row["reply"],
                provider=row["provider"],
                model_asked=row["model_asked"],
                model_answered=row["model_answered"],
                fingerprint=row["fingerprint"],
                spent=Spent(
                    row["prompt_tokens"],
                    row["completion_tokens"],
                    row["cache_hit_tokens"],
                    row["cost_usd"],
                ),
                latency_s=row["latency_s"],
                asks=row["asks"],
            )
    return found


def add_verdicts(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows; a row whose key exists is left unchanged."""
    if rows:
        ignoring = insert_for(connection)(VerdictRow).on_conflict_do_nothing(index_elements=["key"])
        connection.execute(ignoring, list(rows))


def add_rejected(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        connection.execute(insert(RejectedReplyRow), list(rows))


def rejected_rows(
    key: str, provider: str, model_asked: str, replies: Sequence[RejectedReply]
) -> list[dict[str, Any]]:
    return [
        {
            "key": key,
            "provider": provider[:_SHORT],
            "model_asked": model_asked[:_SHORT],
            "reason": storable(one.reason),
            "reply": storable(one.reply),
            "cost_usd": one.cost_usd,
        }
        for one in replies
    ]


def verdict_row(key: str, rubric: Rubric, verdict: Verdict) -> dict[str, Any]:
    return {
        "key": key,
        "provider": verdict.provider[:_SHORT],
        "model_asked": verdict.model_asked[:_SHORT],
        "model_answered": storable(verdict.model_answered)[:_SHORT],
        "fingerprint": storable(verdict.fingerprint)[:_SHORT] if verdict.fingerprint else None,
        "rubric": rubric.name,
        "rubric_sha256": rubric.sha256,
        "asked_sha256": rubric.asked_sha256,
        "scores": verdict.scores,
        "evidence": verdict.evidence,
        "why": storable(verdict.why),
        "reply": storable(verdict.reply),
        "asks": verdict.asks,
        "prompt_tokens": verdict.spent.prompt_tokens,
        "completion_tokens": verdict.spent.completion_tokens,
        "cache_hit_tokens": verdict.spent.cache_hit_tokens,
        "cost_usd": verdict.spent.cost_usd,
        "latency_s": verdict.latency_s,
    }
