"""Criteria: one question to the teacher for each, and one score of all verdicts.

Source of the score: Arora et al., HealthBench (2025), in `galen.criteria`.
"""

from __future__ import annotations

from collections.abc import Sequence

from galen import criteria
from galen.records import Criterion
from judge.rubrics.rubric import Rubric
from judge.schemas import (
    CriteriaVerdict,
    CriterionVerdict,
    ItemError,
    ScoreItem,
    ScoreResult,
    TeacherMode,
    TeacherVerdict,
)
from judge.scoring.results import Ask, Assessed, Outcome, failed, incomplete_of
from judge.teacher.criterion_reply import MET
from judge.teacher.verdict import Spent
from judge.text.case import Case, CriterionCase

MAJORITY = 0.5
"""Of a panel more than half must find a criterion met; a single teacher's verdict is 0 or 1."""


def problem(rubric: Rubric, item: ScoreItem, mode: TeacherMode) -> ItemError | None:
    """Why an item cannot be graded by its criteria, or has some that nobody would grade."""
    own = {one.text for one in rubric.criteria}
    if not rubric.grades_criteria:
        if item.criteria is None:
            return None
        return _error(
            "criteria_not_graded",
            f"rubric {rubric.name} grades no criteria; ask a "
            "rubric that does, such as `criteria`, or leave them out",
        )
    if mode == "off":
        return _error(
            "criteria_need_teacher",
            "only a teacher grades criteria; do not ask with `teacher: off`",
        )
    if not criteria_of(rubric, item):
        return _error(
            "no_criteria", "neither the item nor the rubric has criteria; give the item some"
        )
    if any(one.text in own for one in item.criteria or ()):
        return _error(
            "criteria_repeated",
            f"the item has a criterion that rubric {rubric.name} has already; leave it out",
        )
    return None


def _error(code: str, message: str) -> ItemError:
    return ItemError(code=code, message=message, retryable=False)


def criteria_of(rubric: Rubric, item: ScoreItem) -> tuple[Criterion, ...]:
    """The rubric's criteria, then the item's."""
    return (*rubric.criteria, *(item.criteria or ()))


def cases(rubric: Rubric, item: ScoreItem, case: Case) -> list[CriterionCase]:
    """The answer with each of its criteria."""
    return [
        CriterionCase(case.prompt, case.response, case.reference, case.earlier, criterion=one.text)
        for one in criteria_of(rubric, item)
    ]


def result_of_criteria(rubric: Rubric, one: Assessed, outcomes: Sequence[Outcome]) -> ScoreResult:
    """The result for an item that the teacher graded; failed if it gave no verdict on one."""
    assert one.rules is not None
    asked = criteria_of(rubric, one.item)
    verdicts = tuple(_verdict(*each) for each in zip(asked, one.asks, outcomes, strict=True))
    cost = sum((outcome.spent for outcome in outcomes), Spent()).cost_usd
    flags = rubric.flags(one.rules)
    failure = next((outcome.failure for outcome in outcomes if outcome.failure), None)
    if failure is not None:
        graded = CriteriaVerdict(score=None, verdicts=verdicts)
        result = failed(
            one.item.id,
            outcomes[0].provider,
            failure.as_item_error(),
            rules=one.rules,
            flags=flags,
            cost=cost,
        )
        return result.model_copy(update={"criteria": graded})
    score = criteria.score((verdict.points, verdict.met is True) for verdict in verdicts)
    overall = min(max(score, 0.0), 1.0)
    return ScoreResult(
        id=one.item.id,
        status="ok",
        reward=rubric.reward_of_criteria(one.rules, score),
        rules=one.rules,
        teacher=TeacherVerdict.model_validate({"overall": overall, "why": _told(verdicts)}),
        criteria=CriteriaVerdict(score=score, verdicts=verdicts),
        flags=flags,
        provider=outcomes[0].provider,
        cached=all(outcome.cached for outcome in outcomes),
        cost=cost,
        error=next((e for o in outcomes if o.verdict and (e := incomplete_of(o.verdict))), None),
    )


def _verdict(criterion: Criterion, ask: Ask, outcome: Outcome) -> CriterionVerdict:
    found = outcome.verdict
    return CriterionVerdict(
        text=criterion.text,
        points=criterion.points,
        met=None if found is None else found.scores[MET] > MAJORITY,
        why=found.why if found else "",
        evidence=found.evidence.get(MET, "") if found else "",
        verdict_key=ask.key,
    )


def _told(verdicts: Sequence[CriterionVerdict]) -> str:
    met = sum(verdict.met is True for verdict in verdicts)
    return f"{met} of {len(verdicts)} criteria are met"
