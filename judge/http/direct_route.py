"""A route that handles a valid request itself and leaves every other one to FastAPI.

FastAPI's dependencies and parsing together cost more than a judgement from memory. A valid request
needs none of them. FastAPI handles invalid ones as usual, so errors are made in one place.
"""

from __future__ import annotations

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import ValidationError

from judge.http.access import Handler, answer, counted, may
from judge.schemas import ScoreRequest
from judge.scoring.service import JudgeService


class DirectRoute(APIRoute):
    """The route of `POST /v1/score`. Its requests count by their key's limits."""

    def get_route_handler(self) -> Handler:
        by_fastapi = super().get_route_handler()

        async def handle(request: Request) -> Response:
            if request.headers.get("content-type") != "application/json":
                return await by_fastapi(request)
            may(request, "user", "rollout")
            try:
                asked = ScoreRequest.model_validate_json(await request.body())
            except ValidationError:
                return await by_fastapi(request)
            service: JudgeService = request.app.state.service
            return answer(await service.score(asked))

        return counted(handle)
