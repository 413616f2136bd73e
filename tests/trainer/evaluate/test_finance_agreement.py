"""The finance suite's scores beside official verdicts, on data that is not part of this project."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from judge.client import JudgeClient
from trainer.data.example import Message
from trainer.evaluate import scoring
from trainer.evaluate import suite as suites
from trainer.evaluate.asker import Written
from trainer.evaluate.items import Item
from trainer.evaluate.scoring import Answer

GRADED = Path(__file__).parents[4] / "shared/data/finance_r1_graded.json"
ENOUGH = 0.99


def answers() -> tuple[list[Answer], list[float]]:
    """A model's whole outputs, and whether each was officially right."""
    rows = json.loads(GRADED.read_text("utf-8"))
    found = [
        Answer(
            Item(
                turns=(Message("user", row["question"]),),
                id=row["question_id"],
                messages=(Message("user", row["question"]),),
                question=row["question"],
                category="calculation",
                reference=str(row["ground_truth"]),
            ),
            0,
            Written(row["output"], "stop", row["completion_tokens"], 32_768, "r1", 0.0),
        )
        for row in rows
    ]
    return found, [float(row["result"]["acc"]) for row in rows]


async def test_right_answers_are_those_that_are_officially_right(judge: str) -> None:
    """On whole outputs of a reasoning model at least 99 % of the verdicts are the same."""
    if not GRADED.is_file():
        pytest.skip("the official verdicts are not on this machine")
    given, official = answers()
    suite = suites.load("finance")
    async with JudgeClient(judge) as client:
        scores = await scoring.by_judge(suite, given, client, run="agreement")
    ours = [values["accuracy"] for values in scores.values]
    alike = sum(one == other for one, other in zip(ours, official, strict=True))
    print(f"{alike} of {len(official)} verdicts are the same")
    assert alike >= ENOUGH * len(official)
