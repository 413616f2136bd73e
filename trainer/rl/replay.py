"""A run's rollouts from its own folder: training again without engine, judge or key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import nn

from galen.errors import NotFound
from galen.records import Meta, PromptRow
from judge.schemas import ScoreResult
from server.schemas import TokenCompletion
from trainer.rl import records
from trainer.rl.rollout import Question, Rollout

_META = Meta(
    source="replay",
    risk_level="low",
    specialty="-",
    complexity=1,
    lang_style="-",
    is_deidentified=True,
)
"""Nothing that is trained on depends on it."""


class StoredRollouts:
    """A `RolloutSource` that reads what the run in `folder` drew."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "completions"

    def draw(
        self, policy: nn.Module, batch: int, step: int
    ) -> tuple[list[Rollout], dict[str, Any]]:
        path = records.completions_file(self._folder, batch + 1)
        if not path.is_file():
            raise NotFound(f"{path}: no such file, so the run cannot be replayed from here on")
        rollouts = [
            _rollout(json.loads(line)) for line in path.read_text("utf-8").splitlines() if line
        ]
        judged = [r for r in rollouts if r.is_judged]
        version = rollouts[0].completion.version
        return judged, {**records.summary(rollouts, 0, len(rollouts)), "version": version}


def _rollout(row: dict[str, Any]) -> Rollout:
    completion = TokenCompletion(
        token_ids=row["token_ids"],
        logprobs=row["logprobs"],
        text=row["completion"],
        finish_reason=row["finish_reason"],
        version=row["version"],
    )
    result = ScoreResult(
        id=row["id"],
        status=row["status"],
        reward=row["reward"],
        rules=None,
        teacher=None,
        flags=tuple(row["flags"]),
        provider="replay",
        error=None,
    )
    question = PromptRow(id=row["id"], input=row["prompt"], meta=_META)
    ids = tuple(row["prompt_ids"])
    graded = tuple(row["teacher"]) if row["teacher"] else None
    asked = Question(question, ids)
    return Rollout(row["id"], asked, completion, result, row["group"], row["parts"], graded)
