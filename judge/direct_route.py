"""A route that reads a sound request by itself, and leaves every other one to FastAPI.

FastAPI resolves dependencies and parses a body in steps that together cost more than telling a
judgement that is remembered. A sound request needs none of them; one that is not sound, or whose
key is not, is handled by FastAPI as if this were not here, so that there is one place for errors.
"""

from __future__ import annotations

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import ValidationError

from judge.schemas import ScoreRequest
from judge.service import JudgeService
from judge.web import Handler, answer, counted, may


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
