"""Routes by which a judge's teacher is examined and watched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import APIRouter, Depends, Request, Response

from judge.drift import DriftWatch
from judge.qualify_figures import Examinee, Qualification, Submission
from judge.qualify_register import Register
from judge.schemas import DriftReport, DriftRequest, Wire

Guard = Callable[[Request], None]
"""Refuses a caller that may not do what a route does."""


@dataclass(frozen=True, slots=True)
class Examiners:
    """What the routes need of the judge."""

    register: Register
    watch: DriftWatch


def routes(examiners: Examiners, may_judge: Guard, may_administer: Guard) -> APIRouter:
    router = APIRouter()

    @router.get("/v1/qualifications", response_model=Examinee, dependencies=[Depends(may_judge)])
    async def examinee(rubric: str) -> Response:
        """The teacher under a rubric, and how it did when it was last examined."""
        return _json(await examiners.register.examinee(rubric))

    @router.post(
        "/v1/qualifications", response_model=Qualification, dependencies=[Depends(may_administer)]
    )
    async def qualify(submission: Submission) -> Response:
        """Decide on an examination's figures by the judge's own thresholds, and keep both."""
        return _json(await examiners.register.submit(submission))

    @router.post("/v1/drift", response_model=DriftReport, dependencies=[Depends(may_judge)])
    async def drift(request: DriftRequest) -> Response:
        """Judge a rubric's anchors anew, and compare with how they were judged at first."""
        return _json(await examiners.watch.look(request))

    return router


def _json(model: Wire) -> Response:
    return Response(model.model_dump_json(), media_type="application/json")
