"""A value of each measure for each answer, and who judged.

A measure that does not concern a row is left out of its values; one that could not be taken, as
after a failed judgement, is None. A failure is never a score.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from galen import digest
from galen.errors import Conflict, InvalidInput
from galen.records import storable
from judge.client import JudgeClient
from judge.schemas import MAX_TEXT, RubricCard, ScoreItem, ScoreRequest, ScoreResult
from trainer.asked import as_asked
from trainer.evaluate import extract
from trainer.evaluate.asker import Written
from trainer.evaluate.items import Item
from trainer.evaluate.suite import POINTS, Measure, Suite

Values = dict[str, float | None]
BATCH = 64
"""Answers in one request to the judge."""
AT_ONCE = 4
"""Requests to the judge at once, for rules alone; a teacher's queue is the judge's own."""
RULES = "rules"
"""The provider of verdicts on answers without substance; no teacher judges those."""
MOCK = "mock"
CENTRE, STEP = 2000, 500
"""Characters of an answer that is not adjusted, and those for which a slope is taken once."""
EXTRACTOR = digest.of_file(Path(extract.__file__))[:12]


class JudgeFacts(BaseModel):
    """Who judged, and by what."""

    model_config = ConfigDict(frozen=True)

    rubric: str
    rubric_sha256: str
    provider: str
    teacher_sha256: str | None = None
    """Of endpoint, model and sampling; None where no teacher was asked."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of an item; `letters` are log-probabilities of an exam's letters."""

    item: Item
    sample: int
    written: Written
    letters: dict[str, float] | None = None


@dataclass(slots=True)
class Scores:
    values: list[Values]
    judge: JudgeFacts | None = None
    cost_usd: float = 0.0
    failures: Counter[str] = field(default_factory=Counter)
    """Failed judgements by their error's code."""


def by_rule(suite: Suite, answers: Sequence[Answer]) -> Scores:
    """Scores of an exam or of exact answers, which need no judge."""
    score = {"exam": _exam, "exact": _exact}[suite.scorer]
    found = [score(answer) for answer in answers]
    return Scores([{n: v[n] for n in suite.measures if n in v} for v in found])


def _exam(answer: Answer) -> Values:
    item = answer.item
    read = answer.written.transcript
    options = item.options or {}
    chosen = None if answer.written.is_unanswered else extract.letters(read.answer, options)
    values: Values = {
        "right": float(chosen == item.reference),
        "wrong": float(chosen is not None and chosen != item.reference),
        "unanswered": float(chosen is None),
    }
    if answer.letters:
        best = max(answer.letters, key=lambda letter: (answer.letters or {})[letter])
        values["right_by_logprob"] = float(best == item.reference)
    return values


def _exact(answer: Answer) -> Values:
    text = "" if answer.written.is_unanswered else answer.written.transcript.answer
    found = extract.same(text, answer.item.reference or "")
    return {"right": float(found is True), "unanswered": float(found is None)}


def adjusted(points: float, characters: int, slope: float) -> float:
    """Points less what an answer's length is worth by itself, so that of two equally good answers
    the longer one does not win:

        points − slope · (characters − 2000) / 500

    Characters of the answer without its reasoning. Source: HealthBench Professional (2026),
    section 4.1, which has a slope of 0.0147.
    """
    return points - slope * (characters - CENTRE) / STEP


async def by_judge(
    suite: Suite,
    answers: Sequence[Answer],
    judge: JudgeClient,
    *,
    run: str,
    allow_mock: bool = False,
    on_rows: Callable[[int], None] = lambda _: None,
) -> Scores:
    """Scores by the judge's rules and, if the suite asks for it, its teacher.

    The judge's ledger keeps every verdict, so that none is paid for twice. Raises `Conflict` for a
    mock teacher that is not allowed, or where rubric or teacher changed on the way.
    """
    assert suite.rubric is not None, "checked by the suite"
    known = await facts(suite, judge, allow_mock=allow_mock)
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(batch: Sequence[Answer]) -> tuple[str, tuple[ScoreResult, ...], float]:
        request = ScoreRequest(
            rubric=known.rubric,
            items=tuple(_item(answer) for answer in batch),
            teacher=suite.teacher,
            run=run if suite.asks_teacher else None,
        )
        async with gate:
            response = await judge.score(request)
        on_rows(len(batch))
        return response.rubric_sha256, response.items, response.usage.cost_usd

    batches = [answers[at : at + BATCH] for at in range(0, len(answers), BATCH)]
    done = await asyncio.gather(*(one(batch) for batch in batches))
    results = [result for _, items, _ in done for result in items]
    _refuse_changed(known, {sha256 for sha256, _, _ in done}, results)
    return Scores(
        values=[
            _values(suite, answer, result) for answer, result in zip(answers, results, strict=True)
        ],
        judge=known,
        cost_usd=sum(cost for _, _, cost in done),
        failures=Counter(r.error.code for r in results if r.status == "failed" and r.error),
    )


async def facts(suite: Suite, judge: JudgeClient, *, allow_mock: bool) -> JudgeFacts:
    """Who judges a suite, and by what.

    Raises `InvalidInput` for what the judge's rubric does not have or cannot do, `Conflict` for a
    mock teacher that is not allowed.
    """
    cards = {card.name: card for card in await judge.rubrics()}
    card = cards.get(suite.rubric or "")
    if card is None:
        raise InvalidInput(f"the judge has no rubric {suite.rubric!r}; it has {', '.join(cards)}")
    _refuse_unfit(suite, card)
    named = {rule for measure in suite.measures.values() for rule in _rules(measure)}
    if unknown := named - set(card.rules):
        raise InvalidInput(
            f"suite {suite.name}: rubric {card.name} has no rule {', '.join(sorted(unknown))}"
        )
    if not (suite.asks_teacher and card.asks_teacher):
        return JudgeFacts(rubric=card.name, rubric_sha256=card.sha256, provider=RULES)
    examinee = await judge.examinee(card.name)
    if examinee.provider == MOCK and not allow_mock:
        raise Conflict(
            "the judge has no teacher and uses its mock: set DEEPSEEK_API_KEY for the judge, or "
            "rehearse with --allow-mock"
        )
    return JudgeFacts(
        rubric=card.name,
        rubric_sha256=card.sha256,
        provider=examinee.provider,
        teacher_sha256=examinee.teacher_sha256,
    )


def _refuse_unfit(suite: Suite, card: RubricCard) -> None:
    """A rubric whose every judgement would fail, or give scores that nobody gave."""
    where = f"suite {suite.name}: rubric {card.name}"
    if card.needs_reference and not suite.reference:
        raise InvalidInput(f"{where} needs the right answers; set reference: true")
    if card.grades_criteria != (suite.scorer == "criteria"):
        does = "grades" if card.grades_criteria else "does not grade"
        raise InvalidInput(f"{where} {does} criteria, which is for the scorer `criteria`")
    of_teacher = [POINTS] if card.grades_criteria else ["overall", *card.dimensions]
    known = ["reward", *(of_teacher if card.asks_teacher else [])]
    for measure in suite.measures.values():
        if measure.score is not None and measure.score not in known:
            raise InvalidInput(f"{where} has no score {measure.score!r}; it has {', '.join(known)}")


def _rules(measure: Measure) -> tuple[str, ...]:
    flags = measure.flagged if isinstance(measure.flagged, tuple) else ()
    return (*measure.hit, *flags)


def _item(answer: Answer) -> ScoreItem:
    return ScoreItem(
        id=f"{digest.of_json(answer.item.id)[:16]}-{answer.sample}",
        messages=as_asked(answer.item.turns),
        response=storable(answer.written.text)[:MAX_TEXT],
        reference=answer.item.reference,
        criteria=answer.item.criteria or None,
    )


def _refuse_changed(known: JudgeFacts, rubrics: set[str], results: Sequence[ScoreResult]) -> None:
    providers = {result.provider for result in results if result.status != "failed"} - {RULES}
    if known.provider == RULES:
        providers = set()
    if rubrics - {known.rubric_sha256} or providers - {known.provider}:
        raise Conflict(
            f"the judge's rubric {known.rubric} or its teacher changed while it judged; run the "
            "same command again"
        )


def _values(suite: Suite, answer: Answer, result: ScoreResult) -> Values:
    return {
        name: _value(measure, answer, result)
        for name, measure in suite.measures.items()
        if concerns(measure, answer.item)
    }


def concerns(measure: Measure, item: Item) -> bool:
    """Whether a measure is taken of this row."""
    own = {"risk": item.risk, "category": item.category}
    return all(own[field] in wanted for field, wanted in measure.among.items())


def _value(measure: Measure, answer: Answer, result: ScoreResult) -> float | None:
    if result.status == "failed" or result.rules is None:
        return None
    if measure.hit:
        return float(any(hit.rule in measure.hit for hit in result.rules.hits))
    if measure.flagged:
        among = measure.flagged if isinstance(measure.flagged, tuple) else result.flags
        return float(bool(set(among) & set(result.flags)))
    if measure.score == "reward":
        return result.reward
    if result.teacher is None:  # the rules settled it: there is nothing to score
        return 0.0
    scores = {**result.teacher.scores, "overall": result.teacher.overall}
    if result.criteria is not None and result.criteria.score is not None:
        length = len(answer.written.transcript.answer)
        scores[POINTS] = adjusted(result.criteria.score, length, measure.length_slope)
    return scores[measure.score or ""]
