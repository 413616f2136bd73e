"""Routes that examine the judge's teacher and watch it for drift."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from galen.records import NonBlank
from judge.examination.drift import DriftWatch
from judge.examination.register import Register
from judge.examination_schemas import Examinee, Qualification, Submission
from judge.http.access import BODY_ERRORS, Access, CountedRoute, answer, errors
from judge.schemas import DriftReport, DriftRequest

router = APIRouter(tags=["examination"])
_counted = APIRouter(route_class=CountedRoute)

_NUMBERS = [Depends(Access("user", "rollout"))]
_DECIDES = [Depends(Access("admin"))]


@dataclass(frozen=True, slots=True)
class Examiners:
    """What these routes need of the judge."""

    register: Register
    watch: DriftWatch


async def _examiners(request: Request) -> Examiners:
    examiners: Examiners = request.app.state.examiners
    return examiners


ExaminersOf = Annotated[Examiners, Depends(_examiners)]


@router.get(
    "/v1/qualifications", response_model=Examinee, responses=errors(404), dependencies=_NUMBERS
)
async def examinee(examiners: ExaminersOf, rubric: Annotated[NonBlank, Query()]) -> Response:
    """The teacher under a rubric, with the result of its latest examination."""
    return answer(await examiners.register.examinee(rubric))


@router.post(
    "/v1/qualifications",
    response_model=Qualification,
    responses=errors(404, 409, *BODY_ERRORS),
    dependencies=_DECIDES,
)
async def qualify(examiners: ExaminersOf, submission: Submission) -> Response:
    """Store an examination's figures and whether they meet the judge's thresholds."""
    return answer(await examiners.register.submit(submission))


@_counted.post(
    "/v1/drift",
    response_model=DriftReport,
    responses=errors(404, 429, *BODY_ERRORS),
    dependencies=[Depends(Access("rollout"))],
)
async def drift(examiners: ExaminersOf, asked: DriftRequest) -> Response:
    """Judge a rubric's anchors again and compare with their first scores."""
    return answer(await examiners.watch.look(asked))


router.include_router(_counted)
