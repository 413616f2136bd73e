"""Routes for audits: runs, their judgements, the ledger's rows, people's votes.

Each runs on a thread and uses the archive's own connections. Numbers are for every key; texts are
for rollout and admin keys.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from galen.keys import Caller
from galen.records import NonBlank
from judge.audit.archive import Archive
from judge.audit_schemas import (
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
from judge.http.access import BODY_ERRORS, Access, CountedRoute, answer, errors

router = APIRouter(tags=["audit"])
_counted = APIRouter(route_class=CountedRoute)

_NUMBERS = [Depends(Access("user", "rollout"))]
_TEXTS = [Depends(Access("rollout"))]
_KEPT_BEFORE: dict[int | str, dict[str, Any]] = {
    200: {"model": VoteReceipt, "description": "The vote was kept before"}
}
RunName = Annotated[NonBlank, Path(max_length=200)]
Key = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]


async def _archive(request: Request) -> Archive:
    archive: Archive = request.app.state.archive
    return archive


ArchiveOf = Annotated[Archive, Depends(_archive)]


@router.get("/v1/runs", response_model=RunPage, responses=errors(), dependencies=_NUMBERS)
def runs(archive: ArchiveOf, query: Annotated[PageQuery, Query()]) -> Response:
    """Each run's judgements in numbers; newest run first."""
    return answer(archive.runs(query))


# A run's name may hold slashes. This route stands before the next, which would match it too.
@router.get(
    "/v1/runs/{run:path}/rollouts",
    response_model=RolloutPage,
    responses=errors(404),
    dependencies=_TEXTS,
)
def rollouts(archive: ArchiveOf, run: RunName, query: Annotated[RolloutQuery, Query()]) -> Response:
    """A run's judgements with the texts and their verdicts."""
    return answer(archive.rollouts(run, query))


@router.get(
    "/v1/runs/{run:path}", response_model=RunReport, responses=errors(404), dependencies=_NUMBERS
)
def run_report(archive: ArchiveOf, run: RunName) -> Response:
    """One run in numbers, in total and by step."""
    return answer(archive.run(run))


@router.get(
    "/v1/verdicts/{key}",
    response_model=VerdictFile,
    responses=errors(404),
    dependencies=_TEXTS,
)
def verdict(archive: ArchiveOf, key: Key) -> Response:
    """The ledger's rows for a judgement's `verdict_key`: the verdict with the teacher's reply and
    its cost, and earlier replies that were rejected."""
    return answer(archive.verdict(key))


@_counted.post(
    "/v1/feedback",
    response_model=VoteReceipt,
    status_code=201,
    responses={**_KEPT_BEFORE, **errors(409, 429, *BODY_ERRORS)},
)
def vote(
    archive: ArchiveOf, vote: Vote, caller: Annotated[Caller, Depends(Access("user"))]
) -> Response:
    """Store a person's choice between two answers. With an `id`, sending it again changes nothing;
    an id that belongs to a different vote is refused."""
    receipt, is_new = archive.vote(caller.name, vote)
    return answer(receipt, 201 if is_new else 200)


@router.get("/v1/feedback", response_model=VotePage, responses=errors(), dependencies=_TEXTS)
def votes(archive: ArchiveOf, query: Annotated[PageQuery, Query()]) -> Response:
    """Every vote, oldest first; for preference pairs."""
    return answer(archive.votes(query))


router.include_router(_counted)
