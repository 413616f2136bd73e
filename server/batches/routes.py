"""OpenAI's routes for files and batches; their service is in the app's state."""

from __future__ import annotations

import asyncio
import shutil
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import FileResponse
from starlette.datastructures import UploadFile

from galen import disk
from galen.errors import InvalidInput, UnsupportedMedia
from galen.records import storable
from server.batches.lines import validated
from server.batches.schemas import Batch, CreateBatch, FileObject, Listing, Page
from server.batches.service import BatchService
from server.batches.store import new_id
from server.routes import CallerOf, PartsOf

FILES, BATCHES = "/v1/files", "/v1/batches"
FILE, BATCH = f"{FILES}/{{file_id}}", f"{BATCHES}/{{batch_id}}"
UPLOAD_LIMIT = 512 * 1024 * 1024
"""Bytes of one upload, form and all."""


async def _service(request: Request) -> BatchService:
    service: BatchService = request.app.state.batches
    return service


router = APIRouter()

ServiceOf = Annotated[BatchService, Depends(_service)]
ListingOf = Annotated[Listing, Query()]


@router.post(FILES)
async def upload(
    request: Request, service: ServiceOf, caller: CallerOf, parts: PartsOf
) -> FileObject:
    """Take a file of requests, one JSON object a line: a form with `file` and `purpose`."""
    # By hand, since FastAPI would read the body before it asks for the key.
    with parts.limits.turn(caller, request.scope), disk.room():
        service.store.refuse_beyond_share(caller.name)
        if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
            raise UnsupportedMedia("send multipart/form-data with the fields file and purpose")
        async with request.form(max_files=1, max_fields=1, max_part_size=1024) as form:
            file = form.get("file")
            if not isinstance(file, UploadFile) or not file.size:
                raise InvalidInput("file: is missing or empty", param="file")
            if form.get("purpose") != "batch":
                raise InvalidInput("purpose: must be batch", param="purpose")
            name, file_id = storable(file.filename or "")[:255] or "unnamed", new_id("file-")
            with service.store.writing(caller.name, file_id, name, "batch") as content:
                await asyncio.to_thread(shutil.copyfileobj, file.file, content)
        return service.store.find(FileObject, file_id, caller)


@router.post(BATCHES)
async def create(request: Request, service: ServiceOf, caller: CallerOf, parts: PartsOf) -> Batch:
    """Have every request in a file answered, at a rollout's priority. Answers at once."""
    with parts.limits.turn(caller, request.scope):
        wanted = validated(CreateBatch, await request.body())
        return service.create(wanted, caller)


@router.get(FILES)
async def list_files(service: ServiceOf, caller: CallerOf, wanted: ListingOf) -> Page[FileObject]:
    return service.store.page(FileObject, caller, wanted)


@router.get(FILE)
async def file(file_id: str, service: ServiceOf, caller: CallerOf) -> FileObject:
    return service.store.find(FileObject, file_id, caller)


@router.get(FILES + "/{file_id}/content", response_class=FileResponse)
async def content(file_id: str, service: ServiceOf, caller: CallerOf) -> FileResponse:
    """The bytes of a file, as they were uploaded or written."""
    found = service.store.find(FileObject, file_id, caller)
    return FileResponse(service.store.path(found.id), media_type="application/octet-stream")


@router.delete(FILE)
async def delete_file(file_id: str, service: ServiceOf, caller: CallerOf) -> dict[str, Any]:
    service.delete_file(file_id, caller)
    return {"id": file_id, "object": "file", "deleted": True}


@router.get(BATCHES)
async def list_batches(service: ServiceOf, caller: CallerOf, wanted: ListingOf) -> Page[Batch]:
    return service.store.page(Batch, caller, wanted)


@router.get(BATCH)
async def batch(batch_id: str, service: ServiceOf, caller: CallerOf) -> Batch:
    return service.store.find(Batch, batch_id, caller)


@router.post(BATCHES + "/{batch_id}/cancel")
async def cancel(batch_id: str, service: ServiceOf, caller: CallerOf) -> Batch:
    """Send no further requests; the batch ends with the answers that it has."""
    return service.cancel(batch_id, caller)
