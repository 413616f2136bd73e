"""A try of a teacher on a few answers: what it was asked, what it replied, what that earns."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from judge.rubrics.rubric import Rubric
from judge.rubrics.template import draw_boundary
from judge.schemas import ScoreItem, ScoreResult
from judge.scoring.results import Assessed, Outcome, result_of
from judge.teacher.form import material_of
from judge.teacher.verdict import Client, Teacher, TeacherError
from judge.text.case import Case

NAME = "try"


@dataclass
class Purse:
    """An account that is spent from until `most_usd` is committed; what is not settled counts."""

    most_usd: float | None
    committed_usd: float = 0.0

    async def reserve(self, cost_usd: float) -> _Reserved:
        """Raises `TeacherError` with the code `budget_exceeded`."""
        if self.most_usd is not None and self.committed_usd + cost_usd > self.most_usd:
            message = f"the next call may cost more than is left of US$ {self.most_usd:g}"
            raise TeacherError("budget_exceeded", message, retryable=False)
        self.committed_usd += cost_usd
        return _Reserved(self, cost_usd)


@dataclass
class _Reserved:
    purse: Purse
    reserved_usd: float

    async def settle(self, cost_usd: float) -> None:
        self.purse.committed_usd += cost_usd - self.reserved_usd


@dataclass(frozen=True, slots=True)
class Tried:
    item: ScoreItem
    asked: str | None
    """The user's message; the system's is the rubric's. None if no teacher was asked."""
    replies: tuple[str, ...]
    """What the teacher replied, unchanged: first what was rejected, then the verdict."""
    result: ScoreResult


async def try_out(
    teacher: Teacher, rubric: Rubric, items: Sequence[ScoreItem], most_usd: float | None
) -> AsyncIterator[Tried]:
    """Judge the items one by one, without a ledger. A failure is in its result."""
    client = Client(NAME, Purse(most_usd))
    for item in items:
        case = Case(item.question, item.response, item.reference or "", item.earlier)
        entry = Assessed(item, case, rubric.examine(case))
        assert entry.rules is not None
        if not rubric.asks_teacher or rubric.keeps_from_teacher(entry.rules):
            yield Tried(item, None, (), result_of(rubric, "required", entry, None))
            continue
        material = material_of(case)
        asked = rubric.template.messages(material, draw_boundary(material))[1]["content"]
        try:
            verdict = await teacher.judge(rubric, case, client)
        except TeacherError as failure:
            replies = tuple(one.reply for one in failure.rejected)
            outcome = Outcome(teacher.provider, failure=failure, spent=failure.spent)
        else:
            replies = (*(one.reply for one in verdict.rejected), verdict.reply)
            outcome = Outcome(teacher.provider, verdict, spent=verdict.spent)
        yield Tried(item, asked, replies, result_of(rubric, "required", entry, outcome))
