"""What is kept of a run's judgements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from judge.schemas import ScoreRequest, ScoreResponse


def judgement_rows(
    request: ScoreRequest, response: ScoreResponse, keys: Sequence[str | None]
) -> list[dict[str, Any]]:
    """Rows of the table `judgements` for one request of a run.

    `keys` are the ledger's, one for each item, None where no teacher was to be asked.
    """
    return [
        {
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
            "verdict_key": key if result.teacher else None,
            "error": result.error.code if result.error else None,
        }
        for result, key in zip(response.items, keys, strict=True)
    ]
