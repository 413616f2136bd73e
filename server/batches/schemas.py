"""OpenAI's File and Batch objects, field by field. Times are seconds since 1970."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Generic, Literal, TypeVar, get_args

from pydantic import BaseModel, Field

from galen.records import CleanText, NonBlank
from server.schemas import Wire

Endpoint = Literal["/v1/chat/completions", "/v1/completions", "/v1/responses"]
Purpose = Literal["batch", "batch_output"]
Ended = Literal["completed", "failed", "expired", "cancelled"]
ENDED: tuple[Ended, ...] = get_args(Ended)
Status = Literal["validating", "in_progress", "cancelling"] | Ended


class FileObject(Wire):
    """`filename` is what the uploader called it; it is never a path on the server."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    filename: str
    purpose: Purpose
    status: Literal["processed"] = "processed"


class CreateBatch(Wire):
    input_file_id: NonBlank
    endpoint: Endpoint
    completion_window: Literal["24h"]
    metadata: Annotated[dict[str, CleanText], Field(max_length=16)] | None = None


class RequestCounts(Wire):
    """Requests that a cancelled batch never sent are counted in `total` only."""

    total: int = 0
    completed: int = 0
    failed: int = 0


class LineError(Wire):
    """What is wrong with the input file. `line` counts from 1; None means the whole file."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None


class LineErrors(Wire):
    object: Literal["list"] = "list"
    data: Sequence[LineError]


class Batch(CreateBatch):
    """A batch of this server does not expire; the fields for that are OpenAI's."""

    id: str
    object: Literal["batch"] = "batch"
    status: Status = "validating"
    errors: LineErrors | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    created_at: int
    in_progress_at: int | None = None
    expires_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    request_counts: RequestCounts = RequestCounts()

    def counted(self, total: int, completed: int = 0, failed: int = 0) -> Batch:
        counts = RequestCounts(total=total, completed=completed, failed=failed)
        return self.model_copy(update={"request_counts": counts})


R = TypeVar("R", FileObject, Batch)


class Page(Wire, Generic[R]):
    """Part of a list; while `has_more`, `after=last_id` asks for the next part."""

    object: Literal["list"] = "list"
    data: Sequence[R]
    first_id: str | None
    last_id: str | None
    has_more: bool


class Listing(BaseModel):
    """Which part of a list is wanted, the newest first. `purpose` is for files only."""

    after: Annotated[str | None, Field(max_length=64)] = None
    limit: Annotated[int, Field(ge=1, le=10_000)] = 100
    order: Literal["desc"] = "desc"
    purpose: Annotated[str | None, Field(max_length=64)] = None
