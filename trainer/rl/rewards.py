"""Rewards from the judge: its own, and its exact check. A failed judgement has no reward."""

from __future__ import annotations

from dataclasses import dataclass

from galen.errors import (
    DeadlineExceeded,
    Overloaded,
    RecipeError,
    TrainingStopped,
    Unavailable,
    UpstreamFailed,
)
from galen.records import PromptRow, storable
from judge.client import JudgeClient
from judge.schemas import ItemError, ScoreItem, ScoreRequest, ScoreResult
from trainer.asked import as_asked, turns_of
from trainer.patience import RESTART_S, through_restarts

_TO_DO = {
    "budget_exceeded": "raise the cap in the judge's settings and restart it, or wait for the next "
    "day if it is the day's cap",
    "out_of_credit": "top up the teacher's account and restart the judge",
    "criteria_not_graded": "set `services: {rubric: criteria}` in the recipe, or leave the "
    "criteria out of the prompts",
    "no_criteria": "give every prompt `criteria`, or set another rubric in the recipe's `services`",
    "teacher_refused": "correct the teacher's key or model and restart the judge",
}
"""Failures that every later judgement would meet, too, and their remedies."""


PASSING = (Unavailable, Overloaded, DeadlineExceeded, UpstreamFailed)
"""Errors of a service that fail one sample and not the run."""
EXACT_RUBRIC = "finance"
"""The judge's rubric that compares an answer with the right one, by rules alone."""


@dataclass(frozen=True, slots=True)
class Scorer:
    """Scores single completions of one run by every source that the judge is."""

    client: JudgeClient
    rubric: str
    run: str
    allow_mock: bool
    judge: float = 1.0
    """Weight of the judge's reward under `rubric`; 0 does not ask for it."""
    exact: float = 0.0
    """Weight of the exact check of form and result."""
    patience_s: float = RESTART_S
    """Seconds for which the judge may be away; then a judgement has failed."""

    async def score(
        self, row: PromptRow, item_id: str, response: str, step: int
    ) -> tuple[ScoreResult, dict[str, float | None]]:
        """A result whose reward is the weighted sum, and each source's reward.

        The result is the judge's, or that of a source that failed: then there is no reward. Raises
        `TrainingStopped` after a failure that needs an operator, `RecipeError` for a mock teacher
        that the recipe does not allow.
        """
        item = ScoreItem(
            id=item_id,
            messages=as_asked(turns_of(row)),
            response=storable(response),
            reference=row.gold,
            criteria=row.criteria,
            risk=row.meta.risk_level,
        )
        asked = {"judge": (self.judge, self.rubric), "exact": (self.exact, EXACT_RUBRIC)}
        results = {
            name: await self._ask(item, rubric, step, name)
            for name, (weight, rubric) in asked.items()
            if weight
        }
        parts = {name: result.reward for name, result in results.items()}
        if not results:
            return _unjudged(item_id), parts
        failures = (result for result in results.values() if result.reward is None)
        result = next(failures, next(iter(results.values())))
        if result.reward is None:
            return result, parts
        total = sum(asked[name][0] * (found.reward or 0.0) for name, found in results.items())
        return result.model_copy(update={"reward": total}), parts

    async def _ask(self, item: ScoreItem, rubric: str, step: int, name: str) -> ScoreResult:
        if name == "exact":  # rules alone, which grade no criteria
            item = item.model_copy(update={"criteria": None})
        # A teacher is required: a reward by the rules alone is on another scale.
        request = ScoreRequest(
            rubric=rubric,
            items=(item,),
            teacher="required" if name == "judge" else "off",
            run=self.run if name == "judge" else f"{self.run}/{name}",
            step=step,
        )
        try:
            answer = await through_restarts(lambda: self.client.score(request), self.patience_s)
        except PASSING as error:
            return failed(item.id, error.code, error.message)
        (result,) = answer.items
        if result.provider == "mock" and not self.allow_mock:
            raise RecipeError(
                "the judge has no teacher and uses its mock: set DEEPSEEK_API_KEY for the judge, "
                "or `services: {allow_mock: true}` in the recipe of a rehearsal"
            )
        _stop_if_over(result)
        return result


def _unjudged(item_id: str) -> ScoreResult:
    """What stands where no source at the judge is asked: a reward model's score is added."""
    return ScoreResult(
        id=item_id, status="ok", reward=0.0, rules=None, teacher=None, provider="none", error=None
    )


def _stop_if_over(result: ScoreResult) -> None:
    if result.error is not None and (to_do := _TO_DO.get(result.error.code)):
        raise TrainingStopped(
            f"the judge stopped judging ({result.error.code}: {result.error.message}); {to_do}, "
            "then run the same command again: it continues from here"
        )


def failed(item_id: str, code: str, message: str, *, retryable: bool = True) -> ScoreResult:
    """A failed judgement."""
    error = ItemError(code=code, message=message, retryable=retryable)
    return ScoreResult(
        id=item_id,
        status="failed",
        reward=None,
        rules=None,
        teacher=None,
        provider="none",
        error=error,
    )
