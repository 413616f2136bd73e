"""OpenAI's routes for files and batches; what they work with lies in the app's state."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import FileResponse
from starlette.requests import ClientDisconnect

from galen.errors import InvalidInput
from galen.keys import Caller, require
from server.batches.schemas import (
    Batch,
    BatchList,
    CreateBatch,
    FileDeleted,
    FileList,
    FileObject,
)
from server.batches.service import BatchService
from server.batches.uploads import FormReader
from server.routes import CallerOf, PartsOf

FILES = "/v1/files"
FORM: dict[str, Any] = {
    "type": "object",
    "required": ["file", "purpose"],
    "additionalProperties": False,
    "properties": {
        "file": {"type": "string", "format": "binary"},
        "purpose": {"type": "string", "enum": ["batch"]},
    },
}
A_FORM = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": FORM}}}}

router = APIRouter()


async def _service(request: Request) -> BatchService:
    service: BatchService = request.app.state.batches
    return service


async def _asker(caller: CallerOf) -> Caller:
    require(caller, "user", "rollout")
    return caller


async def _turn(request: Request, parts: PartsOf, caller: AskerOf) -> AbstractContextManager[None]:
    return parts.limits.turn(caller, request.scope)


ServiceOf = Annotated[BatchService, Depends(_service)]
AskerOf = Annotated[Caller, Depends(_asker)]
TurnOf = Annotated[AbstractContextManager[None], Depends(_turn)]
"""A request that counts by its key's limits; a batch's lines do not."""
After = Annotated[str | None, Query(max_length=64)]


@router.post(FILES, openapi_extra=A_FORM)
async def upload(request: Request, service: ServiceOf, caller: AskerOf, turn: TurnOf) -> FileObject:
    """Take a file of requests, one JSON object a line; it goes to disk as it comes."""
    service.files.refuse_beyond_share(caller.name)
    with turn, service.files.draft() as draft:
        reader = FormReader(request.headers.get("content-type", ""), draft)
        try:
            async for piece in request.stream():
                await asyncio.to_thread(reader.feed, piece)
        except ClientDisconnect:
            raise InvalidInput("the upload was broken off") from None
        form = reader.finish()
        if form.purpose != "batch":
            raise InvalidInput("purpose: must be batch", param="purpose")
        return service.files.keep(draft, caller.name, form.filename, "batch")


@router.get(FILES)
async def list_files(
    service: ServiceOf,
    caller: AskerOf,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
    order: Literal["asc", "desc"] = "desc",
    purpose: Annotated[str | None, Query(max_length=64)] = None,
) -> FileList:
    """The caller's files, page by page."""
    page = service.files.page(caller, after, limit, newest_first=order == "desc", purpose=purpose)
    first, last = (page.items[0].id, page.items[-1].id) if page.items else (None, None)
    return FileList(data=tuple(page.items), first_id=first, last_id=last, has_more=page.has_more)


@router.get(FILES + "/{file_id}")
async def file(file_id: str, service: ServiceOf, caller: AskerOf) -> FileObject:
    return service.files.find(file_id, caller)


@router.get(FILES + "/{file_id}/content", response_class=FileResponse)
async def content(file_id: str, service: ServiceOf, caller: AskerOf) -> FileResponse:
    """The bytes of a file, as they were uploaded or written."""
    found = service.files.find(file_id, caller)
    return FileResponse(service.files.content(found.id), media_type="application/octet-stream")


@router.delete(FILES + "/{file_id}")
async def delete_file(file_id: str, service: ServiceOf, caller: AskerOf) -> FileDeleted:
    service.delete_file(file_id, caller)
    return FileDeleted(id=file_id)


@router.post("/v1/batches")
async def create(asked: CreateBatch, service: ServiceOf, caller: AskerOf, turn: TurnOf) -> Batch:
    """Have every request in a file asked, at a rollout's priority. Answers at once."""
    with turn:
        return service.create(asked, caller)


@router.get("/v1/batches")
async def list_batches(
    service: ServiceOf,
    caller: AskerOf,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> BatchList:
    """The caller's batches, the newest first."""
    page = service.store.page(caller, after, limit)
    first, last = (page.items[0].id, page.items[-1].id) if page.items else (None, None)
    return BatchList(data=tuple(page.items), first_id=first, last_id=last, has_more=page.has_more)


@router.get("/v1/batches/{batch_id}")
async def batch(batch_id: str, service: ServiceOf, caller: AskerOf) -> Batch:
    return service.store.find(batch_id, caller)


@router.post("/v1/batches/{batch_id}/cancel")
async def cancel(batch_id: str, service: ServiceOf, caller: AskerOf) -> Batch:
    """Ask nothing more, and end with what there is."""
    return service.cancel(batch_id, caller)
