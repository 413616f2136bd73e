"""The judge's decisions: which items need a teacher, what each result says, what is recorded."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field

from galen.errors import GalenError, Overloaded
from judge.budget import Budget
from judge.case import Case
from judge.ledger import Ledger, Question, key_of
from judge.metrics import JudgeMetrics
from judge.mock_teacher import PROVIDER as MOCK
from judge.rubric import Rubric, RubricShelf
from judge.schemas import (
    MAX_TEXT,
    BudgetBalance,
    BudgetState,
    ItemError,
    Readiness,
    RubricCard,
    RuleVerdict,
    ScoreItem,
    ScoreRequest,
    ScoreResponse,
    ScoreResult,
    TeacherVerdict,
    Usage,
)
from judge.store import RETRY_AFTER_S
from judge.verdict import FREE, Client, Purse, Spent, Teacher, TeacherError, Verdict

log = logging.getLogger(__name__)

RULES = "rules"
"""The provider of a judgement that no teacher had a part in."""


ANONYMOUS = "-"
"""The client of a request that belongs to no run."""


_ATTACKED = ItemError(
    code="prompt_attacks_judge",
    message="the prompt speaks to the judge, so no answer to it can be judged; leave it out",
    retryable=False,
)


@dataclass(frozen=True, slots=True)
class _Examined:
    """An item after the rules; `refused` says why it is not judged at all."""

    item: ScoreItem
    case: Case
    rules: RuleVerdict | None
    key: str | None = None
    """The verdict's key, if a teacher is to be asked."""
    refused: ItemError | None = None


@dataclass(frozen=True, slots=True)
class _Asked:
    """How asking a teacher went: a verdict or a failure, and what it cost this request."""

    verdict: Verdict | None = None
    failure: TeacherError | None = None
    cached: bool = False
    spent: Spent = field(default_factory=Spent)


class JudgeService:
    def __init__(
        self,
        shelf: RubricShelf,
        teacher: Teacher,
        ledger: Ledger,
        budget: Budget,
        metrics: JudgeMetrics,
    ) -> None:
        self._shelf = shelf
        self._teacher = teacher
        self._ledger = ledger
        self._budget = budget
        self._metrics = metrics

    async def score(self, request: ScoreRequest) -> ScoreResponse:
        """One result for each item, in order. Raises `NotFound` for an unknown rubric."""
        rubric = self._shelf.get(request.rubric)
        examined = await asyncio.to_thread(self._examine_all, rubric, request)
        client = Client(request.run or ANONYMOUS, self._purse(request.run))
        asked = await self._ask_all(rubric, examined, client)
        results = tuple(
            self._result(rubric, request, one, asked.get(one.key) if one.key else None)
            for one in examined
        )
        response = ScoreResponse(
            rubric=rubric.name,
            rubric_sha256=rubric.sha256,
            items=results,
            usage=_usage(results, asked),
        )
        self._metrics.count(response)
        _log_failures(response)
        if request.run is not None:
            keys = [one.key for one in examined]
            await self._ledger.record(request, response, keys)
        return response

    def rubrics(self) -> list[RubricCard]:
        return [rubric.card() for rubric in self._shelf]

    async def balances(self, run: str | None) -> BudgetState:
        """What may still be spent today and, if one is named, by `run`."""
        found = await self._budget.state(run)
        return BudgetState(
            balances=tuple(
                BudgetBalance(
                    scope=one.scope,
                    cap_usd=one.cap_usd,
                    committed_usd=one.committed_usd,
                    left_usd=one.left_usd,
                    calls=one.calls,
                )
                for one in found
            )
        )

    async def readiness(self) -> Readiness:
        """Whether the database answers and the teacher may be asked."""
        detail = self._teacher.latched
        try:
            await self._ledger.check()
        except GalenError as error:
            detail = error.message
        return Readiness(ready=detail is None, provider=self._teacher.provider, detail=detail)

    def close_door(self) -> None:
        """Ask no teacher anything new; what the ledger holds is still told."""
        self._ledger.close_door()

    async def aclose(self, drain_s: float = 0.0) -> None:
        """Give what is being judged `drain_s` seconds from the closing of the door, then stop."""
        await self._ledger.aclose(drain_s)
        await self._teacher.aclose()

    def _purse(self, run: str | None) -> Purse:
        return FREE if self._teacher.provider == MOCK else self._budget.purse(run)

    def _examine_all(self, rubric: Rubric, request: ScoreRequest) -> list[_Examined]:
        return [self._examine(rubric, request, item) for item in request.items]

    def _examine(self, rubric: Rubric, request: ScoreRequest, item: ScoreItem) -> _Examined:
        case = Case(item.prompt, item.response, item.reference or "")
        if problem := _too_long(item):
            return _Examined(item, case, rules=None, refused=problem)
        verdict = rubric.examine(case)
        if request.teacher == "off" or rubric.keeps_from_teacher(verdict):
            return _Examined(item, case, verdict)
        if rubric.distrusts(item.prompt):
            return _Examined(item, case, rules=None, refused=_ATTACKED)
        return _Examined(
            item, case, verdict, key=key_of(self._teacher, rubric, case, request.sample)
        )

    async def _ask_all(
        self, rubric: Rubric, examined: Sequence[_Examined], client: Client
    ) -> dict[str, _Asked]:
        """By key. Identical items of one batch are one question."""
        cases = {one.key: one.case for one in examined if one.key}
        stored = await self._ledger.find(list(cases))
        unknown = [key for key in cases if key not in stored]
        self._refuse_too_much(unknown)
        under_way = [  # no other request may come between the count and this
            self._ledger.obtain(Question(key, rubric, cases[key], self._teacher, client))
            for key in unknown
        ]
        asked = await asyncio.gather(*(self._land(one) for one in under_way))
        answers = {key: _Asked(verdict, cached=True) for key, verdict in stored.items()}
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

    async def _land(self, under_way: Awaitable[tuple[Verdict, bool]]) -> _Asked:
        try:
            verdict, ours = await under_way
        except TeacherError as failure:
            return _Asked(failure=failure, spent=failure.spent)
        if not ours:
            return _Asked(verdict, cached=True)
        self._metrics.time(verdict)
        return _Asked(verdict, spent=verdict.spent)

    def _result(
        self, rubric: Rubric, request: ScoreRequest, one: _Examined, asked: _Asked | None
    ) -> ScoreResult:
        item = one.item
        if one.rules is None:
            return _failed(item.id, RULES, one.refused)
        flags = rubric.flags(one.rules)
        if asked is None:
            off = request.teacher == "off"
            price = rubric.reward_of_rules if off else rubric.reward_without_substance
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
            return self._unjudged(rubric, request, one, asked)
        scores = asked.verdict.scores
        return ScoreResult(
            id=item.id,
            status="ok",
            reward=rubric.reward(one.rules, scores),
            rules=one.rules,
            teacher=TeacherVerdict.model_validate(
                {
                    **scores,
                    "overall": rubric.overall(scores),
                    "why": asked.verdict.why,
                    "evidence": asked.verdict.evidence,
                }
            ),
            flags=flags,
            provider=asked.verdict.provider,
            cached=asked.cached,
            cost=asked.spent.cost_usd,
        )

    def _unjudged(
        self, rubric: Rubric, request: ScoreRequest, one: _Examined, asked: _Asked
    ) -> ScoreResult:
        """The teacher failed: a failure if it was required, else what the rules say."""
        assert asked.failure is not None and one.rules is not None
        error = asked.failure.as_item_error()
        if request.teacher == "required":
            return _failed(
                one.item.id,
                self._teacher.provider,
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


def _log_failures(response: ScoreResponse) -> None:
    """One line for a batch that was not judged whole; never a word of what was judged."""
    codes = Counter(item.error.code for item in response.items if item.error)
    if codes:
        log.warning(
            "items not judged by the teacher",
            extra={"rubric": response.rubric, "of": len(response.items), "codes": dict(codes)},
        )


def _failed(
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


def _too_long(item: ScoreItem) -> ItemError | None:
    texts = {"prompt": item.prompt, "response": item.response, "reference": item.reference or ""}
    for name, text in texts.items():
        if len(text) > MAX_TEXT:
            message = f"{name} has {len(text):,} characters; at most {MAX_TEXT:,} are judged"
            return ItemError(code="too_long", message=message, retryable=False)
    return None


def _usage(results: Sequence[ScoreResult], asked: Mapping[str, _Asked]) -> Usage:
    spent = sum((one.spent for one in asked.values()), Spent())
    return Usage(
        prompt_tokens=spent.prompt_tokens,
        completion_tokens=spent.completion_tokens,
        cached_items=sum(result.cached for result in results),
        cost_usd=spent.cost_usd,
    )
