"""OpenAI's File and Batch objects, field by field. Times are seconds since 1970."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from galen.records import CleanText, NonBlank
from server.schemas import Wire

Endpoint = Literal["/v1/chat/completions", "/v1/completions", "/v1/responses"]
Purpose = Literal["batch", "batch_output"]
Status = Literal[
    "validating",
    "failed",
    "in_progress",
    "finalizing",
    "completed",
    "expired",
    "cancelling",
    "cancelled",
]
ENDED: frozenset[Status] = frozenset({"failed", "completed", "expired", "cancelled"})

MetadataKey = Annotated[CleanText, Field(max_length=64)]
MetadataValue = Annotated[CleanText, Field(max_length=512)]
Metadata = Annotated[dict[MetadataKey, MetadataValue], Field(max_length=16)]


class FileObject(Wire):
    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    filename: str
    """What the uploader called it; never a path here."""
    purpose: Purpose
    status: Literal["processed"] = "processed"


class FileDeleted(Wire):
    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


class FileList(Wire):
    object: Literal["list"] = "list"
    data: tuple[FileObject, ...]
    first_id: str | None
    last_id: str | None
    has_more: bool


class CreateBatch(Wire):
    input_file_id: NonBlank
    endpoint: Endpoint
    completion_window: Literal["24h"]
    metadata: Metadata | None = None


class RequestCounts(Wire):
    """What was never asked, after a cancellation or the window's end, is in `total` alone."""

    total: int = 0
    completed: int = 0
    failed: int = 0


class LineError(Wire):
    """What is wrong with the input file; `line` counts from 1, and is None for the whole file."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None


class LineErrors(Wire):
    object: Literal["list"] = "list"
    data: tuple[LineError, ...]


class Batch(Wire):
    id: str
    object: Literal["batch"] = "batch"
    endpoint: Endpoint
    input_file_id: str
    completion_window: Literal["24h"]
    status: Status = "validating"
    errors: LineErrors | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    created_at: int
    in_progress_at: int | None = None
    expires_at: int
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    request_counts: RequestCounts = RequestCounts()
    metadata: Metadata | None = None


class BatchList(Wire):
    object: Literal["list"] = "list"
    data: tuple[Batch, ...]
    first_id: str | None
    last_id: str | None
    has_more: bool
