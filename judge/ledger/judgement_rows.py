"""Stores a run's judgements: each combination of texts once, and every result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, insert

from galen import digest
from judge.ledger import run_totals
from judge.ledger.tables import JudgementRow, SampleRow, now
from judge.ledger.verdict_rows import insert_for
from judge.schemas import ScoreItem, ScoreRequest, ScoreResponse, ScoreResult


def sample_sha256(item: ScoreItem, criteria: Sequence[str] = ()) -> str:
    """SHA-256 of an item's texts; `criteria` are those that it was graded by."""
    texts = [item.question, item.response, item.reference]
    further = [item.earlier, criteria]
    return digest.of_json([*texts, *further] if any(further) else texts)


def keep(
    connection: Connection,
    request: ScoreRequest,
    response: ScoreResponse,
    keys: Sequence[str | None],
) -> None:
    """Write one request of a run into `samples`, `judgements` and `runs`.

    `keys` has each item's key in the ledger, None where no teacher was needed. An item that was not
    judged (a too long one) has a judgement but no sample.
    """
    assert request.run is not None
    samples: dict[str, dict[str, Any]] = {}
    judgements = []
    at = now()
    for item, result, key in zip(request.items, response.items, keys, strict=True):
        sha256 = None
        if result.rules is not None:
            graded = [one.text for one in result.criteria.verdicts] if result.criteria else []
            sha256 = sample_sha256(item, graded)
            samples[sha256] = {
                "sha256": sha256,
                "seen_at": at,
                "prompt": item.question,
                "response": item.response,
                "reference": item.reference,
                "earlier": item.earlier,
                "criteria": graded,
            }
        judgements.append(
            {
                "created_at": at,
                "run": request.run,
                "step": request.step,
                "item": result.id,
                "rubric": response.rubric,
                "rubric_sha256": response.rubric_sha256,
                "provider": result.provider,
                "status": result.status,
                "reward": result.reward,
                "rules_total": result.rules.total if result.rules else None,
                "hits": [hit.model_dump(mode="json") for hit in result.rules.hits]
                if result.rules
                else [],
                "flags": list(result.flags),
                "verdict_key": key,
                "criteria": _graded(result),
                "sample_sha256": sha256,
                "error": result.error.code if result.error else None,
            }
        )
    _add_samples(connection, [samples[sha256] for sha256 in sorted(samples)])
    is_new = request.step is not None and not run_totals.has_step(
        connection, request.run, request.step
    )
    connection.execute(insert(JudgementRow), judgements)
    run_totals.add(connection, request.run, at, judgements, new_steps=int(is_new))


def _graded(result: ScoreResult) -> list[dict[str, Any]] | None:
    if result.criteria is None:
        return None
    return [
        one.model_dump(include={"points", "met", "verdict_key"}) for one in result.criteria.verdicts
    ]


def _add_samples(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """`rows` must be sorted by key, else two judges that write the same rows could deadlock."""
    if not rows:
        return
    statement = insert_for(connection)(SampleRow)
    seen = {"seen_at": statement.excluded.seen_at}
    statement = statement.on_conflict_do_update(index_elements=["sha256"], set_=seen)
    connection.execute(statement, list(rows))
