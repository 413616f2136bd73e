"""What callers may do with files and batches, and the jobs that carry batches out."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry

from galen.errors import Conflict, InvalidInput, Overloaded
from galen.keys import Caller
from server.batches.job import Job
from server.batches.requester import Ask, Pause, Requester
from server.batches.schemas import ENDED, Batch, CreateBatch, FileObject, LineError, Listing, Page
from server.batches.store import Store, new_id

log = logging.getLogger(__name__)

MOST_OPEN = 50
"""Batches of one key that have not ended."""
WINDOW_S = 24 * 3600


class BatchService:
    """Batches over `ask`. Those that had not ended go on in `running`, which closes the store."""

    def __init__(
        self,
        ask: Ask,
        store: Store,
        registry: CollectorRegistry,
        clock: Callable[[], float] = time.time,
        pause: Pause = asyncio.sleep,
    ) -> None:
        self.store = store
        self._clock = clock
        self._requester = Requester(ask, pause, registry)
        self._jobs: dict[str, Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While this lasts, batches are carried out; what is not done then goes on next time."""
        for owner, batch in self.store.open_batches():
            self._start(batch, owner)
        try:
            yield
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self.store.close()

    def create(self, wanted: CreateBatch, caller: Caller) -> Batch:
        """Raises `NotFound` for another's file, `InvalidInput` for one that is no input,
        `Overloaded` if the caller has too many open batches, `PayloadTooLarge` if their files take
        all that they may, and `StorageFull`."""
        file = self.store.find(FileObject, wanted.input_file_id, caller)
        if file.purpose != "batch":
            message = "input_file_id: upload the file with the purpose batch"
            raise InvalidInput(message, param="input_file_id")
        self.store.refuse_beyond_share(caller.name)
        if sum(job.owner == caller.name for job in self._jobs.values()) >= MOST_OPEN:
            message = f"{MOST_OPEN} batches of this key have not ended; wait for one"
            raise Overloaded(message, retry_after_s=60)
        now = int(self._clock())
        end = now + WINDOW_S
        batch = Batch(**wanted.model_dump(), id=new_id("batch_"), created_at=now, expires_at=end)
        self.store.save(caller.name, batch)
        self._start(batch, caller.name)
        return batch

    def find(self, batch_id: str, caller: Caller) -> Batch:
        """Raises `NotFound`."""
        return self._now(self.store.find(Batch, batch_id, caller))

    def page(self, caller: Caller, wanted: Listing) -> Page[Batch]:
        """Part of the caller's batches. Raises `NotFound` if `after` is none of them."""
        page = self.store.page(Batch, caller, wanted)
        return page.model_copy(update={"data": [self._now(batch) for batch in page.data]})

    def cancel(self, batch_id: str, caller: Caller) -> Batch:
        """Raises `Conflict` for a batch that has ended or is about to."""
        batch = self.find(batch_id, caller)
        if batch.status in (*ENDED, "finalizing"):
            raise Conflict(f"the batch is {batch.status}; there is nothing left to cancel")
        if batch.status != "cancelling":
            self._jobs[batch_id].cancel()
        return self.find(batch_id, caller)

    def delete_file(self, file_id: str, caller: Caller) -> None:
        """Raises `Conflict` while a batch reads the file."""
        self.store.find(FileObject, file_id, caller)
        if any(job.batch.input_file_id == file_id for job in self._jobs.values()):
            raise Conflict("a batch reads this file; cancel it, or wait for its end")
        self.store.delete_file(file_id)

    def _now(self, batch: Batch) -> Batch:
        job = self._jobs.get(batch.id)
        return job.batch if job else batch

    def _start(self, batch: Batch, owner: str) -> None:
        job = Job(batch, owner, self.store, self._requester, self._clock)
        self._jobs[batch.id] = job
        task = asyncio.create_task(job.run())
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._ended(job, task))

    def _ended(self, job: Job, task: asyncio.Task[None]) -> None:
        """A bug ends its batch, so that nobody waits for it for ever, and is logged whole."""
        self._tasks.discard(task)
        del self._jobs[job.batch.id]
        if not task.cancelled() and (failure := task.exception()):
            log.error("batch given up", extra={"batch": job.batch.id}, exc_info=failure)
            message = "internal error; the service's log has the details"
            job.fail(LineError(code="internal_error", message=message))
