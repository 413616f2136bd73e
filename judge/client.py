"""The judge's HTTP client, for the trainer and the web page."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from galen.errors import UpstreamFailed
from galen.http import ServiceClient
from judge.audit_schemas import (
    BudgetQuery,
    BudgetState,
    PageQuery,
    RolloutPage,
    RolloutQuery,
    RunPage,
    RunReport,
    VerdictFile,
    Vote,
    VotePage,
    VoteReceipt,
)
from judge.examination_schemas import Examinee, Qualification, Submission
from judge.pair_schemas import CompareRequest, CompareResponse
from judge.schemas import (
    DriftReport,
    DriftRequest,
    Readiness,
    RubricCard,
    ScoreRequest,
    ScoreResponse,
    Wire,
)

FIRST_PAGE = PageQuery()
FIRST_ROLLOUTS = RolloutQuery()


class JudgeClient(ServiceClient):
    """A typed method for each route. Errors are those of `galen.errors`."""

    async def score(self, request: ScoreRequest) -> ScoreResponse:
        """One result for each item, in order; a failed item comes back as `failed`, not raised."""
        answer = await self.call_for(
            ScoreResponse, "POST", "/v1/score", body=request.model_dump(mode="json")
        )
        if [result.id for result in answer.items] != [item.id for item in request.items]:
            raise UpstreamFailed(
                f"{self.base_url}/v1/score answered for other items than those sent"
            )
        return answer

    async def compare(self, request: CompareRequest) -> CompareResponse:
        """One result for each pair, in order; a failed pair has no winner and is not raised."""
        answer = await self.call_for(
            CompareResponse, "POST", "/v1/compare", body=request.model_dump(mode="json")
        )
        if [result.id for result in answer.items] != [item.id for item in request.items]:
            raise UpstreamFailed(
                f"{self.base_url}/v1/compare answered for other pairs than those sent"
            )
        return answer

    async def rubrics(self) -> list[RubricCard]:
        answer = await self.call("GET", "/v1/rubrics")
        return [RubricCard.model_validate(card) for card in answer["rubrics"]]

    async def readiness(self) -> Readiness:
        return await self.call_for(Readiness, "GET", "/readyz", deadline_s=5.0)

    async def examinee(self, rubric: str) -> Examinee:
        """The judge's teacher under `rubric`, with the result of its latest examination."""
        path = f"/v1/qualifications?rubric={quote(rubric, safe='')}"
        return await self.call_for(Examinee, "GET", path)

    async def qualify(self, submission: Submission) -> Qualification:
        """Submit an examination's figures; the judge decides. Needs an admin key."""
        return await self.call_for(
            Qualification, "POST", "/v1/qualifications", body=submission.model_dump(mode="json")
        )

    async def drift(self, request: DriftRequest) -> DriftReport:
        """Have the judge score its anchors again and report any drift."""
        return await self.call_for(
            DriftReport, "POST", "/v1/drift", body=request.model_dump(mode="json")
        )

    async def runs(self, query: PageQuery = FIRST_PAGE) -> RunPage:
        """Runs in numbers, newest first."""
        return await self.call_for(RunPage, "GET", f"/v1/runs{_query(query)}")

    async def run(self, run: str) -> RunReport:
        """One run in total and by step. Raises `NotFound`."""
        return await self.call_for(RunReport, "GET", f"/v1/runs/{_part(run)}")

    async def rollouts(self, run: str, query: RolloutQuery = FIRST_ROLLOUTS) -> RolloutPage:
        """A run's judgements with their texts; needs a rollout or admin key. Raises `NotFound`."""
        path = f"/v1/runs/{_part(run)}/rollouts{_query(query)}"
        return await self.call_for(RolloutPage, "GET", path)

    async def verdict(self, key: str) -> VerdictFile:
        """The ledger's rows for a key; needs a rollout or admin key. Raises `NotFound`."""
        return await self.call_for(VerdictFile, "GET", f"/v1/verdicts/{_part(key)}")

    async def vote(self, vote: Vote) -> VoteReceipt:
        """Store a vote. With an `id` it may be sent again after a failure: it counts once."""
        body = vote.model_dump(mode="json")
        return await self.call_for(VoteReceipt, "POST", "/v1/feedback", body=body)

    async def votes(self, query: PageQuery = FIRST_PAGE) -> VotePage:
        """Votes, oldest first; needs a rollout or admin key."""
        return await self.call_for(VotePage, "GET", f"/v1/feedback{_query(query)}")

    async def budget(self, run: str | None = None) -> BudgetState:
        """What may still be spent today and, if given, by `run`."""
        return await self.call_for(BudgetState, "GET", f"/v1/budget{_query(BudgetQuery(run=run))}")


def _part(text: str) -> str:
    """`text` escaped as one segment of a path."""
    return quote(text, safe="")


def _query(query: Wire) -> str:
    given = query.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    return f"?{urlencode(given)}" if given else ""
