"""OpenAI's routes for files and batches; the service that they work with is in the app's state."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Form, Query, Request, Response, UploadFile
from fastapi.responses import FileResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from galen import disk
from galen.errors import InvalidInput, UnsupportedMedia
from galen.keys import Caller
from galen.records import storable
from server.batches.schemas import Batch, BatchListing, CreateBatch, FileObject, Listing, Page
from server.batches.service import BatchService
from server.routes import CallerOf, Parts

FILES, BATCHES = "/v1/files", "/v1/batches"
UPLOAD_LIMIT = 512 * 1024 * 1024
"""Bytes of one upload, form and all."""


class LimitedRoute(APIRoute):
    """A request that counts by its key's limits, before anything of its body is read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def run(request: Request) -> Response:
            parts: Parts = request.app.state.parts
            given = request.headers
            caller = parts.keys.identify(given.get("authorization"), given.get("x-api-key"))
            with parts.limits.turn(caller, request.scope), disk.room():
                if self.path == FILES:
                    await _read_form(request, caller)
                return await handle(request)

        return run


async def _read_form(request: Request, caller: Caller) -> None:
    """Read an upload within bounds. FastAPI then takes its form from the request."""
    (await _service(request)).store.refuse_beyond_share(caller.name)
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise UnsupportedMedia("send multipart/form-data with the fields file and purpose")
    try:
        await request.form(max_files=1, max_fields=1, max_part_size=1024)
    except HTTPException as error:
        message = f"{error.detail} Send one file and the field purpose, and nothing else."
        raise InvalidInput(message) from None


async def _service(request: Request) -> BatchService:
    service: BatchService = request.app.state.batches
    return service


router, limited = APIRouter(), APIRouter(route_class=LimitedRoute)

ServiceOf = Annotated[BatchService, Depends(_service)]


@limited.post(FILES)
async def upload(
    service: ServiceOf,
    caller: CallerOf,
    file: UploadFile,
    purpose: Annotated[Literal["batch"], Form()],
) -> FileObject:
    """Take a file of requests, one JSON object a line."""
    if not file.size:
        raise InvalidInput("file: is empty", param="file")
    name = storable(file.filename or "")[:255] or "unnamed"
    with service.store.draft() as draft:
        await asyncio.to_thread(shutil.copyfileobj, file.file, draft)
        kept = service.store.file_of(draft, name, purpose)
        service.store.save(caller.name, kept)
        return kept


@limited.post(BATCHES)
async def create(wanted: CreateBatch, service: ServiceOf, caller: CallerOf) -> Batch:
    """Have every request in a file answered, at a rollout's priority. Answers at once."""
    return service.create(wanted, caller)


@router.get(FILES)
async def list_files(
    service: ServiceOf, caller: CallerOf, wanted: Annotated[Listing, Query()]
) -> Page[FileObject]:
    """The caller's files, page by page."""
    return service.store.page(FileObject, caller, wanted)


@router.get(FILES + "/{file_id}")
async def file(file_id: str, service: ServiceOf, caller: CallerOf) -> FileObject:
    return service.store.find(FileObject, file_id, caller)


@router.get(FILES + "/{file_id}/content", response_class=FileResponse)
async def content(file_id: str, service: ServiceOf, caller: CallerOf) -> FileResponse:
    """The bytes of a file, as they were uploaded or written."""
    found = service.store.find(FileObject, file_id, caller)
    return FileResponse(service.store.path(found.id), media_type="application/octet-stream")


@router.delete(FILES + "/{file_id}")
async def delete_file(file_id: str, service: ServiceOf, caller: CallerOf) -> dict[str, Any]:
    service.delete_file(file_id, caller)
    return {"id": file_id, "object": "file", "deleted": True}


@router.get(BATCHES)
async def list_batches(
    service: ServiceOf, caller: CallerOf, wanted: Annotated[BatchListing, Query()]
) -> Page[Batch]:
    """The caller's batches, page by page, the newest first."""
    return service.page(caller, wanted)


@router.get(BATCHES + "/{batch_id}")
async def batch(batch_id: str, service: ServiceOf, caller: CallerOf) -> Batch:
    return service.find(batch_id, caller)


@router.post(BATCHES + "/{batch_id}/cancel")
async def cancel(batch_id: str, service: ServiceOf, caller: CallerOf) -> Batch:
    """Ask nothing more, and end with what there is."""
    return service.cancel(batch_id, caller)


router.include_router(limited)
