"""Runs for the audit's tests, written as the judge writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from judge.ledger import database, judgement_rows
from judge.ledger.database import WRITES
from judge.schemas import (
    ItemError,
    RuleHit,
    RuleVerdict,
    ScoreItem,
    ScoreRequest,
    ScoreResponse,
    ScoreResult,
    Usage,
)


def told(
    item: str,
    reward: float | None,
    *,
    hits: Sequence[str] = (),
    flags: Sequence[str] = (),
    read: bool = True,
) -> ScoreResult:
    """What an item was told: a failure if its reward is None, else the rules' judgement; one that
    the rules did not even read is too long."""
    verdict = RuleVerdict(total=0.0, hits=tuple(RuleHit(rule=h, effect=0, span=None) for h in hits))
    error = ItemError(code="timeout", message="no verdict", retryable=True)
    return ScoreResult(
        id=item,
        status="ok" if reward is not None else "failed",
        reward=reward,
        rules=verdict if read else None,
        teacher=None,
        flags=tuple(flags),
        provider="rules",
        error=error if reward is None else None,
    )


def tell(
    url: str,
    run: str,
    results: Sequence[ScoreResult],
    *,
    step: int | None = 0,
    keys: Sequence[str | None] | None = None,
    **item: Any,
) -> None:
    """Write a batch of `run`: one item for each result, with a text of its own."""
    items = tuple(
        ScoreItem(**{"id": r.id, "prompt": "问题", "response": f"回答{r.id}", **item})
        for r in results
    )
    request = ScoreRequest(rubric="medical", items=items, run=run, step=step)
    response = ScoreResponse(
        rubric="medical", rubric_sha256="0" * 64, items=tuple(results), usage=Usage()
    )
    engine = database.connect(url)
    with engine.connect().execution_options(**WRITES) as connection, connection.begin():
        judgement_rows.keep(connection, request, response, keys or [None] * len(results))
    engine.dispose()
