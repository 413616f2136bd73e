"""Examines the running judge's teacher over HTTP: labelled answers twice, canaries once.

Each labelled answer is judged as two different samples, so the ledger cannot answer for the second.
Both verdicts are stored: an interrupted examination continues where it stopped. Another `sitting`
asks everything anew.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from galen.errors import DataError, InvalidInput, Unavailable
from galen.records import read_jsonl
from judge.attacks.canaries import REFUSED, Canary, withstood
from judge.client import JudgeClient
from judge.examination.measure import (
    CanaryOutcome,
    LabelledAnswer,
    Retested,
    failures,
    judged_twice,
    measure,
)
from judge.examination_schemas import (
    Examinee,
    Figures,
    Qualification,
    Submission,
    Thresholds,
    decide,
)
from judge.schemas import RubricCard, ScoreItem, ScoreRequest, ScoreResult

BATCH: Final = 8
"""Items in one request: few, for a progress bar; one each would double the time of a fast teacher.
"""
AT_ONCE: Final = 4
_FINAL_ERRORS = frozenset({"budget_exceeded", "out_of_credit", "teacher_refused"})

_FEWEST: Final = 20
"""Judgements before a teacher most of whose replies fail is given up."""

Advance = Callable[[int], None]
"""Called with the number of further judgements that are done."""


@dataclass(frozen=True, slots=True)
class Examination:
    """The result, with the single judgements for the plots."""

    examinee: Examinee
    figures: Figures
    judged: Sequence[Retested]
    qualification: Qualification
    is_kept: bool
    """False for a trial run, which is not sent to the judge."""


@dataclass(frozen=True, slots=True)
class Examiner:
    """Examines the judge behind `client` under one rubric."""

    client: JudgeClient
    rubric: str
    sitting: int = 0
    advance: Advance = lambda count: None
    outcomes: Counter[str] = field(default_factory=Counter)
    """Judgements so far, `judged` and `failed`."""

    async def examine(
        self,
        rows: Sequence[LabelledAnswer],
        canaries: Sequence[Canary],
        labels_sha256: str,
        *,
        keep: bool = True,
    ) -> Examination:
        """Judge, measure, and submit the figures to the judge if `keep`, else decide here.

        Raises `InvalidInput` for labels that do not fit the rubric, `Unavailable` when the teacher
        stops judging.
        """
        examinee = await self.client.examinee(self.rubric)
        card = await self._card()
        _refuse_unsuited(rows, card, examinee)
        items = [_item(row) for row in rows]
        first = await self._score(items, 2 * self.sitting)
        second = await self._score(items, 2 * self.sitting + 1)
        attacked = await self._score([canary.item for canary in canaries], 2 * self.sitting)
        judged = judged_twice(rows, first, second)
        if not judged:
            raise Unavailable(f"none of the answers was judged twice ({_codes(first, second)})")
        attacks = [_canary_outcome(c, result) for c, result in zip(canaries, attacked, strict=True)]
        figures = measure(
            examinee,
            card.dimensions,
            judged,
            attacks,
            failed=failures(first, second) + sum(one.withstood is None for one in attacks),
            asked=2 * len(items) + len(attacked),
            labels_sha256=labels_sha256,
        )
        decided = await self._submit(examinee, figures) if keep else decide(figures, Thresholds())
        return Examination(examinee, figures, judged, decided, is_kept=keep)

    async def _submit(self, examinee: Examinee, figures: Figures) -> Qualification:
        submission = Submission(
            rubric=self.rubric,
            teacher_sha256=examinee.teacher_sha256,
            asked_sha256=examinee.asked_sha256,
            figures=figures,
        )
        return await self.client.qualify(submission)

    async def _card(self) -> RubricCard:
        return next(card for card in await self.client.rubrics() if card.name == self.rubric)

    def _stop_if_hopeless(self, result: ScoreResult) -> None:
        """Raises `InvalidInput` once most replies are no verdicts: the rest would only cost."""
        self.outcomes["failed" if result.error else "judged"] += 1
        failed, judged = self.outcomes["failed"], self.outcomes["judged"]
        if result.error and failed + judged >= _FEWEST and failed > judged:
            raise InvalidInput(
                f"not passed: {failed} of the first {failed + judged} judgements failed "
                f"({result.error.code}: {result.error.message}), and the others were not asked; "
                "`galen judge try` shows this teacher's replies",
                param="teacher",
            )

    async def _score(self, items: Sequence[ScoreItem], sample: int) -> list[ScoreResult]:
        gate = asyncio.Semaphore(AT_ONCE)

        async def some(part: tuple[ScoreItem, ...]) -> tuple[ScoreResult, ...]:
            request = ScoreRequest(
                rubric=self.rubric, items=part, teacher="required", sample=sample
            )
            async with gate:
                results = (await self.client.score(request)).items
            for result in results:
                _stop_if_final(result)
                self._stop_if_hopeless(result)
            self.advance(len(part))
            return results

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(some(tuple(items[at : at + BATCH])))
                    for at in range(0, len(items), BATCH)
                ]
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None  # the others have the same cause
        return [result for task in tasks for result in task.result()]


def read_labels(path: Path) -> list[LabelledAnswer]:
    """The labelled answers of a file. Raises `DataError` for bad lines and repeated ids."""
    rows = read_jsonl(path, LabelledAnswer)
    repeated = [name for name, times in Counter(row.id for row in rows).items() if times > 1]
    if repeated:
        raise DataError(path, [f"the id {name!r} is given twice" for name in repeated])
    return rows


def _item(row: LabelledAnswer) -> ScoreItem:
    return ScoreItem(id=row.id, prompt=row.prompt, response=row.response, reference=row.reference)


def _refuse_unsuited(rows: Sequence[LabelledAnswer], card: RubricCard, examinee: Examinee) -> None:
    if not examinee.needed:
        raise InvalidInput(
            f"the rubric {card.name} asks no teacher: there is nothing to examine", param="rubric"
        )
    for row in rows:
        if missing := sorted(set(card.dimensions) - set(row.labels)):
            raise InvalidInput(
                f"the labelled answer {row.id!r} has no label for {', '.join(missing)}, which the "
                f"rubric {card.name} scores: add it, or name another --rubric",
                param="labels",
            )


def _stop_if_final(result: ScoreResult) -> None:
    """Raises `Unavailable` after an error that every further item would meet, too."""
    if result.error and result.error.code in _FINAL_ERRORS:
        raise Unavailable(
            f"the teacher stopped judging ({result.error.code}): {result.error.message}; run "
            "the same command again afterwards: answers that were judged are not asked again"
        )


def _canary_outcome(canary: Canary, result: ScoreResult) -> CanaryOutcome:
    """A prompt refused as an attack counts as a judgement; other failures tested nothing."""
    is_tested = result.error is None or result.error.code == REFUSED
    return CanaryOutcome(canary.id, canary.kind, withstood(canary, result) if is_tested else None)


def _codes(*results: Sequence[ScoreResult]) -> str:
    codes = {one.error.code for many in results for one in many if one.error}
    return ", ".join(sorted(codes)) or "all are without substance"
