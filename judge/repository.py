"""Queries. Plain functions of an open connection; whoever opened it commits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from judge.models import VerdictRow
from judge.rubric import Rubric
from judge.verdict import Spent, Verdict

_MOST_PARAMETERS = 500


def find_verdicts(connection: Connection, keys: Sequence[str]) -> dict[str, Verdict]:
    """The stored verdicts among `keys`."""
    table = VerdictRow.__table__
    found: dict[str, Verdict] = {}
    for at in range(0, len(keys), _MOST_PARAMETERS):
        query = select(table).where(table.c.key.in_(keys[at : at + _MOST_PARAMETERS]))
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
    """Insert rows; one whose key is there already is left as it was."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(VerdictRow).on_conflict_do_nothing(index_elements=["key"])
    connection.execute(statement, list(rows))


def verdict_row(key: str, rubric: Rubric, verdict: Verdict) -> dict[str, Any]:
    return {
        "key": key,
        "provider": verdict.provider,
        "model_asked": verdict.model_asked,
        "model_answered": verdict.model_answered,
        "fingerprint": verdict.fingerprint,
        "rubric": rubric.name,
        "rubric_sha256": rubric.sha256,
        "asked_sha256": rubric.asked_sha256,
        "scores": verdict.scores,
        "evidence": verdict.evidence,
        "why": verdict.why,
        "reply": verdict.reply,
        "asks": verdict.asks,
        "prompt_tokens": verdict.spent.prompt_tokens,
        "completion_tokens": verdict.spent.completion_tokens,
        "cache_hit_tokens": verdict.spent.cache_hit_tokens,
        "cost_usd": verdict.spent.cost_usd,
        "latency_s": verdict.latency_s,
    }
