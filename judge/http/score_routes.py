"""Routes that judge answers."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from judge.audit_schemas import BudgetQuery, BudgetState
from judge.http.access import BODY_ERRORS, Access, CountedRoute, answer, errors
from judge.http.direct_route import DirectRoute
from judge.pair_schemas import MAX_PAIRS, CompareRequest, CompareResponse
from judge.schemas import MAX_ITEMS, Health, Readiness, RubricList, ScoreRequest, ScoreResponse
from judge.scoring.service import JudgeService

router = APIRouter(tags=["judge"])

_JUDGING = [Depends(Access("user", "rollout"))]


async def _service(request: Request) -> JudgeService:
    service: JudgeService = request.app.state.service
    return service


ServiceOf = Annotated[JudgeService, Depends(_service)]


async def score(asked: ScoreRequest, service: ServiceOf) -> Response:
    return answer(await service.score(asked))


router.add_api_route(
    "/v1/score",
    score,
    methods=["POST"],
    dependencies=_JUDGING,
    response_model=ScoreResponse,
    responses=errors(404, 429, *BODY_ERRORS),
    description=f"Judge up to {MAX_ITEMS:,} answers: one result for each, in order. "
    "A failed one has no reward.",
    route_class_override=DirectRoute,
)


async def compare(asked: CompareRequest, service: ServiceOf) -> Response:
    return answer(await service.compare(asked))


router.add_api_route(
    "/v1/compare",
    compare,
    methods=["POST"],
    dependencies=_JUDGING,
    response_model=CompareResponse,
    responses=errors(404, 429, *BODY_ERRORS),
    description=f"Which of two answers is better, for up to {MAX_PAIRS} pairs. The teacher is "
    "asked in both orders; where they disagree it is a draw. A pair that failed has no winner.",
    route_class_override=CountedRoute,
)


@router.get("/v1/rubrics", response_model=RubricList, responses=errors(), dependencies=_JUDGING)
async def rubrics(service: ServiceOf) -> Response:
    """The rubrics that this judge knows."""
    return answer(RubricList(rubrics=tuple(service.rubrics())))


@router.get("/v1/budget", response_model=BudgetState, responses=errors(), dependencies=_JUDGING)
async def budget(service: ServiceOf, query: Annotated[BudgetQuery, Query()]) -> Response:
    """What a paid teacher may still cost today and, if `run` names one, for that run."""
    return answer(await service.balances(query.run))


@router.get("/healthz", response_model=Health)
async def healthz() -> Response:
    """The process is up."""
    return answer(Health())


@router.get("/readyz", response_model=Readiness, responses={503: {"model": Readiness}})
async def readyz(service: ServiceOf) -> Response:
    """Whether the judge can work: the database answers and the teacher is not shut off."""
    readiness = await service.readiness()
    return answer(readiness, 200 if readiness.ready else 503)
