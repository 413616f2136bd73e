"""A try of a teacher on a few answers: what it was asked, what it replied, what that earns."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from judge.rubrics.rubric import Rubric
from judge.rubrics.template import draw_boundary
from judge.schemas import ScoreItem, ScoreResult
from judge.scoring import criteria
from judge.scoring.results import Ask, Assessed, Outcome, result_of
from judge.teacher.form import form_of
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
    """The user's messages; the system's is the rubric's. None if no teacher was asked."""
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
        if refused := criteria.problem(rubric, item, "required"):
            entry = Assessed(item, case, None, refused=refused)
            yield Tried(item, None, (), result_of(rubric, "required", entry, None))
            continue
        entry = Assessed(item, case, rubric.examine(case))
        assert entry.rules is not None
        if not rubric.asks_teacher or rubric.keeps_from_teacher(entry.rules):
            yield Tried(item, None, (), result_of(rubric, "required", entry, None))
            continue
        cases = criteria.cases(rubric, item, case) if rubric.grades_criteria else [case]
        told = [await _ask(teacher, rubric, one, client) for one in cases]
        outcomes = [outcome for _, _, outcome in told]
        if rubric.grades_criteria:
            entry = replace(entry, asks=tuple(Ask("", one) for one in cases))
            result = criteria.result_of_criteria(rubric, entry, outcomes)
        else:
            result = result_of(rubric, "required", entry, outcomes[0])
        asked = "\n\n".join(text for text, _, _ in told)
        yield Tried(item, asked, tuple(reply for _, some, _ in told for reply in some), result)


async def _ask(
    teacher: Teacher, rubric: Rubric, case: Case, client: Client
) -> tuple[str, tuple[str, ...], Outcome]:
    """The user's message, the replies, and what came of them."""
    material = form_of(rubric, case).material
    asked = rubric.template.messages(material, draw_boundary(material))[1]["content"]
    try:
        verdict = await teacher.judge(rubric, case, client)
    except TeacherError as failure:
        replies = tuple(one.reply for one in failure.rejected)
        return asked, replies, Outcome(teacher.provider, failure=failure, spent=failure.spent)
    replies = (*(one.reply for one in verdict.rejected), verdict.reply)
    return asked, replies, Outcome(teacher.provider, verdict, spent=verdict.spent)
