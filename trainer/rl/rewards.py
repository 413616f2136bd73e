"""Rewards from the judge. A failed judgement has no reward."""

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
    "day if it is the day's cap",
    "out_of_credit": "top up the teacher's account and restart the judge",
    "teacher_refused": "correct the teacher's key or model and restart the judge",
}
"""Failures that every later judgement would meet, too, and their remedies."""


@dataclass(frozen=True, slots=True)
class JudgeRewards:
    """Scores single completions of one run under one rubric."""

    client: JudgeClient
    rubric: str
    run: str
    allow_mock: bool

    async def score(self, row: PromptRow, item_id: str, response: str, step: int) -> ScoreResult:
        """The judge's result for one completion, `failed` if the judge cannot be reached.

        Raises `TrainingStopped` after a failure that needs an operator, `RecipeError` for a mock
        teacher that the recipe does not allow.
        """
        item = ScoreItem(
            id=item_id,
            prompt=as_asked(row),
            response=storable(response),
            risk=row.meta.risk_level,
        )
        # A teacher is required: a reward by the rules alone is on another scale.
        request = ScoreRequest(
            rubric=self.rubric, items=(item,), teacher="required", run=self.run, step=step
        )
        try:
            (result,) = (await self.client.score(request)).items
        except (Unavailable, Overloaded, DeadlineExceeded) as error:
            return failed(item_id, error.code, error.message)
        if result.provider == "mock" and not self.allow_mock:
            raise RecipeError(
                "the judge has no teacher and uses its mock: set DEEPSEEK_API_KEY for the judge, "
                "or `services: {allow_mock: true}` in the recipe of a rehearsal"
            )
        _stop_if_over(result)
        return result


def as_asked(row: PromptRow) -> str:
    """What the judge reads as the question: with the turns before it, if there were any."""
    earlier = [f"User: {asked}\nAssistant: {answered}" for asked, answered in row.history]
    return "\n".join([*earlier, f"User: {row.input}"]) if earlier else row.input


def _stop_if_over(result: ScoreResult) -> None:
    if result.error is not None and (to_do := _TO_DO.get(result.error.code)):
        raise TrainingStopped(
            f"the judge stopped judging ({result.error.code}: {result.error.message}); {to_do}, "
            "then run the same command again: it continues from here"
        )


def failed(item_id: str, code: str, message: str) -> ScoreResult:
    """A failed judgement that may be retried."""
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
