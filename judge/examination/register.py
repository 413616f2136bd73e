"""The judge's side of an examination: it describes the teacher, decides, and stores the result."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, insert, select

from galen import digest
from galen.errors import Conflict, InvalidInput
from judge.examination_schemas import (
    Examinee,
    Qualification,
    Submission,
    Thresholds,
    decide,
)
from judge.ledger.group_commit import Store
from judge.ledger.tables import QualificationRow
from judge.rubrics.rubric import Rubric, RubricRegistry
from judge.teacher.verdict import Teacher


class Register:
    """Examinations of this judge's teacher, stored in the shared database."""

    def __init__(
        self, rubrics: RubricRegistry, teacher: Teacher, store: Store, thresholds: Thresholds
    ) -> None:
        self._rubrics = rubrics
        self._teacher = teacher
        self._store = store
        self._thresholds = thresholds

    async def examinee(self, rubric: str) -> Examinee:
        """The teacher, with its newest examination under the rubric's present prompt. Raises
        `NotFound` for an unknown rubric."""
        known = self._rubrics.get(rubric)
        teacher, asked = self._teacher_sha256, known.asked_sha256
        found = await self._store.read(lambda c: latest(c, rubric, teacher, asked))
        return self._describe(known, found)

    async def submit(self, submission: Submission) -> Qualification:
        """Decide on an examination and store it.

        Raises `Conflict` if the teacher or the prompt has changed, `InvalidInput` if the figures
        do not have this rubric's dimensions.
        """
        rubric = self._rubrics.get(submission.rubric)
        asked = (submission.teacher_sha256, submission.asked_sha256)
        if asked != (self._teacher_sha256, rubric.asked_sha256):
            raise Conflict(
                "the judge's teacher or the rubric's prompt has changed since the examination "
                "began: run `galen judge qualify` again"
            )
        if set(submission.figures.dimensions) != set(rubric.dimensions):
            raise InvalidInput(
                f"figures are needed for exactly {', '.join(rubric.dimensions) or 'nothing'}",
                param="figures.dimensions",
            )
        decided = decide(submission.figures, self._thresholds)
        row = self._row(rubric, decided)
        await self._store.write(lambda c: add(c, row))
        return decided

    @property
    def _teacher_sha256(self) -> str:
        return digest.of_json(self._teacher.identity())

    def _describe(self, rubric: Rubric, found: Qualification | None) -> Examinee:
        return Examinee(
            rubric=rubric.name,
            asked_sha256=rubric.asked_sha256,
            provider=self._teacher.provider,
            teacher_sha256=self._teacher_sha256,
            needed=rubric.asks_teacher,
            reward_cap=rubric.ceiling(rubric.file.weights.rules) if rubric.file.gate else 0.0,
            latest=found,
        )

    def _row(self, rubric: Rubric, decided: Qualification) -> dict[str, Any]:
        return {
            "created_at": decided.created_at,
            "rubric": rubric.name,
            "asked_sha256": rubric.asked_sha256,
            "teacher_sha256": self._teacher_sha256,
            "provider": self._teacher.provider,
            "passed": decided.passed,
            "report": decided.model_dump(mode="json"),
        }


def add(connection: Connection, row: dict[str, Any]) -> None:
    connection.execute(insert(QualificationRow).values(row))


def latest(
    connection: Connection, rubric: str, teacher_sha256: str, asked_sha256: str
) -> Qualification | None:
    """The newest examination of a teacher under a rubric and its prompt, if any.

    Rubrics with the same prompt are kept apart: they may differ in how they handle attacks.
    """
    table = QualificationRow.__table__
    query = (
        select(table.c.report)
        .where(table.c.teacher_sha256 == teacher_sha256, table.c.asked_sha256 == asked_sha256)
        .where(table.c.rubric == rubric)
        .order_by(table.c.id.desc())
        .limit(1)
    )
    report = connection.execute(query).scalar()
    return None if report is None else Qualification.model_validate(report)
