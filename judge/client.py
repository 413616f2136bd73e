"""The judge's client, for the trainer and the web page."""

from __future__ import annotations

from galen.errors import UpstreamFailed
from galen.http import ServiceClient
from judge.schemas import Readiness, RubricCard, ScoreRequest, ScoreResponse


class JudgeClient(ServiceClient):
    async def score(self, request: ScoreRequest) -> ScoreResponse:
        """One result for each item, in order; a failed item comes back as `failed`, not raised."""
        answer = await self.call_for(
            ScoreResponse, "POST", "/v1/score", body=request.model_dump(mode="json")
        )
        if [result.id for result in answer.items] != [item.id for item in request.items]:
            raise UpstreamFailed(
                f"{self.base_url}/v1/score answered for other items than were sent"
            )
        return answer

    async def rubrics(self) -> list[RubricCard]:
        answer = await self.call("GET", "/v1/rubrics")
        return [RubricCard.model_validate(card) for card in answer["rubrics"]]

    async def readiness(self) -> Readiness:
        return await self.call_for(Readiness, "GET", "/readyz", deadline_s=5.0)
