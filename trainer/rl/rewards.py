"""Rewards from the judge. A failed judgement has none: it is never a score."""

from __future__ import annotations

from dataclasses import dataclass

from galen.errors import (
    DeadlineExceeded,
    Overloaded,
    RecipeError,
    TrainingStopped,
    Unavailable,
)
from galen.records import PromptRow, storable
from judge.client import JudgeClient
from judge.schemas import ItemError, ScoreItem, ScoreRequest, ScoreResult

_TO_DO = {
    "budget_exceeded": "raise the cap in the judge's settings and restart it, or wait for the next "
    "day if it is the day's",
    "out_of_credit": "top the teacher's account up and restart the judge",
    "teacher_refused": "mend the teacher's key or model and restart the judge",
}
"""What helps against the failures that would fail everything after them, too."""


@dataclass(frozen=True, slots=True)
class JudgeRewards:
    """Scores single completions under one rubric, in the name of one run."""

    client: JudgeClient
    rubric: str
    run: str
    allow_mock: bool

    async def score(self, row: PromptRow, item_id: str, response: str, step: int) -> ScoreResult:
        """The judge's result for one completion; a judge out of reach gives a `failed` one.

        Raises `TrainingStopped` where the judge says that it will judge nothing more for now.
        """
        item = ScoreItem(
            id=item_id, prompt=row.input, response=storable(response), risk=row.meta.risk_level
        )
        # Required, since a reward by the rules alone is on another scale than one with a teacher.
        request = ScoreRequest(
            rubric=self.rubric, items=(item,), teacher="required", run=self.run, step=step
        )
        try:
            (result,) = (await self.client.score(request)).items
        except (Unavailable, Overloaded, DeadlineExceeded) as error:
            return failed(item_id, error.code, error.message)
        if result.provider == "mock" and not self.allow_mock:
            raise RecipeError(
                "the judge has no teacher and answers with its mock: set DEEPSEEK_API_KEY for the "
                "judge, or `services: {allow_mock: true}` in the recipe of a rehearsal"
            )
        _stop_if_over(result)
        return result


def _stop_if_over(result: ScoreResult) -> None:
    if result.error is not None and (to_do := _TO_DO.get(result.error.code)):
        raise TrainingStopped(
            f"the judge stopped judging ({result.error.code}: {result.error.message}); {to_do}, "
            "then run the same command again: it goes on from here"
        )


def failed(item_id: str, code: str, message: str) -> ScoreResult:
    """A judgement that did not come about and may be asked for again."""
    error = ItemError(code=code, message=message, retryable=True)
    return ScoreResult(
        id=item_id,
        status="failed",
        reward=None,
        rules=None,
        teacher=None,
        provider="none",
        error=error,
    )
