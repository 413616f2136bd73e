"""One batch from its first line to its last file.

    validating -> in_progress -> finalizing -> completed | expired
        |              `-----> cancelling ---> cancelled
        `-> failed

Each step is on disk before the next begins, so after a restart a new job goes on with the step that
was not done. Files are worked through line by line, and others have their turn after each line.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections.abc import Callable, Coroutine
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

from galen.errors import StorageFull
from galen.journal import Journal
from server.batches.lines import LineRequest, check, numbered, parsed
from server.batches.requester import Requester, entry
from server.batches.schemas import (
    ENDED,
    Batch,
    FileObject,
    LineError,
    LineErrors,
    RequestCounts,
    Status,
)
from server.batches.store import Store

log = logging.getLogger(__name__)

FULL_DISK_S = 30.0
"""Seconds between two attempts to write where there is no room."""
NEVER_ASKED = {
    "expired": "the completion window ended before this request was answered",
    "cancelled": "the batch was cancelled before this request was answered",
}


@dataclass(slots=True, eq=False)
class Job:
    """`batch` has the counts of this moment, which are on disk only at its end. `clock` gives
    seconds since 1970."""

    batch: Batch
    owner: str
    store: Store
    requester: Requester
    clock: Callable[[], float]
    _limit: asyncio.Timeout | None = None

    def cancel(self) -> None:
        """End the requests under way; `run` then ends the batch with what there is."""
        self._save("cancelling")
        if self._limit and not self._limit.expired():
            self._limit.reschedule(0)

    def fail(self, *errors: LineError) -> None:
        """End the batch without results."""
        self._save("failed", errors=LineErrors(data=errors))

    async def run(self) -> None:
        if self.batch.status == "validating":
            await self._within(None, self._validate())
        if self.batch.status in ENDED:
            return
        path, size = self.store.path(self.batch.id), self.batch.request_counts.total
        with await self._kept(lambda: Journal(path, self.batch.id, size)) as journal:
            self._count(journal)
            if self.batch.status == "in_progress":
                await self._within(self.batch.expires_at - self.clock(), self._ask(journal))
                await self._step(lambda: self._save("finalizing"))
            await self._kept(lambda: self._finish(journal))
        path.unlink()

    async def _within(self, limit_s: float | None, work: Coroutine[Any, Any, None]) -> None:
        """Work until all is done, the time is over or the batch is cancelled."""
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s) as self._limit:
                await work
        self._limit = None

    async def _validate(self) -> None:
        source = self.store.path(self.batch.input_file_id)
        total, errors = await check(source, self.batch.endpoint)
        if errors:
            await self._step(lambda: self.fail(*errors))
        else:
            counts = RequestCounts(total=total)
            await self._step(lambda: self._save("in_progress", request_counts=counts))

    async def _ask(self, journal: Journal) -> None:
        """Ask every line that has no result."""
        source, places = self.store.path(self.batch.input_file_id), self.requester.places
        with closing(numbered(source)) as lines:
            async with asyncio.TaskGroup() as group:
                for index, (_, raw) in enumerate(lines):
                    if journal.has(index):
                        await asyncio.sleep(0)
                        continue
                    await places.acquire()
                    request = parsed(raw, self.batch.endpoint)
                    task = group.create_task(self._answer(index, request, journal))
                    task.add_done_callback(lambda _: places.release())

    async def _answer(self, index: int, request: LineRequest, journal: Journal) -> None:
        good, row = await self.requester.result(request, self.owner)
        await self._kept(lambda: journal.put(index, good, row))
        self._count(journal)

    def _count(self, journal: Journal) -> None:
        counts = RequestCounts(total=journal.size, completed=journal.good, failed=journal.failed)
        self.batch = self.batch.model_copy(update={"request_counts": counts})

    async def _finish(self, journal: Journal) -> None:
        """Write output and error file in the input's order, and say how the batch ended."""
        end: Status = "completed" if journal.good + journal.failed == journal.size else "expired"
        if self.batch.status == "cancelling":
            end = "cancelled"
        with (
            closing(numbered(self.store.path(self.batch.input_file_id))) as lines,
            self.store.draft() as output,
            self.store.draft() as errors,
        ):
            for index, (_, raw) in zip(range(journal.size), lines, strict=False):
                if journal.has(index):
                    (output if journal.is_good(index) else errors).write(journal.read(index))
                else:
                    errors.write(self._never_asked(raw, end))
                await asyncio.sleep(0)
            files: dict[str, FileObject] = {}
            for kind, draft in (("output", output), ("error", errors)):
                if draft.tell():
                    name = f"{self.batch.id}_{kind}.jsonl"
                    files[f"{kind}_file_id"] = self.store.file_of(draft, name, "batch_output")
            ids = {field: file.id for field, file in files.items()}
            self._save(end, *files.values(), **ids)

    def _never_asked(self, raw: bytes, end: Status) -> bytes:
        error = {"code": f"batch_{end}", "message": NEVER_ASKED[end]}
        row = entry(parsed(raw, self.batch.endpoint).custom_id, error=error)
        return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"

    async def _step(self, save: Callable[[], None]) -> None:
        """Go on as soon as there is room, unless the batch has been cancelled by then."""
        await self._kept(lambda: None if self.batch.status == "cancelling" else save())

    def _save(self, status: Status, *files: FileObject, **more: Any) -> None:
        """Raises `StorageFull`, with nothing changed."""
        changes = {"status": status, f"{status}_at": int(self.clock()), **more}
        changed = self.batch.model_copy(update=changes)
        self.store.save(self.owner, changed, *files)
        self.batch = changed
        log.info("batch", extra={"batch": changed.id, "status": status})

    async def _kept(self, write: Callable[[], Any]) -> Any:
        """What `write` gives, as soon as there is room: no result is thrown away."""
        while True:
            try:
                written = write()
                return await written if inspect.isawaitable(written) else written
            except StorageFull as full:
                log.error("batch waits", extra={"batch": self.batch.id, "reason": full.message})
            await self.requester.pause(FULL_DISK_S)
