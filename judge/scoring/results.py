"""From the findings about an item to its result: a reward, a failure or a fall-back. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field

from judge.rubrics.rubric import Rubric
from judge.schemas import (
    ItemError,
    RuleVerdict,
    ScoreItem,
    ScoreResult,
    TeacherMode,
    TeacherVerdict,
)
from judge.teacher.panel import INCOMPLETE, opinion_of
from judge.teacher.verdict import Spent, TeacherError, Verdict
from judge.text.case import Case

RULES = "rules"
"""The provider of a judgement without a teacher."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One question to the teacher; `key` is the ledger's."""

    key: str
    case: Case


@dataclass(frozen=True, slots=True)
class Assessed:
    """An item before or after the rules read it."""

    item: ScoreItem
    case: Case
    rules: RuleVerdict | None
    asks: tuple[Ask, ...] = ()
    """What the teacher is asked: nothing, one question, or one for each criterion."""
    refused: ItemError | None = None
    """Why the item is not judged at all."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The teacher's verdict or failure, and what it cost this request."""

    provider: str
    verdict: Verdict | None = None
    failure: TeacherError | None = None
    cached: bool = False
    spent: Spent = field(default_factory=Spent)


def result_of(
    rubric: Rubric, mode: TeacherMode, one: Assessed, asked: Outcome | None
) -> ScoreResult:
    """The result for one item; `asked` is None where no teacher was needed."""
    item = one.item
    if one.rules is None:
        return failed(item.id, RULES, one.refused)
    flags = rubric.flags(one.rules)
    if asked is None:
        off = mode == "off" and rubric.asks_teacher
        alone = off or not rubric.asks_teacher
        price = rubric.reward_of_rules if alone else rubric.reward_without_substance
        return ScoreResult(
            id=item.id,
            status="rules_only" if off else "ok",
            reward=price(one.rules),
            rules=one.rules,
            teacher=None,
            flags=flags,
            provider=RULES,
        )
    if asked.verdict is None:
        return _unjudged(rubric, mode, one, asked)
    scores = asked.verdict.scores
    rules = rubric.settled(one.rules, asked.verdict.evidence)
    return ScoreResult(
        id=item.id,
        status="ok",
        reward=rubric.reward(rules, scores),
        rules=rules,
        teacher=TeacherVerdict.model_validate(
            {
                **scores,
                "overall": rubric.overall(scores),
                "why": asked.verdict.why,
                "evidence": asked.verdict.evidence,
            }
        ),
        flags=rubric.flags(rules),
        provider=asked.verdict.provider,
        cached=asked.cached,
        cost=asked.spent.cost_usd,
        error=incomplete_of(asked.verdict),
        panel=opinion_of(asked.verdict),
    )


def incomplete_of(verdict: Verdict) -> ItemError | None:
    """Who of a panel did not judge, where the rest did."""
    if verdict.incomplete is None:
        return None
    return ItemError(code=INCOMPLETE, message=verdict.incomplete, retryable=True)


def _unjudged(rubric: Rubric, mode: TeacherMode, one: Assessed, asked: Outcome) -> ScoreResult:
    """The result where the teacher failed: a failure if it was required, else the rules' reward."""
    assert asked.failure is not None and one.rules is not None
    error = asked.failure.as_item_error()
    if mode == "required":
        return failed(
            one.item.id,
            asked.provider,
            error,
            rules=one.rules,
            flags=rubric.flags(one.rules),
            cost=asked.spent.cost_usd,
        )
    return ScoreResult(
        id=one.item.id,
        status="rules_only",
        reward=rubric.reward_of_rules(one.rules),
        rules=one.rules,
        teacher=None,
        flags=rubric.flags(one.rules),
        provider=RULES,
        cost=asked.spent.cost_usd,
        error=error,
    )


def failed(
    item_id: str,
    provider: str,
    error: ItemError | None,
    *,
    rules: RuleVerdict | None = None,
    flags: tuple[str, ...] = (),
    cost: float = 0.0,
) -> ScoreResult:
    return ScoreResult(
        id=item_id,
        status="failed",
        reward=None,
        rules=rules,
        teacher=None,
        flags=flags,
        provider=provider,
        cost=cost,
        error=error,
    )
