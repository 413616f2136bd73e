"""One scoring request: known judgements come from memory, the rest are assessed, and a run's
judgements are recorded."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

from galen.errors import GalenError, InvalidInput, Unavailable
from judge.audit_schemas import BudgetBalance, BudgetState
from judge.ledger.budget import Budget
from judge.ledger.ledger import Ledger
from judge.pair_schemas import CompareRequest, CompareResponse
from judge.rubrics.rubric import Rubric, RubricRegistry
from judge.schemas import Readiness, RubricCard, ScoreItem, ScoreRequest, ScoreResponse, Usage
from judge.scoring.asking import Asking
from judge.scoring.assessor import Assessor, Judged
from judge.scoring.memory import Memory
from judge.scoring.metrics import JudgeMetrics
from judge.scoring.pairs import Comparer, as_judgements
from judge.scoring.rule_workers import Readers, ThreadReader
from judge.teacher.verdict import Client, Spent, Teacher

log = logging.getLogger(__name__)

ANONYMOUS = "-"
"""The client's name where a request has no run."""


class JudgeService:
    def __init__(
        self,
        rubrics: RubricRegistry,
        teacher: Teacher,
        ledger: Ledger,
        budget: Budget,
        metrics: JudgeMetrics,
        readers: Readers | None = None,
    ) -> None:
        """Without `readers` the rules run on a thread."""
        self._rubrics = rubrics
        self._teacher = teacher
        self._ledger = ledger
        self._budget = budget
        self._metrics = metrics
        self._readers = readers or ThreadReader()
        asking = Asking(teacher, ledger, metrics)
        self._assessor = Assessor(asking, self._readers)
        self._comparer = Comparer(asking, self._readers)
        self._memory = Memory()

    async def score(self, request: ScoreRequest) -> ScoreResponse:
        """One result for each item, in order. Raises `NotFound` for an unknown rubric."""
        rubric = self._rubrics.get(request.rubric)
        judged, spent = await self._judge(rubric, request)
        response = ScoreResponse(
            rubric=rubric.name,
            rubric_sha256=rubric.sha256,
            items=tuple(one.result for one in judged),
            usage=_usage(judged, spent),
        )
        self._metrics.count(response)
        _log_failures(response)
        if request.run is not None:
            await self._ledger.record(request, response, [one.verdict_key for one in judged])
        return response

    async def compare(self, request: CompareRequest) -> CompareResponse:
        """One result for each pair, in order. Raises `NotFound` for an unknown rubric and
        `InvalidInput` for one that compares nothing."""
        rubric = self._rubrics.get(request.rubric)
        if rubric.pair is None:
            known = ", ".join(one.name for one in self._rubrics if one.pair)
            raise InvalidInput(
                f"rubric {rubric.name} has no pair.txt, so it compares nothing; these do: {known}",
                param="rubric",
            )
        client = Client(request.run or ANONYMOUS, self._budget.account(request.run))
        compared = await self._comparer.compare(rubric, request, client)
        kept_request, kept = as_judgements(request, compared)
        self._metrics.count(kept)
        self._metrics.compared(compared.response)
        _log_failures(kept)
        if request.run is not None:
            await self._ledger.record(kept_request, kept, [one.key for one in compared.orders])
        return compared.response

    async def _judge(self, rubric: Rubric, request: ScoreRequest) -> tuple[Sequence[Judged], Spent]:
        remembered = self._memory.recall(rubric, request)
        new = tuple(
            item for item, one in zip(request.items, remembered, strict=True) if one is None
        )
        if not new:
            return [one for one in remembered if one is not None], Spent()
        client = Client(request.run or ANONYMOUS, self._budget.account(request.run))
        asked = request if len(new) == len(remembered) else _about(request, new)
        assessment = await self._assessor.assess(rubric, asked, client)
        self._memory.keep(rubric, asked, assessment.judged)
        fresh = iter(assessment.judged)
        return [one or next(fresh) for one in remembered], assessment.spent

    def rubrics(self) -> list[RubricCard]:
        return [rubric.card() for rubric in self._rubrics]

    async def balances(self, run: str | None) -> BudgetState:
        """What may still be spent today and, if given, by `run`."""
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

    async def observe(self) -> None:
        """Copy today's budget from the database into the metrics."""
        try:
            (day,) = (await self.balances(None)).balances
        except Unavailable:
            self._metrics.balance(None)
        else:
            self._metrics.balance(day)

    async def readiness(self) -> Readiness:
        """Whether the database answers and the teacher is not shut off.

        An open circuit breaker is ready all the same: the ledger still answers.
        """
        detail = self._teacher.latched
        try:
            await self._ledger.check()
        except GalenError as error:
            detail = error.message
        if detail is None and self._teacher.state.circuit != "closed":
            rest = f"it is asked again in {self._teacher.state.retry_after_s:.0f} s"
            hint = f"{self._teacher.provider} keeps failing; {rest}; the ledger answers meanwhile"
            return Readiness(ready=True, provider=self._teacher.provider, detail=hint)
        return Readiness(ready=detail is None, provider=self._teacher.provider, detail=detail)

    def stop_asking(self) -> None:
        """Ask no teacher anything new; verdicts in the ledger are still served."""
        self._ledger.stop_asking()

    async def aclose(self, drain_s: float = 0.0) -> None:
        """Stop `drain_s` seconds after `stop_asking`, or earlier if every judgement has ended."""
        await self._ledger.aclose(drain_s)
        self._readers.close()
        await self._teacher.aclose()


def _log_failures(response: ScoreResponse) -> None:
    """One line for a batch in which items failed; it never holds a text that was judged."""
    codes = Counter(item.error.code for item in response.items if item.error)
    if codes:
        log.warning(
            "items not judged by the teacher",
            extra={"rubric": response.rubric, "of": len(response.items), "codes": dict(codes)},
        )


def _about(request: ScoreRequest, items: tuple[ScoreItem, ...]) -> ScoreRequest:
    return request.model_copy(update={"items": items})


def _usage(judged: Sequence[Judged], spent: Spent) -> Usage:
    return Usage(
        prompt_tokens=spent.prompt_tokens,
        completion_tokens=spent.completion_tokens,
        cached_items=sum(one.result.cached for one in judged),
        cost_usd=spent.cost_usd,
    )
