"""The judge's side of an examination: who sits it, whether the figures suffice, what is kept."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from sqlalchemy import Connection, insert, select

from galen import digest
from galen.errors import Conflict, InvalidInput
from judge.models import QualificationRow, now
from judge.qualify_figures import Examinee, Figures, Qualification, Submission, Thresholds
from judge.rubric import Rubric, RubricShelf
from judge.store import Store
from judge.verdict import Teacher


class Register:
    """Examinations of this judge's teacher, kept in the database that several judges share."""

    def __init__(
        self, shelf: RubricShelf, teacher: Teacher, store: Store, thresholds: Thresholds
    ) -> None:
        self._shelf = shelf
        self._teacher = teacher
        self._store = store
        self._thresholds = thresholds

    async def examinee(self, rubric: str) -> Examinee:
        """The teacher under a rubric, and its newest examination under the rubric's prompt as it
        is now. Raises `NotFound` for an unknown rubric."""
        known = self._shelf.get(rubric)
        teacher, asked = self._teacher_sha256, known.asked_sha256
        found = await self._store.read(lambda c: latest(c, teacher, asked))
        return self._describe(known, found)

    async def submit(self, submission: Submission) -> Qualification:
        """Decide on an examination and keep it.

        Raises `Conflict` if it was another teacher or another prompt that was examined,
        `InvalidInput` if the figures are not of this rubric's dimensions.
        """
        rubric = self._shelf.get(submission.rubric)
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
        row = self._row(rubric, submission.figures)
        await self._store.write(lambda c: add(c, row))
        return _read(row)

    @property
    def _teacher_sha256(self) -> str:
        return digest.of_json(self._teacher.identity())

    def _describe(self, rubric: Rubric, found: dict[str, Any] | None) -> Examinee:
        gate = rubric.file.gate
        return Examinee(
            rubric=rubric.name,
            asked_sha256=rubric.asked_sha256,
            provider=self._teacher.provider,
            teacher_sha256=self._teacher_sha256,
            needed=rubric.asks_teacher,
            gate_dimension=gate.dimension if gate else None,
            reward_cap=gate.reward_cap if gate else 0.0,
            latest=_read(found) if found else None,
        )

    def _row(self, rubric: Rubric, figures: Figures) -> dict[str, Any]:
        shortfalls = self._thresholds.shortfalls(figures)
        return {
            "created_at": now(),
            "rubric": rubric.name,
            "asked_sha256": rubric.asked_sha256,
            "teacher_sha256": self._teacher_sha256,
            "provider": self._teacher.provider,
            "passed": not shortfalls,
            "report": {
                "shortfalls": list(shortfalls),
                "thresholds": self._thresholds.model_dump(mode="json"),
                "figures": figures.model_dump(mode="json"),
            },
        }


def add(connection: Connection, row: dict[str, Any]) -> None:
    connection.execute(insert(QualificationRow).values(row))


def latest(connection: Connection, teacher_sha256: str, asked_sha256: str) -> dict[str, Any] | None:
    """The newest examination of one teacher under one prompt."""
    table = QualificationRow.__table__
    query = (
        select(table)
        .where(table.c.teacher_sha256 == teacher_sha256, table.c.asked_sha256 == asked_sha256)
        .order_by(table.c.id.desc())
        .limit(1)
    )
    found = connection.execute(query).mappings().first()
    return dict(found) if found else None


def _read(row: dict[str, Any]) -> Qualification:
    created = row["created_at"]
    report = row["report"]
    return Qualification(
        # SQLite gives the moment back without its zone; it was stored as UTC.
        created_at=created if created.tzinfo else created.replace(tzinfo=UTC),
        passed=row["passed"],
        shortfalls=tuple(report["shortfalls"]),
        figures=Figures.model_validate(report["figures"]),
    )
