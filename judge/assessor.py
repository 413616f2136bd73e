"""From items to judgements: the rules first, then the ledger, then the teacher for what is left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass

from galen.errors import Overloaded
from judge.case import Case
from judge.ledger import Ledger
from judge.metrics import JudgeMetrics
from judge.question import Question, key_of
from judge.results import Asked, Examined, result_of
from judge.rubric import Rubric
from judge.schemas import MAX_TEXT, ItemError, ScoreItem, ScoreRequest, ScoreResult
from judge.store import RETRY_AFTER_S
from judge.verdict import Client, Spent, Teacher, TeacherError, Verdict

_ATTACKED = ItemError(
    code="prompt_attacks_judge",
    message="the prompt speaks to the judge, so no answer to it can be judged; leave it out",
    retryable=False,
)
_NO_REFERENCE = ItemError(
    code="no_reference",
    message="this rubric compares an answer with a reference; give the item one",
    retryable=False,
)


@dataclass(frozen=True, slots=True)
class Judged:
    """A result, and the ledger's row that was asked for if a teacher was to judge."""

    result: ScoreResult
    verdict_key: str | None


@dataclass(frozen=True, slots=True)
class Assessment:
    """One judgement for each item of a request, in order, and what all of them cost it."""

    judged: tuple[Judged, ...]
    spent: Spent


class Assessor:
    def __init__(self, teacher: Teacher, ledger: Ledger, metrics: JudgeMetrics) -> None:
        self._teacher = teacher
        self._ledger = ledger
        self._metrics = metrics

    async def assess(self, rubric: Rubric, request: ScoreRequest, client: Client) -> Assessment:
        """Raises `Overloaded` or `Unavailable` before anything is asked; a teacher's failure is
        data of its item."""
        examined = await asyncio.to_thread(self._examine_all, rubric, request)
        asked = await self._ask_all(rubric, examined, client)
        judged = tuple(
            Judged(
                result_of(rubric, request.teacher, one, asked.get(one.key) if one.key else None),
                one.key,
            )
            for one in examined
        )
        return Assessment(judged, sum((one.spent for one in asked.values()), Spent()))

    def _examine_all(self, rubric: Rubric, request: ScoreRequest) -> list[Examined]:
        return [self._examine(rubric, request, item) for item in request.items]

    def _examine(self, rubric: Rubric, request: ScoreRequest, item: ScoreItem) -> Examined:
        case = Case(item.prompt, item.response, item.reference or "")
        if problem := _too_long(item):
            return Examined(item, case, rules=None, refused=problem)
        if rubric.needs_reference and not (item.reference or "").strip():
            return Examined(item, case, rules=None, refused=_NO_REFERENCE)
        verdict = rubric.examine(case)
        alone = request.teacher == "off" or not rubric.asks_teacher
        if alone or rubric.keeps_from_teacher(verdict):
            return Examined(item, case, verdict)
        if rubric.distrusts(item.prompt):
            return Examined(item, case, rules=None, refused=_ATTACKED)
        return Examined(
            item, case, verdict, key=key_of(self._teacher, rubric, case, request.sample)
        )

    async def _ask_all(
        self, rubric: Rubric, examined: Sequence[Examined], client: Client
    ) -> dict[str, Asked]:
        """By key. Identical items of one batch are one question."""
        cases = {one.key: one.case for one in examined if one.key}
        stored = await self._ledger.find(list(cases))
        unknown = [key for key in cases if key not in stored]
        self._metrics.look_up(len(cases), len(stored))
        self._refuse_too_much(unknown)
        under_way = [  # no other request may come between the count and this
            (
                self._ledger.is_flying(key),
                self._ledger.obtain(Question(key, rubric, cases[key], self._teacher, client)),
            )
            for key in unknown
        ]
        asked = await asyncio.gather(*(self._land(*one) for one in under_way))
        answers = {
            key: Asked(self._teacher.provider, verdict, cached=True)
            for key, verdict in stored.items()
        }
        return answers | dict(zip(unknown, asked, strict=True))

    def _refuse_too_much(self, keys: Sequence[str]) -> None:
        """Raise `Overloaded`, before anything is asked, where the teacher's queue has no room for
        all of `keys`. What is being asked already needs none."""
        new = sum(not self._ledger.is_flying(key) for key in keys)
        room = self._teacher.room - self._ledger.boarding
        if new and new > room:
            raise Overloaded(
                f"{new} answers are to be judged and the queue has room for {max(0, room)}; "
                "send the request again later, or fewer items at once",
                retry_after_s=RETRY_AFTER_S,
            )

    async def _land(self, shared: bool, under_way: Awaitable[tuple[Verdict, bool]]) -> Asked:
        try:
            verdict, ours = await under_way
        except TeacherError as failure:
            if shared:  # who asked first has paid and counted it
                return Asked(self._teacher.provider, failure=failure)
            self._metrics.asked(failure)
            return Asked(self._teacher.provider, failure=failure, spent=failure.spent)
        if not ours:
            return Asked(self._teacher.provider, verdict, cached=True)
        self._metrics.asked(verdict)
        return Asked(self._teacher.provider, verdict, spent=verdict.spent)


def _too_long(item: ScoreItem) -> ItemError | None:
    texts = {"prompt": item.prompt, "response": item.response, "reference": item.reference or ""}
    for name, text in texts.items():
        if len(text) > MAX_TEXT:
            message = f"{name} has {len(text):,} characters; at most {MAX_TEXT:,} are judged"
            return ItemError(code="too_long", message=message, retryable=False)
    return None
